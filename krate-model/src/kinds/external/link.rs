//! Native identity and local object, with the merge base and the tombstone. Spec: resource-kinds.md section 4, external-sync.md.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::kinds::sets::Interface;
use crate::kinds::shared::{ExternalEnvelope, ObjectRef, Time, Value, Version};
use crate::resource::{native_index, resource};
use crate::store::{Index, sortable_time};

crate::closed_set! {
    /// Phase of an [`ExternalObjectLink`].
    #[derive(Default)]
    ExternalObjectLinkPhase {
        #[default]
        Linked = "Linked",
        Tombstoned = "Tombstoned",
        Orphaned = "Orphaned",
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

/// A write of krate's own, and what it wrote over as far as krate could see: what comes to light later and is neither was lost under it (S27).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnWrite {
    /// The newest version that was known before it.
    pub looked: Version,
    /// The version that showed it.
    pub shown: Version,
    /// The fields that it wrote.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub fields: Vec<OwnWriteField>,
}

/// One field of an [`OwnWrite`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnWriteField {
    /// The field.
    #[schemars(length(max = 253))]
    pub path: String,
    /// Digest of the value before.
    pub before: Digest,
    /// Digest of the value that was written.
    pub wrote: Digest,
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
    printcolumn = r#"{"name":"Local","type":"string","jsonPath":".spec.localRef.name"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ExternalObjectLinkSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The provider.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub provider_ref: String,
    /// The binding.
    #[schemars(length(max = 253))]
    pub binding_ref: String,
    /// The local object.
    #[schemars(extend("x-krate-immutable" = true))]
    pub local_ref: ObjectRef,
    /// The native object.
    #[schemars(extend("x-krate-immutable" = true))]
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
    /// The last writes of krate's own, the newest last (S27).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub own_writes: Vec<OwnWrite>,
    /// Generation on which both agreed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_agreed_generation: Option<i64>,
    /// The deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tombstone: Option<Tombstone>,
    /// Whether the object must be read again (S16).
    #[serde(default)]
    pub needs_hydration: bool,
    /// When to read again, where an attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Attempts to read it again that failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub hydration_attempts: i64,
    /// Digest of the mergeable fields in the newest observation: tells two contents of one version apart (S16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_digest: Option<Digest>,
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
    /// Conflicts that somebody chose to ignore: what they are about is written by nobody until a side moves again (S27).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub ignored_conflicts: Vec<String>,
    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::kinds::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference.
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The value of the index `subject` of a link: issues and pull requests share their numbers (S8).
pub fn numbered_index(binding: &str, number: i64) -> String {
    format!("{binding}#{number}")
}

resource!(
    ExternalObjectLink,
    ExternalObjectLinkSpec,
    ExternalObjectLinkStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Provider, object.spec.provider_ref.clone());
        add(Index::Binding, object.spec.binding_ref.clone());
        let native = &object.spec.external;
        add(Index::Native, native_index(&object.spec.provider_ref, &native.native_kind, &native.native_id));
        add(Index::Local, format!("{}/{}", object.spec.local_ref.kind, object.spec.local_ref.name));
        let Some(status) = &object.status else { return };
        if let Some(number) = status.external.as_ref().and_then(|external| external.native_number) {
            add(Index::Subject, numbered_index(&object.spec.binding_ref, number));
        }
        if let Some(tombstone) = &status.tombstone {
            add(Index::Ended, sortable_time(tombstone.at));
        }
        if status.needs_hydration {
            add(Index::Due, sortable_time(status.not_before.unwrap_or(Time::UNIX_EPOCH)));
        }
    }
);
