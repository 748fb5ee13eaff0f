//! A person's gate for one digest. Spec: resource-kinds.md section 4, R37, R59; permission-review.md section 6.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{Actor, Approvers, Condition, ObjectRef, Time};
use crate::Digest;
use crate::resource::{index_ended, phases, resource};
use crate::store::{Index, sortable_time};

crate::closed_set! {
    /// What a person approves (permission-review.md section 6).
    ApprovalClass {
        RunStart = "run-start", ToolUse = "tool-use", Network = "network", SecretAccess = "secret-access",
        WriteBack = "write-back", BranchPush = "branch-push", Merge = "merge", Rerun = "rerun", Release = "release",
        Rebase = "rebase", MemoryUpdate = "memory-update", ConflictResolution = "conflict-resolution",
        Exception = "exception", Escalation = "escalation",
    }
}

crate::closed_set! {
    /// What an approval is for.
    ApprovalSubjectKind {
        DispatchRun = "dispatchRun", WriteIntent = "writeIntent", Exception = "exception", Conflict = "conflict",
        MemoryUpdate = "memoryUpdate",
    }
}

/// What waits for the approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalSubject {
    /// What it is.
    pub kind: ApprovalSubjectKind,
    /// Its name; a run-to-be is named before it exists.
    #[schemars(length(max = 253))]
    pub name: String,
}

/// What would be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalAction {
    /// For people, without secrets.
    #[schemars(length(max = 1024))]
    pub summary: String,
    /// To what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<ObjectRef>,
}

/// The terms of an approval, as the policy had them when it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalTerms {
    /// Who may approve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvers: Option<Approvers>,
    /// How many distinct persons.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10))]
    pub quorum: i64,
    /// How often it may be used.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub uses: i64,
    /// Whether who asked, caused or wrote it is no approver (P30).
    #[serde(default = "yes")]
    pub separation: bool,
}

fn one() -> i64 {
    1
}

fn yes() -> bool {
    true
}

crate::closed_set! {
    /// What an approver says.
    ApprovalVerdict { Approved = "approved", Denied = "denied" }
}

/// An approver's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecideCommand {
    /// Each id is acted on once (R37).
    #[schemars(length(max = 253))]
    pub id: String,
    /// The answer.
    pub verdict: ApprovalVerdict,
    /// The digest that was looked at; another one is refused (R59).
    pub digest: Digest,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Takes the request or the approval back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WithdrawCommand {
    /// Each id is acted on once (R37).
    #[schemars(length(max = 253))]
    pub id: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A person's gate for one digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentApproval",
    plural = "agentapprovals",
    shortname = "aapp",
    category = "krate",
    category = "krate-policy",
    namespaced,
    status = "AgentApprovalStatus",
    derive = "PartialEq",
    doc = "A person's gate for one digest.",
    printcolumn(name = "Subject", type_ = "string", json_path = ".spec.subject.name"),
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.class"),
    printcolumn(name = "Expires", type_ = "date", json_path = ".spec.expiresAt")
)]
#[x_kube(validation = Rule::new("!has(self.decide) || self.decide.digest == self.digest")
        .message("R59: spec.decide.digest equals spec.digest")
        .field_path(".decide.digest")
        .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct AgentApprovalSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// What waits for it.
    #[schemars(extend("x-krate-immutable" = true))]
    pub subject: ApprovalSubject,
    /// What is approved.
    #[schemars(extend("x-krate-immutable" = true))]
    pub class: ApprovalClass,
    /// What would be done.
    #[schemars(extend("x-krate-immutable" = true))]
    pub action: ApprovalAction,
    /// Who asked.
    #[schemars(extend("x-krate-immutable" = true))]
    pub requested_by: Actor,
    /// Who else wished for a part of it: none of them may approve it, either (P30).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub also_requested_by: Vec<Actor>,
    /// Digest of exactly what is approved (P55).
    #[schemars(extend("x-krate-immutable" = true))]
    pub digest: Digest,
    /// When it ends.
    #[schemars(extend("x-krate-immutable" = true))]
    pub expires_at: Time,
    /// The terms.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub policy: Option<ApprovalTerms>,
    /// Why the policy asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(max = 1024)), extend("x-krate-immutable" = true))]
    pub policy_reasons: Vec<String>,
    /// What to look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-krate-immutable" = true, "x-krate-ref" = "AgentArtifact"))]
    pub artifact_refs: Vec<String>,
    /// Command: answer (R37, verb `decide`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-command" = true))]
    pub decide: Option<DecideCommand>,
    /// Command: take it back (R37).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-command" = true))]
    pub withdraw: Option<WithdrawCommand>,
}

impl AgentApprovalSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(
        organization: impl Into<String>,
        subject: ApprovalSubject,
        class: ApprovalClass,
        action: ApprovalAction,
        requested_by: Actor,
        digest: Digest,
        expires_at: Time,
    ) -> Self {
        Self {
            organization_ref: organization.into(),
            subject,
            class,
            action,
            requested_by,
            also_requested_by: Vec::new(),
            digest,
            expires_at,
            policy: None,
            policy_reasons: Vec::new(),
            artifact_refs: Vec::new(),
            decide: None,
            withdraw: None,
        }
    }
}

phases! {
    /// Phases of an [`AgentApproval`].
    AgentApprovalPhase {
        Pending = "Pending", Approved = "Approved", Denied = "Denied", Used = "Used", Expired = "Expired",
        Stale = "Stale", Withdrawn = "Withdrawn",
    }
}

/// One answer that was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalDecision {
    /// Who, taken from the request (P43).
    pub by: Actor,
    /// When.
    pub at: Time,
    /// The answer.
    pub verdict: ApprovalVerdict,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is so with an [`AgentApproval`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentApprovalStatus {
    /// Phase.
    pub phase: AgentApprovalPhase,
    /// Conditions: `QuorumReached`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The answers, in the order they came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub decisions: Vec<ApprovalDecision>,
    /// How often it was used.
    #[schemars(range(min = 0))]
    pub uses: i64,
}

resource!(AgentApproval, AgentApprovalSpec, AgentApprovalStatus, |spec| Some(&spec.organization_ref), |object, add| {
    add(Index::Subject, format!("{}/{}", object.spec.subject.kind, object.spec.subject.name));
    add(Index::Digest, object.spec.digest.to_string());
    if ["Pending", "Approved"].contains(&object.phase()) {
        add(Index::Due, sortable_time(object.spec.expires_at));
    }
    if let Some(status) = object.status.as_ref().filter(|_| !["Pending", "Approved"].contains(&object.phase())) {
        let answered = status.decisions.iter().map(|decision| Some(decision.at));
        index_ended(&object.metadata, &status.conditions, answered, add);
    }
});
