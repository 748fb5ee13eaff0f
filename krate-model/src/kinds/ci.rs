//! CI runs and their jobs. Spec: resource-kinds.md section 4, R19, R37, R46.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sets::TrustTier;
use super::shared::{Actor, BlobRef, Condition, ExternalEnvelope, SyncSummary, Time};
use crate::Digest;
use crate::resource::{index_envelope, phases, resource};
use crate::store::Index;

/// Asks for the end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelCommand {
    /// Each id is acted on once (R37).
    #[schemars(length(max = 253))]
    pub id: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

crate::closed_set! {
    /// Which jobs run again.
    RerunScope { All = "all", Failed = "failed" }
}

/// Asks for another attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RerunCommand {
    /// Each id is acted on once (R37).
    #[schemars(length(max = 253))]
    pub id: String,
    /// Which jobs run again.
    #[serde(default = "failed_only")]
    pub scope: RerunScope,
}

fn failed_only() -> RerunScope {
    RerunScope::Failed
}

fn untrusted() -> TrustTier {
    TrustTier::Untrusted
}

/// One CI run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "Pipeline",
    plural = "pipelines",
    shortname = "pl",
    category = "krate",
    category = "krate-ci",
    namespaced,
    status = "PipelineStatus",
    derive = "PartialEq",
    doc = "One CI run.",
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repository"),
    printcolumn(name = "Ref", type_ = "string", json_path = ".spec.ref"),
    printcolumn(name = "Conclusion", type_ = "string", json_path = ".status.conclusion")
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The repository.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Repository"))]
    pub repository: String,
    /// The full ref that it runs on.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub r#ref: String,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"), extend("x-krate-immutable" = true))]
    pub sha: Option<String>,
    /// The workflow, as the provider names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub workflow: Option<String>,
    /// What started it, as the provider names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub event: Option<String>,
    /// The pull request that it tests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "PullRequest"))]
    pub pull_request: Option<String>,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "RunnerPool"))]
    pub runner_pool: Option<String>,
    /// How far its cause is trusted (R46).
    #[serde(default = "untrusted")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub trust_tier: TrustTier,
    /// The steps to run; absent means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-krate-immutable" = true))]
    pub steps: Vec<String>,
    /// The step to go on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub resume_from: Option<String>,
    /// The run that it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Pipeline"))]
    pub rerun_of: Option<String>,
    /// Inputs; no secrets (R46).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub inputs: BTreeMap<String, String>,
    /// Command: end it (R37, verb `cancel`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-command" = true))]
    pub cancel: Option<CancelCommand>,
    /// Command: run it again (R37, verb `dispatch`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-command" = true))]
    pub rerun: Option<RerunCommand>,
}

impl PipelineSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(organization: impl Into<String>, repository: impl Into<String>, r#ref: impl Into<String>) -> Self {
        Self {
            organization_ref: organization.into(),
            repository: repository.into(),
            r#ref: r#ref.into(),
            sha: None,
            workflow: None,
            event: None,
            pull_request: None,
            runner_pool: None,
            trust_tier: untrusted(),
            steps: Vec::new(),
            resume_from: None,
            rerun_of: None,
            inputs: BTreeMap::new(),
            cancel: None,
            rerun: None,
        }
    }
}

phases! {
    /// Phases of a [`Pipeline`] and of a [`Job`].
    RunPhase {
        Queued = "Queued", Waiting = "Waiting", Running = "Running", Succeeded = "Succeeded", Failed = "Failed",
        Cancelled = "Cancelled", Skipped = "Skipped", Undetermined = "Unknown",
    }
}

crate::closed_set! {
    /// How a run ended.
    Conclusion {
        Success = "success", Failure = "failure", Cancelled = "cancelled", Skipped = "skipped", Neutral = "neutral",
        TimedOut = "timed-out", ActionRequired = "action-required", Stale = "stale", StartupFailure = "startup-failure",
    }
}

/// What is so with a [`Pipeline`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PipelineStatus {
    /// Phase.
    pub phase: RunPhase,
    /// Conditions: `Synced`, `Conflicted`, `WritePending`, `NeedsHydration`, `Orphaned`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<Conclusion>,
    /// The number that people use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub number: Option<i64>,
    /// Which attempt this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub attempt: Option<i64>,
    /// When it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// Who or what started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Actor>,
    /// Where the object stands at its provider (S5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEnvelope>,
    /// How the two sides stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncSummary>,
}

resource!(Pipeline, PipelineSpec, PipelineStatus, |spec| Some(&spec.organization_ref), |object, add| {
    add(Index::Repository, object.spec.repository.clone());
    index_envelope(object.status.as_ref().and_then(|status| status.external.as_ref()), add);
});

/// One job of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "Job",
    plural = "jobs",
    category = "krate",
    category = "krate-ci",
    namespaced,
    status = "JobStatus",
    derive = "PartialEq",
    doc = "One job of a run.",
    printcolumn(name = "Pipeline", type_ = "string", json_path = ".spec.pipeline"),
    printcolumn(name = "Step", type_ = "string", json_path = ".spec.step"),
    printcolumn(name = "Conclusion", type_ = "string", json_path = ".status.conclusion")
)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The run.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Pipeline"))]
    pub pipeline: String,
    /// The step of the run.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub step: String,
    /// Steps that must have ended before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-krate-immutable" = true))]
    pub needs: Vec<String>,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "RunnerPool"))]
    pub runner_pool: Option<String>,
    /// As whom it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "AgentServiceAccount"))]
    pub service_account_ref: Option<String>,
}

impl JobSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(organization: impl Into<String>, pipeline: impl Into<String>, step: impl Into<String>) -> Self {
        Self {
            organization_ref: organization.into(),
            pipeline: pipeline.into(),
            step: step.into(),
            needs: Vec::new(),
            runner_pool: None,
            service_account_ref: None,
        }
    }
}

/// One step inside a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobStep {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
    /// Phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<RunPhase>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<Conclusion>,
    /// When it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
}

/// Where the log is (S50).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobLog {
    /// At the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), extend("format" = "uri"))]
    pub url: Option<String>,
    /// Here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobRef>,
}

/// A file that a job left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobArtifact {
    /// Name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Size.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub bytes: Option<i64>,
    /// Digest of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), extend("format" = "uri"))]
    pub url: Option<String>,
    /// When the provider drops it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// What failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobFailure {
    /// The same for the same failure, whatever the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub signature: Option<String>,
    /// What was wrong, without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The step that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub step: Option<String>,
}

/// What is so with a [`Job`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JobStatus {
    /// Phase.
    pub phase: RunPhase,
    /// Conditions: `Synced`, `Conflicted`, `WritePending`, `NeedsHydration`, `Orphaned`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<Conclusion>,
    /// Which attempt of the run this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub attempt: Option<i64>,
    /// What it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub runner_name: Option<String>,
    /// The steps inside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<JobStep>,
    /// Where the log is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<JobLog>,
    /// What it left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub artifacts: Vec<JobArtifact>,
    /// What failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<JobFailure>,
    /// When it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// Where the object stands at its provider (S5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEnvelope>,
    /// How the two sides stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncSummary>,
}

resource!(Job, JobSpec, JobStatus, |spec| Some(&spec.organization_ref), |object, add| {
    add(Index::Parent, format!("Pipeline/{}", object.spec.pipeline));
    index_envelope(object.status.as_ref().and_then(|status| status.external.as_ref()), add);
});
