//! What happens to a webhook. Spec: external-sync.md section 4, S9 to S14.
//!
//! ```text
//! size -> signature over the raw bytes -> headers -> bounds of the text -> durable record -> 2xx
//! ```
//!
//! Nothing is parsed before the signature is good, and nothing is answered 2xx before the record is durable (S10). What a delivery
//! means is found out afterwards, from the record ([`driver`](crate::driver)).

use std::collections::BTreeMap;

use http::HeaderMap;
use krate_model::kinds::external::{
    DeliveryOutcome, ExternalWebhookDelivery, ExternalWebhookDeliverySpec, SignatureRecord,
};
use krate_model::kinds::sets::{ErrorClass, WebhookSignature};
use krate_model::kinds::shared::{BlobRef, BlobStorage, ErrorInfo, Time};
use krate_model::store::{Expect, Store};
use krate_model::{Digest, NotCanonical, Resource, derived_name};
use krate_providers::contract::{
    BodyError, BodyLimits, DeliveryHead, HeadError, KeptDelivery, SignatureError, Verified, WebhookSecret,
};

use crate::machines::{Policy, delivery};
use crate::mistakes::{Mistake, made};
use crate::moves::{as_controller, take};
use crate::records::{self, Changes, Loaded, RecordError, payload_key};
use crate::scope::Backend;

/// How often a delivery whose record lost a race about something else is recorded anew before its sender is told to send it again.
const MAX_TRIES: u8 = 3;

/// An accepted delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Name of its record.
    pub name: String,
    /// Whether it had been accepted before (S11).
    pub duplicate: bool,
}

/// Why a delivery isn't accepted. Each has its own answer (S13).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The body breaks a bound.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Nobody knows that it came from the provider.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A header isn't as the provider sends it.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The delivery isn't durable: the provider has to send it again.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A name could not be derived.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
    /// A machine refused a transition.
    #[error(transparent)]
    Refused(#[from] crate::machines::Refused),
}

impl AcceptError {
    /// The HTTP status that tells the sender what to do.
    pub fn status(&self) -> http::StatusCode {
        match self {
            Self::Body(BodyError::TooLong { .. }) => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::Head(HeadError::ContentType { .. }) => http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(_) | Self::Head(_) => http::StatusCode::BAD_REQUEST,
            Self::Signature(SignatureError::NoSecret) => http::StatusCode::SERVICE_UNAVAILABLE,
            Self::Signature(_) => http::StatusCode::UNAUTHORIZED,
            Self::Record(_) | Self::NotCanonical(_) | Self::Refused(_) => http::StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Takes a delivery in: after `Ok` it is durable, and will be processed whatever happens.
///
/// # Errors
/// [`AcceptError`]. A delivery whose signature is wrong is recorded all the same, by its digest and without its payload (S9).
pub async fn accept(
    store: &dyn Store,
    backend: &Backend,
    secrets: &[WebhookSecret],
    headers: &HeaderMap,
    body: &[u8],
    now: Time,
) -> Result<Accepted, AcceptError> {
    let max_bytes = max_bytes(backend);
    if body.is_empty() {
        return Err(BodyError::Empty.into());
    }
    if body.len() > max_bytes {
        return Err(BodyError::TooLong { bytes: body.len(), max_bytes }.into());
    }
    let verified = match backend.adapter.verify(headers, body, secrets, now) {
        Ok(verified) => verified,
        Err(_) if made(Mistake::SignatureUnchecked) => {
            Verified { algorithm: WebhookSignature::None, secret_name: String::new() }
        }
        Err(error) => {
            // A provider without secrets can't reject: it can't tell.
            if error != SignatureError::NoSecret {
                reject(store, backend, body, &error, now).await?;
            }
            return Err(error.into());
        }
    };
    let head = backend.adapter.head(headers, body)?;
    BodyLimits::with_max_bytes(max_bytes).check(body)?;

    let signature =
        SignatureRecord { algorithm: verified.algorithm, verified: true, secret_name: Some(verified.secret_name) };
    record(store, backend, head, signature, BTreeMap::new(), body, now).await
}

/// Takes in a delivery that never arrived, as the provider's log kept it under `line`: its API vouches for it in the signature's place. One that arrived
/// meanwhile stays as it is.
pub(crate) async fn recover(
    store: &dyn Store,
    backend: &Backend,
    line: &str,
    kept: KeptDelivery,
    now: Time,
) -> Result<Accepted, AcceptError> {
    BodyLimits::with_max_bytes(max_bytes(backend)).check(&kept.body)?;
    let signature = SignatureRecord { algorithm: WebhookSignature::None, verified: true, secret_name: None };
    let source = BTreeMap::from([("deliveryLog".to_owned(), line.to_owned())]);
    record(store, backend, kept.head, signature, source, &kept.body, now).await
}

/// The name of a delivery's record: the same however it comes.
pub(crate) fn delivery_name(provider: &str, event_type: &str, delivery_id: &str) -> Result<String, NotCanonical> {
    derived_name(&format!("{provider}-{event_type}"), &[provider, delivery_id])
}

/// The longest body that a provider's webhooks may have.
fn max_bytes(backend: &Backend) -> usize {
    let webhook = backend.object.spec.webhook.as_ref();
    let configured = webhook.and_then(|webhook| usize::try_from(webhook.max_body_bytes).ok());
    configured.unwrap_or(BodyLimits::DEFAULT.max_bytes)
}

/// Makes a delivery durable.
async fn record(
    store: &dyn Store,
    backend: &Backend,
    head: DeliveryHead,
    signature: SignatureRecord,
    source: BTreeMap<String, String>,
    body: &[u8],
    now: Time,
) -> Result<Accepted, AcceptError> {
    let provider = backend.object.name();
    let name = delivery_name(provider, &head.event_type, &head.delivery_id)?;
    let spec = ExternalWebhookDeliverySpec {
        organization_ref: backend.object.spec.organization_ref.clone(),
        provider_ref: provider.to_owned(),
        binding_ref: None,
        interface_hints: Vec::new(),
        delivery_id: head.delivery_id,
        derived_id: head.derived_id,
        event_type: head.event_type,
        action: None,
        received_at: now,
        signature,
        source,
        headers: head.headers,
        payload: blob(body, BlobStorage::Object),
        disposition: None,
    };
    let namespace = backend.object.namespace();
    let mut delivery = Loaded::new(ExternalWebhookDelivery::at(namespace, name.as_str(), spec));
    let step =
        as_controller(&Policy::default(), now, |ctx| delivery::step(&delivery.object, delivery::Event::Verified, ctx))?;
    let audit = take(&mut delivery, step);
    let mut tries = MAX_TRIES;
    loop {
        let mut changes = Changes::at(now);
        changes.put(&delivery)?;
        changes.put_private(payload_key(namespace, &name), Expect::Absent, body.to_vec());
        changes.audit_all(audit.iter().cloned());
        let error = match changes.commit(store).await {
            Ok(_) => return Ok(Accepted { name, duplicate: false }),
            Err(error) if !error.is_conflict() => return Err(error.into()),
            Err(error) => error,
        };
        // S11: the same delivery again is the same record; nothing changes.
        if records::get::<ExternalWebhookDelivery>(store, namespace, &name).await?.is_some() {
            return Ok(Accepted { name, duplicate: true });
        }
        // S10: a race about anything else has recorded nothing, so nothing is acknowledged.
        tries = tries.saturating_sub(1);
        if tries == 0 {
            return Err(error.into());
        }
    }
}

/// Records a delivery that nobody vouches for. It is named after its content, never after the id that it claims: a stranger can't take the name of
/// a delivery that is still to come.
async fn reject(
    store: &dyn Store,
    backend: &Backend,
    body: &[u8],
    error: &SignatureError,
    now: Time,
) -> Result<(), AcceptError> {
    let provider = backend.object.name();
    let payload = blob(body, BlobStorage::None);
    let name = derived_name(&format!("{provider}-rejected"), &(provider, "rejected", &payload.digest))?;
    let spec = ExternalWebhookDeliverySpec {
        organization_ref: backend.object.spec.organization_ref.clone(),
        provider_ref: provider.to_owned(),
        binding_ref: None,
        interface_hints: Vec::new(),
        delivery_id: payload.digest.to_string(),
        derived_id: true,
        event_type: "unverified".to_owned(),
        action: None,
        received_at: now,
        signature: SignatureRecord { algorithm: WebhookSignature::HmacSha256, verified: false, secret_name: None },
        source: BTreeMap::new(),
        headers: BTreeMap::new(),
        payload,
        disposition: None,
    };
    let mut delivery = Loaded::new(ExternalWebhookDelivery::at(backend.object.namespace(), name, spec));
    let info = ErrorInfo {
        class: ErrorClass::Authentication,
        message: error.to_string(),
        path: None,
        until: None,
        request_id: None,
        at: now,
    };
    let step = as_controller(&Policy::default(), now, |ctx| {
        delivery::step(&delivery.object, delivery::Event::SignatureFailed { error: info }, ctx)
    })?;
    let audit = take(&mut delivery, step);
    let mut changes = Changes::at(now);
    changes.put(&delivery)?;
    changes.audit_all(audit);
    match changes.commit(store).await {
        // The same bytes were rejected before: once is enough, or anybody could fill the store.
        Err(error) if error.is_conflict() => Ok(()),
        done => done.map(|_| ()).map_err(Into::into),
    }
}

fn blob(body: &[u8], storage: BlobStorage) -> BlobRef {
    BlobRef {
        digest: Digest::of(body),
        bytes: i64::try_from(body.len()).unwrap_or(i64::MAX),
        media_type: "application/json".to_owned(),
        storage,
        inline: None,
    }
}

/// What a processed delivery came to, from what became of its events: the strongest counts.
pub(crate) fn outcome_of(applied: impl IntoIterator<Item = crate::observe::Applied>) -> DeliveryOutcome {
    use crate::observe::Applied;
    let mut outcome = DeliveryOutcome::Ignored;
    for each in applied {
        match each {
            Applied::Changed(_) | Applied::Hydrate => return DeliveryOutcome::Applied,
            Applied::NoChange | Applied::Stale | Applied::NeedsParent => outcome = DeliveryOutcome::NoChange,
            Applied::NoObject => {}
        }
    }
    outcome
}
