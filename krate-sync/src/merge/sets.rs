//! Strategies over elements: `set`, `append`, `map`.
//!
//! All three ask the same question of each element: who changed it since the base? One side did: that side's word holds. Both did, alike: fine.
//! Both did, differently: a conflict, and nothing of either side is overwritten (S27).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use krate_model::canonical_json;
use serde_json::{Map, Value as Json};

use super::value::SHORT;
use super::{Equality, FieldValue, words};

/// What became of a map: each key on its own.
pub(super) struct MergedMap {
    /// What both sides come to, key by key. On a key in conflict each side keeps its own.
    pub(super) local: Map<String, Json>,
    pub(super) remote: Map<String, Json>,
    pub(super) base: Map<String, Json>,
    pub(super) conflicts: Vec<String>,
}

/// The set that both sides' additions and removals lead to; `None` where a side isn't a set.
///
/// What stays comes in the observed order, additions of the local side after it. An element that both sides hold is spelled as the provider spells it.
pub(super) fn merge_set<'f>(
    equality: Equality,
    base: &FieldValue<'_>,
    desired: &'f FieldValue<'_>,
    observed: &'f FieldValue<'_>,
) -> Option<FieldValue<'f>> {
    if let (FieldValue::List(desired), FieldValue::List(observed)) = (desired, observed) {
        let base = match base {
            FieldValue::List(base) => base.as_slice(),
            base if base.is_empty() => &[],
            _ => return None,
        };
        return Some(FieldValue::List(merge_texts(equality, base, desired, observed)));
    }
    // Elements that aren't texts, or a side without elements: the same by canonical text.
    let base: BTreeSet<String> = elements(base)?.into_iter().map(|item| element_key(equality, &item)).collect();
    let (desired, observed) = (elements(desired)?, elements(observed)?);
    let keys = |side: &[Json]| side.iter().map(|item| element_key(equality, item)).collect::<BTreeSet<String>>();
    let (in_desired, in_observed) = (keys(&desired), keys(&observed));
    let mut taken = BTreeSet::new();
    let merged = observed
        .into_iter()
        .chain(desired)
        .filter(|item| {
            let key = element_key(equality, item);
            let stays = stays(base.contains(&key), in_desired.contains(&key), in_observed.contains(&key));
            stays && taken.insert(key)
        })
        .collect();
    Some(FieldValue::from_owned(Json::Array(merged)))
}

/// What three short sets come to.
#[derive(Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools)] // Independent facts; every combination of them occurs.
pub(super) struct Settled<'f> {
    /// Whether the local side isn't as the base any more.
    pub(super) desired_changed: bool,
    /// Whether the provider isn't.
    pub(super) observed_changed: bool,
    /// As [`merge_set`] has it; empty unless both changed.
    pub(super) merged: Vec<Cow<'f, str>>,
    /// Whether the local side differs from `merged`.
    pub(super) take: bool,
    /// Whether the provider does.
    pub(super) write: bool,
}

/// Compares the elements of three short sets once, and tells everything from that; `None` where one is long.
pub(super) fn settle<'f>(
    equality: Equality,
    base: &[&str],
    desired: &'f [Cow<'_, str>],
    observed: &'f [Cow<'_, str>],
) -> Option<Settled<'f>> {
    if base.len().max(desired.len()).max(observed.len()) > SHORT {
        return None;
    }
    let (base, ours, theirs) = (Keyed::of(base), Keyed::of(desired), Keyed::of(observed));
    let (desired_in_base, base_in_desired) = ours.matched(equality, &base);
    let (observed_in_base, base_in_observed) = theirs.matched(equality, &base);
    let mut settled = Settled {
        desired_changed: !(desired_in_base.all(ours.list) && base_in_desired.all(base.list)),
        observed_changed: !(observed_in_base.all(theirs.list) && base_in_observed.all(base.list)),
        merged: Vec::new(),
        take: false,
        write: false,
    };
    if !settled.desired_changed || !settled.observed_changed {
        return Some(settled);
    }
    let (desired_in_observed, observed_in_desired) = ours.matched(equality, &theirs);
    settled.merged.reserve_exact(desired.len().saturating_add(observed.len()));
    let mut side = |side: &Keyed<'f, Cow<'_, str>>, in_base: Found, in_other: Found, others: bool| {
        let (mut added, mut removed) = (false, false);
        for (at, element) in side.list.iter().enumerate() {
            let (in_base, in_other) = (in_base.has(at), in_other.has(at));
            added |= !in_base && !in_other;
            removed |= in_base && !in_other;
            let wanted = !in_base && !in_other || in_other && others;
            // An element said twice is there once.
            if wanted && !side.is_repeated(equality, at) {
                settled.merged.push(Cow::Borrowed(element.as_ref()));
            }
        }
        (added, removed)
    };
    let (added_there, removed_here) = side(&theirs, observed_in_base, observed_in_desired, true);
    let (added_here, removed_there) = side(&ours, desired_in_base, desired_in_observed, false);
    settled.take = added_there || removed_there;
    settled.write = added_here || removed_here;
    Some(settled)
}

/// Elements of a short list, a bit each.
#[derive(Clone, Copy, Default)]
struct Found(u32);

impl Found {
    fn bit(at: usize) -> u32 {
        u32::try_from(at).ok().and_then(|at| 1_u32.checked_shl(at)).unwrap_or_default()
    }

    fn has(self, at: usize) -> bool {
        self.0 & Self::bit(at) != 0
    }

    fn all<T>(self, list: &[T]) -> bool {
        self.0 == Self::bit(list.len()).wrapping_sub(1)
    }
}

/// A short list, each element with a key that tells nearly all others apart from it.
struct Keyed<'l, T> {
    list: &'l [T],
    keys: [u64; SHORT],
}

impl<'l, T: AsRef<str>> Keyed<'l, T> {
    #[inline]
    fn of(list: &'l [T]) -> Self {
        let mut keys = [0; SHORT];
        keys.iter_mut().zip(list).for_each(|(key, element)| *key = words::key(element.as_ref()));
        Self { list, keys }
    }

    fn elements(&self) -> impl Iterator<Item = (&u64, &'l T)> {
        self.keys.iter().zip(self.list)
    }

    /// Which elements are in `others`, and which of `others` in these.
    #[inline]
    fn matched<O: AsRef<str>>(&self, equality: Equality, others: &Keyed<'_, O>) -> (Found, Found) {
        let (mut in_others, mut in_ones) = (Found::default(), Found::default());
        for (one_at, (key, one)) in self.elements().enumerate() {
            for (other_at, (other_key, other)) in others.elements().enumerate() {
                if key == other_key && equality.same(one.as_ref(), other.as_ref()) {
                    in_others.0 |= Found::bit(one_at);
                    in_ones.0 |= Found::bit(other_at);
                }
            }
        }
        (in_others, in_ones)
    }

    /// Whether an element was there already.
    fn is_repeated(&self, equality: Equality, at: usize) -> bool {
        let mut before = self.elements().take(at);
        let (key, element) = (self.keys.get(at), self.list.get(at));
        before.any(|(earlier_key, earlier)| {
            key == Some(earlier_key) && element.is_some_and(|it| equality.same(it.as_ref(), earlier.as_ref()))
        })
    }
}

/// An element is there when both sides have it, or one side has added it.
fn stays(in_base: bool, in_desired: bool, in_observed: bool) -> bool {
    (in_desired && in_observed) || (!in_base && (in_desired || in_observed))
}

fn merge_texts<'f>(
    equality: Equality,
    base: &[Cow<'_, str>],
    desired: &'f [Cow<'_, str>],
    observed: &'f [Cow<'_, str>],
) -> Vec<Cow<'f, str>> {
    let in_base = Members::of(equality, base);
    let in_desired = Members::of(equality, desired);
    let in_observed = Members::of(equality, observed);
    let mut merged: Vec<Cow<'f, str>> = Vec::with_capacity(desired.len().max(observed.len()).saturating_add(2));
    for (at, element) in observed.iter().enumerate() {
        if stays(in_base.has(element), in_desired.has(element), true) && in_observed.is_first(at, element) {
            merged.push(Cow::Borrowed(element.as_ref()));
        }
    }
    for (at, element) in desired.iter().enumerate() {
        let only_here = !in_observed.has(element);
        if only_here && stays(in_base.has(element), true, false) && in_desired.is_first(at, element) {
            merged.push(Cow::Borrowed(element.as_ref()));
        }
    }
    merged
}

/// Who is in a list: looked up one by one while it is short, by a tree when it is long.
enum Members<'a> {
    Short(Equality, &'a [Cow<'a, str>]),
    Long(Equality, BTreeMap<Cow<'a, str>, usize>),
}

impl<'a> Members<'a> {
    const SHORT: usize = 16;

    fn of(equality: Equality, list: &'a [Cow<'a, str>]) -> Self {
        if list.len() <= Self::SHORT {
            return Self::Short(equality, list);
        }
        let mut first = BTreeMap::new();
        for (at, element) in list.iter().enumerate() {
            first.entry(equality.key(element)).or_insert(at);
        }
        Self::Long(equality, first)
    }

    fn first(&self, element: &str) -> Option<usize> {
        match self {
            Self::Short(equality, list) => list.iter().position(|held| equality.same(held, element)),
            Self::Long(equality, first) => first.get(equality.key(element).as_ref()).copied(),
        }
    }

    fn has(&self, element: &str) -> bool {
        self.first(element).is_some()
    }

    /// Whether `element` is no repetition of an earlier one.
    fn is_first(&self, at: usize, element: &str) -> bool {
        self.first(element) == Some(at)
    }
}

/// The union by identity of what both sides hold; `None` where the same element was changed on both sides, or a side has no elements.
///
/// An element is known by its member `id`, and by its whole content where it has none. An element that one side removed and the other left alone is
/// removed; one that one side removed and the other changed is a conflict.
pub(super) fn merge_append(
    base: Option<&FieldValue<'_>>,
    desired: &FieldValue<'_>,
    observed: &FieldValue<'_>,
) -> Option<FieldValue<'static>> {
    let base = base.map_or(Some(Vec::new()), elements)?;
    let (desired, observed) = (elements(desired)?, elements(observed)?);
    let base_of = by_identity(&base)?;
    let (desired_of, observed_of) = (by_identity(&desired)?, by_identity(&observed)?);
    let mut merged = Vec::with_capacity(desired.len().max(observed.len()));
    let mut met = BTreeSet::new();
    for item in base.iter().chain(&observed).chain(&desired) {
        let id = identity(item);
        let (kept, ours, theirs) = (base_of.get(&id), desired_of.get(&id), observed_of.get(&id));
        if met.insert(id) {
            match three_way(kept, ours, theirs) {
                Ok(Some(whole)) => merged.push((**whole).clone()),
                Ok(None) => {}
                Err(Diverged) => return None,
            }
        }
    }
    Some(FieldValue::from_owned(Json::Array(merged)))
}

/// Each key as a field of its own; `None` where a side is no map.
pub(super) fn merge_map(
    base: &FieldValue<'_>,
    desired: &FieldValue<'_>,
    observed: &FieldValue<'_>,
) -> Option<MergedMap> {
    let (base, desired, observed) = (members(base)?, members(desired)?, members(observed)?);
    let mut merged = MergedMap { local: Map::new(), remote: Map::new(), base: Map::new(), conflicts: Vec::new() };
    let keys: BTreeSet<&String> = base.keys().chain(desired.keys()).chain(observed.keys()).collect();
    for key in keys {
        let (kept, ours, theirs) = (base.get(key), desired.get(key), observed.get(key));
        let (local, remote, agreed) = if let Ok(value) = three_way(kept, ours, theirs) {
            // What the provider holds is the base from here on: what is still to be written differs from it.
            (value, value, theirs)
        } else {
            merged.conflicts.push(key.clone());
            (ours, theirs, kept)
        };
        for (side, value) in [(&mut merged.local, local), (&mut merged.remote, remote), (&mut merged.base, agreed)] {
            if let Some(value) = value {
                side.insert(key.clone(), value.clone());
            }
        }
    }
    Some(merged)
}

/// Both sides changed the same thing, differently.
struct Diverged;

fn three_way<T: PartialEq + Copy>(base: T, desired: T, observed: T) -> Result<T, Diverged> {
    if desired == observed || observed == base {
        Ok(desired)
    } else if desired == base {
        Ok(observed)
    } else {
        Err(Diverged)
    }
}

fn elements(value: &FieldValue<'_>) -> Option<Vec<Json>> {
    match value.to_json() {
        None => Some(Vec::new()),
        Some(Json::Array(items)) => Some(items),
        Some(_) => None,
    }
}

fn members<'v>(value: &'v FieldValue<'_>) -> Option<Cow<'v, Map<String, Json>>> {
    match value {
        FieldValue::Absent => Some(Cow::Owned(Map::new())),
        FieldValue::Json(json) => match json.as_ref() {
            Json::Object(members) => Some(Cow::Borrowed(members)),
            _ => None,
        },
        _ => None,
    }
}

fn element_key(equality: Equality, item: &Json) -> String {
    match item {
        Json::String(text) => Json::from(equality.key(text)).to_string(),
        other => canonical_json(other).unwrap_or_default(),
    }
}

fn identity(item: &Json) -> String {
    let named = item.get("id").filter(|id| id.is_string() || id.is_number());
    // The canonical texts of an id and of an object can't be the same one, so neither can hide the other.
    canonical_json(named.unwrap_or(item)).unwrap_or_default()
}

/// `None` where two elements of one side say that they are the same and differ: nobody can tell which one is meant.
fn by_identity(items: &[Json]) -> Option<BTreeMap<String, &Json>> {
    let mut known = BTreeMap::new();
    for item in items {
        if known.insert(identity(item), item).is_some_and(|earlier| earlier != item) {
            return None;
        }
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use krate_model::kinds::sets::{Mode, Strategy};
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::super::value::same;
    use super::super::{Base, FieldRule, merged_to};
    use super::*;
    use crate::merge::FieldOutcome;

    proptest! {
        /// Doubles and letters of either case among them.
        #[test]
        fn s27_short_sets_settled_at_once_come_to_what_they_come_to_one_by_one(
            base in prop::collection::vec("[a-dA-B]", 0..5), desired in prop::collection::vec("[a-dA-B]", 0..18),
            observed in prop::collection::vec("[a-dA-B]", 0..5), fold in any::<bool>(), turned in any::<bool>(),
        ) {
            let (desired, observed) = if turned { (observed, desired) } else { (desired, observed) };
            let equality = if fold { Equality::AsciiCaseInsensitive } else { Equality::Exact };
            let rule = FieldRule { equality, ..FieldRule::new("f", Strategy::Set, Mode::Bidirectional) };
            let texts = |list: &[String]| -> Vec<Cow<'static, str>> { list.iter().cloned().map(Cow::Owned).collect() };
            let words: Vec<&str> = base.iter().map(String::as_str).collect();
            let (ours, theirs) = (texts(&desired), texts(&observed));
            let settled = settle(equality, &words, &ours, &theirs);
            prop_assert_eq!(settled.is_none(), desired.len().max(observed.len()) > SHORT);
            if let Some(settled) = settled {
                let value = |list: &[Cow<'static, str>]| FieldValue::List(list.to_vec());
                let (base, desired, observed) = (FieldValue::list(&base), value(&ours), value(&theirs));
                prop_assert_eq!(settled.desired_changed, !Base::Value(base.clone()).is(&rule, &desired));
                prop_assert_eq!(settled.observed_changed, !same(&rule, &base, &observed));
                if settled.desired_changed && settled.observed_changed {
                    let merged = merge_set(equality, &base, &desired, &observed).unwrap();
                    let FieldOutcome::Merged { value, take, write } = merged_to(&rule, merged, &desired, &observed) else {
                        panic!("a set merges")
                    };
                    prop_assert_eq!((FieldValue::List(settled.merged), settled.take, settled.write), (value, take, write));
                }
            }
        }
    }
}
