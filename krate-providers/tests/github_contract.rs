//! What the contract promises of GitHub's codec, one invariant a test.
#![cfg(feature = "github")]

mod support;

use std::collections::BTreeMap;

use chrono::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use krate_model::kinds::sets::EventAction;
use krate_model::observation::{CanonicalEvent, Normalized, ResourceKind};
use krate_providers::contract::{
    Call, EncodeError, Endpoint, Normalization, Provider, SignatureError, Verified, WebhookSecret,
};
use krate_providers::github::GitHub;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use support::{payload, payloads};

fn events<'a>(event_type: &str, body: &'a [u8]) -> Vec<CanonicalEvent<'a>> {
    match GitHub.normalize(event_type, body).unwrap_or_else(|error| panic!("{event_type}: {error}")) {
        Normalization::Events(events) => events,
        Normalization::Ignored(_) => Vec::new(),
    }
}

/// A published payload, changed.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let payload = payload(name).unwrap_or_else(|| panic!("{name} is published"));
    let mut json = serde_json::from_slice(&payload.body).unwrap();
    change(&mut json);
    serde_json::to_vec(&json).unwrap()
}

#[test]
fn s5_one_identity_is_one_kind_of_object() {
    let mut kinds: BTreeMap<(String, String), ResourceKind> = BTreeMap::new();
    for payload in payloads().1 {
        let events = events(&payload.event_type, &payload.body);
        for event in events.iter().filter(|event| !event.native_id.is_empty()) {
            let identity = (event.native_kind.to_string(), event.native_id.to_string());
            let kind = kinds.entry(identity).or_insert_with(|| event.resource_kind.clone());
            assert_eq!(*kind, event.resource_kind, "{}: {} {}", payload.name, event.native_kind, event.native_id);
        }
    }
    assert!(kinds.len() >= 5);
}

#[test]
fn s6_what_krate_has_no_field_for_is_kept_to_the_byte() {
    let mut kept = 0;
    let (origin, payloads) = payloads();
    // Fewer payloads are published with the crate than the collection has.
    let least = if origin == support::Origin::Collection { 20 } else { 15 };
    for payload in payloads {
        for event in events(&payload.event_type, &payload.body) {
            let (member, fields) = match &event.normalized {
                Normalized::Issue(object) => ("issue", &object.fields.0),
                Normalized::PullRequest(object) => ("pull_request", &object.fields.0),
                Normalized::Review(object) => ("review", &object.fields.0),
                Normalized::Repository(object) => ("repository", &object.fields.0),
                _ => continue,
            };
            let whole: BTreeMap<String, &RawValue> = serde_json::from_slice(&payload.body).unwrap();
            // A pull request that an issue shows keeps nothing: the issue's fields are not its own.
            let Some(object) = whole.get(member) else { continue };
            let object: BTreeMap<String, &RawValue> = serde_json::from_str(object.get()).unwrap();
            for (name, value) in fields {
                assert_eq!(value.get(), object[name.as_ref()].get(), "{}: {name}", payload.name);
                kept += 1;
            }
        }
    }
    assert!(kept > least, "only {kept} fields");
}

#[test]
fn s7_a_body_is_kept_to_the_letter() {
    let text = "a\r\n\ttabbed \u{1F600} <b>\"quoted\"</b>\u{0} \\ end  \n";
    let body = changed("issues/opened.payload.json", |json| json["issue"]["body"] = json!(text));
    let Normalized::Issue(issue) = &events("issues", &body)[0].normalized else { panic!("no issue") };
    assert_eq!(issue.body.as_deref(), Some(text));
}

#[test]
fn s8_an_issue_payload_about_a_pull_request_makes_no_issue() {
    let about = json!({"url": "https://api.github.com/repos/o/r/pulls/1", "html_url": "https://github.com/o/r/pull/1"});
    for (event_type, name) in
        [("issues", "issues/opened.payload.json"), ("issue_comment", "issue_comment/created.payload.json")]
    {
        let body = changed(name, |json| json["issue"]["pull_request"] = about.clone());
        let events = events(event_type, &body);
        assert!(events.iter().all(|event| event.resource_kind != ResourceKind::Issue), "{events:#?}");
        let pull = &events[0];
        // Its id is the issue's, so it says none; and it says that it is not the whole of it.
        assert_eq!((&pull.resource_kind, &*pull.native_id, pull.complete), (&ResourceKind::PullRequest, "", false));
        if let Some(Normalized::Comment(comment)) = events.get(1).map(|event| &event.normalized) {
            assert_eq!(comment.subject_kind, Some(ResourceKind::PullRequest));
            assert_eq!(comment.subject_id, None);
        }
        let null = changed(name, |json| json["issue"]["pull_request"] = Value::Null);
        assert_eq!(self::events(event_type, &null)[0].resource_kind, ResourceKind::Issue);
    }
}

/// Known mistake 23: every head taken for a fork, or none.
#[test]
fn p23_a_fork_is_another_repository_by_id_and_unknown_where_the_head_is_gone() {
    let from_fork = |change: &dyn Fn(&mut Value)| {
        let body = changed("pull_request/synchronize.payload.json", |json| change(&mut json["pull_request"]));
        let events = events("pull_request", &body);
        let Normalized::PullRequest(pull) = &events[0].normalized else { panic!("no pull request") };
        pull.from_fork
    };
    assert_eq!(from_fork(&|_| {}), Some(false));
    assert_eq!(from_fork(&|pull| pull["head"]["repo"]["id"] = json!(7)), Some(true), "the same name says nothing");
    assert_eq!(from_fork(&|pull| pull["head"]["repo"]["full_name"] = json!("eve/other")), Some(false));
    assert_eq!(from_fork(&|pull| pull["head"]["ref"] = json!("refs/pull/7/head")), Some(false));
    assert_eq!(from_fork(&|pull| pull["head"]["repo"] = Value::Null), None);
    assert_eq!(from_fork(&|pull| drop(pull["head"].as_object_mut().unwrap().remove("repo"))), None);
}

fn repository(action: &str, changes: &Value) -> Vec<u8> {
    let repository =
        json!({"id": 7, "name": "new", "full_name": "new-owner/new", "owner": {"id": 2, "login": "new-owner"}});
    serde_json::to_vec(&json!({"action": action, "repository": repository, "changes": changes})).unwrap()
}

/// Known mistake 30: names instead of ids.
#[test]
fn a_renamed_or_transferred_repository_keeps_its_id_and_tells_its_former_name() {
    let renamed = repository("renamed", &json!({"repository": {"name": {"from": "old"}}}));
    let by_user = repository("transferred", &json!({"owner": {"from": {"user": {"id": 1, "login": "old-owner"}}}}));
    let by_organization =
        repository("transferred", &json!({"owner": {"from": {"organization": {"id": 1, "login": "old-owner"}}}}));
    for (body, action, former_name, former_owner) in [
        (&renamed, EventAction::Moved, Some("old"), None),
        (&by_user, EventAction::Transferred, None, Some("old-owner")),
        (&by_organization, EventAction::Transferred, None, Some("old-owner")),
    ] {
        let events = events("repository", body);
        let Normalized::Repository(now) = &events[0].normalized else { panic!("no repository") };
        assert_eq!((&*events[0].native_id, &events[0].action), ("7", &action));
        assert_eq!((now.former_name.as_deref(), now.former_owner.as_deref()), (former_name, former_owner));
        assert_eq!((now.owner.as_deref(), now.name.as_deref()), (Some("new-owner"), Some("new")));
    }
}

#[test]
fn s18_a_deletion_and_a_transfer_of_an_issue_are_told_apart() {
    for (native, action) in [("deleted", EventAction::Deleted), ("transferred", EventAction::Transferred)] {
        let body = changed("issues/opened.payload.json", |json| json["action"] = json!(native));
        let event = &events("issues", &body)[0];
        assert_eq!((&event.action, event.native_action.as_deref()), (&action, Some(native)));
        assert_eq!(event.resource_kind, ResourceKind::Issue);
        assert!(event.observed_version.updated_at.is_some(), "the tombstone's version");
    }
}

const ZERO: &str = "0000000000000000000000000000000000000000";
const ONE: &str = "1111111111111111111111111111111111111111";

fn push(before: &str, after: &str, commits: usize) -> Vec<u8> {
    let commit = |at: usize| json!({"id": format!("{at:040}"), "message": format!("commit {at}")});
    serde_json::to_vec(&json!({
        "ref": "refs/heads/main", "before": before, "after": after, "repository": {"id": 7, "name": "r"},
        "commits": (0..commits).map(commit).collect::<Vec<_>>(),
    }))
    .unwrap()
}

#[test]
fn s12_a_push_is_its_ref_and_then_each_commit_in_order() {
    for commits in [0, 1, 20] {
        let body = push(ONE, &"2".repeat(40), commits);
        let events = events("push", &body);
        assert_eq!(events.len(), 1 + commits);
        assert_eq!((&events[0].resource_kind, &events[0].action), (&ResourceKind::Ref, &EventAction::Moved));
        for (place, event) in (0u32..).zip(&events) {
            assert_eq!(event.ordinal, place, "S11");
        }
        for (at, event) in events[1..].iter().enumerate() {
            assert_eq!((&event.resource_kind, &*event.native_id), (&ResourceKind::Commit, &*format!("{at:040}")));
        }
    }
    // A star has none, by name; so has a ping.
    assert!(events("star", b"{}").is_empty() && events("ping", b"{}").is_empty());
}

#[test]
fn s12_a_push_without_its_flags_says_by_its_commits_what_it_did() {
    for (before, after, action) in
        [(ZERO, ONE, EventAction::Created), (ONE, ZERO, EventAction::Deleted), (ONE, ONE, EventAction::Moved)]
    {
        let body = push(before, after, 0);
        let event = &events("push", &body)[0];
        let Normalized::Ref(moved) = &event.normalized else { panic!("no ref") };
        assert_eq!(event.action, action);
        assert_eq!((moved.before.is_none(), moved.after.is_none()), (before == ZERO, after == ZERO));
    }
}

#[test]
fn s13_what_is_no_json_has_an_error_with_a_place() {
    let deep = format!("{{\"action\":\"opened\",\"issue\":{}1{}}}", "{\"a\":[".repeat(5_000), "]}".repeat(5_000));
    for body in [b"".as_slice(), b"{", b"null", b"[]", b"\"\xff\"", b"{\"action\":\"opened\"} x", deep.as_bytes()] {
        for event_type in ["issues", "pull_request", "push", "status", "check_suite", "create", "installation"] {
            let error = GitHub.normalize(event_type, body).unwrap_err();
            assert!(!error.path.is_empty() && !error.message.is_empty(), "{event_type}: {error}");
        }
    }
}

fn signed(body: &[u8], secret: &str) -> HeaderMap {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderMap::from_iter([(
        "x-hub-signature-256".parse().unwrap(),
        HeaderValue::from_str(&format!("sha256={hex}")).unwrap(),
    )])
}

fn verify(headers: &HeaderMap, body: &[u8], secrets: &[(&str, &str)]) -> Result<Verified, SignatureError> {
    let secrets: Vec<_> = secrets.iter().map(|(name, value)| WebhookSecret::new(*name, value.as_bytes())).collect();
    GitHub.verify(headers, body, &secrets, DateTime::UNIX_EPOCH)
}

/// Known mistake 19: the signature over JSON that was written again.
#[test]
fn s9_the_signature_is_over_the_bytes_as_they_came() {
    let body = b"{ \"b\": 1,\n  \"a\": 1.0 }";
    let headers = signed(body, "secret");
    assert!(verify(&headers, body, &[("s", "secret")]).is_ok());
    let again = serde_json::to_vec(&serde_json::from_slice::<Value>(body).unwrap()).unwrap();
    let mismatch = SignatureError::Mismatch { header: "X-Hub-Signature-256" };
    assert_eq!(verify(&headers, &again, &[("s", "secret")]), Err(mismatch.clone()));
    // What is no JSON at all is checked all the same: nothing parses before.
    let garbage = b"\xff\x00{";
    assert!(verify(&signed(garbage, "secret"), garbage, &[("s", "secret")]).is_ok());
    assert_eq!(verify(&headers, garbage, &[("s", "secret")]), Err(mismatch));
}

#[test]
fn s14_a_secret_rotates_without_a_delivery_lost() {
    let body = b"{}";
    let (old, new) = (signed(body, "old value"), signed(body, "new value"));
    let named = |headers, secrets: &[_]| verify(headers, body, secrets).map(|verified| verified.secret_name);
    let mismatch = Err(SignatureError::Mismatch { header: "X-Hub-Signature-256" });
    let steps: [&[(&str, &str)]; 3] =
        [&[("2025", "old value")], &[("2025", "old value"), ("2026", "new value")], &[("2026", "new value")]];
    assert_eq!([named(&old, steps[0]), named(&new, steps[0])], [Ok("2025".to_owned()), mismatch.clone()]);
    assert_eq!([named(&old, steps[1]), named(&new, steps[1])], [Ok("2025".to_owned()), Ok("2026".to_owned())]);
    assert_eq!([named(&old, steps[2]), named(&new, steps[2])], [mismatch, Ok("2026".to_owned())]);
}

#[test]
fn s50_s51_logs_artifacts_and_runner_tokens_are_asked_for_by_nobody() {
    use krate_model::kinds::sets::Operation;
    let api_base = url::Url::parse("https://api.github.com").unwrap();
    let endpoint = Endpoint { api_base: &api_base, credential: None };
    let target = krate_model::kinds::shared::NativeTarget {
        native_kind: "job".to_owned(),
        native_id: Some("1".to_owned()),
        native_number: Some(1),
        container: BTreeMap::from([("owner".to_owned(), "o".to_owned()), ("repository".to_owned(), "r".to_owned())]),
    };
    for operation in [Operation::GetJobLog, Operation::ListArtifacts, Operation::RegisterRunner] {
        let refused = GitHub.encode(&endpoint, &Call::new(operation.clone(), &target));
        assert!(matches!(refused, Err(EncodeError::Unsupported { .. })), "{operation}");
    }
    // A job says where its log is, and holds none of it.
    let body = json!({"action": "completed", "repository": {"id": 7, "name": "r"}, "check_run": {
        "id": 1, "name": "build", "details_url": "https://ci.example/1", "output": {"text": "a log"},
    }});
    let body = serde_json::to_vec(&body).unwrap();
    let events = events("check_run", &body);
    let Normalized::Job(job) = &events[0].normalized else { panic!("no job") };
    assert_eq!(job.log_url.as_deref(), Some("https://ci.example/1"));
}
