//! Field paths, and looking values up by them (R29).

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};

use super::secrets;
use super::text::is_invisible;

/// One step down.
#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Key(&'a str),
    Index(usize),
    Entry { key: &'a str, value: &'a str },
}

/// A place in a document, linked to the place above it; it becomes text only where something fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    above: Option<&'a Path<'a>>,
    step: Step<'a>,
}

/// The whole document.
pub(super) const ROOT: Path<'static> = Path { above: None, step: Step::Root };

impl<'a> Path<'a> {
    const fn step(&'a self, step: Step<'a>) -> Self {
        Path { above: Some(self), step }
    }

    /// A field of an object.
    pub(super) const fn field(&'a self, name: &'a str) -> Self {
        self.step(Step::Field(name))
    }

    /// A key of a map.
    pub(super) const fn key(&'a self, name: &'a str) -> Self {
        self.step(Step::Key(name))
    }

    /// An entry of a list or set.
    pub(super) const fn index(&'a self, at: usize) -> Self {
        self.step(Step::Index(at))
    }

    /// An entry of a list-map; by its key where it has one that may be shown.
    pub(super) fn entry(&'a self, at: usize, entry: &'a Value, key: &'a str) -> Self {
        match map_key(entry, key) {
            Some(value) => self.step(Step::Entry { key, value }),
            None => self.index(at),
        }
    }

    /// The name of the innermost field or key.
    pub(super) fn last_name(&self) -> &'a str {
        match (self.step, self.above) {
            (Step::Field(name) | Step::Key(name), _) => name,
            (_, Some(above)) => above.last_name(),
            _ => "",
        }
    }

    /// Whether the innermost step is a field or key of that name.
    pub(super) fn is_field(&self, name: &str) -> bool {
        matches!(self.step, Step::Field(own) | Step::Key(own) if own == name)
    }

    /// Whether any step on the way is the field `name`.
    pub(super) fn passes(&self, name: &str) -> bool {
        self.is_field(name) || self.above.is_some_and(|above| above.passes(name))
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            above.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) | Step::Key(name) if secrets::looks_like(name, "").is_some() => f.write_str("[(hidden)]"),
            Step::Field(name) => {
                if !matches!(self.above, None | Some(Path { step: Step::Root, .. })) {
                    f.write_char('.')?;
                }
                f.write_str(name)
            }
            Step::Key(name) if is_plain(name) => write!(f, ".{name}"),
            Step::Key(name) => write!(f, "[{}]", quoted(name)),
            Step::Index(at) => write!(f, "[{at}]"),
            Step::Entry { key, value } => write!(f, "[{key}={value}]"),
        }
    }
}

/// A key as JSON, in ASCII where a reader would not see what it holds (R23).
fn quoted(key: &str) -> String {
    let seen = |char: char| match char {
        char if is_invisible(char) => format!("\\u{:04x}", u32::from(char)),
        char => char.to_string(),
    };
    Value::from(key).to_string().chars().map(seen).collect()
}

/// The key of a list-map's entry, unless it may be secret: then a path counts instead (R29).
fn map_key<'v>(entry: &'v Value, key: &str) -> Option<&'v str> {
    entry.get(key).and_then(Value::as_str).filter(|value| secrets::looks_like(value, key).is_none())
}

/// Whether a map's key can stand after a dot without being taken for something else.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// The value at a path of plain fields, such as `spec.backend.mode`.
pub(super) fn get<'v>(document: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(document, |value, name| value.get(name))
}

/// The text at a path of plain fields.
pub(super) fn text<'v>(document: &'v Value, path: &str) -> Option<&'v str> {
    get(document, path).and_then(Value::as_str)
}

/// The number at a path of plain fields.
pub(super) fn int(document: &Value, path: &str) -> Option<i64> {
    get(document, path).and_then(Value::as_i64)
}

/// Whether `true` stands at a path of plain fields.
pub(super) fn is_true(document: &Value, path: &str) -> bool {
    get(document, path).and_then(Value::as_bool).unwrap_or(false)
}

/// The list at a path of plain fields; empty where there is none.
pub(super) fn list<'v>(document: &'v Value, path: &str) -> &'v [Value] {
    get(document, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The texts of the list at a path of plain fields, each with its index.
pub(super) fn texts<'v>(document: &'v Value, path: &str) -> impl Iterator<Item = (usize, &'v str)> {
    list(document, path).iter().enumerate().filter_map(|(at, value)| Some((at, value.as_str()?)))
}

/// The entries of the list-map at a path of plain fields, each with the path to it.
pub(super) fn entries<'v>(document: &'v Value, path: &str, key: &str) -> Vec<(String, &'v Value)> {
    let name = |at: usize, entry: &Value| match map_key(entry, key) {
        Some(value) => format!("{path}[{key}={value}]"),
        None => format!("{path}[{at}]"),
    };
    list(document, path).iter().enumerate().map(|(at, entry)| (name(at, entry), entry)).collect()
}

/// The map at a path of plain fields.
pub(super) fn map<'v>(document: &'v Value, path: &str) -> Option<&'v Map<String, Value>> {
    get(document, path).and_then(Value::as_object)
}

/// The value at any path that this module writes; `None` where there is none, or the path can't be read.
///
/// A list-map's key is taken up to the next `]`: a key that holds one is not found, which the ratchet (R64) reads as changed.
pub(super) fn lookup<'v>(document: &'v Value, path: &str) -> Option<&'v Value> {
    let (mut value, mut rest) = (document, path);
    while !rest.is_empty() {
        if rest.starts_with("[\"") {
            let quoted = rest.get(1..)?;
            let mut names = serde_json::Deserializer::from_str(quoted).into_iter::<String>();
            let name = names.next()?.ok()?;
            rest = quoted.get(names.byte_offset()..)?.strip_prefix(']')?;
            value = value.get(name)?;
        } else if let Some(inside) = rest.strip_prefix('[') {
            let (inner, after) = inside.split_once(']')?;
            value = match inner.split_once('=') {
                None => value.get(inner.parse::<usize>().ok()?)?,
                Some((key, wanted)) => {
                    value.as_array()?.iter().find(|entry| entry.get(key).and_then(Value::as_str) == Some(wanted))?
                }
            };
            rest = after;
        } else {
            let named = rest.strip_prefix('.').unwrap_or(rest);
            let end = named.find(['.', '[']).unwrap_or(named.len());
            let (name, after) = named.split_at_checked(end)?;
            value = value.get(name)?;
            rest = after;
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn r29_paths_read_as_the_spec_writes_them() {
        let entry = json!({"name": "gitForge", "mode": "read-only"});
        let spec = ROOT.field("spec");
        assert_eq!(spec.field("a").field("b").to_string(), "spec.a.b");
        assert_eq!(spec.field("labels").index(3).to_string(), "spec.labels[3]");
        assert_eq!(
            spec.field("interfaces").entry(0, &entry, "name").field("mode").to_string(),
            "spec.interfaces[name=gitForge].mode"
        );
        assert_eq!(spec.field("interfaces").entry(2, &json!({}), "name").to_string(), "spec.interfaces[2]");
        assert_eq!(ROOT.field("metadata").field("labels").key("a.b/c").to_string(), "metadata.labels[\"a.b/c\"]");
        assert_eq!(spec.field("externalRef").key("repo").to_string(), "spec.externalRef.repo");
        assert_eq!(ROOT.to_string(), "");
    }

    #[test]
    fn r64_every_written_path_finds_its_value() {
        let document = json!({
            "spec": {"interfaces": [{"name": "cicd"}, {"name": "gitForge", "mode": "x"}], "labels": ["a", "b"]},
            "metadata": {"labels": {"a.b/c": "d", "q\"]": "e"}},
        });
        for (path, wanted) in [
            ("spec.interfaces[name=gitForge].mode", Some("x")),
            ("spec.labels[1]", Some("b")),
            ("metadata.labels[\"a.b/c\"]", Some("d")),
            ("metadata.labels[\"q\\\"]\"]", Some("e")),
            ("spec.labels[9]", None),
            ("spec.labels[", None),
            ("spec.nothing.at.all", None),
        ] {
            assert_eq!(lookup(&document, path).and_then(Value::as_str), wanted, "{path}");
        }
        assert_eq!(lookup(&document, ""), Some(&document));
    }
}
