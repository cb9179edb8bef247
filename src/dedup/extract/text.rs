//! The text of a JSON string, decoded as JavaScript decodes it.

use std::borrow::Cow;

/// The text of a string as it is written, without its quotes: checked, not yet decoded.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Text<'a> {
    /// The text between the quotes of a string that the reader has checked; `escaped` if it holds a backslash.
    pub(super) const fn checked(raw: &'a [u8], escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// The text in UTF-8, where a lone surrogate keeps its own three bytes (WTF-8): two texts are equal here exactly when they
    /// are equal in JavaScript.
    #[must_use]
    pub fn decode(&self) -> Cow<'a, [u8]> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { valid(self.raw) }
    }
}

/// Invalid UTF-8 replaced as the WHATWG decoder does.
fn valid(raw: &[u8]) -> Cow<'_, [u8]> {
    match String::from_utf8_lossy(raw) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// Decodes the escapes of a text that the reader has checked.
fn unescape(mut raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    while let Some(at) = raw.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&valid(&raw[..at]));
        let letter = raw[at + 1];
        raw = &raw[at + 2..];
        match letter {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let unit = hex(raw);
                raw = &raw[4..];
                let low = if (0xD800..0xDC00).contains(&unit) && raw.starts_with(b"\\u") { hex(&raw[2..]) } else { 0 };
                if (0xDC00..0xE000).contains(&low) {
                    raw = &raw[6..];
                    push(&mut out, 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
                } else {
                    push(&mut out, unit);
                }
            }
            same => out.push(same),
        }
    }
    out.extend_from_slice(&valid(raw));
    out
}

/// The value of the four hex digits that a text begins with.
fn hex(digits: &[u8]) -> u32 {
    digits[..4].iter().fold(0, |value, digit| value * 16 + char::from(*digit).to_digit(16).unwrap_or_default())
}

/// Appends a code point, or a lone surrogate in the three bytes that UTF-8 would give it.
fn push(out: &mut Vec<u8>, point: u32) {
    if let Some(char) = char::from_u32(point) {
        out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        let [.., high, low] = point.to_be_bytes();
        out.extend_from_slice(&[0xE0 | high >> 4, 0x80 | (high & 0xF) << 2 | low >> 6, 0x80 | low & 0x3F]);
    }
}

#[cfg(test)]
mod tests {
    use crate::dedup::extract::json::Reader;

    fn decoded(text: &[u8]) -> Vec<u8> {
        Reader::new(text).string().expect("a string").decode().into_owned()
    }

    #[test]
    fn one_text_for_every_spelling() {
        assert_eq!(decoded(br#""\u0041\"\\\/\b\f\n\r\tz""#), b"A\"\\/\x08\x0c\n\r\tz");
        assert_eq!(decoded(br#""\uD83D\uDE00 \u00e9 \u65e5""#), "\u{1F600} \u{e9} \u{65e5}".as_bytes());
        assert_eq!(decoded(b"\"\xFFa\xE2\x82\""), "\u{FFFD}a\u{FFFD}".as_bytes(), "one mark for each maximal part");
        assert_eq!(decoded(b"\"\xE2\\u0041\xC3\""), "\u{FFFD}A\u{FFFD}".as_bytes());
        assert_eq!(decoded(br#""\ud83dx\ude00""#), b"\xED\xA0\xBDx\xED\xB8\x80", "lone surrogates stay apart");
        assert_eq!(decoded(br#""\ud83d\ud83d\ude00""#), b"\xED\xA0\xBD\xF0\x9F\x98\x80");
        assert_eq!(decoded(br#""a\u0041\ude00\ude00""#), b"aA\xED\xB8\x80\xED\xB8\x80", "only a high one begins a pair");
        assert_eq!(decoded(br#""\ud83d\\ude00""#), b"\xED\xA0\xBD\\ude00", "an escaped backslash is no escape");
    }
}
