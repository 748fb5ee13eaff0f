//! Deliveries as GitHub makes them, and as it never would.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Answer, Server, WEBHOOK_SECRET};

/// The signature of a body.
pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length is a key");
    mac.update(body);
    let bytes = mac.finalize().into_bytes();
    bytes.iter().fold(String::from("sha256="), |text, byte| format!("{text}{byte:02x}"))
}

/// One delivery.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Hook {
    /// A good one.
    pub(crate) fn new(event: &str, id: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let signed = signature(WEBHOOK_SECRET, &body);
        let hook = Self { headers: HeaderMap::new(), body };
        hook.set("content-type", "application/json")
            .set("x-github-event", event)
            .set("x-github-delivery", id)
            .set("x-hub-signature-256", &signed)
    }

    /// An issue of `acme/site` that was opened.
    pub(crate) fn issue(id: &str, number: i64, title: &str) -> Self {
        Self::new("issues", id, issue_opened(number, title).to_string())
    }

    /// With a header, in place of those of that name.
    pub(crate) fn set(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header"));
        self
    }

    /// With a header once more.
    pub(crate) fn again(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header"));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// Posts it to the provider `gh`.
    pub(crate) async fn post(&self, server: &Server) -> Answer {
        server.send(Method::POST, "/webhooks/gh", self.headers.clone(), self.body.clone()).await
    }

    /// The request as it goes over the wire.
    pub(crate) fn head(&self, server: &Server) -> String {
        let mut text = format!("POST /webhooks/gh HTTP/1.1\r\nhost: {}\r\n", server.address());
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {}\r\n", value.to_str().expect("text")));
        }
        text + &format!("content-length: {}\r\n\r\n", self.body.len())
    }
}

/// GitHub's word that an issue was opened.
pub(crate) fn issue_opened(number: i64, title: &str) -> Value {
    let ada = json!({"id": 1, "login": "ada", "type": "User"});
    let at = "2026-05-01T10:00:00Z";
    json!({
        "action": "opened",
        "issue": {
            "id": 9000 + number, "node_id": format!("I_{number}"), "number": number, "title": title, "body": "It crashes.",
            "state": "open", "url": format!("https://api.github.com/repos/acme/site/issues/{number}"),
            "html_url": format!("https://github.com/acme/site/issues/{number}"), "user": ada, "labels": [], "assignees": [],
            "milestone": null, "comments": 0, "locked": false, "created_at": at, "updated_at": at, "closed_at": null,
        },
        "repository": {"id": 5, "node_id": "R_5", "name": "site", "full_name": "acme/site", "private": false,
                       "owner": {"id": 9, "login": "acme", "type": "Organization"}},
        "sender": ada,
    })
}
