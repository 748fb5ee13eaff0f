//! Conditions whose transition time tells the truth. Spec: resource-kinds.md R27; external-sync.md S42.
//!
//! [`set_condition`] answers whether anything changed, so that a caller writes a status only then. Kubernetes' own times are jiff's and hold whole
//! seconds; [`to_kube_time`] and [`from_kube_time`] are the one place where they meet krate's.

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_openapi::jiff::Timestamp;

use crate::kinds::shared::{Condition, Time};

/// The longest message of a condition, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 32_768;

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It doesn't.
    False,
    /// Nobody could tell.
    Unknown,
}

impl ConditionStatus {
    /// As it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// What was found out about one condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding<'a> {
    /// What it is about, such as `Ready`.
    pub kind: &'a str,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one Pascal-case word.
    pub reason: &'a str,
    /// Why, for people; cut to [`MAX_MESSAGE_BYTES`].
    pub message: &'a str,
    /// The generation that was looked at.
    pub observed_generation: Option<i64>,
}

/// Writes `finding` into `conditions` and answers whether that changed anything.
///
/// `lastTransitionTime` moves to `now` only when the status changes. A finding about an older generation than the one on record changes nothing, so that
/// `observedGeneration` never goes back and a late, stale look doesn't undo a newer one.
///
/// ```
/// use krate_model::condition::{ConditionStatus, Finding, from_kube_time, set_condition};
/// use krate_model::kinds::shared::parse_time;
/// let [nine, ten] = ["2026-06-01T09:00:00Z", "2026-06-01T10:00:00Z"].map(|text| parse_time(text).unwrap());
/// let ready = Finding { kind: "Ready", status: ConditionStatus::True, reason: "Ok", message: "", observed_generation: Some(1) };
/// let mut conditions = Vec::new();
/// assert!(set_condition(&mut conditions, ready, nine));
/// assert!(!set_condition(&mut conditions, ready, ten));
/// assert_eq!(from_kube_time(&conditions[0].last_transition_time), nine);
/// ```
pub fn set_condition(conditions: &mut Vec<Condition>, finding: Finding<'_>, now: Time) -> bool {
    let message = finding.message.get(..finding.message.floor_char_boundary(MAX_MESSAGE_BYTES)).unwrap_or_default();
    let Some(known) = conditions.iter_mut().find(|known| known.type_ == finding.kind) else {
        conditions.push(Condition {
            type_: finding.kind.into(),
            status: finding.status.as_str().into(),
            reason: finding.reason.into(),
            message: message.into(),
            last_transition_time: to_kube_time(now),
            observed_generation: finding.observed_generation,
        });
        return true;
    };
    if finding.observed_generation.is_some_and(|seen| known.observed_generation.is_some_and(|newest| seen < newest)) {
        return false;
    }
    let before = known.clone();
    if known.status != finding.status.as_str() {
        known.status = finding.status.as_str().into();
        known.last_transition_time = to_kube_time(now);
    }
    if known.reason != finding.reason {
        known.reason = finding.reason.into();
    }
    if known.message != message {
        known.message = message.into();
    }
    known.observed_generation = finding.observed_generation.or(known.observed_generation);
    *known != before
}

/// The condition of that type.
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|known| known.type_ == kind)
}

/// Whether the condition of that type is known and `True`.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    condition(conditions, kind).is_some_and(|known| known.status == ConditionStatus::True.as_str())
}

/// `time` in Kubernetes' own type, cut to whole seconds as its JSON is; a time before year -9999 or after 9999 becomes the nearest that JSON can hold.
pub fn to_kube_time(time: Time) -> meta::Time {
    let seconds = time.timestamp();
    let nearest = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    meta::Time(Timestamp::from_second(seconds).unwrap_or(nearest))
}

/// Kubernetes' time in krate's type, which holds every one of them.
pub fn from_kube_time(time: &meta::Time) -> Time {
    // jiff's years -9999 to 9999 lie within chrono's, so the default is never taken.
    Time::from_timestamp(time.0.as_second(), 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(1_780_000_000 + seconds, 0).unwrap()
    }

    fn finding(status: ConditionStatus, generation: i64) -> Finding<'static> {
        Finding { kind: "Ready", status, reason: "Checked", message: "m", observed_generation: Some(generation) }
    }

    fn any_status() -> impl Strategy<Value = ConditionStatus> {
        prop_oneof![Just(ConditionStatus::True), Just(ConditionStatus::False), Just(ConditionStatus::Unknown)]
    }

    proptest! {
        #[test]
        fn r27_the_transition_time_moves_only_with_the_status_and_generations_never_go_back(
            story in prop::collection::vec((any_status(), 1..5i64, 0..3u8), 1..20)
        ) {
            let mut conditions = Vec::new();
            for (step, (status, generation, reason)) in (0..).zip(story) {
                let before = condition(&conditions, "Ready").cloned();
                let reason = ["A", "B", "C"][usize::from(reason)];
                let told = set_condition(&mut conditions, Finding { reason, ..finding(status, generation) }, at(step));
                let after = condition(&conditions, "Ready").unwrap();
                prop_assert_eq!(told, before.as_ref() != Some(after));
                if let Some(before) = before {
                    let moved = before.last_transition_time != after.last_transition_time;
                    prop_assert_eq!(moved, before.status != after.status);
                    prop_assert!(after.observed_generation >= before.observed_generation);
                } else {
                    prop_assert_eq!(&after.last_transition_time, &to_kube_time(at(step)));
                }
            }
            prop_assert_eq!(conditions.len(), 1);
        }

        #[test]
        fn times_survive_the_way_to_kubernetes_and_back(seconds in -62_000_000_000..200_000_000_000i64) {
            let time = Time::from_timestamp(seconds, 0).unwrap();
            prop_assert_eq!(from_kube_time(&to_kube_time(time)), time);
        }
    }

    #[test]
    fn s42_a_stale_finding_does_not_undo_a_newer_one() {
        let mut conditions = Vec::new();
        assert!(set_condition(&mut conditions, finding(ConditionStatus::True, 3), at(0)));
        assert!(!set_condition(&mut conditions, finding(ConditionStatus::False, 2), at(1)));
        assert!(is_true(&conditions, "Ready"));
        let untold = Finding { observed_generation: None, ..finding(ConditionStatus::False, 0) };
        assert!(set_condition(&mut conditions, untold, at(2)));
        assert_eq!(conditions[0].observed_generation, Some(3));
    }

    #[test]
    fn r27_a_condition_reads_back_as_it_was_written() {
        let mut conditions = Vec::new();
        let odd = Time::from_timestamp(1_780_000_000, 999_999_999).unwrap();
        set_condition(&mut conditions, finding(ConditionStatus::True, 1), odd);
        let text = serde_json::to_string(&conditions).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Condition>>(&text).unwrap(), conditions);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let mut conditions = Vec::new();
        let message = format!("a{}", "é".repeat(MAX_MESSAGE_BYTES));
        set_condition(&mut conditions, Finding { message: &message, ..finding(ConditionStatus::True, 1) }, at(0));
        assert_eq!(conditions[0].message.len(), MAX_MESSAGE_BYTES - 1);
    }

    #[test]
    fn a_time_out_of_range_becomes_the_nearest() {
        assert_eq!(to_kube_time(Time::MAX_UTC).0, Timestamp::MAX);
        assert_eq!(to_kube_time(Time::MIN_UTC).0, Timestamp::MIN);
    }
}
