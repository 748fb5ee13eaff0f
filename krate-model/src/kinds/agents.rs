//! Agents as they are set up: stacks, subagents, their accounts, workspaces and model providers. Spec: resource-kinds.md section 4, R17, R61, R65.

use std::collections::BTreeSet;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Dur;
use super::sets::TrustTier;
use super::shared::{Condition, CrossOrgRef, NATIVE_NAME, ObjectRef, Retention, SecretKeyRef, Time};
use super::tools::OutputContract;
use crate::Digest;
use crate::resource::{phases, resource};

crate::closed_set! {
    /// Whether an agent asks before it acts.
    StackApprovalMode { Prompt = "prompt", AutoLowRisk = "auto-low-risk", Deny = "deny" }
}

crate::closed_set! {
    /// What a subagent may do with the workspace.
    WorkspaceScope { ReadOnly = "read-only", BranchLocal = "branch-local", Workspace = "workspace" }
}

crate::closed_set! {
    /// What a subagent is told.
    ContextPolicy { SummaryOnly = "summary-only", SelectedSources = "selected-sources", FullRedacted = "full-redacted", ArtifactOnly = "artifact-only", NoContext = "no-context" }
}

crate::closed_set! {
    /// How a workspace is made.
    WorkspaceMode { IsolatedWorktree = "isolated-worktree", SharedWorktree = "shared-worktree", Clone = "clone", None = "none" }
}

crate::closed_set! {
    /// What a workspace shares.
    WorkspaceCache { None = "none", Repository = "repository" }
}

crate::closed_set! {
    /// How a model provider is asked.
    ProviderAuth { Token = "token", Oauth = "oauth", None = "none" }
}

fn ask() -> StackApprovalMode {
    StackApprovalMode::Prompt
}

fn read_only() -> WorkspaceScope {
    WorkspaceScope::ReadOnly
}

fn summary_only() -> ContextPolicy {
    ContextPolicy::SummaryOnly
}

fn isolated() -> WorkspaceMode {
    WorkspaceMode::IsolatedWorktree
}

fn no_cache() -> WorkspaceCache {
    WorkspaceCache::None
}

fn untrusted() -> TrustTier {
    TrustTier::Untrusted
}

const fn yes() -> bool {
    true
}

const fn one() -> i64 {
    1
}

const fn an_hour_of_seconds() -> i64 {
    3_600
}

fn an_hour() -> Budget {
    Budget { max_duration: Some(Dur::literal("1h")), ..Budget::default() }
}

/// What may be spent; what is absent is not bounded here. Integers only (R61).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Budget {
    /// Time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<Dur>,
    /// Money, in millionths of a US dollar.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_cost_micros: Option<i64>,
    /// Tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<i64>,
    /// Calls of tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tool_calls: Option<i64>,
    /// Bytes of output.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_output_bytes: Option<i64>,
}

/// What an agent is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StackPrompt {
    /// As the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub system: Option<String>,
    /// As its developer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub developer: Option<String>,
}

/// Where a document is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DocumentSource {
    /// The repository; absent: the run's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "Repository"))]
    pub repository: Option<String>,
}

/// A document with instructions for agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentsDocument {
    /// Where it is.
    #[serde(default)]
    pub source: DocumentSource,
    /// Its path.
    #[schemars(length(max = 4096))]
    pub path: String,
}

/// As whom an agent runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeIdentity {
    /// Its account in the cluster.
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentServiceAccount"))]
    pub service_account_ref: String,
}

/// Grants and roles that a stack counts on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PermissionRefs {
    /// Roles.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentRoleBinding"))]
    pub role_bindings: BTreeSet<String>,
    /// Grants of Secrets.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentSecretGrant"))]
    pub secret_grants: BTreeSet<String>,
    /// Grants of ConfigMaps.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentConfigGrant"))]
    pub config_grants: BTreeSet<String>,
}

/// How a stack deals with secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StackSecretPolicy {
    /// Whether a run for a fork may have any (P24).
    #[serde(default)]
    pub allow_on_forks: bool,
    /// The only Secrets that it uses; none: all that are granted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253), regex(pattern = NATIVE_NAME)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_secret_refs: BTreeSet<String>,
}

/// What a stack may write back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WriteBackPolicy {
    /// Whether a person is asked.
    #[serde(default = "yes")]
    pub require_approval: bool,
    /// Write-back actions, or `<action>/<path class>` (P65).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_targets: BTreeSet<String>,
}

impl Default for WriteBackPolicy {
    fn default() -> Self {
        Self { require_approval: true, allowed_targets: BTreeSet::new() }
    }
}

/// What a stack was found to be able to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Digest of it.
    pub digest: Digest,
    /// When.
    pub at: Time,
}

/// An agent: what it is, runs as, works with and may spend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentStack",
    plural = "agentstacks",
    shortname = "as",
    category = "krate",
    category = "krate-agents",
    namespaced,
    status = "AgentStackStatus",
    derive = "PartialEq",
    doc = "An agent: what it is, runs as, works with and may spend.",
    printcolumn(name = "Agent", type_ = "string", json_path = ".spec.baseAgent"),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status")
)]
#[serde(rename_all = "camelCase")]
pub struct AgentStackSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub display_name: Option<String>,
    /// The agent; `claude-code`, `codex`, `gemini`, `opencode`, `babysitter` and `agent-mux-remote` are known.
    #[schemars(length(max = 253))]
    pub base_agent: String,
    /// What runs it.
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentAdapter"))]
    pub adapter: String,
    /// Its model provider; absent: the agent has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentProviderConfig"))]
    pub provider: Option<String>,
    /// Its model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub model: Option<String>,
    /// What it is told.
    #[serde(default)]
    pub prompt: StackPrompt,
    /// A document with instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agents_doc_ref: Option<AgentsDocument>,
    /// Whether it asks before it acts.
    #[serde(default = "ask")]
    pub approval_mode: StackApprovalMode,
    /// As whom it runs.
    pub runtime_identity: RuntimeIdentity,
    /// Its tools; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentToolProfile"))]
    pub tool_profile_ref: Option<String>,
    /// Its MCP servers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentMcpServer"))]
    pub mcp_server_refs: BTreeSet<String>,
    /// Its skills.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentSkill"))]
    pub skill_refs: BTreeSet<String>,
    /// Its subagents.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentSubagent"))]
    pub subagent_refs: BTreeSet<String>,
    /// Prompt fragments that it gets.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentContextLabel"))]
    pub context_label_refs: BTreeSet<String>,
    /// How its workspaces are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentWorkspacePolicy"))]
    pub workspace_policy_ref: Option<String>,
    /// What it may remember.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentMemorySource"))]
    pub memory_source_refs: BTreeSet<String>,
    /// MCP servers and skills of other organizations (R4).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub shared_refs: Vec<CrossOrgRef>,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "RunnerPool"))]
    pub runner_pool: Option<String>,
    /// Grants and roles that it counts on.
    #[serde(default)]
    pub permission_refs: PermissionRefs,
    /// How it deals with secrets.
    #[serde(default)]
    pub secret_policy: StackSecretPolicy,
    /// What it may write back.
    #[serde(default)]
    pub write_back_policy: WriteBackPolicy,
    /// What a run may spend.
    #[serde(default = "an_hour")]
    pub budgets: Budget,
    /// How many of its runs may be open.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent_runs: i64,
}

phases! {
    /// Phases of [`AgentStack`].
    AgentStackPhase { Pending = "Pending", Ready = "Ready", Blocked = "Blocked", Error = "Error" }
}

/// What is so with [`AgentStack`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentStackStatus {
    /// Phase.
    pub phase: AgentStackPhase,
    /// Conditions: `CapabilitiesResolved`, `RuntimeIdentityReady`, `RolesAdmitted`, `SecretsAdmitted`, `ConfigAdmitted`, `ToolsAdmitted`, `McpHealthy`, `SkillsValidated`, `SubagentsValid`, `ContextLabelsValid`, `PolicyAdmitted`, `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Digest of all that it is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_digest: Option<Digest>,
    /// What it was found to be able to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// What it needs, computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentCapabilityRequirement"))]
    pub requirement_ref: Option<String>,
}

resource!(AgentStack, AgentStackSpec, AgentStackStatus, |spec| Some(&spec.organization_ref));

/// A child agent: role, tools and scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentSubagent",
    plural = "agentsubagents",
    shortname = "asub",
    category = "krate",
    category = "krate-agents",
    namespaced,
    status = "AgentSubagentStatus",
    derive = "PartialEq",
    doc = "A child agent: role, tools and scope."
)]
#[serde(rename_all = "camelCase")]
pub struct AgentSubagentSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub description: Option<String>,
    /// What it is told.
    #[schemars(length(max = 65536))]
    pub role_prompt: String,
    /// Kinds of tasks that it takes.
    #[schemars(length(min = 1), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub task_kinds: BTreeSet<String>,
    /// Its model, where it is another one than its stack's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub model_override: Option<String>,
    /// Its tools; absent: none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentToolProfile"))]
    pub tool_profile_ref: Option<String>,
    /// Its MCP servers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentMcpServer"))]
    pub mcp_server_refs: BTreeSet<String>,
    /// Its skills.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentSkill"))]
    pub skill_refs: BTreeSet<String>,
    /// As whom it runs, where it is another one than its stack (P25).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentServiceAccount"))]
    pub service_account_ref: Option<String>,
    /// What it may do with the workspace.
    #[serde(default = "read_only")]
    pub workspace_scope: WorkspaceScope,
    /// What it is told of the run.
    #[serde(default = "summary_only")]
    pub context_policy: ContextPolicy,
    /// How many may run at once.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub max_parallel_tasks: i64,
    /// Whether the run fails with it.
    #[serde(default = "yes")]
    pub required: bool,
    /// What it hands over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_contract: Option<OutputContract>,
}

phases! {
    /// Phases of [`AgentSubagent`].
    AgentSubagentPhase { Pending = "Pending", Ready = "Ready", Blocked = "Blocked", Error = "Error" }
}

/// What is so with [`AgentSubagent`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentSubagentStatus {
    /// Phase.
    pub phase: AgentSubagentPhase,
    /// Conditions: `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

resource!(AgentSubagent, AgentSubagentSpec, AgentSubagentStatus, |spec| Some(&spec.organization_ref));

/// When a workspace goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanupPolicy {
    /// After the merge.
    #[serde(default = "yes")]
    pub on_merge: bool,
    /// After its object was closed.
    #[serde(default = "yes")]
    pub on_close: bool,
    /// Whether one with changes stays all the same.
    #[serde(default = "yes")]
    pub keep_dirty: bool,
}

impl Default for CleanupPolicy {
    fn default() -> Self {
        Self { on_merge: true, on_close: true, keep_dirty: true }
    }
}

/// How workspaces are made, kept and cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentWorkspacePolicy",
    plural = "agentworkspacepolicies",
    shortname = "awp",
    category = "krate",
    category = "krate-agents",
    namespaced,
    status = "AgentWorkspacePolicyStatus",
    derive = "PartialEq",
    doc = "How workspaces are made, kept and cleaned."
)]
#[serde(rename_all = "camelCase")]
pub struct AgentWorkspacePolicySpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// How one is made.
    #[serde(default = "isolated")]
    pub mode: WorkspaceMode,
    /// How far what runs in it is trusted.
    #[serde(default = "untrusted")]
    pub trust_tier: TrustTier,
    /// How long one is kept.
    pub retention_policy: Retention,
    /// When one goes.
    #[serde(default)]
    pub cleanup_policy: CleanupPolicy,
    /// How large one may be, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_bytes: Option<i64>,
    /// What one shares.
    #[serde(default = "no_cache")]
    pub caches: WorkspaceCache,
}

phases! {
    /// Phases of [`AgentWorkspacePolicy`].
    AgentWorkspacePolicyPhase { Pending = "Pending", Ready = "Ready", Error = "Error" }
}

/// What is so with [`AgentWorkspacePolicy`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentWorkspacePolicyStatus {
    /// Phase.
    pub phase: AgentWorkspacePolicyPhase,
    /// Conditions: `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

resource!(AgentWorkspacePolicy, AgentWorkspacePolicySpec, AgentWorkspacePolicyStatus, |spec| Some(
    &spec.organization_ref
));

/// A model and what it costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelPrice {
    /// Its name at the provider.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Another name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub alias: Option<String>,
    /// A million tokens in, in millionths of a US dollar.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub input_micros_per_million: Option<i64>,
    /// A million tokens out, in millionths of a US dollar.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub output_micros_per_million: Option<i64>,
}

/// How often a model provider may be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelLimits {
    /// Requests a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<i64>,
    /// Tokens a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_minute: Option<i64>,
}

/// A model provider: models, prices and limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentProviderConfig",
    plural = "agentproviderconfigs",
    shortname = "apc",
    category = "krate",
    category = "krate-agents",
    namespaced,
    status = "AgentProviderConfigStatus",
    derive = "PartialEq",
    doc = "A model provider: models, prices and limits."
)]
#[serde(rename_all = "camelCase")]
pub struct AgentProviderConfigSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The provider; `anthropic`, `openai`, `azure-openai`, `google-vertex`, `foundry` and `custom` are known.
    #[schemars(length(max = 253))]
    pub provider: String,
    /// How it is asked.
    pub auth_type: ProviderAuth,
    /// The credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// Its address, where it is another one than the provider's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub api_base: Option<String>,
    /// The model where a stack names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub default_model: Option<String>,
    /// Its models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub models: Vec<ModelPrice>,
    /// How often it may be asked.
    #[serde(default)]
    pub rate_limits: ModelLimits,
}

phases! {
    /// Phases of [`AgentProviderConfig`].
    AgentProviderConfigPhase { Pending = "Pending", Ready = "Ready", Error = "Error" }
}

/// What is so with [`AgentProviderConfig`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentProviderConfigStatus {
    /// Phase.
    pub phase: AgentProviderConfigPhase,
    /// Conditions: `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

resource!(AgentProviderConfig, AgentProviderConfigSpec, AgentProviderConfigStatus, |spec| Some(&spec.organization_ref));

/// The native account that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncedAccount {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its uid.
    #[schemars(length(max = 253))]
    pub uid: String,
}

/// The Kubernetes identity of an agent or runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentServiceAccount",
    plural = "agentserviceaccounts",
    shortname = "asa",
    category = "krate",
    category = "krate-policy",
    namespaced,
    status = "AgentServiceAccountStatus",
    derive = "PartialEq",
    doc = "The Kubernetes identity of an agent or runner.",
    printcolumn(name = "Account", type_ = "string", json_path = ".spec.serviceAccountName"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status")
)]
#[serde(rename_all = "camelCase")]
pub struct AgentServiceAccountSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Its namespace: the organization's (R65).
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub namespace: String,
    /// Its name, a DNS label.
    #[schemars(length(max = 63), extend("x-krate-immutable" = true))]
    pub service_account_name: String,
    /// Whose it is: a stack, a pool, a repository or the organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<ObjectRef>,
    /// Repositories that it may be used for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "Repository"))]
    pub allowed_repositories: BTreeSet<String>,
    /// Pools that it may be used in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "RunnerPool"))]
    pub allowed_runner_pools: BTreeSet<String>,
    /// Audience of its tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub token_audience: Option<String>,
    /// How long a token holds, in seconds.
    #[serde(default = "an_hour_of_seconds")]
    #[schemars(range(min = 600, max = 86400))]
    pub token_expiration_seconds: i64,
    /// Secrets that images are pulled with, by name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253), regex(pattern = NATIVE_NAME)), extend("x-kubernetes-list-type" = "set"))]
    pub image_pull_secret_refs: BTreeSet<String>,
    /// Whether pods get its token without asking.
    #[serde(default)]
    pub automount_service_account_token: bool,
}

phases! {
    /// Phases of [`AgentServiceAccount`].
    AgentServiceAccountPhase { Pending = "Pending", Ready = "Ready", Drifted = "Drifted", Failed = "Failed" }
}

/// What is so with [`AgentServiceAccount`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentServiceAccountStatus {
    /// Phase.
    pub phase: AgentServiceAccountPhase,
    /// Conditions: `ServiceAccountSynced`, `TokenProjectionAllowed`, `ImagePullSecretsReady`, `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The native account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced_service_account: Option<SyncedAccount>,
}

resource!(AgentServiceAccount, AgentServiceAccountSpec, AgentServiceAccountStatus, |spec| Some(&spec.organization_ref));
