//! A base that was kept as canonical JSON, compared with values without parsing it.
//!
//! Every answer here is the one that parsing would give; where that can't be told from the text as it stands, there is none, and the caller parses.

use std::borrow::Cow;

use krate_model::kinds::sets::Strategy;

use super::value::{SHORT, every};
use super::words::{self, is_plain};
use super::{Equality, FieldRule, FieldValue};

/// Whether `text` says `value` by the equality of `rule`; `None` where the text has to be parsed to tell.
#[inline]
pub(super) fn says(rule: &FieldRule<'_>, text: &str, value: &FieldValue<'_>) -> Option<bool> {
    if matches!(rule.strategy, Strategy::Set | Strategy::Append | Strategy::Map) {
        return match value {
            FieldValue::List(texts) => says_elements(rule, text, texts),
            FieldValue::Absent if matches!(text, "null" | "[]" | "{}") => Some(true),
            _ => None,
        };
    }
    match value {
        FieldValue::Text(value) => says_text(rule.equality, text, value),
        FieldValue::Absent => (text == "null").then_some(true).or_else(|| is_compact(text).then_some(false)),
        FieldValue::Bool(held) => {
            let word = if *held { "true" } else { "false" };
            (text == word).then_some(true).or_else(|| is_compact(text).then_some(false))
        }
        FieldValue::Int(whole) => says_int(text, *whole),
        FieldValue::List(texts) => says_list(text, texts),
        FieldValue::Json(_) => None,
    }
}

/// Whether `text` says both values, where that can be told in one go; `None` tells nothing.
#[inline]
pub(super) fn says_both(
    rule: &FieldRule<'_>,
    text: &str,
    one: &FieldValue<'_>,
    other: &FieldValue<'_>,
) -> Option<bool> {
    let (FieldValue::Text(one), FieldValue::Text(other)) = (one, other) else { return None };
    // What is made of elements holds no text; where it does, the parser tells.
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))?;
    let of_elements = matches!(rule.strategy, Strategy::Set | Strategy::Append | Strategy::Map);
    words::is_plainly_both(inner, one, other).filter(|_| !of_elements)
}

/// Whether no white space surrounds the value, so that texts that differ say different things.
fn is_compact(text: &str) -> bool {
    let outer = [text.bytes().next(), text.bytes().next_back()];
    outer.iter().all(|byte| byte.is_some_and(|byte| byte > b' '))
}

fn says_text(equality: Equality, text: &str, value: &str) -> Option<bool> {
    let Some(inner) = text.strip_prefix('"') else { return is_compact(text).then_some(false) };
    let inner = inner.strip_suffix('"')?;
    if words::is_plainly(inner, value) {
        return Some(true);
    }
    if is_plain(inner) {
        return Some(equality == Equality::AsciiCaseInsensitive && equality.same(inner, value));
    }
    Some(matches!(together(equality, inner.as_bytes(), value.as_bytes())?, Together::Whole))
}

/// Which of two texts that aren't the same `text` says, found out by going through it once; `None` where each has to be asked about.
#[inline]
pub(super) fn says_which(equality: Equality, text: &str, one: &str, other: &str) -> Option<(bool, bool)> {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))?;
    if equality != Equality::Exact {
        return None;
    }
    if is_plain(inner) {
        let is_one = words::equal(inner, one);
        return Some((is_one, !is_one && words::equal(inner, other)));
    }
    let Together::Until { rest, value } = together(equality, inner.as_bytes(), one.as_bytes())? else {
        return Some((true, false));
    };
    // Where the other text is the same up to here, it is asked about from here on.
    let before = one.as_bytes().get(..one.len().checked_sub(value.len())?)?;
    let Some(after) = other.as_bytes().strip_prefix(before) else { return Some((false, false)) };
    Some((false, matches!(together(equality, rest, after)?, Together::Whole)))
}

/// How far what stands between quotes and a text say the same.
enum Together<'t, 'v> {
    /// To the end of both.
    Whole,
    /// Until here: what is left of each begins with something else.
    Until { rest: &'t [u8], value: &'v [u8] },
}

fn together<'t, 'v>(equality: Equality, text: &'t [u8], value: &'v [u8]) -> Option<Together<'t, 'v>> {
    let folds = equality == Equality::AsciiCaseInsensitive;
    let same = |one: u8, other: u8| one == other || (folds && one.eq_ignore_ascii_case(&other));
    let (mut text, mut value) = (text, value);
    loop {
        let common = words::plain_in_common(text, value);
        (text, value) = (text.get(common..)?, value.get(common..)?);
        let until = Some(Together::Until { rest: text, value });
        let Some((byte, after)) = text.split_first() else {
            return if value.is_empty() { Some(Together::Whole) } else { until };
        };
        match byte {
            b'\\' => {
                let (meant, after) = unescape(after)?;
                let Some(rest) = value.strip_prefix(meant.encode_utf8(&mut [0; 4]).as_bytes()) else {
                    // Letters are never escaped in canonical JSON; where they are, only the parser compares them in either case.
                    return until.filter(|_| !meant.is_ascii_alphabetic());
                };
                (text, value) = (after, rest);
            }
            b'"' | 0..b' ' => return None,
            _ => match value.split_first() {
                Some((held, rest)) if same(*byte, *held) => (text, value) = (after, rest),
                _ => return until,
            },
        }
    }
}

/// The character that an escape means, and what follows it; `None` for half of a pair, and for what is no escape.
fn unescape(escape: &[u8]) -> Option<(char, &[u8])> {
    let (kind, after) = escape.split_first()?;
    let meant = match kind {
        b'"' | b'\\' | b'/' => char::from(*kind),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let (digits, after) = after.split_first_chunk::<4>()?;
            let code = digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))?;
            return Some((char::from_u32(code)?, after));
        }
        _ => return None,
    };
    Some((meant, after))
}

fn says_int(text: &str, value: i64) -> Option<bool> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    match digits.as_bytes() {
        // `-0` is no integer for JSON's readers, nor is anything with leading zeros.
        [b'0'] if digits.len() == text.len() => Some(value == 0),
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
            Some(text.parse::<i64>().is_ok_and(|said| said == value))
        }
        _ => None,
    }
}

/// The texts that a JSON list holds, as long as they stand there unescaped and without white space.
struct Elements<'t> {
    rest: &'t str,
}

impl<'t> Elements<'t> {
    fn of(text: &'t str) -> Option<Self> {
        let rest = text.strip_prefix('[')?.strip_suffix(']')?;
        Some(Self { rest })
    }
}

impl<'t> Iterator for Elements<'t> {
    /// `None` for an element that has to be parsed.
    type Item = Option<&'t str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let element = self.rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let Some((element, after)) = element.filter(|(element, _)| is_plain(element)) else {
            self.rest = "";
            return Some(None);
        };
        self.rest = match after.strip_prefix(',') {
            Some(more) if !more.is_empty() => more,
            None if after.is_empty() => after,
            _ => {
                self.rest = "";
                return Some(None);
            }
        };
        Some(Some(element))
    }
}

fn says_list(text: &str, value: &[Cow<'_, str>]) -> Option<bool> {
    let elements = Elements::of(text)?;
    let (mut same, mut count) = (true, 0_usize);
    for element in elements {
        let element = element?;
        same &= value.get(count).is_some_and(|held| held == element);
        count = count.saturating_add(1);
    }
    Some(same && count == value.len())
}

fn says_elements(rule: &FieldRule<'_>, text: &str, value: &[Cow<'_, str>]) -> Option<bool> {
    // In their own order the elements are the same for every strategy.
    if says_list(text, value)? {
        return Some(true);
    }
    if rule.strategy != Strategy::Set {
        return None;
    }
    let mut held = [""; SHORT];
    let held = short_set(text, &mut held)?;
    if held.is_empty() || value.is_empty() {
        return Some(held.is_empty() && value.is_empty());
    }
    Some(every(rule.equality, held, value) && every(rule.equality, value, held))
}

/// The texts that a kept set holds, in `held`; `None` where they are too many, or have to be parsed.
pub(super) fn short_set<'h, 't>(text: &'t str, held: &'h mut [&'t str; SHORT]) -> Option<&'h [&'t str]> {
    let mut count = 0_usize;
    for element in Elements::of(text)? {
        *held.get_mut(count)? = element?;
        count = count.saturating_add(1);
    }
    held.get(..count)
}

/// What `text` says, borrowed from it where it is a text or a list of texts without escapes.
pub(super) fn value(text: &str) -> Option<FieldValue<'_>> {
    if let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
        && is_plain(inner)
    {
        return Some(FieldValue::text(inner));
    }
    if let Some(elements) = Elements::of(text)
        && let Some(texts) = elements.map(|element| element.map(Cow::Borrowed)).collect::<Option<Vec<_>>>()
    {
        return Some(FieldValue::List(texts));
    }
    serde_json::from_str(text).ok().map(FieldValue::from_owned)
}

#[cfg(test)]
mod tests {
    use krate_model::canonical_json;
    use krate_model::kinds::sets::Mode;
    use proptest::prelude::{Just, any, prop, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Strategy as Generator;
    use serde_json::{Value as Json, json};

    use super::super::value::is_parsed;
    use super::*;

    fn any_rule() -> impl Generator<Value = FieldRule<'static>> {
        let strategies =
            [Strategy::Scalar, Strategy::Text, Strategy::Monotonic, Strategy::Set, Strategy::Append, Strategy::Map];
        (prop::sample::select(strategies.to_vec()), any::<bool>()).prop_map(|(strategy, fold)| FieldRule {
            equality: if fold { Equality::AsciiCaseInsensitive } else { Equality::Exact },
            ..FieldRule::new("f", strategy, Mode::Bidirectional)
        })
    }

    fn text() -> &'static str {
        "([a-z]{0,11}[aAn\"\\\\\u{e9}\u{7}\n/]{0,3}){0,2}"
    }

    fn any_json() -> impl Generator<Value = Json> {
        prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Json::from),
            prop_oneof![-12..12i64, any::<i64>()].prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            text().prop_map(Json::from),
            text().prop_map(Json::from),
            prop::collection::vec(text().prop_map(Json::from), 0..4).prop_map(Json::from),
            prop::collection::vec("[abAB]", 0..24).prop_map(Json::from),
            prop::collection::vec(prop_oneof![Just(json!(1)), Just(json!("a"))], 0..3).prop_map(Json::from),
            Just(json!({"a": "b"})),
            Just(json!({})),
        ]
    }

    /// Texts that look like JSON, and often are.
    fn any_text() -> impl Generator<Value = String> {
        let parts = [
            "\"", "\\", "\\n", "\\u0041", "\\u000a", "\\ud83d", "\\ude00", "[", "]", ",", "a", "A", "0", "1", "-",
            "null", "true", " ", "{}", "\n", "\"a\"", ".",
        ];
        prop::collection::vec(prop::sample::select(parts.to_vec()), 0..7).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn s30_a_kept_text_is_compared_as_if_it_were_parsed(rule in any_rule(), kept in any_json(), other in any_json()) {
            let text = canonical_json(&kept).unwrap();
            for against in [&kept, &other] {
                let value = FieldValue::from_json(Some(against));
                let parsed = is_parsed(&rule, &text, &value);
                prop_assert_eq!(says(&rule, &text, &value).unwrap_or(parsed), parsed, "{:?} {} {:?}", rule, text, value);
            }
        }

        #[test]
        fn s30_a_kept_text_is_one_of_two_as_if_it_were_parsed(
            kept in text(), one in text(), other in text(), cut: prop::sample::Index, turned in any::<bool>()
        ) {
            let rule = FieldRule::new("f", Strategy::Scalar, Mode::Bidirectional);
            let text = canonical_json(&Json::from(kept.as_str())).unwrap();
            // Texts that begin alike, and end in different ways.
            let at = (0..=cut.index(kept.len() + 1)).rev().find(|at| kept.is_char_boundary(*at)).unwrap_or(0);
            for one in [kept.clone(), format!("{}{one}", &kept[..at])] {
                let other = format!("{}{other}", &kept[..at]);
                let (one, other) = if turned { (&other, &one) } else { (&one, &other) };
                if one != other && let Some(found) = says_which(Equality::Exact, &text, one, other) {
                    let parsed = |value: &str| is_parsed(&rule, &text, &FieldValue::text(value));
                    prop_assert_eq!(found, (parsed(one), parsed(other)), "{} {:?} {:?}", text, one, other);
                }
            }
        }

        #[test]
        fn s30_so_is_a_text_that_is_not_canonical(rule in any_rule(), text in any_text(), other in any_json()) {
            let value = FieldValue::from_json(Some(&other));
            let parsed = is_parsed(&rule, &text, &value);
            prop_assert_eq!(says(&rule, &text, &value).unwrap_or(parsed), parsed, "{:?} {} {:?}", rule, text, value);
            let parsed = serde_json::from_str(&text).ok().map(FieldValue::from_owned);
            prop_assert_eq!(super::value(&text), parsed);
        }

        #[test]
        fn s30_so_is_one_of_two_where_it_is_not_canonical(text in any_text(), one in "[aA\n\\\\\"]{0,3}", other in "[aA\n\\\\\"]{0,3}") {
            let rule = FieldRule::new("f", Strategy::Scalar, Mode::Bidirectional);
            if one != other && let Some(found) = says_which(Equality::Exact, &text, &one, &other) {
                let parsed = |value: &str| is_parsed(&rule, &text, &FieldValue::text(value));
                prop_assert_eq!(found, (parsed(&one), parsed(&other)), "{} {:?} {:?}", text, one, other);
            }
        }

        #[test]
        fn a_kept_text_is_read_as_if_it_were_parsed(kept in any_json()) {
            let text = canonical_json(&kept).unwrap();
            let parsed = serde_json::from_str(&text).ok().map(FieldValue::from_owned);
            prop_assert_eq!(super::value(&text), parsed);
        }
    }

    #[test]
    fn what_fields_hold_is_compared_without_the_parser() {
        let rule = |strategy| FieldRule::new("f", strategy, Mode::Bidirectional);
        let scalar = rule(Strategy::Scalar);
        assert_eq!(says(&scalar, r#""a\nb \"c\" \u0007""#, &"a\nb \"c\" \u{7}".into()), Some(true));
        assert_eq!(says(&scalar, r#""a\nb""#, &r"a\nb".into()), Some(false));
        assert_eq!(says(&scalar, r#"["a"]"#, &"a".into()), Some(false));
        let which = |one, other| says_which(Equality::Exact, r#""a\nb \"c\"""#, one, other);
        assert_eq!(which("a\nb \"c\"", "a\nb"), Some((true, false)));
        assert_eq!(which("a\nb", "a\nb \"c\""), Some((false, true)));
        assert_eq!(which("a\nb", "a b"), Some((false, false)));
        let plain = |one, other| says_which(Equality::Exact, r#""a""#, one, other);
        assert_eq!(
            [plain("a", "b"), plain("b", "a"), plain("b", "c")],
            [(true, false), (false, true), (false, false)].map(Some)
        );
        assert_eq!(says(&scalar, "42", &FieldValue::Int(42)), Some(true));
        assert_eq!(says(&scalar, "null", &FieldValue::Bool(false)), Some(false));
        let set = rule(Strategy::Set);
        assert_eq!(says(&set, r#"["a","b"]"#, &FieldValue::list(&["b", "a"])), Some(true));
        assert_eq!(says(&set, r#"["a","b"]"#, &FieldValue::list(&[r#"a","b"#])), Some(false));
    }
}
