//! When a rule fires by itself: the five fields of a cron expression, and the form of a time zone's name (R18). Spec: resource-kinds.md section 3, A9.
//!
//! The form is the one that every cron reads alike: `*`, numbers, ranges, lists, steps of `*` or a range, and the English names of months and days. What
//! some read otherwise (`5/15`, `?`, `L`, `@daily`) is refused. There is no database of zones here, so that of a zone only the form is judged: whether
//! there is such a place is found out by who computes the due times.

use super::secrets::shown;

/// One of the five fields.
struct Field {
    name: &'static str,
    min: u8,
    max: u8,
    /// Names of the values from `min` on.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, names: &[] },
    Field { name: "day of month", min: 1, max: 31, names: &[] },
    Field {
        name: "month",
        min: 1,
        max: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    // Sunday is 0 and 7.
    Field { name: "day of week", min: 0, max: 7, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

/// The areas of the IANA database, and the countries that it has zones of for the sake of old files.
const AREAS: [&str; 16] = [
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Brazil",
    "Canada",
    "Chile",
    "Etc",
    "Europe",
    "Indian",
    "Mexico",
    "Pacific",
    "US",
];

/// What is wrong with a cron expression.
pub(super) fn cron_problem(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    if parts.len() != FIELDS.len() {
        let names = FIELDS.map(|field| field.name).join(", ");
        return Some(format!("has {} fields; a schedule has five: {names}", parts.len()));
    }
    let mut items = FIELDS.iter().zip(parts).flat_map(|(field, part)| part.split(',').map(move |item| (field, item)));
    items.find_map(|(field, item)| field.problem(item))
}

impl Field {
    /// What is wrong with one item of the field's list.
    fn problem(&self, item: &str) -> Option<String> {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let wrong = |why: &str| Some(format!("{}: {} {why}", self.name, shown(item, "cron")));
        if let Some(step) = step {
            if !number(step).is_some_and(|step| (1..=self.max).contains(&step)) {
                return wrong(&format!("has no step from 1 to {}", self.max));
            }
            if range != "*" && !range.contains('-') {
                return wrong("has a step of a single value; write the range that it goes through");
            }
        }
        if range == "*" {
            return None;
        }
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (self.value(first), self.value(last)) {
            (Some(first), Some(last)) if first <= last => None,
            (Some(_), Some(_)) => wrong("goes backwards"),
            _ => wrong(&format!("is none of *, {} to {}, a range or a step of them", self.min, self.max)),
        }
    }

    fn value(&self, text: &str) -> Option<u8> {
        let named = || {
            let place = self.names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
            self.min.checked_add(u8::try_from(place).ok()?)
        };
        number(text).filter(|number| (self.min..=self.max).contains(number)).or_else(named)
    }
}

/// A number of one or two digits, without a sign.
fn number(text: &str) -> Option<u8> {
    let is_plain = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// Whether `text` has the form of a zone: `UTC`, or an area and a place in it, such as `Europe/Berlin`.
pub(super) fn is_zone(text: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_uppercase())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
    };
    let mut parts = text.split('/');
    let is_area = parts.next().is_some_and(|area| AREAS.contains(&area));
    let places: Vec<&str> = parts.collect();
    text == "UTC" || (is_area && matches!(places.len(), 1 | 2) && places.iter().all(|place| is_part(place)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn r18_a_schedule_has_five_fields_of_values_ranges_lists_and_steps() {
        for good in [
            "* * * * *",
            "0 3 * * *",
            "*/15 8-18 * * mon-fri",
            "0,30 0-23/2 1,15 JAN,jul-Sep *",
            "59 23 31 12 7",
            "00 09 01 01 0",
            "0  3 * * 5-7",
        ] {
            assert_eq!(cron_problem(good), None, "{good}");
        }
        for (bad, why) in [
            ("", "0 fields"),
            ("0 3 * *", "4 fields"),
            ("0 0 3 * * *", "6 fields"),
            ("@daily", "1 fields"),
            ("TZ=UTC 0 3 * * *", "6 fields"),
            ("60 * * * *", "minute"),
            ("* 24 * * *", "hour"),
            ("* * 0 * *", "day of month"),
            ("* * 32 * *", "day of month"),
            ("* * * 13 *", "month"),
            ("* * * 0 *", "month"),
            ("* * * monday *", "month"),
            ("* * * * 8", "day of week"),
            ("* * * * jan", "day of week"),
            ("* * * * sun-", "day of week"),
            ("* * * * fri-mon", "backwards"),
            ("30-10 * * * *", "backwards"),
            ("*/0 * * * *", "step from 1 to 59"),
            ("*/60 * * * *", "step from 1 to 59"),
            ("*/ * * * *", "step from 1 to 59"),
            ("*/5/5 * * * *", "step from 1 to 59"),
            ("5/15 * * * *", "single value"),
            ("1,,2 * * * *", "minute"),
            ("+1 * * * *", "minute"),
            ("? * * * *", "minute"),
            ("* * L * *", "day of month"),
            ("1-2-3 * * * *", "minute"),
            ("١ * * * *", "minute"),
        ] {
            assert!(cron_problem(bad).is_some_and(|problem| problem.contains(why)), "{bad:?}: {:?}", cron_problem(bad));
        }
    }

    #[test]
    fn r18_a_zone_is_utc_or_a_place_in_an_area() {
        for good in [
            "UTC",
            "Europe/Berlin",
            "America/Argentina/Buenos_Aires",
            "America/Port-au-Prince",
            "Etc/GMT+5",
            "US/Eastern",
        ] {
            assert!(is_zone(good), "{good}");
        }
        for bad in [
            "",
            "utc",
            "CET",
            "+02:00",
            "Eruope/Berlin",
            "Europe",
            "Europe/",
            "Europe/berlin",
            "Europe/A/B/C",
            "/Berlin",
        ] {
            assert!(!is_zone(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn r18_any_text_is_judged(text in "[-*/,0-9a-z ]{0,24}|\\PC{0,24}") {
            let _ = (cron_problem(&text), is_zone(&text));
        }
    }
}
