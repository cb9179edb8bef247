//! The facts of the last requests, to say what an edit of the rules would have meant for them.
//!
//! What is kept is what a plan is made of, and no more than the access log shows of a request: method, host and path as they are; of header fields
//! and of the query only hashes of their names. Values are kept of the four fields that every plan reads, and of what the rules in force compare
//! with a glob; of a credential never. A slot has a fixed size, so that all of them together have one, and nothing is allocated for a request.

mod record;

use std::fmt;
use std::mem::size_of;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use http::HeaderName;

pub use record::Recalled;

use super::RuleSet;
use crate::cache::request::CREDENTIALS;
use crate::rules::{Facts, Matcher, Pattern};

/// How many requests are remembered.
pub const REQUESTS: usize = 1_000;
/// Most bytes kept of one; a request that needs more is remembered as one of which nothing can be said.
const ROOM: usize = 510;
/// What they take, in bytes.
pub const BYTES: usize = REQUESTS * size_of::<Mutex<Slot>>();

/// Header fields and names in the query that rules look at, beyond what every plan reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Fields, and whether their values matter.
    headers: Vec<(HeaderName, bool)>,
    /// Names, and whether their values matter.
    query: Vec<(String, bool)>,
}

impl Watched {
    /// What the rules look at.
    #[must_use]
    pub fn of(rules: &RuleSet) -> Self {
        let mut watched = Self::default();
        rules.matchers().for_each(|matcher| watched.add(matcher));
        watched
    }

    /// What either of two looks at.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        other.headers.into_iter().for_each(|(name, value)| note(&mut self.headers, name, value));
        other.query.into_iter().for_each(|(name, value)| note(&mut self.query, name, value));
        self
    }

    fn add(&mut self, matcher: &Matcher) {
        let compares = |pattern: &Pattern| !matches!(pattern.as_str(), "*" | "**");
        for (name, pattern) in &matcher.headers {
            note(&mut self.headers, name.clone(), compares(pattern));
        }
        for (name, pattern) in &matcher.query {
            note(&mut self.query, name.clone(), pattern.as_ref().is_some_and(compares));
        }
    }

    /// Whether the value of a field is to be kept. A credential's never is.
    fn keeps(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(n, value)| *value && n == name) && !CREDENTIALS.contains(&name.as_str())
    }

    /// Whether the value of a name in the query is to be kept.
    fn keeps_query(&self, name: &str) -> bool {
        self.query.iter().any(|(n, value)| *value && n == name)
    }
}

fn note<N: PartialEq>(list: &mut Vec<(N, bool)>, name: N, value: bool) {
    match list.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known |= value,
        None => list.push((name, value)),
    }
}

/// One request.
struct Slot {
    length: u16,
    bytes: [u8; ROOM],
}

/// The last requests. Each takes the slot of the oldest; two that come at once take two, so they do not wait for each other.
pub struct Recent {
    slots: Box<[Mutex<Slot>]>,
    next: AtomicUsize,
}

impl Default for Recent {
    fn default() -> Self {
        let slot = || Mutex::new(Slot { length: 0, bytes: [0; ROOM] });
        Self { slots: std::iter::repeat_with(slot).take(REQUESTS).collect(), next: AtomicUsize::new(0) }
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").field("requests", &self.len()).finish_non_exhaustive()
    }
}

impl Recent {
    /// Remembers a request, in place of the oldest one. `watched` is what the rules in force look at.
    pub fn note(&self, facts: &Facts<'_>, watched: &Watched) {
        let at = self.next.fetch_add(1, Relaxed) % REQUESTS;
        let mut slot = self.slots[at].lock().unwrap_or_else(PoisonError::into_inner);
        let Slot { length, bytes } = &mut *slot;
        *length = record::write(bytes, facts, watched);
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.next.load(Relaxed).min(REQUESTS)
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those remembered, in no order, as far as these rules look at them; `None` for each of which too little was kept to make a plan.
    #[must_use]
    pub fn recall(&self, watched: &Watched) -> Vec<Option<Recalled>> {
        let recall = |slot: &Mutex<Slot>| {
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            record::read(&slot.bytes[..usize::from(slot.length)], watched)
        };
        self.slots[..self.len()].iter().map(recall).collect()
    }
}

#[cfg(test)]
mod tests;
