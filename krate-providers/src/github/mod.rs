//! GitHub: github.com and Enterprise Server.
//!
//! | file | holds |
//! | --- | --- |
//! | `manifest.rs` | what GitHub can do through this adapter |
//! | `auth.rs`, `head.rs` | proof and identity of a delivery |
//! | `webhook/` | payloads to canonical events, one function per event type |
//! | `hooks.rs` | hooks, and what they sent |
//! | `rest/` | calls to requests, answers to outcomes |
//! | `object.rs`, `native.rs`, `work.rs` | GitHub's objects, the same in payloads and answers |

mod auth;
mod ci;
mod decode;
mod event;
mod forge;
mod head;
mod hooks;
mod manifest;
mod native;
mod object;
mod rest;
mod webhook;
mod work;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use krate_model::kinds::external::ExternalProviderCapabilityManifestSpec;
use krate_model::kinds::shared::Time;

use crate::contract::{
    Call, DecodeError, Decoded, DeliveryHead, EncodeError, Endpoint, HeadError, Normalization, Provider,
    SignatureError, Verified, WebhookSecret,
};

/// GitHub's codec. It holds nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct GitHub;

impl Provider for GitHub {
    fn provider_type(&self) -> &'static str {
        manifest::PROVIDER_TYPE
    }

    fn manifest(&self) -> &ExternalProviderCapabilityManifestSpec {
        manifest::manifest()
    }

    fn folds_label_case(&self) -> bool {
        true
    }

    fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[WebhookSecret],
        _now: Time,
    ) -> Result<Verified, SignatureError> {
        auth::verify(headers, body, secrets)
    }

    fn head(&self, headers: &HeaderMap, _body: &[u8]) -> Result<DeliveryHead, HeadError> {
        head::head(headers)
    }

    fn normalize<'a>(&self, event_type: &str, body: &'a [u8]) -> Result<Normalization<'a>, DecodeError> {
        webhook::normalize(event_type, body)
    }

    fn encode(&self, endpoint: &Endpoint<'_>, call: &Call<'_>) -> Result<Request<Bytes>, EncodeError> {
        rest::encode(endpoint, call)
    }

    fn decode<'a>(&self, call: &Call<'_>, response: &'a Response<Bytes>, received_at: Time) -> Decoded<'a> {
        rest::decode(call, response, received_at)
    }
}
