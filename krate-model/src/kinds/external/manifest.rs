//! What a provider type can do. Spec: resource-kinds.md section 4, external-sync.md.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::binding::default_true;
use crate::Digest;
use crate::kinds::sets::{AuthMode, Idempotency, Interface, Operation, SourceFormat, WebhookSignature};
use crate::kinds::shared::{Dur, Time};
use crate::observation::ResourceKind;
use crate::resource::resource;

crate::closed_set! {
    /// Phase of an [`ExternalProviderCapabilityManifest`].
    #[derive(Default)]
    ExternalProviderCapabilityManifestPhase {
        #[default]
        Ready = "Ready",
        Stale = "Stale",
        Invalid = "Invalid",
    }
}

crate::closed_set! {
    /// Where a manifest comes from (R63).
    ManifestSource { Builtin = "builtin", Discovered = "discovered", Declared = "declared" }
}

crate::closed_set! {
    /// What a budget counts.
    RateLimitKind { Requests = "requests", Points = "points", Complexity = "complexity", None = "none" }
}

crate::closed_set! {
    /// Whose budget it is.
    RateLimitScope { Installation = "installation", Account = "account", Token = "token", Instance = "instance" }
}

crate::closed_set! {
    /// How a list is paged.
    #[derive(Default)]
    Paging {
        Cursor = "cursor",
        Keyset = "keyset",
        Page = "page",
        Offset = "offset",
        #[default]
        NoPages = "none",
    }
}

/// One part of a credential.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialKey {
    /// Name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Whether it must be there.
    #[serde(default = "default_true")]
    pub required: bool,
}

/// A kind of credential and its parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthModeSpec {
    /// Kind.
    pub name: AuthMode,
    /// Parts.
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub credential_keys: Vec<CredentialKey>,
}

/// Which APIs there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ApiSupport {
    /// REST.
    #[serde(default)]
    pub rest: bool,
    /// GraphQL.
    #[serde(default)]
    pub graphql: bool,
    /// Webhooks.
    #[serde(default)]
    pub webhook: bool,
}

/// What identifies an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentitySpec {
    /// Fields of the id.
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub native_id_fields: Vec<String>,
    /// Field of the global id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub global_id_field: Option<String>,
    /// Field of the address for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub url_field: Option<String>,
    /// Fields that order versions.
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub version_fields: Vec<String>,
}

/// One key of a binding's `externalRef`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRefKey {
    /// Key.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Whether it must be there.
    #[serde(default = "default_true")]
    pub required: bool,
    /// Regular expression that the whole value must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub pattern: Option<String>,
}

/// What the provider limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitModel {
    /// What a budget counts.
    pub kind: RateLimitKind,
    /// Whose budget it is.
    pub per: RateLimitScope,
}

/// One operation of an interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestOperation {
    /// Operation.
    pub operation: Operation,
    /// Whether it changes something.
    pub write: bool,
    /// krate permissions that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub permissions: Vec<String>,
    /// Credentials that can do it; absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "set"))]
    pub auth_modes: Vec<AuthMode>,
    /// The provider's own scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub native_scopes: Vec<String>,
    /// What makes a repeat harmless (S34).
    #[serde(default = "default_idempotency")]
    pub idempotency: Idempotency,
    /// Calls.
    #[serde(default = "default_rest_cost")]
    pub rest_cost: i64,
    /// Points.
    #[serde(default)]
    pub point_cost: i64,
    /// Webhook events that confirm it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub confirmed_by: Vec<String>,
    /// Whether the answer is proof.
    #[serde(default)]
    pub response_confirms: bool,
    /// Whether conditional reads are honoured (S25).
    #[serde(default)]
    pub conditional: bool,
    /// How it is paged.
    #[serde(default)]
    pub paging: Paging,
    /// Whether pages don't shift (S24).
    #[serde(default)]
    pub paging_stable: bool,
    /// Most objects a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_page_size: Option<i64>,
}

/// One webhook event of an interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestWebhook {
    /// The provider's event type.
    #[schemars(length(max = 253))]
    pub event: String,
    /// Its actions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub actions: Vec<String>,
    /// What it becomes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "set"))]
    pub yields: Vec<ResourceKind>,
}

/// One interface of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestInterface {
    /// Interface.
    pub name: Interface,
    /// Whether the provider has it.
    pub supported: bool,
    /// Whether it has only a part.
    #[serde(default)]
    pub limited: bool,
    /// Kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub objects: Vec<String>,
    /// Operations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["operation"]))]
    pub operations: Vec<ManifestOperation>,
    /// Webhook events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["event"]))]
    pub webhooks: Vec<ManifestWebhook>,
}

fn default_idempotency() -> Idempotency {
    Idempotency::None
}

fn default_rest_cost() -> i64 {
    1
}

fn default_granularity() -> Dur {
    Dur::literal("1s")
}

fn default_body_format() -> SourceFormat {
    SourceFormat::Markdown
}

/// What a provider type, or a discovered instance, can do.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "ExternalProviderCapabilityManifest",
    plural = "externalprovidercapabilitymanifests",
    namespaced,
    status = "ExternalProviderCapabilityManifestStatus",
    derive = "PartialEq",
    category = "krate",
    category = "krate-external",
    shortname = "epcm",
    printcolumn = r#"{"name":"Type","type":"string","jsonPath":".spec.providerType"}"#,
    printcolumn = r#"{"name":"Source","type":"string","jsonPath":".spec.source"}"#
)]
#[x_kube(validation = Rule::new("has(self.providerRef) == (self.source == 'discovered')")
    .message("R63: spec.providerRef is set exactly when spec.source is discovered")
    .field_path(".providerRef")
    .reason(Reason::FieldValueInvalid))]
#[x_kube(validation = Rule::new("has(self.adapterRef) == (self.source == 'declared')")
    .message("R63: spec.adapterRef is set exactly when spec.source is declared")
    .field_path(".adapterRef")
    .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct ExternalProviderCapabilityManifestSpec {
    /// The organization; absent in the platform namespace (R35).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: Option<String>,
    /// Provider type.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub provider_type: String,
    /// Where it comes from.
    #[schemars(extend("x-krate-immutable" = true))]
    pub source: ManifestSource,
    /// The provider, exactly for a discovered one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "ExternalBackendProvider"))]
    pub provider_ref: Option<String>,
    /// The adapter, exactly for a declared one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub adapter_ref: Option<String>,
    /// Name for people.
    #[schemars(length(max = 128))]
    pub display_name: String,
    /// Version of its form.
    #[schemars(length(max = 253))]
    pub schema_version: String,
    /// Hostings.
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub hosting: Vec<String>,
    /// Credentials.
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub auth_modes: Vec<AuthModeSpec>,
    /// APIs.
    pub api: ApiSupport,
    /// Identity of objects.
    pub identity: IdentitySpec,
    /// How fine the provider's clock is (S16).
    #[serde(default = "default_granularity")]
    pub version_granularity: Dur,
    /// Dialect of bodies.
    #[serde(default = "default_body_format")]
    pub body_format: SourceFormat,
    /// Keys of a binding's `externalRef`.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub external_ref_keys: Vec<ExternalRefKey>,
    /// What is limited.
    pub rate_limit_model: RateLimitModel,
    /// How webhooks are proved.
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "set"))]
    pub webhook_signature: Vec<WebhookSignature>,
    /// Interfaces.
    #[schemars(length(max = 3), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub interfaces: Vec<ManifestInterface>,
}

/// Status of [`ExternalProviderCapabilityManifest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExternalProviderCapabilityManifestStatus {
    /// Phase.
    #[serde(default)]
    pub phase: ExternalProviderCapabilityManifestPhase,
    /// Digest of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// When it was discovered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovered_at: Option<Time>,
    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::kinds::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

resource!(
    ExternalProviderCapabilityManifest,
    ExternalProviderCapabilityManifestSpec,
    ExternalProviderCapabilityManifestStatus,
    |spec| spec.organization_ref.as_deref()
);
