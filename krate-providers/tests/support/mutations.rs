//! Every single-field mutation of a text: it is read, or fails at its path; it invents nothing, and quotes nothing (S12, S6, S47).

#![allow(dead_code, unreachable_pub)] // Each test binary uses a part.

use std::collections::BTreeSet;

use krate_providers::contract::DecodeError;
use serde_json::Value;

use super::sites::{Site, Sort, sites, splice};

const UNKNOWN: &str = "\"krate_unknown\":[{\"deep\":1}]";
/// Stands in mutated strings: no error may quote what it could not read (S47).
const CANARY: &str = "ghp_canary0canary0canary0canary0canary0";

/// A text that can be read, and how: what comes of it as JSON, with the fields that are kept as they came under `fields`.
pub struct Sample<'s> {
    pub name: &'s str,
    /// What it is: an event type, an operation.
    pub sort: &'s str,
    pub body: &'s [u8],
    pub read: &'s dyn Fn(&[u8]) -> Result<Value, DecodeError>,
}

impl Sample<'_> {
    /// Checks each mutation that `with` makes, and counts them.
    fn mutate(&self, with: impl Fn(&Site) -> Option<Vec<u8>>, mut check: impl FnMut(&Site, &[u8])) -> u32 {
        let mut taken = 0;
        for site in &sites(self.body) {
            if let Some(body) = with(site) {
                check(site, &body);
                taken += 1;
            }
        }
        taken
    }

    fn read_whole(&self) -> Value {
        (self.read)(self.body).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn assert_placed(&self, site: &Site, what: &str, error: &DecodeError) {
        let DecodeError { path, message } = error;
        assert!(is_at_or_above(path, &site.path), "{}: {what} {}: error at {path}: {message}", self.name, site.path);
        assert!(!error.to_string().contains("canary"), "S47: {}: {what} {}", self.name, site.path);
    }

    /// A value of another type fails at its path, or changes only what is kept as it came, and times.
    pub fn takes_another_type(&self) -> u32 {
        let canary = format!("\"{CANARY}\"");
        let before = self.read_whole();
        let others = [
            (Sort::Bool, "true"),
            (Sort::Number, "7"),
            (Sort::Number, "-1.5e300"),
            (Sort::String, canary.as_str()),
            (Sort::Array, "[7]"),
            (Sort::Object, "{\"a\":7}"),
        ];
        let mut taken = 0;
        for (sort, with) in others {
            taken += self.mutate(
                |site| (site.sort != sort).then(|| splice(self.body, &site.value, with)),
                |site, body| match (self.read)(body) {
                    Err(error) => self.assert_placed(site, with, &error),
                    // What had no value has one now.
                    Ok(_) if site.sort == Sort::Null => {}
                    Ok(after) => differ(&before, &after, "", &mut |path, value| {
                        // A list goes on from the time of its last row.
                        let may = path.contains(".fields.") || ends_as_time(path) || path == ".next";
                        assert!(may, "{}: {with} {}: {path} = {value}", self.name, site.path);
                    }),
                },
            );
        }
        taken
    }

    /// A field that nobody knows changes nothing but what is kept as it came; `is_map` tells the objects whose members are data.
    pub fn takes_an_unknown_field(&self, is_map: impl Fn(&Site) -> bool) -> u32 {
        let before = self.read_whole();
        self.mutate(
            |site| {
                let start = site.value.start + 1;
                let empty = || self.body[start..site.value.end - 1].iter().all(u8::is_ascii_whitespace);
                (site.sort == Sort::Object && !is_map(site)).then(|| {
                    let with = format!("{UNKNOWN}{}", if empty() { "" } else { "," });
                    splice(self.body, &(start..start), &with)
                })
            },
            |site, body| {
                let mut after = (self.read)(body).unwrap_or_else(|error| panic!("{} {error}", self.name));
                forget_unknown(&mut after, false);
                assert_eq!(after, before, "{}: {}", self.name, site.path);
            },
        )
    }

    /// A field that is gone or null fails at its path, or leaves out what it said; what it invents goes to `invented`.
    pub fn takes_what_is_gone(
        &self,
        is_fallback: impl Fn(&Site, &str) -> bool,
        invented: &mut BTreeSet<String>,
    ) -> u32 {
        let before = self.read_whole();
        let mut taken = 0;
        for what in ["removed", "null"] {
            taken += self.mutate(
                |site| match what {
                    "null" => (site.sort != Sort::Null).then(|| splice(self.body, &site.value, "null")),
                    _ => site.removal.as_ref().map(|removal| splice(self.body, removal, "")),
                },
                |site, body| {
                    let after = match (self.read)(body) {
                        Ok(after) => after,
                        Err(error) => return self.assert_placed(site, what, &error),
                    };
                    differ(&before, &after, "", &mut |path, value| {
                        // What krate has no field for is kept as it came, also where a part of it changed (S6).
                        if !path.contains(".fields.") && !is_fallback(site, path) {
                            invented.insert(format!("{}: {} {what}: {path} = {value}", self.sort, site.path));
                        }
                    });
                },
            );
        }
        taken
    }
}

fn is_at_or_above(path: &str, mutated: &str) -> bool {
    let below = mutated.strip_prefix(path);
    path == "$" || below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// A time may be text or a number (a push has both); text that is none makes the object unversioned (S17).
fn ends_as_time(path: &str) -> bool {
    ["At", ".eventTime", ".dueOn", ".suspended"].iter().any(|end| path.ends_with(end))
}

/// Takes what the mutation put there out of the fields that are kept as they came.
fn forget_unknown(value: &mut Value, kept: bool) {
    match value {
        Value::Object(members) => {
            if kept {
                members.remove("krate_unknown");
            }
            for (name, value) in members.iter_mut() {
                forget_unknown(value, name == "fields");
            }
            members.retain(|name, value| name != "fields" || value.as_object().is_none_or(|kept| !kept.is_empty()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| forget_unknown(item, false)),
        Value::String(text) if text.contains(UNKNOWN) => {
            *text = text.replace(&format!("{UNKNOWN},"), "").replace(UNKNOWN, "");
        }
        _ => {}
    }
}

/// Reports what `after` says and `before` does not, by path. Lists compare by what they hold: an element may have gone.
fn differ(before: &Value, after: &Value, path: &str, report: &mut impl FnMut(&str, &Value)) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                differ(old.get(name).unwrap_or(&Value::Null), value, &format!("{path}.{name}"), report);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (old, new) in old.iter().zip(new) {
                differ(old, new, path, report);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for value in new.iter().filter(|value| !old.iter().any(|old| is_same(old, value))) {
                report(path, value);
            }
        }
        (old, new) if old != new => report(path, new),
        _ => {}
    }
}

/// Whether both are the same but for their places.
fn is_same(old: &Value, new: &Value) -> bool {
    let (mut old, mut new) = (old.clone(), new.clone());
    for value in [&mut old, &mut new] {
        if let Some(members) = value.as_object_mut() {
            members.remove("ordinal");
        }
    }
    old == new
}
