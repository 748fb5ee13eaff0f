//! What agents may use: grants of Secrets and ConfigMaps, and role bindings. Spec: resource-kinds.md section 4, R10, R16, R65.

use std::collections::{BTreeMap, BTreeSet};

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{Condition, NATIVE_KEY, NATIVE_NAME, RefFilter, Time};
use crate::resource::{phases, resource};
use crate::store::{Index, sortable_time};

crate::closed_set! {
    /// What a grant is given to.
    GrantSubjectKind {
        AgentStack = "agent-stack", Subagent = "subagent", Tool = "tool", McpServer = "mcp-server", Skill = "skill",
        Runner = "runner", ServiceAccount = "service-account",
    }
}

/// Who may use what the grant names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantSubject {
    /// What it is.
    pub kind: GrantSubjectKind,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Only when it acts in this stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentStack"))]
    pub stack_ref: Option<String>,
    /// Only when it runs as this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentServiceAccount"))]
    pub service_account_ref: Option<String>,
}

/// Keys of one Secret or ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantTarget {
    /// Its name.
    #[schemars(length(max = 253), regex(pattern = NATIVE_NAME))]
    pub name: String,
    /// Its namespace, where it is lent by the platform (R10).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// The keys; no patterns (R16).
    #[schemars(length(min = 1), inner(length(max = 253), regex(pattern = NATIVE_KEY)), extend("x-kubernetes-list-type" = "set"))]
    pub keys: BTreeSet<String>,
}

crate::closed_set! {
    /// What a secret is used for.
    SecretPurpose {
        ModelProviderToken = "model-provider-token", GitCredential = "git-credential", McpServer = "mcp-server",
        Tool = "tool", Skill = "skill", Runner = "runner", WebhookSigning = "webhook-signing",
        ImagePull = "image-pull", Cache = "cache", Deployment = "deployment",
    }
}

crate::closed_set! {
    /// How a secret is handed over.
    SecretMount {
        Env = "env", File = "file", ProjectedVolume = "projected-volume",
        ByReference = "never-mount-pass-by-reference",
    }
}

crate::closed_set! {
    /// What a configuration is used for.
    ConfigPurpose {
        ToolConfig = "tool-config", SkillConfig = "skill-config", McpConfig = "mcp-config",
        RunnerConfig = "runner-config", PromptTemplate = "prompt-template", RepositoryPolicy = "repository-policy",
    }
}

crate::closed_set! {
    /// How a configuration is handed over.
    ConfigMount { Env = "env", File = "file", ProjectedVolume = "projected-volume", ApiRead = "api-read" }
}

crate::closed_set! {
    /// When a person is asked first (P23).
    RequiredApproval { Never = "never", OnUntrustedRef = "on-untrusted-ref", Always = "always" }
}

fn by_reference() -> SecretMount {
    SecretMount::ByReference
}

fn file() -> ConfigMount {
    ConfigMount::File
}

fn on_untrusted_ref() -> RequiredApproval {
    RequiredApproval::OnUntrustedRef
}

fn never() -> RequiredApproval {
    RequiredApproval::Never
}

/// How old the value may get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotationPolicy {
    /// In days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_age_days: Option<i64>,
}

/// A subject may use keys of a Secret for a purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentSecretGrant",
    plural = "agentsecretgrants",
    shortname = "asg",
    category = "krate",
    category = "krate-policy",
    namespaced,
    status = "AgentSecretGrantStatus",
    derive = "PartialEq",
    doc = "A subject may use keys of a Secret for a purpose.",
    printcolumn(name = "Subject", type_ = "string", json_path = ".spec.subject.name"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".spec.secretRef.name"),
    printcolumn(name = "Purpose", type_ = "string", json_path = ".spec.purpose"),
    printcolumn(name = "Expires", type_ = "date", json_path = ".spec.expiresAt")
)]
#[serde(rename_all = "camelCase")]
pub struct AgentSecretGrantSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Who may use it.
    #[schemars(extend("x-krate-immutable" = true))]
    pub subject: GrantSubject,
    /// Of which Secret which keys.
    #[schemars(extend("x-krate-immutable" = true))]
    pub secret_ref: GrantTarget,
    /// For what.
    pub purpose: SecretPurpose,
    /// In which repositories; empty grants nothing (R16).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "Repository"))]
    pub allowed_repositories: BTreeSet<String>,
    /// For which refs; absent fits only requests without a ref (P15).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_refs: Option<RefFilter>,
    /// In which environments; empty fits only requests without one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_environments: BTreeSet<String>,
    /// For which trigger sources; empty fits only requests without one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_trigger_sources: BTreeSet<String>,
    /// Whether causes from forks may use it (P24).
    #[serde(default)]
    pub allow_fork_causes: bool,
    /// How it is handed over.
    #[serde(default = "by_reference")]
    pub mount_policy: SecretMount,
    /// When a person is asked first.
    #[serde(default = "on_untrusted_ref")]
    pub required_approval: RequiredApproval,
    /// From when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Until when, not included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// How often.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_uses: Option<i64>,
    /// Whether it was taken back.
    #[serde(default)]
    pub revoked: bool,
    /// How old the value may get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_policy: Option<RotationPolicy>,
}

impl AgentSecretGrantSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(
        organization: impl Into<String>,
        subject: GrantSubject,
        secret_ref: GrantTarget,
        purpose: SecretPurpose,
    ) -> Self {
        Self {
            organization_ref: organization.into(),
            subject,
            secret_ref,
            purpose,
            allowed_repositories: BTreeSet::new(),
            allowed_refs: None,
            allowed_environments: BTreeSet::new(),
            allowed_trigger_sources: BTreeSet::new(),
            allow_fork_causes: false,
            mount_policy: by_reference(),
            required_approval: on_untrusted_ref(),
            not_before: None,
            expires_at: None,
            max_uses: None,
            revoked: false,
            rotation_policy: None,
        }
    }
}

phases! {
    /// Phases of [`AgentSecretGrant`].
    AgentSecretGrantPhase { Pending = "Pending", Active = "Active", Expired = "Expired", Revoked = "Revoked", Exhausted = "Exhausted" }
}

/// What is so with [`AgentSecretGrant`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentSecretGrantStatus {
    /// Phase.
    pub phase: AgentSecretGrantPhase,
    /// Conditions: `SecretExists`, `KeysExist`, `SubjectAuthorized`, `PolicyAdmitted`, `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How often it was used.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub uses: i64,
    /// Uid of the subject when it was granted (P20).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub subject_uid: Option<String>,
    /// Uid of the target when it was granted (P20).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub target_uid: Option<String>,
    /// Uids of the repositories when they were granted, by the name in `allowedRepositories` (P20). One without is pending: the grant gives nothing there yet.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 1024), inner(length(max = 253)))]
    pub repository_uids: BTreeMap<String, String>,
    /// Keys that the target has.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub keys_present: BTreeSet<String>,
    /// The target's version when it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub target_version: Option<String>,
    /// Whether a person should look at it again, as after a rename (P20).
    #[serde(default)]
    pub for_review: bool,
}

resource!(
    AgentSecretGrant,
    AgentSecretGrantSpec,
    AgentSecretGrantStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Subject, format!("{}/{}", object.spec.subject.kind, object.spec.subject.name));
        if let (Some(end), "Pending" | "Active") = (object.spec.expires_at, object.phase()) {
            add(Index::Due, sortable_time(end));
        }
    }
);

/// A subject may use keys of a ConfigMap for a purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentConfigGrant",
    plural = "agentconfiggrants",
    shortname = "acg",
    category = "krate",
    category = "krate-policy",
    namespaced,
    status = "AgentConfigGrantStatus",
    derive = "PartialEq",
    doc = "A subject may use keys of a ConfigMap for a purpose.",
    printcolumn(name = "Subject", type_ = "string", json_path = ".spec.subject.name"),
    printcolumn(name = "ConfigMap", type_ = "string", json_path = ".spec.configMapRef.name"),
    printcolumn(name = "Purpose", type_ = "string", json_path = ".spec.purpose"),
    printcolumn(name = "Expires", type_ = "date", json_path = ".spec.expiresAt")
)]
#[serde(rename_all = "camelCase")]
pub struct AgentConfigGrantSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Who may use it.
    #[schemars(extend("x-krate-immutable" = true))]
    pub subject: GrantSubject,
    /// Of which ConfigMap which keys.
    #[schemars(extend("x-krate-immutable" = true))]
    pub config_map_ref: GrantTarget,
    /// For what.
    pub purpose: ConfigPurpose,
    /// In which repositories; empty grants nothing (R16).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "Repository"))]
    pub allowed_repositories: BTreeSet<String>,
    /// For which refs; absent fits only requests without a ref (P15).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_refs: Option<RefFilter>,
    /// In which environments; empty fits only requests without one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_environments: BTreeSet<String>,
    /// For which trigger sources; empty fits only requests without one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_trigger_sources: BTreeSet<String>,
    /// Whether causes from forks may use it (P24).
    #[serde(default)]
    pub allow_fork_causes: bool,
    /// How it is handed over.
    #[serde(default = "file")]
    pub mount_policy: ConfigMount,
    /// When a person is asked first.
    #[serde(default = "never")]
    pub required_approval: RequiredApproval,
    /// From when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Until when, not included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// How often.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_uses: Option<i64>,
    /// Whether it was taken back.
    #[serde(default)]
    pub revoked: bool,
}

impl AgentConfigGrantSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(
        organization: impl Into<String>,
        subject: GrantSubject,
        config_map_ref: GrantTarget,
        purpose: ConfigPurpose,
    ) -> Self {
        Self {
            organization_ref: organization.into(),
            subject,
            config_map_ref,
            purpose,
            allowed_repositories: BTreeSet::new(),
            allowed_refs: None,
            allowed_environments: BTreeSet::new(),
            allowed_trigger_sources: BTreeSet::new(),
            allow_fork_causes: false,
            mount_policy: file(),
            required_approval: never(),
            not_before: None,
            expires_at: None,
            max_uses: None,
            revoked: false,
        }
    }
}

phases! {
    /// Phases of [`AgentConfigGrant`].
    AgentConfigGrantPhase { Pending = "Pending", Active = "Active", Expired = "Expired", Revoked = "Revoked", Exhausted = "Exhausted" }
}

/// What is so with [`AgentConfigGrant`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentConfigGrantStatus {
    /// Phase.
    pub phase: AgentConfigGrantPhase,
    /// Conditions: `ConfigMapExists`, `KeysExist`, `SubjectAuthorized`, `PolicyAdmitted`, `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How often it was used.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub uses: i64,
    /// Uid of the subject when it was granted (P20).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub subject_uid: Option<String>,
    /// Uid of the target when it was granted (P20).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub target_uid: Option<String>,
    /// Uids of the repositories when they were granted, by the name in `allowedRepositories` (P20). One without is pending: the grant gives nothing there yet.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 1024), inner(length(max = 253)))]
    pub repository_uids: BTreeMap<String, String>,
    /// Keys that the target has.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub keys_present: BTreeSet<String>,
    /// The target's version when it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub target_version: Option<String>,
    /// Whether a person should look at it again, as after a rename (P20).
    #[serde(default)]
    pub for_review: bool,
}

resource!(
    AgentConfigGrant,
    AgentConfigGrantSpec,
    AgentConfigGrantStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Subject, format!("{}/{}", object.spec.subject.kind, object.spec.subject.name));
        if let (Some(end), "Pending" | "Active") = (object.spec.expires_at, object.phase()) {
            add(Index::Due, sortable_time(end));
        }
    }
);

crate::closed_set! {
    /// Whose role it is.
    RoleSubjectKind {
        User = "user", Group = "group", Team = "team", AgentStack = "agent-stack", Subagent = "subagent",
        Runner = "runner", ServiceAccount = "service-account",
    }
}

/// Whose role it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleSubject {
    /// What it is.
    pub kind: RoleSubjectKind,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The account that it runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentServiceAccount"))]
    pub service_account_ref: Option<String>,
}

crate::closed_set! {
    /// What a role is written in.
    RoleKind { Role = "Role", ClusterRole = "ClusterRole", RoleTemplate = "RoleTemplate" }
}

/// The role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleRef {
    /// What it is written in.
    pub kind: RoleKind,
    /// Its name; of a template as in permission-review.md section 8.
    #[schemars(length(max = 253))]
    pub name: String,
}

crate::closed_set! {
    /// How far a role reaches.
    ScopeKind { Organization = "organization", Repository = "repository", Environment = "environment" }
}

/// How far a role reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleScope {
    /// What of.
    pub kind: ScopeKind,
    /// Its name; given except for the organization (R65).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
}

/// What a role of one's own allows; no wildcards (R65).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRule {
    /// API groups.
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub api_groups: BTreeSet<String>,
    /// Resources by their plural.
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub resources: BTreeSet<String>,
    /// Verbs.
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub verbs: BTreeSet<String>,
    /// Only objects of these names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub resource_names: BTreeSet<String>,
}

crate::closed_set! {
    /// What happens to a role that would give more than its giver has.
    EscalationPolicy { Deny = "deny", RequireAdminApproval = "require-admin-approval" }
}

fn deny() -> EscalationPolicy {
    EscalationPolicy::Deny
}

/// The role of a subject, projected to native RBAC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AgentRoleBinding",
    plural = "agentrolebindings",
    shortname = "arb",
    category = "krate",
    category = "krate-policy",
    namespaced,
    status = "AgentRoleBindingStatus",
    derive = "PartialEq",
    doc = "The role of a subject, projected to native RBAC.",
    printcolumn(name = "Subject", type_ = "string", json_path = ".spec.subject.name"),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.roleRef.name"),
    printcolumn(name = "Scope", type_ = "string", json_path = ".spec.scope.kind")
)]
#[serde(rename_all = "camelCase")]
pub struct AgentRoleBindingSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Whose role it is.
    #[schemars(extend("x-krate-immutable" = true))]
    pub subject: RoleSubject,
    /// The role.
    #[schemars(extend("x-krate-immutable" = true))]
    pub role_ref: RoleRef,
    /// How far it reaches.
    #[schemars(extend("x-krate-immutable" = true))]
    pub scope: RoleScope,
    /// What a role of its own allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub resource_rules: Vec<ResourceRule>,
    /// Name of the native binding.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub native_role_binding_name: Option<String>,
    /// What happens when it would give more than its giver has.
    #[serde(default = "deny")]
    pub escalation_policy: EscalationPolicy,
}

impl AgentRoleBindingSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(organization: impl Into<String>, subject: RoleSubject, role_ref: RoleRef, scope: RoleScope) -> Self {
        Self {
            organization_ref: organization.into(),
            subject,
            role_ref,
            scope,
            resource_rules: Vec::new(),
            native_role_binding_name: None,
            escalation_policy: deny(),
        }
    }
}

phases! {
    /// Phases of [`AgentRoleBinding`].
    AgentRoleBindingPhase { Pending = "Pending", Synced = "Synced", Drifted = "Drifted", Denied = "Denied", Failed = "Failed" }
}

/// What is so with [`AgentRoleBinding`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentRoleBindingStatus {
    /// Phase.
    pub phase: AgentRoleBindingPhase,
    /// Conditions: `RoleResolved`, `SubjectsResolved`, `NativeBindingSynced`, `EscalationAdmitted`, `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Uid of the subject when it was bound (P20).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub subject_uid: Option<String>,
    /// Uid of the scope's repository when it was bound (P20). Without it a binding in a repository gives nothing yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub repository_uid: Option<String>,
    /// Native roles that were written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub synced_role_refs: Vec<String>,
}

resource!(
    AgentRoleBinding,
    AgentRoleBindingSpec,
    AgentRoleBindingStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Subject, format!("{}/{}", object.spec.subject.kind, object.spec.subject.name));
    }
);
