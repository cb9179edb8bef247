//! Field lines (RFC 9112 5, RFC 9110 5.5): a token, a colon, a value without control characters; and not without end.

use crate::boundary::case::{Case, SMUGGLED, get, length, post, raw};

/// To be refused.
const REFUSED: &[(&str, &[u8])] = &[
    ("a space before the colon", b"X-A : b"),
    ("a tab before the colon", b"X-A\t: b"),
    ("a space in the name", b"X A: b"),
    ("no colon", b"X-A"),
    ("no colon, with a value", b"X-A b"),
    ("no name", b": b"),
    ("only a colon", b":"),
    ("folded with a space", b"X-A: b\r\n c"),
    ("folded with a tab", b"X-A: b\r\n\tc"),
    ("folded to nothing", b"X-A: b\r\n "),
    ("a NUL in a value", b"X-A: b\x00c"),
    ("a NUL in a name", b"X\x00A: b"),
    ("a bare CR in a value", b"X-A: b\rc"),
    ("a bare CR and a field", b"X-A: b\rX-B: c"),
    ("a bare CR before the line end", b"X-A: b\r\r\nX-B: c"),
    ("a bell in a value", b"X-A: b\x07"),
    ("an escape in a value", b"X-A: \x1b[31m"),
    ("a backspace in a value", b"X-A: b\x08"),
    ("a vertical tab in a value", b"X-A: b\x0bc"),
    ("a DEL in a value", b"X-A: b\x7f"),
    ("brackets in a name", b"X(A): b"),
    ("quotes in a name", b"\"X\": b"),
    ("a slash in a name", b"X/A: b"),
    ("an at sign in a name", b"X@A: b"),
    ("a byte above ASCII in a name", b"X\xe9: b"),
    ("UTF-8 in a name", "X\u{e9}: b".as_bytes()),
    ("a DEL in a name", b"X\x7f: b"),
    ("a request line among fields", b"GET $S HTTP/1.1"),
    ("a line of white space", b"X-A: b\r\n \r\nX-B: c"),
];

/// Passed on, or refused; never with the field in question.
const LOOK_ALIKES: &[(&str, &[u8], &[&str])] = &[
    ("a host's look-alike", b"X_Forwarded_Host: evil.test", &[]),
    ("a length's look-alike", b"Content_Length: 5", &["content_length"]),
    ("a coding's look-alike", b"transfer_encoding: chunked", &["transfer_encoding"]),
    ("a coding's look-alike, upper case", b"TRANSFER_ENCODING: chunked", &["transfer_encoding"]),
];

/// Passed on, or refused.
const MAY_ARRIVE: &[(&str, &[u8])] = &[
    ("a nomination of Host", b"Connection: Host"),
    ("a nomination of who asks", b"Connection: X-Forwarded-For"),
    ("twelve nominations", b"Connection: a, b, c, d, e, f, g, h, i, j, k, l"),
    ("a nomination of nothing", b"Connection: ,,,"),
    ("a nomination that is no token", b"Connection: a b"),
    ("close and keep-alive", b"Connection: close, keep-alive"),
];

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = REFUSED.iter().map(|(name, fields)| get(name, fields)).collect();
    cases.extend(LOOK_ALIKES.iter().map(|(name, fields, gone)| get(name, fields).may_arrive("GET", b"").without(gone)));
    cases.extend(MAY_ARRIVE.iter().map(|(name, fields)| get(name, fields).may_arrive("GET", b"")));
    let lines = |count: usize, size: usize| -> Vec<u8> {
        let value = "v".repeat(size);
        let lines: Vec<String> = (0..count).map(|n| format!("X-{n}: {value}")).collect();
        lines.join("\r\n").into_bytes()
    };
    let name = [&vec![b'n'; 40_000][..], b": b"].concat();
    let first = |line: &[u8]| [b"GET $T HTTP/1.1\r\n", line, b"\r\nHost: a.test\r\n\r\n"].concat();
    cases.extend([
        raw("white space before the first field", first(b" X-A: b")),
        raw("white space before the only Host", b"GET $T HTTP/1.1\r\n Host: a.test\r\n\r\n"),
        raw("a line of white space first", first(b" ")),
        raw("a bare LF between fields", first(b"X-A: b\nX-B: c")).tolerated("GET", b""),
        raw("a bare LF at the end", b"GET $T HTTP/1.1\r\nHost: a.test\n\n").tolerated("GET", b""),
        get("101 fields and Host", &lines(101, 1)),
        get("300 fields", &lines(300, 1)),
        get("5,000 fields", &lines(5_000, 1)),
        get("a value of 40 KB", &lines(1, 40_000)),
        get("a value of 400 KB", &lines(1, 400_000)),
        get("a head of 40 KB", &lines(80, 500)),
        get("a name of 40 KB", &name),
        post("a head of 40 KB before a body", &[&lines(80, 500)[..], b"\r\n", &length(SMUGGLED)].concat(), SMUGGLED),
        post("a refused field before a body", &[b"X-A : b\r\n", &length(SMUGGLED)[..]].concat(), SMUGGLED),
    ]);
    cases
}
