//! What a write carries: the value of each field, and whether an observation shows it.

use krate_model::kinds::external::Payload;
use krate_model::validate::credential_in;
use serde_json::Value;

use crate::merge::FieldValue;
use crate::mistakes::{Mistake, made};

/// The fields that payloads write.
pub(super) const WRITTEN_FIELDS: [&str; 5] =
    ["spec.title", "spec.body.markdown", "spec.base", "spec.state", "spec.labels"];

/// The value that a payload gives to a field; nothing where it doesn't set it, or only a part of it.
pub(crate) fn payload_value(payload: &Payload, path: &str) -> Option<FieldValue<'static>> {
    let owned = |text: &Option<String>| {
        text.clone().map(|text| if text.is_empty() { FieldValue::Absent } else { FieldValue::Text(text.into()) })
    };
    match payload {
        Payload::UpdateIssue(changes) | Payload::UpdatePullRequest(changes) => match path {
            "spec.title" => owned(&changes.title),
            "spec.body.markdown" => owned(&changes.body),
            "spec.base" => owned(&changes.base),
            "spec.state" => changes
                .state
                .as_ref()
                .map(|state| crate::local::state_value(state.as_str(), changes.state_reason.as_ref())),
            _ => None,
        },
        Payload::UpdateComment(body) | Payload::UpdatePullRequestComment(body) if path == "spec.body.markdown" => {
            owned(&Some(body.body.clone()))
        }
        _ => None,
    }
}

/// Whether a payload writes a field, wholly or in part.
pub fn carries(payload: &Payload, path: &str) -> bool {
    let labels = matches!(payload, Payload::AddLabels(_) | Payload::RemoveLabels(_));
    (labels && path == "spec.labels") || payload_value(payload, path).is_some()
}

/// Whether two payloads write the same field.
pub(crate) fn share_a_field(one: &Payload, other: &Payload) -> bool {
    WRITTEN_FIELDS.iter().any(|path| carries(one, path) && carries(other, path))
}

/// Whether an observation with these fields shows what the payload wrote (S34, S35).
pub fn is_shown(payload: &Payload, fields: &[(&'static str, FieldValue<'_>)]) -> bool {
    let find = |path: &str| fields.iter().find(|(known, _)| *known == path).map(|(_, value)| value);
    let has_label = |label: &str| matches!(find("spec.labels"), Some(FieldValue::List(list)) if list.iter().any(|held| held.eq_ignore_ascii_case(label)));
    match payload {
        Payload::UpdateIssue(_)
        | Payload::UpdatePullRequest(_)
        | Payload::UpdateComment(_)
        | Payload::UpdatePullRequestComment(_) => {
            if made(Mistake::AnythingProves) {
                return true;
            }
            if made(Mistake::PartIsWhole) {
                return WRITTEN_FIELDS
                    .iter()
                    .any(|path| payload_value(payload, path).is_some_and(|wrote| find(path) == Some(&wrote)));
            }
            ["spec.title", "spec.body.markdown", "spec.base", "spec.state"].iter().all(|path| {
                payload_value(payload, path).is_none_or(|wrote| match find(path) {
                    Some(observed) => *observed == wrote || is_state_shown(path, observed, &wrote),
                    None => wrote == FieldValue::Absent,
                })
            })
        }
        Payload::CloseIssue(_) => {
            find("spec.state").is_some_and(|state| state_word(state).as_deref() == Some("closed"))
        }
        Payload::AddLabels(labels) => labels.labels.iter().all(|label| has_label(label)),
        Payload::RemoveLabels(labels) => {
            find("spec.labels").is_some() && !labels.labels.iter().any(|label| has_label(label))
        }
        // Creates are found by their marker, not by their fields.
        _ => false,
    }
}

/// A provider may add a reason of its own to a state.
pub(crate) fn is_state_shown(path: &str, observed: &FieldValue<'_>, wrote: &FieldValue<'_>) -> bool {
    path == "spec.state" && matches!(wrote, FieldValue::Text(_)) && state_word(observed) == state_word(wrote)
}

pub(super) fn state_word(value: &FieldValue<'_>) -> Option<String> {
    match value {
        FieldValue::Text(text) => Some(text.to_string()),
        FieldValue::Json(json) => json.get("state").and_then(|state| state.as_str()).map(str::to_owned),
        _ => None,
    }
}

/// Whether the payload takes an object away.
pub(crate) fn deletes(payload: &Payload) -> bool {
    matches!(payload, Payload::DeleteComment(_) | Payload::DeletePullRequestComment(_))
}

/// The field of a payload that holds something shaped like a credential, wherever in it (S38).
pub(super) fn secret_in(payload: &Payload) -> Option<String> {
    fn find(value: &Value, path: &str) -> Option<String> {
        match value {
            Value::String(text) => credential_in(text).map(|_| path.to_owned()),
            Value::Array(items) => items.iter().enumerate().find_map(|(at, item)| find(item, &format!("{path}[{at}]"))),
            Value::Object(members) => members.iter().find_map(|(name, value)| find(value, &format!("{path}.{name}"))),
            _ => None,
        }
    }
    // A payload is plain data: what has no JSON couldn't be sent either.
    find(&serde_json::to_value(payload).ok()?, "payload")
}
