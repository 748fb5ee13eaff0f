//! The REST dialect: who calls, what it costs, which resource, and whether it changed.

mod answer;
mod call;
mod comments;
mod hooks;
mod issues;
mod labels;
mod pulls;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{AUTHORIZATION, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, Method, Request, Response, StatusCode};

use super::actor::Actor;
use super::effects::Via;
use super::forge::{Forge, Token};
use super::json::{Detail, Shapes, object};
use super::limits::{Usage, after};
use super::model::{Repository, Slot, same_name};
use answer::{Answer, Failure, respond};
use call::Call;

type Answered = Result<Answer, Failure>;

impl Forge {
    /// Answers one REST request as GitHub does. Never fails: what cannot be served gets a status and a message.
    pub fn handle(&mut self, request: &Request<Bytes>, now: DateTime<Utc>) -> Response<Bytes> {
        self.requests = self.requests.saturating_add(1);
        let request_id = self.request_id();
        let mut call = Call::new(request, &self.urls.api, self.requests, now);
        let token = match self.token(request.headers()) {
            Ok(token) => token,
            Err(failure) => return respond(failure.into_answer(), None, None, &request_id, now),
        };
        call.login = token.as_ref().map(|token| token.login.clone());
        let account = call.login.clone().unwrap_or_default();
        let limit = if token.is_some() { self.limits.per_hour } else { self.limits.anonymous_per_hour };
        self.usage.entry(account.clone()).or_insert_with(|| Usage::starting(now, limit)).roll(now, limit);

        if call.path == ["rate_limit"] && call.is_read() {
            // Asking what is left is free.
            let answer = Answer::ok(self.rate_limit(&account));
            return respond(answer, None, self.usage.get(&account), &request_id, now);
        }
        let answered = match self.admit(&call, &account) {
            Ok(()) => self.route(&call, token.as_ref()),
            Err(failure) => Err(failure),
        };
        let limited = matches!(answered, Err(Failure::Exhausted { .. } | Failure::Secondary { .. }));
        let mut answer = answered.unwrap_or_else(Failure::into_answer);
        let mut etag = None;
        if call.is_read() && answer.status == StatusCode::OK {
            let tag = answer.etag();
            if is_unchanged(request.headers(), &tag, answer.modified) {
                answer.status = StatusCode::NOT_MODIFIED;
                answer.body.clear();
            }
            etag = Some(tag);
        }
        let free = limited || answer.status == StatusCode::NOT_MODIFIED;
        if let Some(usage) = self.usage.get_mut(&account).filter(|_| !free) {
            usage.used = usage.used.saturating_add(1);
        }
        respond(answer, etag, self.usage.get(&account), &request_id, now)
    }

    /// Uses up what is left of an account's hour: its requests answer 403 or 429 until the window ends.
    pub fn exhaust_quota(&mut self, login: &str, now: DateTime<Utc>) {
        let limit = self.limits.per_hour;
        let usage = self.usage.entry(login.to_owned()).or_insert_with(|| Usage::starting(now, limit));
        usage.roll(now, limit);
        usage.used = usage.limit;
    }

    /// Strikes an account with the secondary limit for so many seconds.
    pub fn limit_secondarily(&mut self, login: &str, now: DateTime<Utc>, seconds: u32) {
        let limit = self.limits.per_hour;
        let usage = self.usage.entry(login.to_owned()).or_insert_with(|| Usage::starting(now, limit));
        usage.paused_until = Some(after(now, i64::from(seconds)));
    }

    /// Strikes whoever sends `request` with the secondary limit.
    pub(super) fn limit_caller(&mut self, request: &Request<Bytes>, now: DateTime<Utc>) {
        let login = self.token(request.headers()).ok().flatten().map(|token| token.login).unwrap_or_default();
        self.limit_secondarily(&login, now, self.limits.retry_after_seconds);
    }

    fn request_id(&self) -> String {
        // Derived, not drawn: whether a request was made does not move the forge's other random choices.
        let bits = super::rng::Rng::stream(self.seed ^ self.requests, "request").next();
        format!(
            "{:04X}:{:05X}:{:06X}:{:08X}",
            bits >> 48,
            self.requests & 0xf_ffff,
            (bits >> 24) & 0xff_ffff,
            bits & 0xffff_ffff
        )
    }

    /// The token of a request: none, a known one, or an error.
    fn token(&self, headers: &HeaderMap) -> Result<Option<Token>, Failure> {
        let Some(header) = headers.get(AUTHORIZATION) else { return Ok(None) };
        let given = header.to_str().unwrap_or_default();
        let secret =
            given.split_once(' ').filter(|(scheme, _)| same_name(scheme, "bearer") || same_name(scheme, "token"));
        let found = secret.and_then(|(_, secret)| self.tokens.iter().find(|token| token.secret == secret.trim()));
        found.cloned().map(Some).ok_or(Failure::BadCredentials)
    }

    /// Primary and secondary limits.
    fn admit(&mut self, call: &Call<'_>, account: &str) -> Result<(), Failure> {
        let Some(usage) = self.usage.get_mut(account) else { return Ok(()) };
        if let Some(until) = usage.paused_until {
            let left = u32::try_from((until - call.now).num_seconds()).unwrap_or(0).max(1);
            return Err(Failure::Secondary { retry_after: left });
        }
        if usage.remaining() == 0 {
            return Err(Failure::Exhausted { status: self.limits.exhausted, login: call.login.clone() });
        }
        let creates = call.method == Method::POST && !call.path.iter().any(|segment| segment == "labels");
        if creates && !usage.create(call.now, &self.limits) {
            return Err(Failure::Secondary { retry_after: self.limits.retry_after_seconds });
        }
        Ok(())
    }

    fn rate_limit(&self, account: &str) -> String {
        let mut body = String::new();
        if let Some(usage) = self.usage.get(account) {
            let bucket = |o: &mut super::json::Object<'_>| {
                o.plain("limit", usage.limit);
                o.plain("used", usage.used);
                o.plain("remaining", usage.remaining());
                o.plain("reset", usage.reset.timestamp());
            };
            object(&mut body, |o| {
                o.object("resources", |o| o.object("core", bucket));
                o.object("rate", bucket);
            });
        }
        body
    }

    /// Finds the repository and hands the call to the resource below it.
    fn route(&mut self, call: &Call<'_>, token: Option<&Token>) -> Answered {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        let (repository, below) = match path.as_slice() {
            ["repos", owner, name, below @ ..] => {
                let full_name = format!("{owner}/{name}");
                let found = self.world.named(&full_name).filter(|found| sees(token, found)).ok_or(Failure::NotFound)?;
                if !same_name(&found.full_name(), &full_name) {
                    let place = below.iter().map(|segment| format!("/{}", super::json::Segment(segment)));
                    let location = format!("{}/repositories/{}{}", call.base, found.id, place.collect::<String>());
                    return Err(Failure::Moved { location: with_query(location, call), read: call.is_read() });
                }
                (found, below)
            }
            ["repositories", id, below @ ..] => {
                let found = id.parse().ok().and_then(|id: u64| self.world.repositories.get(&id));
                (found.filter(|found| sees(token, found)).ok_or(Failure::NotFound)?, below)
            }
            _ => return Err(Failure::NotFound),
        };
        let id = repository.id;
        if !call.is_read() {
            let token = token.ok_or(Failure::RequiresAuthentication)?;
            if !token.writes || !reaches(token, id) {
                return Err(Failure::Forbidden);
            }
        }
        let method = if call.method == Method::HEAD { &Method::GET } else { call.method };
        match (method.as_str(), below) {
            ("GET", []) => Ok(self.show_repository(id)),
            ("GET", ["issues"]) => self.list_issues(call, id),
            ("POST", ["issues"]) => self.create_issue(call, id),
            ("GET", ["issues", "comments"]) => self.list_all_comments(call, id),
            (_, ["issues", "comments", comment]) => {
                let comment = number(comment)?;
                match method.as_str() {
                    "GET" => self.show_comment(id, comment),
                    "PATCH" => self.update_comment(call, id, comment),
                    "DELETE" => self.remove_comment(call, id, comment),
                    _ => Err(Failure::NotFound),
                }
            }
            (_, ["issues", issue, below @ ..]) => {
                let issue = self.present_issue(call, id, issue, below)?;
                match (method.as_str(), below) {
                    ("GET", []) => self.show_issue(id, issue),
                    ("PATCH", []) => self.update_issue(call, id, issue),
                    ("GET", ["comments"]) => self.list_comments(call, id, issue),
                    ("POST", ["comments"]) => self.create_comment(call, id, issue),
                    ("GET", ["labels"]) => self.list_issue_labels(call, id, issue),
                    ("POST", ["labels"]) => self.add_labels(call, id, issue),
                    ("DELETE", ["labels", name]) => self.remove_label(call, id, issue, name),
                    _ => Err(Failure::NotFound),
                }
            }
            ("GET", ["hooks", below @ ..]) => {
                // GitHub hides hooks from whoever may not administer the repository.
                let administers = token.is_some_and(|token| token.writes && reaches(token, id));
                if !administers {
                    return Err(Failure::NotFound);
                }
                match below {
                    [] => self.list_hooks(id),
                    [hook, "deliveries"] => self.list_deliveries(call, id, number(hook)?),
                    [hook, "deliveries", line] => self.show_delivery(id, number(hook)?, number(line)?),
                    _ => Err(Failure::NotFound),
                }
            }
            ("GET", ["labels"]) => self.list_labels(call, id),
            ("GET", ["labels", name]) => self.show_label(id, name),
            ("POST", ["labels"]) => self.create_label(call, id),
            ("GET", ["pulls"]) => self.list_pulls(call, id),
            ("POST", ["pulls"]) => self.create_pull(call, id),
            (_, ["pulls", pull, below @ ..]) => {
                let pull = number(pull)?;
                match (method.as_str(), below) {
                    ("GET", []) => self.show_pull(id, pull),
                    ("PATCH", []) => self.update_pull(call, id, pull),
                    ("PUT", ["merge"]) => self.merge_pull(call, id, pull),
                    _ => Err(Failure::NotFound),
                }
            }
            _ => Err(Failure::NotFound),
        }
    }

    fn show_repository(&self, id: u64) -> Answer {
        let mut body = String::new();
        let Some(repository) = self.world.repositories.get(&id) else { return Failure::NotFound.into_answer() };
        object(&mut body, |o| self.shapes().repository(o, repository, Detail::Full));
        Answer::ok(body).modified(repository.updated_at)
    }

    /// The number, where something stands under it: 404, 410 and 301 are answered here.
    fn present_issue(&self, call: &Call<'_>, repository: u64, text: &str, below: &[&str]) -> Result<u64, Failure> {
        let wanted = number(text)?;
        match self.slot(repository, wanted) {
            Some(Slot::Here(_)) => Ok(wanted),
            Some(Slot::Gone) => Err(Failure::Gone),
            Some(Slot::Moved { repository, number }) => {
                let mut location = format!("{}/repositories/{repository}/issues/{number}", call.base);
                for segment in below {
                    location.push('/');
                    location.push_str(&super::json::Segment(segment).to_string());
                }
                Err(Failure::Moved { location: with_query(location, call), read: call.is_read() })
            }
            None => Err(Failure::NotFound),
        }
    }

    fn shapes(&self) -> Shapes<'_> {
        Shapes { world: &self.world, urls: &self.urls }
    }

    /// The caller as an actor, and the name of the repository to act on.
    fn actor(&mut self, call: &Call<'_>, repository: u64) -> Result<(Actor<'_>, String), Failure> {
        let login = call.login.clone().ok_or(Failure::RequiresAuthentication)?;
        let full_name = self.world.repositories.get(&repository).ok_or(Failure::NotFound)?.full_name();
        Ok((Actor::new(self, &login, call.now, Via::Rest(call.number)), full_name))
    }

    fn rest_repository(&self, id: u64) -> Result<&Repository, Failure> {
        self.world.repositories.get(&id).ok_or(Failure::NotFound)
    }
}

fn sees(token: Option<&Token>, repository: &Repository) -> bool {
    !repository.private || token.is_some_and(|token| reaches(token, repository.id))
}

fn reaches(token: &Token, repository: u64) -> bool {
    token.only.as_ref().is_none_or(|only| only.contains(&repository))
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::NotFound)
}

fn with_query(mut location: String, call: &Call<'_>) -> String {
    if !call.query.is_empty() {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&call.query).finish();
        location.push('?');
        location.push_str(&query);
    }
    location
}

/// RFC 9110: `If-None-Match` wins over `If-Modified-Since`, and compares weakly.
fn is_unchanged(headers: &HeaderMap, etag: &str, modified: Option<DateTime<Utc>>) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    if headers.contains_key(IF_NONE_MATCH) {
        let given = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        return given.flat_map(|tags| tags.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag));
    }
    let since = headers.get(IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    match (since.and_then(|since| DateTime::parse_from_rfc2822(since).ok()), modified) {
        (Some(since), Some(modified)) => modified <= since,
        _ => false,
    }
}
