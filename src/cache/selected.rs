//! What of a stored answer a request asks for: all of it, a part (RFC 9110 14), or only the word that its own copy is
//! still good (RFC 9110 13). Conditions and ranges are the caller's own business: a fetch never carries them.

use std::ops::Range;

use http::header::{CONTENT_LENGTH, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{HeaderMap, HeaderName};

use super::Entry;
use super::control::date;

/// What a request gets of a stored answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// All of it.
    Whole,
    /// 304: the caller's copy is good.
    NotModified,
    /// 206: these bytes of the body.
    Part(Range<usize>),
    /// 416: the range is beyond the end.
    Unsatisfiable,
}

impl Selected {
    /// The status of the answer, where all of it has `whole`.
    #[must_use]
    pub const fn status(&self, whole: u16) -> u16 {
        match self {
            Self::Whole => whole,
            Self::NotModified => 304,
            Self::Part(_) => 206,
            Self::Unsatisfiable => 416,
        }
    }

    /// Whether the answer has this stored field. The length of a part is another; a refused range has no content of its own.
    #[must_use]
    pub fn keeps(&self, name: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::Part(_) => !name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str()),
            Self::NotModified | Self::Unsatisfiable => !describes_content(name),
        }
    }
}

/// Fields that a 304 leaves out: they describe the content it does not have (RFC 9110 15.4.5).
fn describes_content(name: &str) -> bool {
    let of_content = name.get(..8).is_some_and(|prefix| prefix.eq_ignore_ascii_case("content-"));
    of_content && !name.eq_ignore_ascii_case("content-location")
}

/// Whether the request asks for exactly one range of bytes.
#[must_use]
pub fn is_one_range(request: &HeaderMap) -> bool {
    one_range(request).is_some()
}

/// Judges the conditions and the range of a request against a stored answer. `If-None-Match` wins over
/// `If-Modified-Since`; `ranges` is false for HEAD, which ignores `Range`.
#[must_use]
pub fn selected(entry: &Entry, request: &HeaderMap, ranges: bool) -> Selected {
    if (200..300).contains(&entry.status()) && is_not_modified(entry, request) {
        return Selected::NotModified;
    }
    let Some(wanted) = one_range(request).filter(|_| ranges && entry.status() == 200 && range_applies(entry, request)) else {
        return Selected::Whole;
    };
    let length = entry.body().len();
    match wanted {
        Wanted::From(first, last) if first < length => {
            Selected::Part(first..last.map_or(length, |last| last.saturating_add(1).min(length)))
        }
        Wanted::Last(n) if n > 0 && length > 0 => Selected::Part(length.saturating_sub(n)..length),
        Wanted::From(..) | Wanted::Last(_) => Selected::Unsatisfiable,
    }
}

fn is_not_modified(entry: &Entry, request: &HeaderMap) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        let stored = entry.field(&ETAG);
        return request.get_all(IF_NONE_MATCH).iter().any(|line| lists(line.as_bytes(), stored));
    }
    // a date that cannot be read, or stands in two lines, is no condition (RFC 9110 13.1.3)
    let Some(since) = one_line(request, &IF_MODIFIED_SINCE).and_then(date::parse) else { return false };
    let modified = match entry.field(&LAST_MODIFIED) {
        Some(stated) => date::parse(stated),
        None => entry.facts().date,
    };
    modified.is_some_and(|modified| modified <= since)
}

/// `If-Range`: a strong tag that is equal, or the exact `Last-Modified`; without the field the range applies.
fn range_applies(entry: &Entry, request: &HeaderMap) -> bool {
    if !request.contains_key(IF_RANGE) {
        return true;
    }
    let Some(validator) = one_line(request, &IF_RANGE).map(<[u8]>::trim_ascii) else { return false };
    if validator.starts_with(b"\"") {
        entry.field(&ETAG) == Some(validator)
    } else {
        !validator.starts_with(b"W/") && entry.field(&LAST_MODIFIED) == Some(validator)
    }
}

/// Whether a list of entity tags names the stored one, weakly compared; `*` names any.
fn lists(mut list: &[u8], stored: Option<&[u8]>) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let Some(stored) = stored.map(opaque) else { return false };
    loop {
        list = list.trim_ascii_start();
        list = opaque(list);
        let quoted = list.starts_with(b"\"");
        // a comma may stand in quotes, and what forgot its quotes ends at one
        let end = if quoted { list.iter().skip(1).position(|b| *b == b'"').map(|at| at + 2) } else { list.iter().position(|b| *b == b',') };
        let (tag, rest) = list.split_at(end.unwrap_or(list.len()));
        if !tag.is_empty() && tag.trim_ascii_end() == stored {
            return true;
        }
        let Some(comma) = rest.iter().position(|b| *b == b',') else { return false };
        list = &rest[comma + 1..];
    }
}

/// A tag without its `W/`.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

enum Wanted {
    /// `first-` or `first-last`.
    From(usize, Option<usize>),
    /// `-n`: the last n bytes.
    Last(usize),
}

/// The one range of `bytes=`; `None` for several ranges, another unit, and what cannot be read (RFC 9110 14.2: ignored).
fn one_range(request: &HeaderMap) -> Option<Wanted> {
    let value = one_line(request, &RANGE)?;
    let (unit, range) = value.split_at_checked(6)?;
    let (first, last) = std::str::from_utf8(range).ok()?.trim().split_once('-')?;
    let number = |text: &str| {
        let valid = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // beyond what a number holds is beyond any end
        valid.then(|| text.parse().unwrap_or(usize::MAX))
    };
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    match (first, last) {
        ("", last) => Some(Wanted::Last(number(last)?)),
        (first, "") => Some(Wanted::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Wanted::From(first, Some(last)))
        }
    }
}

fn one_line<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    lines.next().is_none().then(|| first.as_bytes())
}

#[cfg(test)]
mod tests;
