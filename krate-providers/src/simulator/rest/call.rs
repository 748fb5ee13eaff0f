//! One request taken apart: path, query, pages, and the JSON body with its type errors.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Method, Request};
use serde_json::{Map, Value};

use super::answer::Failure;
use crate::simulator::effects::FieldError;

/// A request and who sent it.
pub(super) struct Call<'r> {
    pub(super) method: &'r Method,
    /// Path below the API's base, percent-decoded.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: &'r Bytes,
    pub(super) now: DateTime<Utc>,
    /// The n-th request of this forge.
    pub(super) number: u64,
    /// Base of the URLs in `Link` and `Location`.
    pub(super) base: String,
    /// Login of the token's account.
    pub(super) login: Option<String>,
}

impl<'r> Call<'r> {
    pub(super) fn new(request: &'r Request<Bytes>, api: &str, number: u64, now: DateTime<Utc>) -> Self {
        let raw = request.uri().path();
        let below = raw.strip_prefix("/api/v3").filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let base = api.strip_suffix("/api/v3").unwrap_or(api);
        let base = if below.is_some() { format!("{base}/api/v3") } else { base.to_owned() };
        let path = below.unwrap_or(raw).split('/').filter(|segment| !segment.is_empty()).map(decode).collect();
        let query = request.uri().query().unwrap_or_default();
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { method: request.method(), path, query, body: request.body(), now, number, base, login: None }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn is_read(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    /// The `since` parameter as an instant.
    pub(super) fn since(&self, resource: &'static str) -> Result<Option<DateTime<Utc>>, Failure> {
        let Some(since) = self.get("since") else { return Ok(None) };
        match DateTime::parse_from_rfc3339(since) {
            Ok(since) => Ok(Some(since.to_utc())),
            Err(_) => Err(Failure::Invalid(vec![FieldError::new(resource, "since", "invalid").value(since)])),
        }
    }

    /// Ascending order, for `direction` or what the list does without one.
    pub(super) fn ascending(&self, default: bool) -> bool {
        match self.get("direction") {
            Some("asc") => true,
            Some("desc") => false,
            _ => default,
        }
    }

    /// The page that was asked for, and the `Link` header where there are others. Offsets count in the list as it is now: what
    /// moves between two reads is met twice or not at all, as on GitHub.
    pub(super) fn page<T>(&self, items: Vec<T>, repository: u64, below: &str) -> (Vec<T>, Option<String>) {
        let number =
            |name, default| self.get(name).and_then(|value| value.parse().ok()).filter(|&n| n > 0).unwrap_or(default);
        let per_page: usize = number("per_page", 30).min(100);
        let page: usize = number("page", 1);
        let last = items.len().div_ceil(per_page).max(1);
        let skip = page.saturating_sub(1).saturating_mul(per_page);
        let shown: Vec<T> = items.into_iter().skip(skip).take(per_page).collect();
        let mut links = Vec::new();
        let mut add = |rel: &str, page: usize| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for (key, value) in self.query.iter().filter(|(key, _)| key != "page") {
                query.append_pair(key, value);
            }
            query.append_pair("page", &page.to_string());
            // GitHub's own links name the repository by id, so they survive a rename.
            links.push(format!("<{}/repositories/{repository}/{below}?{}>; rel=\"{rel}\"", self.base, query.finish()));
        };
        if page > 1 {
            add("prev", page.saturating_sub(1).min(last));
        }
        if page < last {
            add("next", page.saturating_add(1));
            add("last", last);
        }
        if page > 1 {
            add("first", 1);
        }
        (shown, (!links.is_empty()).then(|| links.join(", ")))
    }

    /// The body as an object. No body is an empty object.
    pub(super) fn fields(&self) -> Result<Fields, Failure> {
        if self.body.is_empty() {
            return Ok(Fields(Map::new()));
        }
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(_) => Err(Failure::NotAnObject),
            Err(_) => Err(Failure::Malformed),
        }
    }
}

/// The members of a request body.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    /// A string; `None` where it is absent or null.
    pub(super) fn text(&self, field: &str) -> Result<Option<String>, Failure> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(wrong_type(field, other, "a string")),
        }
    }

    /// A string that may be cleared: outer `None` where it is absent, inner where it is null.
    #[expect(clippy::option_option, reason = "absent, null and a value are three different wishes")]
    pub(super) fn clearable(&self, field: &str) -> Result<Option<Option<String>>, Failure> {
        if self.has(field) { Ok(Some(self.text(field)?)) } else { Ok(None) }
    }

    pub(super) fn flag(&self, field: &str) -> Result<Option<bool>, Failure> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(wrong_type(field, other, "a boolean")),
        }
    }

    /// A number that may be cleared, such as `milestone`.
    #[expect(clippy::option_option, reason = "absent, null and a value are three different wishes")]
    pub(super) fn number(&self, field: &str) -> Result<Option<Option<u64>>, Failure> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(Some(number))),
                None => Err(wrong_type(field, value, "a positive integer")),
            },
        }
    }

    /// A list of names, each a string or an object with a `name`.
    pub(super) fn names(&self, field: &str) -> Result<Option<Vec<String>>, Failure> {
        let items = match self.0.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(wrong_type(field, other, "an array")),
        };
        let name = |item: &Value| match item {
            Value::String(name) => Ok(name.clone()),
            Value::Object(label) => match label.get("name") {
                Some(Value::String(name)) => Ok(name.clone()),
                _ => Err(wrong_type(field, item, "a string")),
            },
            other => Err(wrong_type(field, other, "a string")),
        };
        items.iter().map(name).collect::<Result<_, _>>().map(Some)
    }
}

fn wrong_type(field: &str, value: &Value, wanted: &str) -> Failure {
    Failure::Schema(format!("For 'properties/{field}', {value} is not {wanted}."))
}

/// Percent-decodes a path segment. What is not a valid escape stays as it is; what is not UTF-8 then is replaced.
fn decode(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match (byte, after) {
            (b'%', [high, low, after @ ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((byte, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn decodes_percent_escapes_and_leaves_the_rest() {
        for (raw, plain) in [
            ("bug", "bug"),
            ("help%20wanted", "help wanted"),
            ("a%2Fb", "a/b"),
            ("100%", "100%"),
            ("%C3%A9", "é"),
            ("%zz", "%zz"),
        ] {
            assert_eq!(decode(raw), plain);
        }
    }
}
