//! Policies: rules with parameters, where they hold, what an organization asks for beside them, and exceptions. Spec: resource-kinds.md section 4, R60, R61;
//! permission-review.md section 3, step 4.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Dur;
use super::policy::ApprovalClass;
use super::shared::{Actor, ApprovalRule, Approvers, Condition, ObjectRef, RefFilter, Time};
use crate::Digest;
use crate::resource::{phases, resource};
use crate::store::{Index, sortable_time};

crate::closed_set! {
    /// How a profile's policies are in force.
    ProfileMode { Audit = "audit", Enforce = "enforce", Mixed = "mixed" }
}

crate::closed_set! {
    /// What happens where a policy can't be judged. It never applies to organization scope, grants, approvals and fork rules (P45).
    FailurePolicy { FailClosed = "failClosed", FailOpen = "failOpen" }
}

crate::closed_set! {
    /// How a policy is in force.
    PolicyMode { Audit = "audit", Enforce = "enforce" }
}

crate::closed_set! {
    /// How bad it is to break a policy.
    Severity { Low = "low", Medium = "medium", High = "high", Critical = "critical" }
}

crate::closed_set! {
    /// What judges a policy.
    Engine { Krate = "krate", Cel = "cel", Kyverno = "kyverno" }
}

crate::closed_set! {
    /// What krate's own engine does where a policy holds.
    Effect { Deny = "deny", RequireApproval = "require-approval" }
}

crate::closed_set! {
    /// Type of a parameter.
    ParameterType { String = "string", Integer = "integer", Boolean = "boolean", List = "list" }
}

crate::closed_set! {
    /// What a budget of a profile is kept by.
    BudgetScope { Rule = "rule", Person = "person", Repository = "repository", Organization = "organization" }
}

fn fail_closed() -> FailurePolicy {
    FailurePolicy::FailClosed
}

fn medium() -> Severity {
    Severity::Medium
}

fn audit() -> PolicyMode {
    PolicyMode::Audit
}

fn a_week() -> Dur {
    Dur::literal("168h")
}

const fn yes() -> bool {
    true
}

/// A parameter of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyParameter {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// The value where a binding gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub default: Option<String>,
    /// The values that are accepted; none: all.
    #[serde(default, rename = "enum", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 1024)))]
    pub one_of: Vec<String>,
    /// Whether a binding has to give one.
    #[serde(default)]
    pub required: bool,
}

/// A rule for krate's own engine. Whatever it lists has to fit; what it doesn't list fits always.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KrateRule {
    /// What it does.
    pub effect: Effect,
    /// For these verbs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub verbs: BTreeSet<String>,
    /// For these operations at a provider.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub operations: BTreeSet<String>,
    /// For causes below this level of trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub min_trust: Option<String>,
    /// Which approval it asks for; needed with `require-approval`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_class: Option<ApprovalClass>,
}

/// A condition that has to hold for every write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CelRule {
    /// The expression.
    #[schemars(length(max = 8192))]
    pub expression: String,
    /// What is said where it doesn't hold.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// A policy of Kyverno.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KyvernoRule {
    /// Its manifest.
    #[schemars(length(max = 131_072))]
    pub manifest: String,
}

/// How a template is brought into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// The modes that bindings may choose; none: both.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_modes: BTreeSet<PolicyMode>,
    /// The mode that is suggested.
    #[serde(default = "audit")]
    pub default_mode: PolicyMode,
    /// Whether what it would do is shown first.
    #[serde(default = "yes")]
    pub preview: bool,
}

/// A rule with parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "PolicyTemplate",
    plural = "policytemplates",
    shortname = "ptmpl",
    category = "krate",
    category = "krate-policy",
    namespaced,
    status = "PolicyTemplateStatus",
    derive = "PartialEq",
    doc = "A rule with parameters."
)]
#[x_kube(validation = Rule::new("(self.engine == 'krate') == has(self.krate)")
        .message("R61: spec.krate is there for the engine krate, and for no other")
        .field_path(".krate")
        .reason(Reason::FieldValueInvalid))]
#[x_kube(validation = Rule::new("(self.engine == 'cel') == has(self.cel)")
        .message("R61: spec.cel is there for the engine cel, and for no other")
        .field_path(".cel")
        .reason(Reason::FieldValueInvalid))]
#[x_kube(validation = Rule::new("(self.engine == 'kyverno') == has(self.kyverno)")
        .message("R61: spec.kyverno is there for the engine kyverno, and for no other")
        .field_path(".kyverno")
        .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct PolicyTemplateSpec {
    /// The organization; absent in the platform's namespace (R35).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: Option<String>,
    /// What it is called.
    #[schemars(length(max = 128))]
    pub display_name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// What it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub category: Option<String>,
    /// How bad it is to break it.
    #[serde(default = "medium")]
    pub severity: Severity,
    /// The kinds that it is about.
    #[schemars(length(min = 1), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub target_kinds: BTreeSet<String>,
    /// Parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters: Vec<PolicyParameter>,
    /// What judges it.
    pub engine: Engine,
    /// The rule, for the engine `krate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub krate: Option<KrateRule>,
    /// The conditions, for the engine `cel`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub cel: Vec<CelRule>,
    /// The policy, for the engine `kyverno`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kyverno: Option<KyvernoRule>,
    /// How it is brought into force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// How to mend what breaks it, as Markdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16_384))]
    pub remediation: Option<String>,
}

phases! {
    /// Phases of a [`PolicyTemplate`].
    PolicyTemplatePhase { Pending = "Pending", Ready = "Ready", Invalid = "Invalid" }
}

/// What is so with a [`PolicyTemplate`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyTemplateStatus {
    /// Phase.
    pub phase: PolicyTemplatePhase,
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Digest of the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub validation_errors: Vec<String>,
}

resource!(
    PolicyTemplate,
    PolicyTemplateSpec,
    PolicyTemplateStatus,
    |spec| spec.organization_ref.as_deref(),
    |_object, _add| {}
);

/// Where a policy holds. Whatever is listed has to fit; what isn't listed fits always.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyMatch {
    /// In these repositories.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "Repository"))]
    pub repositories: BTreeSet<String>,
    /// In these environments.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub environments: BTreeSet<String>,
    /// For these refs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refs: Option<RefFilter>,
    /// On these pools.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "RunnerPool"))]
    pub runner_pools: BTreeSet<String>,
    /// For these kinds, of those that the template is about.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub kinds: BTreeSet<String>,
    /// For objects with these labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelSelector>,
    /// For subjects of these kinds.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub subject_kinds: BTreeSet<String>,
}

/// A policy in force: which template, where, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "PolicyBinding",
    plural = "policybindings",
    shortname = "pbind",
    category = "krate",
    category = "krate-policy",
    namespaced,
    status = "PolicyBindingStatus",
    derive = "PartialEq",
    doc = "A policy in force: which template, where, and how.",
    printcolumn(name = "Template", type_ = "string", json_path = ".spec.templateRef"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode")
)]
#[serde(rename_all = "camelCase")]
pub struct PolicyBindingSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The template: this namespace's, else the platform's.
    #[schemars(length(max = 253), extend("x-krate-ref" = "PolicyTemplate"))]
    pub template_ref: String,
    /// The profile that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "PolicyProfile"))]
    pub profile_ref: Option<String>,
    /// Whether it blocks, or only tells.
    pub mode: PolicyMode,
    /// Where it holds; absent: everywhere.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub scope: Option<PolicyMatch>,
    /// Values of the template's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), inner(length(max = 1024)))]
    pub parameters: BTreeMap<String, String>,
    /// Name of the native policy that is made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub generated_policy_name: Option<String>,
    /// Whether it is out of force.
    #[serde(default)]
    pub suspend: bool,
}

phases! {
    /// Phases of a [`PolicyBinding`].
    PolicyBindingPhase { Pending = "Pending", Rendered = "Rendered", Applied = "Applied", Degraded = "Degraded" }
}

/// What is so with a [`PolicyBinding`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyBindingStatus {
    /// Phase.
    pub phase: PolicyBindingPhase,
    /// Conditions: `TemplateResolved PolicyRendered PolicyApplied ReportsObserved`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Digest of the template that it was rendered from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_digest: Option<Digest>,
    /// What it would have done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub preview: Vec<String>,
    /// What broke it, at the last look.
    #[schemars(range(min = 0))]
    pub last_violation_count: i64,
    /// When it last denied something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_denied_at: Option<Time>,
    /// Exceptions in force.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)))]
    pub active_exceptions: Vec<String>,
}

resource!(PolicyBinding, PolicyBindingSpec, PolicyBindingStatus, |spec| Some(&spec.organization_ref), |object, add| {
    add(Index::Parent, format!("PolicyTemplate/{}", object.spec.template_ref));
});

/// How exceptions are given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExceptionPolicy {
    /// Who may give them.
    #[serde(default)]
    pub approvers: Approvers,
    /// How long one lasts at most.
    #[serde(default = "a_week")]
    pub max_duration: Dur,
    /// Whether somebody has to take the risk in writing.
    #[serde(default = "yes")]
    pub require_risk_acceptance: bool,
}

/// What may be spent in a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileBudget {
    /// What it is kept by.
    pub scope: BudgetScope,
    /// Money, in millionths of a US dollar.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub cost_micros_per_day: Option<i64>,
    /// Tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_day: Option<i64>,
    /// Runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub runs_per_day: Option<i64>,
}

/// What an organization asks for: policies, approvals, budgets and exceptions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "PolicyProfile",
    plural = "policyprofiles",
    shortname = "pprof",
    category = "krate",
    category = "krate-policy",
    namespaced,
    status = "PolicyProfileStatus",
    derive = "PartialEq",
    doc = "What an organization asks for: policies, approvals, budgets and exceptions.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode")
)]
#[serde(rename_all = "camelCase")]
pub struct PolicyProfileSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// What it is called.
    #[schemars(length(max = 128))]
    pub display_name: String,
    /// How its policies are in force.
    pub mode: ProfileMode,
    /// Its templates.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "PolicyTemplate"))]
    pub template_refs: BTreeSet<String>,
    /// What happens where a policy can't be judged.
    #[serde(default = "fail_closed")]
    pub failure_policy: FailurePolicy,
    /// How exceptions are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception_policy: Option<ExceptionPolicy>,
    /// What an approval of a class needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["class"]))]
    pub approvals: Vec<ApprovalRule>,
    /// What may be spent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["scope"]))]
    pub budgets: Vec<ProfileBudget>,
    /// Namespaces whose Secrets' keys can't be listed, and whose grants hold all the same (P67).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub metadata_blind_namespaces: BTreeSet<String>,
}

phases! {
    /// Phases of a [`PolicyProfile`].
    PolicyProfilePhase { Pending = "Pending", Synced = "Synced", Degraded = "Degraded" }
}

/// What is so with a [`PolicyProfile`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyProfileStatus {
    /// Phase.
    pub phase: PolicyProfilePhase,
    /// Conditions: `KyvernoDetected PoliciesSynced ReportsReadable ExceptionsAllowed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Policies in force.
    #[schemars(range(min = 0))]
    pub applied_policies: i64,
    /// What broke those that only tell.
    #[schemars(range(min = 0))]
    pub audit_violations: i64,
    /// What the others denied.
    #[schemars(range(min = 0))]
    pub enforced_denials: i64,
    /// Exceptions in force.
    #[schemars(range(min = 0))]
    pub active_exceptions: i64,
}

resource!(
    PolicyProfile,
    PolicyProfileSpec,
    PolicyProfileStatus,
    |spec| Some(&spec.organization_ref),
    |_object, _add| {}
);

/// A policy is lifted for one object, for a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "PolicyExceptionRequest",
    plural = "policyexceptionrequests",
    shortname = "pexc",
    category = "krate",
    category = "krate-policy",
    namespaced,
    status = "PolicyExceptionRequestStatus",
    derive = "PartialEq",
    doc = "A policy is lifted for one object, for a time.",
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policyRef"),
    printcolumn(name = "Expires", type_ = "date", json_path = ".spec.expiresAt")
)]
#[x_kube(validation = Rule::new("self.breakGlass == has(self.actionClass)")
        .message("R60: spec.actionClass is there where breakGlass is true, and only there")
        .field_path(".actionClass")
        .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct PolicyExceptionRequestSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The policy.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "PolicyBinding"))]
    pub policy_ref: String,
    /// Which of its rules; none: all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-krate-immutable" = true, "x-kubernetes-list-type" = "set"))]
    pub rule_names: BTreeSet<String>,
    /// For which object.
    #[schemars(extend("x-krate-immutable" = true))]
    pub resource_ref: ObjectRef,
    /// For whom; absent: who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub subject: Option<ObjectRef>,
    /// Who asked; stamped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub requested_by: Option<Actor>,
    /// Why, in at least 20 characters.
    #[schemars(length(max = 4096), extend("x-krate-immutable" = true))]
    pub justification: String,
    /// Until when.
    #[schemars(extend("x-krate-immutable" = true))]
    pub expires_at: Time,
    /// Who takes the risk, and why; needed where the policy blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), extend("x-krate-immutable" = true))]
    pub risk_acceptance: Option<String>,
    /// Whether it is an emergency (P50).
    #[serde(default)]
    #[schemars(extend("x-krate-immutable" = true))]
    pub break_glass: bool,
    /// What the emergency is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub action_class: Option<ApprovalClass>,
}

phases! {
    /// Phases of a [`PolicyExceptionRequest`].
    PolicyExceptionRequestPhase { Requested = "Requested", Approved = "Approved", Denied = "Denied", Expired = "Expired", Applied = "Applied" }
}

/// What is so with a [`PolicyExceptionRequest`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyExceptionRequestStatus {
    /// Phase.
    pub phase: PolicyExceptionRequestPhase,
    /// Conditions: `ApprovalSatisfied ExceptionApplied ExpiredCleanup`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentApproval"))]
    pub approval_ref: Option<String>,
    /// Who approved it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub approvers: Vec<Actor>,
    /// The native exception that is made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub policy_exception_ref: Option<String>,
}

resource!(
    PolicyExceptionRequest,
    PolicyExceptionRequestSpec,
    PolicyExceptionRequestStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Parent, format!("PolicyBinding/{}", object.spec.policy_ref));
        if ["Requested", "Approved", "Applied"].contains(&object.phase()) {
            add(Index::Due, sortable_time(object.spec.expires_at));
        }
    }
);
