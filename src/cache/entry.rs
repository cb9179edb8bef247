//! What is kept of an answer: one block of bytes for the head, one for the body, and the facts to judge it by. A hit
//! writes the blocks as they are; a header map would cost 8 KiB an entry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderName};

use super::control::no_cache_fields;
use super::policy::{Facts, Storable};
use super::status::without_ours;
use super::vary::Selecting;

/// Bytes an entry costs beside key, head, body and selecting fields: its own struct, the list of variants, the store's
/// slot and the allocator (measured, cache.md 8).
pub const OVERHEAD: usize = 500;

const CACHE_STATUS: &[u8] = b"Cache-Status";

/// A stored answer.
#[derive(Clone, Debug)]
pub struct Entry {
    rule: Arc<str>,
    head: Bytes,
    body: Bytes,
    facts: Facts,
    selecting: Selecting,
}

impl Entry {
    /// Makes the entry of an answer that may be stored and whose body is whole.
    ///
    /// `headers` and `fields` are the same head: the map to look names up, the fields with order and spelling as they
    /// came. Fields of one connection, what [`never_stored`] names and what `no-cache="..."` lists are left out;
    /// `Content-Length` is set to the real one; what an upstream's own caches say in `Cache-Status` comes last, in one line, for
    /// ours to follow. The parts of the body are copied: they may pin larger buffers.
    pub fn new<'a>(
        rule: Arc<str>,
        storable: Storable,
        headers: &HeaderMap,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: &[Bytes],
    ) -> Self {
        Self::assembled(rule, storable, headers, fields, body.concat().into())
    }

    /// The same body under another head; as [`Self::new`] otherwise.
    #[must_use]
    pub fn with_head(&self, storable: Storable, headers: &HeaderMap) -> Self {
        let fields = headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        Self::assembled(Arc::clone(&self.rule), storable, headers, fields, self.body.clone())
    }

    fn assembled<'a>(
        rule: Arc<str>,
        storable: Storable,
        headers: &HeaderMap,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: Bytes,
    ) -> Self {
        let mut head = Vec::with_capacity(512);
        let dropped = dropped_names(headers);
        // an answer without content has no length (RFC 9110 8.6)
        let mut length = (storable.facts.status != 204).then(|| body.len().to_string());
        let mut others = Vec::new();
        for (name, value) in fields {
            if never_stored(name) || dropped.iter().any(|d| d.eq_ignore_ascii_case(name)) || !is_field(name, value) {
            } else if name.eq_ignore_ascii_case(b"content-length") {
                if let Some(length) = length.take() {
                    push(&mut head, name, length.as_bytes());
                }
            } else if name.eq_ignore_ascii_case(b"cache-status") {
                others.extend(without_ours(value));
            } else {
                push(&mut head, name, value);
            }
        }
        if let Some(length) = length {
            push(&mut head, b"Content-Length", length.as_bytes());
        }
        if !others.is_empty() {
            push(&mut head, CACHE_STATUS, &others.join(&b", "[..]));
        }
        // a boxed slice has no spare capacity: what is counted is what is held
        Self { rule, head: head.into_boxed_slice().into(), body, facts: storable.facts, selecting: storable.selecting }
    }

    /// The same, not fresh from now on.
    #[must_use]
    pub fn softened(&self, now: Instant) -> Self {
        let softened = Some(self.facts.softened.unwrap_or(now));
        Self { facts: Facts { softened, ..self.facts }, ..self.clone() }
    }

    /// Name of the rule it is stored under.
    #[must_use]
    pub const fn rule(&self) -> &Arc<str> {
        &self.rule
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.facts.status
    }

    /// Its head as `Name: value` lines, each with CR LF, without status line and final empty line.
    #[must_use]
    pub const fn head(&self) -> &Bytes {
        &self.head
    }

    /// Its head without the line of `Cache-Status`, and what that says.
    #[must_use]
    pub fn head_and_status(&self) -> (&[u8], Option<&str>) {
        let lines = self.head.strip_suffix(b"\r\n").unwrap_or(&self.head);
        let last = memchr::memrchr(b'\n', lines).map_or(0, |at| at + 1);
        let status = lines[last..].strip_prefix(CACHE_STATUS).and_then(|value| std::str::from_utf8(value.strip_prefix(b": ")?).ok());
        status.map_or((&self.head, None), |status| (&self.head[..last], Some(status)))
    }

    /// Its body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// What it said, and when.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Which requests it answers.
    #[must_use]
    pub const fn selecting(&self) -> &Selecting {
        &self.selecting
    }

    /// How old it is; sent in whole seconds as `Age` and `X-Cache-Age`.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        self.facts.age(now)
    }

    /// Bytes it costs, without its key.
    #[must_use]
    pub fn weight(&self) -> u64 {
        (self.head.len() + self.body.len() + self.selecting.weight() + OVERHEAD) as u64
    }

    /// The first line of a field.
    #[must_use]
    pub fn field(&self, name: &HeaderName) -> Option<&[u8]> {
        self.headers().find(|(stored, _)| stored.eq_ignore_ascii_case(name.as_str())).map(|(_, value)| value)
    }

    /// Its header fields, in the order and spelling they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.head.split(|b| *b == b'\n').filter_map(|line| {
            let line = line.strip_suffix(b"\r")?;
            let colon = line.iter().position(|b| *b == b':')?;
            Some((std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 2..]))
        })
    }
}

/// Fields of an answer that are never stored nor passed on: those of one connection (RFC 9110 7.6.1), and those that
/// only this proxy may state. Of a `Cache-Status`, [`without_ours`] removes what claims to be us.
#[must_use]
pub fn never_stored(name: &[u8]) -> bool {
    const NAMES: [&str; 9] =
        ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "age", "x-dedup", "x-request-id"];
    const PREFIXES: [&str; 2] = ["proxy-", "x-cache"];
    NAMES.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
        || PREFIXES.iter().any(|p| name.get(..p.len()).is_some_and(|start| start.eq_ignore_ascii_case(p.as_bytes())))
}

/// What this answer's `Connection` names, and what its `no-cache="..."` does.
fn dropped_names(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let mut names = no_cache_fields(headers);
    let options = headers.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
    names.extend(options.map(|option| option.trim_ascii().to_vec()));
    names
}

/// No field read from a connection fails this; the block must stay a sequence of lines whoever fills it.
fn is_field(name: &[u8], value: &[u8]) -> bool {
    http::HeaderName::from_bytes(name).is_ok() && http::HeaderValue::from_bytes(value).is_ok()
}

fn push(head: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    head.extend_from_slice(name);
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::cache::control::Directives;
    use crate::clock::Clock;

    fn entry(status: u16, fields: &[(&str, &[u8])], body: &[Bytes]) -> Entry {
        let clock = Clock::manual();
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        let initial_age = Duration::from_secs(7);
        let facts = Facts {
            status,
            directives: Directives::default(),
            initial_age,
            received: clock.now(),
            date: None,
            token_left: None,
            softened: None,
        };
        let storable = Storable { facts, selecting: Selecting::default() };
        Entry::new("r".into(), storable, &headers, fields.iter().map(|(name, value)| (name.as_bytes(), *value)), body)
    }

    #[test]
    fn the_head_is_kept_as_it_came_but_for_what_is_never_stored() {
        let fields: [(&str, &[u8]); 19] = [
            ("Content-TYPE", b"text/plain"),
            ("Connection", b"x-hop, close"),
            ("Keep-Alive", b"timeout=5"),
            ("X-Hop", b"1"),
            ("Transfer-Encoding", b"chunked"),
            ("Proxy-Authenticate", b"Basic"),
            ("X-B", b"1"),
            ("Age", b"9"),
            ("content-length", b"999"),
            ("X-Cache", b"SPOOF"),
            ("x-cache-age", b"5"),
            ("cache-Status", b"up; hit, edge-sidecar; hit"),
            ("X-Request-Id", b"of-the-function"),
            ("X-B", b"2\xff"),
            ("Content-Length", b"999"),
            ("Cache-Tag", b"a"),
            ("Cache-Control", b"no-cache=\"x-once\""),
            ("X-Once", b"1"),
            ("Cache-Status", b"far; fwd=miss"),
        ];
        let entry = entry(200, &fields, &[Bytes::from_static(b"he"), Bytes::from_static(b"llo")]);
        let expected: &[u8] = b"Content-TYPE: text/plain\r\nX-B: 1\r\ncontent-length: 5\r\nX-B: 2\xff\r\n\
            Cache-Tag: a\r\nCache-Control: no-cache=\"x-once\"\r\nCache-Status: up; hit, far; fwd=miss\r\n";
        assert_eq!(&**entry.head(), expected);
        assert_eq!(&**entry.body(), b"hello");
        assert_eq!(entry.headers().map(|(name, _)| name).collect::<Vec<_>>()[..3], ["Content-TYPE", "X-B", "content-length"]);
        assert_eq!(entry.headers().nth(3), Some(("X-B", &b"2\xff"[..])));
        let (head, status) = entry.head_and_status();
        assert_eq!((head.len(), status), (expected.len() - 38, Some("up; hit, far; fwd=miss")));
        assert_eq!(entry.weight(), (expected.len() + 5 + OVERHEAD) as u64);
    }

    #[test]
    fn a_length_is_added_where_there_is_none() {
        assert_eq!(entry(404, &[], &[]).head_and_status(), (&b"Content-Length: 0\r\n"[..], None));
        assert_eq!(entry(204, &[], &[]).head_and_status(), (&b""[..], None));
        assert_eq!(&**entry(404, &[("A", b"")], &[]).head(), b"A: \r\nContent-Length: 0\r\n");
        assert_eq!(&**entry(204, &[("Content-Length", b"0"), ("A", b"b")], &[]).head(), b"A: b\r\n");
    }

    #[test]
    fn it_ages_from_its_age_on_arrival() {
        let entry = entry(200, &[], &[]);
        let received = entry.facts().received;
        assert_eq!(entry.age(received + Duration::from_secs(3)), Duration::from_secs(10));
        let before = received.checked_sub(Duration::from_secs(1)).unwrap_or(received);
        assert_eq!(entry.age(before), Duration::from_secs(7), "never below");
    }

    #[test]
    fn the_overhead_covers_the_struct() {
        assert!(size_of::<Entry>() + 2 * size_of::<usize>() < OVERHEAD / 2, "{}", size_of::<Entry>());
    }

    proptest! {
        #[test]
        fn fields_read_back_are_the_fields_written(fields in prop::collection::vec(("[a-zA-Z-]{1,6}", "[ -~]{0,9}"), 0..6)) {
            let given: Vec<(&str, &[u8])> = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            let entry = entry(204, &given, &[]);
            let expected: Vec<_> = given.iter().filter(|(name, _)| !never_stored(name.as_bytes())).copied().collect();
            prop_assert_eq!(entry.headers().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn no_bytes_break_a_line(name: Vec<u8>, value: Vec<u8>) {
            let clock = Clock::manual();
            let facts = Facts {
                status: 200, directives: Directives::default(), initial_age: Duration::ZERO, received: clock.now(), date: None, token_left: None, softened: None,
            };
            let storable = Storable { facts, selecting: Selecting::default() };
            let entry = Entry::new("r".into(), storable, &HeaderMap::new(), [(&name[..], &value[..])], &[]);
            prop_assert!(entry.headers().count() <= 2);
            prop_assert_eq!(entry.head().windows(2).filter(|w| w == b"\r\n").count(), entry.headers().count());
        }
    }
}
