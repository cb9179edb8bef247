//! A small pull reader of JSON that sees what JavaScript sees: the function behind the proxy reads the same bytes with
//! `request.json()`, and an id that differs from the function's would be a wrong answer.
//!
//! So it takes what `JSON.parse` takes (a byte order mark in front, lone surrogates, numbers of any size, repeated names, invalid
//! UTF-8, which the decoder has turned into U+FFFD) and refuses what that refuses. Only the nesting is bounded; deeper is refused.

use super::text::Text;
use crate::dedup::SkipReason;

/// How deep arrays and objects may nest.
const MAX_DEPTH: u8 = 128;

type Read<T> = Result<T, SkipReason>;

/// Reads one document from front to back.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u8,
}

impl<'a> Reader<'a> {
    /// Starts at the front of a document.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 }, depth: 0 }
    }

    /// The first byte of what comes next: it tells what kind of value that is.
    pub fn peek(&mut self) -> Read<u8> {
        self.space();
        self.byte().ok_or(SkipReason::Unparsable)
    }

    /// Reads an object: `member` gets each name and must consume the value.
    pub fn object(&mut self, mut member: impl FnMut(&mut Self, Text<'a>) -> Read<()>) -> Read<()> {
        self.list(b'{', b'}', |reader| {
            reader.space();
            let name = reader.string()?;
            reader.space();
            reader.expect(b':')?;
            member(reader, name)
        })
    }

    /// Reads an array: `element` must consume each value.
    pub fn array(&mut self, element: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.list(b'[', b']', element)
    }

    fn list(&mut self, open: u8, close: u8, mut item: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.space();
        self.expect(open)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SkipReason::Unparsable);
        }
        if self.peek()? == close {
            self.at += 1;
        } else {
            loop {
                item(self)?;
                if self.peek()? == close {
                    self.at += 1;
                    break;
                }
                self.expect(b',')?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads a string.
    pub fn string(&mut self) -> Read<Text<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let plain = self.bytes[self.at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F));
            self.at += plain.ok_or(SkipReason::Unparsable)?;
            match self.bytes[self.at] {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => return Err(SkipReason::Unparsable),
            }
            escaped = true;
        }
        self.at += 1;
        Ok(Text::checked(&self.bytes[start..self.at - 1], escaped))
    }

    /// Steps over one well-formed escape.
    fn escape(&mut self) -> Read<()> {
        let length = match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => 6,
            _ => return Err(SkipReason::Unparsable),
        };
        let digits = self.bytes.get(self.at + 2..self.at + length).ok_or(SkipReason::Unparsable)?;
        self.at += length;
        if digits.iter().all(u8::is_ascii_hexdigit) { Ok(()) } else { Err(SkipReason::Unparsable) }
    }

    /// Reads a number and gives it as it is written.
    pub fn number(&mut self) -> Read<&'a [u8]> {
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        let leading_zero = self.byte() == Some(b'0');
        if self.digits()? > 1 && leading_zero {
            return Err(SkipReason::Unparsable);
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(&self.bytes[start..self.at])
    }

    /// Steps over one digit or more.
    fn digits(&mut self) -> Read<usize> {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(SkipReason::Unparsable) } else { Ok(count) }
    }

    /// Reads `true`, `false` or `null` and gives it as it is written.
    pub fn literal(&mut self) -> Read<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let word = [&b"null"[..], b"true", b"false"].into_iter().find(|word| rest.starts_with(word)).ok_or(SkipReason::Unparsable)?;
        self.at += word.len();
        Ok(word)
    }

    /// Checks a value of any kind and steps over it.
    pub fn skip(&mut self) -> Read<()> {
        match self.peek()? {
            b'{' => self.object(|reader, _| reader.skip()),
            b'[' => self.array(Self::skip),
            b'"' => self.string().map(drop),
            b'n' | b't' | b'f' => self.literal().map(drop),
            _ => self.number().map(drop),
        }
    }

    /// Checks that nothing but white space is left.
    pub fn end(&mut self) -> Read<()> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(SkipReason::Unparsable) }
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Read<()> {
        let found = self.byte() == Some(byte);
        self.at += usize::from(found);
        if found { Ok(()) } else { Err(SkipReason::Unparsable) }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(text: &[u8]) -> bool {
        let mut reader = Reader::new(text);
        reader.skip().and_then(|()| reader.end()).is_ok()
    }

    #[test]
    fn takes_what_json_parse_takes() {
        let plain = ["0", "-0", "1e400", "-12.50E+7", " [ ] ", "{\"a\":{},\"a\":[1,null]}\r\n\t", "\"\\ud800\"", "\"\u{2028}\u{7f}\""];
        for text in plain.map(str::as_bytes).into_iter().chain([&b"\xEF\xBB\xBF{}"[..], b"\"\xFF\xC3\""]) {
            assert!(valid(text), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn refuses_what_json_parse_refuses() {
        let numbers = "01 -01 - +1 .5 1. 1.e1 1e 1e+ 0x1 --1 1_0 Infinity NaN";
        let words = "nul nulll True undefined 'a' {}{} \u{a0}1 \u{feff}\u{feff}1 /**/1 \u{c}1";
        let lists = r#"[1,] [,] [ [1 ] {"a"} {"a":} {"a":1,} {a:1} {1:1} {,} {"a":1 [1}"#;
        let strings = "\" \"a \"\\\" \"\\x41\" \"\\u12\" \"\\u12g4\" \"\\u+123\" \"\n\" \"\t\" \"\0\" \"\\ \"\\u";
        for text in [numbers, words, lists, strings].into_iter().flat_map(|texts| texts.split(' ')).chain(["", " ", "1 2", "[1 2]"]) {
            assert!(!valid(text.as_bytes()), "{text}");
        }
        assert!(!valid(b"\xFF1"), "invalid UTF-8 outside of a string");
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat().into_bytes();
        assert!(valid(&nested(128)) && !valid(&nested(129)) && !valid(&nested(1_000_000)));
        assert!(valid(["[", &"[],{},".repeat(500), "1]"].concat().as_bytes()), "siblings do not nest");
    }
}
