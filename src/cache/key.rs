//! The primary key of a stored answer: length-prefixed fields, so that no two requests glue to one key, compared in full
//! and never by hash alone (cache.md 3). The selecting fields of [`super::vary`] come on top.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use http::HeaderMap;
use siphasher::sip128::{Hasher128, SipHasher24};

use super::request::{CREDENTIALS, Request};
use super::shape::{NAMES, chosen};
use super::weight::allocated;
use super::{Scope, Settings};

/// The key of one process that hashes callers: 128 random bits, so that a hash tells nothing outside it.
#[derive(Clone)]
pub struct CallerSecret([u8; 16]);

impl CallerSecret {
    /// Takes 16 random bytes, drawn once when the process starts.
    #[must_use]
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// Who is asking: SipHash-2-4 with 128 bits over every value of `Authorization`, `apikey` and `Cookie`, each with
    /// its length. An absent field differs from an empty one.
    #[must_use]
    pub fn caller_hash(&self, headers: &HeaderMap) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        for name in CREDENTIALS {
            let values = headers.get_all(name);
            hasher.write(&length(values.iter().count()));
            for value in values {
                hasher.write(&length(value.len()));
                hasher.write(value.as_bytes());
            }
        }
        hasher.finish128().as_u128()
    }
}

impl fmt::Debug for CallerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerSecret(..)")
    }
}

/// The primary key of a stored answer; cheap to clone. The default is no key of any request, and comes before all.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheKey(Arc<[u8]>);

/// What a key was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyParts<'a> {
    /// Name of the rule.
    pub rule: &'a str,
    /// Name of the upstream.
    pub upstream: &'a str,
    /// `Host`, in lower case.
    pub host: &'a str,
    /// The path.
    pub path: &'a str,
    /// The query, without its mark; under `key.query` what of it counts.
    pub query: Option<&'a str>,
    /// The hash of the caller, under `per_caller`.
    pub caller: Option<u128>,
    /// Whether only some parameters count.
    pub selective: bool,
    /// What else is in it, as it stands there.
    pub(crate) behind: &'a [u8],
}

impl<'a> KeyParts<'a> {
    /// Path and query, as a request writes them.
    #[must_use]
    pub fn target(&self) -> String {
        self.query.map_or_else(|| self.path.to_owned(), |query| format!("{}?{query}", self.path))
    }

    /// Parts that name a resource, for [`Self::is_resource`].
    #[must_use]
    pub fn resource(host: &'a str, path: &'a str, query: Option<&'a str>) -> Self {
        Self { host, path, query, ..Self::default() }
    }

    /// Whether a request for this Host, path and query is answered by what is under this key.
    #[must_use]
    pub fn is_resource(&self, wanted: &KeyParts<'_>) -> bool {
        (self.host, self.path) == (wanted.host, wanted.path) && self.has_query(wanted.query)
    }

    /// Whether it is the key for this query: under `key.query`, for all that counts of it.
    #[must_use]
    pub fn has_query(&self, query: Option<&str>) -> bool {
        if !self.selective {
            return self.query == query;
        }
        let names: Vec<&[u8]> =
            self.groups().into_iter().filter(|(name, _)| *name == NAMES.as_bytes()).flat_map(|(_, names)| names).collect();
        chosen(query, |name| names.contains(&name.as_bytes())).as_deref() == self.query
    }

    /// What else is in it: names, each with its values.
    fn groups(&self) -> Vec<(&'a [u8], Vec<&'a [u8]>)> {
        let mut rest = self.behind;
        let mut groups = Vec::new();
        for _ in 0..number(&mut rest).unwrap_or_default() {
            let Some((name, count)) = text(&mut rest).zip(number(&mut rest)) else { break };
            groups.push((name, (0..count).map_while(|_| text(&mut rest)).collect()));
        }
        groups
    }
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, behind) = rest.split_first_chunk::<4>()?;
    *rest = behind;
    Some(u32::from_le_bytes(*bytes))
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(rest)? as usize;
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(text)
}

impl CacheKey {
    /// The key of a request under a rule. Scope and shape are part of it: an answer kept while a rule was `public` is out of
    /// reach once the rule is not.
    #[must_use]
    pub fn new(rule: &str, settings: &Settings, request: &Request<'_>, secret: &CallerSecret) -> Self {
        let query = settings.key.query(request.query);
        let parts = [rule, request.upstream, request.host, request.path, query.as_deref().unwrap_or_default()];
        let mut key = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum::<usize>() + 22);
        for part in parts {
            push(&mut key, part.as_bytes());
        }
        // the host is the third part: after two lengths, two texts and its own length
        let host = rule.len() + request.upstream.len() + 12;
        key[host..host + request.host.len()].make_ascii_lowercase();
        key.push(u8::from(query.is_some()));
        key.push(letter(settings.scope));
        if settings.scope == Scope::PerCaller {
            key.extend_from_slice(&secret.caller_hash(request.headers).to_le_bytes());
        }
        let groups = settings.key.groups(request.headers, request.trusted);
        key.extend_from_slice(&length(groups.len()));
        for (name, values) in groups {
            push(&mut key, name.as_bytes());
            key.extend_from_slice(&length(values.len()));
            for value in values {
                push(&mut key, value);
            }
        }
        Self(key.into())
    }

    /// Whether a rule as it is now makes keys like this one. If not, no request finds what is under it.
    #[must_use]
    pub fn suits(&self, settings: &Settings) -> bool {
        let scope = self.read().map(|(_, scope)| scope);
        scope == Some(letter(settings.scope)) && settings.key.is_of(&self.parts().groups())
    }

    /// What it was made of. Of a flight's key: those of the primary key in front.
    #[must_use]
    pub fn parts(&self) -> KeyParts<'_> {
        self.read().map(|(parts, _)| parts).unwrap_or_default()
    }

    fn read(&self) -> Option<(KeyParts<'_>, u8)> {
        let mut rest = &*self.0;
        let mut word = || std::str::from_utf8(text(&mut rest)?).ok();
        let (rule, upstream, host, path, query) = (word()?, word()?, word()?, word()?, word()?);
        let [asked, scope, behind @ ..] = rest else { return None };
        let (caller, behind) = match scope {
            b'c' => behind.split_first_chunk().map(|(hash, behind)| (Some(u128::from_le_bytes(*hash)), behind))?,
            _ => (None, behind),
        };
        let parts = KeyParts { rule, upstream, host, path, query: (*asked == 1).then_some(query), caller, selective: false, behind };
        let selective = parts.groups().first().is_some_and(|(name, _)| *name == NAMES.as_bytes());
        Some((KeyParts { selective, ..parts }, *scope))
    }

    /// This key with the values of selecting fields behind it: one fetch runs for each, see
    /// [`super::vary::Selecting::flight_key`]. Never equal to a primary key.
    #[must_use]
    pub(super) fn followed_by(&self, selecting: &[u8]) -> Self {
        Self([&self.0, selecting].concat().into())
    }

    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes it takes in memory, with the counts of who holds it.
    #[must_use]
    pub fn weight(&self) -> u64 {
        allocated(2 * size_of::<usize>() + self.0.len()) as u64
    }

    /// Never true: a key holds at least its lengths.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A key may hold a query with a secret in it: never printed.
impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({} bytes)", self.len())
    }
}

const fn letter(scope: Scope) -> u8 {
    match scope {
        Scope::Public => b'p',
        Scope::Anonymous => b'a',
        Scope::Standard => b's',
        Scope::PerCaller => b'c',
    }
}

fn push(key: &mut Vec<u8>, text: &[u8]) {
    key.extend_from_slice(&length(text.len()));
    key.extend_from_slice(text);
}

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("a request's head is far below 4 GiB").to_le_bytes()
}

#[cfg(test)]
mod tests;
