//! Scalars that are written as text: durations, addresses, commits. Spec: resource-kinds.md section 3, R8, R48.

use chrono::TimeDelta;
use url::{Host, Url};

use crate::kinds::shared::{Dur, MAX_DURATION_HOURS};

/// The largest integer that every JSON reader keeps (R8).
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;
/// The longest address.
pub(super) const MAX_URL_BYTES: usize = 2_048;

/// The duration that `text` says, where it is one that a spec may hold; else what is wrong with it.
pub(super) fn duration(text: &str) -> Result<TimeDelta, &'static str> {
    match text.parse::<Dur>().ok().and_then(|duration| duration.to_delta()) {
        Some(duration) if duration > TimeDelta::hours(MAX_DURATION_HOURS) => Err("is longer than 8,784h"),
        Some(duration) => Ok(duration),
        None if text.strip_prefix('-').is_some_and(|rest| rest.parse::<Dur>().is_ok()) => {
            Err("is negative; a duration is positive")
        }
        None => Err("is no duration; write it as 90s, 15m or 1h30m (a day is 24h)"),
    }
}

/// Whether `text` is a commit: 40 or 64 lower-case hex digits.
pub(super) fn is_sha(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `text` has the form of a Secret's or ConfigMap's name. Kubernetes bounds the whole of it, not each part, unlike the names of R1.
pub(super) fn is_native_name(text: &str) -> bool {
    let is_part = |part: &str| {
        part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.split('.').all(is_part)
}

/// Whether `text` has the form of a key in a Secret or ConfigMap.
pub(super) fn is_native_key(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && text != "."
        && !text.starts_with("..")
}

/// What is wrong with an address that stands in a `url` field.
pub(super) fn url_problem(text: &str) -> Option<&'static str> {
    if text.len() > MAX_URL_BYTES {
        return Some("is longer than 2,048 bytes");
    }
    let Ok(url) = Url::parse(text) else { return Some("is no absolute URL") };
    if !url.username().is_empty() || url.password().is_some() {
        return Some("holds user information; credentials belong in a Secret");
    }
    if url.fragment().is_some() {
        return Some("has a fragment");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Some("has no host");
    }
    None
}

/// What is wrong with an address that krate calls (R48).
pub(super) fn address_problem(text: &str, allow_insecure: bool) -> Option<&'static str> {
    if let Some(problem) = url_problem(text) {
        return Some(problem);
    }
    let url = Url::parse(text).ok()?;
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" | "wss" => None,
        "http" | "ws" if is_loopback && allow_insecure => None,
        "http" | "ws" if is_loopback => Some("is not encrypted; to a loopback address that takes allowInsecure"),
        "http" | "ws" => Some("is not encrypted; use https"),
        _ => Some("is no https address"),
    }
}

#[cfg(test)]
mod tests {
    use regex_lite::Regex;

    use super::*;
    use crate::kinds::shared::{NATIVE_KEY, NATIVE_NAME};

    #[test]
    fn r8_durations_are_gos_positive_and_at_most_a_year() {
        assert_eq!(duration("1h30m"), Ok(TimeDelta::minutes(90)));
        assert_eq!(duration("0s"), Ok(TimeDelta::zero()));
        assert_eq!(duration("8784h"), Ok(TimeDelta::hours(8784)));
        for (bad, why) in [("8784h1ns", "longer"), ("-1s", "negative"), ("30d", "no duration"), ("--1s", "no duration")]
        {
            assert!(duration(bad).is_err_and(|problem| problem.contains(why)), "{bad}");
        }
    }

    #[test]
    fn r10_names_and_keys_are_those_that_the_schema_takes() {
        let fits = |pattern: &str, text: &str| Regex::new(pattern).unwrap().is_match(text);
        let texts = [
            "a", "a.b-c", "0", "", "A", "a_b", "-a", "a-", "a..b", ".a", "a.", "a/b", "a b", "ä", ".", "..", "..a",
            ".a.", "a..", "_", "tls.crt", "A_b-C.d", "a\n",
        ];
        let long = "a".repeat(100);
        for text in texts.into_iter().chain([long.as_str()]) {
            assert_eq!(is_native_name(text), fits(NATIVE_NAME, text), "{text:?}");
            assert_eq!(is_native_key(text), fits(NATIVE_KEY, text), "{text:?}");
        }
        assert!(is_native_name("a.b-c") && !is_native_name("a/b") && is_native_key("tls.crt") && !is_native_key("..a"));
    }

    #[test]
    fn r48_addresses() {
        for good in ["https://api.github.com", "https://example.com:8443/a/b?c=d"] {
            assert_eq!(address_problem(good, false), None, "{good}");
        }
        for bad in [
            "http://example.com",
            "ftp://example.com",
            "https://",
            "//example.com",
            "https://user@example.com",
            "https://user:word@example.com",
            "https://example.com/#part",
            "http://localhost:8080",
            "http://127.0.0.1",
        ] {
            assert!(address_problem(bad, false).is_some(), "{bad}");
        }
        for loopback in ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:80/x", "http://a.localhost"] {
            assert_eq!(address_problem(loopback, true), None, "{loopback}");
        }
        for bad in ["http://example.com", "http://localhost.example.com", "http://128.0.0.1", "file:///etc/passwd"] {
            assert!(address_problem(bad, true).is_some(), "{bad}");
        }
    }
}
