//! Identity and organization: who the tenants are, which namespace is whose, and what two of them share. Spec:
//! resource-kinds.md section 4, R2 to R5, R30, R34.

use std::collections::BTreeSet;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sets::Visibility;
use super::shared::Condition;
use crate::resource::{phases, resource};

/// A tenant, bound to a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "Organization",
    plural = "organizations",
    shortname = "org",
    category = "krate",
    category = "krate-identity",
    namespaced,
    status = "OrganizationStatus",
    derive = "PartialEq",
    doc = "A tenant, bound to a namespace.",
    validation = Rule::new("self.spec.slug == self.metadata.name")
        .message("R30: spec.slug equals metadata.name")
        .field_path(".spec.slug")
        .reason(Reason::FieldValueInvalid),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.namespaceName"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status")
)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationSpec {
    /// Name for people.
    #[schemars(length(max = 128))]
    pub display_name: String,
    /// Name in references and labels: a DNS label that equals `metadata.name` (R30).
    #[schemars(
        length(max = 40),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
        extend("x-krate-immutable" = true)
    )]
    pub slug: String,
    /// The namespace that is the organization's alone (R5).
    #[schemars(
        length(max = 63),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
        extend("x-krate-immutable" = true)
    )]
    pub namespace_name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who sees a repository that doesn't say so itself.
    #[serde(default = "private")]
    pub default_visibility: Visibility,
    /// Users who own the organization.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set", "x-krate-ref" = "User"))]
    pub owners: BTreeSet<String>,
    /// Posture of the organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "PolicyProfile"))]
    pub policy_profile_ref: Option<String>,
    /// Where the organization's knowledge is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentMemoryRepository"))]
    pub memory_repository_ref: Option<String>,
    /// Reads, status and deletion only; deliveries are still recorded (R3).
    #[serde(default)]
    pub suspend: bool,
}

fn private() -> Visibility {
    Visibility::Private
}

impl OrganizationSpec {
    /// An organization with its defaults.
    pub fn new(display_name: impl Into<String>, slug: impl Into<String>, namespace_name: impl Into<String>) -> Self {
        Self {
            display_name: display_name.into(),
            slug: slug.into(),
            namespace_name: namespace_name.into(),
            description: None,
            default_visibility: private(),
            owners: BTreeSet::new(),
            policy_profile_ref: None,
            memory_repository_ref: None,
            suspend: false,
        }
    }
}

phases! {
    /// Phases of an [`Organization`].
    OrganizationPhase {
        Pending = "Pending", Ready = "Ready", Suspended = "Suspended", Terminating = "Terminating", Failed = "Failed",
    }
}

/// What is so with an [`Organization`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OrganizationStatus {
    /// Phase.
    pub phase: OrganizationPhase,
    /// Conditions: `NamespaceReady`, `BindingReady`, `PolicyReady`, `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Whether the namespace is there and is the organization's.
    pub namespace_ready: bool,
}

resource!(Organization, OrganizationSpec, OrganizationStatus, |_| None);
