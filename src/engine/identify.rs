//! `identify`: the events in a body that a deduplication rule claimed.

use bytes::Bytes;

use crate::dedup::{self, SkipReason, key::Keys, key::Scope};

/// What a body holds.
#[derive(Clone, Debug)]
pub enum Identified {
    /// Events with keys.
    Events {
        /// Their keys, each once.
        keys: Keys,
        /// Whether the body also holds something without a key, so that it is forwarded whatever the keys say.
        idless: bool,
    },
    /// Nothing to go by: forward.
    Skip(SkipReason),
}

/// Finds the events of a body. The scope is upstream and function, not the rule: one webhook fanned out to two functions
/// is two events, and a renamed rule keeps what it knows.
#[must_use]
pub fn identify(settings: &dedup::Settings, upstream: &str, function: &str, body: &[Bytes]) -> Identified {
    match dedup::extract(settings.id, &Scope { upstream, function }, body) {
        Ok(found) if found.keys.is_empty() => Identified::Skip(SkipReason::NoId),
        Ok(found) => Identified::Events { keys: found.keys, idless: found.idless },
        Err(reason) => Identified::Skip(reason),
    }
}
