//! Normalized provider events. Spec: resource-kinds.md section 4, external-sync.md.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kinds::sets::{EventAction, Interface};
use crate::kinds::shared::{Actor, ErrorInfo, Time, Version};
use crate::observation::{Normalized, ResourceKind};
use crate::resource::{index_ended, native_index, resource};
use crate::store::Index;

crate::closed_set! {
    /// Phase of an [`ExternalSyncEvent`].
    #[derive(Default)]
    ExternalSyncEventPhase {
        #[default]
        Pending = "Pending",
        Applied = "Applied",
        Stale = "Stale",
        Ignored = "Ignored",
        Failed = "Failed",
    }
}

/// One normalized provider event.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "ExternalSyncEvent",
    plural = "externalsyncevents",
    namespaced,
    status = "ExternalSyncEventStatus",
    derive = "PartialEq",
    category = "krate",
    category = "krate-external",
    shortname = "ese",
    printcolumn = r#"{"name":"Provider","type":"string","jsonPath":".spec.providerRef"}"#,
    printcolumn = r#"{"name":"Kind","type":"string","jsonPath":".spec.resourceKind"}"#,
    printcolumn = r#"{"name":"Native","type":"string","jsonPath":".spec.nativeId"}"#,
    printcolumn = r#"{"name":"Action","type":"string","jsonPath":".spec.action"}"#
)]
#[x_kube(validation = Rule::new("has(self.sourceDelivery) || has(self.sourceBackfill) || has(self.sourceIntent)")
    .message("R53: one of spec.sourceDelivery, spec.sourceBackfill and spec.sourceIntent is set")
    .field_path(".sourceDelivery")
    .reason(Reason::FieldValueRequired))]
#[x_kube(validation = Rule::new("!has(self.sourceBackfill) || !has(self.sourceDelivery)")
    .message("R53: spec.sourceBackfill is not set beside spec.sourceDelivery")
    .field_path(".sourceBackfill")
    .reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("!has(self.sourceIntent) || !(has(self.sourceDelivery) || has(self.sourceBackfill))")
    .message("R53: spec.sourceIntent is not set beside another source")
    .field_path(".sourceIntent")
    .reason(Reason::FieldValueForbidden))]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-krate-immutable" = "all"))]
pub struct ExternalSyncEventSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The provider.
    #[schemars(length(max = 253))]
    pub provider_ref: String,
    /// The binding.
    #[schemars(length(max = 253))]
    pub binding_ref: String,
    /// The delivery that it came in; exactly one source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "ExternalWebhookDelivery"))]
    pub source_delivery: Option<String>,
    /// The list that it was read for: with a page of it, or alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "ExternalSyncState"))]
    pub source_backfill: Option<String>,
    /// The intent whose answer it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "ExternalWriteIntent"))]
    pub source_intent: Option<String>,
    /// Place among the events of its source.
    pub ordinal: i64,
    /// Interface.
    pub interface: Interface,
    /// What it is about.
    pub resource_kind: ResourceKind,
    /// The provider's own kind.
    #[schemars(length(max = 253))]
    pub native_kind: String,
    /// The provider's id.
    #[schemars(length(max = 253))]
    pub native_id: String,
    /// The provider's global id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node_id: Option<String>,
    /// What happened.
    pub action: EventAction,
    /// When, by the provider's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<Time>,
    /// Version of the object.
    pub observed_version: Version,
    /// Whether the object is described whole.
    #[serde(default)]
    pub complete: bool,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// The object: one member, named after `resourceKind` (R53).
    #[serde(deserialize_with = "crate::observation::deserialize_owned")]
    pub normalized: Normalized<'static>,
}

/// Status of [`ExternalSyncEvent`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSyncEventStatus {
    /// Phase.
    #[serde(default)]
    pub phase: ExternalSyncEventPhase,
    /// The link of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "ExternalObjectLink"))]
    pub link_ref: Option<String>,
    /// Fields that it changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub changed_fields: Vec<String>,
    /// When it was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Time>,
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
    ExternalSyncEvent,
    ExternalSyncEventSpec,
    ExternalSyncEventStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Provider, object.spec.provider_ref.clone());
        add(Index::Binding, object.spec.binding_ref.clone());
        add(Index::Native, native_index(&object.spec.provider_ref, &object.spec.native_kind, &object.spec.native_id));
        if let Some(delivery) = &object.spec.source_delivery {
            add(Index::Parent, format!("ExternalWebhookDelivery/{delivery}"));
        }
        if let Some(status) = object.status.as_ref().filter(|status| status.phase != ExternalSyncEventPhase::Pending) {
            index_ended(&object.metadata, &status.conditions, [status.applied_at], add);
        }
    }
);
