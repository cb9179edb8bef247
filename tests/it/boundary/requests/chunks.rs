//! Chunks (RFC 9112 7.1): what is wrong with them, and what only looks so. Behind most a request hides that must not come out.

use crate::boundary::case::{Case, SMUGGLED, post};

const CHUNKED: &[u8] = b"Transfer-Encoding: chunked";

/// To be refused: nothing may arrive whole.
const REFUSED: &[(&str, &[u8])] = &[
    ("a size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("a size with plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("a size with minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("a size of letters", b"xyz\r\nhello\r\n0\r\n\r\n"),
    ("a size with an underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a NUL", b"5\x00\r\nhello\r\n0\r\n\r\n"),
    ("a size of 2^64 and 5", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a size of 2^64 - 1", b"FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
    ("a size of forty digits", b"ffffffffffffffffffffffffffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ("more data than its size", b"3\r\nhello\r\n0\r\n\r\n"),
    ("a line end behind data that is none", b"5\r\nhelloXX0\r\n\r\n"),
    ("no line end behind data", b"5\r\nhello0\r\n\r\n"),
    ("two sizes", b"5 6\r\nhello\r\n0\r\n\r\n"),
    ("a list of sizes", b"5,6\r\nhello\r\n0\r\n\r\n"),
    ("a size after a colon", b":5\r\nhello\r\n0\r\n\r\n"),
];

/// To be refused, though passed on in this form it harms nobody: name, body, what arrives.
const TOLERATED: &[(&str, &[u8], &[u8])] = &[
    ("no size", b"\r\nGET $S HTTP/1.1\r\nHost: a.test\r\n\r\n", b""),
    ("no size but an extension", b";x\r\nGET $S HTTP/1.1\r\nHost: a.test\r\n\r\n", b""),
    ("no size but a space", b" \r\nGET $S HTTP/1.1\r\nHost: a.test\r\n\r\n", b""),
    ("no size but a tab", b"\t\r\nGET $S HTTP/1.1\r\nHost: a.test\r\n\r\n", b""),
    ("no size behind a chunk", b"5\r\nhello\r\n\r\n\r\nGET $S HTTP/1.1\r\nHost: a.test\r\n\r\n", b"hello"),
    ("a space before the size", b" 5\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("a space behind the size", b"5 \r\nhello\r\n0\r\n\r\n", b"hello"),
    ("a bare LF behind the size", b"5\nhello\r\n0\r\n\r\n", b"hello"),
    ("a bare LF behind data", b"5\r\nhello\n0\r\n\r\n", b"hello"),
    ("a bare LF behind the last size", b"5\r\nhello\r\n0\n\r\n", b"hello"),
    ("a bare LF at the end", b"5\r\nhello\r\n0\r\n\n", b"hello"),
    ("a bare CR behind the size", b"5\rhello\r\n0\r\n\r\n", b"hello"),
    ("a bare LF in an extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("a bare CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("an extension that is empty", b"5;\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("a trailer without a colon", b"5\r\nhello\r\n0\r\nX-Sum\r\n\r\n", b"hello"),
    ("a trailer with a NUL", b"5\r\nhello\r\n0\r\nX-Sum: \x00\r\n\r\n", b"hello"),
    ("a trailer that is folded", b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n 2\r\n\r\n", b"hello"),
    ("a trailer with a space before the colon", b"5\r\nhello\r\n0\r\nX-Sum : 1\r\n\r\n", b"hello"),
    ("a trailer that frames: length", b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n", b"hello"),
    ("a trailer that frames: coding", b"5\r\nhello\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n", b"hello"),
    ("a trailer that names a host", b"5\r\nhello\r\n0\r\nHost: b.test\r\n\r\n", b"hello"),
];

/// Valid: to be passed on as this.
const ARRIVES: &[(&str, &[u8], &[u8])] = &[
    ("nothing", b"0\r\n\r\n", b""),
    ("two chunks", b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
    ("five chunks", b"1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n", b"hello"),
    ("a size with zeros", b"00005\r\nhello\r\n000\r\n\r\n", b"hello"),
    ("sizes in both cases", b"A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n", b"01234567890123456789a"),
    ("an extension", b"5;x\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("an extension with a value", b"5;x=1;y=2\r\nhello\r\n0;z\r\n\r\n", b"hello"),
    ("an extension in quotes", b"5;x=\"a b\"\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("a trailer", b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", b"hello"),
    ("two trailers", b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n", b"hello"),
    ("data that looks like the end", b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
];

/// Sent to here, then the caller closes its half: nothing may arrive whole.
const CUT: &[(&str, &[u8])] = &[
    ("ends before the first size", b""),
    ("ends in a size", b"5"),
    ("ends behind a size", b"5\r\n"),
    ("ends in data", b"5\r\nhel"),
    ("ends behind data", b"5\r\nhello"),
    ("ends behind a chunk", b"5\r\nhello\r\n"),
    ("ends in the last size", b"5\r\nhello\r\n0"),
    ("ends behind the last size", b"5\r\nhello\r\n0\r\n"),
    ("ends in a trailer", b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n"),
    ("its size is a lie", b"ff\r\nhello\r\n0\r\n\r\n"),
    ("its size is a huge lie", b"7fffffffffffffff\r\nhello\r\n0\r\n\r\n"),
];

pub fn cases() -> Vec<Case> {
    let hidden = |body: &[u8]| [body, SMUGGLED].concat();
    let mut cases: Vec<Case> = REFUSED.iter().map(|(name, body)| post(name, CHUNKED, &hidden(body))).collect();
    cases.extend(TOLERATED.iter().map(|(name, body, seen)| post(name, CHUNKED, body).tolerated("POST", seen)));
    let arrives = |(name, body, seen): &(&'static str, &[u8], &[u8])| {
        post(name, CHUNKED, body).arrives("POST", seen).without(&["x-sum", "x-other", "trailer"])
    };
    cases.extend(ARRIVES.iter().map(arrives));
    cases.extend(CUT.iter().map(|(name, body)| post(name, CHUNKED, body).ends()));
    let long = [b"5;x=", &b"y".repeat(2_000)[..], b"\r\nhello\r\n0\r\n\r\n"].concat();
    let endless = [b"5;x=", &b"y".repeat(200_000)[..], b"\r\nhello\r\n0\r\n\r\n"].concat();
    let trailer = [b"5\r\nhello\r\n0\r\nX-Sum: ", &b"y".repeat(200_000)[..], b"\r\n\r\n"].concat();
    let many = [b"5\r\nhello\r\n0\r\n", &b"X-Sum: 1\r\n".repeat(5_000)[..], b"\r\n"].concat();
    let zeros = [&[b'0'; 40][..], b"5\r\nhello\r\n0\r\n\r\n"].concat();
    cases.extend([
        post("a long extension", CHUNKED, &long).may_arrive("POST", b"hello"),
        post("an extension of 200 KB", CHUNKED, &endless).tolerated("POST", b"hello"),
        post("a trailer of 200 KB", CHUNKED, &trailer).tolerated("POST", b"hello"),
        post("five thousand trailers", CHUNKED, &many).tolerated("POST", b"hello"),
        post("a size with forty zeros", CHUNKED, &zeros).may_arrive("POST", b"hello"),
        post("a request within a chunk", CHUNKED, &crate::boundary::case::chunked(SMUGGLED)).arrives("POST", SMUGGLED),
        post("a request behind the end", CHUNKED, &hidden(b"5\r\nhello\r\n0\r\n\r\n")).arrives("POST", b"hello").pipelined(),
        post("a request behind an extension with a bare LF", CHUNKED, &hidden(b"0;\n\r\n")).tolerated("POST", b""),
    ]);
    cases
}
