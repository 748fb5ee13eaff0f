//! Native identity and local object, with the merge base and the tombstone. Spec: resource-kinds.md section 4, external-sync.md.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kinds::sets::Interface;
use crate::kinds::shared::{ExternalEnvelope, ObjectRef, Time, Value, Version};
use crate::resource::resource;

crate::closed_set! {
    /// Phase of an [`ExternalObjectLink`].
    ExternalObjectLinkPhase { Linked = "Linked", Tombstoned = "Tombstoned", Orphaned = "Orphaned" }
}

impl Default for ExternalObjectLinkPhase {
    fn default() -> Self {
        Self::Linked
    }
}

crate::closed_set! {
    /// Why a native object is gone.
    TombstoneReason { Deleted = "Deleted", Missing = "Missing", Transferred = "Transferred" }
}

/// Identity of a native object within its provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NativeIdentity {
    /// Interface.
    pub interface: Interface,
    /// The provider's own kind.
    #[schemars(length(max = 253))]
    pub native_kind: String,
    /// The provider's id.
    #[schemars(length(max = 253))]
    pub native_id: String,
}

/// The last value on which both sides agreed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BaseField {
    /// Mergeable field.
    #[schemars(length(max = 253))]
    pub path: String,
    /// The value; its text only where a merge needs it.
    pub value: Value,
}

/// Record of a deletion (S18).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tombstone {
    /// Version of the deletion.
    pub version: Version,
    /// Why.
    pub reason: TombstoneReason,
    /// When.
    pub at: Time,
}

/// Native identity and local object, with the merge base and the tombstone.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "ExternalObjectLink",
    plural = "externalobjectlinks",
    namespaced,
    status = "ExternalObjectLinkStatus",
    derive = "PartialEq",
    category = "krate",
    category = "krate-external",
    shortname = "eol",
    printcolumn = r#"{"name":"Provider","type":"string","jsonPath":".spec.providerRef"}"#,
    printcolumn = r#"{"name":"Native","type":"string","jsonPath":".spec.external.nativeId"}"#,
    printcolumn = r#"{"name":"Local","type":"string","jsonPath":".spec.localRef.name"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ExternalObjectLinkSpec {
    /// The organization.
    #[schemars(length(max = 253))]
    pub organization_ref: String,
    /// The provider.
    #[schemars(length(max = 253))]
    pub provider_ref: String,
    /// The binding.
    #[schemars(length(max = 253))]
    pub binding_ref: String,
    /// The local object.
    pub local_ref: ObjectRef,
    /// The native object.
    pub external: NativeIdentity,
}

/// Status of [`ExternalObjectLink`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExternalObjectLinkStatus {
    /// Phase.
    #[serde(default)]
    pub phase: ExternalObjectLinkPhase,
    /// The envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEnvelope>,
    /// The merge base.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["path"]))]
    pub base: Vec<BaseField>,
    /// Generation on which both agreed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_agreed_generation: Option<i64>,
    /// The deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tombstone: Option<Tombstone>,
    /// Whether the object must be read again (S16).
    #[serde(default)]
    pub needs_hydration: bool,
    /// Since when it is stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<Time>,
    /// Intents that aren't final, in the order of admission (S36).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub pending_intents: Vec<String>,
    /// Open conflicts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub open_conflicts: Vec<String>,
    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

resource!(ExternalObjectLink, ExternalObjectLinkSpec, ExternalObjectLinkStatus, |spec| Some(&spec.organization_ref));
