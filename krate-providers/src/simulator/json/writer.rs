//! Writes JSON straight into a string, members in the order in which they are named: GitHub's order, and the same bytes each time.

use std::fmt::{Display, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};

/// An object being written.
pub(crate) struct Object<'o> {
    out: &'o mut String,
    empty: bool,
}

/// Writes one object.
pub(crate) fn object(out: &mut String, members: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    members(&mut Object { out, empty: true });
    out.push('}');
}

/// Writes one array.
pub(crate) fn list<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut item: impl FnMut(&mut String, T)) {
    out.push('[');
    for (place, value) in items.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        item(out, value);
    }
    out.push(']');
}

/// Writes one string.
pub(crate) fn string(out: &mut String, value: &str) {
    out.push('"');
    escape(out, value);
    out.push('"');
}

fn escape(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

impl Object<'_> {
    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(',');
        }
        string(self.out, key);
        self.out.push(':');
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        string(self.out, value);
    }

    /// A string made by formatting, such as a URL.
    pub(crate) fn shown(&mut self, key: &str, value: impl Display) {
        self.key(key);
        self.out.push('"');
        let start = self.out.len();
        let _ = write!(self.out, "{value}");
        let written = self.out.get(start..).unwrap_or_default();
        if written.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
            let plain = self.out.split_off(start);
            escape(self.out, &plain);
        }
        self.out.push('"');
    }

    pub(crate) fn maybe_text(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(key, value),
            None => self.null(key),
        }
    }

    /// A number, `true`, `false`: what `Display` writes is JSON already.
    pub(crate) fn plain(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let _ = write!(self.out, "{value}");
    }

    pub(crate) fn null(&mut self, key: &str) {
        self.plain(key, "null");
    }

    pub(crate) fn time(&mut self, key: &str, value: DateTime<Utc>) {
        self.shown(key, value.to_rfc3339_opts(SecondsFormat::Secs, true));
    }

    pub(crate) fn maybe_time(&mut self, key: &str, value: Option<DateTime<Utc>>) {
        match value {
            Some(value) => self.time(key, value),
            None => self.null(key),
        }
    }

    pub(crate) fn object(&mut self, key: &str, members: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        object(self.out, members);
    }

    pub(crate) fn list<T>(&mut self, key: &str, items: impl IntoIterator<Item = T>, item: impl FnMut(&mut String, T)) {
        self.key(key);
        list(self.out, items, item);
    }
}

#[cfg(test)]
mod tests {
    use super::{list, object, string};

    #[test]
    fn writes_what_serde_reads() {
        let odd = "a \"quote\", a \\ and\n\r\t\u{1} é 🦀";
        let mut out = String::new();
        object(&mut out, |o| {
            o.text("text", odd);
            o.shown("shown", odd);
            o.plain("number", 7_000_000_000_u64);
            o.null("none");
            o.list("list", ["a", "b"], string);
            o.object("empty", |_| {});
        });
        let read: serde_json::Value = serde_json::from_str(&out).expect("valid JSON");
        let expected = serde_json::json!({
            "text": odd, "shown": odd, "number": 7_000_000_000_u64, "none": null, "list": ["a", "b"], "empty": {},
        });
        assert_eq!(read, expected);
        let mut none = String::new();
        list(&mut none, [] as [&str; 0], string);
        assert_eq!(none, "[]");
    }
}
