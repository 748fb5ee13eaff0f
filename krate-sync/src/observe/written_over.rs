//! What krate wrote over unseen: an edit between its look and its write, which is heard of later (S27). No precondition of the provider prevents it, so
//! the versions tell: news about a version after the look and not after the write, with a value that is neither of the two, was lost under the write.

use krate_model::kinds::external::{ExternalSyncConflict, OwnWrite, OwnWriteField, Payload, SupersededReason};
use krate_model::kinds::sets::{ConflictReason, Strategy};
use krate_model::kinds::shared::{Time, Value, Version};
use krate_model::{NotCanonical, Resource};

use super::fields::open_conflict;
use super::{Observation, ObserveError};
use crate::merge::{Base, FieldOutcome, FieldRule, FieldValue, merge_field, merge_text};
use crate::mistakes::{Mistake, made};
use crate::moves;
use crate::object::ObjectState;
use crate::plan::{is_state_shown, payload_value};
use crate::records::Loaded;
use crate::scope::Scope;

/// Own writes that are remembered: late news is seldom about an older one.
const MOST_REMEMBERED: usize = 4;

/// Whether a conflict is about an edit that krate wrote over: the provider has krate's value already.
pub(crate) fn is_lost_edit(conflict: &ExternalSyncConflict) -> bool {
    conflict.spec.reason == ConflictReason::PreconditionFailed && !conflict.spec.field_path.starts_with("operation.")
}

/// Remembers the fields of writes on their way that an observation shows for the first time, before it is merged.
pub(super) fn remember(
    state: &mut ObjectState,
    seen: Observation<'_>,
    rules: &[FieldRule<'static>],
    fields: &[(&'static str, FieldValue<'_>)],
) -> Result<(), NotCanonical> {
    let mut written = Vec::new();
    for payload in state.own_payloads() {
        for rule in rules {
            let Some(wrote @ FieldValue::Text(_)) = payload_value(payload, &rule.path) else {
                continue;
            };
            let Some((_, theirs)) = fields.iter().find(|(path, _)| *path == rule.path) else { continue };
            let base = state.base(&rule.path);
            // Field by field: of a write of several, some may have been edited again before anybody saw it.
            let is_shown = wrote == *theirs
                || is_state_shown(&rule.path, theirs, &wrote)
                || matches!(merge_field(rule, &base, &wrote, theirs), FieldOutcome::Merged { write: false, .. });
            if !is_shown {
                continue;
            }
            let before = match base {
                Base::Value(value) => value.to_base(rule, 0)?.digest,
                Base::Canonical(text) => {
                    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
                    FieldValue::from_owned(value).to_base(rule, 0)?.digest
                }
                Base::Digest(digest) => digest,
                Base::Absent => FieldValue::Absent.to_base(rule, 0)?.digest,
                Base::Unknown => continue,
            };
            let wrote = wrote.to_base(rule, 0)?.digest;
            // What is known to be there was shown before.
            if before != wrote {
                written.push(OwnWriteField { path: rule.path.to_string(), before, wrote });
            }
        }
    }
    let Some(link) = state.link.as_mut().filter(|_| !written.is_empty()) else { return Ok(()) };
    let status = link.object.status_mut();
    let looked = status.external.as_ref().map_or_else(Version::default, |external| external.version.clone());
    status.own_writes.push(OwnWrite { looked, shown: seen.event.observed_version.clone(), fields: written });
    let over = status.own_writes.len().saturating_sub(MOST_REMEMBERED);
    status.own_writes.drain(..over);
    link.dirty = true;
    Ok(())
}

/// Opens a conflict for each edit in a late observation that krate wrote over. Whether there was one.
pub(super) fn find(
    state: &mut ObjectState,
    seen: Observation<'_>,
    scope: &Scope,
    rules: &[FieldRule<'static>],
    fields: &[(&'static str, FieldValue<'_>)],
) -> Result<bool, ObserveError> {
    if made(Mistake::LostEditForgotten) {
        return Ok(false);
    }
    let Some(at) = seen.event.observed_version.updated_at.filter(|_| seen.event.complete) else { return Ok(false) };
    let mut lost = Vec::new();
    for rule in rules {
        let Some((_, theirs)) = fields.iter().find(|(path, _)| *path == rule.path) else { continue };
        let digest = theirs.to_base(rule, 0)?.digest;
        // Who edited it there since then has the last word of that side, and it waits for a person already: but for the lines that they didn't touch.
        let newer = |open: &&Loaded<ExternalSyncConflict>| open.object.spec.versions.observed.updated_at > Some(at);
        let told = state.open_conflict(&rule.path).filter(newer).map(|open| text_of(&open.object.spec.observed));
        let theirs = match told {
            None => theirs.clone().into_owned(),
            Some(there) => match beside(state, rule, theirs, &there) {
                Some(whole) => whole,
                None => continue,
            },
        };
        let Some(link) = &mut state.link else { return Ok(false) };
        let Some(status) = &mut link.object.status else { return Ok(false) };
        // Versions are whole seconds: what an own write found or left in the same one is its own news, whichever of several writes hit that second.
        let own = |write: &OwnWrite| {
            let is_of_then = write.looked.updated_at <= Some(at) && Some(at) <= write.shown.updated_at;
            let is_known = |field: &OwnWriteField| field.before == digest || field.wrote == digest;
            is_of_then && write.fields.iter().any(|field| field.path == rule.path && is_known(field))
        };
        if status.own_writes.iter().any(own) {
            continue;
        }
        let hit = |write: &OwnWrite| {
            let after_look = write.looked.updated_at.is_some_and(|looked| at > looked);
            after_look && write.shown.updated_at.is_some_and(|shown| at <= shown)
        };
        for write in status.own_writes.iter_mut().filter(|write| hit(write)) {
            let before = write.fields.len();
            // Each is told once, however often its news comes.
            write.fields.retain(|field| field.path != rule.path);
            if write.fields.len() != before {
                link.dirty = true;
                lost.push((rule, theirs));
                break;
            }
        }
    }
    let any = !lost.is_empty();
    for (rule, theirs) in lost {
        open_conflict(state, seen, scope, rule, &ConflictReason::PreconditionFailed, &theirs, &mut Vec::new())?;
    }
    Ok(any)
}

/// What becomes of the open conflict about a field once both sides have the same value there. They agree, and it is over (S28), unless nobody but krate
/// made them: then the other side's value was lost under its write, and a person still has to look. So it is where somebody edited other lines of the text there since.
pub(super) fn agree(
    state: &mut ObjectState,
    seen: Observation<'_>,
    scope: &Scope,
    rule: &FieldRule<'static>,
    theirs: &FieldValue<'_>,
    moved_there: bool,
) -> Result<(), ObserveError> {
    let Some(open) = state.open_conflict(&rule.path) else { return Ok(()) };
    // What can't be written is in conflict as long as the sides differ, whatever the base says.
    let differs = state.local.as_ref().is_some_and(|local| local.object.get(&rule.path) != *theirs);
    if open.object.spec.reason == ConflictReason::UnrepresentableValue && differs {
        return Ok(());
    }
    let now = seen.received_at;
    let own = is_own(state, rule, theirs);
    let Some(open) = state.open_conflict_mut(&rule.path) else { return Ok(()) };
    let has_last_word = moved_there && !lacks_lines(&open.object, theirs);
    if is_lost_edit(&open.object) && !has_last_word && !made(Mistake::ConflictConverges) {
        return Ok(());
    }
    if own && !moved_there {
        return keep(state, scope, rule, now);
    }
    let drafts = moves::supersede(open, &SupersededReason::Converged, None, now)?;
    state.audit.extend(drafts);
    // What was wished for here meanwhile was held.
    state.replan = true;
    Ok(())
}

/// Whether the edit that was lost is one of several lines, of which one is neither in what krate wrote over it nor in what is there now. Who writes another single line
/// means it in place of the lost one.
fn lacks_lines(conflict: &ExternalSyncConflict, theirs: &FieldValue<'_>) -> bool {
    let (lost, wrote) = (text_of(&conflict.spec.observed), text_of(&conflict.spec.desired));
    let FieldValue::Text(there) = theirs else { return true };
    lost.lines().count() > 1 && lost.lines().any(|line| !wrote.lines().chain(there.lines()).any(|known| known == line))
}

fn text_of(value: &Value) -> String {
    value.to_json().and_then(|json| json.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The other side's value with the lines of an edit that krate wrote over, where the open conflict is about such a one and bodies merge by lines.
pub(super) fn with_lost(
    state: &ObjectState,
    rule: &FieldRule<'static>,
    theirs: &FieldValue<'_>,
) -> Option<FieldValue<'static>> {
    let open = state.open_conflict(&rule.path).filter(|open| is_lost_edit(&open.object))?;
    let FieldValue::Text(there) = theirs else { return None };
    beside(state, rule, &FieldValue::Text(text_of(&open.object.spec.observed).into()), there)
}

/// A lost edit and what is there now in one text; none where the second took the place of the first, or says all of it.
fn beside(
    state: &ObjectState,
    rule: &FieldRule<'static>,
    lost: &FieldValue<'_>,
    there: &str,
) -> Option<FieldValue<'static>> {
    let (FieldValue::Text(lost), true) = (lost, rule.text_merge && rule.strategy == Strategy::Text) else {
        return None;
    };
    // What both were edits of: what krate wrote over the first.
    let FieldValue::Text(wrote) = state.base(&rule.path).value()?.into_owned() else { return None };
    let whole = merge_text(&wrote, lost, there)?;
    (whole != there).then(|| FieldValue::Text(whole.into()))
}

/// Whether nobody but krate made the other side's value: a write of it is on its way, and nobody has seen it.
pub(super) fn is_own(state: &ObjectState, rule: &FieldRule<'static>, theirs: &FieldValue<'_>) -> bool {
    let wrote = |payload: &Payload| payload_value(payload, &rule.path).is_some_and(|wrote| wrote == *theirs);
    !made(Mistake::LostEditAgrees) && state.own_payloads().any(wrote)
}

/// Makes the open conflict about a field one about an edit that krate wrote over, as which it stays until somebody decides.
pub(super) fn keep(
    state: &mut ObjectState,
    scope: &Scope,
    rule: &FieldRule<'static>,
    now: Time,
) -> Result<(), ObserveError> {
    if state.open_conflict(&rule.path).is_some_and(|open| is_lost_edit(&open.object)) {
        return Ok(());
    }
    moves::renew_conflict(state, scope, &rule.path, now, |spec| spec.reason = ConflictReason::PreconditionFailed)
}
