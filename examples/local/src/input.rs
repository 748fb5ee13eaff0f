//! Reading files and standard input. JSON and YAML with a key that stands twice are refused: one of the two would be lost.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::Error;

/// The most that is read of one file: what a person hands to a command line, not a dump.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The name of an input in messages.
pub(crate) fn name(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() }
}

/// The bytes of a file, or of standard input for `-`.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut content)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut content))
    };
    match read {
        Err(error) => Err(Error::new(format!("{}: {error}", name(path)))
            .hint("give a file that can be read, or - for standard input")),
        Ok(length) if length as u64 > MAX_BYTES => {
            Err(Error::new(format!("{}: is longer than {MAX_BYTES} bytes", name(path))))
        }
        Ok(_) => Ok(content),
    }
}

/// The text of a file.
pub(crate) fn text(path: &Path) -> Result<String, Error> {
    String::from_utf8(bytes(path)?).map_err(|error| {
        Error::new(format!("{}: is not UTF-8 from byte {} on", name(path), error.utf8_error().valid_up_to()))
    })
}

/// A JSON file.
pub(crate) fn json(path: &Path) -> Result<Value, Error> {
    serde_json::from_str::<Strict>(&text(path)?)
        .map(|strict| strict.0)
        .map_err(|error| Error::new(format!("{}: {error}", name(path))).hint("one JSON value is expected"))
}

/// Refuses to read standard input twice.
pub(crate) fn at_most_one_stdin<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Result<(), Error> {
    if paths.into_iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        return Err(
            Error::new("- stands for two inputs").hint("standard input can be read once; put the other into a file")
        );
    }
    Ok(())
}

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Document {
    /// The file.
    pub(crate) file: String,
    /// Which document of the file, from 1; lists are taken apart.
    pub(crate) number: usize,
    /// The document.
    pub(crate) value: Value,
}

/// The documents of a file: JSON, or YAML with any number of documents. Lists are taken apart.
pub(crate) fn documents(path: &Path) -> Result<Vec<Document>, Error> {
    let (file, text) = (name(path), text(path)?);
    // JSON first: YAML's escapes in text are not quite JSON's.
    let values = match serde_json::from_str::<Strict>(&text) {
        Ok(one) => vec![one],
        Err(error)
            if text.trim_start().starts_with(['{', '[']) && error.classify() == serde_json::error::Category::Data =>
        {
            return Err(Error::new(format!("{file}: {error}")));
        }
        Err(_) => serde_saphyr::from_multiple::<Strict>(&text).map_err(|error| {
            Error::new(format!("{file}: {}", yaml_problem(&error)))
                .hint("the file has to be JSON or YAML, with each key once in its map")
        })?,
    };
    let mut flat = Vec::new();
    values.into_iter().for_each(|value| flatten(value.0, &mut flat));
    flat.retain(|value| !value.is_null());
    if flat.is_empty() {
        return Err(
            Error::new(format!("{file}: holds no document")).hint("a document has apiVersion, kind, metadata and spec")
        );
    }
    Ok(flat.into_iter().enumerate().map(|(at, value)| Document { file: file.clone(), number: at + 1, value }).collect())
}

/// What is wrong with a YAML text, without the piece of it that the reader would quote: a manifest may hold what isn't to be shown.
fn yaml_problem(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    first.strip_suffix(", set DuplicateKeyPolicy in Options if acceptable").unwrap_or(first).to_owned()
}

/// The documents in an array, or in a Kubernetes list, each by itself.
fn flatten(value: Value, into: &mut Vec<Value>) {
    match value {
        Value::Array(items) => items.into_iter().for_each(|item| flatten(item, into)),
        Value::Object(mut map)
            if map.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
                && map.get("items").is_some_and(Value::is_array) =>
        {
            flatten(map.remove("items").unwrap_or_default(), into);
        }
        other => into.push(other),
    }
}

/// HTTP headers from a JSON object: name to a value, or to a list of values where a header stands more than once.
pub(crate) fn headers(path: &Path) -> Result<HeaderMap, Error> {
    let file = name(path);
    let Value::Object(members) = json(path)? else {
        return Err(Error::new(format!("{file}: an object of header names to values is expected")));
    };
    let mut headers = HeaderMap::new();
    for (header, value) in members {
        let parsed = HeaderName::from_bytes(header.as_bytes())
            .map_err(|_| Error::new(format!("{file}: {header:?} is no header name")))?;
        let values = match value {
            Value::Array(values) => values,
            one => vec![one],
        };
        for value in values {
            // The value stays out of the message: it may be a signature or a token.
            let value = value.as_str().and_then(|text| HeaderValue::from_str(text).ok()).ok_or_else(|| {
                Error::new(format!("{file}: {header}: a text, or a list of texts, that a header can carry is expected"))
            })?;
            headers.append(parsed.clone(), value);
        }
    }
    Ok(headers)
}

/// A JSON value whose objects hold each key once.
#[derive(Debug)]
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value).map(Value::from).ok_or_else(|| E::custom("a number that JSON doesn't have"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if members.contains_key(&key) {
                return Err(de::Error::custom(format!("the key {key:?} stands twice in one map")));
            }
            let Strict(value) = map.next_value()?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}
