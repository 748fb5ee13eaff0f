//! What is fuzzed: pure functions over bytes that a stranger chose. Each panics when the code under test does, or when a promise is broken.
//!
//! `fuzz/` hands them to libFuzzer; `tests/fuzz.rs` runs them over a small corpus and mutations of it on any tool-chain.
// A panic is how a fuzz target says that something does not hold.
#![allow(clippy::missing_panics_doc)]

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use krate_model::kinds::sets::Operation;
use krate_model::kinds::shared::{NativeTarget, Time};
use krate_model::pattern::{Domain, Pattern};
use krate_model::validate::{Request, View, Writer, validate};
use krate_model::{canonical_digest, canonical_json};
use krate_policy::lint::lint;
use krate_policy::permit::Permit;
use krate_policy::review::review;
use krate_policy::snapshot::Snapshot;
use krate_providers::contract::{
    BodyLimits, Call, Cursor, Endpoint, Normalization, Outcome, Provider, SignatureError, WebhookSecret,
};
use krate_providers::github::GitHub;
use krate_sync::merge::MergeInput;
use krate_sync::observed::observed;
use serde_json::Value as Json;
use url::Url;

/// A target by name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("webhook", webhook),
    ("canonical", canonical),
    ("validate", validation),
    ("merge", merge),
    ("cursor", cursor),
    ("review", permission),
    ("pattern", pattern),
];

/// The event types that have a reader.
pub const EVENT_TYPES: &[&str] = &[
    "pull_request",
    "issues",
    "issue_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_review_thread",
    "check_run",
    "check_suite",
    "status",
    "workflow_job",
    "workflow_run",
    "push",
    "create",
    "delete",
    "repository",
    "label",
    "milestone",
    "installation",
    "ping",
    "release",
];

/// A webhook: the first line is the signature header, the rest the body. Nobody but the secret's holder verifies, and whatever the body is, it is
/// normalized, ignored or refused.
pub fn webhook(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (line, rest) = data.split_at(at);
    let body = rest.strip_prefix(b"\n").unwrap_or(rest);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(line) {
        headers.insert("x-hub-signature-256", value.clone());
        headers.insert("x-github-delivery", value.clone());
        headers.insert("x-github-event", value);
    }
    let secrets = [WebhookSecret::new("only", b"a secret that the sender does not have")];
    assert!(GitHub.verify(&headers, body, &secrets, Time::UNIX_EPOCH).is_err(), "somebody forged a signature");
    assert_eq!(GitHub.verify(&headers, body, &[], Time::UNIX_EPOCH), Err(SignatureError::NoSecret));
    // Only for its not panicking.
    let _ = GitHub.head(&headers, body);
    let Ok(()) = BodyLimits::DEFAULT.check(body) else { return };
    for event_type in EVENT_TYPES {
        if let Ok(Normalization::Events(events)) = GitHub.normalize(event_type, body) {
            for (ordinal, event) in (0..).zip(&events) {
                assert_eq!(event.ordinal, ordinal, "S11: an event's ordinal is its place");
                let fields = observed(&event.normalized, event.complete);
                let known: BTreeMap<_, _> = fields.iter().map(|(path, value)| (*path, value)).collect();
                assert_eq!(known.len(), fields.len(), "a field is observed once");
            }
        }
    }
}

/// Canonical JSON: equal values have one text, and the text says the value.
pub fn canonical(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Json>(data) else { return };
    let Ok(text) = canonical_json(&value) else { return };
    let again: Json = serde_json::from_str(&text).expect("canonical JSON is JSON");
    assert_eq!(canonical_json(&again).expect("it has a canonical form"), text, "canonical JSON is its own form");
    assert_eq!(canonical_digest(&again).ok(), canonical_digest(&value).ok());
}

/// Validation answers any JSON, and answers it alike.
pub fn validation(data: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Json>(data) else { return };
    let view = View::partial([]);
    for writer in [Writer::Person, Writer::Controller] {
        let request = Request::new(writer, Time::UNIX_EPOCH);
        let report = validate(&document, None, &view, &request);
        assert_eq!(report, validate(&document, None, &view, &request));
        let _ = validate(&document, Some(&document), &view, &request.of_status());
    }
}

/// A merge of whatever was sent: a conflict is told, and nothing of it is written (S27).
pub fn merge(data: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Json>(data) else { return };
    let Ok(input) = MergeInput::from_json(&input) else { return };
    let output = input.merge();
    assert_eq!(output, input.merge(), "S30: the same input has the same outcome");
    assert_eq!(output.outcome == "conflict", !output.conflicts.is_empty());
    for (path, outcome) in &output.fields {
        assert!(!["inSync", "agreed", "stale"].contains(outcome) || !output.write.contains_key(path), "{path}");
    }
}

/// A permission review of whatever was sent, by whatever policies: it ends, with the same answer each time, and a yes names what gave it, is for a person
/// who is there and active, and can be acted on at once (P1, P4, P5).
pub fn permission(data: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Json>(data) else { return };
    let mut snapshot = Snapshot::new(1);
    for document in input.get("policy").and_then(Json::as_array).into_iter().flatten() {
        if let Ok(with_it) = snapshot.with_document(document) {
            snapshot = with_it;
        }
    }
    let Some(request) = input.get("request") else { return };
    let Ok(request) = krate_policy::review::read(request.to_string().as_bytes()) else { return };
    let decision = review(&request, &snapshot);
    assert_eq!(decision, review(&request, &snapshot), "P1");
    match decision.outcome {
        krate_policy::decision::Outcome::Allowed => {
            assert!(decision.by.is_some(), "P5: an allow has a name");
            let mut permit = Permit::new(&request, decision).expect("what was reviewed has a digest");
            let is_over = permit.decision().expires_at <= request.now;
            assert_eq!(
                permit.uses(&request, request.now, &snapshot).is_ok(),
                !is_over,
                "P22: what is reserved is there"
            );
            permit.note_counted();
            let at_once = permit.check(&request, request.now, &snapshot);
            assert_eq!(at_once.is_ok(), !is_over, "P4: {at_once:?}");
        }
        _ => assert!(!decision.reasons.is_empty(), "a no has a reason"),
    }
    let _ = lint(&snapshot, request.now);
}

/// A line with a pattern, and a text: what an include list takes an exclude list takes, too (P66), and a pattern that is written is read alike.
pub fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (line, text) = text.split_once('\n').unwrap_or((text, ""));
    for domain in [Domain::Ref, Domain::Path, Domain::Name] {
        // Only for its not panicking.
        let _ = domain.check(text);
        let Ok(pattern) = Pattern::parse(line, domain) else { continue };
        assert!(!pattern.matches(text) || pattern.over_matches(text), "P66: {line:?} on {text:?}");
        assert!(pattern.covers(&pattern));
        assert_eq!(Pattern::parse(pattern.as_str(), domain).as_ref(), Ok(&pattern));
    }
}

/// The text of a `Link` header, and the same as a cursor: wherever they point, the next request goes to the configured host.
pub fn cursor(data: &[u8]) {
    let target = NativeTarget {
        native_kind: "issue".to_owned(),
        native_id: None,
        native_number: None,
        container: [("owner", "acme"), ("repository", "site")].map(|(key, value)| (key.into(), value.into())).into(),
    };
    let base = Url::parse("https://api.example.com/v3").expect("an address");
    let endpoint = Endpoint { api_base: &base, credential: None };
    let call = Call::new(Operation::ListIssues, &target);
    let stays_here = |cursor: &Cursor| {
        let call = Call { cursor: Some(cursor), ..call.clone() };
        GitHub.encode(&endpoint, &call).inspect(|request| {
            assert_eq!(request.uri().host(), Some("api.example.com"));
            assert_eq!(request.uri().path(), "/v3/repos/acme/site/issues");
        })
    };
    if let Ok(text) = std::str::from_utf8(data) {
        // A foreign cursor may be refused.
        let _ = stays_here(&Cursor(text.to_owned()));
    }
    let Ok(link) = HeaderValue::from_bytes(data) else { return };
    let mut response = Response::new(Bytes::from_static(b"[]"));
    response.headers_mut().insert(header::LINK, link);
    if let Ok(Outcome::Page { next: Some(next), .. }) = GitHub.decode(&call, &response, Time::UNIX_EPOCH).result {
        assert!(next.0.len() <= 4096, "a cursor is at most 4 KiB");
        stays_here(&next).expect("the adapter's own cursor is accepted");
    }
}
