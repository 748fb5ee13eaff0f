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

use crate::harness::{Home, PROVIDER_TOKEN, Server, WEBHOOK_SECRET, object, provider};

pub(crate) const REPOSITORY: &str = "acme/site";

pub(crate) fn now() -> Time {
    SystemTime::now().into()
}

/// A forge that answers on loopback.
#[derive(Clone)]
pub(crate) struct Simulated(Arc<Mutex<Forge>>);

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
        let served = Self(Arc::new(Mutex::new(forge)));
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    let response = served.lock().handle(&http::Request::from_parts(parts, body), now());
    response.map(Body::from)
}

/// The name of an object.
pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().expect("a name").to_owned()
}
