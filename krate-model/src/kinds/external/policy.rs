//! How bindings read, retry, write, and meet conflicts. Spec: resource-kinds.md section 4, external-sync.md.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::binding::default_true;
use crate::kinds::sets::{Mode, Operation, ResolutionStrategy, Strategy};
use crate::kinds::shared::{ApprovalRule, Dur};
use crate::resource::resource;

crate::closed_set! {
    /// Phase of an [`ExternalBackendSyncPolicy`].
    #[derive(Default)]
    ExternalBackendSyncPolicyPhase {
        #[default]
        Ready = "Ready",
        Invalid = "Invalid",
    }
}

crate::closed_set! {
    /// What to do about a write that can't carry a field (S6).
    #[derive(Default)]
    LossyWrites {
        #[default]
        Refuse = "refuse",
        Warn = "warn",
    }
}

crate::closed_set! {
    /// What is kept of a payload once it was processed.
    #[derive(Default)]
    RawPayload {
        None = "none",
        Digest = "digest",
        #[default]
        Redacted = "redacted",
    }
}

/// When and how lists are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.interval <= self.fullResyncInterval")
    .message("R49: interval is at most fullResyncInterval")
    .field_path(".fullResyncInterval")
    .reason(Reason::FieldValueInvalid))]
#[x_kube(validation = Rule::new("self.overlap < self.fullResyncInterval")
    .message("R49: overlap is less than fullResyncInterval")
    .field_path(".fullResyncInterval")
    .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct BackfillPolicy {
    /// Between incremental backfills.
    #[serde(default = "default_interval")]
    pub interval: Dur,
    /// Between complete backfills.
    #[serde(default = "default_full_resync")]
    pub full_resync_interval: Dur,
    /// How far an incremental backfill starts before its watermark (S22).
    #[serde(default = "default_overlap")]
    pub overlap: Dur,
    /// Objects a page, cut to the manifest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub page_size: Option<i64>,
    /// Objects a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_objects_per_run: Option<i64>,
}

/// How often and when a failed call is tried again (S45).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.baseDelay <= self.maxDelay")
    .message("R49: baseDelay is at most maxDelay")
    .field_path(".maxDelay")
    .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Attempts in all, 1 to 50.
    #[serde(default = "default_max_attempts")]
    #[schemars(range(min = 1, max = 50))]
    pub max_attempts: i64,
    /// Bound of the first delay.
    #[serde(default = "default_base_delay")]
    pub base_delay: Dur,
    /// Bound of every delay.
    #[serde(default = "default_max_delay")]
    pub max_delay: Dur,
}

/// Operations for which an agent needs no approval (S39).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustedAgent {
    /// The stack.
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentStack"))]
    pub agent: String,
    /// Write operations.
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "set"))]
    pub operations: Vec<Operation>,
}

/// Verdicts that an agent may give in a review (A64).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentVerdicts {
    /// The stack.
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentStack"))]
    pub agent: String,
    /// Verdicts.
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub verdicts: Vec<String>,
}

/// Which writes need what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WritePolicy {
    /// What is proposed for a new binding (R45).
    #[serde(default = "default_write_mode")]
    pub default_mode: Mode,
    /// Whether an agent's write waits for a person.
    #[serde(default = "default_true")]
    pub agent_write_requires_approval: bool,
    /// Exceptions by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["agent"]))]
    pub trusted_agents: Vec<TrustedAgent>,
    /// If any: only these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_operations: Vec<Operation>,
    /// Never these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "set"))]
    pub denied_operations: Vec<Operation>,
    /// Verdicts of agents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["agent"]))]
    pub agent_verdicts: Vec<AgentVerdicts>,
    /// Approvals by class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["class"]))]
    pub approvals: Vec<ApprovalRule>,
}

/// What to do about conflicts of one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldConflictPolicy {
    /// Mergeable field.
    #[schemars(length(max = 253))]
    pub path: String,
    /// Resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<ResolutionStrategy>,
    /// Strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
}

/// What to do about conflicts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConflictPolicy {
    /// Resolution of fields without a rule; `manual` waits for a person.
    #[serde(default = "default_resolution")]
    pub default_resolution: ResolutionStrategy,
    /// Rules by field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["path"]))]
    pub per_field: Vec<FieldConflictPolicy>,
    /// Whether bodies are merged by lines.
    #[serde(default)]
    pub text_merge: bool,
    /// What to do about a write that can't carry a field.
    #[serde(default)]
    pub lossy_writes: LossyWrites,
}

/// What is kept, and how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoragePolicy {
    /// What is kept of a payload.
    #[serde(default)]
    pub raw_payload: RawPayload,
    /// How long deliveries and events are kept.
    #[serde(default = "default_retention")]
    pub retention: Dur,
    /// How long tombstones are kept.
    #[serde(default = "default_tombstone_retention")]
    pub tombstone_retention: Dur,
}

fn default_interval() -> Dur {
    Dur::literal("15m")
}

fn default_full_resync() -> Dur {
    Dur::literal("24h")
}

fn default_overlap() -> Dur {
    Dur::literal("5m")
}

fn default_base_delay() -> Dur {
    Dur::literal("1s")
}

fn default_max_delay() -> Dur {
    Dur::literal("15m")
}

fn default_retention() -> Dur {
    Dur::literal("720h")
}

fn default_tombstone_retention() -> Dur {
    Dur::literal("8760h")
}

fn default_stale_after() -> Dur {
    Dur::literal("6h")
}

fn default_confirmation_timeout() -> Dur {
    Dur::literal("10m")
}

fn default_max_attempts() -> i64 {
    8
}

fn default_write_mode() -> Mode {
    Mode::ReviewedWrite
}

fn default_resolution() -> ResolutionStrategy {
    ResolutionStrategy::Manual
}

impl Default for BackfillPolicy {
    fn default() -> Self {
        Self {
            interval: default_interval(),
            full_resync_interval: default_full_resync(),
            overlap: default_overlap(),
            page_size: None,
            max_objects_per_run: None,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: default_max_attempts(), base_delay: default_base_delay(), max_delay: default_max_delay() }
    }
}

impl Default for WritePolicy {
    fn default() -> Self {
        Self {
            default_mode: default_write_mode(),
            agent_write_requires_approval: true,
            trusted_agents: Vec::new(),
            allowed_operations: Vec::new(),
            denied_operations: Vec::new(),
            agent_verdicts: Vec::new(),
            approvals: Vec::new(),
        }
    }
}

impl Default for ConflictPolicy {
    fn default() -> Self {
        Self {
            default_resolution: default_resolution(),
            per_field: Vec::new(),
            text_merge: false,
            lossy_writes: LossyWrites::default(),
        }
    }
}

impl Default for StoragePolicy {
    fn default() -> Self {
        Self {
            raw_payload: RawPayload::default(),
            retention: default_retention(),
            tombstone_retention: default_tombstone_retention(),
        }
    }
}

/// How bindings read, retry, write, and meet conflicts.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "ExternalBackendSyncPolicy",
    plural = "externalbackendsyncpolicies",
    namespaced,
    status = "ExternalBackendSyncPolicyStatus",
    derive = "PartialEq",
    category = "krate",
    category = "krate-external",
    shortname = "ebsp",
    printcolumn = r#"{"name":"Provider","type":"string","jsonPath":".spec.providerRef"}"#,
    printcolumn = r#"{"name":"Interval","type":"string","jsonPath":".spec.backfill.interval"}"#,
    printcolumn = r#"{"name":"Default mode","type":"string","jsonPath":".spec.writePolicy.defaultMode"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ExternalBackendSyncPolicySpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The provider that it is for; absent: whoever names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "ExternalBackendProvider"))]
    pub provider_ref: Option<String>,
    /// Whether webhooks are relied on between backfills.
    #[serde(default = "default_true")]
    pub webhook_first: bool,
    /// Backfill.
    #[serde(default)]
    pub backfill: BackfillPolicy,
    /// Age from which an object counts as stale (S26).
    #[serde(default = "default_stale_after")]
    pub stale_after: Dur,
    /// Retries.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// How long a write may wait for its confirmation.
    #[serde(default = "default_confirmation_timeout")]
    pub confirmation_timeout: Dur,
    /// Writes.
    #[serde(default)]
    pub write_policy: WritePolicy,
    /// Conflicts.
    #[serde(default)]
    pub conflict_policy: ConflictPolicy,
    /// Storage.
    #[serde(default)]
    pub storage: StoragePolicy,
}

impl ExternalBackendSyncPolicySpec {
    /// The defaults: what holds for a binding that names no policy (R70).
    pub fn new(organization: impl Into<String>) -> Self {
        Self {
            organization_ref: organization.into(),
            provider_ref: None,
            webhook_first: true,
            backfill: BackfillPolicy::default(),
            stale_after: default_stale_after(),
            retry: RetryPolicy::default(),
            confirmation_timeout: default_confirmation_timeout(),
            write_policy: WritePolicy::default(),
            conflict_policy: ConflictPolicy::default(),
            storage: StoragePolicy::default(),
        }
    }
}

/// Status of [`ExternalBackendSyncPolicy`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExternalBackendSyncPolicyStatus {
    /// Phase.
    #[serde(default)]
    pub phase: ExternalBackendSyncPolicyPhase,
    /// Bindings and providers that name it.
    #[serde(default)]
    pub used_by: i64,
    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::kinds::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

resource!(ExternalBackendSyncPolicy, ExternalBackendSyncPolicySpec, ExternalBackendSyncPolicyStatus, |spec| Some(
    &spec.organization_ref
));
