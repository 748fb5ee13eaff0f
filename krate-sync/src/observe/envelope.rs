//! The envelope of an observation (S5, S6).

use krate_model::kinds::external::ExternalObjectLinkPhase;
use krate_model::kinds::shared::{Extensions, ExternalEnvelope};
use krate_model::observation::{NativeFields, Normalized, Text};
use krate_model::{Digest, Resource};

use super::{Observation, seen_last, settle};
use crate::object::ObjectState;
use crate::scope::Scope;

/// Brings the envelope to the observation (S5, S6).
pub(super) fn take_envelope(state: &mut ObjectState, seen: Observation<'_>, scope: &Scope, content: Digest) {
    let event = seen.event;
    let generation = state.local.as_ref().map(|local| local.object.generation());
    let unsynced = state
        .link
        .as_ref()
        .is_some_and(|_| !state.conflicts.iter().all(|conflict| !crate::object::is_open(&conflict.object)));
    let Some(link) = &mut state.link else { return };
    link.dirty = true;
    let (provider, binding) = (link.object.spec.provider_ref.clone(), link.object.spec.binding_ref.clone());
    let status = link.object.status_mut();
    let described = describe(&event.normalized);
    let envelope = status.external.get_or_insert_with(|| {
        ExternalEnvelope::new(
            provider.clone(),
            binding,
            event.interface.clone(),
            event.native_kind.to_string(),
            event.native_id.to_string(),
        )
    });
    let text = |text: Option<&Text<'_>>| text.map(ToString::to_string);
    envelope.native_number = described.number.or(envelope.native_number);
    envelope.node_id = text(event.node_id.as_ref()).or(envelope.node_id.take());
    envelope.url = text(described.url).or(envelope.url.take());
    envelope.api_url = text(described.api_url).or(envelope.api_url.take());
    envelope.version = event.observed_version.clone();
    envelope.last_seen_at = seen_last(envelope.last_seen_at, seen.received_at);
    if !unsynced {
        envelope.last_synced_at = Some(seen.received_at);
        envelope.last_synced_generation = generation;
        status.last_agreed_generation = generation;
    }
    if let Some(fields) = described.fields.filter(|fields| !fields.0.is_empty()) {
        let extensions = envelope.extensions.get_or_insert_with(Extensions::default);
        scope.backend.adapter.provider_type().clone_into(&mut extensions.provider_type);
        "1".clone_into(&mut extensions.schema_version);
        extensions.take(fields);
    }
    status.tombstone = None;
    status.phase = ExternalObjectLinkPhase::Linked;
    status.observed_digest = Some(content);
    settle(status);
}

struct Described<'d> {
    number: Option<i64>,
    url: Option<&'d Text<'d>>,
    api_url: Option<&'d Text<'d>>,
    fields: Option<&'d NativeFields<'d>>,
}

fn describe<'d>(normalized: &'d Normalized<'d>) -> Described<'d> {
    macro_rules! of {
        ($object:ident, $number:expr) => {
            Described {
                number: $number,
                url: $object.url.as_ref(),
                api_url: $object.api_url.as_ref(),
                fields: Some(&$object.fields),
            }
        };
    }
    match normalized {
        Normalized::Issue(object) => of!(object, object.number),
        Normalized::PullRequest(object) => of!(object, object.number),
        Normalized::Pipeline(object) => of!(object, object.number),
        Normalized::Review(object) => of!(object, None),
        Normalized::Comment(object) => of!(object, None),
        Normalized::Job(object) => of!(object, None),
        Normalized::Repository(object) => of!(object, None),
        _ => Described { number: None, url: None, api_url: None, fields: None },
    }
}
