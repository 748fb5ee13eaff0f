//! What keeps a repository: keys, rules for refs, protected refs. Spec: resource-kinds.md section 4, R14, R54, R71.

use std::collections::BTreeSet;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{Condition, ExternalEnvelope, RefFilter, Time};
use crate::Digest;
use crate::resource::{index_envelope, phases, resource};
use crate::store::Index;

crate::closed_set! {
    /// Whose key it is.
    KeyScope { User = "user", Deploy = "deploy", Automation = "automation" }
}

const fn yes() -> bool {
    true
}

const fn one() -> i64 {
    1
}

/// A public key: a person's, a repository's, or one for automation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "SSHKey",
    plural = "sshkeys",
    category = "krate",
    category = "krate-forge",
    namespaced,
    status = "SSHKeyStatus",
    derive = "PartialEq",
    doc = "A public key: a person's, a repository's, or one for automation."
)]
#[x_kube(validation = Rule::new("has(self.owner) == (self.scope == 'user')")
        .message("R71: spec.owner is set exactly when spec.scope is user")
        .field_path(".owner")
        .reason(Reason::FieldValueInvalid))]
#[x_kube(validation = Rule::new("has(self.repository) == (self.scope == 'deploy')")
        .message("R71: spec.repository is set exactly when spec.scope is deploy")
        .field_path(".repository")
        .reason(Reason::FieldValueInvalid))]
#[x_kube(validation = Rule::new("!oldSelf.revoked || self.revoked")
        .message("R39: spec.revoked never goes back to false")
        .field_path(".revoked")
        .reason(Reason::FieldValueForbidden))]
#[serde(rename_all = "camelCase")]
pub struct SSHKeySpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Whose key it is.
    #[schemars(extend("x-krate-immutable" = true))]
    pub scope: KeyScope,
    /// One OpenSSH public key, without options (R14).
    #[schemars(length(max = 16384), extend("x-krate-immutable" = true))]
    pub key: String,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub title: Option<String>,
    /// The person, exactly for `user` (R71).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "User"))]
    pub owner: Option<String>,
    /// The repository, exactly for `deploy` (R71).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Repository"))]
    pub repository: Option<String>,
    /// Whether it reads only.
    #[serde(default = "yes")]
    pub read_only: bool,
    /// Whether it was taken back, for good.
    #[serde(default)]
    pub revoked: bool,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

impl SSHKeySpec {
    /// What is required, and the defaults for the rest. Which of owner and repository goes with the scope says R71.
    pub fn new(organization: impl Into<String>, scope: KeyScope, key: impl Into<String>) -> Self {
        Self {
            organization_ref: organization.into(),
            scope,
            key: key.into(),
            title: None,
            owner: None,
            repository: None,
            read_only: yes(),
            revoked: false,
            expires_at: None,
        }
    }
}

phases! {
    /// Phases of [`SSHKey`].
    SSHKeyPhase { Pending = "Pending", Active = "Active", Revoked = "Revoked", Expired = "Expired", Failed = "Failed" }
}

/// What is so with [`SSHKey`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SSHKeyStatus {
    /// Phase.
    pub phase: SSHKeyPhase,
    /// Conditions: `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `SHA256:` and base64, computed from the key and taken from nobody (R14).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub fingerprint: Option<String>,
    /// The key's type, such as `ssh-ed25519`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub key_type: Option<String>,
    /// Where the object stands at its provider (S5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEnvelope>,
}

resource!(SSHKey, SSHKeySpec, SSHKeyStatus, |spec| Some(&spec.organization_ref), |object, add| {
    if let Some(repository) = &object.spec.repository {
        add(Index::Repository, repository.clone());
    }
    index_envelope(object.status.as_ref().and_then(|status| status.external.as_ref()), add);
});

/// Rules for refs: which ones nobody moves, and how the others may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "RefPolicy",
    plural = "refpolicies",
    shortname = "refpol",
    category = "krate",
    category = "krate-forge",
    namespaced,
    status = "RefPolicyStatus",
    derive = "PartialEq",
    doc = "Rules for refs: which ones nobody moves, and how the others may."
)]
#[serde(rename_all = "camelCase")]
pub struct RefPolicySpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The repository; absent: every one of the organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "Repository"))]
    pub repository: Option<String>,
    /// Full refs that it is about.
    pub refs: RefFilter,
    /// Patterns of full refs that nobody creates or moves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 512)), extend("x-kubernetes-list-type" = "atomic"))]
    pub deny: Vec<String>,
    /// Whether a ref moves forward only.
    #[serde(default = "yes")]
    pub block_force_push: bool,
    /// Whether a ref stays.
    #[serde(default = "yes")]
    pub block_deletion: bool,
    /// Whether each commit is signed.
    #[serde(default)]
    pub require_signed_commits: bool,
    /// Whether there are no merge commits.
    #[serde(default)]
    pub require_linear_history: bool,
    /// The largest file, in bytes; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_file_bytes: Option<i64>,
}

impl RefPolicySpec {
    /// What is required, and the defaults for the rest.
    pub fn new(organization: impl Into<String>, refs: RefFilter) -> Self {
        Self {
            organization_ref: organization.into(),
            repository: None,
            refs,
            deny: Vec::new(),
            block_force_push: yes(),
            block_deletion: yes(),
            require_signed_commits: false,
            require_linear_history: false,
            max_file_bytes: None,
        }
    }
}

phases! {
    /// Phases of [`RefPolicy`].
    RefPolicyPhase { Pending = "Pending", Active = "Active", Failed = "Failed" }
}

/// What is so with [`RefPolicy`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RefPolicyStatus {
    /// Phase.
    pub phase: RefPolicyPhase,
    /// Conditions: `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Digest of the rules in force: the last ones that were valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_digest: Option<Digest>,
}

resource!(RefPolicy, RefPolicySpec, RefPolicyStatus, |spec| Some(&spec.organization_ref), |object, add| {
    if let Some(repository) = &object.spec.repository {
        add(Index::Repository, repository.clone());
    }
});

/// Protected refs, and what merging into them needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "BranchProtection",
    plural = "branchprotections",
    shortname = "bprot",
    category = "krate",
    category = "krate-forge",
    namespaced,
    status = "BranchProtectionStatus",
    derive = "PartialEq",
    doc = "Protected refs, and what merging into them needs."
)]
#[serde(rename_all = "camelCase")]
pub struct BranchProtectionSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The repository.
    #[schemars(length(max = 253), extend("x-krate-ref" = "Repository"))]
    pub repository: String,
    /// Full refs that it protects.
    pub refs: RefFilter,
    /// Whether changes come by pull requests only.
    #[serde(default = "yes")]
    pub require_pull_request: bool,
    /// How many reviews have to approve.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 10))]
    pub required_approvals: i64,
    /// Whether a new head makes approvals void.
    #[serde(default = "yes")]
    pub dismiss_stale_approvals: bool,
    /// Checks that have to pass.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub required_checks: BTreeSet<String>,
    /// Whether every conversation is resolved.
    #[serde(default)]
    pub require_conversation_resolution: bool,
    /// Principals (R54) and `team/` names that alone may push; none: everybody who may write.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub restrict_push_to: BTreeSet<String>,
    /// Whether administrators are bound, too.
    #[serde(default = "yes")]
    pub enforce_for_admins: bool,
}

impl BranchProtectionSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(organization: impl Into<String>, repository: impl Into<String>, refs: RefFilter) -> Self {
        Self {
            organization_ref: organization.into(),
            repository: repository.into(),
            refs,
            require_pull_request: yes(),
            required_approvals: one(),
            dismiss_stale_approvals: yes(),
            required_checks: BTreeSet::new(),
            require_conversation_resolution: false,
            restrict_push_to: BTreeSet::new(),
            enforce_for_admins: yes(),
        }
    }
}

phases! {
    /// Phases of [`BranchProtection`].
    BranchProtectionPhase { Pending = "Pending", Applied = "Applied", Drifted = "Drifted", Failed = "Failed" }
}

/// What is so with [`BranchProtection`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BranchProtectionStatus {
    /// Phase.
    pub phase: BranchProtectionPhase,
    /// Conditions: `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Digest of the rules as the provider has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_digest: Option<Digest>,
    /// Paths of fields in which the provider's rules are others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(max = 253)))]
    pub drift: Vec<String>,
    /// Where the object stands at its provider (S5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEnvelope>,
}

resource!(
    BranchProtection,
    BranchProtectionSpec,
    BranchProtectionStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Repository, object.spec.repository.clone());
        index_envelope(object.status.as_ref().and_then(|status| status.external.as_ref()), add);
    }
);
