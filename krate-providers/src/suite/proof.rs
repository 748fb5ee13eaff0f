//! The API half of the suite: every declared operation against a forge that answers it.

use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::TimeDelta;
use http::{Request, Response};
use krate_model::Digest;
use krate_model::kinds::external::{ManifestOperation, Paging, Payload};
use krate_model::kinds::sets::{ErrorClass, Idempotency, Operation};
use krate_model::kinds::shared::{NativeTarget, Time, Version};
use krate_model::observation::{CanonicalEvent, Normalized};
use url::Url;

use crate::contract::{
    Call, Credential, Cursor, DeliveryHead, Endpoint, Hook, KeptDelivery, Normalization, Outcome, Provider,
    ProviderError, WebhookSecret, marker,
};

/// Something that answers a provider's requests as the provider does: a simulator, or a recorder.
pub trait Backend {
    /// Where its API is.
    fn api_base(&self) -> Url;

    /// A credential that may do everything.
    fn credential(&self) -> Credential;

    /// The secret that its webhooks are signed with.
    fn secret(&self) -> WebhookSecret;

    /// The answer to `request`.
    fn answer(&mut self, request: &Request<Bytes>, now: Time) -> Response<Bytes>;

    /// How many changes were carried out so far, however they came in. What asked for that which already was is none.
    fn effects(&self) -> usize;

    /// The webhooks that were sent since the last time.
    fn deliveries(&mut self) -> Vec<Request<Bytes>>;

    /// Makes new objects of which `operation` finds one; for a list, at least three that it lists. None where it has no case.
    fn subject(&mut self, operation: &Operation, now: Time) -> Option<Subject>;
}

/// What an operation is done to in a case, and what it writes.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The object; for a list or a create, only the container.
    pub target: NativeTarget,
    /// What to write, for a write.
    pub payload: Option<Payload>,
}

/// Everything about `provider` that breaks the contract, by its manifest and by what `backend` answers (S49); empty when it
/// keeps it.
///
/// Beyond [`check`](super::check): each operation has a case that succeeds with an outcome of its sort; lists page to their end and
/// meet every object once; conditional reads are answered as unchanged (S25); a write has one effect, sends a webhook that confirms
/// it, and its mode of idempotency holds: after an outcome that nobody knows, looking finds it, and a repeat changes nothing (S34).
pub fn prove(provider: &dyn Provider, backend: &mut dyn Backend, now: Time) -> Vec<String> {
    let mut broken = super::check(provider);
    let mut bench = Bench { provider, backend, now };
    let interfaces = provider.manifest().interfaces.iter().filter(|interface| interface.supported);
    for declared in interfaces.flat_map(|interface| &interface.operations) {
        let operation = &declared.operation;
        let Some(subject) = bench.subject(operation) else {
            broken.push(format!("{operation}: declared, and has no case"));
            continue;
        };
        let proven = if declared.write { bench.write(declared, &subject) } else { bench.read(declared, &subject) };
        if let Err(what) = proven {
            broken.push(format!("{operation}: {what}"));
        }
    }
    broken
}

/// What an operation came to, without what it borrows.
enum Came {
    Object(Box<CanonicalEvent<'static>>),
    Page(Vec<CanonicalEvent<'static>>, Option<Cursor>, Option<String>),
    /// Ids of a log's lines.
    Lines(Vec<String>, Option<Cursor>, Option<String>),
    Hooks(Vec<Hook>),
    Delivery(Box<KeptDelivery>),
    NotModified,
    Other,
}

type Proven = Result<(), String>;

struct Bench<'b> {
    provider: &'b dyn Provider,
    backend: &'b mut dyn Backend,
    now: Time,
}

impl Bench<'_> {
    /// Time passes between any two steps, so that versions in whole seconds differ.
    fn tick(&mut self) -> Time {
        self.now = self.now.checked_add_signed(TimeDelta::seconds(2)).unwrap_or(self.now);
        self.now
    }

    fn subject(&mut self, operation: &Operation) -> Option<Subject> {
        let now = self.tick();
        self.backend.subject(operation, now)
    }

    fn call(&mut self, call: &Call<'_>) -> Result<Came, ProviderError> {
        let (base, credential, now) = (self.backend.api_base(), self.backend.credential(), self.tick());
        let endpoint = Endpoint { api_base: &base, credential: Some(&credential) };
        let request = self
            .provider
            .encode(&endpoint, call)
            .map_err(|error| ProviderError::new(ErrorClass::Unsupported, error.to_string()))?;
        let response = self.backend.answer(&request, now);
        match self.provider.decode(call, &response, now).result? {
            Outcome::Object(event) => Ok(Came::Object(Box::new(event.into_owned()))),
            Outcome::Page { objects, next, etag, .. } => {
                let objects = objects.into_iter().map(CanonicalEvent::into_owned).collect();
                Ok(Came::Page(objects, next, etag.map(std::borrow::Cow::into_owned)))
            }
            Outcome::Deliveries { lines, next, etag } => {
                let lines = lines.into_iter().map(|line| line.native_id).collect();
                Ok(Came::Lines(lines, next, etag.map(std::borrow::Cow::into_owned)))
            }
            Outcome::Hooks(hooks) => Ok(Came::Hooks(hooks)),
            Outcome::Delivery(kept) => Ok(Came::Delivery(kept)),
            Outcome::NotModified => Ok(Came::NotModified),
            _ => Ok(Came::Other),
        }
    }

    fn read(&mut self, declared: &ManifestOperation, subject: &Subject) -> Proven {
        let effects = self.backend.effects();
        let call = Call::new(declared.operation.clone(), &subject.target);
        let etag = match self.call(&call).map_err(|error| error.to_string())? {
            Came::Object(event) => event.observed_version.etag,
            Came::Page(objects, _, etag) => {
                self.pages(declared, &call, objects.len())?;
                etag
            }
            Came::Lines(lines, _, etag) => {
                self.pages(declared, &call, lines.len())?;
                etag
            }
            Came::Hooks(hooks) if hooks.iter().any(|hook| hook.is_active && hook.url.is_some()) => None,
            Came::Delivery(kept) => {
                self.provider
                    .normalize(&kept.head.event_type, &kept.body)
                    .map_err(|error| format!("what the log kept can't be read: {error}"))?;
                None
            }
            _ => return Err("the answer to a read is no object, no page and no hook".to_owned()),
        };
        if declared.conditional {
            let known = Version { etag, ..Version::default() };
            let again = Call { known: Some(&known), ..call };
            if !matches!(self.call(&again), Ok(Came::NotModified)) {
                return Err("the manifest says conditional, and what is known is sent again (S25)".to_owned());
            }
        }
        if self.backend.effects() == effects { Ok(()) } else { Err("a read has an effect".to_owned()) }
    }

    /// Two objects a page: every object is met, and there is an end. A list that goes on by time shows those of its last second again.
    fn pages(&mut self, declared: &ManifestOperation, call: &Call<'_>, whole: usize) -> Proven {
        if whole < 3 {
            return Err(format!("its case lists {whole} objects; at least three are needed"));
        }
        if declared.paging == Paging::NoPages {
            return Ok(());
        }
        let (mut cursor, mut met) = (None, BTreeSet::new());
        for _ in 0..whole {
            let page = Call { page_size: Some(2), cursor: cursor.as_ref(), ..call.clone() };
            let (names, next): (Vec<(String, String)>, _) = match self.call(&page).map_err(|error| error.to_string())? {
                Came::Page(objects, next, _) => {
                    (objects.iter().map(|event| (event.native_kind.to_string(), name(event))).collect(), next)
                }
                Came::Lines(lines, next, _) => (lines.into_iter().map(|id| (String::new(), id)).collect(), next),
                _ => return Err("a page of a list is no page".to_owned()),
            };
            if names.len() > 2 {
                return Err(format!("a page of two has {} objects", names.len()));
            }
            met.extend(names);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        let whole_met = cursor.is_none() && met.len() == whole;
        if whole_met { Ok(()) } else { Err(format!("by pages {} of {whole} objects are met", met.len())) }
    }

    fn write(&mut self, declared: &ManifestOperation, subject: &Subject) -> Proven {
        let digest = Digest::of(declared.operation.as_str().as_bytes());
        let creates = subject.target.native_id.is_none() && subject.target.native_number.is_none()
            || declared.operation == Operation::CreateComment;
        let call = Call {
            payload: subject.payload.as_ref(),
            marker: creates.then_some(&digest),
            ..Call::new(declared.operation.clone(), &subject.target)
        };
        self.backend.deliveries();
        let before = self.backend.effects();
        self.call(&call).map_err(|error| error.to_string())?;
        let after = self.backend.effects();
        if after == before {
            return Err("it succeeds and has no effect".to_owned());
        }
        self.confirmed(declared)?;
        match declared.idempotency {
            Idempotency::VerifyByRead if creates => self.found_once(&call, &digest),
            // Looking tells what it is now; a repeat that was sent all the same changes nothing.
            Idempotency::VerifyByRead | Idempotency::Native => {
                let _ = self.call(&call);
                self.unchanged(after)
            }
            Idempotency::Precondition => match self.call(&call) {
                Err(error) if error.class == ErrorClass::Precondition => self.unchanged(after),
                other => Err(format!("a repeat is not refused by its precondition: {}", other.is_ok())),
            },
            _ => Ok(()),
        }
    }

    fn unchanged(&self, effects: usize) -> Proven {
        let repeated = self.backend.effects() - effects;
        if repeated == 0 { Ok(()) } else { Err(format!("a repeat has {repeated} effects (S34)")) }
    }

    /// At least one webhook of a declared event came, and it is believed.
    fn confirmed(&mut self, declared: &ManifestOperation) -> Proven {
        let (secret, now) = (self.backend.secret(), self.now);
        let mut confirmed = declared.confirmed_by.is_empty();
        for delivery in self.backend.deliveries() {
            let (headers, body) = (delivery.headers(), delivery.body());
            self.provider
                .verify(headers, body, std::slice::from_ref(&secret), now)
                .map_err(|error| format!("its webhook is not believed: {error}"))?;
            let DeliveryHead { event_type, .. } =
                self.provider.head(headers, body).map_err(|error| format!("its webhook has no head: {error}"))?;
            let normalized =
                self.provider.normalize(&event_type, body).map_err(|error| format!("its webhook: {error}"))?;
            confirmed |= declared.confirmed_by.contains(&event_type)
                && matches!(normalized, Normalization::Events(events) if !events.is_empty());
        }
        if confirmed { Ok(()) } else { Err(format!("no webhook of {:?} came", declared.confirmed_by)) }
    }

    /// S34: after a create whose answer was lost, the list shows it by its hidden key: once.
    fn found_once(&mut self, call: &Call<'_>, digest: &Digest) -> Proven {
        let Some(list) = list_of(&call.operation) else { return Err("no list shows what it makes".to_owned()) };
        let mut cursor = None;
        let mut found = 0;
        loop {
            let page = Call { cursor: cursor.as_ref(), ..Call::new(list.clone(), call.target) };
            let Came::Page(objects, next, _) = self.call(&page).map_err(|error| error.to_string())? else {
                return Err("the list that shows what it makes is none".to_owned());
            };
            let key = marker::key(digest);
            found += objects.iter().filter(|event| hidden_key(event) == Some(key.as_str())).count();
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        if found == 1 { Ok(()) } else { Err(format!("looking finds it {found} times by its key (S34)")) }
    }
}

/// What names an object; an issue that is a pull request has no id in the list of issues (S8).
fn name(event: &CanonicalEvent<'_>) -> String {
    match &event.normalized {
        Normalized::PullRequest(pull) if event.native_id.is_empty() => format!("#{}", pull.number.unwrap_or_default()),
        _ => event.native_id.clone().into_owned(),
    }
}

/// The list in which the object of a create stands.
fn list_of(operation: &Operation) -> Option<Operation> {
    Some(match operation {
        Operation::CreateIssue => Operation::ListIssues,
        Operation::CreateComment => Operation::ListComments,
        Operation::CreatePullRequest => Operation::ListPullRequests,
        _ => return None,
    })
}

fn hidden_key<'e>(event: &'e CanonicalEvent<'_>) -> Option<&'e str> {
    match &event.normalized {
        Normalized::Issue(object) => object.marker.as_deref(),
        Normalized::PullRequest(object) => object.marker.as_deref(),
        Normalized::Comment(object) => object.marker.as_deref(),
        Normalized::Review(object) => object.marker.as_deref(),
        _ => None,
    }
}
