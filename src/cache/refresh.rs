//! What was stored and is not fresh any more: asked for with its validators, and renewed by a 304 (RFC 9111 4.3, cache.md 6).

use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE};
use http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Entry;
use super::policy::Storable;

/// Fields of a 304 that say nothing about the stored content: they describe the content it does not have.
const OF_CONTENT: [HeaderName; 5] = [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_TYPE, CONTENT_RANGE, HeaderName::from_static("content-md5")];

/// Whether an answer with this status and these fields can be asked for again by a validator. Only what succeeded: a function that
/// compares dates knows nothing of the redirect or the error it gave before.
#[must_use]
pub fn has_validator(status: u16, headers: &HeaderMap) -> bool {
    (200..300).contains(&status) && (headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED))
}

/// The conditions of a fetch that asks whether a stored answer is still good; none if it has no validator. As stored, `W/` kept.
#[must_use]
pub fn conditions(entry: &Entry) -> Vec<(HeaderName, HeaderValue)> {
    let of = |condition: HeaderName, validator: &HeaderName| {
        let stored = (200..300).contains(&entry.status()).then(|| entry.field(validator)).flatten();
        stored.and_then(|value| HeaderValue::from_bytes(value).ok()).map(|value| (condition, value))
    };
    [of(IF_NONE_MATCH, &ETAG), of(IF_MODIFIED_SINCE, &LAST_MODIFIED)].into_iter().flatten().collect()
}

/// Whether a 304 is about this stored answer: it was asked for, and names no other strong tag.
#[must_use]
pub fn is_about(not_modified: &HeaderMap, entry: &Entry) -> bool {
    let strong: Vec<&[u8]> =
        not_modified.get_all(ETAG).iter().map(|tag| tag.as_bytes().trim_ascii()).filter(|tag| tag.starts_with(b"\"")).collect();
    let mut stored = entry.headers().filter(|(name, _)| name.eq_ignore_ascii_case(ETAG.as_str())).map(|(_, tag)| tag).peekable();
    // one tag in common will do where a function sends several lines
    let differs = !strong.is_empty() && stored.peek().is_some() && !stored.any(|tag| strong.contains(&tag));
    !differs && !conditions(entry).is_empty()
}

/// The head of a stored answer after a 304: each field of the 304 in place of all stored lines of that name, except what describes
/// the content or belongs to the connection. A 304 without `Date` was made just now: the stored date is none of its.
#[must_use]
pub fn merged(entry: &Entry, not_modified: &HeaderMap) -> HeaderMap {
    let nominated: Vec<&[u8]> =
        not_modified.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii).collect();
    let counts = |name: &HeaderName| {
        let of_connection = name == CONNECTION || nominated.iter().any(|n| n.eq_ignore_ascii_case(name.as_str().as_bytes()));
        !of_connection && !OF_CONTENT.contains(name) && name != "transfer-encoding"
    };
    let mut head = HeaderMap::new();
    for (name, value) in entry.headers() {
        let field = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_bytes(value).ok());
        if let Some((name, value)) = field.filter(|(name, _)| *name != DATE && !(not_modified.contains_key(name) && counts(name))) {
            head.append(name, value);
        }
    }
    for (name, value) in not_modified.iter().filter(|(name, _)| counts(name)) {
        head.append(name, value.clone());
    }
    head
}

/// A stored answer under another head. `storable` as the new head was judged; `None` keeps what was known, for an answer that is given
/// once and not kept.
#[must_use]
pub fn renewed(entry: &Entry, head: &HeaderMap, storable: Option<Storable>) -> Entry {
    let known = || Storable { facts: *entry.facts(), selecting: entry.selecting().clone() };
    entry.with_head(storable.unwrap_or_else(known), head)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::policy::Facts;
    use super::super::vary::Selecting;
    use super::*;
    use crate::cache::control::Directives;
    use crate::clock::Clock;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn entry(status: u16, fields: &[(&'static str, &'static str)]) -> Entry {
        let facts = Facts {
            status,
            directives: Directives::default(),
            initial_age: std::time::Duration::ZERO,
            received: Clock::manual().now(),
            date: None,
            token_left: None,
            softened: None,
        };
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let storable = Storable { facts, selecting: Selecting::default() };
        Entry::new("r".into(), storable, &HeaderMap::new(), fields, &[Bytes::from_static(b"body")])
    }

    #[test]
    fn what_is_asked_with() {
        let of = |status, fields: &[(&'static str, &'static str)]| {
            let list: Vec<String> =
                conditions(&entry(status, fields)).iter().map(|(n, v)| format!("{n}: {}", v.to_str().expect("ascii"))).collect();
            assert_eq!(list.is_empty(), !has_validator(status, &headers(fields)));
            list.join("; ")
        };
        assert_eq!(of(200, &[("etag", "W/\"a\""), ("last-modified", "then")]), "if-none-match: W/\"a\"; if-modified-since: then");
        assert_eq!(of(204, &[("etag", "\"a\"")]), "if-none-match: \"a\"");
        for (status, fields) in [(301, &[("last-modified", "then")][..]), (404, &[("etag", "\"a\"")]), (200, &[("x", "y")])] {
            assert_eq!(of(status, fields), "");
        }
    }

    #[test]
    fn another_strong_tag_is_about_another_answer() {
        for (stored, told, expected) in [
            (&[("etag", "\"a\"")][..], &[][..], true),
            (&[("etag", "\"a\"")], &[("etag", "\"a\"")], true),
            (&[("etag", "\"a\"")], &[("etag", "\"b\"")], false),
            (&[("etag", "W/\"a\"")], &[("etag", "W/\"b\"")], true),
            (&[("etag", "\"a\""), ("etag", "\"b\"")], &[("etag", "\"b\"")], true),
            (&[("last-modified", "then")], &[("etag", "\"b\"")], true),
            (&[("x", "nothing to ask with")], &[], false),
        ] {
            assert_eq!(is_about(&headers(told), &entry(200, stored)), expected, "{stored:?} {told:?}");
        }
    }

    #[test]
    fn a_304_replaces_what_is_not_of_the_content() {
        let stored = entry(200, &[("A", "1"), ("A", "2"), ("B", "3"), ("Content-Type", "text/plain"), ("Date", "then"), ("N", "kept")]);
        let told = headers(&[("a", "9"), ("c", "4"), ("content-type", "x/y"), ("content-length", "0"), ("connection", "n"), ("n", "0")]);
        let head = merged(&stored, &told);
        let renewed = renewed(&stored, &head, None);
        let mut fields: Vec<_> = renewed.headers().map(|(n, v)| format!("{n}={}", String::from_utf8_lossy(v))).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["a=9", "b=3", "c=4", "content-length=4", "content-type=text/plain", "n=kept"]);
        assert_eq!((renewed.status(), &renewed.body()[..]), (200, &b"body"[..]));
    }
}
