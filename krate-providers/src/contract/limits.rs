//! Bounds on a body, checked before anything parses it (S13).

/// What a body may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyLimits {
    /// Length in bytes.
    pub max_bytes: usize,
    /// Depth of JSON nesting.
    pub max_depth: usize,
}

impl BodyLimits {
    /// The limits that a provider has unless its configuration says otherwise: 25 MiB and 128 levels.
    pub const DEFAULT: Self = Self { max_bytes: 26_214_400, max_depth: 128 };

    /// The default depth with another length.
    pub const fn with_max_bytes(max_bytes: usize) -> Self {
        Self { max_bytes, ..Self::DEFAULT }
    }

    /// Checks a JSON body: not empty, not too long, UTF-8, an object or array by its first letter, not too deep. It doesn't check that all of it is
    /// JSON: what can't be read is found out, and kept, when it is processed (S12).
    ///
    /// # Errors
    /// [`BodyError`] names the first bound that is broken.
    pub fn check(&self, body: &[u8]) -> Result<(), BodyError> {
        if body.is_empty() {
            return Err(BodyError::Empty);
        }
        if body.len() > self.max_bytes {
            return Err(BodyError::TooLong { bytes: body.len(), max_bytes: self.max_bytes });
        }
        // The check for ASCII is several times quicker than the one for UTF-8, and settles most payloads.
        if !body.is_ascii()
            && let Err(error) = std::str::from_utf8(body)
        {
            return Err(BodyError::NotUtf8 { at: error.valid_up_to() });
        }
        // A form or a page of HTML that claims to be JSON.
        if !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return Err(BodyError::NotJson);
        }
        // Following strings costs several times as much as counting, and hardly any payload has so many brackets.
        if most_depth(body, self.max_depth) > self.max_depth {
            self.check_depth(body)?;
        }
        Ok(())
    }

    /// Follows the brackets outside of strings.
    fn check_depth(&self, body: &[u8]) -> Result<(), BodyError> {
        let mut depth = 0usize;
        let mut rest = body;
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'"' => rest = after_string(after),
                b'{' | b'[' => {
                    depth = depth.saturating_add(1);
                    if depth > self.max_depth {
                        let at = body.len().saturating_sub(after.len()).saturating_sub(1);
                        return Err(BodyError::TooDeep { at, max_depth: self.max_depth });
                    }
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What follows the string that `text` begins inside of.
#[allow(clippy::needless_bitwise_bool)] // Without branches the loop goes through wide registers.
fn after_string(text: &[u8]) -> &[u8] {
    let mut rest = text;
    loop {
        // Sixteen bytes at a time: the loop has no exit, so the compiler uses wide registers.
        while let Some((block, after)) = rest.split_first_chunk::<16>() {
            if block.iter().fold(false, |found, byte| found | (*byte == b'"') | (*byte == b'\\')) {
                break;
            }
            rest = after;
        }
        let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else { return &[] };
        match rest.get(at..).unwrap_or_default() {
            [b'"', after @ ..] => return after,
            [b'\\', _, after @ ..] => rest = after,
            _ => return &[],
        }
    }
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A depth that no reader of JSON goes beyond in `body`; not followed further once it is at most `enough`.
///
/// It is the number of opening brackets, without those that stand where no value can begin: a value is the first thing, or follows white space, `:`,
/// `,` or another opening bracket. Those of `{/sha}` in URL templates, which make up most of some payloads, don't.
#[allow(clippy::needless_bitwise_bool)] // As above.
fn most_depth(body: &[u8], enough: usize) -> usize {
    let mut most: usize = body.chunks(COUNTED).map(|bytes| count(bytes.iter().map(|byte| is_bracket(*byte)))).sum();
    let Some((_, after_first)) = body.split_first() else { return most };
    for (before, bytes) in body.chunks(COUNTED).zip(after_first.chunks(COUNTED)) {
        if most <= enough {
            break;
        }
        let begins_value = |before: u8| (before <= b' ') | (before == b':') | (before == b',') | is_bracket(before);
        let pairs = before.iter().zip(bytes);
        most = most.saturating_sub(count(pairs.map(|(before, byte)| is_bracket(*byte) & !begins_value(*before))));
    }
    most
}

/// A `u8` counts so many without overflow, which lets the compiler use wide registers.
const COUNTED: usize = 240;

fn count(found: impl Iterator<Item = bool>) -> usize {
    usize::from(found.fold(0u8, |count, found| count.wrapping_add(u8::from(found))))
}

/// `[` and `{` differ in one bit only.
const fn is_bracket(byte: u8) -> bool {
    byte & 0xdf == b'['
}

/// A body that is refused before it is parsed (S13).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// There is none.
    #[error("the body is empty")]
    Empty,
    /// It is longer than configured.
    #[error("the body has {bytes} bytes; at most {max_bytes} are accepted (spec.webhook.maxBodyBytes)")]
    TooLong {
        /// Length found.
        bytes: usize,
        /// Length accepted.
        max_bytes: usize,
    },
    /// It is no text.
    #[error("the body is not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// First byte that is wrong.
        at: usize,
    },
    /// It is something else than it is declared to be.
    #[error("the body is no JSON object or array, which its content type says it is")]
    NotJson,
    /// It nests too deep.
    #[error("the body nests deeper than {max_depth} levels at byte {at}")]
    TooDeep {
        /// Where the limit is passed.
        at: usize,
        /// Levels accepted.
        max_depth: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    #[test]
    fn s13_each_broken_bound_has_its_own_error() {
        let limits = BodyLimits { max_bytes: 300, max_depth: 4 };
        assert_eq!(limits.check(b""), Err(BodyError::Empty));
        assert_eq!(limits.check(&[b' '; 301]), Err(BodyError::TooLong { bytes: 301, max_bytes: 300 }));
        assert_eq!(limits.check(b"{\"a\":\"\xff\"}"), Err(BodyError::NotUtf8 { at: 6 }));
        for other in [&b"payload=%7B%7D"[..], b"<html>", b"\"text\"", b" ", b"null"] {
            assert_eq!(limits.check(other), Err(BodyError::NotJson));
        }
        assert_eq!(limits.check(b" \r\n{}"), Ok(()));
        assert_eq!(limits.check(b"[[[[1]]]]"), Ok(()));
        assert_eq!(limits.check(b"[[[[[1]]]]]"), Err(BodyError::TooDeep { at: 4, max_depth: 4 }));
        assert_eq!(limits.check(b"{\"a\":{\"b\":[{\"c\":{}}]}}"), Err(BodyError::TooDeep { at: 16, max_depth: 4 }));
    }

    #[test]
    fn s13_brackets_in_text_are_no_depth() {
        let limits = BodyLimits { max_bytes: 300, max_depth: 2 };
        assert_eq!(limits.check(br#"{"a":"[[[[[[\"[[[[{{{{"}"#), Ok(()));
        assert_eq!(limits.check(br"[{},{},{},{},{}]"), Ok(()));
    }

    /// Depth byte by byte.
    fn naively(limits: &BodyLimits, body: &[u8]) -> Result<(), BodyError> {
        let (mut depth, mut in_string, mut escaped) = (0, false, false);
        for (at, byte) in body.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => {
                    depth += 1;
                    if depth > limits.max_depth {
                        return Err(BodyError::TooDeep { at, max_depth: limits.max_depth });
                    }
                }
                b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        Ok(())
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof!["[\\[\\]{}\"\\\\:, a\n]{0,12}", "[a-z]{0,40}[\\[{:]{0,3}", "[ :\\[]{30,90}"]
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![any_text().prop_map(serde_json::Value::from), Just(serde_json::Value::Null)];
        leaf.prop_recursive(6, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map(any_text(), inner, 0..4)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn s13_the_depth_of_json_is_found_as_byte_by_byte(json in any_json(), max_depth in 0usize..8, laid_out: bool) {
            let limits = BodyLimits { max_bytes: usize::MAX, max_depth };
            let json = serde_json::json!([json]);
            let body = if laid_out { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) }.unwrap();
            prop_assert_eq!(limits.check(&body), naively(&limits, &body));
        }

        #[test]
        fn s13_the_scan_goes_through_anything_as_byte_by_byte(parts in prop::collection::vec(any_text(), 0..6), max_depth in 0usize..8) {
            let limits = BodyLimits { max_bytes: usize::MAX, max_depth };
            let body = format!("[{}", parts.concat()).into_bytes();
            prop_assert_eq!(limits.check_depth(&body), naively(&limits, &body));
            // What has fewer places for values than brackets is no JSON: its reader ends before it gets there.
            if limits.check(&body).is_ok() && naively(&limits, &body).is_err() {
                prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err());
            }
        }
    }

    #[test]
    fn s13_url_templates_are_no_depth_and_do_not_hide_it() {
        let limits = BodyLimits { max_bytes: usize::MAX, max_depth: 3 };
        let templates = r#""https://api/{/sha}{/path}{?a}","#.repeat(200);
        let body = format!("[{templates}[[1]]]");
        assert_eq!(most_depth(body.as_bytes(), 0), 3);
        assert_eq!(limits.check(body.as_bytes()), Ok(()));
        let at = templates.len() + 3;
        let body = format!("[{templates}[[[1]]]]");
        assert_eq!(limits.check(body.as_bytes()), Err(BodyError::TooDeep { at, max_depth: 3 }));
    }
}
