//! Identity and organization: who the tenants are, which namespace is whose, and what two of them share. Spec:
//! resource-kinds.md section 4, R2 to R5, R30, R34.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sets::Visibility;
use super::shared::{Condition, NATIVE_KEY, NATIVE_NAME, Time};
use crate::Digest;
use crate::resource::{phases, resource};
use crate::store::{Index, sortable_time};

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

/// How service accounts are named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountPrefixes {
    /// For runners.
    #[serde(default = "runner_prefix")]
    #[schemars(length(max = 253))]
    pub default_runner_prefix: String,
    /// For agents.
    #[serde(default = "agent_prefix")]
    #[schemars(length(max = 253))]
    pub default_agent_prefix: String,
}

fn runner_prefix() -> String {
    "runner-".into()
}

fn agent_prefix() -> String {
    "agent-".into()
}

/// Keys of one Secret or ConfigMap of the platform's secret namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LentKeys {
    /// Its name.
    #[schemars(length(max = 253), regex(pattern = NATIVE_NAME))]
    pub name: String,
    /// The keys that are lent.
    #[schemars(inner(length(max = 253), regex(pattern = NATIVE_KEY)), extend("x-kubernetes-list-type" = "set"))]
    pub keys: BTreeSet<String>,
}

/// Which namespace is which organization's, and what the platform lends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "OrgNamespaceBinding",
    plural = "orgnamespacebindings",
    shortname = "onb",
    category = "krate",
    category = "krate-identity",
    namespaced,
    status = "OrgNamespaceBindingStatus",
    derive = "PartialEq",
    doc = "Which namespace is which organization's, and what the platform lends it.",
    printcolumn(name = "Organization", type_ = "string", json_path = ".spec.organizationRef"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.namespace")
)]
#[serde(rename_all = "camelCase")]
pub struct OrgNamespaceBindingSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The namespace; its organization's `namespaceName` (R5).
    #[schemars(length(max = 63), extend("x-krate-immutable" = true))]
    pub namespace: String,
    /// Whether krate makes the namespace, and removes it again.
    #[serde(default)]
    pub create_namespace: bool,
    /// Labels of the namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How service accounts are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_policy: Option<AccountPrefixes>,
    /// Secrets of the platform that grants may name (R10).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub platform_secrets: Vec<LentKeys>,
    /// ConfigMaps of the platform that grants may name (R10).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub platform_config_maps: Vec<LentKeys>,
}

impl OrgNamespaceBindingSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(organization: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            organization_ref: organization.into(),
            namespace: namespace.into(),
            create_namespace: false,
            labels: BTreeMap::new(),
            service_account_policy: None,
            platform_secrets: Vec::new(),
            platform_config_maps: Vec::new(),
        }
    }
}

phases! {
    /// Phases of an [`OrgNamespaceBinding`].
    OrgNamespaceBindingPhase { Pending = "Pending", Bound = "Bound", Failed = "Failed" }
}

/// What is so with an [`OrgNamespaceBinding`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OrgNamespaceBindingStatus {
    /// Phase.
    pub phase: OrgNamespaceBindingPhase,
    /// Conditions: `NamespaceExists`, `LabelsApplied`, `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Uid of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub namespace_uid: Option<String>,
}

resource!(OrgNamespaceBinding, OrgNamespaceBindingSpec, OrgNamespaceBindingStatus, |spec| Some(&spec.organization_ref));

crate::closed_set! {
    /// Which side consents (R34).
    SharingSide { Offer = "offer", Accept = "accept" }
}

crate::closed_set! {
    /// What the other organization may do.
    SharedVerb { Reference = "reference", Read = "read" }
}

/// What of one kind is shared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.names) != has(self.selector)")
        .message("R24: exactly one of names and selector is set")
        .field_path(".names")
        .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct SharedKind {
    /// The kind.
    #[schemars(length(max = 253))]
    pub kind: String,
    /// The objects by name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub names: BTreeSet<String>,
    /// The objects by their labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// What is allowed.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "set"))]
    pub verbs: BTreeSet<SharedVerb>,
}

/// One side's consent to references across two organizations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "OrgSharingPolicy",
    plural = "orgsharingpolicies",
    shortname = "osp",
    category = "krate",
    category = "krate-identity",
    namespaced,
    status = "OrgSharingPolicyStatus",
    derive = "PartialEq",
    doc = "One side's consent to references across two organizations.",
    printcolumn(name = "Side", type_ = "string", json_path = ".spec.side"),
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.sourceOrg"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetOrg"),
    printcolumn(name = "Expires", type_ = "date", json_path = ".spec.expiresAt")
)]
#[x_kube(validation = Rule::new("self.sourceOrg != self.targetOrg")
        .message("R34: spec.targetOrg is another organization than spec.sourceOrg")
        .field_path(".targetOrg")
        .reason(Reason::FieldValueInvalid))]
#[x_kube(validation = Rule::new("!oldSelf.revoked || self.revoked")
        .message("R34: spec.revoked never goes back to false")
        .field_path(".revoked")
        .reason(Reason::FieldValueForbidden))]
#[serde(rename_all = "camelCase")]
pub struct OrgSharingPolicySpec {
    /// Which side consents.
    #[schemars(extend("x-krate-immutable" = true))]
    pub side: SharingSide,
    /// The organization that owns what is shared.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub source_org: String,
    /// The organization that may refer to it.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub target_org: String,
    /// What is shared.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind"]))]
    pub allowed_refs: Vec<SharedKind>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Whether it was taken back; never goes back to false.
    #[serde(default)]
    pub revoked: bool,
}

impl OrgSharingPolicySpec {
    /// What is required, and the defaults for the rest.
    pub fn new(
        side: SharingSide,
        source_org: impl Into<String>,
        target_org: impl Into<String>,
        allowed_refs: Vec<SharedKind>,
    ) -> Self {
        Self {
            side,
            source_org: source_org.into(),
            target_org: target_org.into(),
            allowed_refs,
            expires_at: None,
            revoked: false,
        }
    }
}

phases! {
    /// Phases of an [`OrgSharingPolicy`].
    OrgSharingPolicyPhase { Pending = "Pending", Active = "Active", Expired = "Expired", Revoked = "Revoked" }
}

/// The other side's policy, as it was met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counterpart {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub uid: Option<String>,
    /// Digest of its spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// What is so with an [`OrgSharingPolicy`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OrgSharingPolicyStatus {
    /// Phase.
    pub phase: OrgSharingPolicyPhase,
    /// Conditions: `CounterpartFound`, `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The other side's policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterpart: Option<Counterpart>,
}

// It names two organizations, so it belongs to neither by a field (section 3).
resource!(OrgSharingPolicy, OrgSharingPolicySpec, OrgSharingPolicyStatus, |_| None, |object, add| {
    add(Index::Organization, object.spec.source_org.clone());
    add(Index::Organization, object.spec.target_org.clone());
    if let (Some(end), "Pending" | "Active") = (object.spec.expires_at, object.phase()) {
        add(Index::Due, sortable_time(end));
    }
});
