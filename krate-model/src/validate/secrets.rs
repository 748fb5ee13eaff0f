//! What looks like a credential (R9). Used to refuse, and to keep a value out of a message.

use url::Url;

/// Prefixes that providers give their tokens, each with the fewest characters that follow.
const TOKEN_PREFIXES: &[(&str, usize)] = &[
    // GitHub
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("ghr_", 30),
    ("github_pat_", 40),
    // GitLab
    ("glpat-", 16),
    ("gldt-", 16),
    ("glrt-", 16),
    ("glcbt-", 16),
    ("glptt-", 16),
    ("glsoat-", 16),
    ("glft-", 16),
    ("gloas-", 16),
    // Atlassian: Jira and Bitbucket
    ("ATATT3x", 40),
    ("ATCTT3x", 40),
    ("ATBB", 28),
    // Linear, Buildkite, CircleCI
    ("lin_api_", 30),
    ("lin_oauth_", 30),
    ("bkua_", 30),
    ("bkaj_", 30),
    ("CCIPAT_", 20),
    // Webhook secrets of Standard Webhooks
    ("whsec_", 24),
    // Clouds, registries and model providers
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("ya29.", 20),
    ("npm_", 30),
    ("pypi-", 40),
    ("dckr_pat_", 20),
    ("hvs.", 20),
    ("sk-ant-", 20),
    ("sk-proj-", 20),
    ("sk-", 40),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("xoxa-", 16),
    ("xoxr-", 16),
    ("xoxs-", 16),
    ("xapp-", 16),
    ("SG.", 40),
];

/// Words that make a field or map key one whose value is secret.
const SECRET_WORDS: &[&str] =
    &["password", "passwd", "passphrase", "secret", "token", "apikey", "privatekey", "credential", "accesskey"];

/// Which bytes a word of [`SECRET_WORDS`] begins with, in either case.
const STARTS_SECRET_WORD: [bool; 256] = {
    let mut starts = [false; 256];
    let mut at = 0;
    while at < SECRET_WORDS.len() {
        let first = SECRET_WORDS[at].as_bytes()[0];
        starts[first as usize] = true;
        starts[first.to_ascii_uppercase() as usize] = true;
        at += 1;
    }
    starts
};

/// Which credential `text` looks like, in a field or map key called `name`.
pub(super) fn looks_like(text: &str, name: &str) -> Option<&'static str> {
    if text.len() < 8 {
        return None;
    }
    // Every text of every payload comes by here: what needs a rare byte is looked for where that byte is.
    if text.contains(' ') && text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    if let Some(found) = word_starts(text).find_map(credential_at) {
        return Some(found);
    }
    if text.contains('@') && has_url_with_password(text) {
        return Some("an address with a password");
    }
    (text.len() >= LEAST_RANDOM && is_secret_name(name) && is_random(text)).then_some("a secret value")
}

/// Which credential free text holds: a token, a key, an address with a password (R9, S38). `None` for text that holds none.
///
/// ```
/// assert!(krate_model::validate::credential_in("see ghp_0123456789abcdefghijklmnopqrstuvwxyz").is_some());
/// assert_eq!(krate_model::validate::credential_in("see the token page"), None);
/// ```
pub fn credential_in(text: &str) -> Option<&'static str> {
    looks_like(text, "")
}

/// As [`credential_in`], for the value of a member of that name: behind a name such as `password`, anything that looks random counts, too.
///
/// ```
/// assert!(krate_model::validate::credential_in_member("password", "x7Kq92mVwZp4LtR8sB3nYc").is_some());
/// assert_eq!(krate_model::validate::credential_in_member("title", "x7Kq92mVwZp4LtR8sB3nYc"), None);
/// ```
pub fn credential_in_member(name: &str, text: &str) -> Option<&'static str> {
    looks_like(text, name)
}

/// Whether a field or map key is called as secrets are.
pub(super) fn is_secret_name(name: &str) -> bool {
    let folded = |from: usize| {
        let letters = name.bytes().skip(from).filter(u8::is_ascii_alphanumeric);
        letters.map(|byte| byte.to_ascii_lowercase())
    };
    let is_at = |from: usize| SECRET_WORDS.iter().any(|word| folded(from).take(word.len()).eq(word.bytes()));
    // Every member of every payload comes by here: few letters begin a word.
    let begins = |byte: u8| STARTS_SECRET_WORD.get(usize::from(byte)).is_some_and(|begins| *begins);
    name.bytes().enumerate().any(|(at, byte)| begins(byte) && is_at(at))
}

/// `text` for a message, or a word for it where it may be secret (R29).
pub(super) fn shown(text: &str, name: &str) -> String {
    const MAX_CHARS: usize = 64;
    if is_secret_name(name) || looks_like(text, name).is_some() {
        return "the value".to_owned();
    }
    let cut: String = text.chars().take(MAX_CHARS).collect();
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}

fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'=' | b'/' | b'+')
}

fn run(bytes: &[u8], is_part: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| is_part(**byte)).count()
}

/// The places in `text` where a word may begin.
fn word_starts(text: &str) -> impl Iterator<Item = &str> {
    let mut before = b' ';
    text.bytes().enumerate().filter_map(move |(at, byte)| {
        let starts = !before.is_ascii_alphanumeric();
        before = byte;
        // None within a character of several bytes.
        if starts { text.get(at..) } else { None }
    })
}

/// Which bytes a provider's token or a JSON Web Token begins with: few places in a text are worth a longer look.
const STARTS_TOKEN: [bool; 256] = {
    let mut starts = [false; 256];
    let mut at = 0;
    while at < TOKEN_PREFIXES.len() {
        starts[TOKEN_PREFIXES[at].0.as_bytes()[0] as usize] = true;
        at += 1;
    }
    starts[b'e' as usize] = true;
    starts
};

/// Which credential the text begins with.
fn credential_at(word: &str) -> Option<&'static str> {
    let first = word.bytes().next()?;
    if !STARTS_TOKEN.get(usize::from(first)).is_some_and(|starts| *starts) {
        return None;
    }
    if is_jwt(word) {
        return Some("a JSON Web Token");
    }
    let is_token = |(prefix, least): &(&str, usize)| {
        word.strip_prefix(prefix).is_some_and(|rest| run(rest.as_bytes(), is_token_char) >= *least)
    };
    TOKEN_PREFIXES.iter().any(is_token).then_some("a provider's token")
}

fn is_jwt(word: &str) -> bool {
    if !word.starts_with("eyJ") {
        return false;
    }
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let parts: Vec<&str> = word.splitn(4, '.').take(3).collect();
    matches!(parts.as_slice(), [head, body, signature]
        if head.len() >= 12 && head.bytes().all(is_base64url)
            && body.starts_with("eyJ") && body.bytes().all(is_base64url)
            && run(signature.as_bytes(), is_base64url) >= 16)
}

fn has_url_with_password(text: &str) -> bool {
    text.match_indices("://").any(|(at, _)| {
        let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
        let scheme = before.rfind(|char: char| !char.is_ascii_alphanumeric() && !matches!(char, '+' | '-' | '.'));
        let start = scheme
            .map_or(0, |place| place + before.get(place..).and_then(|c| c.chars().next()).map_or(1, char::len_utf8));
        let end = after.find(|char: char| char.is_whitespace() || matches!(char, '"' | '\'' | '<' | '>' | '`' | ')'));
        let address = text.get(start..at + end.unwrap_or(after.len()));
        // An address that names nobody needn't be parsed.
        let named = address.filter(|address| address.contains('@'));
        named.and_then(|address| Url::parse(address).ok()).is_some_and(|url| url.password().is_some())
    })
}

/// Bytes that a generated value has at least.
const LEAST_RANDOM: usize = 20;

/// Whether `text` reads like a generated value: a UUID, long hex, or a long run of mixed letters and digits.
fn is_random(text: &str) -> bool {
    let text = text.trim();
    let is_hex = |byte: u8| byte.is_ascii_hexdigit();
    let groups: Vec<usize> =
        text.split('-').map(|part| if part.bytes().all(is_hex) { part.len() } else { 0 }).collect();
    if groups == [8, 4, 4, 4, 12] {
        return true;
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_');
    text.split(|char: char| !u8::try_from(char).is_ok_and(is_part)).filter(|part| part.len() >= LEAST_RANDOM).any(
        |part| {
            let has = |is: fn(&u8) -> bool| usize::from(part.as_bytes().iter().any(is));
            let classes = has(u8::is_ascii_lowercase) + has(u8::is_ascii_uppercase) + has(u8::is_ascii_digit);
            let distinct = part.bytes().collect::<std::collections::BTreeSet<_>>().len();
            // A word of prose repeats few letters of one class; a random value spreads over two classes or is long hex.
            distinct >= 10 && (classes >= 3 || (classes == 2 && part.bytes().any(|byte| byte.is_ascii_digit())))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Put together here so that no scanner takes the source for a leak.
    fn token(prefix: &str, length: usize) -> String {
        format!("{prefix}{}", "a1B2".chars().cycle().take(length).collect::<String>())
    }

    #[test]
    fn r9_every_provider_prefix_is_seen_alone_and_in_a_sentence() {
        for (prefix, least) in TOKEN_PREFIXES {
            let token = token(prefix, *least);
            assert!(looks_like(&token, "displayName").is_some(), "{prefix}");
            assert!(looks_like(&format!("use {token}, please"), "markdown").is_some(), "{prefix}");
            assert_eq!(looks_like(prefix, "displayName"), None, "{prefix}");
        }
    }

    #[test]
    fn r9_keys_tokens_and_addresses_with_passwords() {
        let jwt = format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{}", "x".repeat(40));
        for (text, name) in [
            (format!("-----BEGIN OPENSSH {} KEY-----\nAAAA", "PRIVATE"), "key"),
            (jwt, "note"),
            ("see https://alice:wonder@example.com/x".to_owned(), "markdown"),
            ("1b4e28ba-2fa1-11d2-883f-0016d3cca427".to_owned(), "apiToken"),
            ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b".to_owned(), "client_secret"),
        ] {
            assert!(looks_like(&text, name).is_some(), "{name}");
        }
    }

    #[test]
    fn r9_names_and_plain_words_are_no_secrets() {
        for (text, name) in [
            ("github-app-private-key-2024.pem", "privateKey"),
            ("webhook-secret", "key"),
            ("gh-app", "secretRef"),
            ("krate-runner-token-audience", "tokenAudience"),
            ("https://alice@example.com/", "markdown"),
            ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "commitSha"),
            ("sha256:0000000000000000000000000000000000000000000000000000000000000001", "digest"),
            ("task-force-of-everybody-who-has-forty-characters-here", "displayName"),
            ("desk-reservation-for-all-of-the-people-in-the-building", "name"),
        ] {
            assert_eq!(looks_like(text, name), None, "{text}");
        }
    }

    #[test]
    fn r29_what_may_be_secret_is_never_shown() {
        let token = token("ghp_", 36);
        assert_eq!(shown(&token, "displayName"), "the value");
        assert_eq!(shown("hunter2", "password"), "the value");
        assert_eq!(shown("githb", "providerType"), "\"githb\"");
    }

    proptest! {
        #[test]
        fn r9_any_text_is_judged(text in "\\PC{0,80}", name in "[a-zA-Z]{0,12}") {
            let _ = looks_like(&text, &name);
        }
    }
}
