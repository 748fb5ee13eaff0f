//! Patterns read slowly (section 4), as far as generated policies have them: whole segments, `*` and `**` at the end.

use serde_json::Value;

use super::world::{text, texts};

/// Section 4: segments one by one.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    fn go(pattern: &[&str], text: &[&str]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (["**"], text) => !text.is_empty(),
            (["*", pattern @ ..], [_, text @ ..]) => go(pattern, text),
            ([one, pattern @ ..], [other, text @ ..]) => one == other && go(pattern, text),
            _ => false,
        }
    }
    go(&pattern.split('/').collect::<Vec<_>>(), &name.split('/').collect::<Vec<_>>())
}

/// P66: what denies also matches without regard to case.
pub(crate) fn over_matches(pattern: &str, name: &str) -> bool {
    matches(pattern, name) || matches(&pattern.to_lowercase(), &name.to_lowercase())
}

/// Whether a ref is among those that a filter includes, and not among those that it excludes.
pub(crate) fn selects(filter: &Value, found: &Value, [include, exclude]: [fn(&str, &str) -> bool; 2]) -> bool {
    let among = |list: &str, fits: fn(&str, &str) -> bool| texts(&filter[list]).iter().any(|it| fits(it, text(found)));
    !found.is_null() && among("include", include) && !among("exclude", exclude)
}
