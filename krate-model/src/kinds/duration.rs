//! Durations in Go's form, such as `1h30m`. Spec: resource-kinds.md section 3 (`dur`), R8.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest duration that a spec may hold, in hours (R8).
pub const MAX_DURATION_HOURS: i64 = 8_784;

/// A duration as it was written. What can't be read is kept as it is (R26), so [`Dur::to_delta`] may have no answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dur(Cow<'static, str>);

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no duration; a number and a unit (h, m, s, ms, us, ns), repeated, is, such as 1h30m")]
pub struct NotADuration {
    /// What was found.
    pub found: Box<str>,
}

impl Dur {
    /// A duration that the program itself writes down.
    pub const fn literal(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The duration, where the text is one.
    pub fn to_delta(&self) -> Option<TimeDelta> {
        parse(&self.0)
    }
}

impl FromStr for Dur {
    type Err = NotADuration;
    fn from_str(text: &str) -> Result<Self, NotADuration> {
        match parse(text) {
            Some(_) => Ok(Self(Cow::Owned(text.to_owned()))),
            None => Err(NotADuration { found: text.into() }),
        }
    }
}

impl fmt::Display for Dur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Dur {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Dur {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Cow::Owned(String::deserialize(deserializer)?)))
    }
}

impl JsonSchema for Dur {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Dur".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "string", "maxLength": 64, "format": "duration"})
    }
}

/// Go's `time.ParseDuration` without sign: decimal numbers, each with a fraction or without, each with its unit.
fn parse(text: &str) -> Option<TimeDelta> {
    if text == "0" {
        return Some(TimeDelta::zero());
    }
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (number, after) = split(rest, |byte| byte.is_ascii_digit() || byte == b'.');
        let (unit, after) = split(after, |byte| !byte.is_ascii_digit() && byte != b'.');
        let nanos_per_unit: i128 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        total = total.checked_add(scaled(number, nanos_per_unit)?)?;
        rest = after;
    }
    Some(TimeDelta::nanoseconds(i64::try_from(total).ok()?))
}

fn split(text: &str, take: impl Fn(u8) -> bool) -> (&str, &str) {
    let at = text.bytes().position(|byte| !take(byte)).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// `number` units in nanoseconds; a fraction below a nanosecond is cut.
fn scaled(number: &str, nanos_per_unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut nanos = match whole {
        "" => 0,
        whole => whole.parse::<i64>().ok().map(i128::from)?.checked_mul(nanos_per_unit)?,
    };
    let mut place = nanos_per_unit;
    for digit in fraction.chars() {
        place /= 10;
        nanos = nanos.checked_add(i128::from(digit.to_digit(10)?).checked_mul(place)?)?;
    }
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn r8_durations_have_the_go_form() {
        let cases = [("15m", 900_000), ("1h30m", 5_400_000), ("1.5s", 1_500), ("500ms", 500), ("0", 0), (".5s", 500)];
        for (text, millis) in cases {
            assert_eq!(text.parse::<Dur>().unwrap().to_delta(), Some(TimeDelta::milliseconds(millis)), "{text}");
        }
        for bad in ["", "1", "1d", "-1s", "1h 30m", "m", ".s", "1..5s", "99999999999999999999h", "9999999999h"] {
            assert!(bad.parse::<Dur>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn r8_any_text_is_read_or_refused(text in ".{0,24}") {
            let _ = text.parse::<Dur>();
        }

        #[test]
        fn r8_hours_minutes_and_seconds_add_up(h in 0i64..9000, m in 0i64..60, s in 0i64..60) {
            let read = format!("{h}h{m}m{s}s").parse::<Dur>().unwrap().to_delta();
            prop_assert_eq!(read, Some(TimeDelta::seconds(h * 3600 + m * 60 + s)));
        }
    }
}
