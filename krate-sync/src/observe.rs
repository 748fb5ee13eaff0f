//! What an observation does to an object: order, merge, conflicts, confirmation. Spec: external-sync.md sections 5 and 7, S15 to S20, S27 to S31.
//!
//! Read [`observe`] from top to bottom: a deletion, an observation that can't be ordered, one that is old, and the one that counts.

use krate_model::audit::AuditOutcome;
use krate_model::kinds::external::{
    Confirmation, ConfirmedBy, ExternalObjectLinkPhase, ExternalObjectLinkStatus, ExternalSyncConflict,
    ExternalSyncConflictSpec, ExternalWriteIntentPhase, NativeIdentity, Payload, SeenVersions, SupersededReason,
    Tombstone, TombstoneReason,
};
use krate_model::kinds::sets::{ConflictReason, EventAction, ResolutionStrategy};
use krate_model::kinds::shared::{Extensions, ExternalEnvelope, ObjectRef, Time, Value};
use krate_model::observation::{CanonicalEvent, NativeFields, Normalized, Text};
use krate_model::{Digest, NotCanonical, Resource, canonical_digest, canonical_json};

use crate::local::local_kind;
use crate::machines::{Policy, Refused, conflict, intent};
use crate::merge::{Base, Field, FieldOutcome, FieldRule, FieldValue, merge_field};
use crate::moves;
use crate::object::{ObjectState, controller, projection_name};
use crate::observed::{Home, actor_of, mark_deleted, new_local, observed, take_status};
use crate::order::{Incoming, Order, Origin, order};
use crate::records::{Loaded, bump_generation};
use crate::scope::Scope;

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
    if matches!(event.action, EventAction::Deleted | EventAction::Transferred) {
        return tombstone(state, seen, scope);
    }
    let fields = observed(&event.normalized, event.complete);
    let content = content_digest(&fields)?;
    let known = state.link.as_ref().and_then(|link| link.object.status.as_ref());
    let incoming =
        Incoming { version: &event.observed_version, content: event.complete.then_some(content), origin: seen.origin };
    let ordered = known.map_or(Order::Newer, |known| order(known, incoming));
    match ordered {
        Order::Older | Order::Tombstoned => return Ok(Applied::Stale),
        Order::Same => {
            let confirmed = confirm(state, seen, &fields, content)?;
            let settled = settle_hydration(state, seen);
            return Ok(if confirmed || settled { Applied::Changed(Vec::new()) } else { Applied::NoChange });
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
        for rule in scope.rules(&event.interface, kind) {
            if let Some((path, value)) = fields.iter().find(|(path, _)| *path == rule.path) {
                state.set_base(&rule, value)?;
                changed.push((*path).to_owned());
            }
        }
    } else {
        let rules = scope.rules(&event.interface, kind);
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
        status.needs_hydration = true;
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

/// S18: the deletion is kept, so that nothing late revives the object.
fn tombstone(state: &mut ObjectState, seen: Observation<'_>, scope: &Scope) -> Result<Applied, ObserveError> {
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

/// What was made here, and whose making was never answered, was made: its deletion shows that. It isn't made again (S34).
fn making_is_seen(state: &mut ObjectState, seen: Observation<'_>) -> Result<(), ObserveError> {
    let digest = canonical_digest(seen.event)?;
    for intent in state.intents.iter_mut().filter(|intent| intent.object.spec.native_target.native_id.is_none()) {
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
fn bury(state: &mut ObjectState, seen: Observation<'_>, scope: &Scope) -> Result<Applied, ObserveError> {
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

fn withdraw(state: &mut ObjectState, reason: &str, now: Time, which: impl Fn(&Payload) -> bool) -> Result<(), Refused> {
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

/// The merge of every field that was observed and has a rule (section 7).
fn merge(
    state: &mut ObjectState,
    seen: Observation<'_>,
    scope: &Scope,
    rules: &[FieldRule<'static>],
    fields: &[(&'static str, FieldValue<'_>)],
    changed: &mut Vec<String>,
) -> Result<(), ObserveError> {
    let now = seen.received_at;
    let mut merged: Vec<(&FieldRule<'static>, FieldValue<'static>)> = Vec::new();
    let mut conflicts = Vec::new();
    let mut replan = false;
    for rule in rules {
        let Some((path, theirs)) = fields.iter().find(|(path, _)| *path == rule.path) else { continue };
        let Some(local) = &state.local else { return Ok(()) };
        let desired = local.object.get(path);
        // A field in conflict stays so until somebody decides, whatever else arrives.
        let echo = match state.open_conflict(path) {
            None => crate::plan::echoed(state, rule, &desired, theirs),
            Some(_) => None,
        };
        let known = echo.as_ref().map_or_else(|| state.base(path), |echo| Base::Value(echo.borrowed()));
        let field = Field { rule, base: known, desired, observed: theirs.borrowed() };
        let outcome = merge_field(rule, &field.base, &field.desired, &field.observed);
        let mut base = None;
        match outcome {
            FieldOutcome::InSync | FieldOutcome::WriteDesired => base = echo.as_ref().map(|_| ()),
            FieldOutcome::Stale | FieldOutcome::Refused => {}
            FieldOutcome::Partly(_) => {}
            FieldOutcome::TakeObserved => {
                merged.push((rule, theirs.clone().into_owned()));
                base = Some(());
            }
            FieldOutcome::Merged { value, take, write } => {
                replan |= write;
                if take {
                    merged.push((rule, value.into_owned()));
                }
                base = Some(());
            }
            FieldOutcome::Agree => base = Some(()),
            FieldOutcome::Drift => {
                // The desired value differs from what is now the base, so the plan writes it again.
                replan = true;
                base = Some(());
                let draft = state.tell(
                    scope,
                    "Drift",
                    actor_of(seen.event.actor.as_ref(), scope.provider()).unwrap_or_else(controller),
                    now,
                );
                state.audit.push(draft.reason(format!("{path} moved at the provider; krate owns it")));
            }
            FieldOutcome::Conflict(reason) => {
                conflicts.push((rule, reason, theirs.clone().into_owned()));
                continue;
            }
        }
        if base.is_some() {
            state.set_base(rule, theirs)?;
        }
        if let Some(open) = state.open_conflict_mut(path) {
            // S28: the two sides came to agree on their own.
            let drafts = moves::supersede(open, &SupersededReason::Converged, None, now)?;
            state.audit.extend(drafts);
        }
    }
    state.replan |= replan;
    for (rule, value) in merged {
        if let Some(local) = &mut state.local {
            local.object.set(&rule.path, &value, scope.body_format());
            changed.push(rule.path.to_string());
        }
    }
    for (rule, reason, theirs) in conflicts {
        open_conflict(state, seen, scope, rule, reason, &theirs, changed)?;
    }
    Ok(())
}

/// The longest value that a conflict holds as text, in bytes.
const MAX_CONFLICT_VALUE_BYTES: usize = krate_model::kinds::shared::MAX_VALUE_BYTES;

/// S28: one open conflict a field; a newer divergence takes the place of the one before. The policy may resolve it at once.
fn open_conflict(
    state: &mut ObjectState,
    seen: Observation<'_>,
    scope: &Scope,
    rule: &FieldRule<'static>,
    reason: ConflictReason,
    theirs: &FieldValue<'static>,
    changed: &mut Vec<String>,
) -> Result<(), ObserveError> {
    let now = seen.received_at;
    let (Some(link), Some(local)) = (&state.link, &state.local) else { return Ok(()) };
    let path = rule.path.as_ref();
    let theirs_json = theirs.to_json();
    let ours_json = local.object.get(path).to_json();
    let observed_value = Value::of(theirs_json.as_ref(), MAX_CONFLICT_VALUE_BYTES)?;
    let desired_value = Value::of(ours_json.as_ref(), MAX_CONFLICT_VALUE_BYTES)?;
    let generation = local.object.generation();
    let same_as_open = state.open_conflict(path).is_some_and(|open| {
        let spec = &open.object.spec;
        spec.observed.digest == observed_value.digest && spec.desired.digest == desired_value.digest
    });
    if same_as_open {
        return Ok(());
    }
    let link_name = link.object.name().to_owned();
    let base = link
        .object
        .status
        .as_ref()
        .and_then(|status| status.base.iter().find(|field| field.path == path))
        .map(|field| field.value.clone());
    let versions = SeenVersions { desired_generation: generation, observed: seen.event.observed_version.clone() };
    let spec = ExternalSyncConflictSpec {
        organization_ref: scope.organization().to_owned(),
        provider_ref: scope.provider().to_owned(),
        binding_ref: scope.binding_name().to_owned(),
        interface: seen.event.interface.clone(),
        resource: local.object.to_ref(),
        link_ref: link_name.clone(),
        field_path: path.to_owned(),
        reason,
        strategy: rule.strategy.clone(),
        base,
        desired: desired_value,
        observed: observed_value,
        desired_by: None,
        observed_by: actor_of(seen.event.actor.as_ref(), scope.provider()),
        versions,
        intent_ref: state.intents.first().map(|intent| intent.object.name().to_owned()),
        resolution: None,
    };
    for (value, json) in [(&spec.observed, &theirs_json), (&spec.desired, &ours_json)] {
        if value.json.is_none()
            && let Some(json) = json
        {
            state.values.push((value.digest, canonical_json(json)?));
        }
    }
    let name = conflict::name(&spec)?;
    let mut conflict = Loaded::new(ExternalSyncConflict::at(scope.namespace(), name.as_str(), spec));
    let mut supersedes = None;
    if let Some(open) = state.open_conflict_mut(path) {
        supersedes = Some(open.object.name().to_owned());
        let drafts = moves::supersede(open, &SupersededReason::Newer, Some(name.clone()), now)?;
        state.audit.extend(drafts);
    }
    let step =
        moves::as_controller(&Policy::of(&scope.policy), now, |ctx| conflict::open(&conflict.object, supersedes, ctx));
    state.audit.extend(moves::take(&mut conflict, step));
    // An intent whose echo was to come has been overtaken.
    for intent in &mut state.intents {
        let waits = intent.object.status.as_ref().map(|status| &status.phase)
            == Some(&ExternalWriteIntentPhase::AwaitingConfirmation);
        if waits && crate::plan::payload_value(&intent.object.spec.payload, path).is_some() {
            let event = intent::Event::Overtaken { conflict: Box::new(conflict.object.clone()) };
            let step =
                moves::as_controller(&Policy::of(&scope.policy), now, |ctx| intent::step(&intent.object, event, ctx))?;
            conflict.object.spec.intent_ref = Some(intent.object.name().to_owned());
            state.audit.extend(moves::take(intent, step));
        }
    }
    // S27: what would write over the other side is taken back; what else such an intent carried, the plan sends again.
    withdraw(state, "the field is in conflict", now, |payload| crate::plan::carries(payload, path))?;
    let by_policy = scope
        .policy
        .conflict_policy
        .per_field
        .iter()
        .find(|entry| entry.path == path)
        .and_then(|entry| entry.resolution.clone())
        .unwrap_or_else(|| scope.policy.conflict_policy.default_resolution.clone());
    let decided = match by_policy {
        ResolutionStrategy::PreferExternal => {
            if let Some(local) = &mut state.local {
                local.object.set(path, theirs, scope.body_format());
                changed.push(path.to_owned());
            }
            state.set_base(rule, theirs)?;
            true
        }
        ResolutionStrategy::PreferKrate => {
            state.set_base(rule, theirs)?;
            state.replan = true;
            true
        }
        // Everything else waits for a person.
        _ => false,
    };
    if decided {
        state.audit.extend(moves::resolve_by_policy(&mut conflict, &by_policy, &controller(), now)?);
    }
    state.conflicts.push(conflict);
    Ok(())
}

/// Brings the envelope to the observation (S5, S6).
fn take_envelope(state: &mut ObjectState, seen: Observation<'_>, scope: &Scope, content: Digest) {
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
        for (name, raw) in &fields.0 {
            if let Ok(value) = serde_json::from_str(raw.get()) {
                extensions.fields.insert(name.to_string(), value);
            }
        }
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
                if intent.object.status.as_ref().is_some_and(|status| status.confirmation.is_none()) =>
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
