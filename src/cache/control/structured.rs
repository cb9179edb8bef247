//! Structured fields (RFC 9651): the strict parser for dictionaries and lists, as far as `CDN-Cache-Control` and
//! `Cache-Status` need it. Values that nobody asks for are checked and skipped.

/// The value of a member, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer.
    Integer(i64),
    /// A boolean; a dictionary key without a value is `true`.
    Boolean(bool),
    /// A token, or the inside of a string with its escapes as they are.
    Text(&'a [u8]),
    /// A decimal, byte sequence, date, display string or inner list.
    Other,
}

/// One member of a dictionary or list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The key; empty in a list.
    pub key: &'a [u8],
    /// The value without its parameters.
    pub value: Value<'a>,
    /// The member as it was written, parameters included.
    pub raw: &'a [u8],
}

/// Parses a dictionary (RFC 9651 4.2.2); `None` if any part of it is malformed.
#[must_use]
pub fn dictionary(text: &[u8]) -> Option<Vec<Member<'_>>> {
    members(text, true)
}

/// Parses a list (RFC 9651 4.2.1); `None` if any part of it is malformed.
#[must_use]
pub fn list(text: &[u8]) -> Option<Vec<Member<'_>>> {
    members(text, false)
}

fn members(text: &[u8], keyed: bool) -> Option<Vec<Member<'_>>> {
    let mut parser = Parser { rest: text };
    let mut found = Vec::new();
    parser.skip(b" ");
    while !parser.rest.is_empty() {
        let from = parser.rest;
        let key = if keyed { parser.key()? } else { b"" };
        let value = if keyed && !parser.eat(b'=') { Value::Boolean(true) } else { parser.item()? };
        parser.parameters()?;
        found.push(Member { key, value, raw: &from[..from.len() - parser.rest.len()] });
        parser.skip(b" \t");
        if parser.rest.is_empty() {
            break;
        }
        let comma = parser.eat(b',');
        parser.skip(b" \t");
        if !comma || parser.rest.is_empty() {
            return None;
        }
    }
    Some(found)
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    fn eat(&mut self, byte: u8) -> bool {
        let Some(rest) = self.rest.strip_prefix(&[byte]) else { return false };
        self.rest = rest;
        true
    }

    fn skip(&mut self, set: &[u8]) {
        self.take(|b| set.contains(&b));
    }

    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().position(|b| !wanted(*b)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        self.rest.first().filter(|b| b.is_ascii_lowercase() || **b == b'*')?;
        Some(self.take(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b)))
    }

    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.skip(b" ");
            self.key()?;
            if self.eat(b'=') {
                self.bare()?;
            }
        }
        Some(())
    }

    /// A bare item or an inner list; the caller reads the parameters.
    fn item(&mut self) -> Option<Value<'a>> {
        if !self.eat(b'(') {
            return self.bare();
        }
        loop {
            self.skip(b" ");
            if self.eat(b')') {
                return Some(Value::Other);
            }
            self.bare()?;
            self.parameters()?;
            self.rest.first().filter(|b| matches!(b, b' ' | b')'))?;
        }
    }

    fn bare(&mut self) -> Option<Value<'a>> {
        match self.rest.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string().map(Value::Text),
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                Some(Value::Text(self.take(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&b))))
            }
            b'?' => {
                let value = self.rest.get(1).filter(|b| matches!(b, b'0' | b'1'))? == &b'1';
                self.rest = &self.rest[2..];
                Some(Value::Boolean(value))
            }
            b':' => {
                self.eat(b':');
                self.take(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
                self.eat(b':').then_some(Value::Other)
            }
            b'@' => {
                self.eat(b'@');
                self.number().filter(|n| matches!(n, Value::Integer(_))).map(|_| Value::Other)
            }
            b'%' => {
                self.eat(b'%');
                self.display().map(|()| Value::Other)
            }
            _ => None,
        }
    }

    /// An integer of at most 15 digits, or a decimal of at most 12 and 3.
    fn number(&mut self) -> Option<Value<'a>> {
        let sign = if self.eat(b'-') { -1 } else { 1 };
        let whole = self.take(|b| b.is_ascii_digit());
        if self.eat(b'.') {
            let fraction = self.take(|b| b.is_ascii_digit());
            return ((1..=12).contains(&whole.len()) && (1..=3).contains(&fraction.len())).then_some(Value::Other);
        }
        let value = whole.iter().take(15).fold(0, |n, b| n * 10 + i64::from(b - b'0'));
        (1..=15).contains(&whole.len()).then_some(Value::Integer(sign * value))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        self.eat(b'"');
        let from = self.rest;
        loop {
            self.take(|b| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'\\');
            let text = &from[..from.len() - self.rest.len()];
            if self.eat(b'"') {
                return Some(text);
            }
            if !(self.eat(b'\\') && (self.eat(b'"') || self.eat(b'\\'))) {
                return None;
            }
        }
    }

    /// `"..."` with `%` and two lower-case hexadecimal digits for every byte that is not printable ASCII.
    fn display(&mut self) -> Option<()> {
        let mut inside = self.eat(b'"');
        while inside {
            self.take(|b| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'%');
            if self.eat(b'"') {
                return Some(());
            }
            inside = self.eat(b'%') && self.rest.iter().take(2).filter(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).count() == 2;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dictionaries() {
        let got = dictionary(b"max-age=60;x=\"y\", no-store,private=?0 ,  a=(1 2.5;p \"z\"), b=:aGk=:, c=@7, d=%\"%c3%a9\", e=tok/en")
            .expect("valid");
        let values: Vec<_> = got.iter().map(|m| (std::str::from_utf8(m.key).unwrap_or_default(), m.value)).collect();
        assert_eq!(values[..3], [("max-age", Value::Integer(60)), ("no-store", Value::Boolean(true)), ("private", Value::Boolean(false))]);
        assert!(values[3..7].iter().all(|(_, v)| *v == Value::Other));
        assert_eq!(values[7].1, Value::Text(b"tok/en"));
        assert_eq!(got[0].raw, b"max-age=60;x=\"y\"");
        assert_eq!(dictionary(b"").map(|d| d.len()), Some(0));
    }

    #[test]
    fn one_error_is_no_dictionary() {
        for text in [
            "max-age=60, &&&&&",
            "max-age=60,",
            ",max-age=60",
            "max-age=60 no-store",
            "Max-Age=60",
            "max-age=",
            "max-age = 60",
            "max-age='60'",
            "max-age=60.",
            "a=1234567890123456",
            "a=\"x",
            "a=\"\\x\"",
            "a=(1",
            "a=(1,2)",
            "a=?2",
            "a=:b",
            "a=@1.5",
            "a=%\"%zz\"",
            "a;",
            "é",
        ] {
            assert_eq!(dictionary(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn lists() {
        let got = list(b"ExampleCache; hit; ttl=30, \"b c\"; fwd=miss").expect("valid");
        assert_eq!(got.iter().map(|m| m.value).collect::<Vec<_>>(), [Value::Text(b"ExampleCache"), Value::Text(b"b c")]);
        assert_eq!(got[1].raw, b"\"b c\"; fwd=miss");
        assert_eq!(list(b"a b"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes: Vec<u8>, near in "[a-z=,; \"\\\\?():@%.0-9-]{0,40}") {
            let _ = (dictionary(&bytes), list(&bytes));
            let _ = (dictionary(near.as_bytes()), list(near.as_bytes()));
        }
    }
}
