//! Patterns in documents: each is read by the one grammar, and what is wrong is told at its place (P12, P14 to P16).

use super::failure::{Code, Findings};
use super::path;
use super::rules::Rule;
use crate::pattern::{Domain, MAX_PATTERNS, Pattern, PatternError};
use serde_json::Value;

/// Checks the patterns of a filter `{include[], exclude[]}`; those of refs must name the full ref (P12).
pub(super) fn check_filter(spec: &Value, at: &str, domain: Domain, findings: &mut Findings) {
    for list in ["include", "exclude"] {
        let at = format!("{at}.{list}");
        check_list(path::get(spec, &at), &format!("spec.{at}"), domain, findings);
    }
}

/// Checks a list of patterns.
pub(super) fn check_list(patterns: Option<&Value>, at: &str, domain: Domain, findings: &mut Findings) {
    let Some(patterns) = patterns.and_then(Value::as_array) else { return };
    if patterns.len() > MAX_PATTERNS {
        findings.fail(at, Rule::p(14), Code::TooMany, format!("holds more than {MAX_PATTERNS} patterns"));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let Some(pattern) = pattern.as_str() else { continue };
        let at = format!("{at}[{index}]");
        match Pattern::parse(pattern, domain) {
            Ok(_) => {}
            Err(error @ PatternError::ShortRef) => {
                let bare = pattern.strip_prefix('/').unwrap_or(pattern);
                let message = format!("the pattern {error}: refs/heads/{bare} or refs/tags/{bare}");
                findings.fail_near(at, Rule::p(12), Code::Invalid, message, Some(format!("refs/heads/{bare}")));
            }
            Err(error) => {
                let rule = match error {
                    PatternError::NeverMatches(_) => Rule::p(12),
                    PatternError::Deceptive(_) => Rule::p(16),
                    _ => Rule::p(14),
                };
                findings.fail(at, rule, Code::Invalid, format!("the pattern {error}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problem(pattern: &str) -> Option<PatternError> {
        Pattern::parse(pattern, Domain::Name).err()
    }

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
        check_filter(&json!({"refs": {"include": ["refs/tags/v*", "main"]}}), "refs", Domain::Ref, &mut findings);
        let [failure] = findings.report.failures.as_slice() else { panic!("{findings:?}") };
        assert_eq!((failure.path.as_str(), failure.rule), ("spec.refs.include[1]", Rule::p(12)));
        assert!(failure.message.contains("refs/heads/main") && failure.message.contains("refs/tags/main"));
    }
}
