//! Texts of callers, made harmless for the log: escaped, and without phone numbers and message ids.

use std::io::Write;

/// Fewest digits in a row that may be a phone number.
pub const PHONE_DIGITS: usize = 8;

/// Appends a quoted string without what may be a phone number or a message id: digits in a row, and what follows `wamid.`, become `***`.
pub fn push_masked(out: &mut Vec<u8>, mut rest: &str) {
    out.push(b'"');
    while let Some((start, end)) = secret(rest) {
        push_escaped(out, &rest[..start]);
        out.extend_from_slice(b"***");
        rest = &rest[end..];
    }
    push_escaped(out, rest);
    out.push(b'"');
}

/// A text without what may be a phone number or a message id, as [`push_masked`] has it.
#[must_use]
pub fn masked(mut rest: &str) -> String {
    let mut out = String::with_capacity(rest.len());
    while let Some((start, end)) = secret(rest) {
        out.push_str(&rest[..start]);
        out.push_str("***");
        rest = &rest[end..];
    }
    out + rest
}

/// Where the first phone number or message id in a text is.
#[must_use]
pub fn secret(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    // most paths hold neither, and a look without state is the cheaper one
    if bytes.iter().filter(|b| b.is_ascii_digit()).count() < PHONE_DIGITS && !bytes.contains(&b'.') {
        return None;
    }
    let mut run = 0;
    for (at, byte) in bytes.iter().enumerate() {
        run = if byte.is_ascii_digit() { run + 1 } else { 0 };
        if run >= PHONE_DIGITS {
            let more = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            return Some((at + 1 - PHONE_DIGITS, at + 1 + more));
        }
        if *byte == b'.' && text[..at].ends_with("wamid") {
            let length = bytes[at + 1..].iter().take_while(|b| **b != b'/').count();
            if length > 0 {
                return Some((at + 1, at + 1 + length));
            }
        }
    }
    None
}

/// Appends the inside of a JSON string, all but printable ASCII escaped.
pub fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let plain = |b: &u8| matches!(b, 0x20..=0x7e) && !matches!(b, b'"' | b'\\');
    // without an early end, so that the compiler looks at 16 bytes at a time
    if text.as_bytes().iter().fold(true, |all, b| all & plain(b)) {
        return out.extend_from_slice(text.as_bytes());
    }
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
            ' '..='~' => out.push(c as u8),
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::line::{Event, Shared, push};
    use super::super::record::Finished;
    use super::super::record::tests_support::finished;
    use crate::clock::Clock;

    fn line(done: &Finished<'_>) -> Value {
        let mut out = Vec::new();
        push(&mut out, &mut Shared::default(), Clock::manual().wall(), Event::Request, done);
        assert!(out.is_ascii() && out.iter().position(u8::is_ascii_control) == Some(out.len() - 1), "one line");
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn nothing_a_caller_sends_breaks_out_or_gives_a_person_away() {
        let long = "/\u{1F600}".repeat(200);
        for (path, want) in [
            ("/a\"b\\c\r\n\u{1b}[31m{}\u{7f}\u{e9}", "/a\"b\\c\r\n\u{1b}[31m{}\u{7f}\u{e9}"),
            ("/a?token=secret#x", "/a"),
            ("/wa/+250788123456/x-1234567/12345678", "/wa/+***/x-1234567/***"),
            ("/m/wamid.HBgLMjUwNzg4/x", "/m/wamid.***/x"),
            ("/m/wamid./250788123456", "/m/wamid./***"),
            ("", ""),
            (&*long, &long[..511]),
        ] {
            let request = Finished { path, function: path, request_id: path.split('?').next().unwrap_or_default(), ..finished() };
            let got = line(&request);
            assert_eq!(got["path"], want, "{path}");
            assert_eq!(super::masked(got["path"].as_str().unwrap_or_default()), want, "{path}");
            assert!(got["function"].as_str().is_some_and(|f| f.len() <= 130));
        }
    }
}
