//! Which local target uses which interfaces of a provider, and in which mode. Spec: resource-kinds.md section 4, external-sync.md.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::provider::LastDelivery;
use crate::kinds::sets::{ErrorClass, Interface, Mode, Strategy};
use crate::kinds::shared::{CrossOrgRef, Dur, ErrorInfo, PathFilter, Time};
use crate::resource::{native_index, resource};
use crate::store::Index;
use crate::validate::MAX_SAFE_INTEGER;

crate::closed_set! {
    /// Phase of an [`ExternalBackendBinding`] (external-sync.md section 9).
    #[derive(Default)]
    ExternalBackendBindingPhase {
        #[default]
        Pending = "Pending",
        ValidatingTarget = "ValidatingTarget",
        RegisteringWebhook = "RegisteringWebhook",
        Backfilling = "Backfilling",
        Ready = "Ready",
        Conflict = "Conflict",
        Paused = "Paused",
        Failed = "Failed",
    }
}

crate::closed_set! {
    /// What a binding binds.
    BindingTargetKind { Organization = "Organization", Repository = "Repository", AgentProject = "AgentProject" }
}

crate::closed_set! {
    /// What becomes of projections when their binding goes.
    #[derive(Default)]
    DeletionPolicy {
        #[default]
        Orphan = "orphan",
        Delete = "delete",
    }
}

/// The local side of a binding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingTarget {
    /// Kind.
    pub kind: BindingTargetKind,
    /// Name.
    #[schemars(length(max = 253))]
    pub name: String,
}

/// Mode and strategy of one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldOverride {
    /// Mergeable field, such as `spec.labels`.
    #[schemars(length(max = 253))]
    pub path: String,
    /// Mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
}

/// Mode of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KindOverride {
    /// Kind of the interface.
    #[schemars(length(max = 253))]
    pub kind: String,
    /// Mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Fields with a mode or strategy of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["path"]))]
    pub fields: Vec<FieldOverride>,
}

/// Which native objects are bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct BindingFilter {
    /// Names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<PathFilter>,
    /// Labels, of which one must be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub labels: Vec<String>,
    /// Only what changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_since: Option<Time>,
}

/// One interface of a binding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingInterface {
    /// Interface.
    pub name: Interface,
    /// Whether it is used.
    #[serde(default = "default_true")]
    pub enabled: bool,
    /// Who owns the truth.
    pub mode: Mode,
    /// Kinds with a mode of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind"]))]
    pub kinds: Vec<KindOverride>,
    /// Which objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<BindingFilter>,
}

pub(super) fn default_true() -> bool {
    true
}

/// A value of an `externalRef`: text of at most 253 bytes, or an integer that fits 53 bits (R8); `123` and `"123"` are one value (R68), each written as it was read.
#[derive(Debug, Clone)]
pub struct RefValue {
    text: String,
    is_integer: bool,
}

impl RefValue {
    /// The value as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for RefValue {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RefValue {}

impl PartialOrd for RefValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RefValue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl From<&str> for RefValue {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), is_integer: false }
    }
}

impl Serialize for RefValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text.parse::<i64>() {
            Ok(number) if self.is_integer => serializer.serialize_i64(number),
            _ => serializer.serialize_str(&self.text),
        }
    }
}

impl<'de> Deserialize<'de> for RefValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Number(i64),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Text(text) => Self { text, is_integer: false },
            Either::Number(number) => Self { text: number.to_string(), is_integer: true },
        })
    }
}

impl JsonSchema for RefValue {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RefValue".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // Of an integer or a string each bound holds for the one that has it: the length of the text, the size of the number.
        schemars::json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 253,
            "minimum": -MAX_SAFE_INTEGER,
            "maximum": MAX_SAFE_INTEGER,
        })
    }
}

/// Which local target uses which interfaces of a provider, and in which mode.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "ExternalBackendBinding",
    plural = "externalbackendbindings",
    namespaced,
    status = "ExternalBackendBindingStatus",
    derive = "PartialEq",
    category = "krate",
    category = "krate-external",
    shortname = "ebb",
    printcolumn = r#"{"name":"Provider","type":"string","jsonPath":".spec.providerRef"}"#,
    printcolumn = r#"{"name":"Target","type":"string","jsonPath":".spec.targetRef.name"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Conflicts","type":"integer","jsonPath":".status.openConflicts"}"#,
    printcolumn = r#"{"name":"Last backfill","type":"date","jsonPath":".status.lastBackfillAt"}"#
)]
#[x_kube(validation = Rule::new("has(self.providerRef) != has(self.sharedProviderRef)")
    .message("R4: exactly one of spec.providerRef and spec.sharedProviderRef is set")
    .field_path(".providerRef")
    .reason(Reason::FieldValueInvalid))]
#[x_kube(validation = Rule::new("!has(self.syncPolicyRef) || !has(self.sharedSyncPolicyRef)")
    .message("R4: at most one of spec.syncPolicyRef and spec.sharedSyncPolicyRef is set")
    .field_path(".sharedSyncPolicyRef")
    .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct ExternalBackendBindingSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The provider; or `sharedProviderRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "ExternalBackendProvider"))]
    pub provider_ref: Option<String>,
    /// Another organization's provider (R4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub shared_provider_ref: Option<CrossOrgRef>,
    /// The local side.
    #[schemars(extend("x-krate-immutable" = true))]
    pub target_ref: BindingTarget,
    /// The external side: the manifest's `externalRefKeys`.
    #[schemars(extend("x-krate-immutable" = true, "maxProperties" = 16))]
    pub external_ref: BTreeMap<String, RefValue>,
    /// Interfaces; at least one.
    #[schemars(
        length(min = 1, max = 3),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub interfaces: Vec<BindingInterface>,
    /// Sync policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "ExternalBackendSyncPolicy"))]
    pub sync_policy_ref: Option<String>,
    /// Another organization's sync policy (R4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_sync_policy_ref: Option<CrossOrgRef>,
    /// Whether krate registers the hook.
    #[serde(default)]
    pub owns_hook: bool,
    /// What becomes of projections when the binding goes.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Whether writes and backfills stop (S37).
    #[serde(default)]
    pub suspend: bool,
}

/// Status of [`ExternalBackendBinding`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExternalBackendBindingStatus {
    /// Phase.
    #[serde(default)]
    pub phase: ExternalBackendBindingPhase,
    /// Uid of the provider that was resolved (R32).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub provider_uid: Option<String>,
    /// The external side, as the provider knows it; absent until it was read, and where the binding is about no single object there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<BoundTarget>,
    /// The hook that krate owns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookStatus>,
    /// Per interface (S42).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub interfaces: Vec<BindingInterfaceStatus>,
    /// Open conflicts of all interfaces; absent until they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_conflicts: Option<i64>,
    /// End of the newest backfill of the interface where that is longest ago, of those that were backfilled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backfill_at: Option<Time>,
    /// Newest deliveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivery: Option<LastDelivery>,
    /// What the provider's log of deliveries showed, where it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_log: Option<DeliveryLogStatus>,
    /// How long a change at the provider may go unseen whose webhook is lost: until the incremental lists show it. Absent while they are held back or fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staleness_bound: Option<Dur>,
    /// The annotation's value that was handled (S26).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub handled_backfill_request: Option<String>,
    /// Newest error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<ErrorInfo>,
    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::kinds::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// The external side of a binding: the id that stays with it, and what it is called now. Names move to other objects, ids don't.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoundTarget {
    /// The provider's own kind.
    #[schemars(length(max = 253))]
    pub native_kind: String,
    /// The provider's id.
    #[schemars(length(max = 253))]
    pub native_id: String,
    /// The keys of `externalRef` that name it, with its names of now.
    #[schemars(extend("maxProperties" = 16))]
    pub container: BTreeMap<String, String>,
    /// Full names that it had, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub former_names: Vec<String>,
}

/// What a provider's log of deliveries showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryLogStatus {
    /// Up to when everything in the log is known to have arrived; it moves every few minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<Time>,
    /// Why the log isn't read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<ErrorInfo>,
    /// Windows in which deliveries were lost, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub lost: Vec<LostWindow>,
}

/// A window in which deliveries were lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LostWindow {
    /// When the provider sent the first of them.
    pub from: Time,
    /// When it sent the last.
    pub to: Time,
    /// How many were lost.
    pub deliveries: i64,
    /// How many of them were fetched from the log since.
    #[serde(default)]
    pub recovered: i64,
    /// When that was found out.
    pub found_at: Time,
}

/// The hook that krate owns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookStatus {
    /// Id at the provider.
    #[schemars(length(max = 253))]
    pub native_id: String,
    /// Where it posts.
    #[schemars(length(max = 2048))]
    pub url: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub events: Vec<String>,
}

/// State of one interface of a binding (S42).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingInterfaceStatus {
    /// Interface.
    pub name: Interface,
    /// Whether it works.
    #[serde(default)]
    pub ready: bool,
    /// Whether the first backfill ended.
    #[serde(default)]
    pub initial_sync_done: bool,
    /// Up to when everything was applied (S22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Time>,
    /// End of the newest backfill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backfill_at: Option<Time>,
    /// Deliveries that wait.
    #[serde(default)]
    pub queue_depth: i64,
    /// Open conflicts.
    #[serde(default)]
    pub open_conflicts: i64,
    /// Writes that aren't confirmed.
    #[serde(default)]
    pub pending_writes: i64,
    /// Class of the newest error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_class: Option<ErrorClass>,
}

impl BindingInterfaceStatus {
    /// An interface of which nothing is known yet.
    pub fn new(name: Interface) -> Self {
        Self {
            name,
            ready: false,
            initial_sync_done: false,
            watermark: None,
            last_backfill_at: None,
            queue_depth: 0,
            open_conflicts: 0,
            pending_writes: 0,
            last_error_class: None,
        }
    }
}

resource!(
    ExternalBackendBinding,
    ExternalBackendBindingSpec,
    ExternalBackendBindingStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        if let Some(provider) = &object.spec.provider_ref {
            add(Index::Provider, provider.clone());
        }
        add(Index::Local, format!("{}/{}", object.spec.target_ref.kind, object.spec.target_ref.name));
        let Some(target) = object.status.as_ref().and_then(|status| status.target.as_ref()) else { return };
        if let Some(provider) = &object.spec.provider_ref {
            add(Index::Native, native_index(provider, &target.native_kind, &target.native_id));
        }
    }
);
