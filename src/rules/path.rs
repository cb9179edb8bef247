//! The path as rules see it (interface.md 1): dot segments removed, duplicate slashes merged, percent-encoded unreserved
//! characters decoded, remaining escapes in upper case (RFC 3986 6.2.2).

use std::borrow::Cow;

/// A normalised path, and whether the raw one differs from it in more than the case of its escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    text: Cow<'a, str>,
    odd: bool,
}

impl<'a> Path<'a> {
    /// Normalises a raw path (no query). The common case, a path already in normal form, borrows.
    #[must_use]
    pub fn new(raw: &'a str) -> Self {
        if is_plain(raw) {
            return Self { text: Cow::Borrowed(raw), odd: false };
        }
        let decoded = decode_unreserved(raw);
        let text = resolve_segments(&decoded);
        let odd = !text.eq_ignore_ascii_case(raw) || !same_but_for_escape_case(&text, raw);
        Self { text: Cow::Owned(text), odd }
    }

    /// The same path of a request whose target says more than path and query: always odd.
    #[must_use]
    pub fn of_odd_target(raw: &'a str) -> Self {
        Self { odd: true, ..Self::new(raw) }
    }

    /// A path that was normalised before.
    #[must_use]
    pub const fn normal(text: &'a str, odd: bool) -> Self {
        Self { text: Cow::Borrowed(text), odd }
    }

    /// The normalised text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the function may see another path than the rules did. Such a request is neither cached nor deduplicated
    /// (reason `odd_path`): a function that reads `/a/../b` in its own way must not be answered from what `/b` said.
    #[must_use]
    pub const fn is_odd(&self) -> bool {
        self.odd
    }
}

/// Nothing to do: starts with `/`, no escape, no empty, `.` or `..` segment, only visible ASCII without the characters
/// that some servers take for a path's end or separator.
fn is_plain(raw: &str) -> bool {
    let bytes = raw.as_bytes();
    bytes.first() == Some(&b'/')
        && bytes.iter().all(|b| b.is_ascii_graphic() && !matches!(b, b'%' | b'\\' | b'#' | b'?'))
        && !raw.contains("//")
        && !raw.contains("/.")
}

const fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

/// Decodes escapes of unreserved characters, writes the others in upper case. A broken escape stays as it is.
fn decode_unreserved(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let byte = rest.get(1..3).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit())).and_then(|h| u8::from_str_radix(h, 16).ok());
        match byte {
            Some(b) if is_unreserved(b) => out.push(char::from(b)),
            Some(_) => out.push_str(&rest[..3].to_ascii_uppercase()),
            None => out.push('%'),
        }
        rest = &rest[if byte.is_some() { 3 } else { 1 }..];
    }
    out.push_str(rest);
    out
}

/// Merges slashes and resolves `.` and `..` (RFC 3986 5.2.4); `..` above the root stays at the root.
fn resolve_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut open_end = false;
    for segment in path.split('/') {
        open_end = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut out = String::with_capacity(path.len() + 1);
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if open_end || kept.is_empty() {
        out.push('/');
    }
    out
}

/// `%2f` and `%2F` are the same path; `/A` and `/a` are not. A backslash, fragment mark, non-ASCII byte or `%` without two hex
/// digits is always odd: servers disagree about each.
fn same_but_for_escape_case(normal: &str, raw: &str) -> bool {
    let same = normal.len() == raw.len()
        && normal.bytes().zip(raw.bytes()).enumerate().all(|(i, (n, r))| n == r || (n.eq_ignore_ascii_case(&r) && in_escape(raw, i)));
    let escape = |rest: &str| rest.get(..2).is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    same && raw.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'#')) && raw.split('%').skip(1).all(escape)
}

fn in_escape(raw: &str, at: usize) -> bool {
    let bytes = raw.as_bytes();
    (at >= 1 && bytes[at - 1] == b'%') || (at >= 2 && bytes[at - 2] == b'%')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        for (raw, normal, odd) in [
            ("/functions/v1/profile", "/functions/v1/profile", false),
            ("/", "/", false),
            ("/a/", "/a/", false),
            ("/a%2fb", "/a%2Fb", false),
            ("/a%2Fb", "/a%2Fb", false),
            ("/A", "/A", false),
            ("/a/../b", "/b", true),
            ("/a//b", "/a/b", true),
            ("/a/./b", "/a/b", true),
            ("/a/..", "/", true),
            ("/../../x", "/x", true),
            ("/%61", "/a", true),
            ("/a%2e%2e/b", "/a../b", true),
            ("/%2e%2e/b", "/b", true),
            ("/a%zz", "/a%zz", true),
            ("/a\\b", "/a\\b", true),
            ("/.well-known/x", "/.well-known/x", false),
            ("", "/", true),
            ("*", "/*", true),
            ("/é", "/é", true),
            ("/a%", "/a%", true),
        ] {
            let path = Path::new(raw);
            assert_eq!((path.as_str(), path.is_odd()), (normal, odd), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn normal_form_is_stable_and_never_odd_twice(raw in "(/[a-zA-Z.%2fFeE_;=-]{0,6}){0,5}/?") {
            let once = Path::new(&raw).as_str().to_owned();
            let twice = Path::new(&once);
            // `%252e` is decoded once only, so a second pass may find a new escape: compare where none is left
            if !once.contains('%') {
                prop_assert_eq!(twice.as_str(), once.as_str());
                prop_assert!(!twice.is_odd());
            }
            prop_assert!(once.starts_with('/'));
            prop_assert!(!once.contains("/../") && !once.contains("//") && !once.contains("/./"));
        }

        #[test]
        fn any_text_is_taken(raw in "\\PC*") {
            let _ = Path::new(&raw);
        }
    }
}
