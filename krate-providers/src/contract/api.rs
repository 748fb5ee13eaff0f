//! Values of the API side of the contract: calls, their answers, and what they cost.

use std::fmt;

use krate_model::Digest;
use krate_model::kinds::external::Payload;
use krate_model::kinds::sets::{AuthMode, Operation};
use krate_model::kinds::shared::{NativeTarget, Time, Version};
use krate_model::observation::{CanonicalEvent, Text};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{Hook, KeptDelivery, LoggedDelivery, ProviderError};

/// How krate proves who it is.
#[derive(Clone)]
pub struct Credential {
    /// The kind of credential.
    pub mode: AuthMode,
    /// The token itself, already fit to be sent.
    pub token: SecretString,
}

impl Credential {
    /// A token of a kind.
    pub fn new(mode: AuthMode, token: impl Into<String>) -> Self {
        Self { mode, token: SecretString::from(token.into()) }
    }

    /// `text` with a word in place of the token, each time that it stands there; `None` where it doesn't.
    ///
    /// A provider, or a proxy before it, may throw back what it was sent, and what it says about a failure is shown (S47).
    pub fn taken_out_of(&self, text: &[u8]) -> Option<Vec<u8>> {
        let token = self.token.expose_secret().as_bytes();
        let mut rest = text;
        let mut left = Vec::new();
        while let Some(at) = position(rest, token) {
            let (before, after) = rest.split_at(at);
            left.extend_from_slice(before);
            left.extend_from_slice(b"[redacted]");
            rest = after.get(token.len()..).unwrap_or_default();
        }
        if rest.len() == text.len() {
            return None;
        }
        left.extend_from_slice(rest);
        Some(left)
    }
}

/// Where `part` begins in `text`; an empty one is nowhere.
fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return None;
    }
    text.windows(part.len()).position(|window| window == part)
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// Where a provider's API is, and with which credential.
#[derive(Clone, Copy)]
pub struct Endpoint<'c> {
    /// Base address, with or without a trailing slash: `https://api.github.com`, `https://ghe.example.com/api/v3`.
    pub api_base: &'c Url,
    /// The credential; without one the request is anonymous.
    pub credential: Option<&'c Credential>,
}

impl fmt::Debug for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // User info may be a password (S47).
        let host = self.api_base.host_str().unwrap_or_default();
        f.debug_struct("Endpoint").field("host", &host).field("credential", &self.credential).finish_non_exhaustive()
    }
}

/// Where a list goes on; opaque to everyone but the provider that made it, and safe to persist (at most 4 KiB).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// Key of a target's container that holds the provider's own id of the repository, where it is known: it stays through renames and transfers, and
/// nobody else gets it, while a name may be another repository's by now. It is no key of a binding's `externalRef`.
pub const REPOSITORY_ID: &str = "repositoryId";

/// One operation at a provider, in neutral words.
#[derive(Debug, Clone)]
pub struct Call<'c> {
    /// What to do.
    pub operation: Operation,
    /// On what; for a list, only the container.
    pub target: &'c NativeTarget,
    /// What to write; exactly for writes.
    pub payload: Option<&'c Payload>,
    /// For a list: where to go on. Absent: from the start.
    pub cursor: Option<&'c Cursor>,
    /// For a list: only what changed at or after this time (S22).
    pub since: Option<Time>,
    /// For a list: objects a page, cut to the manifest's limit.
    pub page_size: Option<u16>,
    /// For a read: the version at hand, so that an unchanged object costs nothing (S25).
    pub known: Option<&'c Version>,
    /// For a write: the version that must still hold, where the provider can check it.
    pub precondition: Option<&'c Version>,
    /// For a create on a provider without idempotency: the key that is hidden in the text, to be found again (S34).
    pub marker: Option<&'c Digest>,
}

impl<'c> Call<'c> {
    /// A call with nothing but its operation and target.
    pub fn new(operation: Operation, target: &'c NativeTarget) -> Self {
        Self {
            operation,
            target,
            payload: None,
            cursor: None,
            since: None,
            page_size: None,
            known: None,
            precondition: None,
            marker: None,
        }
    }
}

/// What a provider said about a budget in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaReading {
    /// Which budget, in the provider's word, such as `core`.
    pub scope: String,
    /// Calls or points a window.
    pub limit: u64,
    /// How many are left.
    pub remaining: u64,
    /// When the window ends, by the clock of whoever received the answer.
    pub reset_at: Time,
}

impl QuotaReading {
    /// A reading.
    pub fn new(scope: impl Into<String>, limit: u64, remaining: u64, reset_at: Time) -> Self {
        Self { scope: scope.into(), limit, remaining, reset_at }
    }
}

/// A provider's answer, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded<'a> {
    /// What it says about the call.
    pub result: Result<Outcome<'a>, ProviderError>,
    /// What it says about budgets, also when the call failed.
    pub quota: Option<QuotaReading>,
    /// The provider's request id.
    pub request_id: Option<String>,
}

/// What a successful call came to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// One object, as it is now: the answer to a read, a create or an update.
    Object(Box<CanonicalEvent<'a>>),
    /// A page of a list.
    Page {
        /// The objects, in the provider's order.
        objects: Vec<CanonicalEvent<'a>>,
        /// Where the list goes on; absent at its end.
        next: Option<Cursor>,
        /// The page's entity tag, for the next conditional read.
        etag: Option<Text<'a>>,
        /// How many pages follow, where the provider says so: what the list will cost.
        more: Option<u32>,
    },
    /// The labels that an object has now.
    Labels(Vec<Text<'a>>),
    /// The hooks that post about the target.
    Hooks(Vec<Hook>),
    /// A page of a hook's log, newest first.
    Deliveries {
        /// The lines.
        lines: Vec<LoggedDelivery>,
        /// Where older lines are; absent at the log's end.
        next: Option<Cursor>,
        /// The page's entity tag, for the next conditional read.
        etag: Option<Text<'a>>,
    },
    /// A delivery as the log kept it.
    Delivery(Box<KeptDelivery>),
    /// What was known is still so (S25): counts as seen.
    NotModified,
    /// Done, and the answer has no body.
    Done,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s47_a_token_that_is_thrown_back_is_taken_out() {
        let credential = Credential::new(AuthMode::PersonalAccessToken, "t0ken");
        let taken = |text: &str| credential.taken_out_of(text.as_bytes()).map(|left| String::from_utf8(left).unwrap());
        assert_eq!(taken("t0ken"), Some("[redacted]".to_owned()));
        assert_eq!(taken("a t0ken, t0kent0ken t0ke"), Some("a [redacted], [redacted][redacted] t0ke".to_owned()));
        assert_eq!(taken("t0ke"), None);
        assert_eq!(Credential::new(AuthMode::OauthUser, "").taken_out_of(b"text"), None);
    }
}
