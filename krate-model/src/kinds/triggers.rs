//! Rules by which events start agents. Spec: resource-kinds.md section 4, R18; agents.md section 2.

use std::collections::{BTreeMap, BTreeSet};

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::agents::Budget;
use super::duration::Dur;
use super::shared::{Actor, Condition, ObjectRef, PathFilter, RefFilter, Time};
use crate::resource::{phases, resource};

crate::closed_set! {
    /// What starts an agent (agents.md section 2).
    TriggerSource { Push = "push", Tag = "tag", PullRequest = "pull-request", Issue = "issue", Label = "label", IssueComment = "issue-comment", PullRequestComment = "pull-request-comment", Review = "review", Ci = "ci", Release = "release", Schedule = "schedule", Webhook = "webhook", ExternalSync = "external-sync", Memory = "memory", Manual = "manual", Agent = "agent" }
}

crate::closed_set! {
    /// Whether a rule is in force.
    LifecycleState { Draft = "draft", Active = "active", Paused = "paused", Disabled = "disabled", Archived = "archived" }
}

crate::closed_set! {
    /// Whether something that is untrusted as such may start an agent.
    Admittance { Never = "never", Only = "only", Any = "any" }
}

crate::closed_set! {
    /// What happened to a label.
    LabelAction { Added = "added", Removed = "removed" }
}

crate::closed_set! {
    /// What becomes of times that were missed.
    CatchUp { Skip = "skip", One = "one" }
}

crate::closed_set! {
    /// What happens while a run of the same group is open.
    ConcurrencyMode { Allow = "allow", Queue = "queue", Coalesce = "coalesce", Replace = "replace", Forbid = "forbid" }
}

impl Admittance {
    /// Whether something may start an agent that is such a thing, or isn't. A word that this version doesn't know takes nothing (R26).
    pub const fn takes(&self, is_such: bool) -> bool {
        match self {
            Self::Never => !is_such,
            Self::Only => is_such,
            Self::Any => true,
            Self::Unknown(_) => false,
        }
    }
}

fn draft() -> LifecycleState {
    LifecycleState::Draft
}

fn member() -> String {
    "member".to_owned()
}

fn never() -> Admittance {
    Admittance::Never
}

fn a_day() -> Dur {
    Dur::literal("24h")
}

fn half_an_hour() -> Dur {
    Dur::literal("30m")
}

fn at_once() -> Dur {
    Dur::literal("0s")
}

fn utc() -> String {
    "UTC".to_owned()
}

fn one() -> CatchUp {
    CatchUp::One
}

fn coalesce() -> ConcurrencyMode {
    ConcurrencyMode::Coalesce
}

const fn bundle_bytes() -> i64 {
    750_000
}

const fn yes() -> bool {
    true
}

const fn three() -> i64 {
    3
}

/// Whose events a rule takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorMatch {
    /// Patterns of principals (R54), such as `ada` or `ext:4711`; none: everybody at or above the level.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub include: Vec<String>,
    /// Patterns of principals whose events it doesn't take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub exclude: Vec<String>,
    /// Teams, of which one is needed; none: any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "Team"))]
    pub teams: BTreeSet<String>,
    /// The least level of who starts it.
    #[serde(default = "member")]
    #[schemars(length(max = 253))]
    pub min_level: String,
    /// Whether events of agents, of runs and of krate's own accounts count. A schedule counts wherever `sources` hold it.
    #[serde(default = "never")]
    pub automation: Admittance,
}

impl Default for ActorMatch {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            teams: BTreeSet::new(),
            min_level: member(),
            automation: never(),
        }
    }
}

/// Pushes and tags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PushMatch {
    /// What the message of the head begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message_prefix: Option<String>,
    /// Whether it isn't a fast-forward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved: Option<bool>,
}

/// Pull requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PullRequestMatch {
    /// Refs that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<RefFilter>,
    /// Refs that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<RefFilter>,
    /// Whether it is a draft.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft: Option<bool>,
}

/// Issues.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IssueMatch {
    /// Types.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub types: BTreeSet<String>,
    /// Projects.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentProject"))]
    pub projects: BTreeSet<String>,
}

/// Labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelMatch {
    /// Names.
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub names: Vec<String>,
    /// What happened to it; absent: either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<LabelAction>,
    /// Kinds of objects.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub object_kinds: BTreeSet<String>,
}

/// Comments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommentMatch {
    /// Commands, without the slash.
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub commands: BTreeSet<String>,
    /// Kinds of objects.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub object_kinds: BTreeSet<String>,
}

/// Reviews.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReviewMatch {
    /// Verdicts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub verdicts: BTreeSet<String>,
}

/// Pipelines and jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CiMatch {
    /// Workflows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub workflows: Vec<String>,
    /// Jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub jobs: Vec<String>,
    /// Steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub steps: Vec<String>,
    /// Conclusions.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub conclusions: BTreeSet<String>,
    /// Signatures of failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub failure_signatures: Vec<String>,
    /// Whether it has to be for a pull request.
    #[serde(default)]
    pub pull_request_required: bool,
}

/// Releases.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReleaseMatch {
    /// Patterns of versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub versions: Vec<String>,
    /// The set of artifacts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub artifact_set: Option<String>,
}

/// A value inside of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PointerMatch {
    /// Where, as a JSON pointer.
    #[schemars(length(max = 1024))]
    pub pointer: String,
    /// The value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub equals: Option<String>,
    /// Values, of which one is needed.
    #[serde(default, rename = "in", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub one_of: Vec<String>,
    /// Whether it has to be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
}

/// Events of a webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookMatch {
    /// Types.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub event_types: BTreeSet<String>,
    /// Values inside of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["pointer"]))]
    pub pointers: Vec<PointerMatch>,
}

/// What the sync found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalSyncMatch {
    /// Reasons.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub reasons: BTreeSet<String>,
    /// Providers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "ExternalBackendProvider"))]
    pub providers: BTreeSet<String>,
    /// Interfaces.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub interfaces: BTreeSet<String>,
}

/// Changes of a memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MemoryMatch {
    /// Kinds of nodes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub kinds: BTreeSet<String>,
    /// Paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<PathFilter>,
}

/// Ends of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentMatch {
    /// Kinds of tasks.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub task_kinds: BTreeSet<String>,
    /// Outcomes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub outcomes: BTreeSet<String>,
}

/// Which events a rule takes. What is given has to fit; each member of a source needs that source (R18).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TriggerMatch {
    /// Repositories.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "Repository"))]
    pub repositories: BTreeSet<String>,
    /// Full refs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refs: Option<RefFilter>,
    /// Whose.
    #[serde(default)]
    pub actors: ActorMatch,
    /// Whether those of forks count.
    #[serde(default = "never")]
    pub fork: Admittance,
    /// How old it may be.
    #[serde(default = "a_day")]
    pub max_age: Dur,
    /// Actions.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub actions: BTreeSet<String>,
    /// Changed paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<PathFilter>,
    /// Labels of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathFilter>,
    /// Pushes and tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<PushMatch>,
    /// Pull requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequestMatch>,
    /// Issues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue: Option<IssueMatch>,
    /// Labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelMatch>,
    /// Comments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<CommentMatch>,
    /// Reviews.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewMatch>,
    /// Pipelines and jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci: Option<CiMatch>,
    /// Releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseMatch>,
    /// Events of a webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookMatch>,
    /// What the sync found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_sync: Option<ExternalSyncMatch>,
    /// Changes of a memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryMatch>,
    /// Ends of runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentMatch>,
}

impl Default for TriggerMatch {
    fn default() -> Self {
        Self {
            repositories: BTreeSet::new(),
            refs: None,
            actors: ActorMatch::default(),
            fork: never(),
            max_age: a_day(),
            actions: BTreeSet::new(),
            paths: None,
            labels: None,
            push: None,
            pull_request: None,
            issue: None,
            label: None,
            comment: None,
            review: None,
            ci: None,
            release: None,
            webhook: None,
            external_sync: None,
            memory: None,
            agent: None,
        }
    }
}

/// When a rule fires by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TriggerSchedule {
    /// Five fields: minute, hour, day of month, month and day of week. Each is `*`, a number, a range, a step of either (`*/15`), or a list of these; months and
    /// days also by their English names of three letters.
    #[schemars(length(max = 253))]
    pub cron: String,
    /// The IANA name of its zone: `UTC`, or an area and a place, such as `Europe/Berlin`.
    #[serde(default = "utc")]
    #[schemars(length(max = 253))]
    pub time_zone: String,
    /// How much later it may be.
    #[serde(default = "at_once")]
    pub jitter: Dur,
    /// What becomes of times that were missed.
    #[serde(default = "one")]
    pub catch_up: CatchUp,
    /// Which objects it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub query: Option<String>,
}

/// What a run is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BundleTemplate {
    /// Parts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub include: BTreeSet<String>,
    /// How large it may be, in bytes.
    #[serde(default = "bundle_bytes")]
    #[schemars(range(min = 1))]
    pub max_bytes: i64,
    /// Whether secrets are taken out; only true is accepted.
    #[serde(default = "yes")]
    pub redact_secrets: bool,
    /// Parts of authors below this level are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub min_trust: Option<String>,
}

impl Default for BundleTemplate {
    fn default() -> Self {
        Self { include: BTreeSet::new(), max_bytes: bundle_bytes(), redact_secrets: true, min_trust: None }
    }
}

/// What always wants a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RequiredApprovals {
    /// Approval classes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub require_for: BTreeSet<String>,
}

/// Which events are one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DedupePolicy {
    /// What they have in common.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub key: Option<String>,
    /// How long they count as one.
    #[serde(default = "half_an_hour")]
    pub window: Dur,
    /// How long it is waited for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debounce: Option<Dur>,
}

/// How many runs may be open at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConcurrencyPolicy {
    /// What happens to another one.
    #[serde(default = "coalesce")]
    pub mode: ConcurrencyMode,
    /// Which belong together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub group: Option<String>,
}

/// How often a rule fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TriggerRate {
    /// How often.
    #[schemars(range(min = 1))]
    pub max: i64,
    /// In what time.
    pub per: Dur,
}

/// What a run remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TriggerMemory {
    /// How it asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub mode: Option<String>,
    /// At which version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub requested: Option<String>,
}

/// What a run may write back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TriggerWriteBack {
    /// Write-back actions, or `<action>/<path class>` (P65).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_targets: BTreeSet<String>,
    /// Paths that a patch may touch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_paths: Option<PathFilter>,
    /// Whether what it writes may trigger rules (A39).
    #[serde(default)]
    pub allow_trigger_text: bool,
}

/// A command: take an object up again that was left after failures (A50).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResetBreaker {
    /// Which command it is (R37).
    #[schemars(length(max = 253))]
    pub id: String,
    /// The object.
    pub object: ObjectRef,
}

/// Which events start which agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentTriggerRule",
    plural = "agenttriggerrules",
    shortname = "atr",
    category = "krate",
    category = "krate-agents",
    namespaced,
    status = "AgentTriggerRuleStatus",
    derive = "PartialEq",
    doc = "Which events start which agent.",
    printcolumn(name = "Stack", type_ = "string", json_path = ".spec.agentStack"),
    printcolumn(name = "State", type_ = "string", json_path = ".spec.lifecycleState"),
    printcolumn(name = "Last triggered", type_ = "date", json_path = ".status.lastTriggeredAt")
)]
#[x_kube(validation = Rule::new("has(self.schedule) == ('schedule' in self.sources)")
        .message("R18: spec.schedule is there where sources hold schedule, and only there")
        .field_path(".schedule")
        .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct AgentTriggerRuleSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Whether it is in force.
    #[serde(default = "draft")]
    pub lifecycle_state: LifecycleState,
    /// What starts it.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "set"))]
    pub sources: BTreeSet<TriggerSource>,
    /// Which events.
    #[serde(default, rename = "match")]
    pub matches: TriggerMatch,
    /// When; with the source schedule, and only then (R18).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<TriggerSchedule>,
    /// The agent.
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentStack"))]
    pub agent_stack: String,
    /// The kind of task.
    #[schemars(length(max = 253))]
    pub task_kind: String,
    /// What it is asked to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub prompt_template: Option<String>,
    /// Prompt fragments.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentContextLabel"))]
    pub context_labels: BTreeSet<String>,
    /// What it is told.
    #[serde(default)]
    pub context_bundle_template: BundleTemplate,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "RunnerPool"))]
    pub runner_pool: Option<String>,
    /// What always wants a person.
    #[serde(default)]
    pub approval_policy: RequiredApprovals,
    /// Which events are one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedupe_policy: Option<DedupePolicy>,
    /// How many runs may be open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_policy: Option<ConcurrencyPolicy>,
    /// How often it is tried.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 10))]
    pub max_attempts: i64,
    /// How often it fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<TriggerRate>,
    /// What a run may spend.
    #[serde(default)]
    pub budgets: Budget,
    /// What it remembers.
    #[serde(default)]
    pub memory: TriggerMemory,
    /// What it may write back.
    #[serde(default)]
    pub write_back_policy: TriggerWriteBack,
    /// Whose rule it is; stamped (A54).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Actor>,
    /// Command: take an object up again (R37, verb `replay`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-command" = true))]
    pub reset_breaker: Option<ResetBreaker>,
}

phases! {
    /// Phases of [`AgentTriggerRule`].
    AgentTriggerRulePhase { Draft = "Draft", Active = "Active", Paused = "Paused", Disabled = "Disabled", Archived = "Archived", Blocked = "Blocked" }
}

/// What is so with [`AgentTriggerRule`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentTriggerRuleStatus {
    /// Phase.
    pub phase: AgentTriggerRulePhase,
    /// Conditions: `SourceConfigured`, `MatcherValid`, `TargetStackReady`, `ContextTemplateValid`, `DedupePolicyValid`, `LifecycleActive`, `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When it last fired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_triggered_at: Option<Time>,
    /// When it fires next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_due_at: Option<Time>,
    /// What became of events, by outcome.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub execution_summary: BTreeMap<String, i64>,
}

resource!(AgentTriggerRule, AgentTriggerRuleSpec, AgentTriggerRuleStatus, |spec| Some(&spec.organization_ref));
