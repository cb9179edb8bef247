//! Heads and their verdicts.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { bytes: 4096, fields: 20 };
const KEPT: Result<bool, Reason> = Ok(false);
const CLOSES: Result<bool, Reason> = Ok(true);

/// The verdict of a whole head, given without its last empty line: whether it closes, or why it is refused.
fn verdict(head: &[u8]) -> Result<bool, Reason> {
    let bytes = [head, b"\r\n"].concat();
    match judge(&bytes, &LIMITS) {
        Head::Fine(Fine { len, closes }) => {
            assert_eq!(len, bytes.len());
            Ok(closes)
        }
        Head::Refused(reason) => Err(reason),
        Head::Incomplete => panic!("not complete: {}", bytes.escape_ascii()),
    }
}

fn with(fields: &str) -> Vec<u8> {
    format!("POST /a HTTP/1.1\r\nHost: a\r\n{fields}").into_bytes()
}

#[test]
fn request_lines() {
    for (line, expected) in [
        ("GET / HTTP/1.1", KEPT),
        ("GET /a\"?b=c&d[]={x}|^` HTTP/1.1", KEPT),
        ("GET /a?text=one%0D%0Atwo%00 HTTP/1.1", KEPT),
        ("GET //a/../b;c=%2f%2F%41 HTTP/1.1", KEPT),
        ("OPTIONS * HTTP/1.1", KEPT),
        ("PURGE /a HTTP/1.1", KEPT),
        ("GET * HTTP/1.1", Err(Reason::Target)),
        ("GET a HTTP/1.1", Err(Reason::Target)),
        ("GET http://a/ HTTP/1.1", Err(Reason::Target)),
        ("GET ?a HTTP/1.1", Err(Reason::Target)),
        ("GET /a#b HTTP/1.1", Err(Reason::Target)),
        ("GET /a\\b HTTP/1.1", Err(Reason::Target)),
        ("GET /a` HTTP/1.1", Err(Reason::Target)),
        ("GET /a?b=\" HTTP/1.1", Err(Reason::Target)),
        ("GET /a<b HTTP/1.1", Err(Reason::Target)),
        ("GET /a?b=> HTTP/1.1", Err(Reason::Target)),
        ("GET /%00 HTTP/1.1", Err(Reason::Target)),
        ("GET /a%0D%0A HTTP/1.1", Err(Reason::Target)),
        ("GET /a%0a HTTP/1.1", Err(Reason::Target)),
        ("GET /\u{e9} HTTP/1.1", Err(Reason::Target)),
        ("CONNECT a:443 HTTP/1.1", Err(Reason::Method)),
        ("TRACE / HTTP/1.1", Err(Reason::Method)),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1", Err(Reason::Method)),
        ("GET  / HTTP/1.1", Err(Reason::RequestLine)),
        ("GET\t/ HTTP/1.1", Err(Reason::RequestLine)),
        (" GET / HTTP/1.1", Err(Reason::RequestLine)),
        ("G(T / HTTP/1.1", Err(Reason::RequestLine)),
        ("GET /", Err(Reason::RequestLine)),
        ("GET /\0 HTTP/1.1", Err(Reason::RequestLine)),
        ("GET /\r HTTP/1.1", Err(Reason::RequestLine)),
        ("GET /a b HTTP/1.1", Err(Reason::Version)),
        ("GET / HTTP/1.1 ", Err(Reason::LineEnding)),
        ("GET / http/1.1", Err(Reason::Version)),
        ("GET / HTTP/1.2", Err(Reason::Version)),
        ("GET / HTTP/2.0", Err(Reason::Version)),
        ("PRI * HTTP/2.0", Err(Reason::Version)),
    ] {
        assert_eq!(verdict(format!("{line}\r\nHost: a\r\n").as_bytes()), expected, "{line}");
    }
    let long = |n| verdict(format!("GET /{} HTTP/1.1\r\nHost: a\r\n", "x".repeat(n)).as_bytes());
    assert_eq!((long(4000), long(4096)), (KEPT, Err(Reason::HeaderTooLarge)));
}

#[test]
fn hosts() {
    let name = "a".repeat(255);
    for host in ["a", "A.b-c_d.example", "127.0.0.1:8080", "[::1]", "[2001:db8::1.2.3.4]:443", "a:0", "a:65535", &name] {
        assert_eq!(verdict(format!("GET / HTTP/1.1\r\nhOST:{host}\r\n").as_bytes()), KEPT, "{host}");
    }
    for host in [
        "", " ", "a,b", "a b", "a/b", "a@b", "u@a", "a:", "a:x", "a:65536", "a:1:2", ":80", "::1", "[::1", "[a]", "[]", "[::1]x", "[::1]:",
        "a?", "a#", "a\\b", "\u{e9}", "%61", "*",
    ] {
        assert_eq!(verdict(format!("GET / HTTP/1.1\r\nHost: {host}\r\n").as_bytes()), Err(Reason::Host), "{host}");
    }
    assert_eq!(verdict(b"GET / HTTP/1.1\r\n"), Err(Reason::Host));
    assert_eq!(verdict(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n"), Err(Reason::Host));
    assert_eq!(verdict(b"GET / HTTP/1.0\r\n"), KEPT);
    assert_eq!(verdict(b"GET / HTTP/1.0\r\nHost: a/b\r\n"), Err(Reason::Host));
}

#[test]
fn lengths_and_codings() {
    let (length, coding) = (Err(Reason::ContentLength), Err(Reason::TransferEncoding));
    for (fields, expected) in [
        ("", KEPT),
        ("Content-Length: 0\r\n", KEPT),
        ("content-length:  007 \t\r\n", KEPT),
        ("Content-Length: 9223372036854775807\r\n", KEPT),
        ("Content-Length: 9223372036854775808\r\n", length),
        ("Content-Length: 99999999999999999999\r\n", length),
        ("Content-Length:\r\n", length),
        ("Content-Length: +5\r\n", length),
        ("Content-Length: -5\r\n", length),
        ("Content-Length: 0x5\r\n", length),
        ("Content-Length: 5 5\r\n", length),
        ("Content-Length: 5, 5\r\n", length),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", length),
        ("Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n", length),
        ("Transfer-Encoding: chunked\r\n", CLOSES),
        ("TRANSFER-encoding:\tChunked \r\n", CLOSES),
        ("Transfer-Encoding: gzip, chunked\r\n", coding),
        ("Transfer-Encoding: chunked, chunked\r\n", coding),
        ("Transfer-Encoding: chunked,\r\n", coding),
        ("Transfer-Encoding: \"chunked\"\r\n", coding),
        ("Transfer-Encoding: xchunked\r\n", coding),
        ("Transfer-Encoding: \x0cchunked\r\n", Err(Reason::FieldValue)),
        ("Transfer-Encoding: identity\r\n", coding),
        ("Transfer-Encoding:\r\n", coding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", coding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", coding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", coding),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", coding),
        // not fields of framing to anybody who reads names as they are: dropped on the way (heads.rs)
        ("Transfer_Encoding: chunked\r\nContent_Length: 7\r\n", KEPT),
        ("Upgrade: websocket\r\n", CLOSES),
        ("upgrade: h2c\r\n", CLOSES),
    ] {
        assert_eq!(verdict(&with(fields)), expected, "{fields}");
    }
    assert_eq!(verdict(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n"), Err(Reason::TransferEncoding));
}

#[test]
fn fields_and_line_ends() {
    for (fields, expected) in [
        ("X: \u{e9}\r\nY:\r\nZ: a\tb\r\n", KEPT),
        ("X : a\r\n", Err(Reason::FieldName)),
        ("X\t: a\r\n", Err(Reason::FieldName)),
        ("X: a\r\n b\r\n", Err(Reason::FieldName)),
        ("X: a\r\n\tb\r\n", Err(Reason::FieldName)),
        (" X: a\r\n", Err(Reason::FieldName)),
        (": a\r\n", Err(Reason::FieldName)),
        ("X\r\n", Err(Reason::FieldName)),
        ("X(y): a\r\n", Err(Reason::FieldName)),
        ("\u{e9}: a\r\n", Err(Reason::FieldName)),
        ("X: a\0b\r\n", Err(Reason::FieldValue)),
        ("X: a\x7fb\r\n", Err(Reason::FieldValue)),
        ("X: a\rb\r\n", Err(Reason::FieldValue)),
        ("X: a\nY: b\r\n", Err(Reason::LineEnding)),
        ("X: a\n", Err(Reason::LineEnding)),
    ] {
        assert_eq!(verdict(&with(fields)), expected, "{}", fields.escape_debug());
    }
    for head in ["GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\n", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        assert_eq!(judge(head.as_bytes(), &LIMITS), Head::Refused(Reason::LineEnding), "{}", head.escape_debug());
    }
    // an empty line before the request is to be ignored (RFC 9112 2.2)
    assert_eq!(verdict(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n"), KEPT);
}

#[test]
fn limits_of_size_and_number() {
    let fields = |n: usize| with(&"X: y\r\n".repeat(n));
    assert_eq!((verdict(&fields(19)), verdict(&fields(20))), (KEPT, Err(Reason::TooManyHeaders)));
    let sized = |n: usize| with(&format!("X: {}\r\n", "y".repeat(n - with("").len() - 7)));
    assert_eq!(sized(4096).len() + 2, 4096);
    assert_eq!((verdict(&sized(4096)), verdict(&sized(4097))), (KEPT, Err(Reason::HeaderTooLarge)));
    let endless = |n| judge(&with(&"y".repeat(n)), &LIMITS);
    assert_eq!((endless(100), endless(4096)), (Head::Incomplete, Head::Refused(Reason::HeaderTooLarge)));
}

#[test]
fn what_follows_a_head_is_its_body_or_ends_the_connection() {
    let follows = |fields: &str, rest: &str| match judge(&[&*with(fields), b"\r\n", rest.as_bytes()].concat(), &LIMITS) {
        Head::Fine(Fine { len, closes }) => (len - with(fields).len(), closes),
        other => panic!("{other:?}"),
    };
    assert_eq!(follows("", ""), (2, false));
    assert_eq!(follows("", "GET"), (2, true));
    assert_eq!(follows("Content-Length: 3\r\n", "ab"), (2, false));
    assert_eq!(follows("Content-Length: 3\r\n", "abc"), (2, false));
    assert_eq!(follows("Content-Length: 3\r\n", "abcG"), (2, true));
}

#[test]
fn who_was_refused_is_told_as_far_as_it_is_known() {
    for (head, expected) in [
        ("GET /a?secret HTTP/1.1\r\nHost: a,b\r\n", Some(("GET", "/a"))),
        ("\r\nPOST /a HTTP/9\r\n", Some(("POST", "/a"))),
        ("GET /a", Some(("GET", "/a"))),
        ("GET http://a/?b HTTP/1.1\r\n", None),
        ("G\x1bT / HTTP/1.1\r\n", None),
        ("GET", None),
        ("", None),
    ] {
        assert_eq!(request_line(head.as_bytes()), expected, "{head}");
    }
}

proptest! {
    /// What is fine is fine in any pieces, and only as a whole: no prefix of it is judged to be complete.
    #[test]
    fn a_prefix_of_a_fine_head_is_incomplete(path in "/[a-z%0-9]{0,20}", value in "[ -~]{0,40}", length in 0..1000_u32) {
        let head = format!("PUT {path} HTTP/1.1\r\nHost: a\r\nX: {value}\r\nContent-Length: {length}\r\n\r\n");
        if let Head::Fine(Fine { len, .. }) = judge(head.as_bytes(), &LIMITS) {
            prop_assert_eq!(len, head.len());
            for end in 0..len {
                prop_assert_eq!(judge(&head.as_bytes()[..end], &LIMITS), Head::Incomplete);
            }
        }
    }

    /// Whatever comes, the verdict is given, and what is fine ends in an empty line and has one host.
    #[test]
    fn arbitrary_bytes_are_judged(bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), any::<u8>()], 0..300)) {
        for start in [&b""[..], b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST /a HTTP/1.1\r\nTransfer-Encoding: "] {
            let bytes = [start, &bytes].concat();
            let _ = request_line(&bytes);
            if let Head::Fine(Fine { len, .. }) = judge(&bytes, &LIMITS) {
                prop_assert!(bytes[..len].ends_with(b"\r\n\r\n"));
            }
        }
    }
}
