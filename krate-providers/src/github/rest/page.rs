//! Paging: from a `Link` header to an opaque cursor, and from a cursor to parameters.
//!
//! Pages that are counted shift: an object that is updated while a list by update time is read moves to its end, all after it move up by one, and
//! the first of the next page is never seen. Lists that can be asked for by time go on from the time of the last row instead (S24). Where one second has more
//! rows than a page, they are counted all the same, but each page has to show the last row of the one before again. Pull requests can't be asked for by
//! time; they are sorted by age, which no update changes.

use chrono::SecondsFormat;
use http::{HeaderMap, header};
use krate_model::kinds::shared::Time;
use krate_model::observation::{CanonicalEvent, Normalized};
use url::Url;
use url::form_urlencoded::{self, Serializer};

use super::super::manifest::MAX_PAGE_SIZE;
use crate::contract::{Call, Cursor};

/// The parameters by which GitHub pages. Nothing else of a link is kept: a cursor can't name a host or a path.
pub(super) const PAGING: &[&str] = &["page", "after", "before", "cursor", SINCE];
/// From which time on a list goes, in whole seconds.
pub(super) const SINCE: &str = "since";
/// krate's own, for [`Counted`].
const COVERED: &str = "covered";
const ANCHOR: &str = "anchor";
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

/// Where a list by update time goes on behind the `rows` of one of its pages, where `next` is what GitHub says of it.
pub(super) fn after(call: &Call<'_>, next: Option<Cursor>, rows: &[CanonicalEvent<'_>]) -> Option<Cursor> {
    let from = call.cursor.and_then(since_of).or_else(|| call.since.map(since_text));
    let counted = call.cursor.and_then(Counted::read);
    let window = counted.as_ref().map(|counted| Window::behind(counted.covered, page_size(call)));
    if let (Some(counted), Some(window), Some(from)) = (&counted, window, &from)
        && window.overlaps
        && !rows.iter().any(|row| id_of(row).as_ref() == Some(&counted.anchor) && second_of(row).as_ref() == Some(from))
    {
        // Something before it is gone from there, or it is itself, and what moved up was never shown: the second is read again.
        return Some(by_time(from));
    }
    let next = next?;
    let last = rows.last().and_then(|row| Some((second_of(row)?, id_of(row))));
    match (last, from) {
        (Some((last, _)), from) if from.as_deref() != Some(&*last) => Some(by_time(&last)),
        // A whole page of one second: only its count leads on.
        (Some((_, Some(anchor))), Some(from)) if is_counted(&next) => {
            let start = window.map_or(0, Window::start);
            Some(Counted { covered: start.saturating_add(rows.len()), anchor }.cursor(&from))
        }
        (_, Some(from)) => {
            let others = parameters(&next).unwrap_or_default().into_iter().filter(|(name, _)| name != SINCE);
            Some(Cursor(Serializer::new(String::new()).append_pair(SINCE, &from).extend_pairs(others).finish()))
        }
        (_, None) => Some(next),
    }
}

/// The second that a row was last changed in.
fn second_of(row: &CanonicalEvent<'_>) -> Option<String> {
    row.observed_version.updated_at.map(since_text)
}

/// What a row is told by: its id, or its number where a pull request among the issues has no id of its own there (S8).
fn id_of(row: &CanonicalEvent<'_>) -> Option<String> {
    match &row.normalized {
        _ if !row.native_id.is_empty() => Some(row.native_id.to_string()),
        Normalized::PullRequest(pull) => pull.number.map(|number| format!("#{number}")),
        _ => None,
    }
}

fn by_time(since: &str) -> Cursor {
    Cursor(Serializer::new(String::new()).append_pair(SINCE, since).finish())
}

/// Whether a cursor counts pages; GitHub has others, which name a row themselves.
fn is_counted(cursor: &Cursor) -> bool {
    parameters(cursor).is_some_and(|all| all.iter().any(|(name, _)| name == "page"))
}

/// How many rows a call asks for at most.
pub(super) fn page_size(call: &Call<'_>) -> usize {
    usize::from(call.page_size.unwrap_or(MAX_PAGE_SIZE).clamp(1, MAX_PAGE_SIZE))
}

/// The place in a list where one second has more rows than a page.
pub(super) struct Counted {
    /// So many rows of the second were shown.
    covered: usize,
    /// The native id of the last of them, which has to be shown again: else what follows has moved up since.
    anchor: String,
}

impl Counted {
    pub(super) fn read(cursor: &Cursor) -> Option<Self> {
        let all = parameters(cursor)?;
        let find = |wanted: &str| all.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        Some(Self { covered: find(COVERED)?.parse().ok()?, anchor: find(ANCHOR)?.clone() })
    }

    fn cursor(&self, since: &str) -> Cursor {
        let mut text = Serializer::new(String::new());
        text.append_pair(SINCE, since).append_pair(COVERED, &self.covered.to_string());
        Cursor(text.append_pair(ANCHOR, &self.anchor).finish())
    }

    /// The page that shows the anchor, and what follows it.
    pub(super) fn window(&self, call: &Call<'_>) -> Window {
        Window::behind(self.covered, page_size(call))
    }
}

/// A page by its number and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) page: usize,
    pub(super) size: usize,
    /// Whether it begins before what follows.
    overlaps: bool,
}

impl Window {
    /// The largest page of at most `most` rows that has the last of the first `covered` rows and more. Where every size divides their number, which is so for
    /// tiny pages only, it has what follows alone.
    fn behind(covered: usize, most: usize) -> Self {
        let inside = |size: &usize| covered.checked_rem(*size).is_some_and(|rest| rest != 0);
        let found = (2..=most).rev().find(inside);
        let size = found.unwrap_or(most).max(1);
        Self { page: covered.checked_div(size).unwrap_or(0).saturating_add(1), size, overlaps: found.is_some() }
    }

    /// How many rows come before it.
    fn start(self) -> usize {
        self.page.saturating_sub(1).saturating_mul(self.size)
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
    let known = |name: &str| PAGING.contains(&name) || [COVERED, ANCHOR].contains(&name);
    let known = pairs.iter().all(|(name, value)| known(name) && !value.is_empty());
    (known && !pairs.is_empty() && cursor.0.len() <= MAX_CURSOR_BYTES).then_some(pairs)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use http::HeaderValue;
    use krate_model::kinds::sets::Operation;
    use krate_model::kinds::sets::{EventAction, Interface};
    use krate_model::kinds::shared::NativeTarget;
    use krate_model::kinds::shared::Version;
    use krate_model::observation::{IssueObserved, ResourceKind};

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

    /// Where a page goes on, of rows with these ids, all of the second `at`.
    fn goes_on(cursor: Option<&str>, next: Option<&str>, ids: &[usize], at: i64) -> Option<String> {
        goes_on_from(cursor, next, &ids.iter().map(|id| row(*id, at)).collect::<Vec<_>>())
    }

    fn goes_on_from(cursor: Option<&str>, next: Option<&str>, rows: &[CanonicalEvent<'_>]) -> Option<String> {
        let cursor = cursor.map(|text| Cursor(text.to_owned()));
        let target = NativeTarget {
            native_kind: "repository".to_owned(),
            native_id: None,
            native_number: None,
            container: BTreeMap::new(),
        };
        let mut call = Call::new(Operation::ListIssues, &target);
        (call.cursor, call.page_size) = (cursor.as_ref(), Some(4));
        call.since = DateTime::from_timestamp(1_780_000_000, 0);
        after(&call, next.map(|next| Cursor(next.to_owned())), rows).map(|cursor| cursor.0)
    }

    fn row(id: usize, at: i64) -> CanonicalEvent<'static> {
        let version = Version { updated_at: DateTime::from_timestamp(at, 0), ..Version::default() };
        CanonicalEvent {
            ordinal: 0,
            interface: Interface::IssueTracking,
            resource_kind: ResourceKind::Issue,
            native_kind: "issue".into(),
            native_id: id.to_string().into(),
            node_id: None,
            action: EventAction::Updated,
            native_action: None,
            event_time: None,
            observed_version: version,
            complete: true,
            actor: None,
            normalized: Normalized::Issue(IssueObserved::default()),
        }
    }

    const FROM: &str = "since=2026-05-28T20%3A26%3A40Z";

    #[test]
    fn s24_a_list_by_time_goes_on_from_its_last_row() {
        let later = goes_on(None, Some("page=2"), &[1, 2, 3, 4], 1_780_000_009);
        assert_eq!(later.as_deref(), Some("since=2026-05-28T20%3A26%3A49Z"));
        assert_eq!(goes_on(None, None, &[1, 2, 3], 1_780_000_009), None, "that was the last page");
        let after = goes_on(None, Some("after=Y3Vyc29y"), &[1, 2, 3, 4], 1_780_000_000);
        assert_eq!(after, Some(format!("{FROM}&after=Y3Vyc29y")), "a cursor that names a row doesn't shift");
    }

    /// A page of one second only is counted on, or it would be read for ever.
    #[test]
    fn s24_a_page_that_is_counted_shows_the_last_row_of_the_one_before_again() {
        let counted = goes_on(None, Some("page=2"), &[1, 2, 3, 4], 1_780_000_000).unwrap();
        assert_eq!(counted, format!("{FROM}&covered=4&anchor=4"));
        // Of three rows each, the second page begins with the fourth.
        let known = Counted::read(&Cursor(counted.clone())).unwrap();
        let window = Window::behind(known.covered, 4);
        assert_eq!(window, Window { page: 2, size: 3, overlaps: true });
        let more = goes_on(Some(&counted), Some("page=3"), &[4, 5, 6], 1_780_000_000);
        assert_eq!(more, Some(format!("{FROM}&covered=6&anchor=6")));
        assert_eq!(goes_on(Some(&counted), None, &[4, 5], 1_780_000_000), None);
        let rows = [row(4, 1_780_000_000), row(5, 1_780_000_000), row(6, 1_780_000_009)];
        let later = goes_on_from(Some(&counted), Some("page=3"), &rows);
        assert_eq!(later.as_deref(), Some("since=2026-05-28T20%3A26%3A49Z"));
        // One of the first four has changed since: the fifth moved up, and nobody was shown it.
        for next in [Some("page=3"), None] {
            assert_eq!(goes_on(Some(&counted), next, &[6, 7], 1_780_000_000).as_deref(), Some(FROM), "{next:?}");
        }
        // The fourth itself has, and stands further behind in the same page: that isn't where it was.
        for next in [Some("page=3"), None] {
            assert_eq!(goes_on(Some(&counted), next, &[8, 9, 4], 1_780_000_009).as_deref(), Some(FROM), "{next:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn s24_a_window_has_the_last_row_and_more(covered in 1_usize..2_000, most in 1_usize..=100) {
            let window = Window::behind(covered, most);
            let end = window.start() + window.size;
            proptest::prop_assert!(window.size <= most && window.start() <= covered && end > covered, "{window:?}");
            proptest::prop_assert_eq!(window.overlaps, window.start() < covered);
            // Pages of GitHub's size always can.
            proptest::prop_assert!(window.overlaps || most < 100);
        }
    }
}
