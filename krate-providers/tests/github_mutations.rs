//! Every single-field mutation of every real payload of GitHub normalizes, or fails with a path; none makes it panic.
#![cfg(feature = "github")]

mod support;

use std::collections::BTreeSet;

use krate_model::observation::{CanonicalEvent, NativeFields, Normalized};
use krate_providers::contract::{DecodeError, Normalization, Provider};
use krate_providers::github::GitHub;
use serde_json::Value;
use serde_json::value::RawValue;
use support::sites::{Site, Sort, sites, splice};
use support::{Payload, payloads};

const UNKNOWN: &str = "\"krate_unknown\":[{\"deep\":1}]";
/// Stands in mutated strings: no error may quote what it could not read (S47).
const CANARY: &str = "ghp_canary0canary0canary0canary0canary0";

fn normalize<'a>(payload: &Payload, body: &'a [u8]) -> Result<Vec<CanonicalEvent<'a>>, DecodeError> {
    match GitHub.normalize(&payload.event_type, body)? {
        Normalization::Events(events) => Ok(events),
        Normalization::Ignored(_) => Ok(Vec::new()),
    }
}

/// Payloads that have events: what krate ignores by name it doesn't read.
fn read_payloads() -> Vec<Payload> {
    let mut payloads = payloads().1;
    payloads.retain(|payload| normalize(payload, &payload.body).is_ok_and(|events| !events.is_empty()));
    payloads
}

/// Checks each mutation of `payload` that `with` makes, and counts them.
fn mutate(payload: &Payload, with: impl Fn(&Site) -> Option<Vec<u8>>, mut check: impl FnMut(&Site, &[u8])) -> u32 {
    let mut taken = 0;
    for site in &sites(&payload.body) {
        if let Some(body) = with(site) {
            check(site, &body);
            taken += 1;
        }
    }
    taken
}

fn is_at_or_above(path: &str, mutated: &str) -> bool {
    let below = mutated.strip_prefix(path);
    path == "$" || below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn assert_placed(payload: &Payload, site: &Site, what: &str, error: &DecodeError) {
    let DecodeError { path, message } = error;
    assert!(is_at_or_above(path, &site.path), "{}: {what} {}: error at {path}: {message}", payload.name, site.path);
    assert!(!error.to_string().contains("canary"), "S47: {}: {what} {}", payload.name, site.path);
}

#[test]
fn s12_another_type_normalizes_or_fails_at_its_path() {
    let mut taken = 0;
    for payload in &read_payloads() {
        let canary = format!("\"{CANARY}\"");
        let before = serde_json::to_value(normalize(payload, &payload.body).unwrap()).unwrap();
        for (sort, with) in [
            (Sort::Bool, "true"),
            (Sort::Number, "7"),
            (Sort::Number, "-1.5e300"),
            (Sort::String, canary.as_str()),
            (Sort::Array, "[7]"),
            (Sort::Object, "{\"a\":7}"),
        ] {
            taken += mutate(
                payload,
                |site| (site.sort != sort).then(|| splice(&payload.body, &site.value, with)),
                |site, body| match normalize(payload, body) {
                    Err(error) => assert_placed(payload, site, with, &error),
                    // What had no value has one now.
                    Ok(_) if site.sort == Sort::Null => {}
                    Ok(after) => differ(&before, &serde_json::to_value(after).unwrap(), "", &mut |path, value| {
                        let may = path.contains(".fields.") || ends_as_time(path);
                        assert!(may, "{}: {with} {}: {path} = {value}", payload.name, site.path);
                    }),
                },
            );
        }
    }
    assert!(taken > 5_000, "only {taken} mutations");
}

/// A time may be text or a number (a push has both); text that is none makes the object unversioned (S17).
fn ends_as_time(path: &str) -> bool {
    ["At", ".eventTime", ".dueOn", ".suspended"].iter().any(|end| path.ends_with(end))
}

#[test]
fn s6_an_unknown_field_changes_nothing_but_what_is_kept_as_it_came() {
    let mut taken = 0;
    for payload in &read_payloads() {
        let before = normalize(payload, &payload.body).unwrap();
        taken += mutate(
            payload,
            |site| {
                let start = site.value.start + 1;
                // What an installation is permitted is a map: a further member of it is a permission.
                let is_map = site.path == "installation.permissions";
                let empty = || payload.body[start..site.value.end - 1].iter().all(u8::is_ascii_whitespace);
                (site.sort == Sort::Object && !is_map).then(|| {
                    let with = format!("{UNKNOWN}{}", if empty() { "" } else { "," });
                    splice(&payload.body, &(start..start), &with)
                })
            },
            |site, body| {
                let after = normalize(payload, body).unwrap_or_else(|error| panic!("{} {error}", payload.name));
                let after: Vec<_> = after.into_iter().map(without_unknown).collect();
                assert_eq!(after, before, "{}: {}", payload.name, site.path);
            },
        );
    }
    assert!(taken > 50, "only {taken} mutations");
}

fn fields<'e, 'a>(normalized: &'e mut Normalized<'a>) -> Option<&'e mut NativeFields<'a>> {
    Some(match normalized {
        Normalized::Issue(object) => &mut object.fields,
        Normalized::PullRequest(object) => &mut object.fields,
        Normalized::Review(object) => &mut object.fields,
        Normalized::Comment(object) => &mut object.fields,
        Normalized::Pipeline(object) => &mut object.fields,
        Normalized::Job(object) => &mut object.fields,
        Normalized::Repository(object) => &mut object.fields,
        _ => return None,
    })
}

/// The event without what the mutation put into the fields that are kept as they came.
fn without_unknown(mut event: CanonicalEvent<'_>) -> CanonicalEvent<'_> {
    if let Some(NativeFields(fields)) = fields(&mut event.normalized) {
        fields.retain(|(name, _)| name != "krate_unknown");
        for (_, value) in fields {
            if value.get().contains(UNKNOWN) {
                let text = value.get().replace(&format!("{UNKNOWN},"), "").replace(UNKNOWN, "");
                *value = std::borrow::Cow::Owned(RawValue::from_string(text).unwrap());
            }
        }
    }
    event
}

#[test]
fn s12_a_field_that_is_gone_or_null_invents_no_value() {
    let mut taken = 0;
    let mut invented = BTreeSet::new();
    for payload in &read_payloads() {
        let before = serde_json::to_value(normalize(payload, &payload.body).unwrap()).unwrap();
        for what in ["removed", "null"] {
            taken += mutate(
                payload,
                |site| match what {
                    "null" => (site.sort != Sort::Null).then(|| splice(&payload.body, &site.value, "null")),
                    _ => site.removal.as_ref().map(|removal| splice(&payload.body, removal, "")),
                },
                |site, body| {
                    let after = match normalize(payload, body) {
                        Ok(after) => serde_json::to_value(after).unwrap(),
                        Err(error) => return assert_placed(payload, site, what, &error),
                    };
                    differ(&before, &after, "", &mut |path, value| {
                        if !is_fallback(site, path) {
                            invented.insert(format!("{}: {} {what}: {path} = {value}", payload.event_type, site.path));
                        }
                    });
                },
            );
        }
    }
    assert!(invented.is_empty(), "{} invented:\n{}", invented.len(), Vec::from_iter(invented).join("\n"));
    assert!(taken > 3_000, "only {taken} mutations");
}

/// Reports what `after` says and `before` does not, by path. Lists compare by what they hold: an element may have gone.
fn differ(before: &Value, after: &Value, path: &str, report: &mut impl FnMut(&str, &Value)) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                differ(old.get(name).unwrap_or(&Value::Null), value, &format!("{path}.{name}"), report);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (old, new) in old.iter().zip(new) {
                differ(old, new, path, report);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for value in new.iter().filter(|value| !old.iter().any(|old| is_same(old, value))) {
                report(path, value);
            }
        }
        (old, new) if old != new => report(path, new),
        _ => {}
    }
}

/// Whether both are the same but for their places.
fn is_same(old: &Value, new: &Value) -> bool {
    let (mut old, mut new) = (old.clone(), new.clone());
    for value in [&mut old, &mut new] {
        if let Some(members) = value.as_object_mut() {
            members.remove("ordinal");
        }
    }
    old == new
}

/// What stands in for a field that is gone, and may: the field, the end of what changes in the events, and why.
const FALLBACKS: &[(&str, &str, &str)] = &[
    ("app", "", "a check without a known app has a suite"),
    ("slug", "", "so has one whose app has no name"),
    ("check_suite", "", "a check may stand without its suite"),
    ("suspended_at", ".suspended", "null says that it is not suspended"),
    ("pull_request", "", "an issue that says nothing of a pull request is one"),
    ("state", ".complete", "the event says that it lacks something"),
    ("status", ".phase", "how far a run is that only says how it ended"),
    ("conclusion", ".phase", "a run that has ended nobody says how"),
    ("id", ".nativeId", "a label may be known by name and repository"),
    ("visibility", ".visibility", "`private` says a part of it"),
    ("owner", ".repository.owner", "the full name has it"),
    ("login", ".repository.owner", "the full name has it"),
    ("completed_at", "pdatedAt", "the newest of the times that are there orders the states"),
    ("completed_at", ".eventTime", "the newest of the times that are there orders the states"),
];

fn is_fallback(site: &Site, path: &str) -> bool {
    // What krate has no field for is kept as it came, also where a part of it changed (S6).
    path.contains(".fields.")
        || FALLBACKS.iter().any(|(member, end, _)| site.member() == *member && path.ends_with(end))
}
