//! Characters that look like others or like nothing: pasted from pages and chats, they break a file far from their place.

use super::diagnostics::{Code, Problem, Span};

/// Whether a character is refused outside comments and quoted text.
#[must_use]
pub fn is_odd(c: char) -> bool {
    name(c).is_some()
}

/// What a refused character is, and what was meant; `None` for all others.
fn name(c: char) -> Option<(&'static str, &'static str)> {
    Some(match c {
        '\u{A0}' => ("a no-break space", "a space"),
        '\u{1680}' | '\u{180E}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' => ("a special space", "a space"),
        '\u{85}' | '\u{2028}' | '\u{2029}' => ("a special line break", "a line break"),
        '\u{AD}' => ("a soft hyphen", "nothing"),
        '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{FEFF}' => ("a zero-width character", "nothing"),
        '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{61C}' => ("a text direction mark", "nothing"),
        '\u{34F}'
        | '\u{115F}'
        | '\u{1160}'
        | '\u{17B4}'
        | '\u{17B5}'
        | '\u{2061}'..='\u{2065}'
        | '\u{206A}'..='\u{206F}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}'
        | '\u{E0000}'..='\u{E0FFF}' => ("an invisible character", "nothing"),
        '\u{2018}'..='\u{201F}' | '\u{AB}' | '\u{BB}' | '\u{2039}' | '\u{203A}' | '\u{2032}'..='\u{2037}' | '\u{B4}' | '\u{2BC}' => {
            ("a typographic quotation mark", "`\"`")
        }
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' => ("a typographic dash", "`-`"),
        '\u{2026}' => ("a typographic ellipsis", "`...`"),
        '\u{2236}' | '\u{A789}' | '\u{FE55}' => ("a character that looks like a colon", "`:`"),
        '\u{2217}' | '\u{204E}' | '\u{2731}' => ("a character that looks like an asterisk", "`*`"),
        '\u{2215}' | '\u{2044}' => ("a character that looks like a slash", "`/`"),
        '\u{FF01}'..='\u{FF5E}' => ("a full-width character", "its ASCII form"),
        '\t' | '\n' | '\r' => return None,
        c if c.is_control() => ("a control character", "nothing"),
        _ => return None,
    })
}

/// The problem of the odd character at a byte offset.
#[must_use]
pub fn problem(text: &str, at: usize) -> Problem {
    let c = text[at..].chars().next().unwrap_or_default();
    let span = Span::at(text, at, c.len_utf8());
    if c == '\r' {
        return Problem::error(Code::OddCharacter, span, "a carriage return without a line feed").help("end lines with LF or CRLF");
    }
    let (what, meant) = name(c).unwrap_or(("an unexpected character", "nothing"));
    let message = format!("U+{:04X} is {what}", u32::from(c));
    Problem::error(Code::OddCharacter, span, message).help(format!("write {meant} in its place"))
}

/// Where in the text the scan is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Plain,
    Comment,
    Single,
    Double,
}

/// The odd characters of a text, the first of each line. An approximate scan that needs no valid YAML; what it takes for
/// quoted by mistake is found again in the parsed values.
#[must_use]
pub fn odd(text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (mut place, mut before, mut last, mut said) = (Place::Plain, '\n', None, false);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        let refused = match c {
            '\r' => next != Some('\n'),
            c if c.is_control() => is_odd(c) && (c.is_ascii() || place == Place::Plain),
            c => place == Place::Plain && is_odd(c),
        };
        if refused && !said {
            problems.push(problem(text, at));
            said = true;
        }
        // two characters that are one within quotes: `''` and any escape, unless the line ends first
        let pair = (place == Place::Single && c == '\'' && next == Some('\'')) || (place == Place::Double && c == '\\');
        match (place, c) {
            _ if pair => drop(chars.next_if(|(_, n)| !matches!(n, '\n' | '\r'))),
            (Place::Single, '\'') | (Place::Double, '"') | (Place::Comment, '\n') => place = Place::Plain,
            (Place::Plain, '#') if before.is_whitespace() => place = Place::Comment,
            (Place::Plain, '"' | '\'') if opens(before, last) => place = if c == '"' { Place::Double } else { Place::Single },
            _ => {}
        }
        if c == '\n' {
            (last, said) = (None, false);
        } else if !c.is_whitespace() {
            last = Some(c);
        }
        before = c;
    }
    problems
}

/// Whether a quotation mark after these begins a quoted text: only where a value or key begins.
fn opens(before: char, last: Option<char>) -> bool {
    let separated = before.is_whitespace() || matches!(before, '[' | '{' | ',' | ':');
    separated && last.is_none_or(|c| matches!(c, ':' | '-' | ',' | '[' | '{' | '?'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_outside_comments_and_quotes_only() {
        for (text, at) in [
            ("a: b\u{A0}c", Some((1, 5))),
            ("a: \"b\u{A0}c\"", None),
            ("a: 'b''\u{A0}c'", None),
            ("a: \"b\\\"\u{A0}c\"", None),
            ("a: 1 # b\u{A0}c", None),
            ("a: b#\u{A0}c", Some((1, 6))),
            ("a: it's\u{200B}", Some((1, 8))),
            ("a: 1\n\u{2003}b: 2", Some((2, 1))),
            ("a: \u{201C}b\u{201D}", Some((1, 4))),
            ("[\"x\u{A0}\", y\u{2013}z]", Some((1, 9))),
            ("a: 1\r\nb: 2\r\n", None),
            ("a: 1\rb: 2", Some((1, 5))),
            ("a: \"\u{1}\"", Some((1, 5))),
            ("a: grün", None),
        ] {
            let found = odd(text).first().map(|p| (p.line, p.column));
            assert_eq!(found, at, "{text:?}");
        }
    }

    #[test]
    fn one_for_each_line() {
        assert_eq!(odd("a\u{A0}\u{A0}: 1\nb\u{A0}: 2\n").len(), 2);
    }
}
