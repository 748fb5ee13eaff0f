//! Names that are derived from content, so that a repeat writes the same object. Spec: resource-kinds.md R1, R36.

use serde::Serialize;

use crate::{Digest, NotCanonical, canonical_digest};

/// The longest derived name, in bytes: a DNS label.
pub const MAX_LABEL_BYTES: usize = 63;
/// The longest object name, in bytes: a DNS subdomain.
pub const MAX_SUBDOMAIN_BYTES: usize = 253;
/// Characters of base32 in a derived name: 100 bits of a SHA-256.
const SUFFIX_CHARS: usize = 20;
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A DNS label that names `content`: a readable prefix, `-`, and 100 bits of the digest of its canonical JSON (R1, R36).
///
/// The prefix is for people: it is lowered to what a label may hold and cut. Only the digest tells two contents apart.
///
/// ```
/// let name = krate_model::derived_name("Fix: crash on start", &["acme", "gh", "issue", "42"]).unwrap();
/// assert!(name.starts_with("fix-crash-on-start-") && name.len() <= 63);
/// assert_eq!(name, krate_model::derived_name("Fix: crash on start", &["acme", "gh", "issue", "42"]).unwrap());
/// ```
///
/// # Errors
/// [`NotCanonical`] when `content` has no canonical JSON.
pub fn derived_name<T: Serialize + ?Sized>(prefix: &str, content: &T) -> Result<String, NotCanonical> {
    Ok(named_by_digest(prefix, &canonical_digest(content)?))
}

/// As [`derived_name`], with the digest at hand.
pub fn named_by_digest(prefix: &str, digest: &Digest) -> String {
    let mut name = String::with_capacity(MAX_LABEL_BYTES);
    for char in prefix.chars() {
        if name.len() >= MAX_LABEL_BYTES - SUFFIX_CHARS - 1 {
            break;
        }
        match char.to_ascii_lowercase() {
            kept @ ('a'..='z' | '0'..='9') => name.push(kept),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    if name.is_empty() {
        name.push('x');
    }
    if !name.ends_with('-') {
        name.push('-');
    }
    let mut bits: u32 = 0;
    let mut count = 0;
    let mut bytes = digest.as_bytes().iter();
    for _ in 0..SUFFIX_CHARS {
        if count < 5 {
            // 20 characters take 13 of the 32 bytes, so the iterator never ends here.
            bits = (bits << 8) | u32::from(bytes.next().copied().unwrap_or(0));
            count += 8;
        }
        count -= 5;
        name.push(char::from(BASE32[((bits >> count) & 31) as usize]));
    }
    name
}

/// Whether `text` is a DNS label: 1 to 63 of `a-z0-9-`, neither first nor last a hyphen.
pub fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_LABEL_BYTES).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether `text` is a DNS subdomain: labels joined by dots, at most 253 bytes.
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN_BYTES && text.split('.').all(is_dns_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn r1_a_derived_name_is_a_dns_label_whatever_the_prefix(prefix in ".{0,120}", content in ".{0,40}") {
            let name = derived_name(&prefix, &content).unwrap();
            prop_assert!(is_dns_label(&name), "{name}");
        }

        #[test]
        fn r36_two_contents_never_share_a_name(a in "[a-c]{0,3}", b in "[a-c]{0,3}") {
            prop_assert_eq!(a == b, derived_name("p", &[a.as_str()]).unwrap() == derived_name("p", &[b.as_str()]).unwrap());
        }
    }

    #[test]
    fn r1_the_suffix_is_lower_case_base32_of_the_first_100_bits() {
        // RFC 4648 base32 of ba7816bf8f01cfea41414140…, lowered.
        assert_eq!(named_by_digest("p", &Digest::of(b"abc")), "p-xj4bnp4pahh6uqkbidpf");
    }

    #[test]
    fn r1_labels_and_subdomains() {
        assert!(is_dns_label("a-1"));
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", &"a".repeat(64)] {
            assert!(!is_dns_label(bad), "{bad}");
        }
        assert!(is_dns_subdomain("a.b-c.d"));
        for bad in ["", "a..b", ".a", &"a.".repeat(140)] {
            assert!(!is_dns_subdomain(bad), "{bad}");
        }
    }
}
