//! What an observation does to an object: order, merge, conflicts, confirmation. Spec: external-sync.md sections 5 and 7, S15 to S20, S27 to S31.
//!
//! Read [`observe`] from top to bottom: a deletion, an observation that can't be ordered, one that is old, and the one that counts.

mod deletion;
mod envelope;
mod fields;
mod written_over;

use krate_model::kinds::external::{
    Confirmation, ConfirmedBy, ExternalObjectLinkStatus, ExternalWriteIntentPhase, NativeIdentity,
};
use krate_model::kinds::sets::EventAction;
use krate_model::kinds::shared::{ObjectRef, Time};
use krate_model::observation::{CanonicalEvent, Normalized};
use krate_model::{Digest, NotCanonical, Resource, canonical_json};

use crate::local::local_kind;
use crate::machines::Refused;
use crate::merge::{FieldRule, FieldValue};
use crate::mistakes::{Mistake, made};
use crate::moves;
use crate::object::{ObjectState, projection_name};
use crate::observed::{Home, new_local, observed, take_status};
use crate::order::{Incoming, Order, Origin, order};
use crate::records::{Loaded, bump_generation};
use crate::scope::Scope;

use deletion::tombstone;
pub(crate) use deletion::withdraw_unsent;
use envelope::take_envelope;
pub(crate) use fields::hold_uncarried;
use fields::merge;
pub(crate) use written_over::is_lost_edit;

/// What a provider said, and how it came here.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'o> {
    /// What it said.
    pub event: &'o CanonicalEvent<'o>,
    /// Whether it was pushed, or answered a request.
    pub origin: Origin,
    /// By what a write is confirmed that it shows.
    pub shows: Shows,
    /// When it came in.
    pub received_at: Time,
}

/// What kind of proof an observation is (S35).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// A webhook.
    Webhook,
    /// A read of the object.
    Read,
    /// A page of a list.
    Backfill,
    /// The answer to a write.
    Response,
}

impl From<Shows> for ConfirmedBy {
    fn from(shows: Shows) -> Self {
        match shows {
            Shows::Webhook => Self::Webhook,
            Shows::Read => Self::Read,
            Shows::Backfill => Self::Backfill,
            Shows::Response => Self::Response,
        }
    }
}

/// What became of an observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The projection, the base or a conflict changed; these fields of the projection did.
    Changed(Vec<String>),
    /// It says what is known already.
    NoChange,
    /// It is older than what is known, or than the object's deletion.
    Stale,
    /// Nobody can tell whether it is newer, or it describes only a part: the object has to be read.
    Hydrate,
    /// What it is about isn't known here: read that first.
    NeedsParent,
    /// It is about something that krate has no object for.
    NoObject,
}

/// Why an observation could not be applied. Nothing is written then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// A value has no canonical JSON.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
    /// A machine refused a transition.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Applies an observation to the state of its object. Pure: what is to be written stays in `state`.
///
/// # Errors
/// [`ObserveError`]; `state` must be dropped then.
pub fn observe(state: &mut ObjectState, seen: Observation<'_>, scope: &Scope) -> Result<Applied, ObserveError> {
    let event = seen.event;
    let Some(kind) = local_kind(&event.resource_kind) else { return Ok(Applied::NoObject) };
    state.take_up(scope);
    if is_end(event) {
        return tombstone(state, seen, scope);
    }
    let fields = observed(&event.normalized, event.complete);
    let content = content_digest(&fields)?;
    let known = state.link.as_ref().and_then(|link| link.object.status.as_ref());
    let incoming =
        Incoming { version: &event.observed_version, content: event.complete.then_some(content), origin: seen.origin };
    let mut ordered = known.map_or(Order::Newer, |known| order(known, incoming));
    if made(Mistake::ArrivalOrders) && matches!(ordered, Order::Older | Order::Ambiguous)
        || made(Mistake::OlderWins) && ordered == Order::Older
    {
        ordered = Order::Newer;
    }
    if made(Mistake::SameSecondIsSame) && ordered == Order::Ambiguous {
        ordered = Order::Same;
    }
    let rules = scope.rules(&event.interface, kind);
    if matches!(ordered, Order::Older | Order::Ambiguous)
        && written_over::find(state, seen, scope, &rules, &fields)?
        && ordered == Order::Older
    {
        return Ok(Applied::Changed(Vec::new()));
    }
    match ordered {
        Order::Older | Order::Tombstoned => return Ok(Applied::Stale),
        Order::Same => {
            let confirmed = confirm(state, seen, &fields, content)?;
            let settled = settle_hydration(state, seen);
            let agreed = agree(state, &rules, &fields)?;
            return Ok(if confirmed || settled || agreed { Applied::Changed(Vec::new()) } else { Applied::NoChange });
        }
        Order::Ambiguous => return Ok(hydrate(state, seen)),
        Order::Newer => {}
    }
    if !event.complete {
        // A part of an object is news, but no state: the whole is read (S8).
        return Ok(hydrate(state, seen));
    }
    if !has_home(state, &event.normalized) {
        return Ok(Applied::NeedsParent);
    }

    let name = match &state.local {
        Some(local) => local.object.name().to_owned(),
        None => projection_name(kind, scope.organization(), scope.provider(), &event.native_kind, &event.native_id)?,
    };
    let identity = NativeIdentity {
        interface: event.interface.clone(),
        native_kind: event.native_kind.to_string(),
        native_id: event.native_id.to_string(),
    };
    let is_new = state.link.is_none();
    state.link_or_new(scope, identity, ObjectRef::new(kind.as_str(), name.as_str()))?;
    let mut changed = Vec::new();
    if state.local.is_none() {
        let home = Home {
            namespace: scope.namespace(),
            name: &name,
            organization: scope.organization(),
            repository: scope.repository(),
            parent: state.parent.as_ref(),
            body_format: scope.body_format(),
        };
        let Some(local) = new_local(&event.normalized, home) else { return Ok(Applied::NeedsParent) };
        state.local = Some(Loaded::new(local));
        for rule in &rules {
            if let Some((path, value)) = fields.iter().find(|(path, _)| *path == rule.path) {
                state.set_base(rule, value)?;
                changed.push((*path).to_owned());
            }
        }
    } else {
        written_over::remember(state, seen, &rules, &fields)?;
        merge(state, seen, scope, &rules, &fields, &mut changed)?;
    }
    if let Some(local) = &mut state.local {
        local.dirty = true;
        take_status(&mut local.object, &event.normalized, scope.provider());
        if !changed.is_empty() && !is_new {
            crate::local::each!(&mut local.object, object => bump_generation(object));
        }
    }
    take_envelope(state, seen, scope, content);
    confirm(state, seen, &fields, content)?;
    Ok(Applied::Changed(changed))
}

/// Whether the event tells that its object is there no more: nothing of it can be read.
pub(crate) fn is_end(event: &CanonicalEvent<'_>) -> bool {
    matches!(event.action, EventAction::Deleted | EventAction::Transferred)
}

/// What both sides have is agreed on, also where the provider had it before: a write of what was there already shows nothing new.
fn agree(
    state: &mut ObjectState,
    rules: &[FieldRule<'static>],
    fields: &[(&'static str, FieldValue<'_>)],
) -> Result<bool, ObserveError> {
    let is_dirty = |state: &ObjectState| state.link.as_ref().is_some_and(|link| link.dirty);
    let before = is_dirty(state);
    for (path, value) in fields {
        let is_ours = state.local.as_ref().is_some_and(|local| local.object.get(path) == *value);
        if let Some(rule) = rules.iter().find(|rule| rule.path == *path)
            && is_ours
            && state.open_conflict(path).is_none()
        {
            state.set_base(rule, value)?;
        }
    }
    Ok(!before && is_dirty(state))
}

/// Whether the object that this one belongs to is known, where it needs one.
fn has_home(state: &ObjectState, normalized: &Normalized<'_>) -> bool {
    let needs_parent = matches!(normalized, Normalized::Comment(_) | Normalized::Review(_) | Normalized::Job(_));
    !needs_parent || state.parent.is_some() || state.local.is_some()
}

/// Digest of the mergeable fields of an observation: equal contents have equal ones, whatever payload they came in (S16).
fn content_digest(fields: &[(&'static str, FieldValue<'_>)]) -> Result<Digest, NotCanonical> {
    let mut text = String::with_capacity(512);
    for (path, value) in fields {
        let json = match value {
            // A set has no order.
            FieldValue::List(list) => {
                let mut sorted: Vec<&str> = list.iter().map(AsRef::as_ref).collect();
                sorted.sort_unstable();
                Some(serde_json::Value::from(sorted))
            }
            value => value.to_json(),
        };
        text.push_str(path);
        text.push('=');
        text.push_str(&canonical_json(&json)?);
        text.push('\n');
    }
    Ok(Digest::of(text.as_bytes()))
}

/// How far apart the times of two observations that are applied at once, or by two machines, may be.
const CLOCK_SLACK: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

/// When the newest observation came in. A time that is still to come was told by a clock that was set back since: if it counted, no read could
/// decide before that time (S16).
fn seen_last(known: Option<Time>, now: Time) -> Option<Time> {
    known.filter(|known| *known - now <= CLOCK_SLACK).max(Some(now))
}

/// S16, S17: the object is read again, and the read decides.
fn hydrate(state: &mut ObjectState, seen: Observation<'_>) -> Applied {
    if let Some(link) = &mut state.link {
        link.dirty = true;
        let status = link.object.status_mut();
        status.needs_hydration = !made(Mistake::HydrationForgotten);
        status.not_before = None;
        if let Some(external) = &mut status.external {
            // A read has to start after this to decide.
            external.last_seen_at = seen_last(external.last_seen_at, seen.received_at);
        }
    }
    Applied::Hydrate
}

/// A read that says nothing new has answered the question all the same.
fn settle_hydration(state: &mut ObjectState, seen: Observation<'_>) -> bool {
    let Some(link) = &mut state.link else { return false };
    let asked = link.object.status.as_ref().is_some_and(|status| status.needs_hydration);
    if !asked || !matches!(seen.origin, Origin::Read { .. }) {
        return false;
    }
    link.dirty = true;
    settle(link.object.status_mut());
    true
}

fn settle(status: &mut ExternalObjectLinkStatus) {
    status.needs_hydration = false;
    status.not_before = None;
    status.hydration_attempts = 0;
}

/// S20: an observation that shows what an intent wrote confirms it.
fn confirm(
    state: &mut ObjectState,
    seen: Observation<'_>,
    fields: &[(&'static str, FieldValue<'_>)],
    content: Digest,
) -> Result<bool, ObserveError> {
    let mut confirmed = false;
    for intent in &mut state.intents {
        if !crate::plan::is_shown(&intent.object.spec.payload, fields) {
            continue;
        }
        match intent.object.status.as_ref().map(|status| &status.phase) {
            Some(ExternalWriteIntentPhase::AwaitingConfirmation) => {
                state.audit.extend(moves::confirm_intent(intent, seen.shows.into(), content, seen.received_at)?);
                confirmed = true;
            }
            // Whether it was carried out is still unknown to whoever sends it: what was seen here is the answer, even if it is changed again until
            // the look comes (S34).
            Some(ExternalWriteIntentPhase::Sending | ExternalWriteIntentPhase::Retrying)
                if !made(Mistake::ConfirmationForgotten)
                    && intent.object.status.as_ref().is_some_and(|status| status.confirmation.is_none()) =>
            {
                let proof = Confirmation { by: seen.shows.into(), digest: content, at: seen.received_at };
                intent.change().status_mut().confirmation = Some(proof);
                confirmed = true;
            }
            _ => {}
        }
    }
    Ok(confirmed)
}
