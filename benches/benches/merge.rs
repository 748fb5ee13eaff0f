//! The merge of an object of thirty fields, beside a naive one over `serde_json::Value`. The floor is to compare the canonical texts of the three sides, byte for
//! byte: less than that tells nobody whether anything changed.

use krate_benches::{Candidate, compare};
use krate_model::canonical_json;
use krate_model::kinds::sets::{Mode, Strategy};
use krate_model::kinds::shared;
use krate_sync::merge::{Base, Field, FieldRule, FieldValue, merge_object};
use serde_json::{Value as Json, json};

/// Fields of the object.
const FIELDS: usize = 30;

/// One field on its three sides, as it stands in objects.
struct Sides {
    rule: FieldRule<'static>,
    base: Json,
    kept: shared::Value,
    desired: Json,
    observed: Json,
}

/// What happened since the base.
#[derive(Clone, Copy)]
enum Since {
    Nothing,
    /// The provider changed every field.
    Theirs,
    /// Both sides changed every field, in different ways.
    Both,
}

impl Sides {
    fn new(strategy: Strategy, since: Since, base: Json, ours: Json, theirs: Json) -> Self {
        let rule = FieldRule::new("spec.field", strategy, Mode::Bidirectional);
        let kept = FieldValue::from_json(Some(&base)).to_base(&rule, 1024).expect("it has a canonical form");
        let (desired, observed) = match since {
            Since::Nothing => (base.clone(), base.clone()),
            Since::Theirs => (base.clone(), theirs),
            Since::Both => (ours, theirs),
        };
        Self { rule, base, kept, desired, observed }
    }

    fn texts(&self) -> [String; 3] {
        [&self.base, &self.desired, &self.observed].map(|side| canonical_json(side).expect("it has a canonical form"))
    }

    fn field(&self) -> Field<'_> {
        Field {
            rule: &self.rule,
            base: Base::from(&self.kept),
            desired: FieldValue::from_json(Some(&self.desired)),
            observed: FieldValue::from_json(Some(&self.observed)),
        }
    }
}

fn scalars(since: Since) -> Vec<Sides> {
    (0..FIELDS)
        .map(|at| {
            let text = |who: &str| json!(format!("field {at} as {who} has it"));
            Sides::new(Strategy::Scalar, since, text("the base"), text("krate"), text("the provider"))
        })
        .collect()
}

/// As the fields of issues and pull requests are: texts, bodies with line breaks and quotes, flags, numbers, sets.
fn mixed(since: Since) -> Vec<Sides> {
    let body = |end: &str| {
        json!(format!("It crashes with \"no such file\":\r\n\r\n```\nopen C:\\data\n```\n\nSteps to reproduce, {end}."))
    };
    let set = |more: &[&str]| {
        let mut labels = vec!["bug", "area/sync", "good first issue"];
        labels.extend(more);
        json!(labels)
    };
    (0..FIELDS)
        .map(|at| match at % 6 {
            0 => Sides::new(Strategy::Set, since, set(&[]), set(&["ui"]), set(&["p1", "api"])),
            1 => Sides::new(Strategy::Scalar, since, body("as before"), body("for krate"), body("at the provider")),
            2 => Sides::new(Strategy::Scalar, since, json!(7), json!(8), json!(9)),
            3 => Sides::new(Strategy::Scalar, since, json!(null), json!("v1.2"), json!("v2.0")),
            4 => Sides::new(Strategy::Scalar, since, json!(false), json!(true), json!(true)),
            _ => Sides::new(Strategy::Scalar, since, json!("open"), json!("closed"), json!("merged")),
        })
        .collect()
}

/// How many of the fields have changed on a side.
fn changed_texts(texts: &[[String; 3]]) -> usize {
    texts.iter().filter(|[base, desired, observed]| base != desired || base != observed).count()
}

/// Three trees, compared whole; sets by their elements.
fn naive(sides: &[Sides]) -> usize {
    let mut changed = 0;
    for side in sides {
        let base: Json = match &side.kept.json {
            Some(text) => serde_json::from_str(text).expect("it is JSON"),
            None => Json::Null,
        };
        let (desired, observed) = (side.desired.clone(), side.observed.clone());
        let merged = match (&side.rule.strategy, desired == base, observed == base) {
            _ if desired == observed => desired,
            (_, true, _) => observed,
            (_, _, true) => desired,
            (Strategy::Set, ..) => {
                let list = |side: &Json| side.as_array().cloned().unwrap_or_default();
                let (base, desired, observed) = (list(&base), list(&desired), list(&observed));
                let stays = |item: &Json| !base.contains(item) || (desired.contains(item) && observed.contains(item));
                let mut merged: Vec<Json> = observed.iter().filter(|item| stays(item)).cloned().collect();
                merged.extend(desired.iter().filter(|item| stays(item) && !observed.contains(item)).cloned());
                Json::Array(merged)
            }
            _ => Json::Null,
        };
        changed += usize::from(merged != side.base);
    }
    changed
}

fn report(title: &str, sides: &[Sides]) {
    let fields: Vec<Field<'_>> = sides.iter().map(Sides::field).collect();
    let texts: Vec<[String; 3]> = sides.iter().map(Sides::texts).collect();
    compare(
        title,
        vec![
            Candidate::new("floor: the texts compared", || changed_texts(&texts)),
            Candidate::new("merge_object", || merge_object(&fields).changes.len()),
            Candidate::new("naive over serde_json::Value", || naive(sides)),
        ],
    );
    let counted = allocation_counter::measure(|| {
        std::hint::black_box(merge_object(&fields).changes.len());
    });
    println!("  allocations of merge_object: {}", counted.count_total);
}

fn main() {
    let all_changed = |sides: &[Sides]| {
        let fields: Vec<Field<'_>> = sides.iter().map(Sides::field).collect();
        merge_object(&fields).changes.len()
    };
    assert_eq!(all_changed(&scalars(Since::Nothing)), 0);
    assert_eq!(all_changed(&mixed(Since::Nothing)), 0);
    assert_eq!(all_changed(&scalars(Since::Both)), FIELDS);
    assert_eq!(all_changed(&mixed(Since::Both)), FIELDS);

    report("30 scalars, unchanged (goal: at most 200 ns)", &scalars(Since::Nothing));
    report("30 scalars, changed by the provider (goal: at most 2 µs)", &scalars(Since::Theirs));
    report("30 scalars, changed by both sides", &scalars(Since::Both));
    report("30 mixed fields, unchanged", &mixed(Since::Nothing));
    report("30 mixed fields, changed by the provider (goal: at most 2 µs)", &mixed(Since::Theirs));
    report("30 mixed fields, changed by both sides", &mixed(Since::Both));
}
