//! Types that several kinds share. Spec: resource-kinds.md section 3.

use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset, Utc};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
pub use kube::core::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::duration::{Dur, MAX_DURATION_HOURS, NotADuration};
use super::policy::ApprovalClass;
use super::sets::{ActorKind, ErrorClass, Interface, SourceFormat};
use crate::observation::NativeFields;
use crate::validate::schema::{MAX_OPEN_BYTES, MAX_OPEN_DEPTH, compact_bytes, is_deeper};
use crate::{ClosedSet, Digest, NotCanonical, canonical_json};

/// A point in time: RFC 3339 with offset in JSON, compared as an instant (S17).
pub type Time = DateTime<Utc>;

/// An object of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Kind of the object.
    #[schemars(length(max = 253))]
    pub kind: String,
    /// Name of the object.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Uid, once the reference was resolved (R32).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub uid: Option<String>,
    /// API version; absent means krate's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub api_version: Option<String>,
}

impl ObjectRef {
    /// A reference by kind and name.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), name: name.into(), uid: None, api_version: None }
    }
}

/// An object of another organization: only in fields that say so (R4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrossOrgRef {
    /// The organization that owns the object.
    #[schemars(length(max = 253))]
    pub organization: String,
    /// Kind of the object.
    #[schemars(length(max = 253))]
    pub kind: String,
    /// Name of the object.
    #[schemars(length(max = 253))]
    pub name: String,
}

/// The form of a Secret's or ConfigMap's name, which is Kubernetes' own (R10): no `/`, so that it never leaves the namespace (R4).
pub(crate) const NATIVE_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// The form of a key in a Secret or ConfigMap: neither `.` nor anything that begins with `..`.
pub(crate) const NATIVE_KEY: &str = r"^([-_a-zA-Z0-9]|\.[-_a-zA-Z0-9])[-._a-zA-Z0-9]*$";

/// A Secret of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(max = 253), regex(pattern = NATIVE_NAME))]
    pub name: String,
}

/// One key of a Secret of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(max = 253), regex(pattern = NATIVE_NAME))]
    pub name: String,
    /// Key inside the Secret.
    #[schemars(length(max = 253), regex(pattern = NATIVE_KEY))]
    pub key: String,
}

/// One key of a ConfigMap of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(max = 253), regex(pattern = NATIVE_NAME))]
    pub name: String,
    /// Key inside the ConfigMap.
    #[schemars(length(max = 253), regex(pattern = NATIVE_KEY))]
    pub key: String,
}

/// An account at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The provider that knows the account.
    #[schemars(length(max = 253))]
    pub provider: String,
    /// The provider's stable id, never the login.
    #[schemars(length(max = 253))]
    pub id: String,
    /// The login at the time, for display.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub login: Option<String>,
}

/// Who acted, and for whom.
///
/// The chain of `on_behalf_of` is at most eight long and ends at a user, a schedule's owner or a provider account (R42).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// Name: of a User, an agent's stack, a controller, a provider account.
    pub name: String,
    /// Uid of the krate object, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The provider account, where the actor is known by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// For whom the actor acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Box<Actor>>,
}

/// The longest chain of actors (R42).
pub const MAX_ACTOR_CHAIN: usize = 8;

impl Actor {
    /// An actor without account, acting for itself.
    pub fn new(kind: ActorKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), uid: None, account: None, on_behalf_of: None }
    }
}

impl JsonSchema for Actor {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Actor".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // A structural schema has no recursion, so the chain is written out to its bound (R25, R42).
        let mut schema = serde_json::Map::new();
        for depth in (0..MAX_ACTOR_CHAIN).rev() {
            let name = |text: &str| serde_json::json!({"type": "string", "maxLength": 253, "description": text});
            let mut properties = serde_json::json!({
                "kind": {
                    "type": "string", "enum": <ActorKind as crate::ClosedSet>::ACCEPTED,
                    "description": "What kind of actor.",
                },
                "name": name("Name: of a User, an agent's stack, a controller, a provider account."),
                "uid": name("Uid of the krate object, where there is one."),
                "account": {
                    "type": "object", "required": ["provider", "id"],
                    "description": "The provider account, where the actor is known by one.",
                    "properties": {
                        "provider": name("The provider that knows the account."),
                        "id": name("The provider's stable id, never the login."),
                        "login": name("The login at the time, for display."),
                    },
                },
            });
            if depth + 1 < MAX_ACTOR_CHAIN
                && let Some(properties) = properties.as_object_mut()
            {
                properties.insert("onBehalfOf".into(), serde_json::Value::Object(schema));
            }
            schema = serde_json::Map::new();
            schema.insert("type".into(), "object".into());
            schema.insert("description".into(), "For whom the actor acted.".into());
            schema.insert("required".into(), serde_json::json!(["kind", "name"]));
            schema.insert("properties".into(), properties);
        }
        schema.into()
    }
}

/// A rich text as krate keeps it (S7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Body {
    /// The text as Markdown, at most 256 KiB.
    #[schemars(length(max = 262_144))]
    pub markdown: String,
    /// The dialect that the provider keeps.
    #[serde(default = "Body::default_format")]
    #[schemars(default = "Body::default_format")]
    pub source_format: SourceFormat,
    /// Digest of the provider's own text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<Digest>,
    /// What the conversion to Markdown and back would lose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 1024)))]
    pub render_warnings: Vec<String>,
}

impl Body {
    fn default_format() -> SourceFormat {
        SourceFormat::Markdown
    }

    /// A body in Markdown.
    pub fn markdown(text: impl Into<String>) -> Self {
        Self {
            markdown: text.into(),
            source_format: SourceFormat::Markdown,
            source_digest: None,
            render_warnings: Vec::new(),
        }
    }
}

/// A provider's version of an object; with no member at all the observation is unversioned (S17).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Entity tag of a conditional read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub etag: Option<String>,
    /// The provider's own time of the last change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
    /// A commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sha: Option<String>,
    /// A number that grows with each change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<i64>,
}

/// A provider's own fields, kept as they came (S6).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Extensions {
    /// The provider type whose fields these are.
    #[schemars(length(max = 253))]
    pub provider_type: String,
    /// Version of the adapter's field list.
    #[schemars(length(max = 253))]
    pub schema_version: String,
    /// The fields, byte-faithful JSON, at most 64 KiB (R68).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "additionalProperties" = null))]
    pub fields: BTreeMap<String, serde_json::Value>,
}

impl Extensions {
    /// Takes over the fields that were seen: each in the place of what was known of it. One that isn't among them stays, since not every form of an object shows all of
    /// its fields. Together they are held to what open content may be (R68): one that is too deep, or no longer fits, isn't kept, and neither is what was known of it.
    pub fn take(&mut self, seen: &NativeFields<'_>) {
        let is_seen = |name: &str| seen.0.iter().any(|(seen, _)| seen == name);
        let size = |name: &str, bytes: usize| name.len().saturating_add(bytes).saturating_add(4);
        let mut used = self
            .fields
            .iter()
            .filter(|(name, _)| !is_seen(name))
            .fold(2_usize, |used, (name, value)| used.saturating_add(size(name, compact_bytes(value))));
        for (name, raw) in &seen.0 {
            self.fields.remove(&**name);
            let Ok(value) = serde_json::from_str(raw.get()) else { continue };
            let with = used.saturating_add(size(name, compact_bytes(&value)));
            // The fields themselves are one level of it.
            if with <= MAX_OPEN_BYTES && !is_deeper(&value, MAX_OPEN_DEPTH - 1) {
                used = with;
                self.fields.insert(name.to_string(), value);
            }
        }
    }
}

/// The external identity, version and extension block of every synced resource (external-sync.md section 3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalEnvelope {
    /// The provider.
    #[schemars(length(max = 253))]
    pub provider_ref: String,
    /// The binding.
    #[schemars(length(max = 253))]
    pub binding_ref: String,
    /// The interface that the kind belongs to.
    pub interface: Interface,
    /// The provider's own kind.
    #[schemars(length(max = 253))]
    pub native_kind: String,
    /// The provider's id, as text.
    #[schemars(length(max = 253))]
    pub native_id: String,
    /// The number that people use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_number: Option<i64>,
    /// The provider's global id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node_id: Option<String>,
    /// Page for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,
    /// Address in the provider's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub api_url: Option<String>,
    /// The newest version that was applied.
    pub version: Version,
    /// When an observation was last taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<Time>,
    /// When both sides last agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_synced_at: Option<Time>,
    /// The generation on which both sides last agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_synced_generation: Option<i64>,
    /// Fields of the provider that krate has no field for (S6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Extensions>,
}

/// How a projection and its native object stand to each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncSummary {
    /// When both sides last agreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_synced_at: Option<Time>,
    /// Whether the provider has to be read again before anything is decided (S16).
    pub needs_hydration: bool,
    /// Writes that have not ended yet.
    #[schemars(range(min = 0))]
    pub pending_intents: i64,
    /// Conflicts that wait for an answer.
    #[schemars(range(min = 0))]
    pub open_conflicts: i64,
}

impl ExternalEnvelope {
    /// An envelope with an identity and no version.
    pub fn new(
        provider_ref: impl Into<String>,
        binding_ref: impl Into<String>,
        interface: Interface,
        native_kind: impl Into<String>,
        native_id: impl Into<String>,
    ) -> Self {
        Self {
            provider_ref: provider_ref.into(),
            binding_ref: binding_ref.into(),
            interface,
            native_kind: native_kind.into(),
            native_id: native_id.into(),
            native_number: None,
            node_id: None,
            url: None,
            api_url: None,
            version: Version::default(),
            last_seen_at: None,
            last_synced_at: None,
            last_synced_generation: None,
            extensions: None,
        }
    }
}

/// Where a write goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NativeTarget {
    /// The provider's own kind.
    #[schemars(length(max = 253))]
    pub native_kind: String,
    /// The provider's id; absent for a create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub native_id: Option<String>,
    /// The number that people use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_number: Option<i64>,
    /// The binding's `externalRef` keys that locate it.
    #[schemars(length(max = 64))]
    pub container: BTreeMap<String, String>,
}

/// One JSON value of any shape, without open schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Value {
    /// Canonical text (RFC 8785), at most 16 KiB; absent when larger or redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16_384))]
    pub json: Option<String>,
    /// Digest of the canonical text.
    pub digest: Digest,
    /// Length of the canonical text.
    pub bytes: i64,
    /// The field didn't exist.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub absent: bool,
}

/// The longest canonical text that a [`Value`] holds itself.
pub const MAX_VALUE_BYTES: usize = 16 * 1024;

impl Value {
    /// `value` with its text where that is at most `max_bytes` (and never more than [`MAX_VALUE_BYTES`]); `None` is an absent field.
    ///
    /// # Errors
    /// [`NotCanonical`] when `value` holds something that JSON doesn't have.
    pub fn of(value: Option<&serde_json::Value>, max_bytes: usize) -> Result<Self, NotCanonical> {
        let text = match value {
            None => String::from("null"),
            Some(value) => canonical_json(value)?,
        };
        Ok(Self {
            digest: Digest::of(text.as_bytes()),
            bytes: i64::try_from(text.len()).unwrap_or(i64::MAX),
            absent: value.is_none(),
            json: (text.len() <= max_bytes.min(MAX_VALUE_BYTES)).then_some(text),
        })
    }

    /// The JSON value, where the text is held and the field existed.
    pub fn to_json(&self) -> Option<serde_json::Value> {
        if self.absent {
            return None;
        }
        serde_json::from_str(self.json.as_deref()?).ok()
    }
}

crate::closed_set! {
    /// Where a blob's content is.
    BlobStorage { Inline = "inline", Object = "object", None = "none" }
}

/// Content by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlobRef {
    /// Digest of the content.
    pub digest: Digest,
    /// Length of the content.
    pub bytes: i64,
    /// Media type of the content.
    #[schemars(length(max = 253))]
    pub media_type: String,
    /// Where the content is.
    pub storage: BlobStorage,
    /// The content itself, base64, at most 64 KiB, only with `inline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 87_384))]
    pub inline: Option<String>,
}

/// The last error of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorInfo {
    /// Error class.
    pub class: ErrorClass,
    /// What was wrong, without secrets, at most 1,024 bytes.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Where in the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub path: Option<String>,
    /// When a limit ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The provider's request id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub request_id: Option<String>,
    /// When it happened.
    pub at: Time,
}

/// Patterns that select names or paths; exclude wins (permission-review.md section 4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PathFilter {
    /// Patterns of which one must match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 512)), extend("x-kubernetes-list-type" = "atomic"))]
    pub include: Vec<String>,
    /// Patterns of which none may match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 512)), extend("x-kubernetes-list-type" = "atomic"))]
    pub exclude: Vec<String>,
}

/// Patterns that select full refs; exclude wins.
pub type RefFilter = PathFilter;

/// Who may approve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Approvers {
    /// Roles, of which one is needed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub roles: Vec<String>,
    /// Teams, of which one is needed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub teams: Vec<String>,
}

/// What an approval of a class needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRule {
    /// Approval class (permission-review.md section 6).
    #[schemars(length(max = 253), extend("enum" = ApprovalClass::ACCEPTED))]
    pub class: String,
    /// Who may approve.
    #[serde(default)]
    pub approvers: Approvers,
    /// How many must approve, 1 to 10.
    #[serde(default = "ApprovalRule::one")]
    #[schemars(range(min = 1, max = 10))]
    pub quorum: i64,
    /// How long an approval can be used.
    #[serde(default = "ApprovalRule::a_day")]
    pub expires_in: Dur,
    /// How often it can be used, 1 to 100.
    #[serde(default = "ApprovalRule::one")]
    #[schemars(range(min = 1, max = 100))]
    pub uses: i64,
    /// Whether the requester may not approve.
    #[serde(default = "ApprovalRule::yes")]
    pub separation: bool,
}

impl ApprovalRule {
    fn one() -> i64 {
        1
    }
    fn a_day() -> Dur {
        Dur::literal("24h")
    }
    fn yes() -> bool {
        true
    }
}

/// How long something is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Retention {
    /// From its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Dur>,
    /// From the merge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_merge: Option<Dur>,
    /// How many are kept in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<i64>,
}

/// Reads an RFC 3339 time with offset; anything else is no time (S17).
pub fn parse_time(text: &str) -> Option<Time> {
    DateTime::<FixedOffset>::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc))
}

/// The schema of `status.conditions`: a list-map by type, bounded as Kubernetes' own.
pub(crate) fn conditions_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "Conditions, one of a type.",
        "type": "array",
        "maxItems": 64,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "maxLength": 253, "description": "What it is about."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
                "reason": {"type": "string", "maxLength": 253, "description": "Why, in one Pascal-case word."},
                "message": {"type": "string", "maxLength": 32768, "default": "", "description": "Why, for people; never parsed."},
                "lastTransitionTime": {
                    "type": "string", "format": "date-time", "description": "When `status` last changed (R27).",
                },
                "observedGeneration": {
                    "type": "integer", "format": "int64", "description": "The generation that was looked at.",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::value::RawValue;

    use super::*;

    fn seen(fields: &[(&str, String)]) -> NativeFields<'static> {
        let raw = |json: &String| Cow::Owned(RawValue::from_string(json.clone()).expect("JSON"));
        NativeFields(fields.iter().map(|(name, json)| (Cow::Owned((*name).to_owned()), raw(json))).collect())
    }

    #[test]
    fn s6_r68_open_content_is_kept_as_it_came_and_within_its_bounds() {
        let mut kept = Extensions::default();
        kept.take(&seen(&[("score", "1.5".to_owned()), ("reactions", r#"{"+1": 9007199254740993}"#.to_owned())]));
        kept.take(&seen(&[("score", "2".to_owned())]));
        assert_eq!(kept.fields["reactions"].to_string(), r#"{"+1":9007199254740993}"#);
        assert_eq!(kept.fields["score"].to_string(), "2", "the newer one is in its place");

        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        kept.take(&seen(&[("deep", deep(MAX_OPEN_DEPTH - 1)), ("deeper", deep(MAX_OPEN_DEPTH))]));
        assert!(kept.fields.contains_key("deep") && !kept.fields.contains_key("deeper"));

        let long = |bytes: usize| format!("\"{}\"", "é".repeat(bytes / 2));
        kept.take(&seen(&[("long", long(60_000)), ("more", long(8_000)), ("small", "1".to_owned())]));
        assert!(kept.fields.contains_key("long") && kept.fields.contains_key("small"));
        assert!(!kept.fields.contains_key("more"), "it would be too much");
        let all = serde_json::to_value(&kept.fields).expect("JSON");
        assert!(compact_bytes(&all) <= MAX_OPEN_BYTES && !is_deeper(&all, MAX_OPEN_DEPTH));
        kept.take(&seen(&[("small", long(60_000))]));
        assert!(!kept.fields.contains_key("small"), "what was known of it is no longer so");
    }
}
