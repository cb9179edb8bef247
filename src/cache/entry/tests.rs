//! What is kept of an answer, and that nothing breaks the block it is kept in.

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
    let fields: [(&str, &[u8]); 20] = [
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
        ("Set-Cookie", b"a=b"),
        ("Cache-Control", b"no-cache=\"x-once\""),
        ("X-Once", b"1"),
        ("Cache-Status", b"far; fwd=miss"),
    ];
    let entry = entry(200, &fields, &[Bytes::from_static(b"he"), Bytes::from_static(b"llo")]);
    let expected: &[u8] = b"Content-TYPE: text/plain\r\nX-B: 1\r\ncontent-length: 5\r\nX-B: 2\xff\r\n\
        Cache-Control: no-cache=\"x-once\"\r\nCache-Status: up; hit, far; fwd=miss\r\n";
    assert_eq!(&**entry.head(), expected);
    assert_eq!(&**entry.body(), b"hello");
    assert_eq!(entry.headers().map(|(name, _)| name).collect::<Vec<_>>()[..3], ["Content-TYPE", "X-B", "content-length"]);
    assert_eq!(entry.headers().nth(3), Some(("X-B", &b"2\xff"[..])));
    let (head, status) = entry.head_and_status();
    assert_eq!((head.len(), status), (expected.len() - 38, Some("up; hit, far; fwd=miss")));
    assert_eq!(entry.weight(), (allocated(expected.len()) + 16 + 16 + OVERHEAD) as u64);
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
    // with the two counts of its `Arc` it takes a block of 256 bytes: what was measured (benches/answers.rs)
    assert!(size_of::<Entry>() + 2 * size_of::<usize>() <= 256, "{}", size_of::<Entry>());
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
