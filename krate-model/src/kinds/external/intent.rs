//! Wanted writes at a provider. Spec: resource-kinds.md section 4, external-sync.md.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::kinds::payload::Payload;
use crate::kinds::sets::{AuthMode, Interface, Operation};
use crate::kinds::shared::{Actor, ApprovalRule, ErrorInfo, NativeTarget, ObjectRef, Time, Version};
use crate::resource::{index_ended, resource};
use crate::store::{Index, sortable_time};

crate::closed_set! {
    /// Phase of an [`ExternalWriteIntent`] (external-sync.md section 8).
    #[derive(Default)]
    ExternalWriteIntentPhase {
        #[default]
        PendingApproval = "PendingApproval",
        ReadyToSend = "ReadyToSend",
        Sending = "Sending",
        AwaitingConfirmation = "AwaitingConfirmation",
        Succeeded = "Succeeded",
        Conflict = "Conflict",
        Retrying = "Retrying",
        Rejected = "Rejected",
        Failed = "Failed",
    }
}

crate::closed_set! {
    /// Who wants a write.
    IntentSourceKind {
        UserAction = "UserAction", AgentAction = "AgentAction", Reconcile = "Reconcile",
        ConflictResolution = "ConflictResolution",
    }
}

crate::closed_set! {
    /// What confirmed a write (S35).
    ConfirmedBy { Response = "response", Webhook = "webhook", Read = "read", Backfill = "backfill" }
}

crate::closed_set! {
    /// What a write loses.
    WarningCode { LossyWrite = "LossyWrite" }
}

/// Who wants a write, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntentSource {
    /// Kind.
    pub kind: IntentSourceKind,
    /// Who.
    pub actor: Actor,
    /// What made it want it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<ObjectRef>,
    /// Who else wished for what it writes: writes of theirs weren't sent, and it has taken their place (P30).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Actor>,
}

/// The identity that sends a write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntentCredential {
    /// Kind of credential.
    pub mode: AuthMode,
    /// Account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub account: Option<String>,
}

/// Whether a write waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntentApprovalPolicy {
    /// Whether it does.
    pub required: bool,
    /// Who may approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["class"]))]
    pub rules: Vec<ApprovalRule>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

/// A person's command to cancel (R37).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntentCancel {
    /// Id of the command.
    #[schemars(length(max = 253))]
    pub id: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

/// The approval that a write got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntentApproval {
    /// The approval.
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentApproval"))]
    pub approval_ref: String,
    /// The request digest that was approved (S32).
    pub digest: Digest,
    /// Who approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub by: Vec<Actor>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}

/// What the provider answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntentResponse {
    /// Id of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub native_id: Option<String>,
    /// Its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_number: Option<i64>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Digest of what the answer describes (S35).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The provider's request id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub request_id: Option<String>,
}

/// What confirmed a write (S35).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    /// What.
    pub by: ConfirmedBy,
    /// Digest of the observation.
    pub digest: Digest,
    /// When.
    pub at: Time,
}

/// What a write loses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntentWarning {
    /// Code.
    pub code: WarningCode,
    /// Field.
    #[schemars(length(max = 1024))]
    pub path: String,
    /// What is lost.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// One wanted write at the provider.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "ExternalWriteIntent",
    plural = "externalwriteintents",
    namespaced,
    status = "ExternalWriteIntentStatus",
    derive = "PartialEq",
    category = "krate",
    category = "krate-external",
    shortname = "ewi",
    printcolumn = r#"{"name":"Operation","type":"string","jsonPath":".spec.operation"}"#,
    printcolumn = r#"{"name":"Target","type":"string","jsonPath":".spec.target.name"}"#,
    printcolumn = r#"{"name":"Attempts","type":"integer","jsonPath":".status.attempts"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-krate-immutable" = "all"))]
pub struct ExternalWriteIntentSpec {
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
    /// Operation.
    pub operation: Operation,
    /// Who wants it.
    pub source: IntentSource,
    /// The local object.
    pub target: ObjectRef,
    /// Where the write goes.
    pub native_target: NativeTarget,
    /// What is written: one member, named after `operation` (R52).
    pub payload: Payload,
    /// The version that must still hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precondition: Option<Version>,
    /// Generation of the local object.
    pub desired_generation: i64,
    /// The identity that sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<IntentCredential>,
    /// Digest of the whole request.
    pub request_digest: Digest,
    /// Key of the request (S33).
    pub idempotency_key: Digest,
    /// Whether it waits for a person.
    pub approval_policy: IntentApprovalPolicy,
    /// Intents that must be done before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-krate-ref" = "ExternalWriteIntent", "x-kubernetes-list-type" = "atomic"))]
    pub depends_on: Vec<String>,
    /// The artifact that it writes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentArtifact"))]
    pub artifact_ref: Option<String>,
    /// A person's command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-command" = true))]
    pub cancel: Option<IntentCancel>,
}

/// Status of [`ExternalWriteIntent`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExternalWriteIntentStatus {
    /// Phase.
    #[serde(default)]
    pub phase: ExternalWriteIntentPhase,
    /// Attempts to send it.
    #[serde(default)]
    pub attempts: i64,
    /// When to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Whether the outcome of the last attempt is unknown (S34).
    #[serde(default)]
    pub verify_first: bool,
    /// The approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<IntentApproval>,
    /// When it was last sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Time>,
    /// What the provider answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<IntentResponse>,
    /// What confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Confirmation>,
    /// The conflict that it met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "ExternalSyncConflict"))]
    pub conflict_ref: Option<String>,
    /// What it loses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub warnings: Vec<IntentWarning>,
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
    ExternalWriteIntent,
    ExternalWriteIntentSpec,
    ExternalWriteIntentStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Provider, object.spec.provider_ref.clone());
        add(Index::Binding, object.spec.binding_ref.clone());
        add(Index::Local, format!("{}/{}", object.spec.target.kind, object.spec.target.name));
        add(Index::Digest, object.spec.idempotency_key.to_string());
        let status = object.status.as_ref();
        let cancelled = object.spec.cancel.is_some();
        let waits = status.and_then(|status| status.not_before);
        let due = match status.map_or(&ExternalWriteIntentPhase::PendingApproval, |status| &status.phase) {
            ExternalWriteIntentPhase::PendingApproval | ExternalWriteIntentPhase::ReadyToSend if cancelled => {
                Some(Time::UNIX_EPOCH)
            }
            // Until when the answer may come; then it is rejected.
            ExternalWriteIntentPhase::PendingApproval => waits,
            ExternalWriteIntentPhase::ReadyToSend
            | ExternalWriteIntentPhase::Sending
            | ExternalWriteIntentPhase::Retrying
            | ExternalWriteIntentPhase::AwaitingConfirmation => Some(waits.unwrap_or(Time::UNIX_EPOCH)),
            _ => None,
        };
        if let Some(at) = due {
            add(Index::Due, sortable_time(at));
        }
        let ended = status.filter(|status| {
            use ExternalWriteIntentPhase::{Failed, Rejected, Succeeded};
            matches!(status.phase, Failed | Rejected | Succeeded)
        });
        if let Some(status) = ended {
            let seen = status.confirmation.as_ref().map(|confirmation| confirmation.at);
            let failed = status.error.as_ref().map(|error| error.at);
            index_ended(&object.metadata, &status.conditions, [seen, failed, status.sent_at], add);
        }
    }
);
