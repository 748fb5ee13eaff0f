//! What is on its way to the provider: what it will make of a field, and whether it is still wished for.

use krate_model::kinds::external::{ExternalWriteIntent, ExternalWriteIntentPhase, Payload};

use super::payload::{WRITTEN_FIELDS, carries, is_shown, is_state_shown, payload_value, state_word};
use crate::merge::{Base, FieldRule, FieldValue};
use crate::object::{ObjectState, is_to_come};
use krate_model::Resource;

/// How a write stands to what is wished for and known now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is wished for, and isn't known to be there.
    Wished,
    /// The provider is known to have it already.
    There,
    /// Something else is wished for since.
    Gone,
    /// Nobody can tell: what was observed of the object doesn't decide (S16).
    Unclear,
}

/// How the change that `payload` makes to the object stands. What makes something new always stands.
pub(crate) fn standing(state: &ObjectState, payload: &Payload) -> Standing {
    if state.link.as_ref().and_then(|link| link.object.status.as_ref()).is_some_and(|status| status.needs_hydration) {
        return Standing::Unclear;
    }
    let Some(local) = &state.local else { return Standing::Wished };
    if !WRITTEN_FIELDS.iter().any(|path| carries(payload, path)) {
        return Standing::Wished;
    }
    let desired: Vec<_> = WRITTEN_FIELDS.iter().map(|path| (*path, local.object.get(path))).collect();
    if !is_shown(payload, &desired) {
        return Standing::Gone;
    }
    let known: Vec<_> =
        WRITTEN_FIELDS.iter().filter_map(|path| known_base(state, path).map(|value| (*path, value))).collect();
    if is_shown(payload, &known) { Standing::There } else { Standing::Wished }
}

/// Whether a write of the field waits for a person's decision: nothing overtakes it (S27, S34).
pub(super) fn is_held(state: &ObjectState, path: &str) -> bool {
    // Where the conflict is about a field, the field's own conflict holds it.
    let of_field = |name: Option<&str>| {
        let met = state.conflicts.iter().find(|conflict| Some(conflict.object.name()) == name);
        met.is_some_and(|conflict| !conflict.object.spec.field_path.starts_with("operation."))
    };
    state.intents.iter().filter_map(|intent| Some((intent, intent.object.status.as_ref()?))).any(|(intent, status)| {
        status.phase == ExternalWriteIntentPhase::Conflict
            && carries(&intent.object.spec.payload, path)
            && !of_field(status.conflict_ref.as_deref())
    })
}

/// The value of a field as it was before what `payload` wished for it: what is on its way there already, else what both sides agreed on last. Nothing where the
/// payload doesn't write it, or nobody knows.
pub(crate) fn before(state: &ObjectState, payload: &Payload, rule: &FieldRule<'_>) -> Option<FieldValue<'static>> {
    let path = rule.path.as_ref();
    if !carries(payload, path) {
        return None;
    }
    if path != "spec.labels" {
        let sent = state.intents.iter().rev().filter(|intent| is_to_come(&intent.object));
        let mut values = sent.filter_map(|intent| payload_value(&intent.object.spec.payload, path));
        return values.next().or_else(|| known_base(state, path));
    }
    // Labels are taken back one by one: what else was wished for stays. Where nobody kept what was there, what was to be added wasn't, and what was to go was.
    let mut labels = texts(&state.local.as_ref()?.object.get(path));
    let stood = labels_on_the_way(state, rule).or_else(|| known_base(state, path)).map(|stood| texts(&stood));
    let had = |label: &str, unknown: bool| {
        let held = |stood: &Vec<String>| stood.iter().any(|known| known.eq_ignore_ascii_case(label));
        stood.as_ref().map_or(unknown, held)
    };
    match payload {
        Payload::AddLabels(added) => {
            labels.retain(|label| had(label, false) || !added.labels.iter().any(|new| new.eq_ignore_ascii_case(label)));
        }
        Payload::RemoveLabels(removed) => {
            labels.extend(removed.labels.iter().filter(|label| had(label, true)).cloned());
        }
        _ => {}
    }
    Some(FieldValue::List(labels.into_iter().map(Into::into).collect()))
}

/// The labels that the provider has once `payload` is known to be carried out there; nothing where it is about something else. Its answer shows no object that would tell.
pub(crate) fn proven(state: &ObjectState, payload: &Payload) -> Option<FieldValue<'static>> {
    let mut labels = texts(&known_base(state, "spec.labels")?);
    match payload {
        Payload::AddLabels(added) => {
            labels.retain(|label| !added.labels.iter().any(|new| new.eq_ignore_ascii_case(label)));
            labels.extend(added.labels.iter().cloned());
        }
        Payload::RemoveLabels(removed) => {
            labels.retain(|label| !removed.labels.iter().any(|old| old.eq_ignore_ascii_case(label)));
        }
        _ => return None,
    }
    Some(FieldValue::List(labels.into_iter().map(Into::into).collect()))
}

/// The labels as they will be once what is on its way has arrived; nothing where no label is.
pub(super) fn labels_on_the_way(state: &ObjectState, rule: &FieldRule<'_>) -> Option<FieldValue<'static>> {
    let same = |one: &str, other: &str| same_label(rule, one, other);
    let mut labels = known_base(state, &rule.path).map_or_else(Vec::new, |base| texts(&base));
    let mut any = false;
    for intent in state.intents.iter().filter(|intent| is_to_come(&intent.object)) {
        match &intent.object.spec.payload {
            Payload::AddLabels(added) => {
                any = true;
                labels.retain(|label: &String| !added.labels.iter().any(|new| same(new, label)));
                labels.extend(added.labels.iter().cloned());
            }
            Payload::RemoveLabels(removed) => {
                any = true;
                labels.retain(|label| !removed.labels.iter().any(|old| same(old, label)));
            }
            _ => {}
        }
    }
    any.then(|| FieldValue::List(labels.into_iter().map(Into::into).collect()))
}

/// The value of a base that was kept whole.
pub(super) fn known_base(state: &ObjectState, path: &str) -> Option<FieldValue<'static>> {
    match state.base(path) {
        Base::Value(value) => Some(value.into_owned()),
        Base::Canonical(text) => Some(serde_json::from_str(text).map_or(FieldValue::Absent, FieldValue::from_owned)),
        Base::Absent => Some(FieldValue::Absent),
        Base::Unknown | Base::Digest(_) => None,
    }
}

pub(super) fn same_label(rule: &FieldRule<'_>, one: &str, other: &str) -> bool {
    one == other || (rule.equality == crate::merge::Equality::AsciiCaseInsensitive && one.eq_ignore_ascii_case(other))
}

pub(super) fn texts(value: &FieldValue<'_>) -> Vec<String> {
    match value {
        FieldValue::List(list) => list.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

/// The base with what `theirs` shows of krate's own writes that nobody has seen yet; `None` where it shows none. An echo is no change of the
/// other side: what was edited here since then is a wish on top of it, and nobody's edit meets it (S20).
pub(crate) fn echoed(
    state: &ObjectState,
    rule: &FieldRule<'_>,
    desired: &FieldValue<'_>,
    theirs: &FieldValue<'_>,
) -> Option<FieldValue<'static>> {
    let own = state.own_payloads();
    if rule.path != "spec.labels" {
        // The provider may have added a reason to a state: only a wish for another state makes that an echo and no news.
        let shows = |wrote: &FieldValue<'_>| {
            wrote == theirs || (is_state_shown(&rule.path, theirs, wrote) && state_word(desired) != state_word(wrote))
        };
        let shown = own.filter_map(|payload| payload_value(payload, &rule.path)).any(|wrote| shows(&wrote));
        return shown.then(|| theirs.clone().into_owned());
    }
    let (mut labels, seen) = (texts(&known_base(state, &rule.path)?), texts(theirs));
    let holds = |list: &[String], label: &str| list.iter().any(|held| same_label(rule, held, label));
    let mut any = false;
    for payload in own {
        match payload {
            Payload::AddLabels(added) => {
                let new = added.labels.iter().filter(|label| holds(&seen, label) && !holds(&labels, label));
                let new: Vec<String> = new.cloned().collect();
                any |= !new.is_empty();
                labels.extend(new);
            }
            Payload::RemoveLabels(removed) => {
                let before = labels.len();
                labels.retain(|label| holds(&seen, label) || !holds(&removed.labels, label));
                any |= labels.len() != before;
            }
            _ => {}
        }
    }
    any.then(|| FieldValue::List(labels.into_iter().map(Into::into).collect()))
}

pub(crate) fn is_unsent(intent: &ExternalWriteIntent) -> bool {
    matches!(
        intent.status.as_ref().map(|status| &status.phase),
        Some(ExternalWriteIntentPhase::PendingApproval | ExternalWriteIntentPhase::ReadyToSend)
    )
}
