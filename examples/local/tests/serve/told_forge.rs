//! A forge that knows what the recorded payloads tell: its lists show each object as it was first, its single reads as it was last.
//!
//! So a first backfill sees the beginning, the webhooks bring it forward in whatever order, and where the payloads' times can't order two
//! contents, the read decides (S16). What a payload says was deleted or moved away is at its last state in the lists, and gone from the reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::payloads::Payload;

/// One object by repository, kind and id, as it was told: sorted by time.
type Told = BTreeMap<(String, &'static str, i64), Vec<(String, Value)>>;

#[derive(Default)]
pub(crate) struct ToldForge {
    told: Told,
    gone: BTreeSet<(String, &'static str, i64)>,
    /// How often each repository's name stands with each id. The recorded payloads know some names with several: others had them before.
    ids: BTreeMap<String, BTreeMap<i64, usize>>,
}

impl ToldForge {
    pub(crate) fn of(payloads: &[Payload]) -> Self {
        let mut forge = Self::default();
        for payload in payloads {
            let Ok(value) = serde_json::from_slice::<Value>(&payload.body) else { continue };
            let Some(repository) = value["repository"]["full_name"].as_str() else { continue };
            if let Some(id) = value["repository"]["id"].as_i64() {
                *forge.ids.entry(repository.to_owned()).or_default().entry(id).or_default() += 1;
            }
            let (kind, member) = match payload.event_type.as_str() {
                "issues" => ("issues", "issue"),
                "issue_comment" => ("comments", "comment"),
                "pull_request" => ("pulls", "pull_request"),
                _ => continue,
            };
            forge.take(repository, kind, &value[member]);
            if kind == "comments" && value["issue"]["pull_request"].is_null() {
                forge.take(repository, "issues", &value["issue"]);
            }
            if ["deleted", "transferred"].iter().any(|action| value["action"] == **action) {
                let id = value[member]["id"].as_i64().unwrap_or_default();
                forge.gone.insert((repository.to_owned(), kind, id));
            }
        }
        for versions in forge.told.values_mut() {
            versions.sort_by(|a, b| a.0.cmp(&b.0));
        }
        forge
    }

    fn take(&mut self, repository: &str, kind: &'static str, object: &Value) {
        let Some(id) = object["id"].as_i64() else { return };
        let at = object["updated_at"].as_str().unwrap_or_default().to_owned();
        self.told.entry((repository.to_owned(), kind, id)).or_default().push((at, object.clone()));
    }

    /// Every repository that the payloads tell of objects in.
    pub(crate) fn repositories(&self) -> BTreeSet<String> {
        self.told.keys().map(|(repository, ..)| repository.clone()).collect()
    }

    /// The id of the repository that has the name now: the one that most payloads are about.
    fn id(&self, repository: &str) -> Option<i64> {
        self.ids.get(repository)?.iter().max_by_key(|(_, count)| **count).map(|(id, _)| *id)
    }

    fn named(&self, id: i64) -> Option<&str> {
        self.ids.keys().find(|name| self.id(name) == Some(id)).map(String::as_str)
    }

    fn list(&self, repository: &str, kind: &str) -> Vec<&Value> {
        let here = self.told.iter().filter(|((name, of, _), _)| name == repository && *of == kind);
        here.filter_map(|(key, versions)| if self.gone.contains(key) { versions.last() } else { versions.first() })
            .map(|(_, object)| object)
            .collect()
    }

    fn newest(&self, repository: &str, kind: &str) -> impl Iterator<Item = &Value> {
        let here =
            self.told.iter().filter(move |(key, _)| key.0 == repository && key.1 == kind && !self.gone.contains(*key));
        here.filter_map(|(_, versions)| versions.last()).map(|(_, object)| object)
    }

    fn answer(&self, repository: &str, path: &[&str]) -> Option<Value> {
        let number = |text: &str| text.parse::<i64>().ok();
        match path {
            [] => {
                let (owner, name) = repository.split_once('/')?;
                Some(json!({"id": self.id(repository)?, "name": name, "owner": {"login": owner}}))
            }
            ["issues", "comments"] => Some(json!(self.list(repository, "comments"))),
            ["labels"] => Some(json!([])),
            [kind @ ("issues" | "pulls")] => Some(json!(self.list(repository, kind))),
            [kind @ ("issues" | "pulls"), wanted] => {
                let wanted = number(wanted)?;
                self.newest(repository, kind).find(|object| object["number"] == wanted).cloned()
            }
            ["issues", wanted, "comments"] => {
                let end = format!("/issues/{wanted}");
                let of = |object: &&Value| object["issue_url"].as_str().is_some_and(|url| url.ends_with(&end));
                Some(json!(self.newest(repository, "comments").filter(of).collect::<Vec<_>>()))
            }
            _ => None,
        }
    }

    /// Serves it on loopback; the address of its API.
    pub(crate) async fn serve(self) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let origin = format!("http://{}/api/v3", listener.local_addr().expect("it is bound"));
        let app = axum::Router::new()
            .route("/api/v3/repos/{owner}/{repository}", axum::routing::get(asked_by_name))
            .route("/api/v3/repositories/{id}", axum::routing::get(asked_for_itself))
            .route("/api/v3/repositories/{id}/{*rest}", axum::routing::get(asked))
            .with_state(Arc::new(self));
        tokio::spawn(async move { axum::serve(listener, app).await });
        origin
    }
}

async fn asked_by_name(
    State(forge): State<Arc<ToldForge>>,
    Path((owner, repository)): Path<(String, String)>,
) -> Response {
    answered(forge.answer(&format!("{owner}/{repository}"), &[]))
}

async fn asked_for_itself(State(forge): State<Arc<ToldForge>>, Path(id): Path<i64>) -> Response {
    answered(forge.named(id).and_then(|repository| forge.answer(repository, &[])))
}

async fn asked(State(forge): State<Arc<ToldForge>>, Path((id, rest)): Path<(i64, String)>) -> Response {
    let path: Vec<&str> = rest.split('/').collect();
    answered(forge.named(id).and_then(|repository| forge.answer(repository, &path)))
}

fn answered(found: Option<Value>) -> Response {
    match found {
        Some(value) => Json(value).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({"message": "Not Found"}))).into_response(),
    }
}
