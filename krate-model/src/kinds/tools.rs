//! What agents work with: tool profiles, MCP servers, skills and memory sources. Spec: resource-kinds.md section 4, R61; permission-review.md section 5.

use std::collections::{BTreeMap, BTreeSet};

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Dur;
use super::shared::{Condition, ConfigMapKeyRef, CrossOrgRef, SecretKeyRef, SecretRef, Time};
use crate::Digest;
use crate::resource::{phases, resource};

crate::closed_set! {
    /// What tools may do with files, the least first (P26).
    FilesystemPolicy { None = "none", ReadOnly = "read-only", WorkspaceWrite = "workspace-write" }
}

crate::closed_set! {
    /// What holds for a host that no list names.
    #[derive(Default)]
    NetworkDefault { #[default] Deny = "deny", Allow = "allow" }
}

crate::closed_set! {
    /// Whether a call of a tool wants a person.
    ToolApproval { Allow = "allow", AllowWorkspace = "allow-workspace", Prompt = "prompt", PromptOnDeniedOrPrivileged = "prompt-on-denied-or-privileged", Deny = "deny" }
}

crate::closed_set! {
    /// How much of a call is kept.
    AuditLevel { Metadata = "metadata", Inputs = "inputs", Outputs = "outputs", FullRedactedTranscript = "full-redacted-transcript" }
}

crate::closed_set! {
    /// How an MCP server is reached.
    McpTransport { Stdio = "stdio", Sse = "sse", StreamableHttp = "streamable-http" }
}

crate::closed_set! {
    /// For what an MCP server is there.
    McpScope { Organization = "organization", Repository = "repository", Stack = "stack" }
}

crate::closed_set! {
    /// Whether a call of an MCP server wants a person.
    McpApproval { Allow = "allow", ReadonlyAutoWritePrompt = "readonly-auto-write-prompt", Prompt = "prompt", Deny = "deny" }
}

crate::closed_set! {
    /// What the last probe found.
    McpHealth { Undetermined = "Unknown", Ready = "Ready", Degraded = "Degraded", Denied = "Denied", Failed = "Failed", Disabled = "Disabled" }
}

crate::closed_set! {
    /// What a skill is made of.
    SkillFormat { File = "file", Directory = "directory", Package = "package", Inline = "inline" }
}

crate::closed_set! {
    /// What an agent hands over.
    OutputFormat { MarkdownSummary = "markdown-summary", Checklist = "checklist", JsonFindings = "json-findings", Patch = "patch", ReviewComments = "review-comments", TestReport = "test-report", ReleaseReport = "release-report", RiskAssessment = "risk-assessment" }
}

crate::closed_set! {
    /// How far a memory may be shown.
    Sensitivity { Public = "public", Internal = "internal", Restricted = "restricted" }
}

fn no_network() -> NetworkPolicy {
    NetworkPolicy::default()
}

fn metadata() -> AuditLevel {
    AuditLevel::Metadata
}

fn prompt() -> McpApproval {
    McpApproval::Prompt
}

fn five_minutes() -> Dur {
    Dur::literal("5m")
}

fn graph_and_grep() -> String {
    "graph-and-grep".to_owned()
}

const fn context_bytes() -> i64 {
    128_000
}

fn internal() -> Sensitivity {
    Sensitivity::Internal
}

/// Tools that an agent brings itself; what is not said is off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NativeTools {
    /// Runs commands.
    #[serde(default)]
    pub shell: bool,
    /// Reads and writes files.
    #[serde(default)]
    pub filesystem: bool,
    /// Opens pages.
    #[serde(default)]
    pub browser: bool,
    /// Searches code.
    #[serde(default)]
    pub code_search: bool,
    /// Runs Git.
    #[serde(default)]
    pub git: bool,
    /// Runs tests.
    #[serde(default)]
    pub test_runner: bool,
    /// Installs packages.
    #[serde(default)]
    pub package_manager: bool,
}

/// Where an agent may connect to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPolicy {
    /// What holds for hosts that are not listed.
    #[serde(default)]
    pub default: NetworkDefault,
    /// Hosts, by the patterns of P17.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 512)), extend("x-kubernetes-list-type" = "atomic"))]
    pub allow_hosts: Vec<String>,
}

/// Which tools, files, hosts and commands an agent may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentToolProfile",
    plural = "agenttoolprofiles",
    shortname = "atp",
    category = "krate",
    category = "krate-agents",
    namespaced,
    status = "AgentToolProfileStatus",
    derive = "PartialEq",
    doc = "Which tools, files, hosts and commands an agent may use."
)]
#[serde(rename_all = "camelCase")]
pub struct AgentToolProfileSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Tools that the agent brings itself.
    #[serde(default)]
    pub native_tools: NativeTools,
    /// What they may do with files.
    pub filesystem_policy: FilesystemPolicy,
    /// Where they may connect to; absent: nowhere.
    #[serde(default = "no_network")]
    pub network_policy: NetworkPolicy,
    /// Commands that the shell may run (P18).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub allowed_commands: Vec<String>,
    /// Commands that it may not, whatever else allows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub denied_commands: Vec<String>,
    /// Which tools may be called, and whether a person is asked; a tool that is not here may not.
    #[schemars(extend("maxProperties" = 64))]
    pub approval_policy_by_tool: BTreeMap<String, ToolApproval>,
    /// How much of a call is kept.
    #[serde(default = "metadata")]
    pub audit_level: AuditLevel,
}

phases! {
    /// Phases of [`AgentToolProfile`].
    AgentToolProfilePhase { Pending = "Pending", Ready = "Ready", Blocked = "Blocked", Error = "Error" }
}

/// What is so with [`AgentToolProfile`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentToolProfileStatus {
    /// Phase.
    pub phase: AgentToolProfilePhase,
    /// Conditions: `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

resource!(AgentToolProfile, AgentToolProfileSpec, AgentToolProfileStatus, |spec| Some(&spec.organization_ref));

/// A header whose value is kept in a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderSource {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Where its value is.
    pub secret_ref: SecretKeyRef,
}

/// A Secret or a ConfigMap whose keys become environment variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentSource {
    /// The Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// The ConfigMap, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<SecretRef>,
    /// What stands before each name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub prefix: Option<String>,
}

/// A tool of an MCP server as a person saw it (A62).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReviewedTool {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Digest of its schema; one of another schema is off.
    pub schema_digest: Digest,
}

/// A tool that an MCP server names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiscoveredTool {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Digest of its schema.
    pub schema_digest: Digest,
}

/// A managed MCP endpoint, its health and the tools that were seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentMcpServer",
    plural = "agentmcpservers",
    shortname = "amcp",
    category = "krate",
    category = "krate-agents",
    namespaced,
    status = "AgentMcpServerStatus",
    derive = "PartialEq",
    doc = "A managed MCP endpoint, its health and the tools that were seen."
)]
#[x_kube(validation = Rule::new("has(self.url) == (self.transport != 'stdio')")
        .message("R61: spec.url is there for a transport over the network, and for no other")
        .field_path(".url")
        .reason(Reason::FieldValueInvalid))]
#[x_kube(validation = Rule::new("has(self.command) == (self.transport == 'stdio')")
        .message("R61: spec.command is there for the transport stdio, and for no other")
        .field_path(".command")
        .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct AgentMcpServerSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// How it is reached.
    pub transport: McpTransport,
    /// Its address, for a transport over the network (R61).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,
    /// Its program, for the transport stdio (R61).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub command: Option<String>,
    /// Arguments of the program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub args: Vec<String>,
    /// For what it is there.
    pub scope: McpScope,
    /// For which repositories, with the scope repository.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "Repository"))]
    pub repositories: BTreeSet<String>,
    /// For which stacks; none: all of its scope.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentStack"))]
    pub allowed_agent_stacks: BTreeSet<String>,
    /// Whether a call wants a person.
    #[serde(default = "prompt")]
    pub approval_policy: McpApproval,
    /// Keys of Secrets that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub secret_refs: Vec<SecretKeyRef>,
    /// Keys of ConfigMaps that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub config_refs: Vec<ConfigMapKeyRef>,
    /// What becomes environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub env_from: Vec<EnvironmentSource>,
    /// Headers whose values are secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers_from: Vec<HeaderSource>,
    /// How often its health is looked at.
    #[serde(default = "five_minutes")]
    pub probe_interval: Dur,
    /// Tools that a person saw; any other is off (A62).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub reviewed_tools: Vec<ReviewedTool>,
    /// Whether it is off.
    #[serde(default)]
    pub suspend: bool,
}

phases! {
    /// Phases of [`AgentMcpServer`].
    AgentMcpServerPhase { Pending = "Pending", Ready = "Ready", Blocked = "Blocked", Error = "Error" }
}

/// What is so with [`AgentMcpServer`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentMcpServerStatus {
    /// Phase.
    pub phase: AgentMcpServerPhase,
    /// Conditions: `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What the last probe found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<McpHealth>,
    /// Tools that it names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub discovered_tools: Vec<DiscoveredTool>,
    /// When it was last looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_probe_at: Option<Time>,
}

resource!(AgentMcpServer, AgentMcpServerSpec, AgentMcpServerStatus, |spec| Some(&spec.organization_ref));

/// Where a skill is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SkillSource {
    /// The repository, for a file or a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "Repository"))]
    pub repository: Option<String>,
    /// The path in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub path: Option<String>,
    /// The full ref.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub git_ref: Option<String>,
    /// Digest of the content; needed for a package and inline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// What a result must look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputContract {
    /// Its form.
    pub format: OutputFormat,
    /// Headings that it must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub required_sections: Vec<String>,
}

/// A runbook: prompt fragment, needs and what it hands over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentSkill",
    plural = "agentskills",
    shortname = "ask",
    category = "krate",
    category = "krate-agents",
    namespaced,
    status = "AgentSkillStatus",
    derive = "PartialEq",
    doc = "A runbook: prompt fragment, needs and what it hands over."
)]
#[x_kube(validation = Rule::new("!(self.format in ['file', 'directory']) || has(self.sourceRef.repository)")
        .message("R61: spec.sourceRef.repository is there for file and directory")
        .field_path(".sourceRef.repository")
        .reason(Reason::FieldValueRequired))]
#[x_kube(validation = Rule::new("!(self.format in ['file', 'directory']) || has(self.sourceRef.path)")
        .message("R61: spec.sourceRef.path is there for file and directory")
        .field_path(".sourceRef.path")
        .reason(Reason::FieldValueRequired))]
#[x_kube(validation = Rule::new("!(self.format in ['inline', 'package']) || has(self.sourceRef.digest)")
        .message("R61: spec.sourceRef.digest is there for inline and package")
        .field_path(".sourceRef.digest")
        .reason(Reason::FieldValueRequired))]
#[serde(rename_all = "camelCase")]
pub struct AgentSkillSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub description: Option<String>,
    /// What it is made of.
    pub format: SkillFormat,
    /// Where it is kept.
    pub source_ref: SkillSource,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub version: Option<String>,
    /// What it adds to the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub prompt_fragment: Option<String>,
    /// Tools that it needs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub required_tools: BTreeSet<String>,
    /// MCP servers that it needs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentMcpServer"))]
    pub required_mcp_servers: BTreeSet<String>,
    /// Keys of Secrets that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub required_secret_refs: Vec<SecretKeyRef>,
    /// Keys of ConfigMaps that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub required_config_refs: Vec<ConfigMapKeyRef>,
    /// Agents that it works with; none: all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub compatible_base_agents: BTreeSet<String>,
    /// Kinds of tasks that it is for; none: all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub task_kinds: BTreeSet<String>,
    /// What it hands over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_contract: Option<OutputContract>,
    /// Stacks that may use it; none: all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentStack"))]
    pub allowed_agent_stacks: BTreeSet<String>,
}

phases! {
    /// Phases of [`AgentSkill`].
    AgentSkillPhase { Pending = "Pending", Ready = "Ready", Blocked = "Blocked", Error = "Error" }
}

/// What is so with [`AgentSkill`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentSkillStatus {
    /// Phase.
    pub phase: AgentSkillPhase,
    /// Conditions: `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Digest of what it was when it was last looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_digest: Option<Digest>,
}

resource!(AgentSkill, AgentSkillSpec, AgentSkillStatus, |spec| Some(&spec.organization_ref));

/// Who reads a memory source: of each list that is given, one has to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MemoryTargets {
    /// Repositories.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "Repository"))]
    pub repositories: BTreeSet<String>,
    /// Teams.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "Team"))]
    pub teams: BTreeSet<String>,
    /// Stacks.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "AgentStack"))]
    pub stacks: BTreeSet<String>,
    /// Trigger sources.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub triggers: BTreeSet<String>,
}

/// Paths and kinds of a memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MemorySelection {
    /// Patterns of paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 512)), extend("x-kubernetes-list-type" = "atomic"))]
    pub paths: Vec<String>,
    /// Kinds of nodes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub graph_kinds: BTreeSet<String>,
}

/// Who may read which paths and kinds of a memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentMemorySource",
    plural = "agentmemorysources",
    shortname = "ams",
    category = "krate",
    category = "krate-memory",
    namespaced,
    status = "AgentMemorySourceStatus",
    derive = "PartialEq",
    doc = "Who may read which paths and kinds of a memory."
)]
#[x_kube(validation = Rule::new("has(self.repositoryRef) != has(self.sharedRepositoryRef)")
        .message("R4: spec has exactly one of repositoryRef and sharedRepositoryRef")
        .field_path(".repositoryRef")
        .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct AgentMemorySourceSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentMemoryRepository"))]
    pub repository_ref: Option<String>,
    /// The memory of another organization, in its place (R4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_repository_ref: Option<CrossOrgRef>,
    /// Who reads it.
    pub applies_to: MemoryTargets,
    /// What is read.
    pub include: MemorySelection,
    /// What is not.
    #[serde(default)]
    pub exclude: MemorySelection,
    /// How it is asked where a run doesn't say.
    #[serde(default = "graph_and_grep")]
    #[schemars(length(max = 253))]
    pub default_query_mode: String,
    /// How much of it a run gets at most, in bytes.
    #[serde(default = "context_bytes")]
    #[schemars(range(min = 1))]
    pub max_context_bytes: i64,
    /// How sensitive what it gives may be.
    #[serde(default = "internal")]
    pub max_sensitivity: Sensitivity,
}

phases! {
    /// Phases of [`AgentMemorySource`].
    AgentMemorySourcePhase { Pending = "Pending", Ready = "Ready", Error = "Error" }
}

/// What is so with [`AgentMemorySource`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentMemorySourceStatus {
    /// Phase.
    pub phase: AgentMemorySourcePhase,
    /// Conditions: `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

resource!(AgentMemorySource, AgentMemorySourceSpec, AgentMemorySourceStatus, |spec| Some(&spec.organization_ref));
