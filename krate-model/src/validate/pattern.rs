//! Whether a pattern may be written: grammar, limits, and that a ref pattern names the full ref (P12, P14 to P16).
//!
//! Matching is krate-policy's; here stands only what a document may hold.

use super::failure::{Code, Findings};
use super::path;
use super::rules::Rule;
use super::text;
use serde_json::Value;

const MAX_BYTES: usize = 512;
const MAX_SEGMENTS: usize = 32;
const MAX_COMBINATIONS: usize = 64;
const MAX_ALTERNATIVES: usize = 16;
const MAX_PATTERNS: usize = 256;

/// What is wrong with a pattern's form.
pub(super) fn problem(pattern: &str) -> Option<&'static str> {
    if pattern.len() > MAX_BYTES {
        return Some("is longer than 512 bytes");
    }
    if let Some(problem) = text::problem(pattern, false) {
        return Some(problem);
    }
    let segments: Vec<&str> = pattern.split('/').collect();
    if segments.len() > MAX_SEGMENTS {
        return Some("has more than 32 segments");
    }
    let mut combinations = 1usize;
    for segment in segments {
        match segment_combinations(segment) {
            Ok(count) => combinations = combinations.saturating_mul(count),
            Err(problem) => return Some(problem),
        }
    }
    (combinations > MAX_COMBINATIONS).then_some("has more than 64 combinations of alternatives")
}

/// How many literal segments a segment stands for by its braces.
fn segment_combinations(segment: &str) -> Result<usize, &'static str> {
    if segment.is_empty() {
        return Err("has an empty segment");
    }
    if segment == "**" {
        return Ok(1);
    }
    let (mut combinations, mut inside, mut before) = (1usize, None::<usize>, '/');
    let mut chars = segment.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('*' | '?' | '{' | '}' | ',' | '\\' | '!' | '[') => {}
                _ => return Err("has a `\\` that escapes nothing"),
            },
            '*' if before == '*' => return Err("has `**` beside other characters; it stands alone between slashes"),
            '[' => return Err("has `[`; character classes are not in the grammar, write alternatives in braces"),
            '!' if before == '/' => return Err("begins with `!`; use the exclude list"),
            '{' if inside.is_some() => return Err("has braces inside braces"),
            '{' => inside = Some(1),
            ',' => inside = inside.map(|parts| parts + 1),
            '}' => match inside.take() {
                Some(parts @ 2..=MAX_ALTERNATIVES) => combinations = combinations.saturating_mul(parts),
                Some(_) => return Err("has braces with fewer than 2 or more than 16 alternatives"),
                None => return Err("has `}` without `{`"),
            },
            _ => {}
        }
        before = if char == '\\' { '\\' } else { char };
    }
    if inside.is_some() { Err("has `{` without `}`") } else { Ok(combinations) }
}

/// Checks the patterns of a filter `{include[], exclude[]}`; those of refs must name the full ref (P12).
pub(super) fn check_filter(spec: &Value, at: &str, are_refs: bool, findings: &mut Findings) {
    for list in ["include", "exclude"] {
        let at = format!("{at}.{list}");
        check_list(path::get(spec, &at), &format!("spec.{at}"), are_refs, findings);
    }
}

/// Checks a list of patterns.
pub(super) fn check_list(patterns: Option<&Value>, at: &str, are_refs: bool, findings: &mut Findings) {
    let Some(patterns) = patterns.and_then(Value::as_array) else { return };
    if patterns.len() > MAX_PATTERNS {
        findings.fail(at, Rule::p(14), Code::TooMany, "holds more than 256 patterns");
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let Some(pattern) = pattern.as_str() else { continue };
        let at = format!("{at}[{index}]");
        if let Some(problem) = problem(pattern) {
            findings.fail(at, Rule::p(14), Code::Invalid, format!("the pattern {problem}"));
        } else if are_refs && !pattern.starts_with("refs/") {
            let bare = pattern.strip_prefix('/').unwrap_or(pattern);
            let message = format!(
                "a ref pattern names the full ref: write refs/heads/{bare} for a branch or refs/tags/{bare} for a tag"
            );
            findings.fail_near(at, Rule::p(12), Code::Invalid, message, Some(format!("refs/heads/{bare}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn p14_forms_that_may_be_written() {
        for good in ["refs/heads/main", "refs/heads/**", "a/*/b?", "{a,b}/c", "x{1,2,}y", "\\[a]", "a,b", "**"] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in ["", "a//b", "a**", "**a", "a/", "{a}", "{a,{b,c}}", "{a", "a}", "[ab]", "!a", "\\x", "a\u{200b}"] {
            assert!(problem(bad).is_some(), "{bad}");
        }
        assert!(problem(&"a".repeat(513)).is_some());
        assert!(problem(&vec!["a"; 33].join("/")).is_some());
        assert_eq!(problem("{a,b}{a,b}{a,b}/{a,b}{a,b}{a,b}"), None);
        assert!(problem("{a,b}{a,b}{a,b}/{a,b}{a,b}{a,b}{a,b}").is_some());
    }

    #[test]
    fn p12_a_short_ref_is_refused_with_both_readings() {
        let mut findings = Findings::default();
        check_filter(&json!({"refs": {"include": ["refs/tags/v*", "main"]}}), "refs", true, &mut findings);
        let [failure] = findings.report.failures.as_slice() else { panic!("{findings:?}") };
        assert_eq!((failure.path.as_str(), failure.rule), ("spec.refs.include[1]", Rule::p(12)));
        assert!(failure.message.contains("refs/heads/main") && failure.message.contains("refs/tags/main"));
    }
}
