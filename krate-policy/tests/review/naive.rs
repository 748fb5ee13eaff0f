//! Patterns read slowly (section 4), as far as generated policies have them: whole segments, `*` and `**` at the end.

/// Section 4: segments one by one.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    fn go(pattern: &[&str], text: &[&str]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (["**"], text) => !text.is_empty(),
            (["*", pattern @ ..], [_, text @ ..]) => go(pattern, text),
            ([one, pattern @ ..], [other, text @ ..]) => one == other && go(pattern, text),
            _ => false,
        }
    }
    go(&pattern.split('/').collect::<Vec<_>>(), &text.split('/').collect::<Vec<_>>())
}

/// P66: what denies also matches without regard to case.
pub(crate) fn over_matches(pattern: &str, text: &str) -> bool {
    matches(pattern, text) || matches(&pattern.to_lowercase(), &text.to_lowercase())
}
