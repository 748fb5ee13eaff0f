mod determinism;
mod faults;
mod rest;
mod shapes;
mod webhooks;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::Value;

use super::{Forge, NewIssue};

const TOKEN: &str = "t0ken-of-the-bot";

/// So many seconds into the story.
fn t(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 250_000_000).expect("a time within range")
}

/// A forge with `acme/site`, a token of `krate[bot]`, and nothing queued.
fn forge() -> Forge {
    let mut forge = Forge::seeded(7);
    forge.add_token(TOKEN, "krate[bot]");
    forge.by("ada", t(0)).create_repository("acme/site").expect("a free name");
    forge
}

/// One with an issue too: "Crash", number 1.
fn forge_with_issue() -> Forge {
    let mut forge = forge();
    forge.by("ada", t(1)).open_issue("acme/site", NewIssue::titled("Crash").body("It fell.")).expect("a valid issue");
    forge
}

fn request(method: Method, uri: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let builder = Request::builder().method(method).uri(uri).header("authorization", format!("Bearer {TOKEN}"));
    builder.body(body.into()).expect("a valid request")
}

fn get(uri: &str) -> Request<Bytes> {
    request(Method::GET, uri, Bytes::new())
}

fn send(method: Method, uri: &str, body: &Value) -> Request<Bytes> {
    request(method, uri, body.to_string())
}

/// An answer, read.
#[derive(Debug)]
struct Read {
    status: StatusCode,
    headers: HeaderMap,
    json: Value,
}

impl Read {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII")).unwrap_or_default()
    }

    fn numbers(&self) -> Vec<u64> {
        let items = self.json.as_array().expect("a list");
        items.iter().map(|item| item["number"].as_u64().expect("a number")).collect()
    }
}

fn read(response: Response<Bytes>) -> Read {
    let (parts, body) = response.into_parts();
    let json = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
    Read { status: parts.status, headers: parts.headers, json }
}

fn ask(forge: &mut Forge, request: &Request<Bytes>, seconds: i64) -> Read {
    read(forge.handle(request, t(seconds)))
}
