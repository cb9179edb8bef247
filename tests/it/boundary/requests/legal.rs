//! Valid requests that look odd: each must arrive as it is.

use crate::boundary::case::{Case, chunked, get, line, post, raw};

/// Fields of a GET, and one that must arrive as this.
const FIELDS: &[(&str, &[u8], &str, &str)] = &[
    ("an empty value", b"X-A:", "x-a", ""),
    ("a value of white space", b"X-A: \t ", "x-a", ""),
    ("tabs in a value", b"X-A: b\tc", "x-a", "b\tc"),
    ("white space around a value", b"X-A: \t b \t", "x-a", "b"),
    ("bytes above ASCII in a value", b"X-A: caf\xe9", "x-a", "caf\u{e9}"),
    ("UTF-8 in a value", b"X-A: \xe2\x82\xac", "x-a", "\u{e2}\u{82}\u{ac}"),
    ("all signs in a value", b"X-A: !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "x-a", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    ("all signs in a name", b"!#$%&'*+-.^_`|~: b", "!#$%&'*+-.^_`|~", "b"),
    ("digits in a name", b"123: b", "123", "b"),
    ("an underscore in a name", b"X_Custom: b", "x_custom", "b"),
    ("a colon in a value", b"X-A: b:c: d", "x-a", "b:c: d"),
    ("a value that is a field", b"X-A: Content-Length: 5", "x-a", "Content-Length: 5"),
    ("a value that is a request", b"X-A: GET $S HTTP/1.1", "x-a", "GET /smuggled"),
    ("a field twice", b"X-A: b\r\nX-A: c", "x-a", "c"),
    ("a cookie", b"Cookie: a=1; b=\"2\"; c=", "cookie", "a=1; b=\"2\"; c="),
    ("a bearer token", b"Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.ab-_", "authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.ab-_"),
    ("a range", b"Range: bytes=0-5, 9-", "range", "bytes=0-5, 9-"),
    ("a date", b"X-Since: Sun, 06 Nov 1994 08:49:37 GMT", "x-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("keep-alive", b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nX-A: b", "x-a", "b"),
    ("close", b"Connection: close\r\nX-A: b", "x-a", "b"),
    ("a preflight's fields", b"Origin: null\r\nAccess-Control-Request-Method: PUT", "origin", "null"),
];

/// Targets that arrive byte for byte.
const TARGETS: &[(&str, &[u8])] = &[
    ("parameters", b"$T;v=1;w=2"),
    ("signs that paths allow", b"$T/@:$&'()*+,=!~-._"),
    ("escapes", b"$T/%20%2F%2f%E2%82%AC%25"),
    ("an escaped escape", b"$T/%2541"),
    ("dots", b"$T/./a/../b/..."),
    ("slashes", b"$T//a///"),
    ("a query", b"$T?a=1&b=2&a=3"),
    ("an empty query", b"$T?"),
    ("a query of a query", b"$T?a=b?c=d"),
    ("a URL in the query", b"$T?next=http://a.test/b/../c"),
    ("an encoded line end in the query", b"$T?text=one%0D%0Atwo"),
    ("a query without a name", b"$T?=1&&"),
    ("brackets in the query", b"$T?a[]=1&b[c]=2"),
];

/// HTTP/1.0.
const OLD: &[(&str, &[u8], &str, &[u8])] = &[
    ("without Host", b"GET $T HTTP/1.0\r\n\r\n", "GET", b""),
    ("with Host", b"GET $T HTTP/1.0\r\nHost: a.test\r\n\r\n", "GET", b""),
    ("kept alive", b"GET $T HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n", "GET", b""),
    ("POST", b"POST $T HTTP/1.0\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello", "POST", b"hello"),
    ("HEAD", b"HEAD $T HTTP/1.0\r\nHost: a.test\r\n\r\n", "HEAD", b""),
];

pub fn cases() -> Vec<Case> {
    let field = |(name, fields, seen, value): &(&'static str, &[u8], &'static str, &str)| {
        let case = get(name, fields).arrives("GET", b"");
        // its value holds a target that differs from run to run
        if value.contains("/smuggled") { case } else { case.with(seen, *value) }
    };
    let mut cases: Vec<Case> = FIELDS.iter().map(field).collect();
    cases.extend(
        TARGETS.iter().map(|(name, target)| line(name, &[b"GET ", *target, b" HTTP/1.1"].concat()).arrives("GET", b"").target(target)),
    );
    cases.extend(OLD.iter().map(|(name, bytes, method, body)| raw(name, *bytes).arrives(method, body)));
    let many: Vec<String> = (0..90).map(|n| format!("X-{n}: {n}")).collect();
    let long = "v".repeat(15_000);
    let query = "q".repeat(6_000);
    let binary: Vec<u8> = (0..=255).collect();
    cases.extend([
        get("90 fields", many.join("\r\n").as_bytes()).arrives("GET", b"").with("x-89", "89"),
        get("a value of 15 KB", format!("X-A: {long}").as_bytes()).arrives("GET", b"").with("x-a", long.clone()),
        line("a query of 6 KB", format!("GET $T?{query} HTTP/1.1").as_bytes()).arrives("GET", b"").target(format!("$T?{query}").as_bytes()),
        post("a body of all bytes", b"Content-Length: 256", &binary).arrives("POST", &binary),
        post("a body of all bytes in chunks", b"Transfer-Encoding: chunked", &chunked(&binary)).arrives("POST", &binary),
        post("a form", b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 11", b"a=1&b=%20+c")
            .arrives("POST", b"a=1&b=%20+c"),
        post("a body said to be gzip", b"Content-Encoding: gzip\r\nContent-Length: 5", b"hello")
            .arrives("POST", b"hello")
            .with("content-encoding", "gzip"),
        raw("an empty line before", b"\r\nGET $T HTTP/1.1\r\nHost: a.test\r\n\r\n").arrives("GET", b""),
        line("PUT without a body", b"PUT $T HTTP/1.1").arrives("PUT", b""),
    ]);
    cases
}
