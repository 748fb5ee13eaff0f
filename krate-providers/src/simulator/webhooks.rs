//! Hooks, and the deliveries that wait to be carried to them.

use std::fmt;
use std::fmt::Write as _;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use sha2::Sha256;

use super::effects::Refusal;
use super::events::{Name, Subject};
use super::forge::Forge;
use super::model::whole_second;
use super::rng::Rng;

/// GitHub keeps deliveries for this long; after it, they cannot be sent again.
const KEPT: TimeDelta = TimeDelta::days(3);

/// Lines of the log are numbered from here: such numbers outgrew 32 bits.
const FIRST_LINE: u64 = 9_100_000_000;

/// Whose events a hook gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Repository,
    /// The hook of an App: every repository, and payloads name the installation.
    App {
        installation: u64,
    },
}

/// A registered webhook.
#[derive(Clone)]
pub(super) struct Hook {
    pub(super) url: String,
    secret: Option<String>,
    pub(super) scope: Scope,
    pub(super) repository: u64,
    events: Option<Vec<String>>,
    pub(super) created_at: DateTime<Utc>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // S47: the secret is never shown.
        f.debug_struct("Hook").field("url", &self.url).field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Hook {
    pub(super) fn events(&self) -> Vec<&str> {
        self.events.as_ref().map_or_else(|| vec!["*"], |events| events.iter().map(String::as_str).collect())
    }
}

/// A webhook delivery: what one POST to the receiver would carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `X-GitHub-Delivery`: a GUID; the same when it is sent again.
    pub id: String,
    /// `X-GitHub-Hook-ID`.
    pub hook: u64,
    /// `X-GitHub-Event`.
    pub event: &'static str,
    /// `action` in the body, where the event has one.
    pub action: Option<&'static str>,
    /// Native id of the repository.
    pub repository: u64,
    /// Number of its line in the forge's log; another one each time that it is sent again.
    pub line: u64,
    /// Whether it is sent again.
    pub is_redelivery: bool,
    /// When it was queued.
    pub at: DateTime<Utc>,
    /// Where it goes.
    pub url: String,
    /// All headers, the signature included.
    pub headers: HeaderMap,
    /// The payload, byte for byte what was signed.
    pub body: Bytes,
}

impl Delivery {
    /// The POST that carries it.
    pub fn to_request(&self) -> Request<Bytes> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = Method::POST;
        // A hook with a URL that is none still has deliveries; they go to the path `/`.
        *request.uri_mut() = self.url.parse().unwrap_or_default();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// The same under another delivery id, as a second hook would send it.
    #[must_use]
    pub fn renamed(mut self, id: String) -> Self {
        set(&mut self.headers, "x-github-delivery", &id);
        self.id = id;
        self
    }

    /// Another body in its place, signed with `secret` as the forge signs; without one it carries no signature.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>, secret: Option<&str>) -> Self {
        self.body = body.into();
        sign(&mut self.headers, secret, &self.body);
        self
    }
}

impl Forge {
    /// Registers a hook for one repository and queues its `ping`. Without a secret, deliveries carry no signature.
    pub fn add_hook(
        &mut self,
        full_name: &str,
        url: &str,
        secret: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<u64, Refusal> {
        let found = self.world.named(full_name).ok_or(Refusal::NotFound { what: "repository" })?;
        let (repository, owner) = (found.id, found.owner.clone());
        let id = self.insert_hook(repository, Scope::Repository, url, secret, now);
        self.announce(repository, &owner, now, &Subject::Ping { hook: id });
        Ok(id)
    }

    /// Registers the hook of an App: it gets the events of every repository, and payloads carry `installation`.
    pub fn add_app_hook(&mut self, url: &str, secret: Option<&str>, now: DateTime<Utc>) -> u64 {
        let installation = self.fresh_id();
        self.insert_hook(0, Scope::App { installation }, url, secret, now)
    }

    /// Narrows a hook to these events; a `ping` comes anyway.
    pub fn set_hook_events(&mut self, hook: u64, events: &[&str]) {
        if let Some(hook) = self.hooks.get_mut(&hook) {
            hook.events = Some(events.iter().map(|&event| event.to_owned()).collect());
        }
    }

    /// Sends a hook's deliveries elsewhere from now on.
    pub fn set_hook_url(&mut self, hook: u64, url: &str) {
        if let Some(hook) = self.hooks.get_mut(&hook) {
            url.clone_into(&mut hook.url);
        }
    }

    /// Changes a hook's secret. Deliveries that are queued already keep the signature that they have.
    pub fn rotate_secret(&mut self, hook: u64, secret: &str) {
        if let Some(hook) = self.hooks.get_mut(&hook) {
            hook.secret = Some(secret.to_owned());
        }
    }

    /// Removes a hook. What is queued for it is still delivered.
    pub fn remove_hook(&mut self, hook: u64) {
        self.hooks.remove(&hook);
    }

    /// Everything queued since the last call, in the order in which it happened.
    pub fn take_deliveries(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.outbox)
    }

    /// Every delivery of the last three days, as the forge's delivery log has them.
    pub fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.sent.iter()
    }

    /// Notes how the receiver answered a delivery. Until then the log calls it pending.
    pub fn note_answer(&mut self, id: &str, status: u16) {
        self.answers.insert(id.to_owned(), status);
    }

    /// Queues a delivery again, with the same id and body; signed with the secret that the hook has now.
    pub fn redeliver(&mut self, id: &str) -> Result<(), Refusal> {
        let missing = Refusal::NotFound { what: "delivery" };
        let mut delivery = self.sent.iter().find(|delivery| delivery.id == id).cloned().ok_or(missing)?;
        if let Some(hook) = self.hooks.get(&delivery.hook) {
            delivery.url.clone_from(&hook.url);
            sign(&mut delivery.headers, hook.secret.as_deref(), &delivery.body);
        }
        delivery.line = self.next_line();
        delivery.is_redelivery = true;
        self.sent.push_back(delivery.clone());
        self.outbox.push(delivery);
        Ok(())
    }

    /// The log's next line. Its numbers are the log's own: they move no other id.
    fn next_line(&mut self) -> u64 {
        self.lines = self.lines.saturating_add(1);
        FIRST_LINE.saturating_add(self.lines)
    }

    fn insert_hook(
        &mut self,
        repository: u64,
        scope: Scope,
        url: &str,
        secret: Option<&str>,
        now: DateTime<Utc>,
    ) -> u64 {
        let id = self.fresh_id();
        let hook = Hook {
            url: url.to_owned(),
            secret: secret.map(str::to_owned),
            scope,
            repository,
            events: None,
            created_at: whole_second(now),
        };
        self.hooks.insert(id, hook);
        id
    }

    pub(super) fn hooks_wanting(&self, repository: u64, event: &str, only: Option<u64>) -> Vec<(u64, Scope)> {
        let wants = |id: u64, hook: &Hook| {
            if let Some(only) = only {
                return id == only;
            }
            let here = hook.scope != Scope::Repository || hook.repository == repository;
            here && hook.events.as_ref().is_none_or(|events| events.iter().any(|wanted| wanted == event))
        };
        self.hooks.iter().filter(|&(&id, hook)| wants(id, hook)).map(|(&id, hook)| (id, hook.scope)).collect()
    }

    pub(super) fn queue(&mut self, id: u64, repository: u64, name: Name, now: DateTime<Utc>, body: String) {
        let guid = guid(&mut self.rng);
        let line = self.next_line();
        let Some(hook) = self.hooks.get(&id) else { return };
        let body = Bytes::from(body);
        let (target, target_kind) = match hook.scope {
            Scope::Repository => (repository, "repository"),
            Scope::App { installation } => (installation, "integration"),
        };
        let mut headers = HeaderMap::new();
        set(&mut headers, "accept", "*/*");
        set(&mut headers, "content-type", "application/json");
        set(&mut headers, "user-agent", "GitHub-Hookshot/0f1e2d3");
        set(&mut headers, "x-github-delivery", &guid);
        set(&mut headers, "x-github-event", name.0);
        set(&mut headers, "x-github-hook-id", &id.to_string());
        set(&mut headers, "x-github-hook-installation-target-id", &target.to_string());
        set(&mut headers, "x-github-hook-installation-target-type", target_kind);
        sign(&mut headers, hook.secret.as_deref(), &body);
        let delivery = Delivery {
            id: guid,
            hook: id,
            event: name.0,
            action: name.1,
            repository,
            line,
            is_redelivery: false,
            at: now,
            url: hook.url.clone(),
            headers,
            body,
        };
        while self.sent.front().is_some_and(|oldest| now - oldest.at > KEPT) {
            let oldest = self.sent.pop_front();
            oldest.map(|oldest| self.answers.remove(&oldest.id));
        }
        self.sent.push_back(delivery.clone());
        self.outbox.push(delivery);
    }
}

/// A version 4 GUID made from the seed.
pub(super) fn guid(rng: &mut Rng) -> String {
    let (high, low) = (rng.next(), rng.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48) & 0x3fff,
        low & 0xffff_ffff_ffff,
    )
}

fn sign(headers: &mut HeaderMap, secret: Option<&str>, body: &[u8]) {
    match secret.map(|secret| Hmac::<Sha256>::new_from_slice(secret.as_bytes())) {
        // An HMAC takes a key of any length, so the error never happens.
        Some(Ok(mut mac)) => {
            mac.update(body);
            let mut signature = "sha256=".to_owned();
            for byte in mac.finalize().into_bytes() {
                let _ = write!(signature, "{byte:02x}");
            }
            set(headers, "x-hub-signature-256", &signature);
        }
        Some(Err(_)) | None => {
            headers.remove("x-hub-signature-256");
        }
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
