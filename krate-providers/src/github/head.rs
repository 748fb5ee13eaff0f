//! A delivery's identity, from its headers.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, header};

use krate_model::validate::credential_in;

use crate::contract::{DeliveryHead, HeadError, without_credential};

/// A header, as people know it and as it is looked up: made once, since making a name costs more than looking it up.
struct Header {
    shown: &'static str,
    name: HeaderName,
}

impl Header {
    const fn new(shown: &'static str, name: &'static str) -> Self {
        Self { shown, name: HeaderName::from_static(name) }
    }
}

static DELIVERY: Header = Header::new("X-GitHub-Delivery", "x-github-delivery");
static EVENT: Header = Header::new("X-GitHub-Event", "x-github-event");
static CONTENT_TYPE: Header = Header { shown: "Content-Type", name: header::CONTENT_TYPE };

const MAX_DELIVERY_BYTES: usize = 255;
const MAX_EVENT_BYTES: usize = 128;
const MAX_KEPT_BYTES: usize = 255;

/// Headers that a delivery record keeps. None can hold a secret: never authorization, cookie or signature.
static KEPT: [Header; 6] = [
    kept("user-agent"),
    kept("x-github-hook-id"),
    kept("x-github-hook-installation-target-id"),
    kept("x-github-hook-installation-target-type"),
    kept("x-github-enterprise-host"),
    kept("x-github-enterprise-version"),
];

const fn kept(name: &'static str) -> Header {
    Header::new(name, name)
}

pub(super) fn head(headers: &HeaderMap) -> Result<DeliveryHead, HeadError> {
    content_type(headers)?;
    let delivery_id = required(headers, &DELIVERY, MAX_DELIVERY_BYTES)?;
    let event_type = required(headers, &EVENT, MAX_EVENT_BYTES)?;
    let mut kept = BTreeMap::new();
    for header in &KEPT {
        if let Some(value) = one(headers, header)?
            && value.len() <= MAX_KEPT_BYTES
            && credential_in(value).is_none()
        {
            kept.insert(header.shown.to_owned(), value.to_owned());
        }
    }
    Ok(DeliveryHead {
        delivery_id: delivery_id.to_owned(),
        derived_id: false,
        event_type: event_type.to_owned(),
        headers: kept,
    })
}

/// The one value of a header, as plain text.
fn one<'h>(headers: &'h HeaderMap, header: &Header) -> Result<Option<&'h str>, HeadError> {
    let mut values = headers.get_all(&header.name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(HeadError::Repeated { header: header.shown });
    }
    value.to_str().map(Some).map_err(|_| HeadError::NotText { header: header.shown })
}

fn required<'h>(headers: &'h HeaderMap, header: &Header, max_bytes: usize) -> Result<&'h str, HeadError> {
    let value = one(headers, header)?.ok_or(HeadError::Missing { header: header.shown })?;
    if value.is_empty() || value.len() > max_bytes {
        return Err(HeadError::Length { header: header.shown, bytes: value.len(), max_bytes });
    }
    Ok(value)
}

/// GitHub can also post a form with the JSON in its `payload` field. krate takes JSON only: one way in, one thing signed.
fn content_type(headers: &HeaderMap) -> Result<(), HeadError> {
    let value = one(headers, &CONTENT_TYPE)?.ok_or(HeadError::Missing { header: CONTENT_TYPE.shown })?;
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let accepted = if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        "application/json (choose it as the hook's content type)"
    } else {
        "application/json"
    };
    let found = without_credential(media_type.chars().take(MAX_KEPT_BYTES).collect());
    Err(HeadError::ContentType { found, accepted })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn good() -> HeaderMap {
        headers(&[
            ("content-type", "application/json; charset=utf-8"),
            ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
            ("x-github-event", "issues"),
            ("x-github-hook-id", "292430182"),
            ("user-agent", "GitHub-Hookshot/044aadd"),
            ("x-hub-signature-256", "sha256=canary"),
            ("authorization", "Bearer canary"),
            ("cookie", "canary"),
        ])
    }

    #[test]
    fn s11_identity_and_type_come_from_the_headers() {
        let head = head(&good()).unwrap();
        assert_eq!(head.delivery_id, "72d3162e-cc78-11e3-81ab-4c9367dc0958");
        assert_eq!((head.event_type.as_str(), head.derived_id), ("issues", false));
    }

    #[test]
    fn s47_only_headers_of_the_list_are_kept() {
        let head = head(&good()).unwrap();
        assert_eq!(head.headers.keys().map(String::as_str).collect::<Vec<_>>(), ["user-agent", "x-github-hook-id"]);
        assert!(!format!("{head:?}").contains("canary"));
    }

    #[test]
    fn s13_each_bad_header_has_its_own_error() {
        let missing = |name: &str| {
            let mut headers = good();
            headers.remove(name);
            head(&headers).unwrap_err()
        };
        assert_eq!(missing("x-github-delivery"), HeadError::Missing { header: "X-GitHub-Delivery" });
        assert_eq!(missing("x-github-event"), HeadError::Missing { header: "X-GitHub-Event" });
        assert_eq!(missing("content-type"), HeadError::Missing { header: "Content-Type" });

        let added = |name: &'static str, value: &'static [u8]| {
            let mut headers = good();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
            head(&headers).unwrap_err()
        };
        assert_eq!(added("x-github-event", b"push"), HeadError::Repeated { header: "X-GitHub-Event" });
        assert_eq!(added("x-github-delivery", b"a"), HeadError::Repeated { header: "X-GitHub-Delivery" });
        assert_eq!(added("content-type", b"text/plain"), HeadError::Repeated { header: "Content-Type" });
        assert_eq!(added("user-agent", b"b"), HeadError::Repeated { header: "user-agent" });

        let set = |name: &'static str, value: &[u8]| {
            let mut headers = good();
            headers.insert(name, HeaderValue::from_bytes(value).unwrap());
            head(&headers).unwrap_err()
        };
        assert_eq!(set("x-github-event", b"\xff"), HeadError::NotText { header: "X-GitHub-Event" });
        assert_eq!(
            set("x-github-event", b""),
            HeadError::Length { header: "X-GitHub-Event", bytes: 0, max_bytes: 128 }
        );
        assert_eq!(
            set("x-github-delivery", &[b'a'; 256]),
            HeadError::Length { header: "X-GitHub-Delivery", bytes: 256, max_bytes: 255 }
        );
    }

    #[test]
    fn s13_a_form_post_is_told_how_to_become_json() {
        let mut headers = good();
        headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        assert_eq!(
            head(&headers).unwrap_err().to_string(),
            "content type \"application/x-www-form-urlencoded\" is not accepted; \
             application/json (choose it as the hook's content type) is"
        );
    }
}
