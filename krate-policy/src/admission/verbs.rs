//! Which verbs a write comes to: create, update or delete, and for each command field the verb that it stands for (R37).

use krate_model::Kind;
use krate_model::kinds::sets::Operation;
use krate_model::validate::{Part, commands, mergeable};
use serde_json::{Map, Value};

use super::{Change, Write, text};
use crate::request::Verb;
use crate::roles::{COMMANDS, operations};

/// Records that a person makes with a verb of their own (R19).
fn made_with(kind: Kind) -> Verb {
    match kind {
        Kind::AgentTriggerEvent => Verb::Dispatch,
        Kind::AgentMemoryUpdate | Kind::AgentRunMemoryImport => Verb::Propose,
        Kind::AgentMemoryQuery => Verb::Query,
        _ => Verb::Create,
    }
}

/// All verbs that the write needs; none where it changes nothing.
pub(super) fn of(kind: Kind, write: &Write<'_>) -> Vec<Verb> {
    let spec = |document: &Value| document.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    match write.change {
        Change::Delete { .. } => vec![Verb::Delete],
        Change::Update { .. } if write.part == Part::Status => vec![Verb::Update],
        Change::Create { new } => {
            let mut all = vec![made_with(kind)];
            all.extend(asked(kind, &Map::new(), &spec(new)).filter_map(|field| command(kind, field)));
            all.dedup();
            all
        }
        Change::Update { old, new } => {
            let (before, after) = (spec(old), spec(new));
            let mut all = Vec::new();
            for field in asked(kind, &before, &after) {
                all.push(command(kind, field).unwrap_or(Verb::Update));
            }
            // A command that is taken out is a change like any other.
            let is_command =
                |name: &str| after.contains_key(name) && commands(kind).any(|command| command.field == name);
            let names = before.keys().chain(after.keys());
            let others = names.filter(|name| !is_command(name)).any(|name| before.get(name) != after.get(name));
            let labels = ["labels", "annotations", "ownerReferences", "finalizers"];
            let meta = labels
                .iter()
                .any(|it| old.pointer(&format!("/metadata/{it}")) != new.pointer(&format!("/metadata/{it}")));
            if others || meta {
                all.push(Verb::Update);
            }
            all.sort_by(|one, other| krate_model::ClosedSet::as_str(one).cmp(krate_model::ClosedSet::as_str(other)));
            all.dedup();
            all
        }
    }
}

/// Command fields that are given or changed.
fn asked<'f>(
    kind: Kind,
    before: &'f Map<String, Value>,
    after: &'f Map<String, Value>,
) -> impl Iterator<Item = &'static str> + 'f {
    let fields = commands(kind).map(|command| command.field);
    fields.filter(move |field| after.get(*field).is_some() && after.get(*field) != before.get(*field))
}

fn command(kind: Kind, field: &str) -> Option<Verb> {
    COMMANDS.iter().find(|command| command.kind == kind && command.field == field).map(|command| command.verb.clone())
}

/// The repository that an object is of.
pub(super) fn repository(kind: Kind, document: &Value) -> Option<&str> {
    let named = match kind {
        Kind::Repository => text(document, "/metadata/name"),
        Kind::ExternalBackendBinding if text(document, "/spec/targetRef/kind") == Kind::Repository.as_str() => {
            text(document, "/spec/targetRef/name")
        }
        _ => text(document, "/spec/repository"),
    };
    (!named.is_empty()).then_some(named)
}

/// Whether an object that names no repository is of all of them, whatever its writer is at.
pub(super) const fn is_everywhere(kind: Kind) -> bool {
    matches!(kind, Kind::RefPolicy | Kind::SSHKey)
}

/// What the provider will be asked to do, for the kinds that are synced (P58).
pub(super) fn operation(kind: Kind, verb: &Verb, write: &Write<'_>) -> Option<Operation> {
    if write.part == Part::Status {
        return None;
    }
    let closes = || {
        let state = |document: Option<&Value>| document.map(|document| text(document, "/spec/state").to_owned());
        state(write.change.wanted()).as_deref() == Some("closed")
            && state(write.change.stored()).as_deref() != Some("closed")
    };
    let on_pull_request = || text(write.change.document(), "/spec/subject/kind") == Kind::PullRequest.as_str();
    let is_second = match kind {
        Kind::Issue => closes(),
        Kind::Comment => on_pull_request(),
        _ => false,
    };
    let all = operations(verb, kind);
    all.get(usize::from(is_second)).or_else(|| all.first()).cloned()
}

/// The mergeable fields that an update changes.
pub(super) fn fields(kind: Kind, verb: &Verb, write: &Write<'_>) -> Vec<Box<str>> {
    let (Verb::Update, Some(old), Some(new)) = (verb, write.change.stored(), write.change.wanted()) else {
        return Vec::new();
    };
    let at = |document: &Value, path: &str| document.pointer(&format!("/{}", path.replace('.', "/"))).cloned();
    let changed = mergeable(kind).iter().filter(|field| at(old, field.path) != at(new, field.path));
    changed.map(|field| field.path.into()).collect()
}
