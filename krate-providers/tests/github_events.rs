//! What GitHub's payloads become: snapshots for people to read, and a comparison with what other libraries make of them.
#![cfg(feature = "github")]

mod support;

use std::collections::BTreeMap;
use std::fs;

use krate_model::observation::CanonicalEvent;
use krate_providers::contract::{Normalization, Provider};
use krate_providers::github::GitHub;
use serde_json::Value;
use support::{Payload, payloads};

fn events(payload: &Payload) -> Vec<CanonicalEvent<'_>> {
    match GitHub.normalize(&payload.event_type, &payload.body) {
        Ok(Normalization::Events(events)) => events,
        Ok(Normalization::Ignored(_)) => Vec::new(),
        Err(error) => panic!("{}: {error}", payload.name),
    }
}

/// The events as JSON. Of the provider's own fields only the names: their values are the payload's text.
fn shown(payload: &Payload) -> Value {
    let mut shown = serde_json::to_value(events(payload)).unwrap();
    for event in shown.as_array_mut().unwrap() {
        for object in event["normalized"].as_object_mut().unwrap().values_mut() {
            if let Some(fields) = object.get_mut("fields") {
                let names: Vec<_> = fields.as_object().unwrap().keys().map(String::as_str).collect();
                *fields = Value::String(names.join(" "));
            }
        }
    }
    shown
}

/// One payload of every event type that has events: a published one, where there is one, so that every machine takes the same.
fn one_of_each_type() -> BTreeMap<String, Payload> {
    let mut chosen = BTreeMap::new();
    let mut all = payloads().1;
    // The folders of other libraries come last: their samples are older.
    all.sort_by_key(|payload| !payload.name.starts_with(&format!("{}/", payload.event_type)));
    for payload in support::published().into_iter().chain(all) {
        if !events(&payload).is_empty() {
            chosen.entry(payload.event_type.clone()).or_insert(payload);
        }
    }
    chosen
}

#[test]
fn s12_each_event_type_has_its_canonical_events() {
    let chosen = one_of_each_type();
    assert!(chosen.len() >= 5, "{} event types", chosen.len());
    for (event_type, payload) in &chosen {
        let text = serde_json::to_string_pretty(&shown(payload)).unwrap();
        for secret in ["@", "ghp_", "gho_", "ghs_", "-----BEGIN"] {
            let found = text.lines().find(|line| line.contains(secret) && !line.contains("\"git@github.com:"));
            assert_eq!(found, None, "S47: {}", payload.name);
        }
        insta::assert_snapshot!(event_type.as_str(), text);
    }
}

/// The value under a pointer, as text; an absent one, null and the empty text are the same to the libraries.
fn at(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            let names =
                items.iter().map(|item| item.get("Name").or(item.get("sha")).or(item.get("Sha")).unwrap_or(item));
            names.map(|name| name.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>().join(" ")
        }
        Some(other) => other.to_string(),
    }
}

/// Where a library says something, and where krate does: the library's pointer, krate's kind of object, and the pointer in that.
const SAME: &[(&str, &str, &str)] = &[
    ("/Repo/ID", "pullRequest", "/repository/id"),
    ("/Repo/Namespace", "pullRequest", "/repository/owner"),
    ("/Repo/Name", "pullRequest", "/repository/name"),
    ("/PullRequest/Number", "pullRequest", "/number"),
    ("/PullRequest/Title", "pullRequest", "/title"),
    ("/PullRequest/Body", "pullRequest", "/body"),
    ("/PullRequest/Sha", "pullRequest", "/headSha"),
    ("/PullRequest/Source", "pullRequest", "/headRef"),
    ("/PullRequest/Target", "pullRequest", "/baseRef"),
    ("/PullRequest/Base/Sha", "pullRequest", "/baseSha"),
    ("/PullRequest/Link", "pullRequest", "/url"),
    ("/PullRequest/Author/Login", "pullRequest", "/author/login"),
    ("/PullRequest/Created", "pullRequest", "/createdAt"),
    ("/PullRequest/Updated", "pullRequest", "/updatedAt"),
    ("/Issue/Number", "issue", "/number"),
    ("/Issue/Title", "issue", "/title"),
    ("/Issue/Body", "issue", "/body"),
    ("/Issue/State", "issue", "/state"),
    ("/Issue/Labels", "issue", "/labels"),
    ("/Issue/Locked", "issue", "/locked"),
    ("/Issue/Author/Login", "issue", "/author/login"),
    ("/Issue/Created", "issue", "/createdAt"),
    ("/Issue/Updated", "issue", "/updatedAt"),
    ("/Comment/Body", "comment", "/body"),
    ("/Comment/Author/Login", "comment", "/author/login"),
    ("/Label/Name", "label", "/name"),
    ("/Label/Color", "label", "/color"),
    ("/Label/Description", "label", "/description"),
    ("/Before", "ref", "/before"),
    ("/After", "ref", "/after"),
    ("/Commits/0/Sha", "commit", "/sha"),
    ("/Commits/0/Message", "commit", "/message"),
    ("/Checks/0/Name", "job", "/name"),
    ("/Checks/0/Sha", "job", "/sha"),
    ("/Checks/0/Conclusion", "job", "/conclusion"),
    ("/Checks/0/TargetURL", "job", "/logUrl"),
    ("/Execution/Number", "pipeline", "/number"),
    ("/Execution/URL", "pipeline", "/apiUrl"),
    ("/Commit/Sha", "pipeline", "/sha"),
    ("/Installation/Account/ID", "installation", "/account/id"),
    ("/Installation/Account/Login", "installation", "/account/login"),
];

#[test]
fn s12_other_libraries_read_the_same_in_the_same_payloads() {
    let Some(folder) = support::collection() else { return };
    let (mut compared, mut otherwise) = (0, Vec::new());
    for payload in payloads().1 {
        let golden = folder.join("webhooks").join(payload.name.replace(".json", ".golden.json"));
        let Ok(golden) = fs::read(golden) else { continue };
        let golden: Value = serde_json::from_slice(&golden).unwrap();
        let shown = shown(&payload);
        for (theirs, kind, ours) in SAME {
            let object = shown.as_array().unwrap().iter().find_map(|event| event["normalized"].get(*kind));
            let (Some(object), Some(_)) = (object, golden.pointer(theirs)) else { continue };
            let (wanted, found) = (at(&golden, theirs), at(object, ours));
            // The libraries write "no commit" as zeros and "no time" as the year one.
            let is_nothing =
                |text: &str| text.is_empty() || text.bytes().all(|b| b == b'0') || text.starts_with("0001-");
            compared += 1;
            if wanted != found && !(is_nothing(&wanted) && is_nothing(&found)) {
                otherwise.push(format!("{} {theirs}: {wanted:?}, krate {found:?}", payload.name));
            }
        }
    }
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));
    assert!(compared > 200, "only {compared} values were compared");
}
