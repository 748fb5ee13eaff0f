//! The simulated forge over HTTP, and a `krate serve` that is bound to a repository of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, StatusCode};
use krate_model::kinds::shared::Time;
use krate_providers::simulator::{Forge, NewIssue, Urls};
use serde_json::{Value, json};

use tokio::sync::watch;

use crate::harness::{Home, PATIENCE, PROVIDER_TOKEN, Server, WEBHOOK_SECRET, object, provider};

pub(crate) const REPOSITORY: &str = "acme/site";

pub(crate) fn now() -> Time {
    SystemTime::now().into()
}

/// A forge that answers on loopback.
#[derive(Clone)]
pub(crate) struct Simulated {
    forge: Arc<Mutex<Forge>>,
    /// What was sent to change something, in the order of its arrival.
    writes: watch::Sender<Vec<Sent>>,
    /// The write, by its place in that order, that gets no answer for now.
    held: watch::Sender<Option<Held>>,
}

/// A request that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Method, path and body.
    pub(crate) what: String,
    /// The token that it came with.
    pub(crate) token: String,
}

/// A write that is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// It happens, and its answer waits.
    Answer(usize),
    /// It waits before anything happens.
    Request(usize),
}

impl Simulated {
    /// With these issues; and the folder of a server that syncs them both ways, and asks before it writes a comment.
    pub(crate) async fn with_issues(titles: &[&str]) -> (Self, Home) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
        let mut forge = Forge::seeded(11);
        forge.set_urls(Urls::enterprise(&origin));
        forge.add_token(PROVIDER_TOKEN, "krate-bot");
        let mut ada = forge.by("ada", now());
        ada.create_repository(REPOSITORY).expect("a new forge has room");
        for title in titles {
            ada.open_issue(REPOSITORY, NewIssue::titled(*title)).expect("opened");
        }
        forge.add_hook(REPOSITORY, "http://127.0.0.1/", Some(WEBHOOK_SECRET), now()).expect("hooked");
        forge.take_deliveries();
        let (writes, held) = (watch::Sender::new(Vec::new()), watch::Sender::new(None));
        let served = Self { forge: Arc::new(Mutex::new(forge)), writes, held };
        let app = axum::Router::new().fallback(answer).with_state(served.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });

        let mut home = Home::new();
        let organization = home.config["objects"][0].clone();
        let backend = json!({"mode": "external", "bindingRef": "site"});
        let repository = json!({"organizationRef": "acme", "visibility": "private", "backend": backend});
        let reviewed = json!([{"kind": "Comment", "mode": "reviewed-write"}]);
        let binding = json!({
            "organizationRef": "acme", "providerRef": "gh", "targetRef": {"kind": "Repository", "name": "site"},
            "externalRef": {"owner": "acme", "repository": "site"},
            "interfaces": [{"name": "issueTracking", "mode": "bidirectional", "kinds": reviewed}],
        });
        home.config["objects"] = json!([
            organization,
            provider(&format!("{origin}/api/v3")),
            object("Repository", "site", repository),
            object("ExternalBackendBinding", "site", binding),
        ]);
        (served, home)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Forge> {
        self.forge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another token that the forge accepts.
    pub(crate) fn add_token(&self, token: &str) {
        self.lock().add_token(token, "krate-bot");
    }

    /// What was sent to change something so far.
    pub(crate) fn writes(&self) -> Vec<Sent> {
        self.writes.borrow().clone()
    }

    /// Holds a write up, or lets go the one that is.
    pub(crate) fn hold(&self, held: Option<Held>) {
        self.held.send_replace(held);
    }

    /// Waits until so many writes have arrived, and returns the last of them.
    pub(crate) async fn write_arrived(&self, count: usize) -> Sent {
        let mut writes = self.writes.subscribe();
        let arrived = tokio::time::timeout(PATIENCE, writes.wait_for(|writes| writes.len() >= count)).await;
        arrived.expect("a write arrives in time").expect("the forge is there")[count - 1].clone()
    }

    /// Sends the webhooks that wait to these servers in turns, and each again to another one at the same time: one of both takes it (S11).
    pub(crate) async fn deliver_among(&self, servers: &[&Server]) {
        let deliveries = self.lock().take_deliveries();
        for (number, delivery) in deliveries.into_iter().enumerate() {
            let (parts, body) = delivery.to_request().into_parts();
            let post = |number: usize| {
                let server = servers[number % servers.len()];
                server.send(Method::POST, "/webhooks/gh", parts.headers.clone(), body.to_vec())
            };
            let (one, other) = tokio::join!(post(number), post(number + 1));
            let mut statuses = [one.status, other.status];
            statuses.sort();
            assert_eq!(statuses, [StatusCode::OK, StatusCode::ACCEPTED], "{one:?} {other:?}");
        }
    }

    /// Sends the webhooks that wait.
    pub(crate) async fn deliver(&self, server: &Server) {
        let deliveries = self.lock().take_deliveries();
        for delivery in deliveries {
            let (parts, body) = delivery.to_request().into_parts();
            let answer = server.send(Method::POST, "/webhooks/gh", parts.headers, body.to_vec()).await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        }
    }

    /// The bodies of an issue's comments.
    pub(crate) fn comments(&self, number: u64) -> Vec<String> {
        self.lock().comments(REPOSITORY, number).iter().map(|comment| comment.body.clone()).collect()
    }
}

async fn answer(State(served): State<Simulated>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1024 * 1024).await.unwrap_or_default();
    let handle = |body| served.lock().handle(&http::Request::from_parts(parts.clone(), body), now()).map(Body::from);
    if parts.method == Method::GET {
        return handle(body);
    }
    let token = parts.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let what = format!("{} {} {}", parts.method, parts.uri.path(), String::from_utf8_lossy(&body));
    let sent = Sent { what, token: token.rsplit(' ').next().unwrap_or_default().to_owned() };
    // It counts as sent when it is here, whatever becomes of it.
    let mut number = 0;
    served.writes.send_modify(|writes| {
        number = writes.len();
        writes.push(sent);
    });
    let mut held = served.held.subscribe();
    // The forge outlives the wait; a sender that went away ends it by ending this function.
    let _ = held.wait_for(|held| *held != Some(Held::Request(number))).await;
    let response = handle(body);
    let _ = held.wait_for(|held| *held != Some(Held::Answer(number))).await;
    response
}

/// The name of an object.
pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().expect("a name").to_owned()
}
