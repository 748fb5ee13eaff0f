//! A merge as JSON, for the command line: `{mode, strategies, base, desired, observed}` becomes `{outcome, merged, conflicts, write}`.

use std::collections::{BTreeMap, BTreeSet};

use krate_model::ClosedSet;
use krate_model::kinds::sets::{ConflictReason, Mode, Strategy};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::fields::by_name;
use super::{Base, Equality, Field, FieldOutcome, FieldRule, FieldValue, merge_object};

/// Members of the input, and of a strategy that is written as an object.
const MEMBERS: &[&str] = &["mode", "strategies", "base", "desired", "observed"];
const RULE_MEMBERS: &[&str] = &["strategy", "mode", "textMerge", "equality", "order"];
const EQUALITIES: &[&str] = &["exact", "ascii-case-insensitive"];

/// A merge to be made. Read with [`MergeInput::from_json`].
///
/// - `mode`: who owns the truth, such as `bidirectional`.
/// - `strategies`: field path to strategy. A path with dots reaches into objects (`body.markdown`). A field without an entry merges by its name as the
///   spec's table has it (`labels` is a `set`), and else as `scalar`. An entry is the strategy's name or an object `{strategy, mode, textMerge,
///   equality, order}`; `order` lists the ranks of `monotonic` from early to late, each a list of values.
/// - `base`: the values on which both sides agreed last; absent or `null` where they never did.
/// - `desired`, `observed`: the local values and the provider's.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeInput {
    leaves: Vec<Leaf>,
    base_known: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Leaf {
    segments: Vec<String>,
    rule: OwnedRule,
    base: Option<Json>,
    desired: Option<Json>,
    observed: Option<Json>,
}

#[derive(Debug, Clone, PartialEq)]
struct OwnedRule {
    path: String,
    strategy: Strategy,
    mode: Mode,
    text_merge: bool,
    equality: Equality,
    order: Vec<(String, u8)>,
}

/// Why an input is refused. Each names the path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeInputError {
    /// A member is missing.
    #[error("{path}: missing; {expected} is expected")]
    Missing {
        /// Where.
        path: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A member has another type.
    #[error("{path}: {expected} is expected")]
    Type {
        /// Where.
        path: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A member that isn't known.
    #[error("{path}: unknown member; accepted are {}", .accepted.join(", "))]
    UnknownMember {
        /// Where.
        path: String,
        /// What would be accepted.
        accepted: &'static [&'static str],
    },
    /// A value outside its closed set (S1).
    #[error("{path}: {found:?} is not one of {}", .accepted.join(", "))]
    NotInSet {
        /// Where.
        path: String,
        /// What was found.
        found: String,
        /// What would be accepted.
        accepted: &'static [&'static str],
    },
}

/// What a merge came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MergeOutput {
    /// `inSync`, `takeObserved`, `writeDesired`, `agreed`, `merged`, `drift`, `stale` or `conflict`. Several different ones together are `merged`, and any
    /// conflict makes it `conflict`.
    pub outcome: &'static str,
    /// What each field comes to. A field in conflict isn't here, since it has no merged value.
    pub merged: Map<String, Json>,
    /// The conflicts. Neither side of them is overwritten (S27).
    pub conflicts: Vec<JsonConflict>,
    /// What the provider has to be written, and no more; `null` clears a field.
    pub write: Map<String, Json>,
    /// What the local side has to take, and no more; `null` clears a field.
    pub take: Map<String, Json>,
    /// The outcome of each field by its path.
    pub fields: BTreeMap<String, &'static str>,
}

/// One conflict as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JsonConflict {
    /// Field, or field and key of a map.
    pub path: String,
    /// Why the sides can't be brought together.
    pub reason: ConflictReason,
    /// How the field merges.
    pub strategy: Strategy,
    /// The value on which both agreed last, `null` for none; not there when it isn't known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Json>,
    /// The local value.
    pub desired: Json,
    /// The provider's value.
    pub observed: Json,
}

impl MergeInput {
    /// Reads an input.
    ///
    /// # Errors
    /// [`MergeInputError`] for the first thing that isn't as described at [`MergeInput`]; nothing unknown is passed over (S1).
    pub fn from_json(input: &Json) -> Result<Self, MergeInputError> {
        let input = object(input, "$")?;
        known_members(input, "$", MEMBERS)?;
        let mode = one_of::<Mode>(input.get("mode"), "$.mode", Mode::from_text)?;
        let rules = match input.get("strategies") {
            None | Some(Json::Null) => BTreeMap::new(),
            Some(strategies) => object(strategies, "$.strategies")?
                .iter()
                .map(|(path, rule)| Ok((path.as_str(), read_rule(path, rule, &mode)?)))
                .collect::<Result<_, _>>()?,
        };
        let side = |name: &str| match input.get(name) {
            None | Some(Json::Null) => {
                Err(MergeInputError::Missing { path: format!("$.{name}"), expected: "an object" })
            }
            Some(side) => object(side, &format!("$.{name}")),
        };
        let base = match input.get("base") {
            None | Some(Json::Null) => None,
            Some(base) => Some(object(base, "$.base")?),
        };
        let mut found = Found { rules: &rules, mode: &mode, seen: BTreeSet::new(), leaves: Vec::new() };
        let (desired, observed) = (side("desired")?, side("observed")?);
        for side in [Some(desired), Some(observed), base].into_iter().flatten() {
            found.collect(side, &mut Vec::new());
        }
        let mut leaves = found.leaves;
        for leaf in &mut leaves {
            leaf.desired = value_at(desired, &leaf.segments).cloned();
            leaf.observed = value_at(observed, &leaf.segments).cloned();
            leaf.base = base.and_then(|base| value_at(base, &leaf.segments)).cloned();
        }
        leaves.sort_by(|one, other| one.segments.cmp(&other.segments));
        Ok(Self { leaves, base_known: base.is_some() })
    }

    /// The merge.
    pub fn merge(&self) -> MergeOutput {
        let orders: Vec<Vec<(&str, u8)>> = self
            .leaves
            .iter()
            .map(|leaf| leaf.rule.order.iter().map(|(value, rank)| (value.as_str(), *rank)).collect())
            .collect();
        let rules: Vec<FieldRule<'_>> = self
            .leaves
            .iter()
            .zip(&orders)
            .map(|(leaf, order)| FieldRule {
                path: leaf.rule.path.as_str().into(),
                strategy: leaf.rule.strategy.clone(),
                mode: leaf.rule.mode.clone(),
                text_merge: leaf.rule.text_merge,
                equality: leaf.rule.equality,
                order,
            })
            .collect();
        let fields: Vec<Field<'_>> = self
            .leaves
            .iter()
            .zip(&rules)
            .map(|(leaf, rule)| Field {
                rule,
                base: match &leaf.base {
                    _ if !self.base_known => Base::Unknown,
                    None => Base::Absent,
                    some => Base::Value(FieldValue::from_json(some.as_ref())),
                },
                desired: FieldValue::from_json(leaf.desired.as_ref()),
                observed: FieldValue::from_json(leaf.observed.as_ref()),
            })
            .collect();
        let outcome = merge_object(&fields);
        let mut output = MergeOutput {
            outcome: "inSync",
            merged: Map::new(),
            conflicts: Vec::new(),
            write: Map::new(),
            take: Map::new(),
            fields: fields.iter().map(|field| (field.rule.path.to_string(), "inSync")).collect(),
        };
        let mut merged: Vec<Option<Json>> = fields.iter().map(|field| field.desired.to_json()).collect();
        let place = |field: &Field<'_>| fields.iter().position(|known| std::ptr::eq(known.rule, field.rule));
        for change in &outcome.changes {
            output.fields.insert(change.field.rule.path.to_string(), name(&change.outcome));
            let Some((leaf, slot)) = place(change.field).and_then(|at| self.leaves.get(at).zip(merged.get_mut(at)))
            else {
                continue;
            };
            if let Some(value) = change.take() {
                *slot = value.to_json();
                put(&mut output.take, &leaf.segments, value.to_json().unwrap_or(Json::Null));
            }
            if let Some(value) = change.write() {
                put(&mut output.write, &leaf.segments, value.to_json().unwrap_or(Json::Null));
            }
            match &change.outcome {
                FieldOutcome::Conflict(_) => *slot = None,
                FieldOutcome::Partly(partly) => {
                    if let Some(Json::Object(members)) = slot {
                        members.retain(|key, _| !partly.conflicts.contains(key));
                    }
                }
                _ => {}
            }
            output.conflicts.extend(change.conflicts().map(|conflict| JsonConflict {
                base: conflict.base().map(|base| base.unwrap_or(Json::Null)),
                desired: conflict.desired().unwrap_or(Json::Null),
                observed: conflict.observed().unwrap_or(Json::Null),
                path: conflict.path.into_owned(),
                reason: conflict.reason,
                strategy: conflict.strategy.clone(),
            }));
        }
        for (leaf, value) in self.leaves.iter().zip(merged) {
            if let Some(value) = value {
                put(&mut output.merged, &leaf.segments, value);
            }
        }
        output.outcome = overall(output.fields.values().copied());
        output
    }
}

fn overall<'n>(names: impl Iterator<Item = &'n str>) -> &'static str {
    let found: BTreeSet<&str> = names.collect();
    // What changes something says more than what doesn't.
    let active: Vec<&str> =
        found.iter().copied().filter(|name| !["inSync", "agreed", "stale"].contains(name)).collect();
    match active.as_slice() {
        _ if found.contains("conflict") => "conflict",
        _ if found.contains("refused") => "refused",
        ["takeObserved"] => "takeObserved",
        ["writeDesired"] => "writeDesired",
        ["drift"] => "drift",
        [] if found.contains("agreed") => "agreed",
        [] if found.contains("stale") => "stale",
        [] => "inSync",
        _ => "merged",
    }
}

fn name(outcome: &FieldOutcome<'_>) -> &'static str {
    match outcome {
        FieldOutcome::InSync => "inSync",
        FieldOutcome::TakeObserved => "takeObserved",
        FieldOutcome::WriteDesired => "writeDesired",
        FieldOutcome::Agree => "agreed",
        FieldOutcome::Merged { .. } => "merged",
        FieldOutcome::Drift => "drift",
        FieldOutcome::Stale => "stale",
        FieldOutcome::Conflict(_) | FieldOutcome::Partly(_) => "conflict",
        FieldOutcome::Refused => "refused",
    }
}

/// The fields of all sides, each once.
struct Found<'r> {
    rules: &'r BTreeMap<&'r str, OwnedRule>,
    mode: &'r Mode,
    seen: BTreeSet<Vec<String>>,
    leaves: Vec<Leaf>,
}

impl Found<'_> {
    fn collect(&mut self, side: &Map<String, Json>, above: &mut Vec<String>) {
        for (key, value) in side {
            above.push(key.clone());
            let path = above.join(".");
            let rule = self.rules.get(path.as_str());
            let inside = format!("{path}.");
            match value {
                Json::Object(members)
                    if rule.is_none() && self.rules.keys().any(|deeper| deeper.starts_with(&inside)) =>
                {
                    self.collect(members, above);
                }
                _ if self.seen.insert(above.clone()) => {
                    let rule = rule.cloned().unwrap_or_else(|| OwnedRule::by_name(path, key, self.mode));
                    let segments = above.clone();
                    self.leaves.push(Leaf { segments, rule, base: None, desired: None, observed: None });
                }
                _ => {}
            }
            above.pop();
        }
    }
}

impl OwnedRule {
    fn by_name(path: String, name: &str, mode: &Mode) -> Self {
        let known = by_name(name.rsplit('.').next().unwrap_or(name));
        Self {
            path,
            strategy: known.strategy,
            mode: mode.clone(),
            text_merge: false,
            equality: Equality::Exact,
            order: known.order.iter().map(|(value, rank)| ((*value).to_owned(), *rank)).collect(),
        }
    }
}

fn read_rule(path: &str, rule: &Json, mode: &Mode) -> Result<OwnedRule, MergeInputError> {
    let at = format!("$.strategies[{path:?}]");
    let name = path.rsplit('.').next().unwrap_or(path);
    // Whoever names `text` in the input enables it.
    let mut read = OwnedRule { text_merge: true, ..OwnedRule::by_name(path.to_owned(), name, mode) };
    if rule.is_string() {
        read.strategy = one_of::<Strategy>(Some(rule), &at, Strategy::from_text)?;
        return Ok(read);
    }
    let rule = rule
        .as_object()
        .ok_or_else(|| MergeInputError::Type { path: at.clone(), expected: "the name of a strategy, or an object" })?;
    known_members(rule, &at, RULE_MEMBERS)?;
    read.strategy = one_of::<Strategy>(rule.get("strategy"), &format!("{at}.strategy"), Strategy::from_text)?;
    if let Some(own) = rule.get("mode") {
        read.mode = one_of::<Mode>(Some(own), &format!("{at}.mode"), Mode::from_text)?;
    }
    if let Some(enabled) = rule.get("textMerge") {
        let path = format!("{at}.textMerge");
        read.text_merge = enabled.as_bool().ok_or(MergeInputError::Type { path, expected: "true or false" })?;
    }
    if let Some(equality) = rule.get("equality") {
        read.equality = match equality.as_str() {
            Some("exact") => Equality::Exact,
            Some("ascii-case-insensitive") => Equality::AsciiCaseInsensitive,
            _ => {
                let found = equality.as_str().map_or_else(|| equality.to_string(), str::to_owned);
                return Err(MergeInputError::NotInSet { path: format!("{at}.equality"), found, accepted: EQUALITIES });
            }
        };
    }
    if let Some(order) = rule.get("order") {
        read.order = read_order(order).ok_or_else(|| MergeInputError::Type {
            path: format!("{at}.order"),
            expected: "a list of at most 255 lists of texts",
        })?;
    }
    Ok(read)
}

fn read_order(order: &Json) -> Option<Vec<(String, u8)>> {
    let mut read = Vec::new();
    for (rank, values) in order.as_array()?.iter().enumerate() {
        let rank = u8::try_from(rank).ok()?;
        for value in values.as_array()? {
            read.push((value.as_str()?.to_owned(), rank));
        }
    }
    Some(read)
}

fn object<'v>(value: &'v Json, path: &str) -> Result<&'v Map<String, Json>, MergeInputError> {
    value.as_object().ok_or_else(|| MergeInputError::Type { path: path.to_owned(), expected: "an object" })
}

fn known_members(
    object: &Map<String, Json>,
    path: &str,
    accepted: &'static [&'static str],
) -> Result<(), MergeInputError> {
    match object.keys().find(|key| !accepted.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(MergeInputError::UnknownMember { path: format!("{path}.{key}"), accepted }),
    }
}

fn one_of<T: ClosedSet>(found: Option<&Json>, path: &str, read: fn(&str) -> T) -> Result<T, MergeInputError> {
    let refuse = |found: String| MergeInputError::NotInSet { path: path.to_owned(), found, accepted: T::ACCEPTED };
    let found = found.ok_or_else(|| MergeInputError::Missing { path: path.to_owned(), expected: "a text" })?;
    let text = found.as_str().ok_or_else(|| refuse(found.to_string()))?;
    let value = read(text);
    if value.is_known() { Ok(value) } else { Err(refuse(text.to_owned())) }
}

fn value_at<'v>(side: &'v Map<String, Json>, segments: &[String]) -> Option<&'v Json> {
    let (first, rest) = segments.split_first()?;
    let value = side.get(first)?;
    if rest.is_empty() { Some(value) } else { value_at(value.as_object()?, rest) }
}

fn put(side: &mut Map<String, Json>, segments: &[String], value: Json) {
    match segments {
        [] => {}
        [last] => {
            side.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = side.entry(first.as_str()).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(input: &Json) -> MergeOutput {
        MergeInput::from_json(input).unwrap().merge()
    }

    fn refused(input: &Json) -> String {
        MergeInput::from_json(input).unwrap_err().to_string()
    }

    #[test]
    fn s27_a_conflict_in_one_field_lets_the_others_merge() {
        let output = merged(&json!({
            "mode": "bidirectional",
            "strategies": {"title": "scalar", "labels": "set", "body.markdown": "text"},
            "base": {"title": "t", "labels": ["a", "b"], "body": {"markdown": "1\n2\n3\n", "sourceFormat": "markdown"}},
            "desired": {"title": "T", "labels": ["a", "b", "c"], "body": {"markdown": "one\n2\n3\n", "sourceFormat": "markdown"}},
            "observed": {"title": "tt", "labels": ["a"], "body": {"markdown": "1\n2\nthree\n", "sourceFormat": "markdown"}},
        }));
        assert_eq!(
            serde_json::to_value(&output).unwrap(),
            json!({
                "outcome": "conflict",
                "merged": {"labels": ["a", "c"], "body": {"markdown": "one\n2\nthree\n", "sourceFormat": "markdown"}},
                "conflicts": [{
                    "path": "title", "reason": "ConcurrentEdit", "strategy": "scalar",
                    "base": "t", "desired": "T", "observed": "tt",
                }],
                "write": {"labels": ["a", "c"], "body": {"markdown": "one\n2\nthree\n"}},
                "take": {"labels": ["a", "c"], "body": {"markdown": "one\n2\nthree\n"}},
                "fields": {
                    "title": "conflict", "labels": "merged", "body.markdown": "merged", "body.sourceFormat": "inSync",
                },
            })
        );
    }

    #[test]
    fn one_sided_changes_keep_their_name_and_mixed_ones_are_merged() {
        let input = |desired: Json, observed: Json| json!({"mode": "bidirectional", "base": {"a": 1, "b": 1}, "desired": desired, "observed": observed});
        let outcome = |desired: Json, observed: Json| merged(&input(desired, observed)).outcome;
        assert_eq!(outcome(json!({"a": 1, "b": 1}), json!({"a": 1, "b": 1})), "inSync");
        assert_eq!(outcome(json!({"a": 1, "b": 1}), json!({"a": 2, "b": 1})), "takeObserved");
        assert_eq!(outcome(json!({"a": 2, "b": 1}), json!({"a": 1, "b": 1})), "writeDesired");
        assert_eq!(outcome(json!({"a": 2, "b": 1}), json!({"a": 2, "b": 1})), "agreed");
        assert_eq!(outcome(json!({"a": 2, "b": 1}), json!({"a": 1, "b": 2})), "merged");
        let cleared = merged(&input(json!({"a": 1}), json!({"a": 1, "b": 1})));
        assert_eq!((cleared.outcome, &cleared.write["b"]), ("writeDesired", &Json::Null));
    }

    #[test]
    fn without_a_base_two_values_are_a_conflict_and_one_is_taken() {
        let output = merged(&json!({
            "mode": "bidirectional", "desired": {"title": "a", "milestone": null}, "observed": {"title": "b", "milestone": "m"},
        }));
        assert_eq!(output.conflicts[0].reason, ConflictReason::BaseUnknown);
        assert_eq!(output.conflicts[0].base, None);
        assert_eq!(output.merged, json!({"milestone": "m"}).as_object().unwrap().clone());
    }

    #[test]
    fn a_map_conflicts_by_key() {
        let output = merged(&json!({
            "mode": "bidirectional", "strategies": {"f": "map"},
            "base": {"f": {"a": 1, "b": 1, "c": 1}}, "desired": {"f": {"a": 2, "b": 2, "c": 1}},
            "observed": {"f": {"a": 3, "b": 1, "c": 4}},
        }));
        assert_eq!(output.conflicts.len(), 1);
        assert_eq!((output.conflicts[0].path.as_str(), &output.conflicts[0].desired), ("f[a]", &json!(2)));
        assert_eq!(Json::from(output.merged), json!({"f": {"b": 2, "c": 4}}));
        assert_eq!(Json::from(output.take), json!({"f": {"a": 2, "b": 2, "c": 4}}));
        assert_eq!(Json::from(output.write), json!({"f": {"a": 3, "b": 2, "c": 4}}));
    }

    #[test]
    fn s1_what_isnt_known_is_refused_with_its_path_and_what_is_accepted() {
        let good = json!({"mode": "bidirectional", "strategies": {}, "desired": {}, "observed": {}});
        let with = |path: &str, value: Json| {
            let mut input = good.clone();
            *input
                .pointer_mut(path.rsplit_once('/').unwrap().0)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .entry(path.rsplit_once('/').unwrap().1)
                .or_insert(Json::Null) = value;
            input
        };
        assert_eq!(merged(&good).outcome, "inSync");
        assert_eq!(
            refused(&with("/strategeis", json!({}))),
            "$.strategeis: unknown member; accepted are mode, strategies, base, desired, observed"
        );
        assert_eq!(
            refused(&with("/mode", json!("two-way"))),
            "$.mode: \"two-way\" is not one of read-only, external-owned, krate-owned, bidirectional, write-through, reviewed-write"
        );
        assert_eq!(
            refused(&with("/strategies/title", json!("newest"))),
            "$.strategies[\"title\"]: \"newest\" is not one of scalar, set, map, text, monotonic, append, version"
        );
        assert_eq!(
            refused(&with("/strategies/title", json!({"strategy": "set", "sort": true}))),
            "$.strategies[\"title\"].sort: unknown member; accepted are strategy, mode, textMerge, equality, order"
        );
        assert_eq!(
            refused(&with("/strategies/title", json!(3))),
            "$.strategies[\"title\"]: the name of a strategy, or an object is expected"
        );
        assert_eq!(refused(&with("/desired", json!([]))), "$.desired: an object is expected");
        assert_eq!(refused(&json!({"mode": "read-only", "desired": {}})), "$.observed: missing; an object is expected");
        assert_eq!(refused(&json!([])), "$: an object is expected");
    }
}
