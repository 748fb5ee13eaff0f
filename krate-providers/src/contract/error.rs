//! Errors of the contract, with the classes that are the same for every provider (section 11).

use krate_model::kinds::sets::{ErrorClass, Operation};
use krate_model::kinds::shared::Time;
use krate_model::validate::credential_in;

/// A payload of a known type with an unexpected shape (S12).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct DecodeError {
    /// Where in the payload, such as `pull_request.head.sha`; `$` for the whole.
    pub path: String,
    /// What was wrong and what would be accepted, without the value.
    pub message: String,
}

/// A call that can't become a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The provider has no such operation (S49).
    #[error("{provider_type} has no operation {operation}")]
    Unsupported {
        /// The provider type.
        provider_type: &'static str,
        /// The operation.
        operation: Operation,
    },
    /// The call lacks a member that the operation needs.
    #[error("{operation} needs {field}")]
    Missing {
        /// The operation.
        operation: Operation,
        /// The member, as a path in the call.
        field: &'static str,
    },
    /// A member can't be carried by this provider (S6).
    #[error("{operation} can't carry {field}: {why}")]
    Unrepresentable {
        /// The operation.
        operation: Operation,
        /// The member, as a path in the call.
        field: String,
        /// Why, and what would be accepted.
        why: String,
    },
    /// The endpoint can't be used.
    #[error("spec.apiBaseUrl: {why}")]
    Endpoint {
        /// What is wrong with it.
        why: String,
    },
    /// The credential can't stand in a header.
    #[error("the credential has characters that no header may hold")]
    Credential,
}

/// What is known about a request that got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendOutcome {
    /// It never left: nothing can have happened.
    NotSent,
    /// It may have been carried out: look before sending again (S34).
    Unknown,
}

/// A provider's refusal or failure, classed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{class}: {message}")]
#[non_exhaustive]
pub struct ProviderError {
    /// The class, which decides what happens next.
    pub class: ErrorClass,
    /// What the provider said, without secrets and at most 1,024 bytes.
    pub message: String,
    /// Where in the request or response.
    pub path: Option<String>,
    /// When a limit ends; only with class `RateLimited` or a server that asked for a pause.
    pub until: Option<Time>,
    /// The provider's request id.
    pub request_id: Option<String>,
    /// Whether the effect may have happened all the same; only for writes with class `Timeout` or `Transient`.
    pub sent: SendOutcome,
}

/// The longest message that an error keeps, in bytes.
const MAX_MESSAGE_BYTES: usize = 1024;

impl ProviderError {
    /// An error of `class`; its message is cut to what a record may hold, and hidden where it quotes something shaped like a
    /// credential (S47). Nothing was carried out.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        let mut message = without_credential(message.into());
        if message.len() > MAX_MESSAGE_BYTES {
            let cut = (0..=MAX_MESSAGE_BYTES - 3).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(cut);
            message.push('…');
        }
        Self { class, message, path: None, until: None, request_id: None, sent: SendOutcome::NotSent }
    }

    /// The same, with the time at which the limit ends.
    #[must_use]
    pub fn until(mut self, until: Option<Time>) -> Self {
        self.until = until;
        self
    }

    /// The same, with the provider's request id.
    #[must_use]
    pub fn request_id(mut self, id: Option<String>) -> Self {
        self.request_id = id;
        self
    }

    /// The same, with a path.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(without_credential(path.into()));
        self
    }

    /// The same, where the request may have been carried out.
    #[must_use]
    pub fn maybe_sent(mut self) -> Self {
        self.sent = SendOutcome::Unknown;
        self
    }

    /// Whether sending the same again can help (S45): rate limits, passing faults and time-outs, nothing else.
    pub fn is_retryable(&self) -> bool {
        matches!(self.class, ErrorClass::RateLimited | ErrorClass::Transient | ErrorClass::Timeout)
    }
}

/// The text; or, where a provider or a proxy quoted a credential in it, that there is one.
pub(crate) fn without_credential(text: String) -> String {
    if credential_in(&text).is_some() { "(hidden: it may hold a secret)".to_owned() } else { text }
}

impl From<DecodeError> for ProviderError {
    fn from(error: DecodeError) -> Self {
        Self::new(ErrorClass::Decode, error.message).at(error.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s45_only_limits_and_passing_faults_are_retried() {
        let retried: Vec<_> = ErrorClass::ALL
            .iter()
            .filter(|class| ProviderError::new((*class).clone(), "").is_retryable())
            .map(ErrorClass::as_str)
            .collect();
        assert_eq!(retried, ["RateLimited", "Transient", "Timeout"]);
    }

    #[test]
    fn s47_a_message_that_quotes_a_credential_is_hidden() {
        let token = format!("ghp_{}", "0a".repeat(18));
        let error = ProviderError::new(ErrorClass::Validation, format!("bad token {token}")).at(token.clone());
        assert!(!format!("{error} {error:?}").contains(&token), "{error:?}");
        assert_eq!(error.message, "(hidden: it may hold a secret)");
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let error = ProviderError::new(ErrorClass::Validation, "é".repeat(2000));
        assert!(error.message.len() <= MAX_MESSAGE_BYTES && error.message.ends_with('…'));
    }
}
