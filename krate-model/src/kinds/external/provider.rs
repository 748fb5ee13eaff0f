//! An external system instance with one credential set. Spec: resource-kinds.md section 4, external-sync.md.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::kinds::sets::{AuthMode, ErrorClass, Interface};
use crate::kinds::shared::{ConfigMapKeyRef, Dur, ErrorInfo, NATIVE_KEY, SecretKeyRef, SecretRef, Time};
use crate::resource::resource;
use crate::store::Index;

crate::closed_set! {
    /// Phase of an [`ExternalBackendProvider`] (external-sync.md section 9).
    #[derive(Default)]
    ExternalBackendProviderPhase {
        #[default]
        Pending = "Pending",
        Authenticating = "Authenticating",
        Discovering = "Discovering",
        Ready = "Ready",
        Degraded = "Degraded",
        Paused = "Paused",
        Failed = "Failed",
    }
}

crate::closed_set! {
    /// How far the text of a webhook is trusted.
    #[derive(Default)]
    WebhookTrust {
        Maintainer = "maintainer",
        Member = "member",
        Contributor = "contributor",
        FirstTime = "first-time",
        #[default]
        External = "external",
    }
}

/// How krate proves who it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthRef {
    /// Kind of credential.
    pub mode: AuthMode,
    /// Where the credential is.
    pub secret_ref: SecretRef,
    /// The Secret's own names for the credential keys of the manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), inner(length(max = 253), regex(pattern = NATIVE_KEY)))]
    pub keys: BTreeMap<String, String>,
}

/// One valid webhook secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookSecretRef {
    /// Name by which deliveries record it (S14).
    #[schemars(length(max = 253))]
    pub name: String,
    /// Where it is.
    pub secret_ref: SecretKeyRef,
}

/// How webhooks are taken in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderWebhook {
    /// The valid secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub secret_refs: Vec<WebhookSecretRef>,
    /// Longest body, 1 KiB to 100 MiB.
    #[serde(default = "default_max_body_bytes")]
    #[schemars(range(min = 1_024, max = 104_857_600))]
    pub max_body_bytes: i64,
    /// How far a signed time may be from now.
    #[serde(default = "default_timestamp_tolerance")]
    pub timestamp_tolerance: Dur,
    /// How far their text is trusted.
    #[serde(default)]
    pub trust_level: WebhookTrust,
    /// Whether the provider's log of deliveries is compared with what arrived, where it has one and the credential may read it.
    #[serde(default = "default_delivery_log")]
    pub delivery_log: bool,
}

const fn default_delivery_log() -> bool {
    true
}

fn default_max_body_bytes() -> i64 {
    26_214_400
}

fn default_timestamp_tolerance() -> Dur {
    Dur::literal("5m")
}

/// Which interfaces a provider is wished to serve; at least one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Issues.
    #[serde(default)]
    pub issue_tracking: bool,
    /// Pipelines.
    #[serde(default)]
    pub cicd: bool,
    /// Repositories and pull requests.
    #[serde(default)]
    pub git_forge: bool,
}

/// How much of a budget krate leaves untouched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.writeFloorPercent <= self.reservePercent")
    .message("R49: writeFloorPercent is at most reservePercent")
    .field_path(".reservePercent")
    .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct ProviderRateLimit {
    /// Share that is kept back, 0 to 90.
    #[serde(default = "default_reserve_percent")]
    #[schemars(range(min = 0, max = 90))]
    pub reserve_percent: i64,
    /// Share that writes may always use, 0 to 50.
    #[serde(default = "default_write_floor_percent")]
    #[schemars(range(min = 0, max = 50))]
    pub write_floor_percent: i64,
    /// Own bound, below the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_per_hour: Option<i64>,
}

fn default_reserve_percent() -> i64 {
    10
}

fn default_write_floor_percent() -> i64 {
    5
}

/// TLS settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ProviderTls {
    /// Certificate authority of the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<ConfigMapKeyRef>,
}

/// An external system instance with one credential set.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "ExternalBackendProvider",
    plural = "externalbackendproviders",
    namespaced,
    status = "ExternalBackendProviderStatus",
    derive = "PartialEq",
    category = "krate",
    category = "krate-external",
    shortname = "ebp",
    printcolumn = r#"{"name":"Type","type":"string","jsonPath":".spec.providerType"}"#,
    printcolumn = r#"{"name":"Account","type":"string","jsonPath":".status.account.login"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Conflicts","type":"integer","jsonPath":".status.openConflicts"}"#,
    printcolumn = r#"{"name":"Pending writes","type":"integer","jsonPath":".status.pendingWrites"}"#
)]
#[x_kube(validation = Rule::new("has(self.adapterRef) == (self.providerType == 'custom')")
    .message("R11: spec.adapterRef is set exactly when spec.providerType is custom")
    .field_path(".adapterRef")
    .reason(Reason::FieldValueInvalid))]
#[x_kube(validation = Rule::new("self.capabilities.issueTracking || self.capabilities.cicd || self.capabilities.gitForge")
    .message("R11: spec.capabilities has at least one that is true")
    .field_path(".capabilities")
    .reason(Reason::FieldValueRequired))]
#[serde(rename_all = "camelCase")]
pub struct ExternalBackendProviderSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Registered provider type, or `custom`.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub provider_type: String,
    /// Adapter, exactly for `custom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub adapter_ref: Option<String>,
    /// Name for people.
    #[schemars(length(max = 128))]
    pub display_name: String,
    /// One of the manifest's hostings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub hosting: Option<String>,
    /// Address for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), extend("format" = "uri"))]
    pub base_url: Option<String>,
    /// Address of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), extend("format" = "uri"))]
    pub api_base_url: Option<String>,
    /// Credential.
    pub auth_ref: AuthRef,
    /// Webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<ProviderWebhook>,
    /// Interfaces that are wished for.
    pub capabilities: Capabilities,
    /// Sync policy for bindings that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "ExternalBackendSyncPolicy"))]
    pub sync_policy_ref: Option<String>,
    /// Budgets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<ProviderRateLimit>,
    /// TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ProviderTls>,
    /// Whether `http` to a loopback address is accepted (R48).
    #[serde(default)]
    pub allow_insecure: bool,
    /// Whether writes and backfills stop (S37).
    #[serde(default)]
    pub suspend: bool,
}

/// Status of [`ExternalBackendProvider`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExternalBackendProviderStatus {
    /// Phase.
    #[serde(default)]
    pub phase: ExternalBackendProviderPhase,
    /// Manifest in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestRef>,
    /// krate's own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Installations of the app.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub installations: Vec<Installation>,
    /// Path of the hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub webhook_path: Option<String>,
    /// Per interface (S42).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub interfaces: Vec<ProviderInterfaceStatus>,
    /// Open conflicts of all interfaces; absent until they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_conflicts: Option<i64>,
    /// Writes of all interfaces that aren't confirmed; absent until they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_writes: Option<i64>,
    /// Newest deliveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivery: Option<LastDelivery>,
    /// Budgets as last read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["scope"]))]
    pub rate_limits: Vec<RateLimitStatus>,
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

/// The manifest in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestRef {
    /// Name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Digest.
    pub digest: Digest,
}

/// An account at the provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountId {
    /// Stable id.
    #[schemars(length(max = 253))]
    pub id: String,
    /// Login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub login: Option<String>,
}

/// An installation of krate's app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Installation {
    /// Id.
    #[schemars(length(max = 253))]
    pub id: String,
    /// Where it is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub account: Option<String>,
    /// Permission to level.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), inner(length(max = 1024)))]
    pub permissions: BTreeMap<String, String>,
    /// Whether it is suspended.
    #[serde(default)]
    pub suspended: bool,
}

/// State of one interface of a provider (S42).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderInterfaceStatus {
    /// Interface.
    pub name: Interface,
    /// Whether it works.
    #[serde(default)]
    pub ready: bool,
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

/// Newest deliveries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct LastDelivery {
    /// Newest that verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_at: Option<Time>,
    /// Newest that didn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Time>,
}

/// A budget as last read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitStatus {
    /// Budget.
    #[schemars(length(max = 253))]
    pub scope: String,
    /// Calls a window.
    pub limit: i64,
    /// Calls left.
    pub remaining: i64,
    /// End of the window.
    pub reset_at: Time,
}

resource!(
    ExternalBackendProvider,
    ExternalBackendProviderSpec,
    ExternalBackendProviderStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Type, object.spec.provider_type.clone());
    }
);
