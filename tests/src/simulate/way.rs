//! The engine's way to the forge, with everything that can go wrong on it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::TimeDelta;
use futures::FutureExt as _;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use krate_model::kinds::external::ExternalObjectLink;
use krate_model::kinds::shared::ObjectRef;
use krate_model::kinds::work::Issue;
use krate_model::store::Query;
use krate_model::{Digest, Kind, Resource as _};
use krate_providers::contract::SendOutcome;
use krate_providers::simulator::{Network, Reply, Rng};
use krate_sync::driver::{Driver, Http, SendError};
use krate_sync::local::Local;
use krate_sync::records::list;
use serde_json::Value;

use super::fault::Fault;
use super::journal::Journal;
use super::people;
use super::strikes::Strikes;
use crate::mortal::MortalStore;
use crate::world::{ManualClock, NAMESPACE, Wire, bound_repository, lock};

/// How long a slow answer takes, and how long one that is waited for in vain.
const SLOW: TimeDelta = TimeDelta::minutes(3);
/// How long a process stands still: longer than any lease.
const STALL: TimeDelta = TimeDelta::minutes(20);
/// How it stands still while it reads: what it reads for is done by another one meanwhile, to the end.
const STALL_PARTS: (usize, TimeDelta) = (4, TimeDelta::minutes(5));
/// How a process is slow that holds its lease all the same, two minutes long: so many times so long, between which another one looks.
const SLOW_PARTS: (usize, TimeDelta) = (6, TimeDelta::seconds(15));
/// The longest that reads lag behind, in seconds: within what verification waits for (docs/limits.md).
const LAG_SECONDS: u64 = 4;

/// The way, shared by everything that a history touches.
pub struct Way {
    pub(crate) plain: Wire,
    pub(crate) strikes: Arc<Mutex<Strikes>>,
    pub(crate) journal: Arc<Mutex<Journal>>,
    pub(crate) store: Arc<MortalStore>,
    /// Another process on the same store, whose own way is without faults.
    pub(crate) peer: OnceLock<Driver>,
}

impl Way {
    fn take(&self, fault: Fault) -> bool {
        let struck = lock(&self.strikes).take(fault);
        if struck {
            lock(&self.journal).tell(self.clock().truth(), || format!("    fault: {}", fault.what()));
        }
        struck
    }

    fn is_armed(&self, fault: Fault) -> bool {
        lock(&self.strikes).is_armed(fault)
    }

    fn draw(&self, bound: u64) -> u64 {
        lock(&self.strikes).draw(bound)
    }

    fn clock(&self) -> &ManualClock {
        &self.plain.clock
    }

    fn network(&self) -> std::sync::MutexGuard<'_, Network> {
        lock(&self.plain.network)
    }

    /// Another process takes in what has arrived.
    pub(crate) async fn peer_takes_webhooks(&self) {
        let Some(peer) = self.peer.get() else { return };
        let arrived = self.network().arrivals(self.clock().truth());
        for delivery in arrived {
            let request = delivery.to_request();
            let Ok(config) = peer.config().await else {
                lock(&self.journal).lost = true;
                return;
            };
            let taken = peer.accept(&config, "gh", request.headers(), request.body()).await;
            lock(&self.journal).lost |= !matches!(taken, Ok(Ok(_)));
        }
    }

    /// Another process works, with what has arrived.
    async fn peer_works(&self, takes_webhooks: bool) {
        if takes_webhooks {
            self.peer_takes_webhooks().await;
        }
        if let Some(peer) = self.peer.get() {
            let _ = peer.run_due().await;
        }
    }

    /// So many times so long passes, and another process works after each.
    async fn peer_works_in_parts(&self, (parts, part): (usize, TimeDelta)) {
        for _ in 0..parts {
            self.clock().advance(part);
            self.peer_works(true).await;
        }
    }

    /// What strikes before the request is carried out; the answer where it isn't.
    fn before(&self, request: &Request<Bytes>) -> Option<Result<Response<Bytes>, SendError>> {
        let is_write = is_write(request);
        let lost = |outcome, message: &str| Some(Err(SendError { outcome, message: message.to_owned() }));
        if is_write {
            if self.take(Fault::WriteRefusedConnection) {
                return lost(SendOutcome::NotSent, "the connection was refused");
            }
            if self.take(Fault::WriteRequestLost) {
                return lost(SendOutcome::Unknown, "the connection broke");
            }
            for (fault, status) in [
                (Fault::WriteFailsBefore, StatusCode::BAD_GATEWAY),
                (Fault::WritePreconditionFailed, StatusCode::PRECONDITION_FAILED),
                (Fault::WriteForbidden, StatusCode::FORBIDDEN),
                (Fault::WriteForbiddenAsMissing, StatusCode::NOT_FOUND),
            ] {
                if self.take(fault) {
                    return Some(Ok(refusal(status)));
                }
            }
            if self.take(Fault::WriteRetryAfter) {
                let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE);
                response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("30"));
                return Some(Ok(response));
            }
        } else {
            if self.take(Fault::ReadLost) {
                return lost(SendOutcome::Unknown, "the connection broke");
            }
            for (fault, status) in [
                (Fault::ReadFails, StatusCode::BAD_GATEWAY),
                (Fault::ReadForbidden, StatusCode::FORBIDDEN),
                (Fault::ReadForbiddenAsMissing, StatusCode::NOT_FOUND),
                (Fault::ReadUnauthorized, StatusCode::UNAUTHORIZED),
            ] {
                if self.take(fault) {
                    return Some(Ok(refusal(status)));
                }
            }
            if is_next_page(request) && self.take(Fault::CursorExpired) {
                return Some(Ok(refusal(StatusCode::UNPROCESSABLE_ENTITY)));
            }
        }
        if self.take(Fault::PrimaryLimit) {
            let now = self.clock().truth();
            self.network().forge.exhaust_quota("krate-bot", now);
        }
        if self.take(Fault::SecondaryLimit) {
            let now = self.clock().truth();
            self.network().forge.limit_secondarily("krate-bot", now, 60);
        }
        None
    }

    /// Sends the request to the forge, and changes what comes back.
    fn carried(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, SendError> {
        let unknown = |message: &str| Err(SendError { outcome: SendOutcome::Unknown, message: message.to_owned() });
        let now = self.clock().truth();
        if self.is_armed(Fault::ReplicaBehind) && !self.network().is_behind(now) {
            self.take(Fault::ReplicaBehind);
            self.lag(self.draw(LAG_SECONDS).saturating_add(1));
        }
        if is_write(request) {
            if is_edit(request) && self.take(Fault::EditBeforeWrite) {
                self.edited_by_somebody(request);
            }
            if let Some(part) = one_field_of(request)
                && self.take(Fault::WritePartly)
            {
                self.plain.carry(&part);
                return Ok(refusal(StatusCode::BAD_GATEWAY));
            }
        }
        if is_write(request) && self.take(Fault::WriteUnseen) {
            if !self.network().is_behind(now) {
                self.lag(LAG_SECONDS);
            }
            self.plain.carry(request);
            return unknown("the connection broke");
        }
        let Reply::Response(mut response) = self.plain.carry(request) else { return unknown("the connection broke") };
        match response.status() {
            StatusCode::UNAUTHORIZED => drop(self.take(Fault::TokenRevoked)),
            StatusCode::FORBIDDEN if is_write(request) => drop(self.take(Fault::TokenReadOnly)),
            _ => {}
        }
        if !response.status().is_success() {
            return Ok(response);
        }
        if is_write(request) {
            if self.take(Fault::WriteFailsAfter) {
                return Ok(refusal(StatusCode::BAD_GATEWAY));
            }
            if self.take(Fault::WriteAnswerLost) {
                return unknown("the connection broke");
            }
            if self.take(Fault::WriteTimesOut) {
                self.clock().advance(SLOW);
                return unknown("timed out");
            }
            if response.body().len() > 2 && self.take(Fault::WriteAnswerTruncated) {
                cut(&mut response);
            }
            return Ok(response);
        }
        if self.take(Fault::ReadSlow) {
            self.clock().advance(SLOW);
        }
        if self.take(Fault::ReadNotJson) {
            *response.body_mut() = Bytes::from_static(b"<html><body>Unicorn!</body></html>");
            return Ok(response);
        }
        if self.take(Fault::ReadTruncated) {
            cut(&mut response);
            return Ok(response);
        }
        self.change_page(request, &mut response);
        Ok(response)
    }

    /// Reads show for so many seconds what is there now.
    fn lag(&self, seconds: u64) {
        let until = self.clock().truth() + TimeDelta::seconds(i64::try_from(seconds).unwrap_or(1));
        self.network().freeze_reads(until);
        // The forge's times are whole seconds: what comes after it is told apart (docs/limits.md).
        self.clock().advance(TimeDelta::seconds(1));
    }

    /// What can be wrong with a page of a list, and what happens before the next one is read.
    fn change_page(&self, request: &Request<Bytes>, response: &mut Response<Bytes>) {
        let Ok(Value::Array(mut rows)) = serde_json::from_slice(response.body()) else { return };
        let has_next = next_link(response).is_some();
        let count = rows.len();
        if !rows.is_empty() {
            // A list that lacks what krate has just made makes it anew, unless something has shown it already (docs/limits.md).
            let old: Vec<usize> =
                rows.iter().enumerate().filter(|(_, row)| !is_marked(row)).map(|(at, _)| at).collect();
            let place = |bound: usize| usize::try_from(self.draw(bound as u64)).unwrap_or(0);
            let known = if self.is_armed(Fault::RowMissing) { self.linked(&rows) } else { Vec::new() };
            let may_lack = [&old[..], &known[..]].concat();
            if !may_lack.is_empty() && self.take(Fault::RowMissing) {
                let at = may_lack.get(place(may_lack.len())).copied().unwrap_or(0);
                rows.remove(at);
            } else if self.take(Fault::RowTwice) {
                let row = rows.get(place(rows.len())).cloned();
                rows.extend(row);
            } else if old.len() == rows.len() && self.take(Fault::PageEmpty) {
                rows.clear();
            }
            if rows.len() != count {
                let body = serde_json::to_vec(&rows).unwrap_or_default();
                // A forge makes the tag from what it sends.
                if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", Digest::of(&body).to_hex())) {
                    response.headers_mut().insert(http::header::ETAG, tag);
                }
                *response.body_mut() = body.into();
            }
        }
        if has_next {
            let marked = rows.iter().any(is_marked);
            if !marked && self.take(Fault::PageCutShort) {
                response.headers_mut().remove(http::header::LINK);
            } else if self.is_armed(Fault::PageTwice) && leads_back(request, response) {
                self.take(Fault::PageTwice);
            }
            let now = self.clock().truth();
            let mut rng = Rng::seeded(self.draw(u64::MAX));
            let mut network = self.network();
            let repository = bound_repository(&network.forge);
            if self.take(Fault::InsertWhilePaging) {
                people::open(&mut network.forge, &repository, &mut lock(&self.journal), now);
            }
            for (fault, act) in [
                (Fault::EditWhilePaging, people::retitle as fn(&mut _, &str, &mut Journal, u64, _)),
                (Fault::DeleteWhilePaging, people::delete),
            ] {
                if let Some(number) = people::any_issue(&network.forge, &repository, &mut rng)
                    && self.take(fault)
                {
                    act(&mut network.forge, &repository, &mut lock(&self.journal), number, now);
                }
            }
        }
    }

    /// The places of rows with krate's marker whose objects the store knows.
    fn linked(&self, rows: &[Value]) -> Vec<usize> {
        let links = list::<ExternalObjectLink>(&self.store.inner, Query::new(Kind::ExternalObjectLink)).now_or_never();
        let links = links.and_then(Result::ok).unwrap_or_default();
        let known: BTreeSet<&str> = links.iter().map(|link| link.object.spec.external.native_id.as_str()).collect();
        let is_known =
            |row: &Value| is_marked(row) && row["id"].as_u64().is_some_and(|id| known.contains(&*id.to_string()));
        rows.iter().enumerate().filter(|(_, row)| is_known(row)).map(|(at, _)| at).collect()
    }

    /// Somebody here gives the issue another title whose title a request is about to write. Whether they did.
    async fn edited_meanwhile(&self, request: &Request<Bytes>) -> bool {
        if !self.is_armed(Fault::EditWhileSending) || !is_edit(request) {
            return false;
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let Some(number) = issue_of(request).filter(|_| body.get("title").is_some()) else { return false };
        let found = list::<Issue>(&self.store.inner, Query::new(Kind::Issue)).await.unwrap_or_default();
        let number_of = |issue: &Issue| issue.status.as_ref()?.external.as_ref()?.native_number;
        let of_number = |issue: &Issue| number_of(issue).and_then(|number| u64::try_from(number).ok()) == Some(number);
        let issue = found.into_iter().map(|loaded| loaded.object).find(of_number);
        let (Some(peer), Some(issue)) = (self.peer.get(), issue) else { return false };
        self.take(Fault::EditWhileSending);
        let text = format!("here {}", lock(&self.journal).fresh());
        let about = ObjectRef::new(Kind::Issue.as_str(), issue.name());
        let change = |local: &mut Local| {
            if let Local::Issue(issue) = local {
                issue.spec.title.clone_from(&text);
            }
        };
        if peer.edit(NAMESPACE, &about, &people::alice(), &change).await.is_ok() {
            let mut journal = lock(&self.journal);
            let told = format!("alice edits issue/{number} title here: {text:?}");
            journal.tell(self.clock().truth(), || told);
            journal.wrote(true, format!("issue/{number} title"), text);
        }
        true
    }

    /// Somebody edits the issue that a request is about to change.
    fn edited_by_somebody(&self, request: &Request<Bytes>) {
        let Some(number) = issue_of(request) else { return };
        // The forge's times are whole seconds: who edits later than that is told apart (docs/limits.md).
        self.clock().advance(TimeDelta::seconds(1));
        let now = self.clock().truth();
        let mut network = self.network();
        let repository = bound_repository(&network.forge);
        people::retitle(&mut network.forge, &repository, &mut lock(&self.journal), number, now);
    }
}

#[async_trait]
impl Http for Way {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, SendError> {
        if self.take(Fault::TwoLeaders) {
            self.peer_works(false).await;
        }
        let is_write = is_write(&request);
        if is_write && self.take(Fault::SlowBeforeSend) {
            self.peer_works_in_parts(SLOW_PARTS).await;
        }
        if is_write && self.take(Fault::StalledBeforeSend) {
            self.peer_works_in_parts((1, STALL)).await;
        }
        if self.edited_meanwhile(&request).await {
            self.peer_works_in_parts((1, SLOW_PARTS.1)).await;
        }
        let answer = match self.before(&request) {
            Some(answer) => answer,
            None => self.carried(&request),
        };
        {
            let now = self.clock().truth();
            let mut journal = lock(&self.journal);
            journal.tell(now, || told(&request, &answer));
            if answer.as_ref().is_ok_and(is_limit) {
                journal.limited(now);
            }
        }
        if !is_write && self.take(Fault::StalledInRead) {
            self.peer_works_in_parts(STALL_PARTS).await;
        }
        if is_write {
            if self.take(Fault::EchoBeforeAnswer) {
                self.peer_works(true).await;
            }
            if self.take(Fault::StalledAfterSend) {
                self.peer_works_in_parts((1, STALL)).await;
            }
        }
        answer
    }
}

/// A call, in a line of a timeline.
fn told(request: &Request<Bytes>, answer: &Result<Response<Bytes>, SendError>) -> String {
    let body = if request.body().is_empty() {
        String::new()
    } else {
        format!(" {}", String::from_utf8_lossy(request.body()).replace("\\n\\n<!-- krate:", " <!-- "))
    };
    let answer = match answer {
        Ok(response) => response.status().as_u16().to_string(),
        Err(error) => error.message.clone(),
    };
    let place = request.uri().path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    format!("  krate: {} {place}{body} -> {answer}", request.method())
}

/// Whether a row is of something that krate made.
fn is_marked(row: &Value) -> bool {
    row.to_string().contains("<!-- krate:")
}

/// Whether the forge refuses for a limit.
fn is_limit(response: &Response<Bytes>) -> bool {
    let spent = response.headers().get("x-ratelimit-remaining").is_some_and(|left| left == "0");
    let waits = response.headers().contains_key(http::header::RETRY_AFTER);
    matches!(response.status(), StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS) && (spent || waits)
}

fn is_write(request: &Request<Bytes>) -> bool {
    !matches!(*request.method(), Method::GET | Method::HEAD)
}

/// Whether the request changes an issue that is there.
fn is_edit(request: &Request<Bytes>) -> bool {
    *request.method() == Method::PATCH && issue_of(request).is_some()
}

/// Points the cursor of a page back to the page itself. Whether it could.
fn leads_back(request: &Request<Bytes>, response: &mut Response<Bytes>) -> bool {
    let link = format!("<{}>; rel=\"next\"", request.uri());
    let Ok(link) = HeaderValue::from_str(&link) else { return false };
    response.headers_mut().insert(http::header::LINK, link);
    true
}

/// The number of the issue that a request names.
fn issue_of(request: &Request<Bytes>) -> Option<u64> {
    let mut segments = request.uri().path().split('/').skip_while(|segment| *segment != "issues").skip(1);
    segments.next()?.parse().ok()
}

/// Whether the request goes on behind a page: by its count, or from its last row.
fn is_next_page(request: &Request<Bytes>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|pair| pair.starts_with("page=") || pair.starts_with("since="))
}

fn next_link(response: &Response<Bytes>) -> Option<&str> {
    let link = response.headers().get(http::header::LINK)?.to_str().ok()?;
    link.contains("rel=\"next\"").then_some(link)
}

/// The same write with one of its fields, where it has several.
fn one_field_of(request: &Request<Bytes>) -> Option<Request<Bytes>> {
    if *request.method() != Method::PATCH {
        return None;
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(request.body()) else { return None };
    if fields.len() < 2 {
        return None;
    }
    let first: serde_json::Map<String, Value> = fields.into_iter().take(1).collect();
    let mut part = Request::new(Bytes::from(serde_json::to_vec(&first).ok()?));
    *part.method_mut() = request.method().clone();
    *part.uri_mut() = request.uri().clone();
    *part.headers_mut() = request.headers().clone();
    Some(part)
}

fn cut(response: &mut Response<Bytes>) {
    let half = response.body().len() / 2;
    let body = response.body().slice(..half);
    *response.body_mut() = body;
}

fn refusal(status: StatusCode) -> Response<Bytes> {
    let body = serde_json::json!({"message": status.canonical_reason().unwrap_or_default(), "status": status.as_str()});
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(HeaderName::from_static("content-type"), json);
    response
}
