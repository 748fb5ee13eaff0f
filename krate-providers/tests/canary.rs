//! S47 for the whole crate: canary secrets are planted wherever one may enter, and everything that leaves is searched.
#![cfg(feature = "github")]

mod support;

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, Response};
use krate_model::kinds::external::{NewIssue, Payload};
use krate_model::kinds::sets::{AuthMode, Operation};
use krate_model::kinds::shared::NativeTarget;
use krate_providers::contract::{Call, Credential, Cursor, DecodeError, Endpoint, WebhookSecret};
use krate_providers::registry;
use url::Url;

/// Part of every canary, and of nothing else.
const MARK: &str = "c4narydeadbeef";
/// The shapes of tokens that krate knows, each with the mark in it.
fn tokens() -> Vec<String> {
    let tail = format!("{MARK}{}", "0".repeat(40));
    let mut tokens: Vec<String> = ["ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-"]
        .iter()
        .map(|start| format!("{start}{tail}"))
        .collect();
    tokens.push(format!("https://user:{tail}@example.com/path"));
    tokens
}

/// What left, and whether the mark is in it.
#[derive(Default)]
struct Leaks {
    searched: usize,
    found: Vec<String>,
}

impl Leaks {
    fn text(&mut self, from: &str, text: &str) {
        self.searched += 1;
        if text.contains(MARK) {
            self.found.push(format!("{from}: {text}"));
        }
    }

    fn debug(&mut self, from: &str, value: &impl Debug) {
        self.text(from, &format!("{value:?} {value:#?}"));
    }

    fn error(&mut self, from: &str, error: &(impl Debug + Display)) {
        self.text(from, &format!("{error}"));
        self.debug(from, error);
    }

    fn assert_none(self, least: usize) {
        assert!(self.found.is_empty(), "{}", self.found.join("\n"));
        assert!(self.searched >= least, "only {} texts were searched", self.searched);
    }
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn target() -> NativeTarget {
    let names = BTreeMap::from([("owner".to_owned(), "o".to_owned()), ("repository".to_owned(), "r".to_owned())]);
    NativeTarget {
        native_kind: "issue".to_owned(),
        native_id: Some("1".to_owned()),
        native_number: Some(1),
        container: names,
    }
}

#[test]
fn s47_no_secret_of_a_webhook_leaves_by_verification_or_head() {
    let mut leaks = Leaks::default();
    for provider in registry::providers() {
        for token in tokens() {
            let secrets = [WebhookSecret::new("current", token.as_bytes()), WebhookSecret::new("empty", "")];
            leaks.debug("secret", &secrets);
            for name in ["x-hub-signature-256", "x-hub-signature", "authorization", "cookie", "x-gitlab-token"] {
                for value in [token.as_str(), &format!("sha256={token}"), &format!("Bearer {token}")] {
                    let Ok(value) = HeaderValue::from_str(value) else { continue };
                    let mut headers = HeaderMap::from_iter([(name.parse().unwrap(), value.clone())]);
                    match provider.verify(&headers, b"{}", &secrets, now()) {
                        Ok(verified) => leaks.debug("verified", &verified),
                        Err(error) => leaks.error("verify", &error),
                    }
                    headers.append(http::header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
                    if let Err(error) = provider.verify(&headers, b"{}", &secrets[..1], now()) {
                        leaks.error("verify twice", &error);
                    }
                }
            }
            // A well-formed delivery among headers that hold the token.
            let good = [("x-github-delivery", "1"), ("x-github-event", "push"), ("content-type", "application/json")];
            for name in
                ["user-agent", "x-github-hook-id", "authorization", "cookie", "x-hub-signature-256", "content-type"]
            {
                let mut headers: HeaderMap =
                    good.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
                headers.insert(http::header::HeaderName::from_static(name), HeaderValue::from_str(&token).unwrap());
                match provider.head(&headers, b"{}") {
                    Ok(head) => leaks.debug(&format!("head of {name}"), &head),
                    Err(error) => leaks.error(&format!("head of {name}"), &error),
                }
            }
        }
    }
    leaks.assert_none(500);
}

#[test]
fn s47_no_token_leaves_by_a_request_or_its_refusal() {
    let mut leaks = Leaks::default();
    let target = target();
    let payload = Payload::CreateIssue(NewIssue { title: "t".to_owned(), ..NewIssue::default() });
    for provider in registry::providers() {
        leaks.text("manifest", &serde_json::to_string(provider.manifest()).unwrap());
        for token in tokens() {
            let broken = format!("{token}\n");
            for (token, base) in [
                (&token, "https://api.example.com".to_owned()),
                (&broken, "https://api.example.com".to_owned()),
                (&token, format!("https://user:{MARK}@api.example.com")),
                (&token, format!("https://{MARK}@api.example.com")),
                (&token, format!("https://api.example.com/?token={MARK}")),
                (&token, format!("https://api.example.com/#{MARK}")),
                (&token, format!("data:{MARK}")),
            ] {
                let api_base = Url::parse(&base).unwrap();
                let credential = Credential::new(AuthMode::PersonalAccessToken, token.as_str());
                let endpoint = Endpoint { api_base: &api_base, credential: Some(&credential) };
                leaks.debug("endpoint", &endpoint);
                for operation in Operation::ALL {
                    let payload = Some(&payload).filter(|payload| payload.operation() == *operation);
                    // What is no cursor of the provider is refused; it isn't quoted either.
                    let foreign = Cursor(format!("https://example.com/?token={MARK}"));
                    for cursor in [None, Some(&foreign)] {
                        let call = Call { payload, cursor, ..Call::new(operation.clone(), &target) };
                        match provider.encode(&endpoint, &call) {
                            Ok(request) => {
                                leaks.debug("request", &request);
                                leaks.text("address", &request.uri().to_string());
                            }
                            Err(error) => leaks.error("encode", &error),
                        }
                    }
                }
            }
        }
    }
    leaks.assert_none(5_000);
}

#[test]
fn s47_no_token_that_an_answer_quotes_leaves_by_an_error() {
    let mut leaks = Leaks::default();
    let target = target();
    for provider in registry::providers() {
        for token in tokens() {
            let bodies = [
                format!(r#"{{"message":"bad credential {token}"}}"#),
                format!(r#"{{"message":"m","errors":["{token}"]}}"#),
                format!(r#"{{"message":"m","errors":[{{"field":"{token}","code":"{token}","message":"{token}"}}]}}"#),
                format!(r#"{{"id":"{token}"}}"#),
                format!(r#"["{token}"]"#),
                format!("<html>{token}</html>"),
            ];
            for (body, status) in bodies
                .iter()
                .flat_map(|body| [200, 201, 301, 307, 400, 401, 403, 404, 422, 429, 500].map(|at| (body, at)))
            {
                for content_type in ["application/json", "text/html", &token] {
                    let response = Response::builder()
                        .status(status)
                        .header("content-type", content_type)
                        .header("location", &token)
                        .header("link", format!("<{token}>; rel=\"next\""))
                        .body(Bytes::from(body.clone()))
                        .unwrap();
                    for operation in
                        [Operation::GetIssue, Operation::ListIssues, Operation::CreateIssue, Operation::AddLabels]
                    {
                        let call = Call::new(operation, &target);
                        if let Err(error) = provider.decode(&call, &response, now()).result {
                            leaks.error("decode", &error);
                        }
                    }
                }
            }
        }
    }
    leaks.assert_none(5_000);
}

/// Every string of every payload is a token once, where a number or an object would be accepted, and once a key is.
#[test]
fn s47_no_token_in_a_payload_leaves_by_an_error() {
    let mut leaks = Leaks::default();
    let token = tokens().remove(0);
    let provider = registry::provider("github").unwrap();
    for payload in support::published() {
        for site in support::sites::sites(&payload.body) {
            let as_value = support::sites::splice(&payload.body, &site.value, &format!("\"{token}\""));
            let as_key =
                support::sites::splice(&payload.body, &site.value, &format!("{{\"{token}\":{{\"{token}\":1}}}}"));
            for body in [as_value, as_key] {
                match provider.normalize(&payload.event_type, &body) {
                    Ok(_) => {}
                    Err(error @ DecodeError { .. }) => leaks.error(&site.path, &error),
                }
            }
        }
    }
    let permissions =
        format!(r#"{{"action":"created","installation":{{"id":1,"permissions":{{"{token}":{{"{token}":1}}}}}}}}"#);
    leaks.error("a key", &provider.normalize("installation", permissions.as_bytes()).unwrap_err());
    leaks.assert_none(100);
}

/// What users wrote is shown as they wrote it in JSON, which is what it is for, and never by `Debug`, which ends up in logs.
#[test]
fn s47_debug_of_an_event_shows_no_text_that_users_wrote() {
    let provider = registry::provider("github").unwrap();
    let mut texts = 0;
    for payload in support::published() {
        for member in ["title", "body", "description", "message"] {
            for site in support::sites::sites(&payload.body) {
                if site.member() != member || site.sort != support::sites::Sort::String {
                    continue;
                }
                let body = support::sites::splice(&payload.body, &site.value, "\"users own words\"");
                let events = provider.normalize(&payload.event_type, &body).unwrap();
                texts += 1;
                let shown = format!("{events:?} {events:#?}");
                assert!(!shown.contains("users own words"), "{} {}: {shown}", payload.name, site.path);
            }
        }
    }
    assert!(texts > 8, "only {texts} texts");
    let issue = krate_model::observation::IssueObserved {
        title: Some("Crash".into()),
        url: Some("https://github.com/acme/site/issues/1".into()),
        ..Default::default()
    };
    let shown = format!("{issue:?}");
    assert!(
        shown.starts_with("IssueObserved { url: Some(\"https://github.com/acme/site/issues/1\"), title: <"),
        "{shown}"
    );
    assert!(shown.contains(" bytes, sha256:"), "{shown}");
}
