//! The key of an event: 128 bits, equal for every repeat of one event at one function and for nothing else.
//!
//! An id alone is not enough. Status updates, calls and media that follow a placeholder reuse the id of a message, and one webhook
//! may be sent to two functions; so the key is a hash over the scope, the place the id was found in, and what tells such events apart.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use sha2::{Digest, Sha256};

/// Whose events these are: the same event at two functions is two events. The rule's name is not part of it, so a rule can be
/// renamed without forgetting what was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The name of the upstream.
    pub upstream: &'a str,
    /// The name of the function.
    pub function: &'a str,
}

/// The key of one event: SHA-256 over its length-prefixed parts, cut to 128 bits. It also carries the [`BareId`] among these, by which
/// an operator who knows nothing but the id finds the event.
#[derive(Clone, Copy)]
pub struct EventKey {
    hash: [u8; 16],
    id: BareId,
}

/// An id as its sender wrote it, hashed under a key that this process drew by lot and tells nobody: ids hold phone numbers, and few enough
/// of these exist that a plain hash could be undone. Equal for all events that share an id, and of no use after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BareId(u64);

impl BareId {
    /// The hash of an id.
    #[must_use]
    pub fn of(id: &[u8]) -> Self {
        static LOT: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(LOT.hash_one(id))
    }

    /// All 64 bits.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Its first 32 bits, for a table that counts bytes: of four billion ids, two share them.
    #[must_use]
    pub const fn short(self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.0.to_be_bytes();
        [a, b, c, d]
    }
}

// The hash alone says which event it is: the id is one of its parts.
impl PartialEq for EventKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for EventKey {}

impl PartialOrd for EventKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EventKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.hash.cmp(&other.hash)
    }
}

impl Hash for EventKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl EventKey {
    /// The first 8 hex digits: enough to follow an event through the log, and no way back to the id (which holds a phone number).
    #[must_use]
    pub fn log_digits(&self) -> impl fmt::Display + use<> {
        let [a, b, c, d, ..] = self.hash;
        Hex(u32::from_be_bytes([a, b, c, d]))
    }

    /// The key's bytes, for a store outside this process.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.hash
    }

    /// The id among its parts; the same for all keys that have none.
    #[must_use]
    pub const fn id(&self) -> BareId {
        self.id
    }
}

impl fmt::Debug for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventKey({})", self.log_digits())
    }
}

struct Hex(u32);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Hashes the parts of a key, in order. A clone goes on from the parts so far: what a thousand events share is hashed once.
#[derive(Clone)]
pub struct KeyHasher {
    parts: Sha256,
    id: BareId,
}

impl KeyHasher {
    /// Starts the keys of a scope and of a profile (`whatsapp`), which says how ids are found.
    #[must_use]
    pub fn new(scope: &Scope<'_>, profile: &str) -> Self {
        let mut hasher = Self::content();
        for part in [scope.upstream, scope.function, profile] {
            hasher.part(Some(part.as_bytes()));
        }
        hasher
    }

    /// Starts a digest of content, itself to be a part of a key.
    #[must_use]
    pub fn content() -> Self {
        Self { parts: Sha256::new(), id: BareId::default() }
    }

    /// Adds a part. `None`, a part the event lacks, differs from an empty one.
    pub fn part(&mut self, part: Option<&[u8]>) {
        // The length in front keeps ("ab", "c") and ("a", "bc") apart; no part is as long as the mark of an absent one.
        let length = part.map_or(u32::MAX, |bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1));
        self.parts.update(length.to_be_bytes());
        self.parts.update(part.unwrap_or_default());
    }

    /// Adds the part that is the event's id.
    pub fn id(&mut self, id: &[u8]) {
        self.id = BareId::of(id);
        self.part(Some(id));
    }

    /// The key of the parts.
    #[must_use]
    pub fn finish(self) -> EventKey {
        let mut hash = [0; 16];
        hash.copy_from_slice(&self.parts.finalize()[..16]);
        EventKey { hash, id: self.id }
    }
}

/// The keys of one request: sorted and without repeats, so that a request never meets itself. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys(Arc<[EventKey]>);

impl Keys {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys in ascending order.
    pub fn iter(&self) -> std::slice::Iter<'_, EventKey> {
        self.0.iter()
    }
}

impl From<Vec<EventKey>> for Keys {
    fn from(mut keys: Vec<EventKey>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Self(keys.into())
    }
}

impl<'a> IntoIterator for &'a Keys {
    type Item = &'a EventKey;
    type IntoIter = std::slice::Iter<'a, EventKey>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: Scope<'_> = Scope { upstream: "functions", function: "wa-webhook" };

    fn key(scope: &Scope<'_>, profile: &str, parts: &[Option<&str>]) -> EventKey {
        let mut hasher = KeyHasher::new(scope, profile);
        for part in parts {
            hasher.part(part.map(str::as_bytes));
        }
        hasher.finish()
    }

    #[test]
    fn every_part_and_its_place_counts() {
        let base = key(&SCOPE, "whatsapp", &[Some("ab"), Some("c")]);
        assert_eq!(base, key(&SCOPE, "whatsapp", &[Some("ab"), Some("c")]));
        let others = [
            key(&Scope { upstream: "other", ..SCOPE }, "whatsapp", &[Some("ab"), Some("c")]),
            key(&Scope { function: "other", ..SCOPE }, "whatsapp", &[Some("ab"), Some("c")]),
            key(&SCOPE, "other", &[Some("ab"), Some("c")]),
            key(&SCOPE, "whatsapp", &[Some("a"), Some("bc")]),
            key(&SCOPE, "whatsapp", &[Some("abc")]),
            key(&SCOPE, "whatsapp", &[Some("ab"), Some("c"), None]),
            key(&SCOPE, "whatsapp", &[Some("ab"), Some("c"), Some("")]),
            base,
        ];
        assert_eq!(Keys::from(others.to_vec()).len(), others.len(), "no two of them are the same event");
    }

    #[test]
    fn a_clone_goes_on_from_the_parts_so_far() {
        let mut shared = KeyHasher::new(&SCOPE, "whatsapp");
        shared.part(Some(b"messages"));
        let mut one = shared.clone();
        one.part(Some(b"1"));
        shared.part(Some(b"2"));
        assert_eq!(one.finish(), key(&SCOPE, "whatsapp", &[Some("messages"), Some("1")]));
        assert_eq!(shared.finish(), key(&SCOPE, "whatsapp", &[Some("messages"), Some("2")]));
    }

    #[test]
    fn a_known_key_stays_the_same_over_versions() {
        // A shared store outlives a release, so the spelling of a key is part of the contract.
        let key = key(&SCOPE, "whatsapp", &[Some("messages"), None]);
        assert_eq!(key.log_digits().to_string(), "68360f50");
        assert_eq!(format!("{key:?}"), "EventKey(68360f50)");
    }

    #[test]
    fn the_id_is_a_part_like_others_and_finds_the_event() {
        let mut hasher = KeyHasher::new(&SCOPE, "whatsapp");
        hasher.id(b"wamid.a");
        let with = hasher.finish();
        assert_eq!(with.as_bytes(), key(&SCOPE, "whatsapp", &[Some("wamid.a")]).as_bytes());
        assert_eq!(with.id(), BareId::of(b"wamid.a"));
        assert!(with.id() != BareId::of(b"wamid.b") && with.id() != BareId::default());
        assert_eq!(u64::from(u32::from_be_bytes(with.id().short())), with.id().get() >> 32);
    }

    #[test]
    fn keys_are_a_sorted_set() {
        let (a, b) = (key(&SCOPE, "p", &[Some("1")]), key(&SCOPE, "p", &[Some("2")]));
        let keys = Keys::from(vec![b, a, b, a]);
        assert_eq!(keys, Keys::from(vec![a, b]));
        assert!(keys.iter().is_sorted() && keys.len() == 2 && !keys.is_empty());
    }
}
