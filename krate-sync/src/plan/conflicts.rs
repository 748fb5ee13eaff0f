//! What an edit here does to the conflicts about its fields: they show the value that stands now, so that a person decides about what there is (S28, S29).

use krate_model::kinds::external::ExternalSyncConflict;
use krate_model::kinds::shared::{MAX_VALUE_BYTES, Value};
use krate_model::{NotCanonical, canonical_json};

use super::{PlanError, Wish};
use crate::mistakes::{Mistake, made};
use crate::moves;
use crate::object::{ObjectState, is_ignored, is_open};
use crate::scope::Scope;

/// Puts a newer conflict in place of each one whose field was edited here since, and asks for a read where the merge has to decide: where both sides may agree now, and
/// where they were left apart (S27).
pub(super) fn follow(state: &mut ObjectState, scope: &Scope, wish: &Wish) -> Result<(), PlanError> {
    let mut moved = Vec::new();
    for conflict in state.conflicts.iter().map(|conflict| &conflict.object) {
        if let Some(value) = moved_to(state, conflict)? {
            moved.push((conflict.spec.field_path.clone(), is_open(conflict), conflict.spec.observed.digest, value));
        }
    }
    for (path, is_open, observed, value) in moved {
        if !is_open || value.digest == observed {
            state.look_again();
        } else if !made(Mistake::StaleDecision) {
            let local =
                state.local.as_ref().map(|local| (local.object.generation(), local.object.get(&path).to_json()));
            let (generation, json) = local.unwrap_or_default();
            if let (None, Some(json)) = (&value.json, json) {
                state.values.push((value.digest, canonical_json(&json)?));
            }
            moves::renew_conflict::<PlanError>(state, scope, &path, wish.now, |spec| {
                spec.desired = value;
                spec.desired_by = Some(wish.actor.clone());
                spec.versions.desired_generation = generation;
                spec.resolution = None;
            })?;
        }
    }
    Ok(())
}

/// The value of a conflict's field here, where it isn't the one that the conflict shows.
fn moved_to(state: &ObjectState, conflict: &ExternalSyncConflict) -> Result<Option<Value>, NotCanonical> {
    let spec = &conflict.spec;
    let counts = is_open(conflict) || is_ignored(conflict);
    let Some(local) = state.local.as_ref().filter(|_| counts && !spec.field_path.starts_with("operation.")) else {
        return Ok(None);
    };
    let value = Value::of(local.object.get(&spec.field_path).to_json().as_ref(), MAX_VALUE_BYTES)?;
    Ok((value.digest != spec.desired.digest).then_some(value))
}
