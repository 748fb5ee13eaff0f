//! How GitHub proves that a delivery is its own: `X-Hub-Signature-256` over the raw body.
//!
//! The older `X-Hub-Signature` (SHA-1) is never enough, also where it stands alone.

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use krate_model::kinds::sets::WebhookSignature;
use secrecy::ExposeSecret;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::contract::{SignatureError, Verified, WebhookSecret};

const HEADER: &str = "x-hub-signature-256";
/// The header as people know it.
const SHOWN: &str = "X-Hub-Signature-256";
const PREFIX: &[u8] = b"sha256=";

/// Checks the signature against each secret that isn't empty (S9, S14).
pub(super) fn verify(headers: &HeaderMap, body: &[u8], secrets: &[WebhookSecret]) -> Result<Verified, SignatureError> {
    if secrets.iter().all(|secret| secret.secret.expose_secret().is_empty()) {
        return Err(SignatureError::NoSecret);
    }
    let mut values = headers.get_all(HEADER).iter();
    let value = values.next().ok_or(SignatureError::Missing { header: SHOWN })?;
    if values.next().is_some() {
        return Err(SignatureError::Repeated { header: SHOWN });
    }
    let signature = value
        .as_bytes()
        .strip_prefix(PREFIX)
        .and_then(from_hex)
        .ok_or(SignatureError::Malformed { header: SHOWN, accepted: "sha256= and 64 lower-case hex digits" })?;
    for secret in secrets {
        let key = secret.secret.expose_secret();
        // A key of any length makes an HMAC; one that didn't would prove nothing.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { continue };
        if key.is_empty() {
            continue;
        }
        mac.update(body);
        if bool::from(mac.finalize().into_bytes().as_slice().ct_eq(&signature)) {
            return Ok(Verified { algorithm: WebhookSignature::HmacSha256, secret_name: secret.name.clone() });
        }
    }
    Err(SignatureError::Mismatch { header: SHOWN })
}

fn from_hex(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0u8; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const BODY: &[u8] = b"Hello, World!";
    /// GitHub's documented vector.
    const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn secret(name: &str, value: &str) -> WebhookSecret {
        WebhookSecret::new(name, value.as_bytes().to_vec())
    }

    fn documented() -> WebhookSecret {
        secret("documented", "It's a Secret to Everybody")
    }

    fn signed(signatures: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for signature in signatures {
            headers.append(HEADER, HeaderValue::from_str(signature).unwrap());
        }
        headers
    }

    #[test]
    fn s9_the_documented_vectors_verify_and_any_changed_byte_does_not() {
        let headers = signed(&[SIGNATURE]);
        assert!(verify(&headers, BODY, &[documented()]).is_ok());
        for at in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[at] ^= 1;
            assert_eq!(
                verify(&headers, &body, &[documented()]),
                Err(SignatureError::Mismatch { header: "X-Hub-Signature-256" })
            );
        }
        let other = signed(&["sha256=1670e20ccf0829e69540a42be31dce8f8a7f28adc18df21bfb08ac22bf7cc9c6"]);
        assert!(verify(&other, br#"{"action":"opened","number":1}"#, &[secret("s", "s3cr3t")]).is_ok());
    }

    #[test]
    fn s14_any_of_several_secrets_verifies_and_is_named() {
        let secrets = [secret("new", "not this one"), secret("empty", ""), documented()];
        let verified = verify(&signed(&[SIGNATURE]), BODY, &secrets).unwrap();
        assert_eq!(verified.secret_name, "documented");
        assert_eq!(verified.algorithm, WebhookSignature::HmacSha256);
    }

    #[test]
    fn s9_no_secret_is_a_configuration_error_and_never_no_check() {
        for secrets in [vec![], vec![secret("a", "")], vec![secret("a", ""), secret("b", "")]] {
            assert_eq!(verify(&signed(&[SIGNATURE]), BODY, &secrets), Err(SignatureError::NoSecret));
        }
        // The signature that an empty key would make is not accepted either.
        let empty_key = Hmac::<Sha256>::new_from_slice(b"").unwrap().chain_update(BODY).finalize().into_bytes();
        let hex: String = empty_key.iter().map(|byte| format!("{byte:02x}")).collect();
        let secrets = [secret("a", ""), secret("b", "x")];
        assert!(matches!(
            verify(&signed(&[&format!("sha256={hex}")]), BODY, &secrets),
            Err(SignatureError::Mismatch { .. })
        ));
    }

    #[test]
    fn s9_a_signature_that_is_missing_repeated_or_of_another_form_is_refused() {
        let missing = SignatureError::Missing { header: "X-Hub-Signature-256" };
        assert_eq!(verify(&HeaderMap::new(), BODY, &[documented()]), Err(missing.clone()));
        let mut sha1_only = HeaderMap::new();
        sha1_only.insert("x-hub-signature", HeaderValue::from_static("sha1=0000"));
        assert_eq!(verify(&sha1_only, BODY, &[documented()]), Err(missing));
        let repeated = SignatureError::Repeated { header: "X-Hub-Signature-256" };
        assert_eq!(verify(&signed(&[SIGNATURE, SIGNATURE]), BODY, &[documented()]), Err(repeated));
        let (_, hex) = SIGNATURE.split_once('=').unwrap();
        for form in [
            hex,
            "",
            "sha256=",
            &SIGNATURE[..70],
            &format!("{SIGNATURE}0"),
            &SIGNATURE.to_uppercase(),
            &format!("sha256={}", hex.to_uppercase()),
            &format!(" {SIGNATURE}"),
            &format!("{SIGNATURE},{SIGNATURE}"),
        ] {
            assert!(
                matches!(
                    verify(&signed(&[form]), BODY, &[documented()]),
                    Err(SignatureError::Malformed { header: "X-Hub-Signature-256", .. })
                ),
                "{form}"
            );
        }
    }
}
