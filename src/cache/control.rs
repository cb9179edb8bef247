//! What a message says about its own caching: `Cache-Control` (RFC 9111 5.2), `CDN-Cache-Control` (RFC 9213), `Expires`,
//! `Pragma`, `Age` and `Date`. Only facts; [`super::policy`] judges them.
//!
//! Where a field is malformed the reading is the one that stores less: a broken number is 0, never "absent", because a
//! rule's ttl must not take the place of a lifetime somebody tried to state.

pub mod date;
pub mod structured;
mod wishes;

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{AGE, AsHeaderName, CACHE_CONTROL, DATE, EXPIRES, PRAGMA};
use structured::Value;
pub use wishes::Wishes;

/// No lifetime or age counts above 2^31 seconds (RFC 9111 1.2.2).
const LONGEST: u64 = 1 << 31;

/// What an answer says about its caching.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one directive, present or not")]
pub struct Directives {
    /// `no-store`, with or without an argument.
    pub no_store: bool,
    /// `private`, with or without field names.
    pub private: bool,
    /// `no-cache` for the whole answer; `no-cache="..."` only names fields, see [`no_cache_fields`].
    pub no_cache: bool,
    /// `must-understand` (RFC 9111 5.2.2.3).
    pub must_understand: bool,
    /// `public`.
    public: bool,
    /// `must-revalidate`.
    must_revalidate: bool,
    /// `proxy-revalidate`.
    proxy_revalidate: bool,
    /// `s-maxage`, whole seconds.
    s_maxage: Option<u32>,
    /// `max-age`, whole seconds.
    max_age: Option<u32>,
    /// `Expires` minus `Date`, whole seconds; 0 if it is no date.
    expires: Option<u32>,
    /// `stale-while-revalidate` (RFC 5861 3), whole seconds.
    while_revalidate: Option<u32>,
    /// `stale-if-error` (RFC 5861 4), whole seconds.
    if_error: Option<u32>,
}

impl Directives {
    /// Reads an answer's fields. `wall` is when it arrived: it stands in for a missing `Date`.
    ///
    /// A valid `CDN-Cache-Control` that is not empty speaks alone; nothing else is read then, not even a `no-store` in
    /// `Cache-Control` (RFC 9213 2.2).
    #[must_use]
    pub fn of(headers: &HeaderMap, wall: SystemTime) -> Self {
        if let Some(targeted) = targeted(headers) {
            return targeted;
        }
        let mut stated = Self { expires: expires(headers, wall), ..Self::default() };
        let mut any = false;
        each_directive(headers, CACHE_CONTROL, |name, value| {
            any = true;
            stated.add(name, value);
        });
        if !any {
            each_directive(headers, PRAGMA, |name, _| stated.no_cache |= name == b"no-cache");
        }
        stated
    }

    /// The lifetime the answer states itself: `s-maxage`, else `max-age`, else `Expires` (RFC 9111 4.2.1).
    #[must_use]
    pub fn stated_lifetime(&self) -> Option<Duration> {
        self.s_maxage.or(self.max_age).or(self.expires).map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// Whether the answer to a request with credentials may be given to others: it says `public`, `s-maxage` or
    /// `must-revalidate` (RFC 9111 3.5).
    #[must_use]
    pub const fn is_shareable(&self) -> bool {
        self.public || self.must_revalidate || self.s_maxage.is_some()
    }

    /// Whether the answer may never be given once it is not fresh (RFC 9111 4.2.4).
    #[must_use]
    pub const fn forbids_stale(&self) -> bool {
        self.no_cache || self.must_revalidate || self.proxy_revalidate
    }

    /// `s-maxage` says for shared caches what `proxy-revalidate` says (RFC 9111 5.2.2.10).
    #[must_use]
    pub const fn has_s_maxage(&self) -> bool {
        self.s_maxage.is_some()
    }

    /// How long the answer itself allows to be given while a new one is fetched.
    #[must_use]
    pub fn stated_while_revalidate(&self) -> Option<Duration> {
        self.while_revalidate.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// How long the answer itself allows to be given where the function fails.
    #[must_use]
    pub fn stated_if_error(&self) -> Option<Duration> {
        self.if_error.map(|seconds| Duration::from_secs(seconds.into()))
    }

    fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        match name {
            b"no-store" => self.no_store = true,
            b"private" => self.private = true,
            b"no-cache" => self.no_cache |= value.is_none_or(|v| field_names(v).next().is_none()),
            b"must-understand" => self.must_understand = true,
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"s-maxage" => lower(&mut self.s_maxage, seconds(value)),
            b"max-age" => lower(&mut self.max_age, seconds(value)),
            b"stale-while-revalidate" => lower(&mut self.while_revalidate, seconds(value)),
            b"stale-if-error" => lower(&mut self.if_error, seconds(value)),
            _ => {}
        }
    }
}

/// The field names in `no-cache="..."`, in lower case: these lines leave the stored copy (RFC 9111 5.2.2.4).
#[must_use]
pub fn no_cache_fields(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    if targeted(headers).is_none() {
        each_directive(headers, CACHE_CONTROL, |name, value| {
            names.extend(value.filter(|_| name == b"no-cache").into_iter().flat_map(field_names));
        });
    }
    names
}

/// The date of an answer: one `Date` line in one of the three forms.
#[must_use]
pub fn date_of(headers: &HeaderMap) -> Option<SystemTime> {
    single(headers, DATE).and_then(date::parse)
}

/// `Age`: first member of the first line; anything but digits is 0 (RFC 9111 5.1).
#[must_use]
pub fn age_of(headers: &HeaderMap) -> Duration {
    let first = headers.get(AGE).and_then(|line| line.as_bytes().split(|b| *b == b',').next());
    Duration::from_secs(first.and_then(|text| digits(text.trim_ascii())).unwrap_or(0))
}

/// The value of a field that has exactly one line; several lines of a date say nothing.
fn single(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&[u8]> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    lines.next().is_none().then(|| first.as_bytes())
}

/// `Expires` minus `Date`; what is not one valid date is the past (RFC 9111 5.3).
fn expires(headers: &HeaderMap, wall: SystemTime) -> Option<u32> {
    if !headers.contains_key(EXPIRES) {
        return None;
    }
    let Some(expires) = single(headers, EXPIRES).and_then(date::parse) else { return Some(0) };
    let ahead = expires.duration_since(date_of(headers).unwrap_or(wall)).unwrap_or_default();
    Some(capped(ahead.as_secs()))
}

/// `CDN-Cache-Control`, if it is a valid dictionary with at least one member whose numbers are integers.
fn targeted(headers: &HeaderMap) -> Option<Directives> {
    let lines: Vec<&[u8]> = headers.get_all("cdn-cache-control").iter().map(http::HeaderValue::as_bytes).collect();
    let joined = lines.join(&b", "[..]);
    let members = structured::dictionary(&joined)?;
    let mut stated = Directives::default();
    for member in &members {
        let on = member.value != Value::Boolean(false);
        match member.key {
            b"no-store" => stated.no_store |= on,
            b"private" => stated.private |= on,
            b"no-cache" => stated.no_cache |= on,
            b"must-understand" => stated.must_understand |= on,
            b"public" => stated.public |= on,
            b"must-revalidate" => stated.must_revalidate |= on,
            b"proxy-revalidate" => stated.proxy_revalidate |= on,
            b"s-maxage" => lower(&mut stated.s_maxage, integer(member.value)?),
            b"max-age" => lower(&mut stated.max_age, integer(member.value)?),
            b"stale-while-revalidate" => lower(&mut stated.while_revalidate, integer(member.value)?),
            b"stale-if-error" => lower(&mut stated.if_error, integer(member.value)?),
            _ => {}
        }
    }
    (!members.is_empty()).then_some(stated)
}

fn integer(value: Value) -> Option<u32> {
    let Value::Integer(n) = value else { return None };
    Some(capped(u64::try_from(n).unwrap_or(0)))
}

/// The smallest of repeated values counts.
fn lower(slot: &mut Option<u32>, value: u32) {
    *slot = Some(slot.map_or(value, |old| old.min(value)));
}

fn seconds(value: Option<&[u8]>) -> u32 {
    value.map(|v| unquoted(v).unwrap_or(v)).and_then(digits).map_or(0, capped)
}

fn capped(seconds: u64) -> u32 {
    u32::try_from(seconds.min(LONGEST)).expect("2^31 fits in 32 bits")
}

/// Digits and nothing else, at most [`LONGEST`].
fn digits(text: &[u8]) -> Option<u64> {
    let valid = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    valid.then(|| text.iter().fold(0, |n: u64, b| (n * 10 + u64::from(b - b'0')).min(LONGEST)))
}

fn unquoted(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The names in a quoted list of fields; none if it is not quoted.
fn field_names(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let list = unquoted(value).unwrap_or_default();
    list.split(|b| *b == b',').map(|name| name.trim_ascii().to_ascii_lowercase()).filter(|name| !name.is_empty())
}

/// Calls `each` for every directive of every line: its name in lower case, and what follows `=`.
fn each_directive(headers: &HeaderMap, field: impl AsHeaderName, mut each: impl FnMut(&[u8], Option<&[u8]>)) {
    for member in headers.get_all(field).iter().flat_map(|line| members(line.as_bytes())) {
        // A name ends at the first byte no name may hold, so that `private; max-age=60`, a common slip, is still private.
        let end = member.iter().position(|b| !(b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)));
        let (name, rest) = member.split_at(end.unwrap_or(member.len()));
        each(&name.to_ascii_lowercase(), rest.trim_ascii().strip_prefix(b"=").map(<[u8]>::trim_ascii));
    }
}

/// Splits at commas outside quoted strings. A quote that is not closed before a comma or the end of the line is an
/// ordinary byte, and so are those after it: it must not hide what follows.
fn members(line: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut start, mut at, mut quotes) = (Vec::new(), 0, 0, true);
    while at < line.len() {
        match line[at] {
            b'"' if quotes => match closing_quote(line, at + 1) {
                Some(end) => at = end,
                None => quotes = false,
            },
            b',' => {
                found.push(line[start..at].trim_ascii());
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    found.push(line[start..].trim_ascii());
    found.retain(|member| !member.is_empty());
    found
}

fn closing_quote(line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while at < line.len() {
        match line[at] {
            b'"' => return line[at + 1..].iter().find(|b| !b.is_ascii_whitespace()).is_none_or(|b| *b == b',').then_some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests;
