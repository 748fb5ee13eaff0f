//! The fields of an observation, merged with what is wished for here (section 7).

use krate_model::kinds::external::{
    ExternalSyncConflict, ExternalSyncConflictSpec, ExternalWriteIntentPhase, SeenVersions, SupersededReason,
};
use krate_model::kinds::sets::{ConflictReason, ResolutionStrategy, Strategy};
use krate_model::kinds::shared::{Actor, Value};
use krate_model::{Resource, canonical_json};

use super::deletion::withdraw;
use super::{Observation, ObserveError, written_over};
use crate::local::each;
use crate::machines::{Policy, conflict, intent};
use crate::merge::{Base, Field, FieldOutcome, FieldRule, FieldValue, merge_field};
use crate::mistakes::{Mistake, made};
use crate::moves;
use crate::object::{ObjectState, controller};
use crate::observed::{actor_of, observed};
use crate::records::{Loaded, bump_generation};
use crate::scope::Scope;

/// The merge of every field that was observed and has a rule (section 7).
pub(super) fn merge(
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
        if is_left_apart(state, path, theirs)? {
            continue;
        }
        state.end_ignored(path);
        let Some(local) = &state.local else { return Ok(()) };
        let desired = local.object.get(path);
        let is_open = state.open_conflict(path).is_some();
        // A field in conflict stays so until somebody decides, whatever else arrives.
        let echo = if is_open || made(Mistake::EchoUnknown) {
            None
        } else {
            crate::plan::echoed(state, rule, &desired, theirs)
        };
        if is_open && desired != *theirs && written_over::is_own(state, rule, theirs) {
            // What the conflict is about was lost under it; that somebody wishes for something else here since changes nothing about that.
            state.set_base(rule, theirs)?;
            written_over::keep(state, scope, rule, now)?;
            continue;
        }
        let known = echo.as_ref().map_or_else(|| state.base(path), |echo| Base::Value(echo.borrowed()));
        let known = if made(Mistake::SetTwoWay) && rule.strategy == Strategy::Set {
            Base::Value(FieldValue::List(Vec::new()))
        } else {
            known
        };
        let field = Field { rule, base: known, desired, observed: theirs.borrowed() };
        let mut outcome = merge_field(rule, &field.base, &field.desired, &field.observed);
        if made(Mistake::TwoWayCompare) && field.desired != field.observed {
            outcome = FieldOutcome::TakeObserved;
        }
        if made(Mistake::LastLocalWins) && matches!(outcome, FieldOutcome::Conflict(_)) {
            outcome = FieldOutcome::Drift;
        }
        if made(Mistake::MergeDropsTheirs) && matches!(outcome, FieldOutcome::Merged { value: FieldValue::Text(_), .. })
        {
            outcome = FieldOutcome::Drift;
        }
        let mut base = None;
        let moved_there =
            matches!(outcome, FieldOutcome::TakeObserved | FieldOutcome::Merged { .. } | FieldOutcome::Drift);
        match outcome {
            FieldOutcome::InSync | FieldOutcome::WriteDesired => base = echo.as_ref().map(|_| ()),
            FieldOutcome::Stale | FieldOutcome::Refused => {}
            FieldOutcome::Partly(_) => {}
            FieldOutcome::TakeObserved => {
                merged.push((rule, theirs.clone().into_owned()));
                base = (!made(Mistake::BaseStaysOnTake)).then_some(());
            }
            FieldOutcome::Merged { value, take, write } => {
                replan |= write;
                if take && !made(Mistake::MergedNotTaken) {
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
                if made(Mistake::BaseMovesOnConflict) {
                    state.set_base(rule, theirs)?;
                }
                if made(Mistake::ConflictForgotten) {
                    continue;
                }
                let theirs = theirs.clone().into_owned();
                // S28: the one open conflict about the field shows all that its other side has said.
                conflicts.push(match written_over::with_lost(state, rule, &theirs) {
                    Some(whole) => (rule, ConflictReason::PreconditionFailed, whole),
                    None => (rule, reason, theirs),
                });
                continue;
            }
        }
        if base.is_some() {
            state.set_base(rule, theirs)?;
        }
        written_over::agree(state, seen, scope, rule, theirs, moved_there)?;
    }
    state.replan |= replan;
    for (rule, value) in merged {
        if let Some(local) = &mut state.local {
            local.object.set(&rule.path, &value, scope.body_format());
            changed.push(rule.path.to_string());
        }
    }
    for (rule, reason, theirs) in conflicts {
        open_conflict(state, seen, scope, rule, &reason, &theirs, changed)?;
    }
    Ok(())
}

/// Whether somebody chose to leave the field as it is on both sides, and both still have it so (S27).
fn is_left_apart(state: &ObjectState, path: &str, theirs: &FieldValue<'_>) -> Result<bool, ObserveError> {
    let (Some(left), Some(local)) = (state.ignored_conflict(path), &state.local) else { return Ok(false) };
    let digest = |value: FieldValue<'_>| Value::of(value.to_json().as_ref(), 0).map(|value| value.digest);
    let (ours, theirs) = (digest(local.object.get(path))?, digest(theirs.borrowed())?);
    Ok(ours == left.spec.desired.digest && theirs == left.spec.observed.digest)
}

/// Opens a conflict about each field that krate would write back and can't, and brings those that are open up to date: the value that was wished for can't be told there (S6),
/// so that neither side is touched until a person decides. `changed` gets the fields of the projection that a policy decided at once.
///
/// # Errors
/// As [`observe`](super::observe).
pub(crate) fn hold_uncarried(
    state: &mut ObjectState,
    seen: Observation<'_>,
    scope: &Scope,
    uncarried: &[FieldRule<'static>],
    changed: &mut Vec<String>,
) -> Result<(), ObserveError> {
    let Some(kind) = state.local.as_ref().map(|local| local.object.kind()) else { return Ok(()) };
    let fields = observed(&seen.event.normalized, seen.event.complete);
    let reason = ConflictReason::UnrepresentableValue;
    let before = changed.len();
    let is_held = |state: &ObjectState, path: &str| {
        state.open_conflict(path).is_some_and(|open| open.object.spec.reason == reason)
    };
    for rule in scope.rules(&seen.event.interface, kind) {
        let is_uncarried = uncarried.iter().any(|it| it.path == rule.path);
        let Some((_, theirs)) = fields.iter().find(|(path, _)| *path == rule.path) else { continue };
        let differs = state.local.as_ref().is_some_and(|local| local.object.get(&rule.path) != *theirs);
        if is_uncarried || is_held(state, &rule.path) && differs {
            let theirs = theirs.clone().into_owned();
            open_conflict(state, seen, scope, &rule, &reason, &theirs, changed)?;
        }
    }
    if let Some(local) = state.local.as_mut().filter(|_| changed.len() > before) {
        local.dirty = true;
        each!(&mut local.object, object => bump_generation(object));
    }
    Ok(())
}

/// Who wished for the value that stands here, as far as a write of it tells.
fn wished_by(state: &ObjectState, path: &str) -> Option<Actor> {
    let wishes = state.intents.iter().rev().map(|intent| &intent.object.spec);
    let mut of_field = wishes.filter(|spec| crate::plan::carries(&spec.payload, path));
    of_field.next().map(|spec| spec.source.actor.clone())
}

/// The longest value that a conflict holds as text, in bytes.
const MAX_CONFLICT_VALUE_BYTES: usize = krate_model::kinds::shared::MAX_VALUE_BYTES;

/// S28: one open conflict a field; a newer divergence takes the place of the one before. The policy may resolve it at once.
pub(super) fn open_conflict(
    state: &mut ObjectState,
    seen: Observation<'_>,
    scope: &Scope,
    rule: &FieldRule<'static>,
    reason: &ConflictReason,
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
        reason: reason.clone(),
        strategy: rule.strategy.clone(),
        base,
        desired: desired_value,
        observed: observed_value,
        desired_by: wished_by(state, path),
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
    let is_lost = written_over::is_lost_edit(&conflict.object);
    // An intent whose echo was to come has been overtaken.
    for intent in &mut state.intents {
        let waits = intent.object.status.as_ref().map(|status| &status.phase)
            == Some(&ExternalWriteIntentPhase::AwaitingConfirmation);
        // A lost edit is another story: the write had its effect.
        if waits && !is_lost && crate::plan::payload_value(&intent.object.spec.payload, path).is_some() {
            let event = intent::Event::Overtaken { conflict: Box::new(conflict.object.clone()) };
            let step =
                moves::as_controller(&Policy::of(&scope.policy), now, |ctx| intent::step(&intent.object, event, ctx))?;
            conflict.object.spec.intent_ref = Some(intent.object.name().to_owned());
            state.audit.extend(moves::take(intent, step));
        }
    }
    // S27: what would write over the other side is taken back; what else such an intent carried, the plan sends again.
    if !made(Mistake::UnsentStays) {
        withdraw(state, "the field is in conflict", now, |payload| crate::plan::carries(payload, path))?;
    }
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
            // The provider has krate's value where it wrote theirs over: theirs is written again.
            state.replan |= is_lost;
            if !is_lost {
                state.set_base(rule, theirs)?;
            }
            true
        }
        // What can't be written can't be decided so.
        ResolutionStrategy::PreferKrate if *reason != ConflictReason::UnrepresentableValue => {
            if !is_lost {
                state.set_base(rule, theirs)?;
            }
            state.replan = true;
            true
        }
        ResolutionStrategy::ReviewedWrite if *reason != ConflictReason::UnrepresentableValue => true,
        // Section 7: what no operation carries stays apart, and the conflict says so.
        ResolutionStrategy::Ignore if *reason == ConflictReason::UnrepresentableValue => true,
        // Everything else waits for a person.
        _ => false,
    };
    if decided {
        state.audit.extend(moves::resolve_by_policy(&mut conflict, &by_policy, &controller(), now)?);
    }
    state.conflicts.push(conflict);
    Ok(())
}
