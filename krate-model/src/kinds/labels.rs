//! Context labels: prompt fragments that a second person has reviewed. Spec: resource-kinds.md section 4, R62; agents.md A27.

use std::collections::BTreeSet;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{Actor, Condition};
use crate::Digest;
use crate::resource::{phases, resource};

crate::closed_set! {
    /// Where a label may be put on what an agent is told: a trigger source (agents.md section 2), or a part of the context.
    LabelSource { Push = "push", Tag = "tag", PullRequest = "pull-request", Issue = "issue", Label = "label", IssueComment = "issue-comment", PullRequestComment = "pull-request-comment", Review = "review", Ci = "ci", Release = "release", Schedule = "schedule", Webhook = "webhook", ExternalSync = "external-sync", Memory = "memory", Manual = "manual", Agent = "agent", Pipeline = "pipeline", Job = "job", Comment = "comment", Artifact = "artifact" }
}

const fn yes() -> bool {
    true
}

/// A review of a label's fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelReview {
    /// Digest of the fragment that was looked at; the review is of no other one.
    pub digest: Digest,
}

/// A reviewed prompt fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentContextLabel",
    plural = "agentcontextlabels",
    shortname = "acl",
    category = "krate",
    category = "krate-agents",
    namespaced,
    status = "AgentContextLabelStatus",
    derive = "PartialEq",
    doc = "A reviewed prompt fragment."
)]
#[serde(rename_all = "camelCase")]
pub struct AgentContextLabelSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub display_name: Option<String>,
    /// What an agent is told; a change of it clears the review (R62).
    #[schemars(length(max = 16384))]
    pub prompt_fragment: String,
    /// Where it may be used.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_sources: BTreeSet<LabelSource>,
    /// Stacks that may use it; none: any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentStack"))]
    pub allowed_stacks: BTreeSet<String>,
    /// Repositories that it may be used in; none: any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "Repository"))]
    pub allowed_repositories: BTreeSet<String>,
    /// Whether it is used only once it was reviewed; one that isn't to be is used from trusted causes only (R62).
    #[serde(default = "yes")]
    pub requires_review: bool,
    /// Who wrote the fragment as it stands; stamped, so that whoever reviews it is somebody else (R62).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub editor: Option<Actor>,
    /// Command: stand by the fragment as it is (R37, R62, verb `decide`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-command" = true))]
    pub review: Option<LabelReview>,
}

impl AgentContextLabelSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(
        organization: impl Into<String>,
        prompt_fragment: impl Into<String>,
        allowed_sources: impl IntoIterator<Item = LabelSource>,
    ) -> Self {
        Self {
            organization_ref: organization.into(),
            display_name: None,
            prompt_fragment: prompt_fragment.into(),
            allowed_sources: allowed_sources.into_iter().collect(),
            allowed_stacks: BTreeSet::new(),
            allowed_repositories: BTreeSet::new(),
            requires_review: yes(),
            editor: None,
            review: None,
        }
    }

    /// Whether the fragment was reviewed as it stands here. Admission lets in no review but one of another person than the editor (R62).
    pub fn is_reviewed(&self) -> bool {
        self.review.as_ref().is_some_and(|review| review.digest == Digest::of(self.prompt_fragment.as_bytes()))
    }
}

phases! {
    /// Phases of [`AgentContextLabel`].
    AgentContextLabelPhase { PendingReview = "PendingReview", Reviewed = "Reviewed", Drifted = "Drifted" }
}

/// What is so with [`AgentContextLabel`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentContextLabelStatus {
    /// Phase.
    pub phase: AgentContextLabelPhase,
    /// Conditions: `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Who reviewed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reviewed_by: Option<Actor>,
    /// Digest of the fragment that was reviewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reviewed_digest: Option<Digest>,
    /// Digest of the fragment as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_digest: Option<Digest>,
}

resource!(AgentContextLabel, AgentContextLabelSpec, AgentContextLabelStatus, |spec| Some(&spec.organization_ref));
