//! Diverged fields and their resolution. Spec: resource-kinds.md section 4, external-sync.md.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kinds::sets::{ConflictReason, Interface, ResolutionStrategy, Strategy};
use crate::kinds::shared::{Actor, ErrorInfo, ObjectRef, Time, Value, Version};
use crate::resource::{index_ended, resource};
use crate::store::{Index, sortable_time};

crate::closed_set! {
    /// Phase of an [`ExternalSyncConflict`] (external-sync.md section 9).
    #[derive(Default)]
    ExternalSyncConflictPhase {
        #[default]
        Open = "Open",
        Resolving = "Resolving",
        Resolved = "Resolved",
        Ignored = "Ignored",
        Superseded = "Superseded",
    }
}

crate::closed_set! {
    /// Why a conflict no longer counts.
    SupersededReason { Newer = "Newer", Converged = "Converged" }
}

/// The versions of both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeenVersions {
    /// Generation of the local object.
    pub desired_generation: i64,
    /// Version of the native object.
    pub observed: Version,
}

/// A person's decision (R37, S29).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// What to do.
    pub strategy: ResolutionStrategy,
    /// The value, exactly with `manual`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The versions that the person saw.
    pub seen_versions: SeenVersions,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub comment: Option<String>,
}

/// One diverged field and its resolution.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "ExternalSyncConflict",
    plural = "externalsyncconflicts",
    namespaced,
    status = "ExternalSyncConflictStatus",
    derive = "PartialEq",
    category = "krate",
    category = "krate-external",
    shortname = "esc",
    printcolumn = r#"{"name":"Resource","type":"string","jsonPath":".spec.resource.name"}"#,
    printcolumn = r#"{"name":"Field","type":"string","jsonPath":".spec.fieldPath"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".spec.reason"}"#
)]
#[x_kube(validation = Rule::new("!has(self.resolution) || has(self.resolution.value) == (self.resolution.strategy == 'manual')")
    .message("R53: spec.resolution.value is set exactly when spec.resolution.strategy is manual")
    .field_path(".resolution.value")
    .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-krate-immutable" = "all"))]
pub struct ExternalSyncConflictSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The provider.
    #[schemars(length(max = 253))]
    pub provider_ref: String,
    /// The binding.
    #[schemars(length(max = 253))]
    pub binding_ref: String,
    /// Interface.
    pub interface: Interface,
    /// The local object.
    pub resource: ObjectRef,
    /// Its link.
    #[schemars(length(max = 253))]
    pub link_ref: String,
    /// The field.
    #[schemars(length(max = 253))]
    pub field_path: String,
    /// Why.
    pub reason: ConflictReason,
    /// How the field merges.
    pub strategy: Strategy,
    /// The value on which both agreed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Value>,
    /// The local value.
    pub desired: Value,
    /// The provider's value.
    pub observed: Value,
    /// Who set the local value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_by: Option<Actor>,
    /// Who set the provider's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_by: Option<Actor>,
    /// The versions of both sides.
    pub versions: SeenVersions,
    /// The intent that met it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub intent_ref: Option<String>,
    /// A person's decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-command" = true))]
    pub resolution: Option<Resolution>,
}

impl ExternalSyncConflictSpec {
    /// The values that are too long for the record, and stand beside it under their digests.
    pub fn values_beside(&self) -> impl Iterator<Item = &Value> {
        [&self.desired, &self.observed].into_iter().filter(|value| value.json.is_none() && !value.absent)
    }
}

/// Status of [`ExternalSyncConflict`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSyncConflictStatus {
    /// Phase.
    #[serde(default)]
    pub phase: ExternalSyncConflictPhase,
    /// Who resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<Actor>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Time>,
    /// The intent that carries the resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "ExternalWriteIntent"))]
    pub resolution_intent: Option<String>,
    /// The conflict that this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub supersedes: Option<String>,
    /// The conflict that replaces this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub superseded_by: Option<String>,
    /// Why it no longer counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_reason: Option<SupersededReason>,
    /// Newest error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::kinds::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

resource!(
    ExternalSyncConflict,
    ExternalSyncConflictSpec,
    ExternalSyncConflictStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Provider, object.spec.provider_ref.clone());
        add(Index::Binding, object.spec.binding_ref.clone());
        add(Index::Local, format!("{}/{}", object.spec.resource.kind, object.spec.resource.name));
        object.spec.values_beside().for_each(|value| add(Index::Digest, value.digest.to_string()));
        let due = match object.status.as_ref().map_or(&ExternalSyncConflictPhase::Open, |status| &status.phase) {
            ExternalSyncConflictPhase::Open => object.spec.resolution.is_some(),
            ExternalSyncConflictPhase::Resolving => true,
            _ => false,
        };
        if due {
            add(Index::Due, sortable_time(Time::UNIX_EPOCH));
        }
        let ended = object.status.as_ref().filter(|status| {
            use ExternalSyncConflictPhase::{Ignored, Resolved, Superseded};
            matches!(status.phase, Ignored | Resolved | Superseded)
        });
        if let Some(status) = ended {
            index_ended(&object.metadata, &status.conditions, [status.resolved_at], add);
        }
    }
);
