//! Inbound webhook deliveries. Spec: resource-kinds.md section 4, external-sync.md.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kinds::sets::{Interface, WebhookSignature};
use crate::kinds::shared::{BlobRef, ErrorInfo, Time};
use crate::resource::{index_ended, resource};
use crate::store::{Index, sortable_time};

crate::closed_set! {
    /// Phase of an [`ExternalWebhookDelivery`] (external-sync.md section 9).
    #[derive(Default)]
    ExternalWebhookDeliveryPhase {
        #[default]
        Received = "Received",
        SignatureRejected = "SignatureRejected",
        Queued = "Queued",
        Normalizing = "Normalizing",
        Processing = "Processing",
        Succeeded = "Succeeded",
        Retrying = "Retrying",
        DeadLettered = "DeadLettered",
    }
}

crate::closed_set! {
    /// What a processed delivery came to.
    DeliveryOutcome {
        Applied = "Applied", NoChange = "NoChange", Ignored = "Ignored", Duplicate = "Duplicate", Skipped = "Skipped",
    }
}

crate::closed_set! {
    /// What a person asks to do with a dead-lettered delivery.
    DispositionAct { Replay = "replay", Skip = "skip" }
}

/// How a delivery was proved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignatureRecord {
    /// Algorithm.
    pub algorithm: WebhookSignature,
    /// Whether it was.
    pub verified: bool,
    /// Name of the secret that did (S14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_name: Option<String>,
}

/// A person's command on a dead-lettered delivery (R37).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disposition {
    /// Id of the command.
    #[schemars(length(max = 253))]
    pub id: String,
    /// What to do.
    pub act: DispositionAct,
    /// Why.
    #[schemars(length(max = 1024))]
    pub reason: String,
}

/// One inbound delivery and its processing.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "ExternalWebhookDelivery",
    plural = "externalwebhookdeliveries",
    namespaced,
    status = "ExternalWebhookDeliveryStatus",
    derive = "PartialEq",
    category = "krate",
    category = "krate-external",
    shortname = "ewd",
    printcolumn = r#"{"name":"Provider","type":"string","jsonPath":".spec.providerRef"}"#,
    printcolumn = r#"{"name":"Event","type":"string","jsonPath":".spec.eventType"}"#,
    printcolumn = r#"{"name":"Outcome","type":"string","jsonPath":".status.outcome"}"#,
    printcolumn = r#"{"name":"Attempts","type":"integer","jsonPath":".status.attempts"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-krate-immutable" = "all"))]
pub struct ExternalWebhookDeliverySpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The provider.
    #[schemars(length(max = 253))]
    pub provider_ref: String,
    /// The binding, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub binding_ref: Option<String>,
    /// Interfaces that it may be about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "set"))]
    pub interface_hints: Vec<Interface>,
    /// Id of the delivery.
    #[schemars(length(max = 255))]
    pub delivery_id: String,
    /// Whether the id was derived (S11).
    #[serde(default)]
    pub derived_id: bool,
    /// The provider's event type.
    #[schemars(length(max = 128))]
    pub event_type: String,
    /// The provider's action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub action: Option<String>,
    /// When it came.
    pub received_at: Time,
    /// How it was proved.
    pub signature: SignatureRecord,
    /// Owner, repository, project.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), inner(length(max = 1024)))]
    pub source: BTreeMap<String, String>,
    /// Headers from an allow-list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), inner(length(max = 1024)))]
    pub headers: BTreeMap<String, String>,
    /// The payload.
    pub payload: BlobRef,
    /// A person's command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-command" = true))]
    pub disposition: Option<Disposition>,
}

/// Status of [`ExternalWebhookDelivery`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExternalWebhookDeliveryStatus {
    /// Phase.
    #[serde(default)]
    pub phase: ExternalWebhookDeliveryPhase,
    /// Attempts to process it.
    #[serde(default)]
    pub attempts: i64,
    /// When to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// What it came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<DeliveryOutcome>,
    /// Names of its events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-krate-ref" = "ExternalSyncEvent", "x-kubernetes-list-type" = "atomic"))]
    pub events: Vec<String>,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processed_at: Option<Time>,
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
    ExternalWebhookDelivery,
    ExternalWebhookDeliverySpec,
    ExternalWebhookDeliveryStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Provider, object.spec.provider_ref.clone());
        if let Some(binding) = &object.spec.binding_ref {
            add(Index::Binding, binding.clone());
        }
        add(Index::Type, object.spec.event_type.clone());
        let status = object.status.as_ref();
        let due = match status.map_or(&ExternalWebhookDeliveryPhase::Received, |status| &status.phase) {
            ExternalWebhookDeliveryPhase::DeadLettered => object.spec.disposition.is_some(),
            ExternalWebhookDeliveryPhase::SignatureRejected | ExternalWebhookDeliveryPhase::Succeeded => false,
            _ => true,
        };
        let ended = status.filter(|status| {
            use ExternalWebhookDeliveryPhase::{SignatureRejected, Succeeded};
            matches!(status.phase, SignatureRejected | Succeeded)
        });
        if let Some(status) = ended {
            let times = [status.processed_at, Some(object.spec.received_at)];
            index_ended(&object.metadata, &status.conditions, times, add);
        }
        if due {
            let at = status.and_then(|status| status.not_before).unwrap_or(Time::UNIX_EPOCH);
            add(Index::Due, sortable_time(at));
        }
    }
);
