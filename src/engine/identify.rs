//! `identify`: the events in a delivery that a deduplication rule claimed.

use crate::dedup::{self, Delivery, SkipReason, key::Keys, key::Scope};

/// What a delivery holds.
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

/// Finds the events of a delivery. The scope is upstream and function, not the rule: one webhook fanned out to two functions
/// is two events, and a renamed rule keeps what it knows.
#[must_use]
pub fn identify(settings: &dedup::Settings, upstream: &str, function: &str, delivery: &Delivery<'_>) -> Identified {
    match dedup::extract(&settings.id, &Scope { upstream, function }, delivery) {
        Ok(found) if found.keys.is_empty() => Identified::Skip(SkipReason::NoId),
        Ok(found) => Identified::Events { keys: found.keys, idless: found.idless },
        Err(reason) => Identified::Skip(reason),
    }
}
