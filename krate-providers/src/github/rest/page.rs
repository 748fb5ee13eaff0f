//! Paging: from a `Link` header to an opaque cursor, and from a cursor to parameters.
//!
//! Pages that are counted shift: an object that is updated while a list by update time is read moves to its end, all after it move up by one, and
//! the first of the next page is never seen. Lists that can be asked for by time go on from the time of the last row instead (S24); those of pull requests,
//! which can't, are sorted by age, which no update changes.

use chrono::SecondsFormat;
use http::{HeaderMap, header};
use krate_model::kinds::shared::Time;
use url::Url;
use url::form_urlencoded::{self, Serializer};

use crate::contract::Cursor;

/// The parameters by which GitHub pages. Nothing else of a link is kept: a cursor can't name a host or a path.
const PAGING: &[&str] = &["page", "after", "before", "cursor", SINCE];
/// From which time on a list goes, in whole seconds.
pub(super) const SINCE: &str = "since";
const MAX_CURSOR_BYTES: usize = 4096;

/// Where the list goes on, by the answer's headers.
///
/// # Errors
/// The link to the next page has no paging parameter that krate knows.
pub(super) fn next(headers: &HeaderMap) -> Result<Option<Cursor>, &'static str> {
    let Some(target) = target(headers, "next") else { return Ok(None) };
    let url = Url::parse(target).map_err(|_| "the link to the next page is no address")?;
    let kept: Vec<_> = url.query_pairs().filter(|(name, _)| PAGING.contains(&name.as_ref())).collect();
    let cursor = Serializer::new(String::new()).extend_pairs(&kept).finish();
    if cursor.is_empty() || cursor.len() > MAX_CURSOR_BYTES {
        return Err("the link to the next page has no known paging parameter");
    }
    Ok(Some(Cursor(cursor)))
}

/// How many pages follow this one: the number of the last one says so, where pages are counted.
pub(super) fn more(headers: &HeaderMap) -> Option<u32> {
    let number = |relation| {
        let target = target(headers, relation)?;
        let url = Url::parse(target).ok()?;
        url.query_pairs().find(|(name, _)| name == "page").and_then(|(_, number)| number.parse::<u32>().ok())
    };
    match (number("next"), number("last")) {
        (Some(next), Some(last)) => last.checked_sub(next)?.checked_add(1),
        _ if target(headers, "next").is_none() => Some(0),
        _ => None,
    }
}

/// The text of a time in a query.
pub(super) fn since_text(since: Time) -> String {
    since.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Where a list by update time goes on behind `last`, the time of its last row, where `next` says that there is more. `from` is where this page began.
pub(super) fn after(next: Cursor, from: Option<&str>, last: Option<Time>) -> Cursor {
    let mut by_time = Serializer::new(String::new());
    match last.map(since_text) {
        Some(last) if from.is_none_or(|from| *from != *last) => Cursor(by_time.append_pair(SINCE, &last).finish()),
        // A whole page of one second: only its count leads on.
        _ => match from {
            Some(from) => {
                let counted = parameters(&next).unwrap_or_default();
                let counted = counted.into_iter().filter(|(name, _)| name != SINCE);
                Cursor(by_time.append_pair(SINCE, from).extend_pairs(counted).finish())
            }
            None => next,
        },
    }
}

/// The time that a cursor begins from.
pub(super) fn since_of(cursor: &Cursor) -> Option<String> {
    parameters(cursor)?.into_iter().find_map(|(name, value)| (name == SINCE).then_some(value))
}

/// The address in `<address>; rel="next"`, for any relation.
fn target<'h>(headers: &'h HeaderMap, relation: &str) -> Option<&'h str> {
    let links = headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|links| links.split(',')).find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let told = parameters.split(';').filter_map(|parameter| parameter.trim().strip_prefix("rel="));
        told.map(|told| told.trim_matches('"')).any(|told| told == relation).then_some(target)
    })
}

/// The parameters of a cursor; none, where it is no cursor of this codec.
pub(super) fn parameters(cursor: &Cursor) -> Option<Vec<(String, String)>> {
    let pairs: Vec<_> = form_urlencoded::parse(cursor.0.as_bytes()).into_owned().collect();
    let known = pairs.iter().all(|(name, value)| PAGING.contains(&name.as_str()) && !value.is_empty());
    (known && !pairs.is_empty() && cursor.0.len() <= MAX_CURSOR_BYTES).then_some(pairs)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use http::HeaderValue;

    use super::*;

    fn cursor(link: &'static str) -> Result<Option<Cursor>, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LINK, HeaderValue::from_static(link));
        next(&headers)
    }

    #[test]
    fn a_cursor_keeps_the_paging_parameters_and_no_address() {
        let link = r#"<https://evil.example/repositories/1/issues?state=all&page=3&per_page=9>; rel="next", <https://x/?page=9>; rel="last""#;
        assert_eq!(cursor(link).unwrap(), Some(Cursor("page=3".to_owned())));
        let link = "<https://api.github.com/x?after=Y3Vyc29y%3D%3D&page=2>; rel=\"next\"";
        let next = cursor(link).unwrap().unwrap();
        assert_eq!(
            parameters(&next).unwrap(),
            [("after".to_owned(), "Y3Vyc29y==".to_owned()), ("page".to_owned(), "2".to_owned())]
        );
        assert_eq!(cursor("<https://x/?page=1>; rel=\"prev\"").unwrap(), None);
        assert!(cursor("<https://x/?offset=1>; rel=\"next\"").is_err());
        assert!(cursor("<not an address>; rel=\"next\"").is_err());
    }

    #[test]
    fn s43_the_last_page_says_how_many_follow() {
        let more = |link: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::LINK, HeaderValue::from_static(link));
            super::more(&headers)
        };
        assert_eq!(more(r#"<https://x/?page=3>; rel="next", <https://x/?page=9&per_page=5>; rel="last""#), Some(7));
        assert_eq!(more(r#"<https://x/?page=9>; rel="next", <https://x/?page=9>; rel="last""#), Some(1));
        assert_eq!(more(r#"<https://x/?page=9>; rel="next", <https://x/?page=3>; rel="last""#), None, "nonsense");
        assert_eq!(more(r#"<https://x/?after=abc>; rel="next""#), None, "pages that aren't counted");
        assert_eq!(more(r#"<https://x/?page=8>; rel="prev""#), Some(0));
        assert_eq!(super::more(&HeaderMap::new()), Some(0));
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        for text in ["", "https://evil.example/?page=2", "page", "page=", "page=2&state=all", "//evil.example"] {
            assert_eq!(parameters(&Cursor(text.to_owned())), None, "{text}");
        }
    }

    #[test]
    fn s24_a_list_by_time_goes_on_from_its_last_row() {
        let (first, last) = (DateTime::from_timestamp(1_780_000_000, 0), DateTime::from_timestamp(1_780_000_009, 0));
        let next = || Cursor("page=2".to_owned());
        assert_eq!(after(next(), None, last), Cursor("since=2026-05-28T20%3A26%3A49Z".to_owned()));
        let from = first.map(since_text);
        assert_eq!(after(next(), from.as_deref(), last), Cursor("since=2026-05-28T20%3A26%3A49Z".to_owned()));
        // A page of one second only is counted on, or it would be read for ever.
        let counted = Cursor("since=2026-05-28T20%3A26%3A40Z&page=2".to_owned());
        assert_eq!(after(next(), from.as_deref(), first), counted);
        assert_eq!(since_of(&counted), from);
        assert_eq!(after(next(), None, None), next());
    }
}
