//! The webhook that the benches take in: a recorded `pull_request` delivery of 24 KB, signed as GitHub signs.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use krate_providers::contract::WebhookSecret;
use sha2::Sha256;

/// The body as it was recorded: laid out for reading.
const RECORDED: &[u8] =
    include_bytes!("../../krate-providers/tests/fixtures/github/webhooks/pull_request/synchronize.payload.json");

/// The body as GitHub sends it: without the layout.
pub fn body() -> Vec<u8> {
    let (mut compact, mut in_string, mut escaped) = (Vec::with_capacity(RECORDED.len()), false, false);
    for byte in RECORDED {
        if in_string || !byte.is_ascii_whitespace() {
            compact.push(*byte);
        }
        in_string ^= *byte == b'"' && !escaped;
        escaped = in_string && *byte == b'\\' && !escaped;
    }
    compact
}

/// The secret that it is signed with.
pub const SECRET: &[u8] = b"a webhook secret of the benches";

/// The secret, as the adapter takes it.
pub fn secret() -> WebhookSecret {
    WebhookSecret::new("bench", SECRET)
}

/// HMAC-SHA256 of a body: the least that a receiver has to do.
///
/// # Panics
/// Never: a key of any length will do.
pub fn hmac(body: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("a key of any length will do");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

/// The signature header's value.
pub fn signature(body: &[u8]) -> String {
    let hex: String = hmac(body).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

/// Headers as GitHub sends them.
///
/// # Panics
/// When `delivery` is no plain text.
pub fn headers(delivery: &str, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let signature = signature(body);
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", "GitHub-Hookshot/044aadd"),
        ("x-github-event", "pull_request"),
        ("x-github-delivery", delivery),
        ("x-github-hook-id", "292430182"),
        ("x-hub-signature-256", &signature),
    ] {
        headers.insert(name, HeaderValue::from_str(value).expect("plain text"));
    }
    headers
}
