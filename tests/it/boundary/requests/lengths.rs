//! Content-Length (RFC 9112 6.2, 6.3): digits, once, or nothing.

use crate::boundary::case::{Case, SMUGGLED, get, length, post};

/// Beside a body of `hello`: to be refused.
const REFUSED: &[(&str, &[u8])] = &[
    ("twice, equal", b"Content-Length: 5\r\nContent-Length: 5"),
    ("twice, different", b"Content-Length: 5\r\nContent-Length: 6"),
    ("twice, the first is 0", b"Content-Length: 0\r\nContent-Length: 5"),
    ("twice, in two spellings", b"content-length: 5\r\nCONTENT-LENGTH: 6"),
    ("twice, far apart", b"Content-Length: 5\r\nX-A: 1\r\nX-B: 2\r\nContent-Length: 5"),
    ("thrice", b"Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 5"),
    ("twice, one is empty", b"Content-Length: 5\r\nContent-Length:"),
    ("a list of equals", b"Content-Length: 5, 5"),
    ("a list", b"Content-Length: 5,6"),
    ("a list with an empty member", b"Content-Length: 5,"),
    ("a list that starts empty", b"Content-Length: ,5"),
    ("plus", b"Content-Length: +5"),
    ("minus", b"Content-Length: -5"),
    ("minus zero", b"Content-Length: -0"),
    ("two numbers", b"Content-Length: 5 5"),
    ("space within", b"Content-Length: 0 5"),
    ("hexadecimal", b"Content-Length: 0x5"),
    ("a fraction", b"Content-Length: 5.0"),
    ("an exponent", b"Content-Length: 5e0"),
    ("a unit", b"Content-Length: 5b"),
    ("a parameter", b"Content-Length: 5;q=1"),
    ("quoted", b"Content-Length: \"5\""),
    ("underscores", b"Content-Length: 1_0"),
    ("no value", b"Content-Length:"),
    ("blank value", b"Content-Length: \t "),
    ("2^64 and 5", b"Content-Length: 18446744073709551621"),
    ("twenty nines", b"Content-Length: 99999999999999999999"),
    ("a vertical tab", b"Content-Length: \x0b5"),
    ("a form feed behind", b"Content-Length: 5\x0c"),
    ("a NUL behind", b"Content-Length: 5\x00"),
    ("digits of another script", "Content-Length: \u{ff15}".as_bytes()),
    ("folded", b"Content-Length: 5\r\n 0"),
    ("space before the colon", b"Content-Length : 5"),
    ("tab before the colon", b"Content-Length\t: 5"),
];

/// Beside a body of `hello`: to be passed on with it.
const ARRIVES: &[(&str, &[u8])] = &[
    ("no space", b"Content-Length:5"),
    ("a tab before", b"Content-Length:\t5"),
    ("spaces behind", b"Content-Length: 5   "),
    ("lower case", b"content-length: 5"),
    ("upper case", b"CONTENT-LENGTH: 5"),
];

/// Beside a body of `hello`: passed on with it, or refused.
const MAY_ARRIVE: &[(&str, &[u8])] = &[
    ("leading zeros", b"Content-Length: 005"),
    ("thirty leading zeros", b"Content-Length: 0000000000000000000000000000005"),
    ("beside a look-alike that says less", b"Content-Length: 5\r\nContent_Length: 0"),
    ("beside a look-alike that says more", b"Content_Length: 50\r\nContent-Length: 5"),
    ("nominated for removal", b"Connection: Content-Length\r\nContent-Length: 5"),
];

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = REFUSED.iter().map(|(name, fields)| post(name, fields, b"hello")).collect();
    cases.extend(ARRIVES.iter().map(|(name, fields)| post(name, fields, b"hello").arrives("POST", b"hello")));
    cases.extend(MAY_ARRIVE.iter().map(|(name, fields)| post(name, fields, b"hello").may_arrive("POST", b"hello")));
    let hidden = length(SMUGGLED);
    let signed = String::from_utf8_lossy(&hidden).replace(": ", ": +");
    let thousand = [&b"Content-Length: "[..], &b"9".repeat(1_000)].concat();
    cases.extend([
        post("2^63, of which little comes", b"Content-Length: 9223372036854775808", b"hello").ends(),
        post("thousand digits", &thousand, b"hello"),
        post("a request within the length", &hidden, SMUGGLED).arrives("POST", SMUGGLED),
        post("hidden by the second length", &[b"Content-Length: 0\r\n", &hidden[..]].concat(), SMUGGLED),
        post("hidden by the first length", &[&hidden[..], b"\r\nContent-Length: 0"].concat(), SMUGGLED),
        post("hidden by a signed length", signed.as_bytes(), SMUGGLED),
        get("of a GET's empty body", b"Content-Length: 0").arrives("GET", b""),
        post("none at all: no body", b"X: y", b"").arrives("POST", b""),
    ]);
    cases
}
