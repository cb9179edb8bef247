//! The form of one remembered request: texts with their lengths, then hashes of names, then the few values that are kept.

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, RANGE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Watched;
use crate::cache::request::{CREDENTIALS, OVERRIDES};
use crate::engine::Site;
use crate::rules::path::Path;
use crate::rules::{Facts, function};

/// Fields whose values every plan reads. None of them says who is asking.
static READ: [HeaderName; 4] = [CONNECTION, CACHE_CONTROL, RANGE, CONTENT_LENGTH];
/// Fields of which every plan reads whether they are there, besides credentials and what overrides the request line.
static SEEN: [HeaderName; 3] = [CONTENT_ENCODING, TRANSFER_ENCODING, UPGRADE];

const ODD: u8 = 1;
const HAS_QUERY: u8 = 2;

/// A remembered request, as far as rules look at it.
#[derive(Clone, Debug)]
pub struct Recalled {
    listener: String,
    method: Method,
    host: String,
    path: String,
    odd: bool,
    query: Option<String>,
    headers: HeaderMap,
}

impl Recalled {
    /// Looks at its facts, where it came in; `None` where that listener is none of these.
    pub fn with_facts<T>(&self, sites: &[Site], look: impl FnOnce(&Facts<'_>) -> T) -> Option<T> {
        let site = sites.iter().find(|site| site.listener == self.listener)?;
        Some(look(&Facts {
            listener: &site.listener,
            upstream: &site.upstream,
            method: &self.method,
            host: &self.host,
            path: Path::normal(&self.path, self.odd),
            query: self.query.as_deref(),
            function: function::name(&self.path, &site.prefix),
            headers: &self.headers,
        }))
    }

    /// Whether it carries a credential.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        CREDENTIALS.iter().any(|name| self.headers.contains_key(*name))
    }
}

/// Writes a request; answers the length, 0 where it does not fit.
pub(super) fn write(bytes: &mut [u8], facts: &Facts<'_>, watched: &Watched) -> u16 {
    let mut to = Writer { bytes, at: 0 };
    write_all(&mut to, facts, watched).and_then(|()| u16::try_from(to.at).ok()).unwrap_or(0)
}

fn write_all(to: &mut Writer<'_>, facts: &Facts<'_>, watched: &Watched) -> Option<()> {
    for text in [facts.listener, facts.method.as_str(), facts.host, facts.path.as_str()] {
        to.text(text.as_bytes())?;
    }
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    to.put(&[flag(facts.path.is_odd(), ODD) | flag(facts.query.is_some(), HAS_QUERY)])?;
    to.list(facts.headers.keys(), |to, name| to.put(&hash(name.as_str()).to_le_bytes()))?;
    to.list(facts.query_pairs(), |to, (name, _)| to.put(&hash(name).to_le_bytes()))?;
    to.list(facts.headers.iter().filter(|(name, _)| READ.contains(name) || watched.keeps(name)), |to, (name, value)| {
        to.text(name.as_str().as_bytes())?;
        to.text(value.as_bytes())
    })?;
    to.list(facts.query_pairs().filter(|(name, _)| watched.keeps_query(name)), |to, (name, value)| {
        to.text(name.as_bytes())?;
        to.text(value.as_bytes())
    })
}

/// Reads a request back; `None` where too little was kept of it for rules that look at `watched`.
pub(super) fn read(bytes: &[u8], watched: &Watched) -> Option<Recalled> {
    let mut from = Reader { bytes };
    let (listener, method, host, path) = (from.string()?, from.string()?.parse().ok()?, from.string()?, from.string()?);
    let flags = *from.take(1)?.first()?;
    let (fields, names) = (from.list(Reader::hash)?, from.list(Reader::hash)?);
    let field = |from: &mut Reader<'_>| Some((HeaderName::from_bytes(from.text()?).ok()?, HeaderValue::from_bytes(from.text()?).ok()?));
    let mut headers: HeaderMap = HeaderMap::new();
    for (name, value) in from.list(field)? {
        headers.append(name, value);
    }
    let mut query = from.list(|from| Some((from.string()?, Some(from.string()?))))?;

    let always = CREDENTIALS.iter().chain(&OVERRIDES).map(|name| HeaderName::from_static(name)).chain(SEEN.iter().cloned());
    for (name, value) in watched.headers.iter().cloned().chain(always.map(|name| (name, false))) {
        if fields.contains(&hash(name.as_str())) && !headers.contains_key(&name) {
            if value {
                return None;
            }
            headers.insert(name, HeaderValue::from_static(""));
        }
    }
    for (name, value) in &watched.query {
        if names.contains(&hash(name)) && !query.iter().any(|(known, _)| known == name) {
            if *value {
                return None;
            }
            query.push((name.clone(), None));
        }
    }
    let pair = |(name, value): &(String, Option<String>)| value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}={value}"));
    let query = (flags & HAS_QUERY != 0).then(|| query.iter().map(pair).collect::<Vec<_>>().join("&"));
    Some(Recalled { listener, method, host, path, odd: flags & ODD != 0, query, headers })
}

/// FNV-1a. That two names of one request meet is one chance in thousands of millions, and would only blur a figure.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Everything answers `None` where the room ends.
struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.bytes.get_mut(self.at..self.at + bytes.len())?.copy_from_slice(bytes);
        self.at += bytes.len();
        Some(())
    }

    fn text(&mut self, bytes: &[u8]) -> Option<()> {
        self.put(&u16::try_from(bytes.len()).ok()?.to_le_bytes())?;
        self.put(bytes)
    }

    fn list<T>(&mut self, items: impl Iterator<Item = T>, mut one: impl FnMut(&mut Self, T) -> Option<()>) -> Option<()> {
        let start = self.at;
        self.put(&[0])?;
        let mut count: u8 = 0;
        for item in items {
            one(self, item)?;
            count = count.checked_add(1)?;
        }
        self.bytes[start] = count;
        Some(())
    }
}

/// Everything answers `None` at the end.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.take(2)?.try_into().map(u16::from_le_bytes).ok()?;
        self.take(usize::from(length))
    }

    fn string(&mut self) -> Option<String> {
        std::str::from_utf8(self.text()?).ok().map(str::to_owned)
    }

    fn hash(&mut self) -> Option<u32> {
        self.take(4)?.try_into().map(u32::from_le_bytes).ok()
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = *self.take(1)?.first()?;
        (0..count).map(|_| one(self)).collect()
    }
}
