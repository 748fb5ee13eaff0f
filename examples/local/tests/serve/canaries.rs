//! Secrets that were planted at every entry are in nothing that leaves the process (S47).

use std::fs;
use std::path::Path;

use axum::response::IntoResponse;
use http::{HeaderMap, Method, StatusCode};
use krate_model::Kind;
use krate_model::store::{Private, Query, Store};
use krate_stores::EmbeddedStore;
use serde_json::{Value, json};

use crate::harness::{API_TOKEN, Home, PROVIDER_TOKEN, Server, WEBHOOK_SECRET, object, provider};
use crate::hook::{Hook, issue_opened};

/// What a client says instead of the API's token.
const GUESSED: &str = "canary-guessed-token-93e7";
/// What a sender puts into headers that a webhook doesn't need.
const IN_HEADER: &str = "canary-in-a-header-1b5f";
/// What somebody pasted into a payload, where no field of krate is.
const IN_PAYLOAD: &str = "ghp_canary0123456789abcdefghijklmnopqrstuv";

/// A provider that throws the credential back: in its answer's body and headers.
async fn echo() -> String {
    let echo = |headers: HeaderMap| async move {
        let said = headers.get("authorization").map(|value| value.to_str().expect("text").to_owned());
        let body = json!({"message": format!("Bad credentials: {said:?}"), "documentation_url": said});
        (StatusCode::UNAUTHORIZED, [("x-echo", said.unwrap_or_default())], axum::Json(body)).into_response()
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(echo)).await });
    format!("http://{address}/api/v3")
}

fn home(api: &str, raw_payload: &str) -> Home {
    let mut home = Home::new().with(&json!({"api": {"tokenRef": {"name": "api", "key": "token"}}}));
    let organization = home.config["objects"][0].clone();
    let policy = json!({"organizationRef": "acme", "storage": {"rawPayload": raw_payload}});
    let backend = json!({"mode": "external", "bindingRef": "site"});
    let binding = json!({
        "organizationRef": "acme", "providerRef": "gh", "syncPolicyRef": "policy",
        "targetRef": {"kind": "Repository", "name": "site"}, "externalRef": {"owner": "acme", "repository": "site"},
        "interfaces": [{"name": "issueTracking", "mode": "bidirectional"}],
    });
    home.config["objects"] = json!([
        organization,
        provider(api),
        object("ExternalBackendSyncPolicy", "policy", policy),
        object("Repository", "site", json!({"organizationRef": "acme", "visibility": "private", "backend": backend})),
        object("ExternalBackendBinding", "site", binding),
    ]);
    home
}

fn leaky(hook: Hook) -> Hook {
    hook.set("authorization", &format!("Bearer {IN_HEADER}"))
        .set("cookie", IN_HEADER)
        .set("user-agent", "GitHub-Hookshot/1")
}

/// An issue with a secret beside it.
fn pasted(id: &str) -> Hook {
    let mut payload = issue_opened(1, "Crash");
    payload["note"] = json!({"text": format!("use {IN_PAYLOAD}, it works")});
    leaky(Hook::new("issues", id, payload.to_string()))
}

/// Everything that can be asked, with where it is from.
async fn answers(server: &Server) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for kind in Kind::ALL {
        for item in server.list(kind.as_str()).await {
            all.push((kind.to_string(), item.to_string()));
        }
    }
    for issue in server.list("Issue").await {
        let name = issue["metadata"]["name"].as_str().expect("a name").to_owned();
        for what in ["why/Issue", "diff/Issue", "Issue"] {
            let path = format!("/api/v1/{what}/{}/{name}", crate::harness::NAMESPACE);
            all.push((path.clone(), server.get(&path).await.text));
        }
    }
    for path in ["/metrics", "/readyz", "/healthz"] {
        all.push((path.to_owned(), server.get(path).await.text));
    }
    all
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("the folder");
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    paths.map(|path| (path.display().to_string(), fs::read(&path).expect("it can be read"))).collect()
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[tokio::test]
async fn s47_no_planted_secret_leaves_the_process() {
    let mut home = home(&echo().await, "redacted");
    home.args.extend(["--log-filter".into(), "trace".into()]);
    let mut server = home.start().await;
    let mut said = Vec::new();

    server.token = Some(GUESSED);
    let refused = server.get("/api/v1/Issue").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    said.push(("a refused token".to_owned(), refused.text));
    server.token = Some(API_TOKEN);

    let hook = pasted("11111111-cc78-11e3-81ab-4c9367dc0958");
    let unknown = leaky(Hook::new("never_seen", "22222222-cc78-11e3-81ab-4c9367dc0958", hook.body.clone()));
    let mut wrong = issue_opened(2, "Undecodable");
    wrong["issue"]["number"] = json!(IN_PAYLOAD);
    let wrong = leaky(Hook::new("issues", "33333333-cc78-11e3-81ab-4c9367dc0958", wrong.to_string()));
    let forged = hook.clone().set("x-hub-signature-256", &format!("sha256={IN_HEADER}"));
    let accepted = [&hook, &unknown, &wrong];
    for (hook, status) in accepted.into_iter().map(|hook| (hook, 202)).chain([(&forged, 401)]) {
        let path = format!("/webhooks/gh?token={IN_HEADER}");
        // The client's own token is in place of the header's: both have to stay out.
        let answer = server.send(Method::POST, &path, hook.headers.clone(), hook.body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        said.push(("a webhook's answer".to_owned(), answer.text));
    }
    server.list_until("Issue", |issues| issues.len() == 1).await;
    let ends = ["Retrying", "Succeeded", "SignatureRejected"];
    let is_at_rest = |record: &Value| ends.iter().any(|phase| record["status"]["phase"] == **phase);
    server.list_until("ExternalWebhookDelivery", |all| all.len() == 4 && all.iter().all(is_at_rest)).await;
    // The provider was asked, and threw the token back.
    let is_refused = |binding: &Value| binding["status"]["lastError"]["class"] == "Authentication";
    server.list_until("ExternalBackendBinding", |all| all.iter().any(is_refused)).await;
    said.extend(answers(&server).await);
    said.push(("standard output".to_owned(), server.out.text()));
    let log = server.stop().await;
    assert!(log.contains("TRACE"), "the log is not as talkative as it can be");
    said.push(("the log".to_owned(), log));

    for secret in [WEBHOOK_SECRET, PROVIDER_TOKEN, API_TOKEN, GUESSED, IN_HEADER, IN_PAYLOAD] {
        for (place, text) in &said {
            let shown: Vec<&str> = text.lines().filter(|line| line.contains(secret)).collect();
            assert!(shown.is_empty(), "{secret} in {place}: {shown:#?}");
        }
    }
    for secret in [WEBHOOK_SECRET, PROVIDER_TOKEN, API_TOKEN, GUESSED, IN_HEADER] {
        for (file, bytes) in files(home.path("krate.redb").parent().expect("a folder")) {
            assert!(!holds(&bytes, secret), "{secret} in {file}");
        }
    }
}

/// The payloads that are kept, after one with a pasted secret was processed under a policy.
async fn kept_under(raw_payload: &str) -> (Value, Vec<Vec<u8>>) {
    let home = home("http://127.0.0.1:9/api/v3", raw_payload);
    let mut server = home.start().await;
    server.token = Some(API_TOKEN);
    let hook = pasted("44444444-cc78-11e3-81ab-4c9367dc0958");
    let sent = server.send(Method::POST, "/webhooks/gh", hook.headers.clone(), hook.body.clone()).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED);
    let record = server.settled_deliveries(1).await.remove(0);
    assert_eq!(record["spec"]["payload"]["digest"], krate_model::Digest::of(&hook.body).to_string());
    server.stop().await;
    let store = EmbeddedStore::open(home.path("krate.redb")).expect("it opens");
    let page = store.list(&Query::new(Private::Payload)).await.expect("it can be read");
    (record["spec"]["payload"]["storage"].clone(), page.items.iter().map(|stored| stored.body.to_vec()).collect())
}

#[tokio::test]
async fn s47_a_processed_payload_is_kept_as_the_policy_says() {
    let (storage, kept) = kept_under("redacted").await;
    assert_eq!((storage, kept.len()), (json!("object"), 1));
    let payload: Value = serde_json::from_slice(&kept[0]).expect("JSON");
    assert_eq!((&payload["note"]["text"], &payload["issue"]["title"]), (&json!("[redacted]"), &json!("Crash")));
    for policy in ["digest", "none"] {
        let (storage, kept) = kept_under(policy).await;
        assert_eq!((storage, kept.len()), (json!("none"), 0), "{policy}");
    }
}
