//! Two bounds in order, and ends that lie ahead (R49, R55).

use serde_json::Value;

use super::Subject;
use super::failure::{Code, Findings};
use super::path::{get, text};
use super::rules::Rule;
use super::scalars::duration;
use crate::kinds::shared::parse_time;

/// Earlier field, later field, and whether they may be equal. Names are the same in every kind that has them.
const ORDERED: &[(&str, &str, bool)] = &[
    ("retry.baseDelay", "retry.maxDelay", true),
    ("retryPolicy.baseDelay", "retryPolicy.maxDelay", true),
    ("reconnectPolicy.baseDelay", "reconnectPolicy.maxDelay", true),
    ("backfill.interval", "backfill.fullResyncInterval", true),
    ("backfill.overlap", "backfill.fullResyncInterval", false),
    ("notBefore", "expiresAt", false),
    ("position.startLine", "position.line", true),
    ("rateLimit.writeFloorPercent", "rateLimit.reservePercent", true),
];

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for (earlier, later, may_be_equal) in ORDERED {
        let (Some(first), Some(last)) = (amount(subject.spec, earlier), amount(subject.spec, later)) else { continue };
        if first > last || (first == last && !may_be_equal) {
            let than = if *may_be_equal { "at least" } else { "more than" };
            findings.fail(
                format!("spec.{later}"),
                Rule::r(49),
                Code::Invalid,
                format!("must be {than} spec.{earlier}"),
            );
        }
    }
    let ends = text(subject.spec, "expiresAt").filter(|_| subject.sets("expiresAt")).and_then(parse_time);
    if ends.is_some_and(|end| end <= subject.request.now) {
        findings.fail(
            "spec.expiresAt",
            Rule::r(55),
            Code::Invalid,
            "lies in the past; an end lies ahead when it is set",
        );
    }
}

/// A number, duration or time as something that compares; a pair always holds two of a kind, else one is no such thing (R8).
fn amount(spec: &Value, field: &str) -> Option<i128> {
    let value = get(spec, field)?;
    if let Some(number) = value.as_i64() {
        return Some(number.into());
    }
    let text = value.as_str()?;
    if let Ok(duration) = duration(text) {
        return duration.num_nanoseconds().map(i128::from);
    }
    let time = parse_time(text)?;
    Some(i128::from(time.timestamp()) * 1_000_000_000 + i128::from(time.timestamp_subsec_nanos()))
}
