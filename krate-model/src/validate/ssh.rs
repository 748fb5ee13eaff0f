//! OpenSSH public keys: one key, no options, of a strong type (R14).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// The weakest RSA key.
const MIN_RSA_BITS: usize = 2_048;

/// A public key that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshPublicKey {
    /// The type, such as `ssh-ed25519`.
    pub key_type: String,
    /// `SHA256:` and base64 without padding, as `ssh-keygen -l` prints it: computed, never taken from anybody.
    pub fingerprint: String,
}

/// Why a text is no public key that krate takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnSshKey {
    /// A private key; whoever holds it should be told.
    #[error(
        "is a private key: it belongs nowhere but with its owner, and should be made anew; give the .pub file's line"
    )]
    Private,
    /// Several lines.
    #[error("holds more than one line; give one key")]
    SeveralLines,
    /// Not `type base64 [comment]`.
    #[error("is no OpenSSH public key; give one line `ssh-ed25519 AAAA… comment`")]
    Form,
    /// Options of an `authorized_keys` file stand before it.
    #[error("has options before the key; give the key alone")]
    Options,
    /// A type that is not accepted.
    #[error(
        "has a type that is not accepted; use ssh-ed25519, ecdsa-sha2-nistp256/384/521, ssh-rsa of 2,048 bits or more, or an sk- key"
    )]
    Type,
    /// The type in the blob differs from the one before it.
    #[error("says one type and holds another")]
    Mismatch,
    /// An RSA key with a short modulus.
    #[error("is an RSA key of less than 2,048 bits")]
    Weak,
}

const CURVES: [(&str, &[u8], usize); 3] = [
    ("ecdsa-sha2-nistp256", b"nistp256", 65),
    ("ecdsa-sha2-nistp384", b"nistp384", 97),
    ("ecdsa-sha2-nistp521", b"nistp521", 133),
];
const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com";
const SK_ECDSA: &str = "sk-ecdsa-sha2-nistp256@openssh.com";

impl std::str::FromStr for SshPublicKey {
    type Err = NotAnSshKey;

    fn from_str(text: &str) -> Result<Self, NotAnSshKey> {
        if text.contains("PRIVATE KEY") || text.contains("PuTTY-User-Key-File") {
            return Err(NotAnSshKey::Private);
        }
        let line = text.trim_end_matches(['\r', '\n']);
        if line.contains(['\n', '\r']) {
            return Err(NotAnSshKey::SeveralLines);
        }
        let mut words = line.split_ascii_whitespace();
        let (Some(key_type), Some(encoded)) = (words.next(), words.next()) else { return Err(NotAnSshKey::Form) };
        if !is_known_type(key_type) {
            let later_is_type = line.split_ascii_whitespace().skip(1).any(is_known_type);
            return Err(if later_is_type { NotAnSshKey::Options } else { unknown_type(key_type) });
        }
        let blob = STANDARD.decode(encoded).map_err(|_| NotAnSshKey::Form)?;
        let mut fields = Fields(&blob);
        if fields.next().ok_or(NotAnSshKey::Form)? != key_type.as_bytes() {
            return Err(NotAnSshKey::Mismatch);
        }
        check_fields(key_type, &mut fields)?;
        if !fields.0.is_empty() {
            return Err(NotAnSshKey::Form);
        }
        let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&blob)));
        Ok(Self { key_type: key_type.to_owned(), fingerprint })
    }
}

fn is_known_type(word: &str) -> bool {
    matches!(word, "ssh-ed25519" | "ssh-rsa" | SK_ED25519 | SK_ECDSA) || CURVES.iter().any(|(name, ..)| *name == word)
}

fn unknown_type(word: &str) -> NotAnSshKey {
    let looks_typed = ["ssh-", "ecdsa-", "sk-", "rsa-"].iter().any(|start| word.starts_with(start));
    if looks_typed { NotAnSshKey::Type } else { NotAnSshKey::Form }
}

fn check_fields(key_type: &str, fields: &mut Fields<'_>) -> Result<(), NotAnSshKey> {
    let mut field = || fields.next().ok_or(NotAnSshKey::Form);
    let is_sized = |field: &[u8], bytes: usize| if field.len() == bytes { Ok(()) } else { Err(NotAnSshKey::Form) };
    match key_type {
        "ssh-ed25519" => is_sized(field()?, 32),
        "ssh-rsa" => {
            let (_exponent, modulus) = (field()?, field()?);
            if bits(modulus) < MIN_RSA_BITS { Err(NotAnSshKey::Weak) } else { Ok(()) }
        }
        SK_ED25519 => {
            is_sized(field()?, 32)?;
            field().map(drop)
        }
        SK_ECDSA => {
            if field()? != b"nistp256" {
                return Err(NotAnSshKey::Mismatch);
            }
            is_sized(field()?, 65)?;
            field().map(drop)
        }
        _ => {
            let (_, curve, bytes) = CURVES.iter().find(|(name, ..)| *name == key_type).ok_or(NotAnSshKey::Type)?;
            if field()? != *curve {
                return Err(NotAnSshKey::Mismatch);
            }
            is_sized(field()?, *bytes)
        }
    }
}

fn bits(number: &[u8]) -> usize {
    let significant = number.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<_>>();
    significant.first().map_or(0, |first| significant.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0))
}

/// The length-prefixed fields of a key blob (RFC 4251, `string`).
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIApv8FzKsxIaAAiC1zndVhD7EZXnG8FXn50DrELAG7Y+";

    fn blob(fields: &[&[u8]]) -> String {
        let mut bytes = Vec::new();
        for field in fields {
            bytes.extend_from_slice(&u32::try_from(field.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(field);
        }
        STANDARD.encode(bytes)
    }

    fn parse(text: &str) -> Result<SshPublicKey, NotAnSshKey> {
        text.parse()
    }

    #[test]
    fn r14_a_key_has_the_fingerprint_that_openssh_prints() {
        let key = parse(ED25519).unwrap();
        assert_eq!(key.key_type, "ssh-ed25519");
        let expected =
            STANDARD_NO_PAD.encode(Sha256::digest(STANDARD.decode(ED25519.split(' ').nth(1).unwrap()).unwrap()));
        assert_eq!(key.fingerprint, format!("SHA256:{expected}"));
        assert_eq!(parse(&format!("{ED25519} alice@example.com\n")).unwrap(), key);
    }

    #[test]
    fn r14_types_and_sizes() {
        let modulus = |bytes: usize| [vec![0, 0x80], vec![1; bytes - 1]].concat();
        let rsa = |bytes| format!("ssh-rsa {}", blob(&[b"ssh-rsa", &[1, 0, 1], &modulus(bytes)]));
        assert!(parse(&rsa(256)).is_ok());
        assert_eq!(parse(&rsa(255)), Err(NotAnSshKey::Weak));
        let ecdsa = blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &[4; 65]]);
        assert!(parse(&format!("ecdsa-sha2-nistp256 {ecdsa}")).is_ok());
        let sk = blob(&[SK_ED25519.as_bytes(), &[1; 32], b"ssh:"]);
        assert!(parse(&format!("{SK_ED25519} {sk}")).is_ok());
        assert_eq!(parse(&format!("ssh-rsa {ecdsa}")), Err(NotAnSshKey::Mismatch));
        assert_eq!(parse(&format!("ssh-dss {ecdsa}")), Err(NotAnSshKey::Type));
    }

    #[test]
    fn r14_anything_but_one_bare_public_key_is_refused() {
        let private = format!("-----BEGIN OPENSSH {} KEY-----\nAAAA", "PRIVATE");
        assert_eq!(parse(&private), Err(NotAnSshKey::Private));
        assert_eq!(parse(&format!("{ED25519}\n{ED25519}")), Err(NotAnSshKey::SeveralLines));
        assert_eq!(parse(&format!("no-pty,command=\"x\" {ED25519}")), Err(NotAnSshKey::Options));
        for text in ["", "ssh-ed25519", "ssh-ed25519 !!!!", "hello world", "ssh-ed25519 AAAA"] {
            assert_eq!(parse(text), Err(NotAnSshKey::Form), "{text}");
        }
    }

    proptest! {
        #[test]
        fn r14_any_blob_is_judged(kind in "(ssh-rsa|ssh-ed25519|ecdsa-sha2-nistp256)", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&format!("{kind} {}", STANDARD.encode(bytes)));
        }
    }
}
