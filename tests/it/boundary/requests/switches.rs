//! Methods, Expect and Upgrade (RFC 9110 7.8, 9.3, 10.1.1; RFC 9931): nothing leaves HTTP but a WebSocket that the function agrees to.

use crate::boundary::case::{Case, SMUGGLED, chunked, get, length, line, post, raw};

const WEBSOCKET: &[u8] =
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

/// To be refused.
const REFUSED: &[(&str, &[u8])] = &[
    ("CONNECT", b"CONNECT a.test:443 HTTP/1.1"),
    ("CONNECT with a path", b"CONNECT $T HTTP/1.1"),
    ("CONNECT with an asterisk", b"CONNECT * HTTP/1.1"),
    ("TRACE", b"TRACE $T HTTP/1.1"),
];

/// Methods that are passed on.
const METHODS: &[(&str, &[u8], &str)] = &[
    ("DELETE", b"DELETE $T HTTP/1.1", "DELETE"),
    ("OPTIONS", b"OPTIONS $T HTTP/1.1", "OPTIONS"),
    ("PROPFIND", b"PROPFIND $T HTTP/1.1", "PROPFIND"),
    ("a method with a hyphen", b"M-SEARCH $T HTTP/1.1", "M-SEARCH"),
    ("a method nobody knows", b"PURGE $T HTTP/1.1", "PURGE"),
    ("HEAD", b"HEAD $T HTTP/1.1", "HEAD"),
];

/// Offers that are not taken up: passed on without them.
const OFFERS: &[(&str, &[u8])] = &[
    ("h2c", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
    ("h2c without its settings", b"Connection: Upgrade\r\nUpgrade: h2c"),
    ("h2c that nobody nominates", b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
    ("TLS", b"Connection: Upgrade\r\nUpgrade: TLS/1.0"),
    ("another protocol", b"Connection: Upgrade\r\nUpgrade: IRC/6.9, foo/2"),
    ("a WebSocket that nobody nominates", b"Upgrade: websocket\r\nSec-WebSocket-Version: 13"),
];

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = REFUSED.iter().map(|(name, bytes)| line(name, bytes)).collect();
    cases.extend(METHODS.iter().map(|(name, bytes, method)| line(name, bytes).arrives(method, b"")));
    cases.extend(OFFERS.iter().map(|(name, fields)| get(name, fields).arrives("GET", b"").without(&["upgrade", "http2-settings"])));
    let with = |fields: &[u8], body: &[u8]| [fields, b"\r\n", &length(body)[..]].concat();
    let expecting = with(b"Expect: 100-continue", b"hello");
    let trace = [b"TRACE $T HTTP/1.1\r\nHost: a.test\r\n", &length(SMUGGLED)[..], b"\r\n\r\n", SMUGGLED].concat();
    let behind = |fields: &[u8]| [b"GET $T HTTP/1.1\r\nHost: a.test\r\n", fields, b"\r\n\r\n", SMUGGLED].concat();
    cases.extend([
        raw("TRACE with a body", trace),
        post("CONNECT by override", &with(b"X-HTTP-Method-Override: CONNECT", b"hello"), b"hello").arrives("POST", b"hello"),
        line("OPTIONS of everything", b"OPTIONS * HTTP/1.1").arrives("OPTIONS", b"").target(b"*"),
        // a WebSocket that the function declines is an ordinary request, and so is what comes behind it
        get("a WebSocket", WEBSOCKET).arrives("GET", b"").with("upgrade", "websocket"),
        raw("a WebSocket with a request behind it", behind(WEBSOCKET)).arrives("GET", b"").pipelined(),
        raw("h2c with a request behind it", behind(OFFERS[0].1)).arrives("GET", b"").without(&["upgrade"]).pipelined(),
        post("a WebSocket by POST", &with(WEBSOCKET, SMUGGLED), SMUGGLED).may_arrive("POST", SMUGGLED),
        post("a WebSocket by POST in chunks", &[WEBSOCKET, b"\r\nTransfer-Encoding: chunked"].concat(), &chunked(SMUGGLED))
            .may_arrive("POST", SMUGGLED),
        post("h2c by POST", &with(OFFERS[0].1, SMUGGLED), SMUGGLED).may_arrive("POST", SMUGGLED).without(&["upgrade"]),
        raw("a WebSocket in HTTP/1.0", [b"GET $T HTTP/1.0\r\nHost: a.test\r\n", WEBSOCKET, b"\r\n\r\n"].concat())
            .may_arrive("GET", b"")
            .without(&["upgrade"]),
        get("a list of offers", b"Connection: Upgrade\r\nUpgrade: h2c, websocket").may_arrive("GET", b""),
        post("Expect", &expecting, b"hello").arrives("POST", b"hello"),
        post("Expect in chunks", b"Expect: 100-continue\r\nTransfer-Encoding: chunked", &chunked(b"hello")).arrives("POST", b"hello"),
        post("Expect in capitals", &with(b"EXPECT: 100-Continue", b"hello"), b"hello").arrives("POST", b"hello"),
        post("Expect twice", &with(b"Expect: 100-continue\r\nExpect: 100-continue", b"hello"), b"hello").may_arrive("POST", b"hello"),
        post("Expect of something else", &with(b"Expect: 200-maybe", b"hello"), b"hello").may_arrive("POST", b"hello"),
        post("Expect with a request as its body", &with(b"Expect: 100-continue", SMUGGLED), SMUGGLED).arrives("POST", SMUGGLED),
        get("Expect without a body", b"Expect: 100-continue").arrives("GET", b""),
        post("Expect with a length of 0", b"Expect: 100-continue\r\nContent-Length: 0", b"").arrives("POST", b""),
        raw("Expect in HTTP/1.0", [b"POST $T HTTP/1.0\r\nHost: a.test\r\n", &expecting[..], b"\r\n\r\nhello"].concat())
            .arrives("POST", b"hello"),
        post("Expect with both framings", b"Expect: 100-continue\r\nContent-Length: 15\r\nTransfer-Encoding: chunked", &chunked(b"hello")),
        raw("a body of HEAD", [b"HEAD $T HTTP/1.1\r\nHost: a.test\r\n", &length(SMUGGLED)[..], b"\r\n\r\n", SMUGGLED].concat())
            .may_arrive("HEAD", SMUGGLED),
        raw("a body of GET", [b"GET $T HTTP/1.1\r\nHost: a.test\r\n", &length(SMUGGLED)[..], b"\r\n\r\n", SMUGGLED].concat())
            .may_arrive("GET", SMUGGLED),
        raw(
            "a body of GET in chunks",
            [b"GET $T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n", &chunked(SMUGGLED)[..]].concat(),
        )
        .may_arrive("GET", SMUGGLED),
        raw("a body of DELETE", [b"DELETE $T HTTP/1.1\r\nHost: a.test\r\n", &length(SMUGGLED)[..], b"\r\n\r\n", SMUGGLED].concat())
            .arrives("DELETE", SMUGGLED),
    ]);
    cases
}
