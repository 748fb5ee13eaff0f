//! The laws of the merge, over generated fields (S27, S30), and the decision table row by row.

use std::collections::BTreeMap;

use krate_model::kinds::sets::{ConflictReason, Mode, Strategy};
use krate_model::kinds::shared;
use proptest::prelude::{
    BoxedStrategy, Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::sample::select;
use proptest::strategy::Strategy as Generator;
use serde_json::{Value as Json, json};

use super::*;

/// A field that owns its parts.
#[derive(Debug, Clone)]
struct Case {
    rule: FieldRule<'static>,
    base: Kept,
    desired: Option<Json>,
    observed: Option<Json>,
}

/// How much of the base is known.
#[derive(Debug, Clone)]
enum Kept {
    Unknown,
    Whole(Option<Json>),
    Stored(shared::Value),
}

impl Case {
    fn base(&self) -> Base<'_> {
        match &self.base {
            Kept::Unknown => Base::Unknown,
            Kept::Whole(None) => Base::Absent,
            Kept::Whole(json) => Base::Value(FieldValue::from_json(json.as_ref())),
            Kept::Stored(value) => Base::from(value),
        }
    }

    fn desired(&self) -> FieldValue<'_> {
        FieldValue::from_json(self.desired.as_ref())
    }

    fn observed(&self) -> FieldValue<'_> {
        FieldValue::from_json(self.observed.as_ref())
    }

    fn field(&self) -> Field<'_> {
        Field { rule: &self.rule, base: self.base(), desired: self.desired(), observed: self.observed() }
    }

    /// The same field after one side took and, if it is asked to, the other was written.
    fn applied(&self, written: bool) -> Self {
        let fields = [self.field()];
        let outcome = merge_object(&fields);
        let Some(change) = outcome.changes.first() else { return self.clone() };
        let mut after = self.clone();
        if let Some(value) = change.take() {
            after.desired = value.to_json();
        }
        if let Some(value) = change.base() {
            after.base = Kept::Whole(value.to_json());
        }
        if let Some(value) = change.write()
            && written
        {
            after.observed = value.to_json();
            // Confirmed: for a map, key by key, but for those in conflict.
            after.base = match (&change.outcome, change.base()) {
                (FieldOutcome::Partly(partly), Some(base)) => {
                    let mut base = base.to_json().unwrap();
                    for (key, held) in value.to_json().unwrap().as_object().unwrap() {
                        if !partly.conflicts.contains(key) {
                            base[key] = held.clone();
                        }
                    }
                    let kept =
                        |key: &String| value.to_json().unwrap().get(key).is_some() || partly.conflicts.contains(key);
                    base.as_object_mut().unwrap().retain(|key, _| kept(key));
                    Kept::Whole(Some(base))
                }
                _ => Kept::Whole(value.to_json()),
            };
        }
        after
    }

    fn swapped(&self) -> Self {
        let (desired, observed) = (self.observed.clone(), self.desired.clone());
        Self { desired, observed, ..self.clone() }
    }
}

fn value(strategy: &Strategy) -> BoxedStrategy<Option<Json>> {
    let letter = || select(vec!["a", "A", "b", "c"]);
    let present = match strategy {
        Strategy::Set => prop::collection::vec(letter(), 0..4).prop_map(|list| json!(list)).boxed(),
        Strategy::Map => prop::collection::btree_map(letter(), 0..3, 0..4).prop_map(|map| json!(map)).boxed(),
        Strategy::Append => prop::collection::btree_map(0..4, letter(), 0..4)
            .prop_map(|map| map.into_iter().map(|(id, text)| json!({"id": id, "text": text})).collect())
            .boxed(),
        Strategy::Text => (prop::collection::vec(letter(), 0..6), select(vec!["\n", "\r\n"]), any::<bool>())
            .prop_map(|(lines, end, ended)| json!(lines.join(end) + if ended { end } else { "" }))
            .boxed(),
        Strategy::Monotonic => select(RUN_PHASES).prop_map(|(phase, _)| json!(phase)).boxed(),
        _ => prop_oneof![letter().prop_map(|text| json!(text)), (0..3).prop_map(|number| json!(number))].boxed(),
    };
    prop::option::weighted(0.85, present).boxed()
}

fn modes() -> impl Generator<Value = Mode> {
    select(Mode::ALL)
}

fn symmetric_modes() -> impl Generator<Value = Mode> {
    select(vec![Mode::Bidirectional, Mode::WriteThrough, Mode::ReviewedWrite])
}

fn case(modes: impl Generator<Value = Mode>) -> impl Generator<Value = Case> {
    case_of(Strategy::ALL.to_vec(), modes)
}

fn all_but(strategies: &[Strategy]) -> Vec<Strategy> {
    Strategy::ALL.iter().filter(|strategy| !strategies.contains(strategy)).cloned().collect()
}

fn case_of(strategies: Vec<Strategy>, modes: impl Generator<Value = Mode>) -> impl Generator<Value = Case> {
    (select(strategies), modes, any::<bool>(), any::<bool>()).prop_flat_map(|(strategy, mode, fold, text_merge)| {
        let equality = if fold { Equality::AsciiCaseInsensitive } else { Equality::Exact };
        let rule = FieldRule { equality, text_merge, order: RUN_PHASES, ..FieldRule::new("f", strategy.clone(), mode) };
        let values = (value(&strategy), value(&strategy), value(&strategy));
        (Just(rule), values, select(vec![0, 1, 2, 3, 3, 3])).prop_map(|(rule, (base, desired, observed), known)| {
            let stored =
                |max_bytes| Kept::Stored(FieldValue::from_json(base.as_ref()).to_base(&rule, max_bytes).unwrap());
            let base = match known {
                0 => Kept::Unknown,
                1 => stored(0),
                2 => stored(usize::MAX),
                _ => Kept::Whole(base),
            };
            Case { rule, base, desired, observed }
        })
    })
}

/// The set of what a value is made of: labels by spelling, lines, comments by id.
fn parts(case: &Case, value: Option<&Json>) -> BTreeMap<String, String> {
    let key = |text: &str| case.rule.equality.key(text).into_owned();
    match value {
        Some(Json::Array(items)) => items
            .iter()
            .map(|item| match item.as_str() {
                Some(text) => (key(text), String::new()),
                None => (item["id"].to_string(), item["text"].to_string()),
            })
            .collect(),
        Some(Json::Object(members)) => members.iter().map(|(key, held)| (key.clone(), held.to_string())).collect(),
        _ => BTreeMap::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn s30_swapping_the_sides_swaps_the_outcome(case in case_of(all_but(&[Strategy::Version]), symmetric_modes())) {
        let other = case.swapped();
        let (one, two) = ([case.field()], [other.field()]);
        let (one, two) = (merge_object(&one), merge_object(&two));
        prop_assert_eq!(one.changes.len(), two.changes.len());
        for (one, two) in one.changes.iter().zip(&two.changes) {
            let alike = |one: Option<&FieldValue<'_>>, two: Option<&FieldValue<'_>>| match (one, two) {
                (Some(one), Some(two)) => same(&case.rule, one, two),
                (one, two) => one == two,
            };
            prop_assert!(alike(one.take(), two.write()), "{:?}\n{:?}", one.outcome, two.outcome);
            prop_assert!(alike(one.write(), two.take()), "{:?}\n{:?}", one.outcome, two.outcome);
            let told = |change: &FieldChange<'_>| change.conflicts().map(|found| (found.path.to_string(), found.reason)).collect::<Vec<_>>();
            prop_assert_eq!(told(one), told(two));
        }
    }

    #[test]
    fn s30_what_was_decided_and_done_is_not_decided_again(case in case(modes())) {
        let after = case.applied(true);
        let fields = [after.field()];
        let again = merge_object(&fields);
        prop_assert_eq!(again.takes().count() + again.writes().count(), 0, "{:?}", again);
        // The base has moved already, but for what nothing was done about.
        prop_assert!(again.changes.iter().all(|change| !matches!(change.outcome, FieldOutcome::Agree)), "{:?}", again);
    }

    /// Between the local commit and the confirmed write nothing is taken back and nothing new is found.
    #[test]
    fn s30_a_write_that_is_still_to_come_is_found_again_as_the_same_write(case in case(modes())) {
        let fields = [case.field()];
        let first = merge_object(&fields);
        let after = case.applied(false);
        let again = [after.field()];
        let again = merge_object(&again);
        prop_assert_eq!(again.takes().count(), 0, "{:?}", again);
        let wanted: Vec<_> = first.writes().map(|(_, value)| value).collect();
        let found: Vec<_> = again.writes().map(|(_, value)| value).collect();
        prop_assert_eq!(found.len(), wanted.len(), "{:?}", again);
        prop_assert!(found.iter().zip(wanted).all(|(found, wanted)| same(&case.rule, found, wanted)), "{:?}", again);
    }

    #[test]
    fn s27_a_conflict_touches_no_side(case in case(modes())) {
        let field = [case.field()];
        for change in &merge_object(&field).changes {
            match &change.outcome {
                FieldOutcome::Conflict(_) => {
                    prop_assert!(change.take().is_none() && change.write().is_none() && change.base().is_none());
                }
                FieldOutcome::Partly(partly) => {
                    for key in &partly.conflicts {
                        for (side, before) in [(&partly.take, &case.desired), (&partly.write, &case.observed)] {
                            if let Some(after) = side.as_ref().and_then(FieldValue::to_json) {
                                prop_assert_eq!(after.get(key), before.as_ref().and_then(|before| before.get(key)));
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    }

    #[test]
    fn s27_a_merge_keeps_what_either_side_added_and_drops_what_one_side_removed(
        case in case_of(vec![Strategy::Set, Strategy::Append, Strategy::Map], symmetric_modes())
    ) {
        let Kept::Whole(base) = &case.base else { return Ok(()) };
        let field = [case.field()];
        let outcome = merge_object(&field);
        let Some(FieldChange { outcome: FieldOutcome::Merged { value, .. }, .. }) = outcome.changes.first() else { return Ok(()) };
        let (base, merged) = (parts(&case, base.as_ref()), parts(&case, value.to_json().as_ref()));
        let (desired, observed) = (parts(&case, case.desired.as_ref()), parts(&case, case.observed.as_ref()));
        for (key, held) in desired.iter().chain(&observed) {
            if !base.contains_key(key) {
                prop_assert_eq!(merged.get(key), Some(held), "an added element is lost");
            }
        }
        for (key, held) in &base {
            let (ours, theirs) = (desired.get(key), observed.get(key));
            let expected = if ours == Some(held) { theirs } else { ours };
            prop_assert_eq!(merged.get(key), expected);
        }
        prop_assert!(merged.keys().all(|key| desired.contains_key(key) || observed.contains_key(key)));
    }

    #[test]
    fn agreement_writes_nothing_in_any_mode(case in case(modes())) {
        let case = Case { observed: case.desired.clone(), ..case };
        let field = case.field();
        let outcome = merge_field(&case.rule, &field.base, &field.desired, &field.observed);
        prop_assert!(matches!(outcome, FieldOutcome::InSync | FieldOutcome::Agree), "{:?}", outcome);
    }

    #[test]
    fn s1_read_only_never_writes_or_conflicts_and_an_unknown_mode_allows_nothing(case in case(modes())) {
        for mode in [Mode::ReadOnly, Mode::from_text("two-way")] {
            let unknown = matches!(mode, Mode::Unknown(_));
            let case = Case { rule: FieldRule { mode, ..case.rule.clone() }, ..case.clone() };
            let field = [case.field()];
            let outcome = merge_object(&field);
            prop_assert_eq!(outcome.writes().count() + outcome.conflicts().count(), 0);
            prop_assert!(!unknown || outcome.takes().count() + outcome.bases().count() == 0);
        }
    }

    #[test]
    fn krate_owned_comes_to_the_desired_value_and_read_only_to_the_observed_one(
        // What only the provider knows is never krate's.
        case in case_of(all_but(&[Strategy::Version, Strategy::Monotonic]), modes())
    ) {
        let in_mode = |mode| Case { rule: FieldRule { mode, ..case.rule.clone() }, ..case.clone() }.applied(true);
        let (owned, mirrored) = (in_mode(Mode::KrateOwned), in_mode(Mode::ReadOnly));
        prop_assert!(same(&case.rule, &owned.desired(), &case.desired()) && same(&case.rule, &owned.observed(), &case.desired()));
        prop_assert!(same(&case.rule, &mirrored.desired(), &case.observed()) && same(&case.rule, &mirrored.observed(), &case.observed()));
    }

    #[test]
    fn external_owned_never_merges_what_both_changed(case in case(Just(Mode::ExternalOwned))) {
        let field = case.field();
        let outcome = merge_field(&case.rule, &field.base, &field.desired, &field.observed);
        prop_assert!(!matches!(outcome, FieldOutcome::Merged { .. } | FieldOutcome::Partly(_) | FieldOutcome::Drift), "{:?}", outcome);
    }
}

fn outcome(strategy: Strategy, mode: Mode, base: Option<&str>, desired: &str, observed: &str) -> FieldOutcome<'static> {
    let rule = FieldRule { order: RUN_PHASES, ..FieldRule::new("f", strategy, mode) };
    let base = base.map_or(Base::Unknown, |base| Base::Value(base.into()));
    match merge_field(&rule, &base, &FieldValue::text(desired), &FieldValue::text(observed)) {
        FieldOutcome::Merged { value, take, write } => FieldOutcome::Merged { value: value.into_owned(), take, write },
        FieldOutcome::Partly(_) => unreachable!("a text is no map"),
        FieldOutcome::InSync => FieldOutcome::InSync,
        FieldOutcome::TakeObserved => FieldOutcome::TakeObserved,
        FieldOutcome::WriteDesired => FieldOutcome::WriteDesired,
        FieldOutcome::Agree => FieldOutcome::Agree,
        FieldOutcome::Drift => FieldOutcome::Drift,
        FieldOutcome::Stale => FieldOutcome::Stale,
        FieldOutcome::Conflict(reason) => FieldOutcome::Conflict(reason),
        FieldOutcome::Refused => FieldOutcome::Refused,
    }
}

/// Spec section 7, the table, in every mode of section 2.
#[test]
fn s30_the_decision_table_in_every_mode() {
    use FieldOutcome::{Agree, Conflict, Drift, InSync, TakeObserved, WriteDesired};
    let ownership = || Conflict(ConflictReason::OwnershipViolation);
    let concurrent = || Conflict(ConflictReason::ConcurrentEdit);
    let unknown = || Conflict(ConflictReason::BaseUnknown);
    let rows: [(Mode, [FieldOutcome<'_>; 4]); 6] = [
        (Mode::ReadOnly, [TakeObserved, TakeObserved, TakeObserved, TakeObserved]),
        (Mode::ExternalOwned, [TakeObserved, WriteDesired, ownership(), unknown()]),
        (Mode::KrateOwned, [Drift, WriteDesired, Drift, Drift]),
        (Mode::Bidirectional, [TakeObserved, WriteDesired, concurrent(), unknown()]),
        (Mode::WriteThrough, [TakeObserved, WriteDesired, concurrent(), unknown()]),
        (Mode::ReviewedWrite, [TakeObserved, WriteDesired, concurrent(), unknown()]),
    ];
    for (mode, [observed, desired, both, never_met]) in rows {
        let of = |base, desired, observed| outcome(Strategy::Scalar, mode.clone(), base, desired, observed);
        assert_eq!(of(Some("0"), "0", "0"), InSync, "{mode}");
        assert_eq!(of(Some("0"), "1", "1"), Agree, "{mode}");
        assert_eq!(of(Some("0"), "0", "1"), observed, "{mode}");
        assert_eq!(of(Some("0"), "1", "0"), desired, "{mode}");
        assert_eq!(of(Some("0"), "1", "2"), both, "{mode}");
        assert_eq!(of(None, "1", "2"), never_met, "{mode}");
        assert_eq!(of(None, "1", "1"), Agree, "{mode}");
    }
}

#[test]
fn a_head_is_the_providers_word_in_every_mode() {
    for mode in Mode::ALL {
        assert_eq!(outcome(Strategy::Version, mode.clone(), Some("0"), "1", "2"), FieldOutcome::TakeObserved, "{mode}");
    }
}

#[test]
fn the_later_status_wins_and_two_ends_of_one_run_are_a_conflict() {
    let of = |mode, base, desired, observed| outcome(Strategy::Monotonic, mode, Some(base), desired, observed);
    assert_eq!(of(Mode::Bidirectional, "Queued", "Running", "Succeeded"), FieldOutcome::TakeObserved);
    assert_eq!(of(Mode::Bidirectional, "Queued", "Succeeded", "Running"), FieldOutcome::WriteDesired);
    assert_eq!(of(Mode::ReadOnly, "Succeeded", "Succeeded", "Running"), FieldOutcome::Stale);
    assert_eq!(of(Mode::ExternalOwned, "Succeeded", "Succeeded", "Running"), FieldOutcome::Stale);
    assert_eq!(of(Mode::KrateOwned, "Running", "Running", "Succeeded"), FieldOutcome::TakeObserved);
    let ends = of(Mode::Bidirectional, "Running", "Failed", "Succeeded");
    assert_eq!(ends, FieldOutcome::Conflict(ConflictReason::ConcurrentEdit));
}

#[test]
fn a_base_known_by_its_digest_tells_who_changed_but_merges_nothing() {
    let rule = FieldRule { text_merge: true, ..FieldRule::new("f", Strategy::Text, Mode::Bidirectional) };
    let kept = FieldValue::text("a\nb\nc\n").to_base(&rule, 0).unwrap();
    let base = Base::from(&kept);
    assert!(matches!(base, Base::Digest(_)));
    let of =
        |desired, observed| match merge_field(&rule, &base, &FieldValue::text(desired), &FieldValue::text(observed)) {
            FieldOutcome::Conflict(reason) => reason.to_string(),
            outcome => format!("{outcome:?}"),
        };
    assert_eq!(of("a\nb\nc\n", "A\nb\nc\n"), "TakeObserved");
    assert_eq!(of("A\nb\nc\n", "a\nb\nc\n"), "WriteDesired");
    assert_eq!(of("A\nb\nc\n", "a\nb\nC\n"), "ConcurrentEdit");
}

#[test]
fn s27_text_merges_only_where_the_policy_enables_it() {
    let of = |text_merge| {
        let rule = FieldRule { text_merge, ..FieldRule::new("f", Strategy::Text, Mode::Bidirectional) };
        let (desired, observed) = (FieldValue::text("A\nb\nc\n"), FieldValue::text("a\nb\nC\n"));
        matches!(merge_field(&rule, &Base::Value("a\nb\nc\n".into()), &desired, &observed), FieldOutcome::Merged { .. })
    };
    assert!(of(true) && !of(false));
}
