//! Host (RFC 9112 3.2, RFC 9110 7.2): one, and a valid one.

use crate::boundary::case::{Case, SMUGGLED, length, raw};

/// Instead of a good Host: to be refused.
const REFUSED: &[(&str, &[u8])] = &[
    ("none", b"X-A: b"),
    ("two, equal", b"Host: a.test\r\nHost: a.test"),
    ("two, different", b"Host: a.test\r\nHost: b.test"),
    ("two, in two spellings", b"host: a.test\r\nHOST: b.test"),
    ("two, one is empty", b"Host: a.test\r\nHost:"),
    ("a list", b"Host: a.test, b.test"),
    ("a list without space", b"Host: a.test,b.test"),
    ("a space", b"Host: a.test b.test"),
    ("a tab", b"Host: a.test\tb.test"),
    ("a path", b"Host: a.test/x"),
    ("a query", b"Host: a.test?x"),
    ("a fragment", b"Host: a.test#x"),
    ("a backslash", b"Host: a.test\\x"),
    ("a URL", b"Host: http://a.test"),
    ("a user", b"Host: a@b.test"),
    ("a user with a password", b"Host: a:b@b.test"),
    ("a port of letters", b"Host: a.test:x"),
    ("a port that is too large", b"Host: a.test:99999"),
    ("a port with a sign", b"Host: a.test:-1"),
    ("a port with a plus", b"Host: a.test:+80"),
    ("a port twice", b"Host: a.test:80:80"),
    ("a port and a path", b"Host: a.test:80/x"),
    ("a NUL", b"Host: a.test\x00"),
    ("a bare CR", b"Host: a.test\rX-A: b"),
    ("a byte above ASCII", b"Host: a\xe9.test"),
    ("UTF-8", "Host: \u{e9}.test".as_bytes()),
    ("a bracket that is not closed", b"Host: [::1"),
    ("a bracket that is not opened", b"Host: ::1]"),
    ("IPv6 without brackets", b"Host: ::1"),
    ("brackets around nothing", b"Host: []"),
    ("text behind brackets", b"Host: [::1]a.test"),
    ("quotes", b"Host: \"a.test\""),
    ("angle brackets", b"Host: <a.test>"),
    ("a curly bracket", b"Host: {a}.test"),
    ("folded", b"Host:\r\n a.test"),
    ("a space before the colon", b"Host : a.test"),
    ("behind a fold", b"X-A: b\r\n Host: a.test"),
];

/// Instead: passed on, or refused.
const MAY_ARRIVE: &[(&str, &[u8])] = &[
    ("an encoded letter", b"Host: %61.test"),
    ("signs that URLs allow", b"Host: a!$&'()*+;=.test"),
    ("a tilde", b"Host: ~a.test"),
    ("an empty port", b"Host: a.test:"),
    ("port 0", b"Host: a.test:0"),
    ("two dots", b"Host: a..test"),
];

/// Instead: to be passed on with it.
const ARRIVES: &[(&str, &[u8], &str)] = &[
    ("a name", b"Host: a.test", "a.test"),
    ("a label", b"Host: functions", "functions"),
    ("with a port", b"Host: a.test:8443", "a.test:8443"),
    ("upper case", b"HOST: A.Test", "A.Test"),
    ("a dot behind", b"Host: a.test.", "a.test."),
    ("a hyphen and an underscore", b"Host: my_app-1.test", "my_app-1.test"),
    ("an address", b"Host: 127.0.0.1:8080", "127.0.0.1:8080"),
    ("an IPv6 address", b"Host: [::1]", "[::1]"),
    ("an IPv6 address with a port", b"Host: [2001:db8::1]:8080", "[2001:db8::1]:8080"),
    ("no space", b"Host:a.test", "a.test"),
];

pub fn cases() -> Vec<Case> {
    let head = |host: &[u8]| [b"GET $T HTTP/1.1\r\n", host, b"\r\n\r\n"].concat();
    let mut cases: Vec<Case> = REFUSED.iter().map(|(name, host)| raw(name, head(host))).collect();
    cases.extend(MAY_ARRIVE.iter().map(|(name, host)| raw(name, head(host)).may_arrive("GET", b"")));
    let arrives = |(name, host, seen): &(&'static str, &[u8], &str)| raw(name, head(host)).arrives("GET", b"").with("host", *seen);
    cases.extend(ARRIVES.iter().map(arrives));
    let long = [b"Host: ", &b"a".repeat(20_000)[..]].concat();
    cases.extend([
        raw("empty", head(b"Host:")).may_arrive("GET", b""),
        raw("20 KB", head(&long)).may_arrive("GET", b""),
        raw("a bad one before a body", [b"POST $T HTTP/1.1\r\nHost: a b\r\n", &length(SMUGGLED)[..], b"\r\n\r\n", SMUGGLED].concat()),
        raw("two in HTTP/1.0", b"GET $T HTTP/1.0\r\nHost: a.test\r\nHost: b.test\r\n\r\n"),
        raw("a bad one in HTTP/1.0", b"GET $T HTTP/1.0\r\nHost: a.test/x\r\n\r\n"),
    ]);
    cases
}
