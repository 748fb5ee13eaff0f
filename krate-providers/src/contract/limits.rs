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
        if let Err(error) = std::str::from_utf8(body) {
            return Err(BodyError::NotUtf8 { at: error.valid_up_to() });
        }
        // A form or a page of HTML that claims to be JSON.
        if !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return Err(BodyError::NotJson);
        }
        // A body can't be deeper than it has opening brackets. Counting those is many times cheaper than following strings, and settles
        // nearly every real payload.
        let openers: usize = body.chunks(255).map(count_openers).sum();
        if openers > self.max_depth {
            self.check_depth(body)?;
        }
        Ok(())
    }

    fn check_depth(&self, body: &[u8]) -> Result<(), BodyError> {
        let mut depth = 0usize;
        let mut in_string = false;
        let mut escaped = false;
        for (at, byte) in body.iter().enumerate() {
            if in_string {
                match (escaped, byte) {
                    (true, _) => escaped = false,
                    (false, b'\\') => escaped = true,
                    (false, b'"') => in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => in_string = true,
                b'{' | b'[' => {
                    depth = depth.saturating_add(1);
                    if depth > self.max_depth {
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

impl Default for BodyLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Opening brackets in at most 255 bytes: a `u8` can't overflow, which lets the compiler use wide registers.
fn count_openers(chunk: &[u8]) -> usize {
    // `[` and `{` differ in one bit only.
    usize::from(chunk.iter().fold(0u8, |count, byte| count.wrapping_add(u8::from(byte & 0xdf == b'['))))
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
}
