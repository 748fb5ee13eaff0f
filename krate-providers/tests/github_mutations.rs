//! Every single-field mutation of every real payload of GitHub normalizes, or fails with a path; none makes it panic.
#![cfg(feature = "github")]

mod support;

use std::collections::BTreeSet;

use krate_providers::contract::{DecodeError, Normalization, Provider};
use krate_providers::github::GitHub;
use serde_json::Value;
use support::mutations::Sample;
use support::payloads;
use support::sites::Site;

fn normalize(event_type: &str, body: &[u8]) -> Result<Value, DecodeError> {
    Ok(match GitHub.normalize(event_type, body)? {
        Normalization::Events(events) => serde_json::to_value(events).unwrap(),
        Normalization::Ignored(_) => Value::Array(Vec::new()),
    })
}

/// Checks each payload that has events, and gives the number of mutations: what krate ignores by name it doesn't read.
fn each(mut check: impl FnMut(&Sample<'_>) -> u32) -> u32 {
    let mut taken = 0;
    for payload in payloads().1 {
        let read = |body: &[u8]| normalize(&payload.event_type, body);
        if read(&payload.body).is_ok_and(|events| events.as_array().is_some_and(|events| !events.is_empty())) {
            let (name, sort) = (&payload.name, &payload.event_type);
            taken += check(&Sample { name, sort, body: &payload.body, read: &read });
        }
    }
    taken
}

#[test]
fn s12_another_type_normalizes_or_fails_at_its_path() {
    #[allow(clippy::redundant_closure_for_method_calls)] // The method itself takes samples of one lifetime only.
    let taken = each(|sample| sample.takes_another_type());
    assert!(taken > 5_000, "only {taken} mutations");
}

#[test]
fn s6_an_unknown_field_changes_nothing_but_what_is_kept_as_it_came() {
    // What an installation is permitted is a map: a further member of it is a permission.
    let taken = each(|sample| sample.takes_an_unknown_field(|site| site.path == "installation.permissions"));
    assert!(taken > 50, "only {taken} mutations");
}

#[test]
fn s12_a_field_that_is_gone_or_null_invents_no_value() {
    let mut invented = BTreeSet::new();
    let taken = each(|sample| sample.takes_what_is_gone(is_fallback, &mut invented));
    assert!(invented.is_empty(), "{} invented:\n{}", invented.len(), Vec::from_iter(invented).join("\n"));
    assert!(taken > 3_000, "only {taken} mutations");
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
    FALLBACKS.iter().any(|(member, end, _)| site.member() == *member && path.ends_with(end))
}
