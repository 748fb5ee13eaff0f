//! What is stored: defaults, and what is taken from who writes and never from the object (P43, R37, R60, R62, A54).

use krate_model::validate::{Part, admitted};
use krate_model::{Kind, apply_defaults, normalize_sets};
use serde_json::{Value, json};

use super::{Change, Write};
use crate::audit::actor;
use crate::request::SubjectKind;

/// The document as it is stored if it is allowed.
pub(super) fn stored(kind: Kind, write: &Write<'_>, new: &Value) -> Value {
    let mut document = if let Some(old) = write.change.stored() {
        admitted(new, old, write.part)
    } else {
        let mut document = new.clone();
        // R20: who makes an object says nothing of its status.
        if let (Some(fields), false) = (document.as_object_mut(), write.by.subject.kind == SubjectKind::Controller) {
            fields.remove("status");
        }
        document
    };
    if write.part == Part::Main {
        stamp(kind, write, &mut document);
    }
    apply_defaults(kind, &mut document);
    normalize_sets(kind, &mut document);
    document
}

fn stamp(kind: Kind, write: &Write<'_>, document: &mut Value) {
    let by_controller = write.by.subject.kind == SubjectKind::Controller;
    let is_new = matches!(write.change, Change::Create { .. });
    let before = write.change.stored().and_then(|old| old.get("spec")).cloned().unwrap_or_default();
    let Some(spec) = document.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let me = json!(actor(write.by));
    match kind {
        // A54: who last said what the rule does answers for it; who only pauses it doesn't.
        Kind::AgentTriggerRule => {
            let same = |name: &str, value: &Value| before.get(name) == Some(value);
            let quiet = ["lifecycleState", "owner", "resetBreaker"];
            let changes = spec.iter().any(|(name, value)| !quiet.contains(&name.as_str()) && !same(name, value))
                || before.as_object().is_some_and(|before| {
                    before.keys().any(|name| !quiet.contains(&name.as_str()) && !spec.contains_key(name))
                });
            // Taking it into force is lending, too.
            let starts = spec.get("lifecycleState").and_then(Value::as_str) == Some("active")
                && before.get("lifecycleState").and_then(Value::as_str) != Some("active");
            let owner = if is_new || changes || starts { Some(me) } else { before.get("owner").cloned() };
            put(spec, "owner", owner);
        }
        // R62: who changes the fragment is its editor, and its old review is void. A label of which nobody knows the editor gets one with its next write.
        Kind::AgentContextLabel => {
            let same = |name: &str| before.get(name) == spec.get(name);
            let is_edited = is_new || !same("promptFragment");
            if is_edited && !is_new && same("review") {
                spec.remove("review");
            }
            let editor = if is_edited { None } else { before.get("editor").cloned() };
            put(spec, "editor", editor.or(Some(me)));
        }
        Kind::PolicyExceptionRequest => {
            let asked = if is_new { Some(me) } else { before.get("requestedBy").cloned() };
            put(spec, "requestedBy", asked);
        }
        Kind::AgentApproval if is_new && !by_controller => put(spec, "requestedBy", Some(me)),
        _ => {}
    }
}

fn put(spec: &mut serde_json::Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            spec.insert(name.to_owned(), value);
        }
        None => {
            spec.remove(name);
        }
    }
}
