//! What every provider is: a manifest (data) and a codec that only translates. Spec: external-sync.md sections 4, 11 and 12.
//!
//! A provider owns no queue, no persistence, no retry loop and no policy. Requests and responses are values of the `http`
//! crate; whoever embeds a provider brings the client that carries them.
//!
//! | to | read |
//! | --- | --- |
//! | check and read a webhook | [`Provider::verify`], [`Provider::head`], [`Provider::normalize`] |
//! | call the provider's API | [`Call`], [`Provider::encode`], [`Provider::decode`] |
//! | know what it can do | [`Provider::manifest`] |
//! | hide a key in a text and find it again | [`marker`] |
//! | tell errors apart | [`ProviderError`], [`SignatureError`], [`HeadError`], [`DecodeError`] |

mod api;
mod error;
mod limits;
mod log;
pub mod marker;
mod webhook;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use krate_model::kinds::external::ExternalProviderCapabilityManifestSpec;
use krate_model::kinds::shared::Time;

pub use api::{Call, Credential, Cursor, Decoded, Endpoint, Outcome, QuotaReading, REPOSITORY_ID};
pub(crate) use error::without_credential;
pub use error::{DecodeError, EncodeError, ProviderError, SendOutcome};
pub use limits::{BodyError, BodyLimits};
pub use log::{Hook, KeptDelivery, LoggedDelivery};
pub use webhook::{
    DeliveryHead, HeadError, Ignored, Normalization, SignatureError, Verified, WebhookSecret, derived_delivery_id,
};

/// One provider type: its manifest and its translations. Pure: the same input gives the same output.
///
/// What a provider doesn't support it answers with [`EncodeError::Unsupported`], before any request exists (S49).
pub trait Provider: Send + Sync {
    /// The provider type, such as `github`: its folder, its feature and its line in the registry.
    fn provider_type(&self) -> &'static str;

    /// What it can do (section 12).
    fn manifest(&self) -> &ExternalProviderCapabilityManifestSpec;

    /// Whether two labels that differ only in the case of ASCII letters are one label.
    fn folds_label_case(&self) -> bool {
        false
    }

    /// Checks that `body` was sent by the provider: over the raw bytes, before anything parses them, in constant time (S9).
    ///
    /// Any of `secrets` may verify; the answer names which did (S14). No secret at all is a configuration error, never "no check".
    ///
    /// # Errors
    /// [`SignatureError`] says what was wrong, without any part of a secret or signature.
    fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[WebhookSecret],
        now: Time,
    ) -> Result<Verified, SignatureError>;

    /// Reads a delivery's identity and event type from its headers; where the provider has no delivery id, one is derived
    /// from the body's digest and the event type (S11).
    ///
    /// # Errors
    /// [`HeadError`] names the header and what was wrong with it (S13).
    fn head(&self, headers: &HeaderMap, body: &[u8]) -> Result<DeliveryHead, HeadError>;

    /// The canonical events of a payload, or why there are none (S12).
    ///
    /// # Errors
    /// [`DecodeError`] with the path in the payload, when a known event type has an unexpected shape.
    fn normalize<'a>(&self, event_type: &str, body: &'a [u8]) -> Result<Normalization<'a>, DecodeError>;

    /// The request for `call`. It carries the credential: whoever sends it follows no redirection, which may lead to another host.
    ///
    /// # Errors
    /// [`EncodeError`] when the provider has no such operation, or the call lacks what it needs. No request exists then.
    fn encode(&self, endpoint: &Endpoint<'_>, call: &Call<'_>) -> Result<Request<Bytes>, EncodeError>;

    /// What `response` says about `call`. Quota headers are read whatever the answer was.
    ///
    /// An answer that sends on to another address is an error of class `Configuration`, for a write too, which was not carried
    /// out then. It is never an outcome: an empty page, or a write that succeeded, would be made of it.
    fn decode<'a>(&self, call: &Call<'_>, response: &'a Response<Bytes>, received_at: Time) -> Decoded<'a>;
}
