//! The object is gone at the provider (S18).

use krate_model::audit::AuditOutcome;
use krate_model::kinds::external::{
    Confirmation, ExternalObjectLinkPhase, ExternalWriteIntent, ExternalWriteIntentPhase, NativeIdentity, Payload,
    Tombstone, TombstoneReason,
};
use krate_model::kinds::sets::EventAction;
use krate_model::kinds::shared::{ObjectRef, Time};
use krate_model::{Resource, canonical_digest};

use super::{Applied, Observation, ObserveError, settle};
use crate::local::local_kind;
use crate::machines::Refused;
use crate::moves;
use crate::object::{ObjectState, controller, projection_name};
use crate::observed::{actor_of, mark_deleted};
use crate::plan::deletes;
use crate::scope::Scope;

/// S18: the deletion is kept, so that nothing late revives the object.
pub(super) fn tombstone(
    state: &mut ObjectState,
    seen: Observation<'_>,
    scope: &Scope,
) -> Result<Applied, ObserveError> {
    let event = seen.event;
    let Some(kind) = local_kind(&event.resource_kind) else { return Ok(Applied::NoObject) };
    let name = match &state.local {
        Some(local) => local.object.name().to_owned(),
        None => projection_name(kind, scope.organization(), scope.provider(), &event.native_kind, &event.native_id)?,
    };
    let identity = NativeIdentity {
        interface: event.interface.clone(),
        native_kind: event.native_kind.to_string(),
        native_id: event.native_id.to_string(),
    };
    let reason =
        if event.action == EventAction::Transferred { TombstoneReason::Transferred } else { TombstoneReason::Deleted };
    let link = state.link_or_new(scope, identity, ObjectRef::new(kind.as_str(), name))?;
    let status = link.object.status_mut();
    if status.tombstone.is_some() {
        return Ok(Applied::NoChange);
    }
    // The payload of a deletion has the version of the last change before it: the newest known one is at least as new.
    let mut version = event.observed_version.clone();
    if let Some(known) = status.external.as_ref().and_then(|external| external.version.updated_at) {
        version.updated_at = version.updated_at.max(Some(known));
    }
    status.tombstone = Some(Tombstone { version, reason, at: seen.received_at });
    status.phase = ExternalObjectLinkPhase::Tombstoned;
    settle(status);
    link.dirty = true;
    making_is_seen(state, seen)?;
    bury(state, seen, scope)
}

/// What was made here, and whose making was never answered, was made: its deletion shows that. It isn't made again; and what was to be deleted is (S34).
pub(super) fn making_is_seen(state: &mut ObjectState, seen: Observation<'_>) -> Result<(), ObserveError> {
    let digest = canonical_digest(seen.event)?;
    let is_shown =
        |intent: &ExternalWriteIntent| intent.spec.native_target.native_id.is_none() || deletes(&intent.spec.payload);
    for intent in state.intents.iter_mut().filter(|intent| is_shown(&intent.object)) {
        match intent.object.status.as_ref().map(|status| &status.phase) {
            Some(ExternalWriteIntentPhase::AwaitingConfirmation) => {
                state.audit.extend(moves::confirm_intent(intent, seen.shows.into(), digest, seen.received_at)?);
            }
            Some(ExternalWriteIntentPhase::Sending | ExternalWriteIntentPhase::Retrying) => {
                let proof = Confirmation { by: seen.shows.into(), digest, at: seen.received_at };
                intent.change().status_mut().confirmation.get_or_insert(proof);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The object is gone: the projection says so, and what was still to be written has nowhere to go.
pub(super) fn bury(state: &mut ObjectState, seen: Observation<'_>, scope: &Scope) -> Result<Applied, ObserveError> {
    if let Some(local) = &mut state.local {
        mark_deleted(&mut local.object);
        local.dirty = true;
    }
    withdraw_unsent(state, "the object was deleted at the provider", seen.received_at)?;
    let draft = state.tell(
        scope,
        "ObjectDeleted",
        actor_of(seen.event.actor.as_ref(), scope.provider()).unwrap_or_else(controller),
        seen.received_at,
    );
    state.audit.push(draft.outcome(AuditOutcome::Recorded));
    Ok(Applied::Changed(Vec::new()))
}

/// Takes back what was not sent yet.
pub(crate) fn withdraw_unsent(state: &mut ObjectState, reason: &str, now: Time) -> Result<(), Refused> {
    withdraw(state, reason, now, |_| true)
}

pub(super) fn withdraw(
    state: &mut ObjectState,
    reason: &str,
    now: Time,
    which: impl Fn(&Payload) -> bool,
) -> Result<(), Refused> {
    for intent in &mut state.intents {
        let phase = intent.object.status.as_ref().map(|status| status.phase.clone());
        let unsent =
            matches!(phase, Some(ExternalWriteIntentPhase::PendingApproval | ExternalWriteIntentPhase::ReadyToSend));
        if unsent && which(&intent.object.spec.payload) {
            state.replan = true;
            state.audit.extend(moves::cancel_intent(intent, reason, now)?);
        }
    }
    Ok(())
}
