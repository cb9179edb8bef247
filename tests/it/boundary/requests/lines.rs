//! Request lines (RFC 9112 2.2, 3): one space, an origin-form target, a version.

use crate::boundary::case::{Case, line, raw};

/// To be refused.
const REFUSED: &[(&str, &[u8])] = &[
    ("two spaces before the target", b"GET  $T HTTP/1.1"),
    ("two spaces behind the target", b"GET $T  HTTP/1.1"),
    ("a space behind the version", b"GET $T HTTP/1.1 "),
    ("a space before the method", b" GET $T HTTP/1.1"),
    ("a tab before the target", b"GET\t$T HTTP/1.1"),
    ("a tab behind the target", b"GET $T\tHTTP/1.1"),
    ("a vertical tab before the target", b"GET\x0b$T HTTP/1.1"),
    ("a space in the target", b"GET $T a HTTP/1.1"),
    ("a tab in the target", b"GET $T\ta HTTP/1.1"),
    ("a NUL in the target", b"GET $T\x00 HTTP/1.1"),
    ("a bare CR in the target", b"GET $T\rX HTTP/1.1"),
    ("a bare LF in the target", b"GET $T\nX: y HTTP/1.1"),
    ("an escape in the target", b"GET $T\x1b[31m HTTP/1.1"),
    ("a DEL in the target", b"GET $T\x7f HTTP/1.1"),
    ("a byte above ASCII in the target", b"GET $T\xe9 HTTP/1.1"),
    ("UTF-8 in the target", "GET $T\u{e9} HTTP/1.1".as_bytes()),
    ("no target", b"GET HTTP/1.1"),
    ("an empty target", b"GET  HTTP/1.1"),
    ("a target without a slash", b"GET plain HTTP/1.1"),
    ("a target that is a query", b"GET ?a=1 HTTP/1.1"),
    ("a target that is a dot", b"GET ./a HTTP/1.1"),
    ("a fragment in the target", b"GET $T#a HTTP/1.1"),
    ("an asterisk for GET", b"GET * HTTP/1.1"),
    ("an asterisk for POST", b"POST * HTTP/1.1"),
    ("an asterisk and more", b"OPTIONS *a HTTP/1.1"),
    ("a full URL", b"GET http://a.test$T HTTP/1.1"),
    ("a full URL of another host", b"GET http://evil.test$T HTTP/1.1"),
    ("a full URL of metadata", b"GET http://169.254.169.254/latest/meta-data/ HTTP/1.1"),
    ("a full URL in upper case", b"GET HTTP://A.TEST$T HTTP/1.1"),
    ("a full URL of https", b"GET https://a.test$T HTTP/1.1"),
    ("a full URL of a file", b"GET file:///etc/passwd HTTP/1.1"),
    ("a full URL without a host", b"GET http://$T HTTP/1.1"),
    ("a full URL with a user", b"GET http://a.test@evil.test$T HTTP/1.1"),
    ("an authority", b"GET a.test:80 HTTP/1.1"),
    ("an authority for POST", b"POST a.test:80 HTTP/1.1"),
    ("no version", b"GET $T"),
    ("no version but a space", b"GET $T "),
    ("a version in lower case", b"GET $T http/1.1"),
    ("a version without a name", b"GET $T 1.1"),
    ("a version without a minor", b"GET $T HTTP/1"),
    ("a version without digits", b"GET $T HTTP/x.y"),
    ("a version with zeros", b"GET $T HTTP/01.1"),
    ("a version with two digits", b"GET $T HTTP/1.10"),
    ("a version of another protocol", b"GET $T ICY/1.1"),
    ("HTTP/0.9", b"GET $T HTTP/0.9"),
    ("HTTP/2.0", b"GET $T HTTP/2.0"),
    ("HTTP/3.0", b"GET $T HTTP/3.0"),
    ("a version twice", b"GET $T HTTP/1.1 HTTP/1.1"),
    ("a method with a slash", b"GE/T $T HTTP/1.1"),
    ("a method with a colon", b"GET: $T HTTP/1.1"),
    ("a method with brackets", b"G(E)T $T HTTP/1.1"),
    ("a method with a NUL", b"GE\x00T $T HTTP/1.1"),
    ("a method above ASCII", b"G\xcbT $T HTTP/1.1"),
    ("no method", b" $T HTTP/1.1"),
    ("only a method", b"GET"),
    ("a preface of HTTP/2", b"PRI * HTTP/2.0"),
];

/// Passed on as this, or refused: line, method, target.
const MAY_ARRIVE: &[(&str, &[u8], &str, &[u8])] = &[
    ("a method in lower case", b"get $T HTTP/1.1", "get", b"$T"),
    ("HTTP/1.2", b"GET $T HTTP/1.2", "GET", b"$T"),
    ("a backslash", b"GET $T\\a HTTP/1.1", "GET", b"$T\\a"),
    ("an encoded NUL", b"GET $T%00 HTTP/1.1", "GET", b"$T%00"),
    ("an encoded line end", b"GET $T%0d%0aX:%20y HTTP/1.1", "GET", b"$T%0d%0aX:%20y"),
    ("a broken escape", b"GET $T%zz HTTP/1.1", "GET", b"$T%zz"),
    ("two slashes", b"GET //evil.test$T HTTP/1.1", "GET", b"//evil.test$T"),
];

/// To be refused, as they are.
const RAW: &[(&str, &[u8])] = &[
    ("HTTP/0.9 alone", b"GET $T\r\n\r\n"),
    ("a bare LF before", b"\nGET $T HTTP/1.1\r\nHost : a.test\r\n\r\n"),
    ("a bare CR before", b"\rGET $T HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    ("a NUL before", b"\x00GET $T HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    ("a field before", b"Host: a.test\r\nGET $T HTTP/1.1\r\n\r\n"),
    ("a bare CR behind", b"GET $T HTTP/1.1\rHost: a.test\r\n\r\n"),
    ("a bare CR, twice", b"GET $T HTTP/1.1\r\rHost: a.test\r\n\r\n"),
    ("a whole preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
    ("an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a handshake of TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03abcdefghijklmnop\r\n\r\n"),
    ("a proxy's preface", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET $T HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    ("another protocol's greeting", b"EHLO a.test\r\n\r\n"),
    ("bytes of no meaning", b"\xff\xfe\xfd\xfc\r\n\r\n"),
];

/// Signs that a path or a query may hold (RFC 3986 3.3, 3.4), and those that they may not, but often do.
const SIGNS: [(&str, &str); 2] = [("!$&'()*+,-./:;=@_~", "\"<>[]^`{|}\\?"), ("!$&'()*+,-./:;=@_~?", "\"<>[]^`{|}\\")];

/// Each sign: a valid one arrives as it is, another one too, or it is refused by us.
fn signs() -> impl Iterator<Item = Case> {
    let one = |place: &'static str, sign: char, valid: bool| {
        let target = format!("$T{place}a{sign}b");
        let name: &'static str = format!("{sign} in {}", if place.is_empty() { "the path" } else { "the query" }).leak();
        let case = line(name, format!("GET {target} HTTP/1.1").as_bytes());
        let case = if valid { case.arrives("GET", b"") } else { case.may_arrive("GET", b"") };
        case.target(target.as_bytes())
    };
    ["", "?"].into_iter().zip(SIGNS).flat_map(move |(place, (valid, other))| {
        let valid = valid.chars().map(move |sign| one(place, sign, true));
        valid.chain(other.chars().map(move |sign| one(place, sign, false)))
    })
}

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = REFUSED.iter().map(|(name, bytes)| line(name, bytes)).collect();
    cases.extend(MAY_ARRIVE.iter().map(|(name, bytes, method, target)| line(name, bytes).may_arrive(method, b"").target(target)));
    cases.extend(RAW.iter().map(|(name, bytes)| raw(name, *bytes)));
    cases.extend(signs());
    let long = |n: usize| [&b"GET $T?"[..], &vec![b'a'; n], b" HTTP/1.1"].concat();
    let method = [&vec![b'M'; 5_000][..], b" $T HTTP/1.1"].concat();
    cases.extend([
        line("a target of 40 KB", &long(40_000)),
        line("a target of 200 KB", &long(200_000)),
        line("a method of 5 KB", &method),
        raw("empty lines before", b"\r\n\r\n\r\nGET $T HTTP/1.1\r\nHost: a.test\r\n\r\n").may_arrive("GET", b""),
        raw("only bare LF", b"GET $T HTTP/1.1\nHost: a.test\n\n").tolerated("GET", b""),
    ]);
    cases
}
