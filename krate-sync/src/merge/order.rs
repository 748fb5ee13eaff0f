//! The strategy `monotonic`: values that only move forward within one attempt, so that the later one wins whoever says it.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::FieldValue;

/// Values with their rank. Values of one rank are equally late, and a value that isn't listed is neither earlier nor later than another.
pub type Order<'a> = &'a [(&'a str, u8)];

/// `state` of an issue or a pull request: `open` and `closed` change freely, `merged` is final (R38).
pub const STATES: Order<'static> = &[("open", 0), ("closed", 0), ("merged", 1)];

/// Phases of a pipeline or a job. `Unknown` says nothing, so everything is later.
pub const RUN_PHASES: Order<'static> = &[
    ("Unknown", 0),
    ("Queued", 1),
    ("Waiting", 1),
    ("Running", 2),
    ("Succeeded", 3),
    ("Failed", 3),
    ("Cancelled", 3),
    ("Skipped", 3),
];

/// A conclusion is later than none, and none is later than another.
pub const CONCLUSIONS: Order<'static> = &[
    ("success", 0),
    ("failure", 0),
    ("cancelled", 0),
    ("skipped", 0),
    ("neutral", 0),
    ("timed-out", 0),
    ("action-required", 0),
    ("stale", 0),
    ("startup-failure", 0),
];

/// Which of two values is later; `None` where neither is.
///
/// A value is a text of `order`, an integer, or an object `{"attempt": 2, "value": …}`: a higher attempt is later, whatever its value. No value at all is
/// earlier than any.
pub(super) fn later(order: Order<'_>, left: &FieldValue<'_>, right: &FieldValue<'_>) -> Option<Ordering> {
    match (rank(order, left)?, rank(order, right)?) {
        (left, right) if left == right => None,
        (left, right) => Some(left.cmp(&right)),
    }
}

/// Attempt, then rank inside the attempt.
fn rank(order: Order<'_>, value: &FieldValue<'_>) -> Option<(i64, Option<i64>)> {
    match value {
        FieldValue::Absent => Some((0, None)),
        FieldValue::Int(number) => Some((0, Some(*number))),
        FieldValue::Text(text) => Some((0, Some(rank_of(order, text)?))),
        FieldValue::Json(json) => {
            let attempt = json.get("attempt")?.as_i64()?;
            match json.get("value") {
                None | Some(Json::Null) => Some((attempt, None)),
                Some(value) => Some((attempt, Some(rank_of(order, value.as_str()?)?))),
            }
        }
        FieldValue::Bool(_) | FieldValue::List(_) => None,
    }
}

fn rank_of(order: Order<'_>, text: &str) -> Option<i64> {
    order.iter().find(|(known, _)| *known == text).map(|(_, rank)| i64::from(*rank))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn phase(text: &str) -> FieldValue<'_> {
        FieldValue::text(text)
    }

    #[test]
    fn a_run_moves_forward_within_an_attempt() {
        let later = |left: &FieldValue<'_>, right: &FieldValue<'_>| later(RUN_PHASES, left, right);
        assert_eq!(later(&phase("Running"), &phase("Queued")), Some(Ordering::Greater));
        assert_eq!(later(&phase("Queued"), &phase("Succeeded")), Some(Ordering::Less));
        assert_eq!(later(&phase("Failed"), &phase("Succeeded")), None);
        assert_eq!(later(&phase("Failed"), &phase("Exploded")), None);
        assert_eq!(later(&FieldValue::Absent, &phase("Unknown")), Some(Ordering::Less));
        let first = json!({"attempt": 1, "value": "Failed"});
        let second = json!({"attempt": 2, "value": "Queued"});
        assert_eq!(
            later(&FieldValue::from_json(Some(&second)), &FieldValue::from_json(Some(&first))),
            Some(Ordering::Greater)
        );
    }

    #[test]
    fn r38_merged_is_later_than_open_and_closed() {
        assert_eq!(later(STATES, &phase("merged"), &phase("closed")), Some(Ordering::Greater));
        assert_eq!(later(STATES, &phase("open"), &phase("closed")), None);
    }
}
