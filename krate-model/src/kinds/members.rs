//! Members of an organization: people, teams, and what they may do in a repository. Spec: resource-kinds.md section 4.

use std::collections::{BTreeMap, BTreeSet};

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{Condition, ExternalEnvelope, ObjectRef, Time};
use crate::resource::{index_envelope, phases, resource};
use crate::store::Index;

crate::closed_set! {
    /// How much of a repository is somebody's.
    Permission { Read = "read", Triage = "triage", Write = "write", Maintain = "maintain", Admin = "admin" }
}

crate::closed_set! {
    /// Whether a person may act.
    UserState { Active = "active", Suspended = "suspended" }
}

fn active() -> UserState {
    UserState::Active
}

/// An account of a person, as its mapping has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The IdentityMapping.
    #[schemars(length(max = 253))]
    pub mapping: String,
    /// The provider that knows the account.
    #[schemars(length(max = 253))]
    pub provider: String,
    /// The login at the time, for display.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub login: Option<String>,
    /// Whether the account proved to be the person's.
    #[serde(default)]
    pub verified: bool,
}

/// A person: profile, state, linked identities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "User",
    plural = "users",
    shortname = "kuser",
    category = "krate",
    category = "krate-identity",
    namespaced,
    status = "UserStatus",
    derive = "PartialEq",
    doc = "A person: profile, state, linked identities."
)]
#[serde(rename_all = "camelCase")]
pub struct UserSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Name for people.
    #[schemars(length(max = 253))]
    pub display_name: String,
    /// Address for messages; it proves nothing (P64).
    #[schemars(length(max = 254))]
    pub email: String,
    /// Name to sign in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub username: Option<String>,
    /// Whether the person may act.
    #[serde(default = "active")]
    pub state: UserState,
    /// Whether the person administers this organization.
    #[serde(default)]
    pub admin: bool,
}

impl UserSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(organization: impl Into<String>, display_name: impl Into<String>, email: impl Into<String>) -> Self {
        Self {
            organization_ref: organization.into(),
            display_name: display_name.into(),
            email: email.into(),
            username: None,
            state: active(),
            admin: false,
        }
    }
}

phases! {
    /// Phases of [`User`].
    UserPhase { Active = "Active", Suspended = "Suspended" }
}

/// What is so with [`User`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UserStatus {
    /// Phase.
    pub phase: UserPhase,
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accounts of the person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["mapping"]))]
    pub identities: Vec<Identity>,
}

resource!(User, UserSpec, UserStatus, |spec| Some(&spec.organization_ref));

/// What a team may do in one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryGrant {
    /// The repository.
    #[schemars(length(max = 253), extend("x-krate-ref" = "Repository"))]
    pub repository: String,
    /// How much.
    pub permission: Permission,
}

/// A team: members, maintainers, repository grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "Team",
    plural = "teams",
    shortname = "kteam",
    category = "krate",
    category = "krate-identity",
    namespaced,
    status = "TeamStatus",
    derive = "PartialEq",
    doc = "A team: members, maintainers, repository grants."
)]
#[serde(rename_all = "camelCase")]
pub struct TeamSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Name for people.
    #[schemars(length(max = 253))]
    pub display_name: String,
    /// Who is in it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "User"))]
    pub members: BTreeSet<String>,
    /// Who keeps it; they count as members.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "User"))]
    pub maintainers: BTreeSet<String>,
    /// What its members may do where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["repository"]))]
    pub repository_grants: Vec<RepositoryGrant>,
}

impl TeamSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(organization: impl Into<String>, display_name: impl Into<String>) -> Self {
        Self {
            organization_ref: organization.into(),
            display_name: display_name.into(),
            members: BTreeSet::new(),
            maintainers: BTreeSet::new(),
            repository_grants: Vec::new(),
        }
    }
}

phases! {
    /// Phases of [`Team`].
    TeamPhase { Pending = "Pending", Ready = "Ready" }
}

/// What is so with [`Team`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TeamStatus {
    /// Phase.
    pub phase: TeamPhase,
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The group of the sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// How many are in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub member_count: Option<i64>,
    /// Uids of the repositories when they were granted, by the name in `repositoryGrants` (P20). One without is pending: its grant gives nothing yet.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 1024), inner(length(max = 253)))]
    pub repository_uids: BTreeMap<String, String>,
}

resource!(Team, TeamSpec, TeamStatus, |spec| Some(&spec.organization_ref));

crate::closed_set! {
    /// Whose permission it is.
    PermissionSubjectKind { User = "user", Team = "team", Agent = "agent" }
}

/// Whose permission it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PermissionSubject {
    /// What it is.
    pub kind: PermissionSubjectKind,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
}

/// One subject's permission on one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "RepositoryPermission",
    plural = "repositorypermissions",
    shortname = "rperm",
    category = "krate",
    category = "krate-forge",
    namespaced,
    status = "RepositoryPermissionStatus",
    derive = "PartialEq",
    doc = "One subject's permission on one repository."
)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryPermissionSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The repository.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Repository"))]
    pub repository: String,
    /// Whose permission it is.
    #[schemars(extend("x-krate-immutable" = true))]
    pub subject: PermissionSubject,
    /// How much.
    pub permission: Permission,
    /// Whether it was taken back.
    #[serde(default)]
    pub revoked: bool,
}

impl RepositoryPermissionSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(
        organization: impl Into<String>,
        repository: impl Into<String>,
        subject: PermissionSubject,
        permission: Permission,
    ) -> Self {
        Self {
            organization_ref: organization.into(),
            repository: repository.into(),
            subject,
            permission,
            revoked: false,
        }
    }
}

phases! {
    /// Phases of [`RepositoryPermission`].
    RepositoryPermissionPhase { Pending = "Pending", Applied = "Applied", Drifted = "Drifted", Revoked = "Revoked", Failed = "Failed" }
}

/// What is so with [`RepositoryPermission`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RepositoryPermissionStatus {
    /// Phase.
    pub phase: RepositoryPermissionPhase,
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The provider's word for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub native_permission: Option<String>,
    /// Uid of the repository when it was granted (P20).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub repository_uid: Option<String>,
    /// Where the object stands at its provider (S5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEnvelope>,
}

resource!(
    RepositoryPermission,
    RepositoryPermissionSpec,
    RepositoryPermissionStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Repository, object.spec.repository.clone());
        index_envelope(object.status.as_ref().and_then(|status| status.external.as_ref()), add);
    }
);

crate::closed_set! {
    /// How an account was proved to be a person's.
    VerificationMethod { SignIn = "sign-in", ProviderRead = "provider-read", Admin = "admin" }
}

/// An account of a person at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "IdentityMapping",
    plural = "identitymappings",
    shortname = "idm",
    category = "krate",
    category = "krate-identity",
    namespaced,
    status = "IdentityMappingStatus",
    derive = "PartialEq",
    doc = "An account of a person at a provider."
)]
#[serde(rename_all = "camelCase")]
pub struct IdentityMappingSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The person.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "User"))]
    pub user: String,
    /// The provider: an ExternalBackendProvider or an AuthProvider.
    #[schemars(extend("x-krate-immutable" = true))]
    pub provider: ObjectRef,
    /// The provider's stable id of the account, never a login (P64).
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub subject: String,
    /// The login at the time, for display.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub login: Option<String>,
    /// Address at the provider; it proves nothing (P64).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 254))]
    pub email: Option<String>,
}

impl IdentityMappingSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(
        organization: impl Into<String>,
        user: impl Into<String>,
        provider: ObjectRef,
        subject: impl Into<String>,
    ) -> Self {
        Self {
            organization_ref: organization.into(),
            user: user.into(),
            provider,
            subject: subject.into(),
            login: None,
            email: None,
        }
    }
}

phases! {
    /// Phases of [`IdentityMapping`].
    IdentityMappingPhase { Pending = "Pending", Verified = "Verified", Rejected = "Rejected" }
}

/// What is so with [`IdentityMapping`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IdentityMappingStatus {
    /// Phase.
    pub phase: IdentityMappingPhase,
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When it was proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Time>,
    /// How it was proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<VerificationMethod>,
}

resource!(
    IdentityMapping,
    IdentityMappingSpec,
    IdentityMappingStatus,
    |spec| Some(&spec.organization_ref),
    |object, add| {
        add(Index::Subject, format!("User/{}", object.spec.user));
    }
);
