//! What follows what on a connection: pipelined requests, refusals with something behind them, callers that leave early.

use crate::boundary::case::{Case, SMUGGLED, chunked, raw};

/// A valid request with a second one behind it: name, bytes, method and body of the first.
const PIPELINED: &[(&str, &[u8], &str, &[u8])] = &[
    ("two GET", b"GET $T HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET", b""),
    ("POST, then GET", b"POST $T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello", "POST", b"hello"),
    ("POST of nothing, then GET", b"POST $T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n", "POST", b""),
    ("POST without a length, then GET", b"POST $T HTTP/1.1\r\nHost: a.test\r\n\r\n", "POST", b""),
    ("HEAD, then GET", b"HEAD $T HTTP/1.1\r\nHost: a.test\r\n\r\n", "HEAD", b""),
    (
        "chunks, then GET",
        b"POST $T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST",
        b"hello",
    ),
    ("GET that closes, then GET", b"GET $T HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", "GET", b""),
    ("HTTP/1.0, then GET", b"GET $T HTTP/1.0\r\nHost: a.test\r\n\r\n", "GET", b""),
    ("HTTP/1.0 kept alive, then GET", b"GET $T HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n", "GET", b""),
    ("Expect, then GET", b"POST $T HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", "POST", b"hello"),
];

/// What is refused with a good request behind it, which must not be heard any more.
const REFUSED: &[(&str, &[u8])] = &[
    ("a bad Host, then GET", b"GET $T HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("two lengths, then GET", b"POST $T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"),
    ("a bad target, then GET", b"GET plain HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    ("a bad line, then GET", b"GET\r\n\r\n"),
    ("TRACE, then GET", b"TRACE $T HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    ("CONNECT, then GET", b"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n"),
    ("a fold, then GET", b"GET $T HTTP/1.1\r\nHost: a.test\r\nX-A: b\r\n c\r\n\r\n"),
    ("a bad chunk, then GET", b"POST $T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n"),
];

/// Sent to here, then the caller closes its half: nothing arrives whole.
const CUT: &[(&str, &[u8])] = &[
    ("nothing", b""),
    ("an empty line", b"\r\n"),
    ("half a method", b"GE"),
    ("a request line", b"GET $T HTTP/1.1\r\n"),
    ("a head without its end", b"GET $T HTTP/1.1\r\nHost: a.test\r\n"),
    ("a head without its last byte", b"GET $T HTTP/1.1\r\nHost: a.test\r\n\r"),
    ("no body", b"POST $T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n"),
    ("half a body", b"POST $T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhel"),
    ("no body after Expect", b"POST $T HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
    (
        "half a body that looks like a request",
        b"POST $T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 999\r\n\r\nGET $S HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ),
];

pub fn cases() -> Vec<Case> {
    let behind = |bytes: &[u8]| [bytes, SMUGGLED].concat();
    let pipelined = |(name, bytes, method, body): &(&'static str, &[u8], &'static str, &[u8])| {
        raw(name, behind(bytes)).arrives(method, body).pipelined()
    };
    let mut cases: Vec<Case> = PIPELINED.iter().map(pipelined).collect();
    cases.extend(REFUSED.iter().map(|(name, bytes)| raw(name, behind(bytes))));
    cases.extend(CUT.iter().map(|(name, bytes)| raw(name, *bytes).ends()));
    let good = b"GET $T HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let two = [
        b"POST $T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
        &b"POST $S HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"[..],
        &chunked(b"hello"),
    ]
    .concat();
    cases.extend([
        raw("GET, then bytes of no meaning", [&good[..], b"\x00\xff\r\n\r\n"].concat()).arrives("GET", b"").pipelined(),
        raw("GET, then an empty line", [&good[..], b"\r\n"].concat()).arrives("GET", b""),
        raw("GET, then an answer", [&good[..], b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"].concat()).arrives("GET", b"").pipelined(),
        raw("POST, then both framings", two).arrives("POST", b"hello").pipelined(),
    ]);
    cases
}
