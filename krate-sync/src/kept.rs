//! What stays of a payload once it was processed (`storage.rawPayload` of the sync policy, S47).

use std::borrow::Cow;
use std::fmt;

use krate_model::kinds::external::RawPayload;
use krate_model::validate::credential_in_member;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// What stands in place of a credential.
const REDACTED: &str = "[redacted]";

/// What is kept of a processed payload; its digest stays in the delivery's record in any case.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of it: it holds nothing that looks like a credential.
    AsItIs,
    /// All but what looks like a credential.
    Redacted(Vec<u8>),
    /// Nothing.
    Nothing,
}

/// Decides by policy. A policy that this version doesn't know keeps nothing, and neither does a payload that is no JSON.
pub(crate) fn kept(policy: &RawPayload, body: &[u8]) -> Kept {
    if *policy != RawPayload::Redacted {
        return Kept::Nothing;
    }
    // Few payloads hold one: most are looked through, and never built.
    match holds_credential(body) {
        Ok(false) => Kept::AsItIs,
        Ok(true) => {
            let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return Kept::Nothing };
            redact("", &mut value);
            Kept::Redacted(value.to_string().into_bytes())
        }
        Err(_) => Kept::Nothing,
    }
}

/// Whether there is something for [`redact`] to take out.
fn holds_credential(body: &[u8]) -> serde_json::Result<bool> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let found = Look { name: "" }.deserialize(&mut json)?;
    json.end()?;
    Ok(found)
}

/// A look at one value, the member of that name.
struct Look<'a> {
    name: &'a str,
}

/// A member's name, which mostly stands in the body as it is.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(credential_in_member(self.name, text).is_some())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(item) = items.next_element_seed(Look { name: self.name })? {
            found |= item;
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(Name(name)) = members.next_key()? {
            found |= credential_in_member("", &name).is_some();
            found |= members.next_value_seed(Look { name: &name })?;
        }
        Ok(found)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }
}

/// Takes every text that looks like a credential out.
fn redact(name: &str, value: &mut Value) {
    match value {
        Value::String(text) if credential_in_member(name, text).is_some() => REDACTED.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| redact(name, item)),
        Value::Object(members) => {
            members.retain(|name, _| credential_in_member("", name).is_none());
            members.iter_mut().for_each(|(name, member)| redact(name, member));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

    #[test]
    fn s47_only_what_looks_like_a_credential_is_taken_out() {
        let payload = json!({
            "issue": {"title": "Crash", "body": format!("it says {TOKEN} here"), "labels": ["bug", TOKEN]},
            "config": {"secret": "x7Kq92mVwZp4LtR8sB3nYc", TOKEN: 1, "url": "https://ci.example"},
        });
        let Kept::Redacted(bytes) = kept(&RawPayload::Redacted, payload.to_string().as_bytes()) else {
            panic!("nothing was found")
        };
        let left: Value = serde_json::from_slice(&bytes).unwrap();
        let expected = json!({
            "issue": {"title": "Crash", "body": REDACTED, "labels": ["bug", REDACTED]},
            "config": {"secret": REDACTED, "url": "https://ci.example"},
        });
        assert_eq!(left, expected);
    }

    proptest! {
        #[test]
        fn s47_a_look_finds_what_would_be_taken_out(
            depth in 0..4_usize, name in "[a-z]{1,6}|password|token",
            text in "[a-z ]{0,20}|[a-zA-Z0-9]{20,30}", with in any::<bool>(), other in any::<i32>(),
        ) {
            let mut value = json!({name: if with { format!("{text}\n{TOKEN}") } else { text }, "other": other, "none": null});
            for level in 0..depth {
                value = if level % 2 == 0 { json!([1.5, value]) } else { json!({"é\"inner": value, "is": true}) };
            }
            let before = value.clone();
            redact("", &mut value);
            prop_assert_eq!(holds_credential(before.to_string().as_bytes()).unwrap(), value != before);
        }
    }

    #[test]
    fn s47_the_policy_says_what_stays() {
        let harmless = br#"{"issue": {"title": "Crash"}}"#;
        assert_eq!(kept(&RawPayload::Redacted, harmless), Kept::AsItIs);
        assert_eq!(kept(&RawPayload::Redacted, b"no JSON"), Kept::Nothing);
        for policy in [RawPayload::None, RawPayload::Digest, RawPayload::Unknown("later".into())] {
            assert_eq!(kept(&policy, harmless), Kept::Nothing, "{policy:?}");
        }
    }
}
