//! Runner pools. Spec: resource-kinds.md section 4, R15.

use std::collections::{BTreeMap, BTreeSet};

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sets::TrustTier;
use super::shared::{Condition, ExternalEnvelope};
use crate::resource::{index_envelope, phases, resource};

crate::closed_set! {
    /// What runners share.
    CacheScope { Repository = "repository", Pool = "pool", None = "none" }
}

crate::closed_set! {
    /// What a pool grows by.
    ScalingMetric { QueueDepth = "queue-depth" }
}

fn untrusted() -> TrustTier {
    TrustTier::Untrusted
}

fn per_repository() -> CacheScope {
    CacheScope::Repository
}

fn queue_depth() -> ScalingMetric {
    ScalingMetric::QueueDepth
}

/// What a runner gets, in quantities of Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RunnerResources {
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub cpu: Option<String>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub memory: Option<String>,
}

/// A pool of the provider itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRunner {
    /// The provider.
    #[schemars(length(max = 253), extend("x-krate-ref" = "ExternalBackendProvider"))]
    pub provider_ref: String,
    /// Labels that its runners have.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub labels: BTreeSet<String>,
}

/// Runners: capacity, trust tier, repositories and cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "RunnerPool",
    plural = "runnerpools",
    shortname = "rpool",
    category = "krate",
    category = "krate-ci",
    namespaced,
    status = "RunnerPoolStatus",
    derive = "PartialEq",
    doc = "Runners: capacity, trust tier, repositories and cache."
)]
#[x_kube(validation = Rule::new("self.maxReplicas >= self.warmReplicas")
        .message("R15: spec.maxReplicas is at least spec.warmReplicas")
        .field_path(".maxReplicas")
        .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct RunnerPoolSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Runners that wait.
    #[schemars(range(min = 0))]
    pub warm_replicas: i64,
    /// Runners at most.
    #[schemars(range(min = 0, max = 10000))]
    pub max_replicas: i64,
    /// How far what runs in it is trusted (R15).
    #[serde(default = "untrusted")]
    pub trust_tier: TrustTier,
    /// Repositories that may use it; a trusted pool lists them (R15).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "Repository"))]
    pub allowed_repositories: BTreeSet<String>,
    /// The runners' image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub image: Option<String>,
    /// What a runner gets.
    #[serde(default)]
    pub resources: RunnerResources,
    /// Which nodes it runs on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), inner(length(max = 1024)))]
    pub node_selector: BTreeMap<String, String>,
    /// As whom it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentServiceAccount"))]
    pub service_account_ref: Option<String>,
    /// What its runners share.
    #[serde(default = "per_repository")]
    pub cache_scope: CacheScope,
    /// What it grows by.
    #[serde(default = "queue_depth")]
    pub scaling_metric: ScalingMetric,
    /// The provider's own runners, in their place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_runner: Option<ExternalRunner>,
}

phases! {
    /// Phases of [`RunnerPool`].
    RunnerPoolPhase { Pending = "Pending", Ready = "Ready", Degraded = "Degraded", Failed = "Failed" }
}

/// What is so with [`RunnerPool`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RunnerPoolStatus {
    /// Phase.
    pub phase: RunnerPoolPhase,
    /// Conditions: `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Runners that are ready.
    #[schemars(range(min = 0))]
    pub ready_replicas: i64,
    /// Jobs that wait.
    #[schemars(range(min = 0))]
    pub queue_depth: i64,
    /// The pool at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEnvelope>,
}

resource!(RunnerPool, RunnerPoolSpec, RunnerPoolStatus, |spec| Some(&spec.organization_ref), |object, add| {
    index_envelope(object.status.as_ref().and_then(|status| status.external.as_ref()), add);
});
