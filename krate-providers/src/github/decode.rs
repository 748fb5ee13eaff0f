//! Reading JSON with errors that say where, at no cost while nothing is wrong.

use std::fmt::Write as _;

use serde::Deserialize;

use krate_model::validate::credential_in;

use crate::contract::DecodeError;

const MAX_PATH_BYTES: usize = 256;

/// Reads `body`, borrowing from it.
///
/// # Errors
/// [`DecodeError`] with the path, and without any value of the body.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, DecodeError> {
    let text = std::str::from_utf8(body).map_err(|error| DecodeError {
        path: "$".to_owned(),
        message: format!("not UTF-8 from byte {} on", error.valid_up_to()),
    })?;
    // Following the path slows reading down; so it is followed only when there is an error to place.
    serde_json::from_str(text).map_err(|error| locate::<T>(text, &error))
}

#[cold]
fn locate<'a, T: Deserialize<'a>>(text: &'a str, fast: &serde_json::Error) -> DecodeError {
    let mut json = serde_json::Deserializer::from_str(text);
    let (path, message) = match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Err(error) => (error.path().to_string(), without_value(error.inner())),
        Ok(_) => (String::new(), without_value(fast)),
    };
    DecodeError { path: shown_path(path), message }
}

/// Keys on the path may come from the sender: they are cut, and control characters don't get out.
#[allow(clippy::needless_pass_by_value)] // It stands in a chain of `map`s.
fn shown_path(path: String) -> String {
    // A key may be a secret as well as a value (S47): the error then points above it.
    if path.is_empty() || path == "." || credential_in(&path).is_some() {
        return "$".to_owned();
    }
    let mut shown: String = path.chars().filter(|char| !char.is_control()).collect();
    if shown.len() > MAX_PATH_BYTES {
        let cut = (0..=MAX_PATH_BYTES).rev().find(|at| shown.is_char_boundary(*at)).unwrap_or(0);
        shown.truncate(cut);
        shown.push('…');
    }
    shown
}

/// The reader's message, without the value that it quotes: a value may be a secret (S47).
fn without_value(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = message.rfind(" at line ").filter(|_| error.line() > 0);
    let text = place.and_then(|at| message.get(..at)).unwrap_or(&message);
    let mut shown = match text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: ")) {
        Some(found) => {
            let kind = found.split([' ', ',']).next().unwrap_or_default();
            let accepted = found.rsplit_once(", expected ").map_or("another type", |(_, accepted)| accepted);
            format!("found {kind}, expected {accepted}")
        }
        None => text.to_owned(),
    };
    if place.is_some() {
        // Writing to a string can't fail.
        let _ = write!(shown, " at line {} column {}", error.line(), error.column());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)] // Only whether it can be read matters.
    struct Outer {
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Inner {
        number: i64,
    }

    fn error(text: &str) -> String {
        parse::<Outer>(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn s12_an_error_says_where_and_what_would_be_accepted() {
        assert_eq!(error(r#"{"inner":[{"number":1},{}]}"#), "inner[1]: missing field `number` at line 1 column 25");
        assert_eq!(error("{}"), "$: missing field `inner` at line 1 column 2");
        assert_eq!(error("true"), "$: found boolean, expected struct Outer at line 1 column 4");
        assert_eq!(error(r#"{"inner":[]} x"#), "$: trailing characters at line 1 column 14");
        assert!(parse::<Outer>(b"{\"inner\":\"\xff\"}").unwrap_err().message.starts_with("not UTF-8 from byte 10"));
    }

    #[test]
    fn s47_an_error_never_quotes_the_value() {
        assert_eq!(
            error(r#"{"inner":[{"number":"ghp_canary, expected canary"}]}"#),
            "inner[0].number: found string, expected i64 at line 1 column 49"
        );
    }
}
