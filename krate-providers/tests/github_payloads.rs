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

#[cfg(feature = "testkit")]
#[test]
fn s49_the_payloads_are_as_the_manifest_declares() {
    use krate_providers::suite::{Recorded, webhooks};
    let (origin, payloads) = payloads();
    // Two samples of other libraries have an action that GitHub never sends.
    let invented = ["go-playground/workflow_job.json", "jenkins-x/pr_comment.json"];
    let recorded: Vec<_> = payloads
        .iter()
        .filter(|payload| !invented.contains(&payload.name.as_str()))
        .map(|payload| Recorded { name: &payload.name, event_type: &payload.event_type, body: &payload.body })
        .collect();
    let mut broken = webhooks(&GitHub, &recorded);
    if origin == Origin::Published {
        broken.retain(|line| !line.ends_with("no payload is recorded"));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
