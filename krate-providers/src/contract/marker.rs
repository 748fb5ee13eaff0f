//! A key hidden in a text, so that a create on a provider without idempotency keys can be found again (S34).
//!
//! The key stands on the last line, in an HTML comment, which Markdown doesn't show: `<!-- krate:0123…89ab -->`. It is the first 40
//! hex digits of the intent's idempotency key. What krate reads from a provider never has it in the body: the codec takes it
//! off and reports it beside.

use krate_model::Digest;

const OPEN: &str = "<!-- krate:";
const CLOSE: &str = " -->";
const KEY_BYTES: usize = 40;

/// The part of `digest` that is hidden.
pub fn key(digest: &Digest) -> String {
    let mut hex = digest.to_hex();
    hex.truncate(KEY_BYTES);
    hex
}

/// `body` with the key of `digest` hidden at its end; a key that is there already makes room.
pub fn append(body: &str, digest: &Digest) -> String {
    let (body, _) = split(body);
    let separator = if body.is_empty() { "" } else { "\n\n" };
    format!("{body}{separator}{OPEN}{}{CLOSE}", key(digest))
}

/// `text` without the hidden key, and the key. A text without one comes back as it is.
pub fn split(text: &str) -> (&str, Option<&str>) {
    // The mark has a fixed length, so that a long text without one costs nothing.
    let trimmed = text.trim_end();
    let found = trimmed.len().checked_sub(OPEN.len() + KEY_BYTES + CLOSE.len()).and_then(|at| {
        let (before, mark) = trimmed.split_at_checked(at)?;
        let key = mark.strip_prefix(OPEN)?.strip_suffix(CLOSE)?;
        let is_key = key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let on_its_own_line = before.is_empty() || before.ends_with('\n');
        (is_key && on_its_own_line).then_some((before, key))
    });
    match found {
        Some((before, key)) => (without_line_break(without_line_break(before)), Some(key)),
        None => (text, None),
    }
}

fn without_line_break(text: &str) -> &str {
    let Some(text) = text.strip_suffix('\n') else { return text };
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest() -> Digest {
        Digest::of(b"a request")
    }

    proptest! {
        #[test]
        fn s34_a_hidden_key_is_found_and_leaves_the_text_as_it_was(body in "[ -~\\né]{0,80}") {
            let (hidden, key) = (append(&body, &digest()), key(&digest()));
            prop_assert_eq!(split(&hidden), (body.as_str(), Some(key.as_str())));
            prop_assert_eq!(append(&hidden, &digest()), hidden);
        }
    }

    #[test]
    fn s34_a_key_survives_what_a_web_form_does_to_line_ends() {
        let hidden = format!("{}\r\n", append("one\ntwo", &digest()).replace('\n', "\r\n"));
        assert_eq!(split(&hidden), ("one\r\ntwo", Some(key(&digest()).as_str())));
    }

    #[test]
    fn s34_what_only_looks_like_a_key_stays_in_the_text() {
        let key = key(&digest());
        for text in [
            "",
            "text",
            "<!-- krate:0123 -->",
            &format!("quoted <!-- krate:{key} -->"),
            &format!("<!-- krate:{key} -->\nand more"),
            &format!("<!-- krate:{} -->", key.to_uppercase()),
            &format!("<!-- krate:{key}"),
        ] {
            assert_eq!(split(text), (text, None));
        }
    }
}
