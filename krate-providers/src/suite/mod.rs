//! The checks that every provider passes, driven by its own manifest (S49). Feature `testkit`.
//!
//! | call | holds the provider to | needs |
//! | --- | --- | --- |
//! | [`check`] | what it declares it encodes, and nothing else | nothing |
//! | [`prove`] | all that, and what it encodes works: outcomes, pages, conditional reads, idempotency, confirming webhooks | a [`Backend`] |
//! | [`webhooks`] | what it declares about webhooks | recorded payloads |
//!
//! Each gives what is broken, in words; a provider that keeps the contract has an empty list.
//!
//! ```
//! # #[cfg(feature = "github")]
//! assert_eq!(krate_providers::suite::check(&krate_providers::github::GitHub), Vec::<String>::new());
//! ```
//!
//! With the simulator as the backend (feature `simulator`):
//!
//! ```
//! # #[cfg(all(feature = "github", feature = "simulator"))] {
//! use krate_providers::suite::{Simulated, prove};
//! let now = chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap();
//! let mut backend = Simulated::seeded(1, now).unwrap();
//! assert_eq!(prove(&krate_providers::github::GitHub, &mut backend, now), Vec::<String>::new());
//! # }
//! ```

mod proof;
#[cfg(feature = "simulator")]
mod simulated;
mod webhooks;

use std::collections::BTreeMap;

use krate_model::Digest;
use krate_model::kinds::external::{
    BodyText, Changes, Close, Labels, Merge, NewIssue, NewPullRequest, Nothing, Payload,
};
use krate_model::kinds::sets::{AuthMode, Idempotency, Operation};
use krate_model::kinds::shared::NativeTarget;
use krate_model::kinds::work::MergeMethod;
use secrecy::ExposeSecret;
use url::Url;

pub use proof::{Backend, Subject, prove};
#[cfg(feature = "simulator")]
pub use simulated::Simulated;
pub use webhooks::{Recorded, webhooks};

use crate::contract::{Call, Credential, EncodeError, Endpoint, Provider};

/// A token that no request may show but in a header marked as sensitive.
const CANARY: &str = "canary-token-5d41402abc4b2a76";

/// Everything about `provider` that breaks the contract; empty when it keeps it.
pub fn check(provider: &dyn Provider) -> Vec<String> {
    let mut broken = Vec::new();
    let Ok(api_base) = Url::parse("https://forge.example/api/v3/") else { return vec!["no address".to_owned()] };
    let credential = Credential::new(AuthMode::PersonalAccessToken, CANARY);
    let endpoint = Endpoint { api_base: &api_base, credential: Some(&credential) };
    let target = target();
    for operation in Operation::ALL {
        let payload = payload(operation);
        let marker = Digest::of(b"suite");
        let call = Call { payload: payload.as_ref(), marker: Some(&marker), ..Call::new(operation.clone(), &target) };
        let declared = provider
            .manifest()
            .interfaces
            .iter()
            .filter(|interface| interface.supported && operation.interface().as_ref() == Some(&interface.name))
            .flat_map(|interface| &interface.operations)
            .find(|declared| declared.operation == *operation);
        match (declared, provider.encode(&endpoint, &call)) {
            (Some(declared), Ok(request)) => {
                if declared.write != operation.is_write() {
                    broken.push(format!("{operation}: the manifest says write: {}", declared.write));
                }
                if operation.is_write() && declared.idempotency == Idempotency::None && declared.confirmed_by.is_empty()
                {
                    broken.push(format!("{operation}: nothing makes a repeat harmless, and nothing confirms it (S34)"));
                }
                if !request.uri().to_string().starts_with(api_base.as_str()) {
                    broken.push(format!("{operation}: the request leaves the API base"));
                }
                if format!("{request:?}").contains(credential.token.expose_secret()) {
                    broken.push(format!("{operation}: the request shows the token (S47)"));
                }
            }
            (Some(_), Err(error)) => broken.push(format!("{operation}: declared, but {error}")),
            (None, Err(EncodeError::Unsupported { .. })) => {}
            (None, Err(error)) => broken.push(format!("{operation}: not declared, and answers {error}")),
            (None, Ok(_)) => broken.push(format!("{operation}: not declared, but makes a request")),
        }
    }
    broken
}

fn target() -> NativeTarget {
    NativeTarget {
        native_kind: "object".to_owned(),
        native_id: Some("1".to_owned()),
        native_number: Some(1),
        container: BTreeMap::from([
            ("owner".to_owned(), "octocat".to_owned()),
            ("repository".to_owned(), "hello-world".to_owned()),
        ]),
    }
}

/// The least payload of an operation; none for reads, and for writes that have no typed payload yet.
fn payload(operation: &Operation) -> Option<Payload> {
    let text = || BodyText { body: "text".to_owned() };
    let labels = || Labels { labels: vec!["bug".to_owned()] };
    let changes = || Changes { title: Some("title".to_owned()), ..Changes::default() };
    Some(match operation {
        Operation::CreateIssue => Payload::CreateIssue(NewIssue { title: "title".to_owned(), ..NewIssue::default() }),
        Operation::UpdateIssue => Payload::UpdateIssue(changes()),
        Operation::CloseIssue => Payload::CloseIssue(Close::default()),
        Operation::CreateComment => Payload::CreateComment(text()),
        Operation::UpdateComment => Payload::UpdateComment(text()),
        Operation::DeleteComment => Payload::DeleteComment(Nothing {}),
        Operation::AddLabels => Payload::AddLabels(labels()),
        Operation::RemoveLabels => Payload::RemoveLabels(labels()),
        Operation::CreatePullRequest => Payload::CreatePullRequest(NewPullRequest {
            title: "title".to_owned(),
            head: "topic".to_owned(),
            base: "main".to_owned(),
            ..NewPullRequest::default()
        }),
        Operation::UpdatePullRequest => Payload::UpdatePullRequest(changes()),
        Operation::MergePullRequest => Payload::MergePullRequest(Merge {
            method: MergeMethod::Squash,
            expected_head_sha: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #[cfg(all(feature = "github", feature = "simulator"))]
    mod proof;

    #[test]
    fn s49_every_registered_provider_keeps_the_contract() {
        for provider in crate::registry::providers() {
            assert_eq!(super::check(*provider), Vec::<String>::new(), "{}", provider.provider_type());
        }
    }
}
