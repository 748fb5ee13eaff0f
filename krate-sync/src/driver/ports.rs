//! What the driver needs of the world: somebody who carries requests, tells the time, and hands out secrets.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use krate_model::kinds::external::ExternalBackendProvider;
use krate_model::kinds::shared::Time;
use krate_providers::contract::{Credential, SendOutcome, WebhookSecret};

/// Carries requests to providers. Time-outs and TLS are its business; retries aren't.
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends `request` and waits for the whole answer, which may send on to another address: that is an answer like any other, and is
    /// not followed, because the request carries the credential.
    ///
    /// # Errors
    /// [`SendError`], which says whether the request may have been carried out.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, SendError>;
}

/// A request without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    /// What is known about it.
    pub outcome: SendOutcome,
    /// What went wrong, without secrets.
    pub message: String,
}

/// Tells the time, and waits for it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Time;
    /// Returns at `time`, or at once where that is past.
    async fn sleep_until(&self, time: Time);
}

/// Hands out what a provider object refers to.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The webhook secrets that are valid now (S14).
    ///
    /// # Errors
    /// [`SecretError`] names the reference.
    async fn webhook_secrets(&self, provider: &ExternalBackendProvider) -> Result<Vec<WebhookSecret>, SecretError>;
    /// The credential for the provider's API; `None` for anonymous access.
    ///
    /// # Errors
    /// [`SecretError`] names the reference.
    async fn credential(&self, provider: &ExternalBackendProvider) -> Result<Option<Credential>, SecretError>;
}

/// A secret that isn't there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct SecretError {
    /// The field that refers to it.
    pub path: String,
    /// What is wrong, without the value.
    pub message: String,
}
