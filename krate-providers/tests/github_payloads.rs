//! Every real payload of GitHub becomes canonical events, or is ignored by name.
#![cfg(feature = "github")]

mod support;

use krate_providers::contract::{Ignored, Normalization, Provider};
use krate_providers::github::GitHub;
use support::{Origin, payloads};

#[test]
fn s12_every_payload_normalizes_or_is_ignored_by_name() {
    let (origin, payloads) = payloads();
    assert!(payloads.len() >= 8, "{} payloads are there", payloads.len());
    let (mut with_events, mut ignored) = (0, 0);
    for payload in &payloads {
        match GitHub.normalize(&payload.event_type, &payload.body) {
            Ok(Normalization::Events(events)) => {
                with_events += 1;
                assert!(!events.is_empty(), "{}", payload.name);
                for (place, event) in (0u32..).zip(&events) {
                    assert_eq!(event.ordinal, place, "S11: {}", payload.name);
                    assert_eq!(event.resource_kind, event.normalized.resource_kind(), "{}", payload.name);
                }
            }
            Ok(Normalization::Ignored(Ignored::UnknownEvent { event_type })) => {
                panic!("{}: {event_type} is not known", payload.name)
            }
            Ok(Normalization::Ignored(_)) => ignored += 1,
            Err(error) => panic!("{}: {error}", payload.name),
        }
    }
    if origin == Origin::Collection {
        assert_eq!((payloads.len(), with_events, ignored), (239, 139, 100));
    }
}
