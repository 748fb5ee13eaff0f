//! The webhook half of the suite: real payloads against what the manifest declares.

use std::collections::BTreeSet;

use krate_model::kinds::external::ManifestWebhook;

use crate::contract::{Normalization, Provider};

/// A recorded payload, and the event type that came with it.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'p> {
    /// Where it is, for the report.
    pub name: &'p str,
    /// The event type.
    pub event_type: &'p str,
    /// The body as it came.
    pub body: &'p [u8],
}

/// What in `recorded` breaks the manifest's word about webhooks; empty when it keeps it.
///
/// Each declared event has a payload; a payload of a declared event normalizes, with kinds of objects and actions that the
/// manifest names; one of an undeclared event is ignored. The events' ordinals are their places (S11).
pub fn webhooks(provider: &dyn Provider, recorded: &[Recorded<'_>]) -> Vec<String> {
    let declared: Vec<&ManifestWebhook> = provider.manifest().interfaces.iter().flat_map(|i| &i.webhooks).collect();
    let mut broken: Vec<String> = declared
        .iter()
        .filter(|webhook| recorded.iter().all(|payload| payload.event_type != webhook.event))
        .map(|webhook| format!("{}: declared, and no payload is recorded", webhook.event))
        .collect();
    for payload in recorded {
        let webhook = declared.iter().find(|webhook| webhook.event == payload.event_type);
        broken.extend(one(provider, webhook.copied(), payload).map(|what| format!("{}: {what}", payload.name)));
    }
    broken
}

fn one(provider: &dyn Provider, webhook: Option<&ManifestWebhook>, payload: &Recorded<'_>) -> Option<String> {
    let (events, webhook) = match (provider.normalize(payload.event_type, payload.body), webhook) {
        (Err(error), _) => return Some(format!("can't be read: {error}")),
        (Ok(Normalization::Ignored(_)), _) => return None,
        (Ok(Normalization::Events(_)), None) => return Some("has events, and its type is not declared".to_owned()),
        (Ok(Normalization::Events(events)), Some(webhook)) => (events, webhook),
    };
    let mut seen = BTreeSet::new();
    for (place, event) in (0u32..).zip(&events) {
        if event.ordinal != place {
            return Some(format!("event {place} has the ordinal {} (S11)", event.ordinal));
        }
        if event.resource_kind != event.normalized.resource_kind() || !webhook.yields.contains(&event.resource_kind) {
            return Some(format!("event {place} is about a {}, which is not declared", event.resource_kind));
        }
        if let Some(action) = event.native_action.as_deref()
            && !webhook.actions.iter().any(|declared| declared == action)
        {
            return Some(format!("the action {action} is not declared"));
        }
        if !event.native_id.is_empty() && !seen.insert((&event.native_kind, &event.native_id)) {
            return Some(format!("two events are about {} {} (S5)", event.native_kind, event.native_id));
        }
    }
    None
}
