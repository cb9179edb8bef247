//! What is kept of an answer: one block of bytes for the head, one for the body, and the facts to judge it by. A hit
//! writes the blocks as they are; a header map would cost 8 KiB an entry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, SET_COOKIE};
use http::{HeaderMap, HeaderName};

use super::control::no_cache_fields;
use super::policy::{Facts, Storable};
use super::status::without_ours;
use super::vary::Selecting;
use super::weight::allocated;

/// Bytes an entry costs beside key, head, body and selecting fields: its own struct, the list of variants, the store's
/// slot and the allocator (measured, cache.md 8).
pub const OVERHEAD: usize = 500;

const CACHE_STATUS: &[u8] = b"Cache-Status";

/// A stored answer.
#[derive(Clone, Debug)]
pub struct Entry {
    rule: Arc<str>,
    head: Bytes,
    body: Bytes,
    facts: Facts,
    selecting: Selecting,
    /// What its `Cache-Tag` named, comma separated.
    tags: Box<str>,
}

/// Names of an answer by which it is purged; said to this cache alone.
pub const CACHE_TAG: &str = "cache-tag";

impl Entry {
    /// Makes the entry of an answer that may be stored and whose body is whole.
    ///
    /// `headers` and `fields` are the same head: the map to look names up, the fields with order and spelling as they
    /// came. Fields of one connection, what [`never_stored`] names, what `no-cache="..."` lists and `Set-Cookie` are left out;
    /// `Content-Length` is set to the real one; what an upstream's own caches say in `Cache-Status` comes last, in one line, for
    /// ours to follow. The parts of the body are copied: they may pin larger buffers.
    pub fn new<'a>(
        rule: Arc<str>,
        storable: Storable,
        headers: &HeaderMap,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: &[Bytes],
    ) -> Self {
        let fields = fields.into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case(SET_COOKIE.as_str().as_bytes()));
        Self::assembled(rule, storable, headers, fields, body.concat().into())
    }

    /// The same body under another head; as [`Self::new`] otherwise.
    #[must_use]
    pub fn with_head(&self, storable: Storable, headers: &HeaderMap) -> Self {
        let fields =
            headers.iter().filter(|(name, _)| *name != SET_COOKIE).map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let renewed = Self::assembled(Arc::clone(&self.rule), storable, headers, fields, self.body.clone());
        // a 304 that names no tags takes none away
        if headers.contains_key(CACHE_TAG) { renewed } else { Self { tags: self.tags.clone(), ..renewed } }
    }

    /// The same for one caller, not to be stored: with the cookies that are set for him.
    #[must_use]
    pub fn for_one(&self, headers: &HeaderMap) -> Self {
        let known = Storable { facts: self.facts, selecting: self.selecting.clone() };
        let fields = headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        Self::assembled(Arc::clone(&self.rule), known, headers, fields, self.body.clone())
    }

    fn assembled<'a>(
        rule: Arc<str>,
        storable: Storable,
        headers: &HeaderMap,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: Bytes,
    ) -> Self {
        let mut head = Vec::with_capacity(512);
        let dropped = dropped_names(headers);
        // an answer without content has no length (RFC 9110 8.6)
        let mut length = (storable.facts.status != 204).then(|| body.len().to_string());
        let mut others = Vec::new();
        for (name, value) in fields {
            if never_stored(name) || dropped.iter().any(|d| d.eq_ignore_ascii_case(name)) || !is_field(name, value) {
            } else if name.eq_ignore_ascii_case(b"content-length") {
                if let Some(length) = length.take() {
                    push(&mut head, name, length.as_bytes());
                }
            } else if name.eq_ignore_ascii_case(b"cache-status") {
                others.extend(without_ours(value));
            } else {
                push(&mut head, name, value);
            }
        }
        if let Some(length) = length {
            push(&mut head, b"Content-Length", length.as_bytes());
        }
        if !others.is_empty() {
            push(&mut head, CACHE_STATUS, &others.join(&b", "[..]));
        }
        // a boxed slice has no spare capacity: what is counted is what is held
        let (head, tags) = (head.into_boxed_slice().into(), tags_of(headers));
        Self { rule, head, body, facts: storable.facts, selecting: storable.selecting, tags }
    }

    fn tags_weight(&self) -> usize {
        if self.tags.is_empty() { 0 } else { allocated(self.tags.len()) }
    }

    /// Whether its `Cache-Tag` names this tag.
    #[must_use]
    pub fn has_tag(&self, tag: &str) -> bool {
        !tag.is_empty() && self.tags.split(',').any(|own| own == tag)
    }

    /// The same, not fresh from now on.
    #[must_use]
    pub fn softened(&self, now: Instant) -> Self {
        let softened = Some(self.facts.softened.unwrap_or(now));
        Self { facts: Facts { softened, ..self.facts }, ..self.clone() }
    }

    /// Name of the rule it is stored under.
    #[must_use]
    pub const fn rule(&self) -> &Arc<str> {
        &self.rule
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.facts.status
    }

    /// Its head as `Name: value` lines, each with CR LF, without status line and final empty line.
    #[must_use]
    pub const fn head(&self) -> &Bytes {
        &self.head
    }

    /// Its head without the line of `Cache-Status`, and what that says.
    #[must_use]
    pub fn head_and_status(&self) -> (&[u8], Option<&str>) {
        let lines = self.head.strip_suffix(b"\r\n").unwrap_or(&self.head);
        let last = memchr::memrchr(b'\n', lines).map_or(0, |at| at + 1);
        let status = lines[last..].strip_prefix(CACHE_STATUS).and_then(|value| std::str::from_utf8(value.strip_prefix(b": ")?).ok());
        status.map_or((&self.head, None), |status| (&self.head[..last], Some(status)))
    }

    /// Its body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// What it said, and when.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Which requests it answers.
    #[must_use]
    pub const fn selecting(&self) -> &Selecting {
        &self.selecting
    }

    /// How old it is; sent in whole seconds as `Age` and `X-Cache-Age`.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        self.facts.age(now)
    }

    /// Bytes it costs, without its key.
    #[must_use]
    pub fn weight(&self) -> u64 {
        (allocated(self.head.len()) + allocated(self.body.len()) + self.tags_weight() + self.selecting.weight() + OVERHEAD) as u64
    }

    /// The first line of a field.
    #[must_use]
    pub fn field(&self, name: &HeaderName) -> Option<&[u8]> {
        self.headers().find(|(stored, _)| stored.eq_ignore_ascii_case(name.as_str())).map(|(_, value)| value)
    }

    /// Its header fields, in the order and spelling they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.head.split(|b| *b == b'\n').filter_map(|line| {
            let line = line.strip_suffix(b"\r")?;
            let colon = line.iter().position(|b| *b == b':')?;
            Some((std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 2..]))
        })
    }
}

/// Fields of an answer that are never stored nor passed on: those of one connection (RFC 9110 7.6.1), and those that
/// only this proxy may state. Of a `Cache-Status`, [`without_ours`] removes what claims to be us.
#[must_use]
pub fn never_stored(name: &[u8]) -> bool {
    const NAMES: [&str; 10] =
        ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "age", "x-dedup", "x-request-id", CACHE_TAG];
    const PREFIXES: [&str; 2] = ["proxy-", "x-cache"];
    NAMES.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
        || PREFIXES.iter().any(|p| name.get(..p.len()).is_some_and(|start| start.eq_ignore_ascii_case(p.as_bytes())))
}

/// The names in `Cache-Tag`.
fn tags_of(headers: &HeaderMap) -> Box<str> {
    let lines = headers.get_all(CACHE_TAG).iter().filter_map(|line| line.to_str().ok());
    let tags: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|tag| !tag.is_empty()).collect();
    tags.join(",").into()
}

/// What this answer's `Connection` names, and what its `no-cache="..."` does.
fn dropped_names(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let mut names = no_cache_fields(headers);
    let options = headers.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
    names.extend(options.map(|option| option.trim_ascii().to_vec()));
    names
}

/// No field read from a connection fails this; the block must stay a sequence of lines whoever fills it.
fn is_field(name: &[u8], value: &[u8]) -> bool {
    http::HeaderName::from_bytes(name).is_ok() && http::HeaderValue::from_bytes(value).is_ok()
}

fn push(head: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    head.extend_from_slice(name);
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
