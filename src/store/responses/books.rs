//! The books of the store: what each rule uses, why entries left, and which keys belong to one resource.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use super::slot::Slot;
use crate::cache::{CacheKey, KeyParts};

/// Why an entry left the store. Closed: metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evicted {
    /// Others needed the space.
    Size,
    /// No longer fresh, or its rule is gone.
    Expired,
    /// A newer answer to the same requests took its place, or it was removed.
    Replaced,
    /// A purge took it, or an unsafe method changed what it shows.
    Purge,
    /// More variants under its key than 16, or than half a shard holds.
    VaryCap,
}

impl Evicted {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [Self; 5] = [Self::Size, Self::Expired, Self::Replaced, Self::Purge, Self::VaryCap];

    /// The closed word of the reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Expired => "expired",
            Self::Replaced => "replaced",
            Self::Purge => "purge",
            Self::VaryCap => "vary_cap",
        }
    }
}

/// What one rule uses of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Stored answers, variants counted one by one.
    pub entries: u64,
    /// Bytes they and the rule's pass markers weigh.
    pub bytes: u64,
    /// Answers that left the store, for whatever reason.
    pub evictions: u64,
    /// Those of them that a purge or an unsafe method took.
    pub purged: u64,
}

/// The store as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Bytes held; never above `capacity`.
    pub bytes: u64,
    /// Bytes it may hold.
    pub capacity: u64,
    /// Stored answers.
    pub entries: u64,
    /// Answers that left the store.
    pub evicted: [(Evicted, u64); Evicted::ALL.len()],
}

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) rules: HashMap<Arc<str>, Usage>,
    pub(super) evicted: [u64; Evicted::ALL.len()],
    /// The keys of each resource, by the hash of its Host, path and query: an unsafe method finds them without a search.
    resources: BTreeSet<(u64, CacheKey)>,
    hasher: RandomState,
}

impl Books {
    pub(super) fn of(&mut self, rule: &Arc<str>) -> &mut Usage {
        self.rules.entry(Arc::clone(rule)).or_default()
    }

    pub(super) fn give(&mut self, key: &CacheKey, slot: &Slot) {
        let usage = self.of(slot.rule());
        usage.entries += slot.len();
        usage.bytes += slot.weight(key);
        self.resources.insert((self.resource(&key.parts()), key.clone()));
    }

    pub(super) fn take(&mut self, key: &CacheKey, slot: &Slot) {
        let usage = self.of(slot.rule());
        usage.entries -= slot.len();
        usage.bytes -= slot.weight(key);
        self.resources.remove(&(self.resource(&key.parts()), key.clone()));
    }

    pub(super) fn count(&mut self, rule: &Arc<str>, reason: Evicted, entries: u64) {
        let usage = self.of(rule);
        usage.evictions += entries;
        usage.purged += if reason == Evicted::Purge { entries } else { 0 };
        self.evicted[reason as usize] += entries;
    }

    /// The hash of what a URL names, under whatever rule, scope and upstream.
    pub(super) fn resource(&self, key: &KeyParts<'_>) -> u64 {
        self.hasher.hash_one((key.host, key.path, key.query))
    }

    /// 24 bits in the place of a caller's hash.
    pub(super) fn digits(&self, caller: u128) -> u32 {
        u32::try_from(self.hasher.hash_one(caller) >> 40).expect("24 bits are left")
    }

    /// The keys with this hash.
    pub(super) fn keys_of(&self, resource: u64) -> Vec<CacheKey> {
        let from = (resource, CacheKey::default());
        self.resources.range(from..).take_while(|(hash, _)| *hash == resource).map(|(_, key)| key.clone()).collect()
    }
}
