//! Repositories. Spec: resource-kinds.md section 4, R71.

use std::collections::BTreeSet;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sets::Visibility;
use super::shared::{Condition, ExternalEnvelope, SyncSummary};
use crate::resource::{index_envelope, phases, resource};

crate::closed_set! {
    /// Who keeps the repository: krate, or a provider.
    #[derive(Default)]
    BackendMode {
        #[default] Managed = "managed",
        External = "external",
    }
}

/// Where the repository is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.bindingRef) == (self.mode == 'external')")
        .message("R71: spec.backend.bindingRef is set exactly when spec.backend.mode is external")
        .field_path(".bindingRef")
        .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct RepositoryBackend {
    /// Who keeps it.
    #[serde(default)]
    pub mode: BackendMode,
    /// The binding to the provider, exactly with `external` (R71).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "ExternalBackendBinding"))]
    pub binding_ref: Option<String>,
}

/// What is kept beside Git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStorage {
    /// Large files.
    #[serde(default = "yes")]
    pub lfs: bool,
    /// Artifacts of runs.
    #[serde(default = "yes")]
    pub artifacts: bool,
}

crate::closed_set! {
    /// What searches code.
    #[derive(Default)]
    SearchProvider {
        #[default] Zoekt = "zoekt",
    }
}

/// Code search.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CodeSearch {
    /// Whether the repository is indexed.
    #[serde(default)]
    pub enabled: bool,
    /// What searches.
    #[serde(default)]
    pub provider: SearchProvider,
}

fn yes() -> bool {
    true
}

fn main_branch() -> String {
    "main".into()
}

/// A repository's identity, visibility, default branch and backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "Repository",
    plural = "repositories",
    shortname = "repo",
    category = "krate",
    category = "krate-forge",
    namespaced,
    status = "RepositoryStatus",
    derive = "PartialEq",
    doc = "A repository's identity, visibility, default branch and backend.",
    printcolumn(name = "Visibility", type_ = "string", json_path = ".spec.visibility"),
    printcolumn(name = "Branch", type_ = "string", json_path = ".spec.defaultBranch"),
    printcolumn(name = "Backend", type_ = "string", json_path = ".spec.backend.mode")
)]
#[serde(rename_all = "camelCase")]
pub struct RepositorySpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// The branch that others are compared with.
    #[serde(default = "main_branch")]
    #[schemars(length(max = 253))]
    pub default_branch: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Topics.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), length(max = 32), extend("x-kubernetes-list-type" = "set"))]
    pub topics: BTreeSet<String>,
    /// Whether it is read-only for good.
    #[serde(default)]
    pub archived: bool,
    /// Where it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<RepositoryBackend>,
    /// What is kept beside Git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_storage: Option<ObjectStorage>,
    /// Code search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<CodeSearch>,
}

impl RepositorySpec {
    /// What is required, and the defaults for the rest.
    pub fn new(organization: impl Into<String>, visibility: Visibility) -> Self {
        Self {
            organization_ref: organization.into(),
            visibility,
            default_branch: main_branch(),
            description: None,
            topics: BTreeSet::new(),
            archived: false,
            backend: None,
            object_storage: None,
            search: None,
        }
    }
}

phases! {
    /// Phases of a [`Repository`].
    RepositoryPhase {
        Pending = "Pending", Ready = "Ready", Archived = "Archived", Deleted = "Deleted", Failed = "Failed",
    }
}

/// Where it can be cloned from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloneUrls {
    /// Over HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), extend("format" = "uri"))]
    pub https: Option<String>,
    /// Over SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub ssh: Option<String>,
}

/// What is so with a [`Repository`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RepositoryStatus {
    /// Phase.
    pub phase: RepositoryPhase,
    /// Conditions: `Synced`, `Conflicted`, `WritePending`, `NeedsHydration`, `Orphaned`, `BackendReady`, `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it can be cloned from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clone_urls: Option<CloneUrls>,
    /// Head of the default branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub head_sha: Option<String>,
    /// Size.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub size_bytes: Option<i64>,
    /// Names that it had at the provider, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(max = 253)))]
    pub former_names: Vec<String>,
    /// Where the object stands at its provider (S5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEnvelope>,
    /// How the two sides stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncSummary>,
}

resource!(Repository, RepositorySpec, RepositoryStatus, |spec| Some(&spec.organization_ref), |object, add| {
    index_envelope(object.status.as_ref().and_then(|status| status.external.as_ref()), add);
});
