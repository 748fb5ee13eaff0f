//! What may change, and by whom (R6, R19, R20, R27, R37, R38's end, R44, R47, R64).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::failure::{Code, Findings};
use super::path::{Path, ROOT, entries, get, int, is_true, lookup, text};
use super::rules::Rule;
use super::{Part, Request, Subject, View, Writer, judge, mergeable, schema, secrets};
use crate::kinds::shared::parse_time;
use crate::{Kind, StorageClass, canonical_digest};

/// Fields that tell which native object a projection is of (R47).
const IDENTITY: [&str; 4] = ["providerRef", "interface", "nativeKind", "nativeId"];

/// `document` as it is admitted in the place of `old`: with the status of `old`, or `old` with another status (R20).
///
/// Every store uses this, with or without a status subresource of its own.
pub fn admitted(document: &Value, old: &Value, part: Part) -> Value {
    let (mut kept, status) = match part {
        Part::Main => (document.clone(), old.get("status")),
        Part::Status => (old.clone(), document.get("status")),
    };
    if let Some(fields) = kept.as_object_mut() {
        match status {
            Some(status) => fields.insert("status".to_owned(), status.clone()),
            None => fields.remove("status"),
        };
    }
    kept
}

/// A field of a Record's spec by which a person asks for an act (R37).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command {
    /// The kind.
    pub kind: Kind,
    /// The field of its spec.
    pub field: &'static str,
}

/// The command fields of a kind, as its schema marks them.
pub fn commands(kind: Kind) -> impl Iterator<Item = Command> {
    let fields = crate::schema::schema(kind).and_then(|schema| get(schema, "properties.spec.properties"));
    fields
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(_, schema)| schema.get("x-krate-command").is_some())
        .map(move |(field, _)| Command { kind, field })
}

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    writer(subject, findings);
    let Some(old) = subject.old_spec() else { return };
    if let Some(schema) = subject.schema.and_then(|schema| get(schema, "properties.spec")) {
        let spec = ROOT.field("spec");
        if schema.get("x-krate-immutable").and_then(Value::as_str) == Some("all") {
            whole_spec(subject, schema, old, findings);
        } else {
            immutable(schema, Some(old), Some(subject.spec), spec, findings);
        }
    }
    repeated_commands(subject, old, findings);
    if is_true(old, "revoked") && !is_true(subject.spec, "revoked") {
        let rule = if subject.kind == Kind::OrgSharingPolicy { Rule::r(34) } else { Rule::r(39) };
        findings.fail("spec.revoked", rule, Code::Forbidden, "what is revoked stays revoked; make a new object");
    }
    if subject.kind == Kind::AuditEvent
        && let Some(name) = changed(old, subject.spec).into_iter().next()
    {
        let message = "an audit event never changes";
        findings.fail(ROOT.field("spec").field(name), Rule::r(44), Code::Forbidden, message);
    }
}

/// The top-level fields of two specs that differ, in order.
fn changed<'a>(old: &'a Value, new: &'a Value) -> BTreeSet<&'a str> {
    let names = |spec: &'a Value| spec.as_object().map(|spec| spec.keys().map(String::as_str)).into_iter().flatten();
    names(old).chain(names(new)).filter(|name| old.get(name) != new.get(name)).collect()
}

/// R19: who writes Records.
fn writer(subject: &Subject<'_>, findings: &mut Findings) {
    let (kind, writer) = (subject.kind, subject.request.writer);
    if kind.info().class != StorageClass::Record || writer == Writer::Controller {
        return;
    }
    let who = if writer == Writer::Agent { "an agent" } else { "a person" };
    let Some(old) = subject.old_spec() else {
        match (writer, created_by_person(kind)) {
            (Writer::Person, Creation::Free) => {}
            (Writer::Person, Creation::With(field, value)) => {
                if text(subject.spec, field) != Some(value) {
                    let message = format!("{who} makes a {kind} only with {value}");
                    findings.fail_near(format!("spec.{field}"), Rule::r(19), Code::Forbidden, message, Some(value));
                }
            }
            _ => findings.fail(
                "kind",
                Rule::r(19),
                Code::Forbidden,
                format!("a {kind} is made by its controller, not by {who}"),
            ),
        }
        return;
    };
    let commands: BTreeSet<&str> = commands(kind).map(|command| command.field).collect();
    let known = subject.schema.and_then(|schema| get(schema, "properties.spec.properties"));
    let refused = changed(old, subject.spec).into_iter().find(|name| {
        let is_unknown = known.is_some_and(|known| known.get(name).is_none());
        let is_allowed = writer == Writer::Person && (commands.contains(name) || mergeable::is_mergeable(kind, name));
        !is_unknown && !is_allowed
    });
    if let Some(name) = refused {
        let message = format!("{who} does not change this field of a {kind}");
        findings.fail(ROOT.field("spec").field(name), Rule::r(19), Code::Forbidden, message);
    }
}

/// Whether people create a Record of some kind.
enum Creation {
    Free,
    /// Only with this field of the spec at this value.
    With(&'static str, &'static str),
    Never,
}

const fn created_by_person(kind: Kind) -> Creation {
    match kind {
        Kind::Issue
        | Kind::PullRequest
        | Kind::Review
        | Kind::Comment
        | Kind::Pipeline
        | Kind::AgentMemoryUpdate
        | Kind::AgentRunMemoryImport
        | Kind::AgentMemoryQuery => Creation::Free,
        Kind::AgentTriggerEvent => Creation::With("source", "manual"),
        _ => Creation::Never,
    }
}

/// Who makes a document such as this one (R19): its controller, where people make no such Record. For documents that come without a writer, such as
/// files; who sends a request is what its authentication says (P43), not this.
pub fn maker(document: &Value) -> Writer {
    let kind = text(document, "kind").and_then(|kind| kind.parse::<Kind>().ok());
    match kind.filter(|kind| kind.info().class == StorageClass::Record).map(created_by_person) {
        None | Some(Creation::Free) => Writer::Person,
        Some(Creation::With(field, value)) if text(document, &format!("spec.{field}")) == Some(value) => Writer::Person,
        Some(Creation::With(..) | Creation::Never) => Writer::Controller,
    }
}

/// R6 for a spec of which only commands change.
fn whole_spec(subject: &Subject<'_>, schema: &Value, old: &Value, findings: &mut Findings) {
    let properties = schema.get("properties");
    for name in changed(old, subject.spec) {
        let property = properties.and_then(|properties| properties.get(name));
        if property.is_some_and(|property| property.get("x-krate-command").is_none())
            && !same(property, old.get(name), subject.spec.get(name))
        {
            let path = ROOT.field("spec");
            changed_after_creation(&path.field(name), old.get(name), subject.spec.get(name), findings);
        }
    }
}

/// R6: fields that the schema marks don't change, appear or vanish.
fn immutable(schema: &Value, old: Option<&Value>, new: Option<&Value>, path: Path<'_>, findings: &mut Findings) {
    if schema.get("x-krate-immutable").is_some_and(|mark| mark != &Value::Bool(false)) {
        if !same(Some(schema), old, new) {
            changed_after_creation(&path, old, new, findings);
        }
        return;
    }
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                immutable(property, old.get(name), new.get(name), path.field(name), findings);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            let (Some(items), Some(key)) = (schema.get("items"), schema::map_keys(schema).first().copied()) else {
                return;
            };
            for (at, entry) in new.iter().enumerate() {
                let before = old.iter().find(|before| before.get(key).is_some() && before.get(key) == entry.get(key));
                if before.is_some() {
                    immutable(items, before, Some(entry), path.entry(at, entry, key), findings);
                }
            }
        }
        _ => {}
    }
}

fn changed_after_creation(path: &Path<'_>, old: Option<&Value>, new: Option<&Value>, findings: &mut Findings) {
    let name = path.last_name();
    let message = format!("does not change after creation: it is {}, not {}", summary(old, name), summary(new, name));
    findings.fail(path, Rule::r(6), Code::Forbidden, message);
}

/// A value for a message: a digest where it is large or may be secret.
fn summary(value: Option<&Value>, name: &str) -> String {
    match value {
        None => "absent".to_owned(),
        Some(Value::String(text)) if text.len() <= 64 && !text.contains('\n') => match secrets::shown(text, name) {
            shown if shown.starts_with('"') => shown,
            _ => digest(&Value::from(text.as_str())),
        },
        Some(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => value.to_string(),
        Some(value) => digest(value),
    }
}

fn digest(value: &Value) -> String {
    canonical_digest(value).map_or_else(|_| "another value".to_owned(), |digest| digest.to_string())
}

/// Whether two values are one: order in sets and list-maps is none (R41), and `123` is `"123"` where either may stand (R68).
fn same(schema: Option<&Value>, old: Option<&Value>, new: Option<&Value>) -> bool {
    let plain = |value: Option<&Value>| value.map(|value| plain(schema, value));
    old == new || plain(old) == plain(new)
}

fn plain(schema: Option<&Value>, value: &Value) -> Value {
    let marks = |name: &str| schema.and_then(|schema| schema.get(name));
    match value {
        Value::Number(number) if marks("x-kubernetes-int-or-string").is_some() => Value::from(number.to_string()),
        Value::Object(fields) => {
            let schema_of =
                |name: &str| marks("properties").and_then(|p| p.get(name)).or(marks("additionalProperties"));
            let fields = fields.iter().map(|(name, value)| (name.clone(), plain(schema_of(name), value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| plain(marks("items"), item)).collect();
            if marks("x-kubernetes-list-type").is_some_and(|list| list != "atomic") {
                items.sort_by_cached_key(Value::to_string);
            }
            Value::Array(items)
        }
        other => other.clone(),
    }
}

/// R37: an id is acted on once, so its content stays what it was.
fn repeated_commands(subject: &Subject<'_>, old: &Value, findings: &mut Findings) {
    for command in commands(subject.kind) {
        let (Some(before), Some(now)) = (old.get(command.field), subject.spec.get(command.field)) else { continue };
        if before != now && before.get("id").is_some() && before.get("id") == now.get("id") {
            let message = "this id was used with other content; a new command takes a new id";
            findings.fail(ROOT.field("spec").field(command.field), Rule::r(37), Code::Duplicate, message);
        }
    }
}

/// A write of the status subresource.
pub(super) fn check_status(subject: &Subject<'_>, findings: &mut Findings) {
    if subject.request.writer != Writer::Controller {
        let rule = if subject.kind.info().class == StorageClass::Record { Rule::r(19) } else { Rule::r(20) };
        findings.fail("status", rule, Code::Forbidden, "a status is written by its controller only");
    }
    super::work::check_status(subject, findings);
    let Some(old) = subject.old else { return };
    let (before, now) = (int(old, "status.observedGeneration"), int(subject.document, "status.observedGeneration"));
    if before.is_some() && now < before {
        findings.fail("status.observedGeneration", Rule::r(27), Code::Invalid, "never goes back");
    }
    for (path, condition) in entries(subject.document, "status.conditions", "type") {
        let Some(before) = lookup(old, &path) else { continue };
        let moved = text(before, "lastTransitionTime").and_then(parse_time)
            != text(condition, "lastTransitionTime").and_then(parse_time);
        if moved && before.get("status") == condition.get("status") {
            let message = "moves only when the status of the condition does";
            findings.fail(format!("{path}.lastTransitionTime"), Rule::r(27), Code::Invalid, message);
        }
    }
    if let (Some(before), Some(now)) = (get(old, "status.external"), get(subject.document, "status.external")) {
        for field in IDENTITY {
            if before.get(field).is_some() && before.get(field) != now.get(field) {
                let message = "the identity of a projection never changes";
                findings.fail(format!("status.external.{field}"), Rule::r(47), Code::Forbidden, message);
            }
        }
    }
}

/// R64: drops what the stored object already has at the same path with an unchanged value, but for the rules that never yield.
pub(super) fn ratchet(
    kind: Kind,
    document: &Value,
    old: &Value,
    view: &View,
    request: &Request,
    findings: &mut Findings,
) {
    let never_yields = |rule: Rule| matches!(rule, r if [2, 3, 4, 5, 6, 9, 14, 16].map(Rule::r).contains(&r));
    let mut stored = Findings::default();
    judge(kind, old, None, view, &Request { part: Part::Main, ..*request }, &mut stored);
    let known: BTreeSet<(&str, Rule)> = stored.report.failures.iter().map(|f| (f.path.as_str(), f.rule)).collect();
    findings.report.failures.retain(|failure| {
        never_yields(failure.rule)
            || !known.contains(&(failure.path.as_str(), failure.rule))
            || lookup(document, &failure.path) != lookup(old, &failure.path)
    });
}
