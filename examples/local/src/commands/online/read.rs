//! Looking: `get`, `describe`, `diff`, `why`, `verify`, `forecast`.

use std::fmt::Write as _;

use krate_model::Kind;
use serde_json::{Value, json};

use super::column::ColumnPath;
use super::{Api, Failed, Server, text};
use crate::commands::explain::kind_named;
use crate::error::Answer;
use crate::output::{Format, Output, columns, note, table, yaml};

#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    server: Server,
    /// The kind, by name, plural or short name
    kind: String,
    /// The object; without it, all
    name: Option<String>,
    /// Only those in this phase
    #[arg(long, value_name = "PHASE")]
    phase: Option<String>,
    /// Only those that an index finds, such as repository=web
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "phase")]
    index: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OneArgs {
    #[command(flatten)]
    server: Server,
    /// The kind, by name, plural or short name
    kind: String,
    /// The object
    name: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BindingArgs {
    #[command(flatten)]
    server: Server,
    /// The binding; without it, all
    binding: Option<String>,
}

impl OneArgs {
    /// The server, the kind and the namespace.
    fn find(&self) -> Result<(Api, Kind, String), Failed> {
        let kind = kind_named(&self.kind)?;
        let api = Api::new(&self.server)?;
        let namespace = api.namespace_of(kind, &self.name)?;
        Ok((api, kind, namespace))
    }
}

pub(super) fn get(args: &GetArgs, output: Output) -> Result<Answer, Failed> {
    let kind = kind_named(&args.kind)?;
    let api = Api::new(&args.server)?;
    if let Some(name) = &args.name {
        let namespace = api.namespace_of(kind, name)?;
        let object = api.get(&[kind.as_str(), &namespace, name], &[])?;
        output.print(Format::Table, &object, |object| objects_table(kind, std::slice::from_ref(object)))?;
        return Ok(Answer::Yes);
    }
    let mut filter = Vec::new();
    filter.extend(api.namespace.as_deref().map(|namespace| ("namespace", namespace)));
    filter.extend(args.phase.as_deref().map(|phase| ("phase", phase)));
    filter.extend(args.index.as_deref().map(|index| ("index", index)));
    let (items, is_cut) = api.all(kind, &filter, args.limit)?;
    if is_cut {
        note(&format!("these are the first {} of more; --limit N shows more", items.len()));
    }
    output.print(Format::Table, &items, |items| objects_table(kind, items))?;
    Ok(Answer::Yes)
}

/// The columns that the kind's definition names.
fn objects_table(kind: Kind, objects: &[Value]) -> String {
    let definition = krate_model::crd::crd(kind);
    let version = definition.as_ref().and_then(|definition| definition.spec.versions.first());
    let own: Vec<(&str, ColumnPath<'_>)> = version
        .and_then(|version| version.additional_printer_columns.as_deref())
        .unwrap_or_default()
        .iter()
        .filter(|column| column.json_path != ".status.phase")
        .filter_map(|column| Some((column.name.as_str(), ColumnPath::read(&column.json_path)?)))
        .collect();
    let header = ["Namespace", "Name", "Phase"].into_iter().chain(own.iter().map(|(name, _)| *name)).map(str::to_owned);
    let rows = objects.iter().map(|object| {
        let fixed = ["/metadata/namespace", "/metadata/name", "/status/phase"].map(|path| text(object, path));
        fixed.into_iter().chain(own.iter().map(|(_, path)| path.show(object))).collect()
    });
    columns(&header.collect::<Vec<_>>(), rows.collect())
}

pub(super) fn describe(args: &OneArgs, output: Output) -> Result<Answer, Failed> {
    let (api, kind, namespace) = args.find()?;
    let object = api.get(&[kind.as_str(), &namespace, &args.name], &[])?;
    let why = api.get(&["why", kind.as_str(), &namespace, &args.name], &[])?;
    let object_text = yaml(&object)?;
    let both = json!({"object": object, "why": why});
    output.print(Format::Table, &both, |both| format!("{object_text}\n{}", story(&both["why"])))?;
    Ok(Answer::Yes)
}

pub(super) fn why(args: &OneArgs, output: Output) -> Result<Answer, Failed> {
    let (api, kind, namespace) = args.find()?;
    let why = api.get(&["why", kind.as_str(), &namespace, &args.name], &[])?;
    output.print(Format::Table, &why, story)?;
    Ok(Answer::Yes)
}

/// The chain that led to an object's state, and what comes next, for people.
fn story(why: &Value) -> String {
    let object = &why["object"];
    let mut story = format!("{} {}: {}\n", text(object, "/kind"), text(object, "/name"), text(object, "/phase"));
    let mut tell = |line: String| {
        story.push_str(&line);
        story.push('\n');
    };
    let error = text(object, "/error/message");
    if !error.is_empty() {
        tell(format!("went wrong: {error}"));
    }
    for about in rows(why, "about").iter().filter(|about| about["name"] != object["name"]) {
        tell(format!("about {} {}", text(about, "/kind"), text(about, "/name")));
    }
    let links = rows(why, "links");
    if links.is_empty() {
        tell("not linked: it is here only, or nothing was read yet".to_owned());
    }
    for link in links {
        tell(format!(
            "linked to {} {} at {} by {} ({}), version {}",
            text(&link, "/nativeKind"),
            text(&link, "/nativeId"),
            text(&link, "/provider"),
            text(&link, "/binding"),
            text(&link, "/phase"),
            text(&link, "/version/updatedAt"),
        ));
    }
    for conflict in rows(why, "conflicts") {
        tell(format!(
            "conflict {} about {} ({}; {}, {}): here {}, there {}",
            text(&conflict, "/name"),
            text(&conflict, "/fieldPath"),
            text(&conflict, "/reason"),
            text(&conflict, "/mode"),
            text(&conflict, "/strategy"),
            conflict["desired"],
            conflict["observed"]
        ));
    }
    for write in rows(why, "writes") {
        let error = Some(text(&write, "/error/message")).filter(|text| !text.is_empty());
        tell(format!(
            "write {} ({}) for {} by {}: {}{}",
            text(&write, "/name"),
            text(&write, "/operation"),
            text(&write, "/source"),
            text(&write, "/by/name"),
            text(&write, "/phase"),
            error.map(|error| format!(": {error}")).unwrap_or_default()
        ));
    }
    for next in rows(why, "next") {
        let at = Some(text(&next, "/at")).filter(|at| !at.is_empty());
        let waits_for = Some(text(&next, "/waitsFor")).filter(|text| !text.is_empty());
        tell(format!(
            "next, {}: {}{}",
            at.map_or_else(|| "when it is its turn".to_owned(), |at| format!("at {at}")),
            text(&next, "/does"),
            waits_for.map(|what| format!("; waits for {what}")).unwrap_or_default()
        ));
    }
    let causes = rows(why, "causes");
    if !causes.is_empty() {
        let row = |cause: &Value| {
            let source = format!("{} {}", text(cause, "/source/kind"), text(cause, "/source/name"));
            let fields: Vec<_> =
                cause["changedFields"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let version = text(cause, "/version/updatedAt");
            [
                text(cause, "/appliedAt"),
                text(cause, "/action"),
                text(cause, "/actor/name"),
                source,
                version,
                fields.join(" "),
            ]
        };
        let head = ["Applied", "Told", "By", "Came in", "Version", "Changed"];
        let _ = write!(story, "\n{}", table(head, causes.iter().map(row)));
    }
    let events = rows(why, "events");
    if !events.is_empty() {
        let row = |event: &Value| {
            let moved = match (text(event, "/from"), text(event, "/to")) {
                (from, to) if from.is_empty() => to,
                (from, to) => format!("{from} -> {to}"),
            };
            let about = format!("{} {}", text(event, "/object/kind"), text(event, "/object/name"));
            [text(event, "/at"), text(event, "/type"), about, moved, text(event, "/actor/name"), text(event, "/reason")]
        };
        let _ = write!(story, "\n{}", table(["At", "What", "About", "Moved", "Who", "Why"], events.iter().map(row)));
    }
    story
}

impl BindingArgs {
    /// What the server says at `path` about the binding, or about each of them.
    fn ask(&self, path: &str) -> Result<Value, Failed> {
        let api = Api::new(&self.server)?;
        let bindings = match &self.binding {
            Some(binding) => vec![binding.clone()],
            None => api
                .all(Kind::ExternalBackendBinding, &[], usize::MAX)?
                .0
                .iter()
                .map(|binding| text(binding, "/metadata/name"))
                .collect(),
        };
        let mut found = serde_json::Map::new();
        for binding in bindings {
            let answer = api.get(&[path, &binding], &[])?;
            found.insert(binding, answer);
        }
        Ok(Value::Object(found))
    }
}

pub(super) fn forecast(args: &BindingArgs, output: Output) -> Result<Answer, Failed> {
    output.print(Format::Table, &args.ask("forecast")?, foretold)?;
    Ok(Answer::Yes)
}

/// Budgets and lists, for people.
fn foretold(found: &Value) -> String {
    let mut story = String::new();
    for (binding, found) in found.as_object().into_iter().flatten() {
        let _ = writeln!(story, "{binding}");
        for budget in rows(found, "budgets") {
            let (name, until) = (text(&budget, "/scope"), text(&budget, "/resetAt"));
            let _ = if budget["limit"] == 0 {
                writeln!(story, "{name} until {until}")
            } else {
                writeln!(story, "budget {name}: {} of {} left until {until}", budget["remaining"], budget["limit"])
            };
        }
        let row = |list: &Value| {
            let calls = list["calls"].as_i64().map_or_else(|| "not known yet".to_owned(), |calls| calls.to_string());
            let known = match list["by"].as_str() {
                Some("provider") => "the provider said so",
                Some("lastRun") => "as the last complete run",
                _ => "",
            };
            let run = if list["running"] == true { "running" } else { "next" };
            let mode = text(list, "/mode");
            [text(list, "/kind"), format!("{run}, {mode}"), calls, known.to_owned(), text(list, "/doneBy")]
        };
        let header = ["List", "Run", "Calls", "Known by", "Done by, if it went on now"];
        let _ = writeln!(story, "{}", table(header, rows(found, "lists").iter().map(row)));
    }
    story
}

pub(super) fn verify(args: &BindingArgs, output: Output) -> Result<Answer, Failed> {
    let found = args.ask("verify")?;
    output.print(Format::Table, &found, verified)?;
    // What is known to be on its way, or to wait for a person, is as it should be.
    let all =
        found.as_object().into_iter().flat_map(|found| found.values()).flat_map(|found| rows(found, "differences"));
    let unknown = all.filter(|difference| difference["because"] == "unknown").count();
    Ok(if unknown == 0 { Answer::Yes } else { Answer::No })
}

fn rows(value: &Value, name: &str) -> Vec<Value> {
    value[name].as_array().cloned().unwrap_or_default()
}

/// What was compared, and the differences, for people.
fn verified(found: &Value) -> String {
    let mut story = String::new();
    for (binding, found) in found.as_object().into_iter().flatten() {
        let differences = rows(found, "differences");
        let _ = writeln!(
            story,
            "{binding}: {} objects compared with {} requests, of which {} were answered \"not modified\"; {} differences",
            found["compared"],
            found["requests"],
            found["notModified"],
            differences.len()
        );
        let row = |found: &Value| {
            let resource = match (text(found, "/resource/kind"), text(found, "/resource/name")) {
                (kind, _) if kind.is_empty() => String::new(),
                (kind, name) => format!("{kind} {name}"),
            };
            let what = match found["what"].as_str() {
                Some("notHere") => "isn't here".to_owned(),
                Some("notThere") => "isn't there".to_owned(),
                _ => format!("{}: here {}, there {}", text(found, "/path"), found["here"], found["there"]),
            };
            let because = match (&found["because"]["conflict"], &found["because"]["write"]) {
                (Value::String(name), _) => format!("conflict {name}"),
                (_, Value::String(name)) => format!("write {name}"),
                _ => "unknown".to_owned(),
            };
            [resource, text(found, "/native"), what, text(found, "/owner"), text(found, "/since"), because]
        };
        if !differences.is_empty() {
            let header = ["Object", "There", "Difference", "Owner", "Since", "Because"];
            let _ = writeln!(story, "{}", table(header, differences.iter().map(row)));
        }
    }
    story
}

pub(super) fn diff(args: &OneArgs, output: Output) -> Result<Answer, Failed> {
    let (api, kind, namespace) = args.find()?;
    let diff = api.get(&["diff", kind.as_str(), &namespace, &args.name], &[])?;
    output.print(Format::Table, &diff, |diff| {
        let differing: Vec<&Value> =
            diff["fields"].as_array().into_iter().flatten().filter(|field| field["state"] != "inSync").collect();
        if differing.is_empty() {
            return "no field differs".to_owned();
        }
        let row = |field: &&Value| {
            let shown = |name: &str| if field[name].is_null() { "-".to_owned() } else { field[name].to_string() };
            [
                text(field, "/path"),
                text(field, "/state"),
                shown("base"),
                shown("desired"),
                shown("observed"),
                text(field, "/conflict"),
            ]
        };
        table(["Field", "State", "Agreed", "Here", "There", "Conflict"], differing.iter().map(row))
    })?;
    Ok(Answer::yes_if(diff["differs"] == Value::Bool(false)))
}
