//! Requests to GitHub's REST API, and what its answers mean.
#![cfg(feature = "github")]

mod support;

use std::collections::BTreeMap;
use std::fs;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, Response};
use krate_model::Digest;
use krate_model::kinds::external::{BodyText, Changes, Labels, NewIssue, Payload};
use krate_model::kinds::sets::{AuthMode, ErrorClass, Operation};
use krate_model::kinds::shared::{NativeTarget, Version};
use krate_model::observation::{Normalized, ResourceKind};
use krate_providers::contract::{
    Call, Credential, Cursor, Decoded, EncodeError, Endpoint, Outcome, Provider, ProviderError, REPOSITORY_ID,
    SendOutcome, marker,
};
use krate_providers::github::GitHub;
use url::Url;

fn target(number: Option<i64>, id: Option<&str>) -> NativeTarget {
    NativeTarget {
        native_kind: "issue".to_owned(),
        native_id: id.map(str::to_owned),
        native_number: number,
        container: BTreeMap::from([
            ("owner".to_owned(), "octocat".to_owned()),
            ("repository".to_owned(), "hello-world".to_owned()),
        ]),
    }
}

fn encode_at(base: &str, call: &Call<'_>) -> Result<Request<Bytes>, EncodeError> {
    let api_base = Url::parse(base).unwrap();
    GitHub.encode(&Endpoint { api_base: &api_base, credential: None }, call)
}

fn encode(call: &Call<'_>) -> Result<Request<Bytes>, EncodeError> {
    encode_at("https://api.github.com", call)
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
    let mut response = Response::builder().status(status).header("content-type", "application/json; charset=utf-8");
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Bytes::from(body.to_owned())).unwrap()
}

fn refused(operation: Operation, response: &Response<Bytes>) -> ProviderError {
    let target = target(Some(1), Some("1"));
    GitHub.decode(&Call::new(operation, &target), response, now()).result.unwrap_err()
}

#[test]
fn a_list_asks_for_everything_in_the_order_of_change() {
    let target = target(None, None);
    let (cursor, since) = (Cursor("page=2".to_owned()), Some(now() + TimeDelta::milliseconds(900)));
    let call = Call { cursor: Some(&cursor), since, page_size: Some(500), ..Call::new(Operation::ListIssues, &target) };
    let request = encode(&call).unwrap();
    assert_eq!(request.method(), Method::GET);
    assert_eq!(
        request.uri().to_string(),
        "https://api.github.com/repos/octocat/hello-world/issues?state=all&sort=updated&direction=asc\
         &since=2023-11-14T22%3A13%3A20Z&per_page=100&page=2"
    );
}

#[test]
fn an_enterprise_server_keeps_its_path_with_and_without_slash() {
    let target = target(Some(7), None);
    let call = Call::new(Operation::GetIssue, &target);
    for base in ["https://ghe.example/api/v3", "https://ghe.example/api/v3/"] {
        let uri = encode_at(base, &call).unwrap().uri().to_string();
        assert_eq!(uri, "https://ghe.example/api/v3/repos/octocat/hello-world/issues/7");
    }
    for base in ["https://user:canary@ghe.example/", "https://ghe.example/?x=1", "ftp://ghe.example/", "mailto:a@b"] {
        let error = encode_at(base, &call).unwrap_err();
        assert!(matches!(error, EncodeError::Endpoint { .. }), "{base}");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}

#[test]
fn a_known_repository_is_addressed_by_its_id() {
    let mut target = target(Some(7), None);
    target.container.insert(REPOSITORY_ID.to_owned(), "4300000001".to_owned());
    let uri = |operation| encode(&Call::new(operation, &target)).unwrap().uri().to_string();
    assert_eq!(uri(Operation::GetIssue), "https://api.github.com/repositories/4300000001/issues/7");
    assert_eq!(uri(Operation::GetRepository), "https://api.github.com/repositories/4300000001");
    for id in ["", "../1", "1/issues", "x"] {
        target.container.insert(REPOSITORY_ID.to_owned(), id.to_owned());
        let error = encode(&Call::new(Operation::GetIssue, &target)).unwrap_err();
        assert!(matches!(error, EncodeError::Unrepresentable { .. }), "{id}: {error}");
    }
}

#[test]
fn nothing_in_a_call_climbs_out_of_the_repository() {
    for (owner, repository) in
        [("..", "x"), ("a/b", "x"), ("a", "."), ("", "x"), ("a", "x?y"), ("a%2f", "x"), ("a", "é")]
    {
        let mut target = target(Some(1), None);
        target.container.insert("owner".to_owned(), owner.to_owned());
        target.container.insert("repository".to_owned(), repository.to_owned());
        let error = encode(&Call::new(Operation::GetIssue, &target)).unwrap_err();
        assert!(matches!(error, EncodeError::Unrepresentable { .. }), "{owner}/{repository}: {error}");
    }
    let target = target(Some(1), Some("../1"));
    let payload = Payload::UpdateComment(BodyText { body: String::new() });
    let call = Call { payload: Some(&payload), ..Call::new(Operation::UpdateComment, &target) };
    assert!(matches!(encode(&call), Err(EncodeError::Unrepresentable { .. })));
    for label in [".", ".."] {
        let payload = Payload::RemoveLabels(Labels { labels: vec![label.to_owned()] });
        let call = Call { payload: Some(&payload), ..Call::new(Operation::RemoveLabels, &target) };
        assert!(matches!(encode(&call), Err(EncodeError::Unrepresentable { .. })));
    }
    let cursor = Cursor("https://evil.example/?page=2".to_owned());
    let call = Call { cursor: Some(&cursor), ..Call::new(Operation::ListIssues, &target) };
    assert!(matches!(encode(&call), Err(EncodeError::Unrepresentable { .. })));
}

#[test]
fn s25_a_known_version_makes_a_read_conditional() {
    let target = target(Some(7), None);
    let known = Version { etag: Some("W/\"abc\"".to_owned()), ..Version::default() };
    let call = Call { known: Some(&known), ..Call::new(Operation::GetIssue, &target) };
    assert_eq!(encode(&call).unwrap().headers()["if-none-match"], "W/\"abc\"");
    let unchanged = answer(304, &[("x-github-request-id", "A:1")], "");
    assert_eq!(GitHub.decode(&call, &unchanged, now()).result.unwrap(), Outcome::NotModified);
}

#[test]
fn s34_a_create_hides_its_key_and_reads_it_back() {
    let target = target(None, None);
    let digest = Digest::of(b"intent");
    let payload = Payload::CreateIssue(NewIssue {
        title: "One".to_owned(),
        body: Some("text".to_owned()),
        labels: vec!["bug".to_owned()],
        ..NewIssue::default()
    });
    let call = Call { payload: Some(&payload), marker: Some(&digest), ..Call::new(Operation::CreateIssue, &target) };
    let request = encode(&call).unwrap();
    let sent: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(sent["body"], marker::append("text", &digest));
    let body = serde_json::json!({"id": 1, "number": 9, "title": "One", "state": "open", "body": sent["body"]});
    let response = answer(201, &[("etag", "\"e\"")], &body.to_string());
    let Outcome::Object(event) = GitHub.decode(&call, &response, now()).result.unwrap() else { panic!("no object") };
    assert_eq!(event.observed_version.etag.as_deref(), Some("\"e\""));
    let Normalized::Issue(issue) = event.normalized else { panic!("no issue") };
    assert_eq!(issue.body.as_deref(), Some("text"));
    assert_eq!(issue.marker.as_deref(), Some(marker::key(&digest).as_str()));
}

#[test]
fn s6_what_github_cannot_carry_is_refused_before_it_is_sent() {
    let target = target(Some(1), Some("1"));
    let two = Payload::RemoveLabels(Labels { labels: vec!["a".to_owned(), "b".to_owned()] });
    let milestone = Payload::UpdateIssue(Changes { milestone: Some("v1".to_owned()), ..Changes::default() });
    let base = Payload::UpdateIssue(Changes { base: Some("main".to_owned()), ..Changes::default() });
    for payload in [&two, &milestone, &base] {
        let call = Call { payload: Some(payload), ..Call::new(payload.operation(), &target) };
        assert!(matches!(encode(&call), Err(EncodeError::Unrepresentable { .. })), "{payload:?}");
    }
    let empty = Payload::UpdateIssue(Changes::default());
    for payload in [None, Some(&two), Some(&empty)] {
        let call = Call { payload, ..Call::new(Operation::UpdateIssue, &target) };
        assert!(matches!(encode(&call), Err(EncodeError::Missing { .. })), "{payload:?}");
    }
}

#[test]
fn s47_a_token_is_in_no_text_of_a_request_or_error() {
    let target = target(Some(1), None);
    let api_base = Url::parse("https://api.github.com").unwrap();
    let credential = Credential::new(AuthMode::PersonalAccessToken, "ghp_canary");
    let endpoint = Endpoint { api_base: &api_base, credential: Some(&credential) };
    let request = GitHub.encode(&endpoint, &Call::new(Operation::GetIssue, &target)).unwrap();
    assert_eq!(request.headers()["authorization"], "Bearer ghp_canary");
    assert!(!format!("{request:?} {endpoint:?} {credential:?}").contains("canary"));
    let broken = Credential::new(AuthMode::PersonalAccessToken, "ghp_canary\n");
    let endpoint = Endpoint { api_base: &api_base, credential: Some(&broken) };
    let error = GitHub.encode(&endpoint, &Call::new(Operation::GetIssue, &target)).unwrap_err();
    assert_eq!(error, EncodeError::Credential);
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[test]
fn s8_pull_requests_among_the_issues_are_pull_requests() {
    let body = r#"[
        {"id":1,"number":1,"title":"Issue","state":"open","updated_at":"2024-01-01T00:00:00Z"},
        {"id":2,"number":2,"title":"Pull","state":"closed","node_id":"PR_x","updated_at":"2024-01-02T00:00:00Z",
         "pull_request":{"url":"https://api/pulls/2","merged_at":"2024-01-02T00:00:00Z"}}
    ]"#;
    let link = r#"<https://api.github.com/repositories/1/issues?page=2&per_page=2>; rel="next""#;
    let response = answer(200, &[("link", link), ("etag", "\"p\"")], body);
    let target = target(None, None);
    let decoded = GitHub.decode(&Call::new(Operation::ListIssues, &target), &response, now());
    let Outcome::Page { objects, next, etag, .. } = decoded.result.unwrap() else { panic!("no page") };
    assert_eq!((next, etag.as_deref()), (Some(Cursor("since=2024-01-02T00%3A00%3A00Z".to_owned())), Some("\"p\"")));
    assert_eq!(objects[0].resource_kind, ResourceKind::Issue);
    assert!(objects[0].complete);
    // The issue's id isn't the pull request's: only the number and the node id are known.
    assert_eq!(
        (&objects[1].resource_kind, &*objects[1].native_id, objects[1].complete),
        (&ResourceKind::PullRequest, "", false)
    );
    let Normalized::PullRequest(pull) = &objects[1].normalized else { panic!("no pull request") };
    assert_eq!(
        (pull.number, pull.state.as_ref().map(krate_model::kinds::work::PullRequestState::as_str)),
        (Some(2), Some("merged"))
    );
}

#[test]
fn s44_limits_are_told_from_refusals() {
    let primary = [("x-ratelimit-limit", "5000"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000600")];
    for status in [403, 429] {
        let error = refused(Operation::GetIssue, &answer(status, &primary, r#"{"message":"API rate limit exceeded"}"#));
        assert_eq!((error.class, error.until), (ErrorClass::RateLimited, Some(now() + TimeDelta::seconds(600))));
    }
    let told = r#"{"message":"You have exceeded a secondary rate limit. Please wait."}"#;
    let left = [("x-ratelimit-limit", "5000"), ("x-ratelimit-remaining", "4999"), ("x-ratelimit-reset", "1700000600")];
    let error = refused(Operation::CreateIssue, &answer(403, &left, told));
    assert_eq!((error.class, error.until), (ErrorClass::RateLimited, Some(now() + TimeDelta::seconds(60))));
    let error = refused(Operation::CreateIssue, &answer(403, &[("retry-after", "30")], told));
    assert_eq!((error.class, error.until), (ErrorClass::RateLimited, Some(now() + TimeDelta::seconds(30))));
    let error = refused(Operation::GetIssue, &answer(429, &[], "{}"));
    assert_eq!((error.class, error.until), (ErrorClass::RateLimited, Some(now() + TimeDelta::seconds(60))));
    let plain = r#"{"message":"Resource not accessible by integration"}"#;
    let error = refused(Operation::GetIssue, &answer(403, &left, plain));
    assert_eq!((error.class, error.until), (ErrorClass::Permission, None));
    // Whatever an answer is, its budget is read.
    let target = target(Some(1), None);
    let Decoded { quota, .. } =
        GitHub.decode(&Call::new(Operation::GetIssue, &target), &answer(404, &left, "{}"), now());
    assert_eq!(quota.map(|quota| (quota.scope, quota.remaining)), Some(("core".to_owned(), 4999)));
}

#[test]
fn every_status_has_its_class() {
    for (status, class) in [
        (400, ErrorClass::Validation),
        (401, ErrorClass::Authentication),
        (404, ErrorClass::NotFound),
        (405, ErrorClass::Precondition),
        (409, ErrorClass::Precondition),
        (410, ErrorClass::Gone),
        (412, ErrorClass::Precondition),
        (422, ErrorClass::Validation),
        (500, ErrorClass::Transient),
        (502, ErrorClass::Transient),
        (503, ErrorClass::Transient),
    ] {
        let error =
            refused(Operation::GetIssue, &answer(status, &[("x-github-request-id", "A:1")], r#"{"message":"m"}"#));
        assert_eq!((error.class, error.request_id.as_deref()), (class, Some("A:1")), "{status}");
    }
    let invalid =
        r#"{"message":"Validation Failed","errors":[{"resource":"Issue","code":"missing_field","field":"title"}]}"#;
    let error = refused(Operation::CreateIssue, &answer(422, &[], invalid));
    assert_eq!(
        (error.path.as_deref(), error.message.as_str()),
        (Some("title"), "Validation Failed: title: missing_field")
    );
}

#[test]
fn s34_a_redirection_is_no_outcome_and_is_never_followed() {
    let elsewhere = [("location", "https://evil.example/?access_token=canary")];
    for operation in [Operation::GetIssue, Operation::ListIssues, Operation::CreateIssue, Operation::DeleteComment] {
        for status in [300, 301, 302, 303, 307, 308] {
            for headers in [&elsewhere[..], &[]] {
                let error = refused(operation.clone(), &answer(status, headers, "{}"));
                // Nothing was carried out, and the same again can't help: a person has to see to it.
                assert_eq!((&error.class, error.sent), (&ErrorClass::Configuration, SendOutcome::NotSent), "{status}");
                assert!(!error.is_retryable());
                assert!(!format!("{error} {error:?}").contains("canary"), "S47: {error:?}");
            }
        }
    }
}

#[test]
fn labels_that_differ_only_in_case_are_one_label() {
    assert!(GitHub.folds_label_case());
}

#[test]
fn s34_a_write_that_may_have_happened_says_so() {
    let proxy = |status| {
        Response::builder()
            .status(status)
            .header("content-type", "text/html")
            .body(Bytes::from("<html>canary</html>"))
            .unwrap()
    };
    for (status, operation, sent) in [
        (502, Operation::CreateIssue, SendOutcome::Unknown),
        (200, Operation::CreateIssue, SendOutcome::Unknown),
        (502, Operation::GetIssue, SendOutcome::NotSent),
        (200, Operation::GetIssue, SendOutcome::NotSent),
    ] {
        let error = refused(operation.clone(), &proxy(status));
        assert_eq!((&error.class, error.sent), (&ErrorClass::Transient, sent), "{status} {operation}");
        assert!(!error.message.contains("canary"));
    }
    let unread = refused(Operation::CreateIssue, &answer(201, &[], r#"{"id":"no number"}"#));
    assert_eq!((unread.class, unread.sent), (ErrorClass::Decode, SendOutcome::Unknown));
    assert_eq!(unread.path.as_deref(), Some("id"));
}

#[test]
fn recorded_answers_are_read() {
    let Some(folder) = support::collection() else { return };
    for (file, operation, count) in [
        ("drone/issue.json", Operation::GetIssue, None),
        ("drone/issues.json", Operation::ListIssues, Some(1)),
        ("jenkins-x/issues.json", Operation::ListIssues, Some(1)),
        ("drone/issue_comments.json", Operation::ListComments, Some(1)),
        ("jenkins-x/issue_comment.json", Operation::CreateComment, None),
        ("drone/pulls.json", Operation::ListPullRequests, Some(1)),
        ("jenkins-x/pr.json", Operation::GetPullRequest, None),
        ("jenkins-x/pr_create.json", Operation::CreatePullRequest, None),
    ] {
        let response = answer(200, &[], &fs::read_to_string(folder.join("api").join(file)).unwrap());
        let target = target(Some(1), Some("1"));
        match (GitHub.decode(&Call::new(operation, &target), &response, now()).result, count) {
            (Ok(Outcome::Object(_)), None) => {}
            (Ok(Outcome::Page { objects, .. }), Some(count)) => assert_eq!(objects.len(), count, "{file}"),
            (other, _) => panic!("{file}: {other:?}"),
        }
    }
}
