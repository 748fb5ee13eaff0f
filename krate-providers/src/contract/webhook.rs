//! Values of the webhook side of the contract.

use std::collections::BTreeMap;
use std::fmt;

use krate_model::Digest;
use krate_model::kinds::sets::WebhookSignature;
use krate_model::observation::CanonicalEvent;
use secrecy::SecretSlice;

/// One secret that a provider may sign with; several may be valid at once (S14).
#[derive(Clone)]
pub struct WebhookSecret {
    /// Name by which the delivery records which secret verified.
    pub name: String,
    /// The secret itself.
    pub secret: SecretSlice<u8>,
}

impl WebhookSecret {
    /// A secret by name.
    pub fn new(name: impl Into<String>, secret: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), secret: SecretSlice::from(secret.into()) }
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSecret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Proof that a delivery came from its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How it was proved.
    pub algorithm: WebhookSignature,
    /// Name of the secret that proved it (S14).
    pub secret_name: String,
}

/// Why a delivery is not believed. No variant holds a secret or a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The header that carries the signature is missing.
    #[error("header {header} is missing")]
    Missing {
        /// The header.
        header: &'static str,
    },
    /// The header is there more than once, so nobody can say which one counts.
    #[error("header {header} stands more than once; exactly one is accepted")]
    Repeated {
        /// The header.
        header: &'static str,
    },
    /// The header doesn't have the form of a signature.
    #[error("header {header} is not of the form {accepted}")]
    Malformed {
        /// The header.
        header: &'static str,
        /// The accepted form.
        accepted: &'static str,
    },
    /// No valid secret makes this signature.
    #[error("the signature in {header} fits none of the provider's secrets")]
    Mismatch {
        /// The header.
        header: &'static str,
    },
    /// The signed time is too far from now.
    #[error("the signed time in {header} is more than {tolerance_seconds} s away from now")]
    Stale {
        /// The header.
        header: &'static str,
        /// What is accepted, in seconds.
        tolerance_seconds: u64,
    },
    /// There is nothing to check against: a configuration error, never "no check".
    #[error("the provider has no webhook secret that isn't empty (spec.webhook.secretRefs)")]
    NoSecret,
}

/// A delivery's identity, read from its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryHead {
    /// The provider's delivery id, or one derived from the body (S11).
    pub delivery_id: String,
    /// Whether the id was derived.
    pub derived_id: bool,
    /// The provider's event type, such as `pull_request`.
    pub event_type: String,
    /// Headers worth keeping, from the provider's allow-list: never authorization, cookie or signature.
    pub headers: BTreeMap<String, String>,
}

/// The delivery id of a provider that sends none: from the event type and the raw body, so that the same delivery again has the
/// same id, and no other has it (S11).
///
/// ```
/// use krate_providers::contract::derived_delivery_id;
/// assert_eq!(derived_delivery_id("push", b"{}"), derived_delivery_id("push", b"{}"));
/// assert_ne!(derived_delivery_id("push", b"{}"), derived_delivery_id("tag", b"{}"));
/// ```
pub fn derived_delivery_id(event_type: &str, body: &[u8]) -> String {
    // The digest of the body has a fixed length, so that nothing of one can be taken for the other.
    Digest::of(format!("{}{event_type}", Digest::of(body).to_hex()).as_bytes()).to_hex()
}

/// A header that is refused (S13).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// It is missing.
    #[error("header {header} is missing")]
    Missing {
        /// The header.
        header: &'static str,
    },
    /// It stands more than once.
    #[error("header {header} stands more than once; exactly one is accepted")]
    Repeated {
        /// The header.
        header: &'static str,
    },
    /// It is no visible ASCII text.
    #[error("header {header} is not plain text")]
    NotText {
        /// The header.
        header: &'static str,
    },
    /// It is too long, or empty.
    #[error("header {header} has {bytes} bytes; 1 to {max_bytes} are accepted")]
    Length {
        /// The header.
        header: &'static str,
        /// Length found.
        bytes: usize,
        /// Length accepted.
        max_bytes: usize,
    },
    /// The body is of another type than the provider sends.
    #[error("content type {found:?} is not accepted; {accepted} is")]
    ContentType {
        /// What the header says.
        found: String,
        /// What would be accepted.
        accepted: &'static str,
    },
}

/// What a payload came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Normalization<'a> {
    /// Canonical events, in order; their ordinals are their places.
    Events(Vec<CanonicalEvent<'a>>),
    /// Nothing of local meaning, by name (S12).
    Ignored(Ignored),
}

/// Why a delivery has no canonical events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ignored {
    /// The provider says that the hook works.
    #[error("a ping: the hook works")]
    Ping,
    /// The adapter knows the event type, and krate has no object for it.
    #[error("{event_type} has no local meaning: {why}")]
    NoLocalMeaning {
        /// The event type.
        event_type: &'static str,
        /// What it is about.
        why: &'static str,
    },
    /// The adapter doesn't know the event type.
    #[error("{event_type:?} is no event type that this adapter knows")]
    UnknownEvent {
        /// The event type.
        event_type: String,
    },
}
