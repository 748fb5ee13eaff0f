//! The values that meet in a merge, and when two of them are the same.

use std::borrow::Cow;
use std::collections::BTreeSet;

use krate_model::kinds::sets::Strategy;
use krate_model::kinds::shared;
use krate_model::{Digest, NotCanonical, canonical_json};
use serde_json::Value as Json;

use super::words::equal;
use super::{Equality, FieldRule, kept};

/// One side's value of one field. Borrows from the object or the payload that holds it.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum FieldValue<'a> {
    /// The side has no value. JSON `null` is no value.
    #[default]
    Absent,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A text.
    Text(Cow<'a, str>),
    /// Texts, in the order in which the side has them. Order counts, except under the strategy `set`.
    List(Vec<Cow<'a, str>>),
    /// Anything else.
    Json(Cow<'a, Json>),
}

impl<'a> FieldValue<'a> {
    /// A text.
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A text, or no value.
    pub fn optional(text: Option<&'a str>) -> Self {
        text.map_or(Self::Absent, Self::text)
    }

    /// A list of texts.
    pub fn list<S: AsRef<str> + 'a>(texts: impl IntoIterator<Item = &'a S>) -> Self {
        Self::List(texts.into_iter().map(|text| Cow::Borrowed(text.as_ref())).collect())
    }

    /// The value for a JSON value; `None` and `null` are no value.
    pub fn from_json(json: Option<&'a Json>) -> Self {
        match json {
            None | Some(Json::Null) => Self::Absent,
            Some(Json::Bool(held)) => Self::Bool(*held),
            Some(Json::String(text)) => Self::text(text),
            Some(Json::Number(number)) => match number.as_i64() {
                Some(whole) => Self::Int(whole),
                None => Self::Json(Cow::Borrowed(json.unwrap_or(&Json::Null))),
            },
            Some(whole @ Json::Array(items)) => {
                let texts = items.iter().map(|item| item.as_str().map(Cow::Borrowed)).collect::<Option<Vec<_>>>();
                texts.map_or(Self::Json(Cow::Borrowed(whole)), Self::List)
            }
            Some(whole @ Json::Object(_)) => Self::Json(Cow::Borrowed(whole)),
        }
    }

    /// As [`Self::from_json`], of a value that nobody else keeps.
    pub fn from_owned(json: Json) -> FieldValue<'static> {
        match json {
            Json::String(text) => FieldValue::Text(Cow::Owned(text)),
            whole @ (Json::Array(_) | Json::Object(_)) => match FieldValue::from_json(Some(&whole)) {
                FieldValue::List(texts) => {
                    FieldValue::List(texts.into_iter().map(|text| Cow::Owned(text.into_owned())).collect())
                }
                _ => FieldValue::Json(Cow::Owned(whole)),
            },
            Json::Number(number) => {
                number.as_i64().map_or_else(|| FieldValue::Json(Cow::Owned(Json::Number(number))), FieldValue::Int)
            }
            Json::Bool(held) => FieldValue::Bool(held),
            Json::Null => FieldValue::Absent,
        }
    }

    /// The value as JSON; `None` where there is none.
    pub fn to_json(&self) -> Option<Json> {
        match self {
            Self::Absent => None,
            Self::Bool(held) => Some(Json::Bool(*held)),
            Self::Int(whole) => Some(Json::from(*whole)),
            Self::Text(text) => Some(Json::from(text.as_ref())),
            Self::List(texts) => Some(texts.iter().map(|text| Json::from(text.as_ref())).collect()),
            Self::Json(json) => Some(json.as_ref().clone()),
        }
    }

    /// The same value, borrowed from this one.
    pub fn borrowed(&self) -> FieldValue<'_> {
        match self {
            Self::Absent => FieldValue::Absent,
            Self::Bool(held) => FieldValue::Bool(*held),
            Self::Int(whole) => FieldValue::Int(*whole),
            Self::Text(text) => FieldValue::text(text),
            Self::List(texts) => FieldValue::list(texts),
            Self::Json(json) => FieldValue::Json(Cow::Borrowed(json.as_ref())),
        }
    }

    /// The same value, borrowed from nobody.
    pub fn into_owned(self) -> FieldValue<'static> {
        match self {
            Self::Absent => FieldValue::Absent,
            Self::Bool(held) => FieldValue::Bool(held),
            Self::Int(whole) => FieldValue::Int(whole),
            Self::Text(text) => FieldValue::Text(Cow::Owned(text.into_owned())),
            Self::List(texts) => {
                FieldValue::List(texts.into_iter().map(|text| Cow::Owned(text.into_owned())).collect())
            }
            Self::Json(json) => FieldValue::Json(Cow::Owned(json.into_owned())),
        }
    }

    /// Whether the side has no value, or one without elements.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::List(texts) => texts.is_empty(),
            Self::Json(json) => match json.as_ref() {
                Json::Array(items) => items.is_empty(),
                Json::Object(members) => members.is_empty(),
                _ => false,
            },
            Self::Bool(_) | Self::Int(_) | Self::Text(_) => false,
        }
    }

    /// The value as a merge base to keep. One that is too long to be held as text is brought to the normal form of `rule` first, so that its
    /// digest alone says whether a later value is the same.
    ///
    /// # Errors
    /// [`NotCanonical`] when the value holds a number that JSON doesn't have.
    pub fn to_base(&self, rule: &FieldRule<'_>, max_bytes: usize) -> Result<shared::Value, NotCanonical> {
        let whole = shared::Value::of(self.to_json().as_ref(), max_bytes)?;
        if whole.json.is_some() { Ok(whole) } else { shared::Value::of(normal(rule, self).as_ref(), 0) }
    }
}

impl<'a> From<&'a str> for FieldValue<'a> {
    fn from(text: &'a str) -> Self {
        Self::text(text)
    }
}

/// The value on which both sides agreed last, as far as it is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Base<'a> {
    /// The sides never agreed on anything.
    #[default]
    Unknown,
    /// They agreed that there is no value.
    Absent,
    /// They agreed on this.
    Value(FieldValue<'a>),
    /// They agreed on this, as canonical JSON (RFC 8785). Nothing is parsed unless the merge needs the value.
    Canonical(&'a str),
    /// They agreed on a value of which only the digest of its canonical JSON was kept. It tells same from changed, and nothing else.
    Digest(Digest),
}

impl<'a> From<&'a shared::Value> for Base<'a> {
    fn from(kept: &'a shared::Value) -> Self {
        match &kept.json {
            _ if kept.absent => Self::Absent,
            Some(text) => Self::Canonical(text),
            None => Self::Digest(kept.digest),
        }
    }
}

impl<'a> From<Option<&'a shared::Value>> for Base<'a> {
    fn from(kept: Option<&'a shared::Value>) -> Self {
        kept.map_or(Self::Unknown, Self::from)
    }
}

impl Base<'_> {
    /// Whether the base is `value`, by the equality of `rule`. An unknown base is no value at all.
    #[inline]
    pub(super) fn is(&self, rule: &FieldRule<'_>, value: &FieldValue<'_>) -> bool {
        match self {
            Self::Unknown => false,
            Self::Absent => same(rule, &FieldValue::Absent, value),
            Self::Value(kept) => same(rule, kept, value),
            Self::Canonical(text) => kept::says(rule, text, value).unwrap_or_else(|| is_parsed(rule, text, value)),
            Self::Digest(digest) => {
                digest_of(value.to_json().as_ref()) == Some(*digest) || {
                    digest_of(normal(rule, value).as_ref()) == Some(*digest)
                }
            }
        }
    }

    /// The value, where it was kept.
    pub(crate) fn value(&self) -> Option<FieldValue<'_>> {
        match self {
            Self::Unknown | Self::Digest(_) => None,
            Self::Absent => Some(FieldValue::Absent),
            Self::Value(kept) => Some(kept.borrowed()),
            Self::Canonical(text) => kept::value(text),
        }
    }
}

fn digest_of(json: Option<&Json>) -> Option<Digest> {
    // An absent field has the digest of `null`, as in `shared::Value::of`.
    canonical_json(json.unwrap_or(&Json::Null)).ok().map(|text| Digest::of(text.as_bytes()))
}

/// What a kept text comes to by way of the parser.
pub(super) fn is_parsed(rule: &FieldRule<'_>, text: &str, value: &FieldValue<'_>) -> bool {
    serde_json::from_str(text).is_ok_and(|kept| same(rule, &FieldValue::from_owned(kept), value))
}

/// Whether two values are the same by the equality of `rule`: a set has no order, and where the provider folds case, so does this.
#[inline]
pub(super) fn same(rule: &FieldRule<'_>, left: &FieldValue<'_>, right: &FieldValue<'_>) -> bool {
    if let (FieldValue::Text(left), FieldValue::Text(right)) = (left, right) {
        return equal(left, right)
            || (rule.equality == Equality::AsciiCaseInsensitive && left.eq_ignore_ascii_case(right));
    }
    left == right || same_elements(rule, left, right)
}

fn same_elements(rule: &FieldRule<'_>, left: &FieldValue<'_>, right: &FieldValue<'_>) -> bool {
    match rule.strategy {
        // To hold nothing and not to be there is the same for what is made of elements.
        Strategy::Set | Strategy::Append | Strategy::Map if left.is_empty() || right.is_empty() => {
            left.is_empty() && right.is_empty()
        }
        Strategy::Set => match (left, right) {
            (FieldValue::List(left), FieldValue::List(right)) => {
                every(rule.equality, left, right) && every(rule.equality, right, left)
            }
            _ => normal(rule, left) == normal(rule, right),
        },
        Strategy::Append => normal(rule, left) == normal(rule, right),
        _ => false,
    }
}

/// Short sets are compared one by one, which needs no memory; long ones by sorting, so that cost doesn't grow with the square.
pub(super) const SHORT: usize = 16;

/// Whether every element of `inner` is in `outer`.
pub(super) fn every<I: AsRef<str>, O: AsRef<str>>(equality: Equality, inner: &[I], outer: &[O]) -> bool {
    if inner.len() <= SHORT && outer.len() <= SHORT {
        return inner.iter().all(|one| outer.iter().any(|other| equality.same(one.as_ref(), other.as_ref())));
    }
    let held: BTreeSet<Cow<'_, str>> = outer.iter().map(|text| equality.key(text.as_ref())).collect();
    inner.iter().all(|text| held.contains(&equality.key(text.as_ref())))
}

/// The normal form in which two values that are the same are equal: sets sorted, without doubles, and folded where the provider folds.
fn normal(rule: &FieldRule<'_>, value: &FieldValue<'_>) -> Option<Json> {
    let of_elements = matches!(rule.strategy, Strategy::Set | Strategy::Append);
    if (of_elements || rule.strategy == Strategy::Map) && value.is_empty() {
        return None;
    }
    let json = match (value, rule.equality) {
        (FieldValue::Text(text), Equality::AsciiCaseInsensitive) => Json::from(text.to_ascii_lowercase()),
        _ => value.to_json()?,
    };
    match json {
        Json::Array(items) if of_elements => {
            let mut sorted: Vec<(String, Json)> = items
                .into_iter()
                .map(|item| match (item.as_str(), rule.equality) {
                    (Some(text), Equality::AsciiCaseInsensitive) => Json::from(text.to_ascii_lowercase()),
                    _ => item,
                })
                .map(|item| (canonical_json(&item).unwrap_or_default(), item))
                .collect();
            sorted.sort_by(|one, other| one.0.cmp(&other.0));
            sorted.dedup_by(|one, other| one.0 == other.0);
            Some(sorted.into_iter().map(|(_, item)| item).collect())
        }
        json => Some(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Just, any, prop, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Strategy as Generator;
    use serde_json::json;

    fn rule(strategy: Strategy, equality: Equality) -> FieldRule<'static> {
        FieldRule { equality, ..FieldRule::new("f", strategy, krate_model::kinds::sets::Mode::Bidirectional) }
    }

    fn any_json() -> impl Generator<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            (-3..3i64).prop_map(Json::from),
            "[aA\"\\\\\u{e9}\u{7}]{0,3}".prop_map(Json::from),
            Just(json!(1.5)),
        ];
        leaf.prop_recursive(2, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
                prop::collection::btree_map("[ab]", inner, 0..3)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_survives_the_way_through_json(json in any_json()) {
            let there = FieldValue::from_json(Some(&json));
            prop_assert_eq!(there.to_json().unwrap_or(Json::Null), json.clone());
            prop_assert_eq!(&FieldValue::from_owned(json.clone()), &there);
            prop_assert_eq!(&there.borrowed().into_owned(), &there);
        }

        /// However the base was kept, it is the same values that count as unchanged.
        #[test]
        fn s30_a_base_by_value_text_or_digest_decides_alike(
            base in any_json(), other in any_json(), set in any::<bool>(), fold in any::<bool>()
        ) {
            let equality = if fold { Equality::AsciiCaseInsensitive } else { Equality::Exact };
            let rule = rule(if set { Strategy::Set } else { Strategy::Scalar }, equality);
            let value = FieldValue::from_json(Some(&base));
            let other = FieldValue::from_json(Some(&other));
            let whole = value.to_base(&rule, usize::MAX).unwrap();
            let digest_only = value.to_base(&rule, 0).unwrap();
            for (held, against) in [(true, &value), (same(&rule, &value, &other), &other)] {
                prop_assert_eq!(Base::Value(value.clone()).is(&rule, against), held);
                prop_assert_eq!(Base::from(&whole).is(&rule, against), held);
                prop_assert_eq!(Base::from(&digest_only).is(&rule, against), held);
            }
        }
    }

    #[test]
    fn labels_are_the_same_whatever_their_order_and_case() {
        let rule = rule(Strategy::Set, Equality::AsciiCaseInsensitive);
        assert!(same(&rule, &FieldValue::list(&["Bug", "ui"]), &FieldValue::list(&["UI", "bug", "Bug"])));
        assert!(!same(&rule, &FieldValue::list(&["Bug"]), &FieldValue::list(&["bug", "ui"])));
        assert!(same(&rule, &FieldValue::Absent, &FieldValue::List(vec![])));
        let many: Vec<String> = (0..40).map(|n| format!("l{n}")).collect();
        let turned: Vec<String> = many.iter().rev().map(|label| label.to_uppercase()).collect();
        assert!(same(&rule, &FieldValue::list(&many), &FieldValue::list(&turned)));
        assert!(!same(&rule, &FieldValue::list(&many), &FieldValue::list(&turned[1..])));
    }

    #[test]
    fn a_title_has_an_order_and_a_case() {
        let rule = rule(Strategy::Scalar, Equality::Exact);
        assert!(!same(&rule, &FieldValue::text("Bug"), &FieldValue::text("bug")));
        assert!(!same(&rule, &FieldValue::list(&["a", "b"]), &FieldValue::list(&["b", "a"])));
        assert!(!same(&rule, &FieldValue::Absent, &FieldValue::List(vec![])));
    }
}
