//! What stays of a payload once it was processed (`storage.rawPayload` of the sync policy, S47).

use krate_model::kinds::external::RawPayload;
use krate_model::validate::credential_in_member;
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
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return Kept::Nothing };
    if redact("", &mut value) { Kept::Redacted(value.to_string().into_bytes()) } else { Kept::AsItIs }
}

/// Takes every text that looks like a credential out; whether there was one.
fn redact(name: &str, value: &mut Value) -> bool {
    match value {
        Value::String(text) if credential_in_member(name, text).is_some() => {
            REDACTED.clone_into(text);
            true
        }
        Value::Array(items) => items.iter_mut().fold(false, |found, item| redact(name, item) | found),
        Value::Object(members) => {
            let mut found = false;
            let suspect: Vec<String> =
                members.keys().filter(|name| credential_in_member("", name).is_some()).cloned().collect();
            for name in suspect {
                members.remove(&name);
                found = true;
            }
            members.iter_mut().fold(found, |found, (name, member)| redact(name, member) | found)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
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
