//! Paging: from a `Link` header to an opaque cursor, and from a cursor to parameters.

use http::{HeaderMap, header};
use url::Url;
use url::form_urlencoded::{self, Serializer};

use crate::contract::Cursor;

/// The parameters by which GitHub pages. Nothing else of a link is kept: a cursor can't name a host or a path.
const PAGING: &[&str] = &["page", "after", "before", "cursor"];
const MAX_CURSOR_BYTES: usize = 4096;

/// Where the list goes on, by the answer's headers.
///
/// # Errors
/// The link to the next page has no paging parameter that krate knows.
pub(super) fn next(headers: &HeaderMap) -> Result<Option<Cursor>, &'static str> {
    let Some(target) =
        headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok()).find_map(next_target)
    else {
        return Ok(None);
    };
    let url = Url::parse(target).map_err(|_| "the link to the next page is no address")?;
    let kept: Vec<_> = url.query_pairs().filter(|(name, _)| PAGING.contains(&name.as_ref())).collect();
    let cursor = Serializer::new(String::new()).extend_pairs(&kept).finish();
    if cursor.is_empty() || cursor.len() > MAX_CURSOR_BYTES {
        return Err("the link to the next page has no known paging parameter");
    }
    Ok(Some(Cursor(cursor)))
}

/// The address in `<address>; rel="next"`.
fn next_target(links: &str) -> Option<&str> {
    links.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim();
            parameter == "rel=\"next\"" || parameter == "rel=next"
        });
        is_next.then_some(target)
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
    fn a_foreign_cursor_is_refused() {
        for text in ["", "https://evil.example/?page=2", "page", "page=", "page=2&state=all", "//evil.example"] {
            assert_eq!(parameters(&Cursor(text.to_owned())), None, "{text}");
        }
    }
}
