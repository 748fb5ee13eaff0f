//! Which of two observations of one object is newer. Spec: external-sync.md section 5, S15 to S18.
//!
//! Versions are instants, sequences or tags of the provider, never the time of arrival. The provider's clock may be too coarse to order two contents;
//! then the object is read again, and a read that *started* after the other observation arrived decides (S16).

use krate_model::Digest;
use krate_model::kinds::external::{ExternalObjectLinkStatus, TombstoneReason};
use krate_model::kinds::shared::{Time, Version};

use crate::mistakes::{Mistake, made};

/// How an observation stands to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It is newer, or the first one: take it.
    Newer,
    /// It is the known one again: nothing to do.
    Same,
    /// It is older: drop it (S15).
    Older,
    /// Nobody can tell: read the object again (S16, S17).
    Ambiguous,
    /// It isn't newer than the object's deletion: drop it (S18).
    Tombstoned,
}

/// Where an observation comes from, as far as order is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Pushed by the provider: a webhook.
    Pushed,
    /// The answer to a request that was sent at this time: a read, a list page, or the answer to a write.
    Read {
        /// When the request was sent.
        started_at: Time,
    },
}

/// What is new about an observation.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'v> {
    /// Its version.
    pub version: &'v Version,
    /// Digest of its mergeable fields; absent for a deletion or an incomplete observation.
    pub content: Option<Digest>,
    /// Where it comes from.
    pub origin: Origin,
}

/// How `incoming` stands to the newest observation that `known` holds.
pub fn order(known: &ExternalObjectLinkStatus, incoming: Incoming<'_>) -> Order {
    if let Some(tombstone) = known.tombstone.as_ref().filter(|_| !made(Mistake::TombstoneForgotten)) {
        return match by_version(&tombstone.version, incoming.version) {
            // A read that began after the deletion was known finds the object again (S18).
            _ if made(Mistake::RevivalForgotten) => Order::Tombstoned,
            _ if matches!(incoming.origin, Origin::Read { started_at } if started_at > tombstone.at) => Order::Newer,
            // Nobody said when an object went that a list didn't show: a late word about a change before it looks newer. A read decides.
            Some(std::cmp::Ordering::Greater) if tombstone.reason == TombstoneReason::Missing => Order::Ambiguous,
            Some(std::cmp::Ordering::Greater) => Order::Newer,
            _ => Order::Tombstoned,
        };
    }
    let Some(external) = &known.external else { return Order::Newer };
    let same_content = incoming.content.is_some() && incoming.content == known.observed_digest;
    match by_version(&external.version, incoming.version) {
        Some(std::cmp::Ordering::Greater) => Order::Newer,
        Some(std::cmp::Ordering::Less) => Order::Older,
        Some(std::cmp::Ordering::Equal) | None if same_content => Order::Same,
        // S16: a read that began after the last observation came in is newer than that, whatever a coarse clock says.
        Some(std::cmp::Ordering::Equal) | None => match (incoming.origin, external.last_seen_at) {
            (Origin::Read { started_at }, Some(seen)) if started_at > seen => Order::Newer,
            (Origin::Read { .. }, None) => Order::Newer,
            _ => Order::Ambiguous,
        },
    }
}

/// How `incoming` compares with `known`: `Greater` is newer. `None` where they have nothing in common to compare by (S17).
fn by_version(known: &Version, incoming: &Version) -> Option<std::cmp::Ordering> {
    if let (Some(known), Some(incoming)) = (known.sequence, incoming.sequence) {
        return Some(incoming.cmp(&known));
    }
    if let (Some(known), Some(incoming)) = (known.updated_at, incoming.updated_at) {
        if made(Mistake::TimesAsText) {
            let text = |time: Time| time.format("%F %-H:%-M:%-S").to_string();
            return Some(text(incoming).cmp(&text(known)));
        }
        return Some(incoming.cmp(&known));
    }
    match (&known.etag, &incoming.etag) {
        // Tags have no order: the same one is the same version, another one is just another.
        (Some(known), Some(incoming)) if known == incoming => Some(std::cmp::Ordering::Equal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use krate_model::kinds::external::Tombstone;
    use krate_model::kinds::sets::Interface;
    use krate_model::kinds::shared::{ExternalEnvelope, parse_time};
    use proptest::prelude::*;

    fn t(seconds: i64) -> Time {
        Time::from_timestamp(1_780_000_000 + seconds, 0).unwrap()
    }

    fn version(seconds: i64) -> Version {
        Version { updated_at: Some(t(seconds)), ..Version::default() }
    }

    fn known(at: i64, seen: i64, content: &[u8]) -> ExternalObjectLinkStatus {
        ExternalObjectLinkStatus {
            external: Some(ExternalEnvelope {
                last_seen_at: Some(t(seen)),
                version: version(at),
                ..ExternalEnvelope::new("gh", "b", Interface::IssueTracking, "issue", "1")
            }),
            observed_digest: Some(Digest::of(content)),
            ..ExternalObjectLinkStatus::default()
        }
    }

    fn incoming<'v>(version: &'v Version, content: &[u8], origin: Origin) -> Incoming<'v> {
        Incoming { version, content: Some(Digest::of(content)), origin }
    }

    #[test]
    fn s15_newer_replaces_older_never_and_the_same_is_nothing() {
        let known = known(10, 11, b"a");
        assert_eq!(order(&known, incoming(&version(11), b"b", Origin::Pushed)), Order::Newer);
        assert_eq!(order(&known, incoming(&version(9), b"b", Origin::Pushed)), Order::Older);
        assert_eq!(order(&known, incoming(&version(10), b"a", Origin::Pushed)), Order::Same);
    }

    #[test]
    fn s16_two_contents_in_one_second_are_read_again_and_a_later_read_decides() {
        let known = known(10, 11, b"a");
        assert_eq!(order(&known, incoming(&version(10), b"b", Origin::Pushed)), Order::Ambiguous);
        let before = Origin::Read { started_at: t(11) };
        assert_eq!(order(&known, incoming(&version(10), b"b", before)), Order::Ambiguous);
        let after = Origin::Read { started_at: t(12) };
        assert_eq!(order(&known, incoming(&version(10), b"b", after)), Order::Newer);
    }

    #[test]
    fn s17_instants_are_compared_not_text_and_a_missing_one_is_no_version() {
        let known = known(10, 11, b"a");
        let same = Version { updated_at: parse_time("2026-05-28T22:26:50+02:00"), ..Version::default() };
        let utc = Version { updated_at: parse_time("2026-05-28T20:26:50.000Z"), ..Version::default() };
        assert_eq!(by_version(&same, &utc), Some(std::cmp::Ordering::Equal));
        assert_eq!(order(&known, incoming(&Version::default(), b"b", Origin::Pushed)), Order::Ambiguous);
        assert_eq!(parse_time("2026-05-28 20:26:50"), None);
    }

    #[test]
    fn s18_a_late_observation_does_not_revive_and_a_later_read_does() {
        let mut known = known(10, 11, b"a");
        known.tombstone = Some(Tombstone { version: version(20), reason: TombstoneReason::Deleted, at: t(21) });
        assert_eq!(order(&known, incoming(&version(20), b"b", Origin::Pushed)), Order::Tombstoned);
        assert_eq!(order(&known, incoming(&version(15), b"b", Origin::Read { started_at: t(20) })), Order::Tombstoned);
        assert_eq!(order(&known, incoming(&version(15), b"b", Origin::Read { started_at: t(22) })), Order::Newer);
        assert_eq!(order(&known, incoming(&version(21), b"b", Origin::Pushed)), Order::Newer);
    }

    #[test]
    fn s18_what_a_list_missed_is_read_before_a_late_word_about_it_counts() {
        let mut known = known(10, 11, b"a");
        known.tombstone = Some(Tombstone { version: version(10), reason: TombstoneReason::Missing, at: t(21) });
        assert_eq!(order(&known, incoming(&version(15), b"b", Origin::Pushed)), Order::Ambiguous);
        assert_eq!(order(&known, incoming(&version(15), b"b", Origin::Read { started_at: t(20) })), Order::Ambiguous);
        assert_eq!(order(&known, incoming(&version(10), b"b", Origin::Pushed)), Order::Tombstoned);
        assert_eq!(order(&known, incoming(&version(15), b"b", Origin::Read { started_at: t(22) })), Order::Newer);
    }

    proptest! {
        /// Whatever two pushed observations of different versions say, exactly one of the two orders of arrival drops the other.
        #[test]
        fn s15_order_of_arrival_does_not_decide(a in 0i64..50, b in 0i64..50) {
            prop_assume!(a != b);
            let first = order(&known(a, 60, b"a"), incoming(&version(b), b"b", Origin::Pushed));
            let second = order(&known(b, 60, b"b"), incoming(&version(a), b"a", Origin::Pushed));
            prop_assert_eq!((first == Order::Newer, second == Order::Newer), (b > a, a > b));
            prop_assert_eq!((first == Order::Older, second == Order::Older), (b < a, a < b));
        }
    }
}
