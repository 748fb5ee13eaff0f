//! What makes two write requests the same. Spec: external-sync.md S32, S33.
//!
//! Both digests are SHA-256 over canonical JSON (RFC 8785) of whole values, never over joined names, so that two requests share one only when
//! they are the same request.

use crate::kinds::external::{ExternalWriteIntentSpec, IntentCredential, Payload};
use crate::kinds::sets::{Interface, Operation};
use crate::kinds::shared::{NativeTarget, ObjectRef, Version};
use crate::{ClosedSet, Digest, NotCanonical, canonical_digest};
use serde::Serialize;
use serde_json::{Map, Value as Json};

/// The largest integer that every JSON number holds exactly: beyond it two numbers have one canonical form.
const MAX_EXACT: u64 = (1 << 53) - 1;
/// The same, for what is larger than any machine integer and is read as the nearest number that there is.
const MAX_EXACT_FAR: f64 = 9_007_199_254_740_991.0;

/// What the idempotency key of a write is made of (S33).
///
/// `P` is the payload: the typed one of an intent, or JSON from the command line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyInput<'a, P> {
    /// The organization.
    pub organization: &'a str,
    /// The provider.
    pub provider: &'a str,
    /// The binding.
    pub binding: &'a str,
    /// The interface.
    pub interface: &'a Interface,
    /// The operation.
    pub operation: &'a Operation,
    /// Where the write goes.
    pub native_target: &'a NativeTarget,
    /// The local object, exactly where the native target has no id: two that look alike are two creates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<&'a ObjectRef>,
    /// What is written.
    pub payload: &'a P,
    /// The generation of the local object that asks for it.
    pub desired_generation: i64,
}

impl<'a> KeyInput<'a, Payload> {
    /// What the key of an intent is made of.
    pub fn of(spec: &'a ExternalWriteIntentSpec) -> Self {
        Self {
            organization: &spec.organization_ref,
            provider: &spec.provider_ref,
            binding: &spec.binding_ref,
            interface: &spec.interface,
            operation: &spec.operation,
            native_target: &spec.native_target,
            target: created(&spec.native_target, &spec.target),
            payload: &spec.payload,
            desired_generation: spec.desired_generation,
        }
    }
}

/// What of the local object belongs to the key of a write to `native`.
pub fn created<'a>(native: &NativeTarget, target: &'a ObjectRef) -> Option<&'a ObjectRef> {
    native.native_id.is_none().then_some(target)
}

impl<P: Serialize> KeyInput<'_, P> {
    /// The idempotency key.
    ///
    /// # Errors
    /// [`KeyError`] when the payload has no canonical JSON of its own: a number that JSON doesn't hold, or not exactly.
    pub fn key(&self) -> Result<Digest, KeyError> {
        exact_digest(self)
    }
}

/// What an approval is for (S32): the key's parts, and what else decides how the provider sees the write.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestInput<'a, P> {
    /// What is written and where.
    #[serde(flatten)]
    pub key: KeyInput<'a, P>,
    /// The version that must still hold.
    pub precondition: Option<&'a Version>,
    /// The identity that sends it.
    pub credential: Option<&'a IntentCredential>,
}

impl<'a> RequestInput<'a, Payload> {
    /// What an approval of the intent is for.
    pub fn of(spec: &'a ExternalWriteIntentSpec) -> Self {
        Self { key: KeyInput::of(spec), precondition: spec.precondition.as_ref(), credential: spec.credential.as_ref() }
    }
}

/// The digest that an approval names: another payload, target, precondition or sender has another one.
///
/// # Errors
/// As [`KeyInput::key`].
pub fn request_digest<P: Serialize>(request: &RequestInput<'_, P>) -> Result<Digest, KeyError> {
    exact_digest(request)
}

fn exact_digest<T: Serialize>(value: &T) -> Result<Digest, KeyError> {
    let json = serde_json::to_value(value).map_err(|error| KeyError::NotJson { message: error.to_string() })?;
    exact(&json, &mut String::from("$"))?;
    Ok(canonical_digest(&json)?)
}

/// Refuses integers that share their canonical form with a neighbour.
fn exact(json: &Json, path: &mut String) -> Result<(), KeyError> {
    let above = path.len();
    match json {
        Json::Number(number) => {
            let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            let is_far = || number.as_f64().is_some_and(|far| far.abs() > MAX_EXACT_FAR);
            if size.map_or_else(is_far, |size| size > MAX_EXACT) {
                return Err(KeyError::Inexact { path: path.clone() });
            }
        }
        Json::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push('[');
                path.push_str(&at.to_string());
                path.push(']');
                exact(item, path)?;
                path.truncate(above);
            }
        }
        Json::Object(members) => {
            for (key, member) in members {
                path.push('.');
                path.push_str(key);
                exact(member, path)?;
                path.truncate(above);
            }
        }
        Json::Null | Json::Bool(_) | Json::String(_) => {}
    }
    Ok(())
}

/// Why there is no key. Each names the path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A member that isn't known.
    #[error("{path}: unknown member; accepted are {}", .accepted.join(", "))]
    UnknownMember {
        /// Where.
        path: String,
        /// What would be accepted.
        accepted: &'static [&'static str],
    },
    /// A member is missing or has another type.
    #[error("{path}: {expected} is expected")]
    Expected {
        /// Where.
        path: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A value outside its closed set (S1).
    #[error("{path}: {found:?} is not one of {}", .accepted.join(", "))]
    NotInSet {
        /// Where.
        path: String,
        /// What was found.
        found: String,
        /// What would be accepted.
        accepted: &'static [&'static str],
    },
    /// An integer beyond 2^53 - 1, which canonical JSON doesn't tell from its neighbours; it has to be a text.
    #[error("{path}: an integer beyond 9007199254740991 is not exact in JSON; a text is expected")]
    Inexact {
        /// Where.
        path: String,
    },
    /// A value that isn't JSON.
    #[error("not representable as JSON: {message}")]
    NotJson {
        /// What the serializer said.
        message: String,
    },
    /// A value without canonical form.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
}

const MEMBERS: &[&str] = &[
    "organization",
    "provider",
    "binding",
    "interface",
    "operation",
    "nativeTarget",
    "target",
    "payload",
    "desiredGeneration",
];
const LOCAL_MEMBERS: &[&str] = &["kind", "name"];
const TARGET_MEMBERS: &[&str] = &["nativeKind", "nativeId", "nativeNumber", "container"];

/// The idempotency key of an input in JSON: `{organization, provider, binding, interface, operation, nativeTarget, payload, desiredGeneration}`, all of them. The key
/// of a create that krate makes has `target {kind, name}` beside a `nativeTarget` without `nativeId`: the local object, since two that look alike are two creates.
///
/// ```
/// let input = serde_json::json!({
///     "organization": "acme", "provider": "gh", "binding": "web", "interface": "issueTracking", "operation": "createComment",
///     "nativeTarget": {"nativeKind": "issue", "nativeId": "7", "container": {"owner": "acme", "repository": "web"}},
///     "payload": {"body": "hello"}, "desiredGeneration": 3
/// });
/// let key = krate_model::key::key_of_json(&input).unwrap();
/// let other = { let mut other = input.clone(); other["payload"]["body"] = "bye".into(); other };
/// assert_ne!(key, krate_model::key::key_of_json(&other).unwrap());
/// ```
///
/// # Errors
/// [`KeyError`] for the first thing that isn't so: nothing unknown is passed over, since it would be in no key.
pub fn key_of_json(input: &Json) -> Result<Digest, KeyError> {
    let input = object(Some(input), "$")?;
    known_members(input, "$", MEMBERS)?;
    let interface = one_of(input, "interface", Interface::from_text)?;
    let operation = one_of(input, "operation", Operation::from_text)?;
    if !operation.is_write() || operation.interface().as_ref() != Some(&interface) {
        let expected = "a write operation of the interface";
        return Err(KeyError::Expected { path: "$.operation".into(), expected });
    }
    let payload = input
        .get("payload")
        .filter(|payload| !payload.is_null())
        .ok_or(KeyError::Expected { path: "$.payload".into(), expected: "what is written" })?;
    let generation = input.get("desiredGeneration").and_then(Json::as_i64);
    let native_target = read_target(input.get("nativeTarget"))?;
    let target = read_local(input.get("target"), &native_target)?;
    KeyInput {
        organization: text(input, "$", "organization")?,
        provider: text(input, "$", "provider")?,
        binding: text(input, "$", "binding")?,
        interface: &interface,
        operation: &operation,
        native_target: &native_target,
        target: target.as_ref(),
        payload,
        desired_generation: generation
            .ok_or(KeyError::Expected { path: "$.desiredGeneration".into(), expected: "an integer" })?,
    }
    .key()
}

fn read_local(local: Option<&Json>, native: &NativeTarget) -> Result<Option<ObjectRef>, KeyError> {
    const AT: &str = "$.target";
    match (local.filter(|local| !local.is_null()), native.native_id.is_some()) {
        (None, _) => Ok(None),
        (Some(_), true) => {
            Err(KeyError::Expected { path: AT.to_owned(), expected: "nothing beside a nativeTarget.nativeId" })
        }
        (local, false) => {
            let local = object(local, AT)?;
            known_members(local, AT, LOCAL_MEMBERS)?;
            Ok(Some(ObjectRef::new(text(local, AT, "kind")?, text(local, AT, "name")?)))
        }
    }
}

fn read_target(target: Option<&Json>) -> Result<NativeTarget, KeyError> {
    const AT: &str = "$.nativeTarget";
    let target = object(target, AT)?;
    known_members(target, AT, TARGET_MEMBERS)?;
    let number = match target.get("nativeNumber") {
        None | Some(Json::Null) => None,
        Some(number) => Some(
            number
                .as_i64()
                .ok_or_else(|| KeyError::Expected { path: format!("{AT}.nativeNumber"), expected: "an integer" })?,
        ),
    };
    let at = format!("{AT}.container");
    let mut container = std::collections::BTreeMap::new();
    for key in object(target.get("container"), &at)?.keys() {
        container.insert(key.clone(), text(object(target.get("container"), &at)?, &at, key)?.to_owned());
    }
    Ok(NativeTarget {
        native_kind: text(target, AT, "nativeKind")?.to_owned(),
        native_id: match target.get("nativeId") {
            None | Some(Json::Null) => None,
            Some(_) => Some(text(target, AT, "nativeId")?.to_owned()),
        },
        native_number: number,
        container,
    })
}

fn object<'v>(value: Option<&'v Json>, path: &str) -> Result<&'v Map<String, Json>, KeyError> {
    value.and_then(Json::as_object).ok_or_else(|| KeyError::Expected { path: path.to_owned(), expected: "an object" })
}

fn text<'v>(object: &'v Map<String, Json>, path: &str, name: &str) -> Result<&'v str, KeyError> {
    object
        .get(name)
        .and_then(Json::as_str)
        .ok_or_else(|| KeyError::Expected { path: format!("{path}.{name}"), expected: "a text" })
}

fn known_members(object: &Map<String, Json>, path: &str, accepted: &'static [&'static str]) -> Result<(), KeyError> {
    match object.keys().find(|key| !accepted.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(KeyError::UnknownMember { path: format!("{path}.{key}"), accepted }),
    }
}

fn one_of<T: ClosedSet>(object: &Map<String, Json>, name: &str, read: fn(&str) -> T) -> Result<T, KeyError> {
    let found = text(object, "$", name)?;
    let value = read(found);
    if value.is_known() {
        Ok(value)
    } else {
        Err(KeyError::NotInSet { path: format!("$.{name}"), found: found.to_owned(), accepted: T::ACCEPTED })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical_json;
    use crate::kinds::sets::AuthMode;
    use proptest::prelude::*;
    use serde_json::json;

    fn input(payload: impl Into<Json>) -> Json {
        let payload: Json = payload.into();
        json!({
            "organization": "acme", "provider": "gh", "binding": "web", "interface": "issueTracking",
            "operation": "updateIssue", "payload": payload, "desiredGeneration": 3,
            "nativeTarget": {"nativeKind": "issue", "nativeId": "7", "container": {"owner": "a", "repository": "b"}},
        })
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            (-2..2i64).prop_map(Json::from),
            (-2..2i8).prop_map(|whole| Json::from(f64::from(whole))),
            Just(json!(0.5)),
            "[a:,\"]{0,2}".prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
                prop::collection::btree_map("[a:]{0,2}", inner, 0..3)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Replaces one part of the input, so that neighbours in a joined text would run into each other.
    fn changed(part: usize, text: &str) -> Json {
        let mut input = input(json!({"title": "t"}));
        match part {
            0 => input["organization"] = text.into(),
            1 => input["provider"] = text.into(),
            2 => input["binding"] = text.into(),
            3 => input["nativeTarget"]["nativeKind"] = text.into(),
            4 => input["nativeTarget"]["nativeId"] = text.into(),
            5 => input["nativeTarget"]["container"]["owner"] = text.into(),
            6 => input["payload"]["title"] = text.into(),
            _ => input["desiredGeneration"] = text.len().into(),
        }
        input
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn s33_two_payloads_share_a_key_exactly_when_their_canonical_json_is_the_same(one in any_json(), two in any_json()) {
            prop_assume!(!one.is_null() && !two.is_null());
            let alike = canonical_json(&one).unwrap() == canonical_json(&two).unwrap();
            let (one, two) = (key_of_json(&input(one)).unwrap(), key_of_json(&input(two)).unwrap());
            prop_assert_eq!(one == two, alike);
        }

        #[test]
        fn s33_every_part_is_in_the_key(part in 0..8usize, one in "[ab:]{0,3}", two in "[ab:]{0,3}", other in 0..8usize) {
            let (left, right) = (changed(part, &one), changed(other, &two));
            prop_assert_eq!(key_of_json(&left).unwrap() == key_of_json(&right).unwrap(), left == right);
        }
    }

    #[test]
    fn s33_the_order_of_members_and_the_spelling_of_numbers_dont_matter() {
        let spelled: Json = serde_json::from_str(r#"{"b":1.0,"a":"é"}"#).unwrap();
        let other: Json = serde_json::from_str(r#"{"a":"\u00e9","b":1}"#).unwrap();
        assert_eq!(key_of_json(&input(spelled)).unwrap(), key_of_json(&input(other)).unwrap());
    }

    #[test]
    fn s33_numbers_that_canonical_json_cant_tell_apart_are_refused() {
        let error = key_of_json(&input(json!({"ids": [1, 9_007_199_254_740_993_i64]}))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "$.payload.ids[1]: an integer beyond 9007199254740991 is not exact in JSON; a text is expected"
        );
        assert!(key_of_json(&input(json!({"ids": [9_007_199_254_740_991_i64, -9_007_199_254_740_991_i64]}))).is_ok());
        // Beyond every machine integer, where neighbours are read as the same number.
        for far in ["18446744073709551616", "18446744073709551617", "-18446744073709551616", "1e30"] {
            let payload: Json = serde_json::from_str(&format!("{{\"id\":{far}}}")).unwrap();
            assert!(
                matches!(key_of_json(&input(payload)), Err(KeyError::Inexact { path }) if path == "$.payload.id"),
                "{far}"
            );
        }
    }

    #[test]
    fn s1_what_isnt_known_is_refused_with_its_path() {
        let with = |path: &[&str], value: Json| {
            let mut input = input(json!({}));
            path.iter().fold(&mut input, |at, key| &mut at[*key]).clone_from(&value);
            key_of_json(&input).unwrap_err().to_string()
        };
        assert!(with(&["labels"], json!([])).starts_with("$.labels: unknown member; accepted are organization, "));
        assert_eq!(
            with(&["nativeTarget", "id"], json!("7")),
            "$.nativeTarget.id: unknown member; accepted are nativeKind, nativeId, nativeNumber, container"
        );
        assert_eq!(
            with(&["interface"], json!("issues")),
            "$.interface: \"issues\" is not one of issueTracking, cicd, gitForge"
        );
        assert_eq!(
            with(&["operation"], json!("listIssues")),
            "$.operation: a write operation of the interface is expected"
        );
        assert_eq!(
            with(&["operation"], json!("createRef")),
            "$.operation: a write operation of the interface is expected"
        );
        assert_eq!(with(&["payload"], json!(null)), "$.payload: what is written is expected");
        assert_eq!(with(&["desiredGeneration"], json!("3")), "$.desiredGeneration: an integer is expected");
        assert_eq!(with(&["nativeTarget", "nativeId"], json!(7)), "$.nativeTarget.nativeId: a text is expected");
        assert_eq!(
            with(&["nativeTarget", "container", "owner"], json!(1)),
            "$.nativeTarget.container.owner: a text is expected"
        );
        assert_eq!(with(&["provider"], json!(null)), "$.provider: a text is expected");
    }

    #[test]
    fn s32_an_approval_is_for_one_sender_and_one_precondition() {
        let target = NativeTarget {
            native_kind: "issue".into(),
            native_id: Some("7".into()),
            native_number: None,
            container: std::collections::BTreeMap::new(),
        };
        let payload = json!({"title": "t"});
        let version = Version { sequence: Some(1), ..Version::default() };
        let newer = Version { sequence: Some(2), ..Version::default() };
        let app = IntentCredential { mode: AuthMode::GithubApp, account: Some("krate[bot]".to_owned()) };
        let alice = IntentCredential { account: Some("alice".to_owned()), ..app.clone() };
        let user = IntentCredential { mode: AuthMode::OauthUser, ..app.clone() };
        let request = RequestInput {
            key: KeyInput {
                organization: "acme",
                provider: "gh",
                binding: "web",
                interface: &Interface::IssueTracking,
                operation: &Operation::UpdateIssue,
                native_target: &target,
                target: None,
                payload: &payload,
                desired_generation: 1,
            },
            precondition: Some(&version),
            credential: Some(&app),
        };
        let digest = |request: &RequestInput<'_, Json>| request_digest(request).unwrap();
        let first = digest(&request);
        assert_eq!(first, digest(&request.clone()));
        let other_payload = json!({"title": "u"});
        let other_target = NativeTarget { native_id: Some("8".into()), ..target.clone() };
        let with = |key| RequestInput { key, ..request.clone() };
        for changed in [
            RequestInput { precondition: Some(&newer), ..request.clone() },
            RequestInput { precondition: None, ..request.clone() },
            RequestInput { credential: Some(&alice), ..request.clone() },
            RequestInput { credential: Some(&user), ..request.clone() },
            RequestInput { credential: None, ..request.clone() },
            with(KeyInput { payload: &other_payload, ..request.key.clone() }),
            with(KeyInput { native_target: &other_target, ..request.key.clone() }),
        ] {
            assert_ne!(first, digest(&changed), "{changed:?}");
        }
    }

    #[test]
    fn s33_two_objects_that_look_alike_are_two_creates() {
        let create = |target: Json| {
            let mut input = input(json!({"createIssue": {"title": "t"}}));
            input["operation"] = "createIssue".into();
            input["nativeTarget"].as_object_mut().unwrap().remove("nativeId");
            input["target"] = target;
            key_of_json(&input).map_err(|error| error.to_string())
        };
        let one = create(json!({"kind": "Issue", "name": "one"}));
        assert_eq!(one, create(json!({"name": "one", "kind": "Issue"})));
        assert_ne!(one, create(json!({"kind": "Issue", "name": "two"})));
        assert_ne!(one, create(Json::Null));
        assert_eq!(create(json!({"kind": "Issue"})).unwrap_err(), "$.target.name: a text is expected");
        assert_eq!(create(json!("one")).unwrap_err(), "$.target: an object is expected");
        let unknown = create(json!({"kind": "Issue", "name": "one", "uid": "u"})).unwrap_err();
        assert_eq!(unknown, "$.target.uid: unknown member; accepted are kind, name");
        let mut update = input(json!({"title": "t"}));
        update["target"] = json!({"kind": "Issue", "name": "one"});
        let refused = key_of_json(&update).unwrap_err().to_string();
        assert_eq!(refused, "$.target: nothing beside a nativeTarget.nativeId is expected");
    }

    #[test]
    fn s33_the_key_of_an_intent_is_the_one_of_its_json() {
        let mut whole = input(json!({"updateIssue": {"title": "t"}}));
        let key = key_of_json(&whole).unwrap();
        let spec = whole.as_object_mut().unwrap();
        for (from, to) in [("organization", "organizationRef"), ("provider", "providerRef"), ("binding", "bindingRef")]
        {
            let name = spec.remove(from).unwrap();
            spec.insert(to.into(), name);
        }
        spec.insert(
            "source".into(),
            json!({"kind": "Reconcile", "actor": {"kind": "controller", "name": "krate-sync"}}),
        );
        spec.insert("target".into(), json!({"kind": "Issue", "name": "i-7"}));
        spec.insert("requestDigest".into(), json!(key));
        spec.insert("idempotencyKey".into(), json!(key));
        spec.insert("approvalPolicy".into(), json!({"required": false}));
        let spec: ExternalWriteIntentSpec = serde_json::from_value(whole).unwrap();
        assert_eq!(KeyInput::of(&spec).key().unwrap(), key);
        let sent = request_digest(&RequestInput::of(&spec)).unwrap();
        let precondition = Some(Version { etag: Some("e".into()), ..Version::default() });
        let other = ExternalWriteIntentSpec { precondition, ..spec };
        assert_ne!(request_digest(&RequestInput::of(&other)).unwrap(), sent);
    }
}
