//! The primary key of a stored answer: length-prefixed fields, so that no two requests glue to one key, compared in full
//! and never by hash alone (cache.md 3). The selecting fields of [`super::vary`] come on top.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use http::HeaderMap;
use siphasher::sip128::{Hasher128, SipHasher24};

use super::Scope;
use super::request::{CREDENTIALS, Request};

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
    /// The query, without its mark.
    pub query: Option<&'a str>,
    /// The hash of the caller, under `per_caller`.
    pub caller: Option<u128>,
}

impl KeyParts<'_> {
    /// Path and query, as a request writes them.
    #[must_use]
    pub fn target(&self) -> String {
        self.query.map_or_else(|| self.path.to_owned(), |query| format!("{}?{query}", self.path))
    }

    /// Whether both name one resource: Host, path and query.
    #[must_use]
    pub fn is_resource(&self, other: &Self) -> bool {
        (self.host, self.path, self.query) == (other.host, other.path, other.query)
    }
}

impl CacheKey {
    /// The key of a request under a rule. The scope is part of it: an answer kept while a rule was `public` is out of
    /// reach once the rule is not.
    #[must_use]
    pub fn new(rule: &str, scope: Scope, request: &Request<'_>, secret: &CallerSecret) -> Self {
        let query = request.query.unwrap_or_default();
        let parts = [rule, request.upstream, request.host, request.path, query];
        let mut key = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum::<usize>() + 18);
        for part in parts {
            key.extend_from_slice(&length(part.len()));
            key.extend_from_slice(part.as_bytes());
        }
        // the host is the third part: after two lengths, two texts and its own length
        let host = rule.len() + request.upstream.len() + 12;
        key[host..host + request.host.len()].make_ascii_lowercase();
        key.push(u8::from(request.query.is_some()));
        match scope {
            Scope::Public => key.push(b'p'),
            Scope::Anonymous => key.push(b'a'),
            Scope::Standard => key.push(b's'),
            Scope::PerCaller => {
                key.push(b'c');
                key.extend_from_slice(&secret.caller_hash(request.headers).to_le_bytes());
            }
        }
        Self(key.into())
    }

    /// What it was made of. Of a flight's key: those of the primary key in front.
    #[must_use]
    pub fn parts(&self) -> KeyParts<'_> {
        self.read().unwrap_or_default()
    }

    fn read(&self) -> Option<KeyParts<'_>> {
        let mut rest = &*self.0;
        let mut text = || {
            let (len, behind) = rest.split_first_chunk::<4>()?;
            let (text, behind) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            rest = behind;
            std::str::from_utf8(text).ok()
        };
        let (rule, upstream, host, path, query) = (text()?, text()?, text()?, text()?, text()?);
        let [asked, scope, behind @ ..] = rest else { return None };
        let caller = (*scope == b'c').then(|| behind.first_chunk().copied().map(u128::from_le_bytes)).flatten();
        Some(KeyParts { rule, upstream, host, path, query: (*asked == 1).then_some(query), caller })
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

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("a request's head is far below 4 GiB").to_le_bytes()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};
    use proptest::prelude::*;

    use super::*;

    const SECRET: CallerSecret = CallerSecret::new([7; 16]);

    /// Everything a key is made of.
    type Parts = (String, String, String, String, Option<String>, u8, Vec<(u8, String)>);

    fn headers(credentials: &[(u8, String)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in credentials {
            headers.append(CREDENTIALS[usize::from(*name)], HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn key(parts: &Parts) -> CacheKey {
        let (rule, upstream, host, path, query, scope, credentials) = parts;
        let headers = headers(credentials);
        let scope = [Scope::Public, Scope::PerCaller, Scope::Anonymous][usize::from(*scope)];
        let request = Request {
            method: &Method::GET,
            host,
            path,
            odd_path: false,
            query: query.as_deref(),
            headers: &headers,
            has_body: false,
            upstream,
        };
        CacheKey::new(rule, scope, &request, &SECRET)
    }

    /// The parts that count: the host without its case, the credentials by name and only under `per_caller`.
    fn meaning(parts: &Parts) -> Parts {
        let mut parts = parts.clone();
        parts.2.make_ascii_lowercase();
        parts.6.sort_by_key(|(name, _)| *name);
        parts.6.retain(|_| parts.5 == 1);
        parts
    }

    fn parts() -> impl Strategy<Value = Parts> {
        let text = "[ab\u{0}]{0,2}";
        let credentials = prop::collection::vec((0_u8..3, "[ab]{0,2}"), 0..3);
        (text, text, "[aAb:]{0,2}", text, prop::option::of(text), 0_u8..3, credentials)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn equal_keys_mean_equal_fields(a in parts(), b in parts()) {
            prop_assert_eq!(key(&a) == key(&b), meaning(&a) == meaning(&b));
        }

            #[test]
        fn a_key_tells_what_it_was_made_of(a in parts()) {
            let key = key(&a);
            let (rule, upstream, host, path, query) = (&*a.0, &*a.1, &*a.2.to_ascii_lowercase(), &*a.3, a.4.as_deref());
            let caller = (a.5 == 1).then(|| SECRET.caller_hash(&headers(&a.6)));
            prop_assert_eq!(key.parts(), KeyParts { rule, upstream, host, path, query, caller });
            let flight = key.followed_by(b"more");
            prop_assert_eq!(flight.parts(), key.parts());
            prop_assert!(CacheKey::default() < key);
        }

        /// Neighbours in the alphabet above rarely meet: change one field at a time.
        #[test]
        fn one_changed_field_is_another_key(a in parts(), b in parts(), field in 0_usize..7) {
            let mut changed = a.clone();
            match field {
                0 => changed.0 = b.0,
                1 => changed.1 = b.1,
                2 => changed.2 = b.2,
                3 => changed.3 = b.3,
                4 => changed.4 = b.4,
                5 => changed.5 = b.5,
                _ => changed.6 = b.6,
            }
            prop_assert_eq!(key(&a) == key(&changed), meaning(&a) == meaning(&changed));
        }
    }

    #[test]
    fn every_credential_tells_callers_apart() {
        let hash = |list: &[(u8, &str)]| SECRET.caller_hash(&headers(&list.iter().map(|(n, v)| (*n, (*v).to_owned())).collect::<Vec<_>>()));
        let all = [&[][..], &[(0, "a")], &[(1, "a")], &[(2, "a")], &[(0, "")], &[(0, "a"), (0, "b")], &[(0, "ab")], &[(0, "a"), (1, "b")]];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(hash(a), hash(b), "{a:?} {b:?}");
            }
        }
        assert_ne!(CallerSecret::new([8; 16]).caller_hash(&HeaderMap::new()), SECRET.caller_hash(&HeaderMap::new()));
    }

    #[test]
    fn secrets_are_not_printed() {
        let parts = ("r".into(), "u".into(), "h".into(), "/p".into(), Some("token=secret".into()), 1, vec![(0, "secret".into())]);
        assert!(!format!("{:?} {SECRET:?}", key(&parts)).contains("secret"));
    }
}
