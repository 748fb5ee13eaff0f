//! What an answer that is no success means.

use chrono::{DateTime, TimeDelta};
use http::{HeaderMap, StatusCode, header};
use krate_model::kinds::sets::ErrorClass;
use krate_model::kinds::shared::Time;
use serde::Deserialize;

use crate::contract::{ProviderError, QuotaReading, without_credential};

/// How long a limit without a time is respected: GitHub asks for at least a minute.
const SECONDARY_LIMIT: TimeDelta = TimeDelta::minutes(1);

pub(super) fn header_text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn header_number(headers: &HeaderMap, name: &str) -> Option<u64> {
    header_text(headers, name)?.trim().parse().ok()
}

/// The budget that the answer tells of, whatever the answer is. The end of its window is told by GitHub's clock, and waited for by this one: the answer's own
/// date says how far they are apart.
pub(super) fn quota(headers: &HeaderMap, received_at: Time) -> Option<QuotaReading> {
    let reset = DateTime::from_timestamp(i64::try_from(header_number(headers, "x-ratelimit-reset")?).ok()?, 0)?;
    let here = by_this_clock(headers, reset, received_at);
    Some(QuotaReading::new(
        header_text(headers, "x-ratelimit-resource").unwrap_or("core").chars().take(64).collect::<String>(),
        header_number(headers, "x-ratelimit-limit")?,
        header_number(headers, "x-ratelimit-remaining")?,
        here,
    ))
}

fn date(text: &str) -> Option<Time> {
    DateTime::parse_from_rfc2822(text.trim()).ok().map(|date| date.to_utc())
}

/// A time of the sender's clock, by the receiver's.
fn by_this_clock(headers: &HeaderMap, time: Time, received_at: Time) -> Time {
    let sent = header_text(headers, header::DATE.as_str()).and_then(date);
    sent.and_then(|sent| received_at.checked_add_signed(time - sent)).unwrap_or(time)
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3), which proxies in front of a GitHub Enterprise Server send.
fn retry_after(headers: &HeaderMap, received_at: Time) -> Option<Time> {
    let name = header::RETRY_AFTER.as_str();
    match header_number(headers, name) {
        Some(seconds) => received_at.checked_add_signed(TimeDelta::try_seconds(i64::try_from(seconds).ok()?)?),
        None => Some(by_this_clock(headers, date(header_text(headers, name)?)?, received_at)),
    }
}

/// GitHub's error body.
#[derive(Deserialize, Default)]
struct Body {
    message: Option<String>,
    #[serde(default)]
    errors: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Detail {
    Field { field: Option<String>, code: Option<String>, message: Option<String> },
    Text(String),
}

/// What GitHub said, for people; and the field that it names.
fn said(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> (String, Option<String>) {
    if !is_json(headers) {
        // A proxy's page is long and says nothing to krate's reader.
        let media_type = header_text(headers, "content-type").unwrap_or("no content type");
        let media_type = without_credential(media_type.to_owned());
        return (format!("{status} without GitHub's JSON ({})", media_type.chars().take(64).collect::<String>()), None);
    }
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let mut message = body.message.unwrap_or_else(|| status.to_string());
    let mut path = None;
    for detail in body.errors {
        match detail {
            Detail::Text(text) => message = format!("{message}: {text}"),
            Detail::Field { field, code, message: text } => {
                let what = text.or(code).unwrap_or_default();
                message = match &field {
                    Some(field) => format!("{message}: {field}: {what}"),
                    None => format!("{message}: {what}"),
                };
                path = path.or(field);
            }
        }
    }
    (message, path)
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    header_text(headers, "content-type").is_some_and(|value| {
        let media_type = value.split(';').next().unwrap_or_default().trim();
        media_type.ends_with("/json") || media_type.ends_with("+json")
    })
}

/// Classes an answer that is neither success nor redirection.
pub(super) fn error(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    is_write: bool,
    received_at: Time,
) -> ProviderError {
    let (message, path) = said(status, headers, body);
    let pause = retry_after(headers, received_at);
    let error = match status.as_u16() {
        401 => ProviderError::new(ErrorClass::Authentication, message),
        // Two limits come with the status of a refusal, and a refusal must not be taken for one of them.
        403 | 429 => match limit(status, headers, &message, pause, received_at) {
            Some(until) => ProviderError::new(ErrorClass::RateLimited, message).until(Some(until)),
            None => ProviderError::new(ErrorClass::Permission, message),
        },
        404 => ProviderError::new(ErrorClass::NotFound, message),
        405 | 409 | 412 => ProviderError::new(ErrorClass::Precondition, message),
        410 => ProviderError::new(ErrorClass::Gone, message),
        408 | 500..=599 => {
            let error = ProviderError::new(ErrorClass::Transient, message).until(pause);
            if is_write { error.maybe_sent() } else { error }
        }
        _ => ProviderError::new(ErrorClass::Validation, message),
    };
    match path {
        Some(path) => error.at(path),
        None => error,
    }
}

/// Until when a limit holds, if it is one (S44).
fn limit(
    status: StatusCode,
    headers: &HeaderMap,
    message: &str,
    pause: Option<Time>,
    received_at: Time,
) -> Option<Time> {
    let primary = quota(headers, received_at).filter(|quota| quota.remaining == 0).map(|quota| quota.reset_at);
    let lower = message.to_ascii_lowercase();
    let told =
        ["secondary rate limit", "abuse detection", "rate limit exceeded"].iter().any(|word| lower.contains(word));
    let secondary = told || status == StatusCode::TOO_MANY_REQUESTS;
    // Both may hold at once: the later end counts.
    primary.max(pause).or_else(|| if secondary { received_at.checked_add_signed(SECONDARY_LIMIT) } else { None })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn s43_the_end_of_a_window_is_told_by_the_receivers_clock() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("limit", "5000"), ("remaining", "4999"), ("reset", "1780003600"), ("resource", "core")] {
            let name = http::HeaderName::try_from(format!("x-ratelimit-{name}")).unwrap();
            headers.insert(name, HeaderValue::from_static(value));
        }
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let read = |headers: &HeaderMap| quota(headers, at(1_780_007_200)).unwrap();
        assert_eq!(read(&headers), QuotaReading::new("core", 5000, 4999, at(1_780_003_600)));
        // The receiver's clock is two hours ahead of GitHub's.
        headers.insert(header::DATE, HeaderValue::from_static("Thu, 28 May 2026 20:26:40 GMT"));
        assert_eq!(read(&headers).reset_at, at(1_780_007_200 + 3600));
        headers.remove("x-ratelimit-limit");
        assert_eq!(quota(&headers, at(0)), None, "half a budget is none");
    }

    #[test]
    fn s45_a_pause_is_told_in_seconds_or_as_a_date() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let told = |retry: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(retry));
            date.map(|date| headers.insert(header::DATE, HeaderValue::from_static(date)));
            retry_after(&headers, at(1_780_007_200))
        };
        assert_eq!(told("40", None), Some(at(1_780_007_240)));
        assert_eq!(told("Thu, 28 May 2026 20:27:40 GMT", None), Some(at(1_780_000_060)));
        // The receiver's clock is two hours ahead.
        let sent = Some("Thu, 28 May 2026 20:26:40 GMT");
        assert_eq!(told("Thu, 28 May 2026 20:27:40 GMT", sent), Some(at(1_780_007_260)));
        assert_eq!(told("soon", sent), None);
        assert_eq!(told("18446744073709551615", sent), None);
    }
}
