//! The conflict detector: what becomes of a field that two sides may change. Spec: external-sync.md section 7, S27 to S31; modes: section 2.
//!
//! Per field there are three values: the *base* on which both sides agreed last, the *desired* one that stands here, and the *observed* one
//! that the provider told. [`merge_field`] is the decision:
//!
//! | base and desired | base and observed | outcome |
//! | --- | --- | --- |
//! | same | same | [`InSync`](FieldOutcome::InSync) |
//! | same | changed | [`TakeObserved`](FieldOutcome::TakeObserved) |
//! | changed | same | [`WriteDesired`](FieldOutcome::WriteDesired) |
//! | changed | changed alike | [`Agree`](FieldOutcome::Agree) |
//! | changed | changed otherwise | by strategy: [`Merged`](FieldOutcome::Merged), or [`Conflict`](FieldOutcome::Conflict) |
//!
//! The mode decides first who may change what: `read-only` always takes the observed value, `krate-owned` always writes the desired one and calls the
//! difference [`Drift`](FieldOutcome::Drift), `external-owned` never merges. What only the provider can know (a head commit, how far a run
//! got) is taken in every mode.
//!
//! [`merge_object`] does it for the fields of one object and keeps only what is to be done. Its cost is that of the fields at hand (S31): comparing for
//! those that are the same, without memory of its own. Everything here is a pure function: no clock, no order of a map, no memory of earlier calls
//! (S30). The `krate merge` command's form of it is [`MergeInput`].

mod fields;
mod json;
mod kept;
#[cfg(test)]
mod laws;
mod order;
mod sets;
mod text;
mod value;
mod words;

use std::borrow::Cow;
use std::cmp::Ordering;

use krate_model::kinds::sets::{ConflictReason, Mode, Strategy};
use serde_json::Value as Json;

pub use fields::{MergeableField, mergeable_fields};
pub use json::{JsonConflict, MergeInput, MergeInputError, MergeOutput};
pub use order::{CONCLUSIONS, Order, RUN_PHASES, STATES};
pub(crate) use text::merge_text;
pub use value::{Base, FieldValue};

use value::same;

/// When two texts of a field are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Equality {
    /// Byte by byte.
    #[default]
    Exact,
    /// Letters of ASCII in either case, as GitHub compares labels.
    AsciiCaseInsensitive,
}

impl Equality {
    fn same(self, one: &str, other: &str) -> bool {
        match self {
            Self::Exact => words::equal(one, other),
            Self::AsciiCaseInsensitive => one.eq_ignore_ascii_case(other),
        }
    }

    /// What is equal exactly for texts that are the same.
    fn key(self, text: &str) -> Cow<'_, str> {
        if self == Self::AsciiCaseInsensitive && text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        }
    }
}

/// How one field merges.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldRule<'a> {
    /// Where the field stands, such as `spec.labels`.
    pub path: Cow<'a, str>,
    /// What to do when both sides changed it.
    pub strategy: Strategy,
    /// Who owns the truth.
    pub mode: Mode,
    /// Whether the policy lets bodies merge by lines. Without it, `text` is `scalar`.
    pub text_merge: bool,
    /// When two texts are the same.
    pub equality: Equality,
    /// Which values are later than others, for `monotonic`.
    pub order: Order<'a>,
}

impl<'a> FieldRule<'a> {
    /// A rule with exact equality, no merge of lines and no order.
    pub fn new(path: &'a str, strategy: Strategy, mode: Mode) -> Self {
        Self { path: Cow::Borrowed(path), strategy, mode, text_merge: false, equality: Equality::Exact, order: &[] }
    }

    /// The rule for a mergeable field of a kind, in `mode`.
    pub fn of(field: &'a MergeableField, mode: Mode) -> Self {
        Self { order: field.order, ..Self::new(field.path, field.strategy.clone(), mode) }
    }
}

/// One field with its three values.
#[derive(Debug, Clone, PartialEq)]
pub struct Field<'a> {
    /// How it merges.
    pub rule: &'a FieldRule<'a>,
    /// The value on which both sides agreed last.
    pub base: Base<'a>,
    /// The value that stands here.
    pub desired: FieldValue<'a>,
    /// The value that the provider told.
    pub observed: FieldValue<'a>,
}

/// What becomes of one field.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldOutcome<'a> {
    /// All three are the same: nothing to do.
    InSync,
    /// The desired value becomes the observed one.
    TakeObserved,
    /// The desired value is written to the provider.
    WriteDesired,
    /// Both sides came to the same value by themselves: it is the new base, and nothing is written.
    Agree,
    /// The sides have something new in common.
    Merged {
        /// What both come to.
        value: FieldValue<'a>,
        /// Whether the local side isn't there yet.
        take: bool,
        /// Whether the provider isn't there yet.
        write: bool,
    },
    /// Some keys of a map conflict, and the others go on (S27).
    Partly(Box<PartlyMerged<'a>>),
    /// The provider's value moved where krate owns it: the desired value is written again, and the drift is audited.
    Drift,
    /// The observed value is behind the local one, and nobody may write: nothing is done.
    Stale,
    /// Both sides changed it and nobody can tell what both meant: neither side is touched (S27).
    Conflict(ConflictReason),
    /// The mode or the strategy is one that this version doesn't know: nothing is allowed (S1, R26).
    Refused,
}

/// A map of which some keys conflict.
#[derive(Debug, Clone, PartialEq)]
pub struct PartlyMerged<'a> {
    /// The local map to be, where it isn't yet.
    pub take: Option<FieldValue<'a>>,
    /// The provider's map to be, where it isn't yet.
    pub write: Option<FieldValue<'a>>,
    /// The base from here on.
    pub base: FieldValue<'a>,
    /// The keys in conflict, in order.
    pub conflicts: Vec<String>,
}

/// What becomes of the field that `rule` is about. Pure and total.
///
/// ```
/// use krate_model::kinds::sets::{ConflictReason, Mode, Strategy};
/// use krate_sync::merge::{Base, FieldOutcome, FieldRule, FieldValue, merge_field};
///
/// let title = FieldRule::new("spec.title", Strategy::Scalar, Mode::Bidirectional);
/// let base = Base::Value("Crash".into());
/// assert_eq!(merge_field(&title, &base, &"Crash".into(), &"Crash on start".into()), FieldOutcome::TakeObserved);
/// let (desired, observed) = ("Crash!".into(), "Crash on start".into());
/// let both = merge_field(&title, &base, &desired, &observed);
/// assert_eq!(both, FieldOutcome::Conflict(ConflictReason::ConcurrentEdit));
///
/// let labels = FieldRule::new("spec.labels", Strategy::Set, Mode::Bidirectional);
/// let base = Base::Value(FieldValue::list(&["bug", "old"]));
/// let (desired, observed) = (FieldValue::list(&["bug", "old", "ui"]), FieldValue::list(&["bug", "api"]));
/// let FieldOutcome::Merged { value, take: true, write: true } = merge_field(&labels, &base, &desired, &observed) else { panic!() };
/// assert_eq!(value, FieldValue::list(&["bug", "api", "ui"]));
/// ```
#[inline]
pub fn merge_field<'f>(
    rule: &FieldRule<'_>,
    base: &Base<'_>,
    desired: &'f FieldValue<'_>,
    observed: &'f FieldValue<'_>,
) -> FieldOutcome<'f> {
    if is_plainly_in_sync(rule, base, desired, observed) {
        FieldOutcome::InSync
    } else {
        decide(rule, base, desired, observed)
    }
}

/// Most fields are texts that nobody changed: they are told in one go.
#[inline]
fn is_plainly_in_sync(
    rule: &FieldRule<'_>,
    base: &Base<'_>,
    desired: &FieldValue<'_>,
    observed: &FieldValue<'_>,
) -> bool {
    matches!(base, Base::Canonical(text) if kept::says_both(rule, text, desired, observed) == Some(true))
}

/// What becomes of a field of which that can't be told.
fn decide<'f>(
    rule: &FieldRule<'_>,
    base: &Base<'_>,
    desired: &'f FieldValue<'_>,
    observed: &'f FieldValue<'_>,
) -> FieldOutcome<'f> {
    if !same(rule, desired, observed) {
        return diverged(rule, base, desired, observed);
    }
    // A field that neither side has and that nobody wrote down isn't worth writing down.
    let nothing_known = matches!(base, Base::Unknown)
        && (matches!(desired, FieldValue::Absent) || matches!(observed, FieldValue::Absent));
    if nothing_known || base.is(rule, desired) {
        FieldOutcome::InSync
    } else if is_known(rule) {
        FieldOutcome::Agree
    } else {
        FieldOutcome::Refused
    }
}

fn is_known(rule: &FieldRule<'_>) -> bool {
    !matches!((&rule.mode, &rule.strategy), (Mode::Unknown(_), _) | (_, Strategy::Unknown(_)))
}

/// What becomes of a field whose two values differ.
fn diverged<'f>(
    rule: &FieldRule<'_>,
    base: &Base<'_>,
    desired: &'f FieldValue<'_>,
    observed: &'f FieldValue<'_>,
) -> FieldOutcome<'f> {
    if !is_known(rule) {
        return FieldOutcome::Refused;
    }
    if rule.strategy == Strategy::Version {
        // Only the provider knows its head; an observation that doesn't tell it says nothing.
        let told = !matches!(observed, FieldValue::Absent);
        return if told { FieldOutcome::TakeObserved } else { FieldOutcome::Stale };
    }
    let later = if rule.strategy == Strategy::Monotonic { order::later(rule.order, desired, observed) } else { None };
    if later == Some(Ordering::Less) {
        return FieldOutcome::TakeObserved;
    }
    let desired_ahead = later == Some(Ordering::Greater);
    if rule.mode == Mode::ReadOnly {
        return if desired_ahead { FieldOutcome::Stale } else { FieldOutcome::TakeObserved };
    }
    let unknown = matches!(base, Base::Unknown);
    if rule.mode == Mode::KrateOwned {
        let nothing_there = unknown && matches!(observed, FieldValue::Absent);
        return if nothing_there || (!unknown && base.is(rule, observed)) {
            FieldOutcome::WriteDesired
        } else {
            FieldOutcome::Drift
        };
    }
    if unknown {
        return first_meeting(rule, desired, observed, desired_ahead);
    }
    let external = rule.mode == Mode::ExternalOwned;
    if let Some(settled) = short_sets(rule, base, desired, observed) {
        return match settled {
            sets::Settled { desired_changed: false, .. } => FieldOutcome::TakeObserved,
            sets::Settled { observed_changed: false, .. } => FieldOutcome::WriteDesired,
            _ if external => FieldOutcome::Conflict(ConflictReason::OwnershipViolation),
            sets::Settled { merged, take, write, .. } => {
                FieldOutcome::Merged { value: FieldValue::List(merged), take, write }
            }
        };
    }
    // Comparing with the base is most of the cost, so it is asked only where it decides.
    let found = texts_in_base(rule, base, desired, observed);
    let is_desired = found.map_or_else(|| base.is(rule, desired), |(is_desired, _)| is_desired);
    let is_observed = || found.map_or_else(|| base.is(rule, observed), |(_, is_observed)| is_observed);
    match is_desired {
        true if !desired_ahead || is_observed() => FieldOutcome::TakeObserved,
        // The local value moved on and the provider's moved back: what the provider says is behind.
        true if external => FieldOutcome::Stale,
        false if is_observed() => FieldOutcome::WriteDesired,
        false if external => FieldOutcome::Conflict(ConflictReason::OwnershipViolation),
        _ if desired_ahead => FieldOutcome::WriteDesired,
        _ => {
            by_strategy(rule, base, desired, observed).unwrap_or(FieldOutcome::Conflict(ConflictReason::ConcurrentEdit))
        }
    }
}

/// Which of two texts that differ the base is, where that is found out in one go.
#[inline]
fn texts_in_base(
    rule: &FieldRule<'_>,
    base: &Base<'_>,
    desired: &FieldValue<'_>,
    observed: &FieldValue<'_>,
) -> Option<(bool, bool)> {
    match (base, desired, observed) {
        (Base::Canonical(text), FieldValue::Text(desired), FieldValue::Text(observed)) => {
            kept::says_which(rule.equality, text, desired, observed)
        }
        _ => None,
    }
}

/// The three sides of a set at once, where all are short lists of texts.
#[inline]
fn short_sets<'f>(
    rule: &FieldRule<'_>,
    base: &Base<'_>,
    desired: &'f FieldValue<'_>,
    observed: &'f FieldValue<'_>,
) -> Option<sets::Settled<'f>> {
    let (Strategy::Set, Base::Canonical(text)) = (&rule.strategy, base) else { return None };
    let (FieldValue::List(desired), FieldValue::List(observed)) = (desired, observed) else { return None };
    let mut held = [""; value::SHORT];
    sets::settle(rule.equality, kept::short_set(text, &mut held)?, desired, observed)
}

/// Two values that never met before: where only one side has one, that is it.
fn first_meeting<'f>(
    rule: &FieldRule<'_>,
    desired: &'f FieldValue<'_>,
    observed: &'f FieldValue<'_>,
    desired_ahead: bool,
) -> FieldOutcome<'f> {
    let empty = |value: &FieldValue<'_>| match rule.strategy {
        Strategy::Set | Strategy::Append | Strategy::Map => value.is_empty(),
        _ => matches!(value, FieldValue::Absent),
    };
    let merged = match rule.strategy {
        _ if empty(desired) => return FieldOutcome::TakeObserved,
        _ if empty(observed) || (desired_ahead && rule.mode != Mode::ExternalOwned) => {
            return FieldOutcome::WriteDesired;
        }
        // Elements with an identity add up without a base.
        Strategy::Append if rule.mode != Mode::ExternalOwned => sets::merge_append(None, desired, observed),
        _ => None,
    };
    merged
        .map_or(FieldOutcome::Conflict(ConflictReason::BaseUnknown), |value| merged_to(rule, value, desired, observed))
}

/// What both sides' changes come to; `None` where they can't be brought together.
fn by_strategy<'f>(
    rule: &FieldRule<'_>,
    base: &Base<'_>,
    desired: &'f FieldValue<'_>,
    observed: &'f FieldValue<'_>,
) -> Option<FieldOutcome<'f>> {
    let value = match (&rule.strategy, desired, observed) {
        (Strategy::Set, ..) => sets::merge_set(rule.equality, &base.value()?, desired, observed)?,
        (Strategy::Append, ..) => sets::merge_append(Some(&base.value()?), desired, observed)?,
        (Strategy::Map, ..) => {
            let merged = sets::merge_map(&base.value()?, desired, observed)?;
            return Some(merged_map(rule, merged, desired, observed));
        }
        (Strategy::Text, FieldValue::Text(desired), FieldValue::Text(observed)) if rule.text_merge => {
            match base.value()? {
                FieldValue::Text(base) => FieldValue::Text(text::merge_text(&base, desired, observed)?.into()),
                FieldValue::Absent => FieldValue::Text(text::merge_text("", desired, observed)?.into()),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(merged_to(rule, value, desired, observed))
}

fn merged_to<'f>(
    rule: &FieldRule<'_>,
    value: FieldValue<'f>,
    desired: &FieldValue<'_>,
    observed: &FieldValue<'_>,
) -> FieldOutcome<'f> {
    let (take, write) = (!same(rule, &value, desired), !same(rule, &value, observed));
    FieldOutcome::Merged { value, take, write }
}

fn merged_map<'f>(
    rule: &FieldRule<'_>,
    merged: sets::MergedMap,
    desired: &FieldValue<'_>,
    observed: &FieldValue<'_>,
) -> FieldOutcome<'f> {
    let whole = |members| FieldValue::from_owned(Json::Object(members));
    let (local, remote) = (whole(merged.local), whole(merged.remote));
    if merged.conflicts.is_empty() {
        return merged_to(rule, local, desired, observed);
    }
    FieldOutcome::Partly(Box::new(PartlyMerged {
        take: (!same(rule, &local, desired)).then_some(local),
        write: (!same(rule, &remote, observed)).then_some(remote),
        base: whole(merged.base),
        conflicts: merged.conflicts,
    }))
}

/// A field of which something has to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange<'f> {
    /// The field and its three values.
    pub field: &'f Field<'f>,
    /// What becomes of it; never [`FieldOutcome::InSync`].
    pub outcome: FieldOutcome<'f>,
}

/// A conflict, with everything that a person needs to decide it.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundConflict<'f> {
    /// Field, or field and key of a map (`status.external.extensions.fields[priority]`).
    pub path: Cow<'f, str>,
    /// Why the sides can't be brought together.
    pub reason: ConflictReason,
    /// How the field merges.
    pub strategy: &'f Strategy,
    /// The field that the values stand in.
    pub field: &'f Field<'f>,
    /// The key of the map that the conflict is about, where it is about one.
    pub key: Option<&'f str>,
}

impl FoundConflict<'_> {
    /// The base as JSON: `None` where it isn't known, `Some(None)` where there was no value.
    pub fn base(&self) -> Option<Option<Json>> {
        self.field.base.value().map(|value| self.of_key(value.to_json()))
    }

    /// The local value as JSON.
    pub fn desired(&self) -> Option<Json> {
        self.of_key(self.field.desired.to_json())
    }

    /// The provider's value as JSON.
    pub fn observed(&self) -> Option<Json> {
        self.of_key(self.field.observed.to_json())
    }

    fn of_key(&self, whole: Option<Json>) -> Option<Json> {
        match self.key {
            None => whole,
            Some(key) => whole?.get(key).cloned(),
        }
    }
}

/// What becomes of one object: the fields that aren't in sync.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ObjectOutcome<'f> {
    /// The fields that aren't in sync, in the order in which they were given.
    pub changes: Vec<FieldChange<'f>>,
}

/// What becomes of the object with these fields. Allocates nothing when all are in sync.
pub fn merge_object<'f>(fields: &'f [Field<'f>]) -> ObjectOutcome<'f> {
    let mut changes = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let Field { rule, base, desired, observed } = field;
        if is_plainly_in_sync(rule, base, desired, observed) {
            continue;
        }
        let outcome = decide(rule, base, desired, observed);
        if !matches!(outcome, FieldOutcome::InSync) {
            if changes.is_empty() {
                changes.reserve_exact(fields.len().saturating_sub(at));
            }
            changes.push(FieldChange { field, outcome });
        }
    }
    ObjectOutcome { changes }
}

impl<'f> ObjectOutcome<'f> {
    /// Whether there is nothing to do.
    pub fn is_in_sync(&self) -> bool {
        self.changes.is_empty()
    }

    /// What the local side has to take: fields with their new values.
    pub fn takes(&self) -> impl Iterator<Item = (&'f Field<'f>, &FieldValue<'f>)> {
        self.changes.iter().filter_map(|change| change.take().map(|value| (change.field, value)))
    }

    /// What the provider has to be written: fields with their new values.
    pub fn writes(&self) -> impl Iterator<Item = (&'f Field<'f>, &FieldValue<'f>)> {
        self.changes.iter().filter_map(|change| change.write().map(|value| (change.field, value)))
    }

    /// Fields whose base moves now, with the new base. A base moves to what the provider is known to hold once the local side has taken it in; a write
    /// that is still to come moves it when it is confirmed.
    pub fn bases(&self) -> impl Iterator<Item = (&'f Field<'f>, &FieldValue<'f>)> {
        self.changes.iter().filter_map(|change| change.base().map(|value| (change.field, value)))
    }

    /// The conflicts, in the order of the fields and of the keys in them.
    pub fn conflicts(&self) -> impl Iterator<Item = FoundConflict<'_>> {
        self.changes.iter().flat_map(FieldChange::conflicts)
    }
}

impl<'f> FieldChange<'f> {
    /// What the local side has to become, where it isn't yet.
    pub fn take(&self) -> Option<&FieldValue<'f>> {
        match &self.outcome {
            FieldOutcome::TakeObserved => Some(&self.field.observed),
            FieldOutcome::Merged { value, take: true, .. } => Some(value),
            FieldOutcome::Partly(partly) => partly.take.as_ref(),
            _ => None,
        }
    }

    /// What the provider has to become, where it isn't yet.
    pub fn write(&self) -> Option<&FieldValue<'f>> {
        match &self.outcome {
            FieldOutcome::WriteDesired | FieldOutcome::Drift => Some(&self.field.desired),
            FieldOutcome::Merged { value, write: true, .. } => Some(value),
            FieldOutcome::Partly(partly) => partly.write.as_ref(),
            _ => None,
        }
    }

    /// The base from here on, where it moves.
    pub fn base(&self) -> Option<&FieldValue<'f>> {
        match &self.outcome {
            FieldOutcome::Agree | FieldOutcome::TakeObserved | FieldOutcome::Merged { .. } => {
                Some(&self.field.observed)
            }
            FieldOutcome::Partly(partly) => Some(&partly.base),
            _ => None,
        }
    }

    /// The conflicts of this field: one, or one for each key of a map.
    pub fn conflicts(&self) -> impl Iterator<Item = FoundConflict<'_>> {
        let (reason, keys): (_, &[String]) = match &self.outcome {
            FieldOutcome::Conflict(reason) => (Some(reason.clone()), &[]),
            FieldOutcome::Partly(partly) => (None, &partly.conflicts),
            _ => (None, &[]),
        };
        let field = self.field;
        let found = move |path, reason, key| FoundConflict { path, reason, strategy: &field.rule.strategy, field, key };
        reason.map(|reason| found(Cow::Borrowed(field.rule.path.as_ref()), reason, None)).into_iter().chain(
            keys.iter().map(move |key| {
                let path = format!("{}[{key}]", field.rule.path);
                found(Cow::Owned(path), ConflictReason::ConcurrentEdit, Some(key.as_str()))
            }),
        )
    }
}
