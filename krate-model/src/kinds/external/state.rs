//! Cursor, watermark and backfill of one scope. Spec: resource-kinds.md section 4, external-sync.md.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kinds::sets::Interface;
use crate::kinds::shared::{ErrorInfo, Time};
use crate::observation::ResourceKind;
use crate::resource::resource;
use crate::store::{Index, sortable_time};

crate::closed_set! {
    /// Phase of an [`ExternalSyncState`] (external-sync.md section 6).
    #[derive(Default)]
    ExternalSyncStatePhase {
        #[default]
        Scheduled = "Scheduled",
        Listing = "Listing",
        Hydrating = "Hydrating",
        Applying = "Applying",
        Checkpointing = "Checkpointing",
        RateLimited = "RateLimited",
        Succeeded = "Succeeded",
        Failed = "Failed",
    }
}

crate::closed_set! {
    /// How much a backfill reads.
    BackfillMode { Incremental = "incremental", Complete = "complete" }
}

/// Cursor, watermark and backfill of one scope.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "ExternalSyncState",
    plural = "externalsyncstates",
    namespaced,
    status = "ExternalSyncStateStatus",
    derive = "PartialEq",
    category = "krate",
    category = "krate-external",
    shortname = "ess",
    printcolumn = r#"{"name":"Binding","type":"string","jsonPath":".spec.bindingRef"}"#,
    printcolumn = r#"{"name":"Kind","type":"string","jsonPath":".spec.resourceKind"}"#,
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".status.mode"}"#,
    printcolumn = r#"{"name":"Watermark","type":"date","jsonPath":".status.watermark"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-krate-immutable" = "all"))]
pub struct ExternalSyncStateSpec {
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
    /// Kind that is listed.
    pub resource_kind: ResourceKind,
    /// Narrower scope.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), inner(length(max = 1024)))]
    pub scope: BTreeMap<String, String>,
}

/// Status of [`ExternalSyncState`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSyncStateStatus {
    /// Phase.
    #[serde(default)]
    pub phase: ExternalSyncStatePhase,
    /// How much this run reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<BackfillMode>,
    /// Id of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub run_id: Option<String>,
    /// Phase to return to after a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_phase: Option<ExternalSyncStatePhase>,
    /// When to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Where the list goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub cursor: Option<String>,
    /// Up to when everything was applied (S22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Time>,
    /// Start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// End of the newest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// End of the newest complete run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_complete_at: Option<Time>,
    /// Pages of the run.
    #[serde(default)]
    pub pages_read: i64,
    /// Objects of the run.
    #[serde(default)]
    pub objects_seen: i64,
    /// Objects that changed something.
    #[serde(default)]
    pub objects_applied: i64,
    /// Projections that were not met.
    #[serde(default)]
    pub tombstones_made: i64,
    /// Calls of the run.
    #[serde(default)]
    pub calls_spent: i64,
    /// Newest delivery in the provider's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub last_delivery_id: Option<String>,
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
    ExternalSyncState,
    ExternalSyncStateSpec,
    ExternalSyncStateStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Provider, object.spec.provider_ref.clone());
        add(Index::Binding, object.spec.binding_ref.clone());
        let status = object.status.as_ref();
        let not_before = status.and_then(|status| status.not_before);
        let ended = status.is_some_and(|status| {
            matches!(status.phase, ExternalSyncStatePhase::Succeeded | ExternalSyncStatePhase::Failed)
        });
        // An ended run is due again only when the next one has a time.
        if let Some(at) = not_before.or((!ended).then_some(Time::UNIX_EPOCH)) {
            add(Index::Due, sortable_time(at));
        }
    }
);
