//! The bounded store of answers: by primary key, each with its variants. Weighed in bytes, never above its capacity;
//! what goes and why is counted.
//!
//! Reading takes one read lock of a shard. Every change is made under one mutex, which also guards the books: they are
//! exact at any time, and changes are as rare as fetches.

mod books;
mod removal;
mod slot;
mod survey;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::HeaderMap;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use crate::cache::{CacheKey, Entry, NotStored};
use crate::store::purge::{Begun, Log};
use books::Books;
pub use books::{Evicted, Totals, Usage};
use slot::{Lost, Slot};
pub use survey::Large;

/// Shards at most. An object may fill a quarter of one, so a small capacity or large objects mean fewer.
const MAX_SHARDS: u64 = 8;
/// What is added to the largest body when shards are sized: its head, key and overhead.
const HEAD_ROOM: u64 = 64 << 10;

/// Stored answers, see the module.
#[derive(Debug)]
pub struct Responses {
    slots: Cache<CacheKey, Arc<Slot>, Weigh, DefaultHashBuilder, Collect>,
    books: Mutex<Books>,
    purges: Arc<Log>,
    capacity: u64,
    max_object: u64,
    /// Counts look-ups of keys with several variants: tells which of them was used last.
    tick: AtomicU64,
}

/// What is stored for a request.
#[derive(Clone, Debug)]
pub enum Found {
    /// An answer to it, of any age; [`crate::cache::policy::freshness`] tells whether it may be given.
    Entry {
        /// The answer.
        entry: Arc<Entry>,
        /// If it is not fresh: whether a pass marker is on the key.
        passing: bool,
        /// If it is not fresh: whether the function failed so lately that it is not asked again.
        backing_off: bool,
    },
    /// Answers under this key, but none to this request.
    NoVariant {
        /// The key under which a fetch for it runs.
        flight: CacheKey,
    },
    /// A pass marker: the last answer could not be stored, equal requests do not wait for one another.
    Pass,
    /// Nothing.
    Nothing,
}

impl Responses {
    /// A store of `capacity` bytes whose answers have at most `max_object` bytes of body.
    ///
    /// # Panics
    /// Never: the options are complete.
    #[must_use]
    pub fn new(capacity: u64, max_object: u64) -> Self {
        let fits = |shards: &u64| capacity / shards / 4 >= max_object.saturating_add(HEAD_ROOM);
        let shards = [MAX_SHARDS, 4, 2].into_iter().find(fits).unwrap_or(1);
        // a shard's share is rounded up: ask for a multiple, or the sum may pass the capacity
        let divisible = capacity / shards * shards;
        let count = usize::try_from(shards).unwrap_or(1);
        let options = OptionsBuilder::new()
            .shards(count)
            .weight_capacity(divisible)
            .estimated_items_capacity(usize::try_from(capacity / 2048).unwrap_or(usize::MAX).max(32 * count))
            .build()
            .expect("both capacities are set");
        let slots = Cache::with_options(options, Weigh, DefaultHashBuilder::default(), Collect);
        Self { slots, books: Mutex::default(), purges: Arc::default(), capacity, max_object, tick: AtomicU64::new(1) }
    }

    /// The largest body that is stored, in bytes.
    #[must_use]
    pub const fn max_object(&self) -> u64 {
        self.max_object
    }

    /// Looks a request up.
    #[must_use]
    pub fn lookup(&self, key: &CacheKey, headers: &HeaderMap, now: Instant) -> Found {
        let Some(slot) = self.slots.get(key) else { return Found::Nothing };
        let passing = slot.is_passing(now);
        match slot.find(headers, &self.tick) {
            Some(entry) => Found::Entry { entry, passing, backing_off: slot.is_backing_off(now) },
            None if passing => Found::Pass,
            None => slot.newest().map_or(Found::Nothing, |entry| Found::NoVariant { flight: entry.selecting().flight_key(key, headers) }),
        }
    }

    /// A fetch begins whose answer may be stored: purges from now on are held against it.
    #[must_use]
    pub fn begin(&self) -> Begun {
        self.purges.begin()
    }

    /// Stores an answer in place of an older one to the same requests, and lifts a pass marker.
    ///
    /// # Errors
    /// [`NotStored::TooLarge`] for a body above the limit, or an entry above a quarter of a shard: it would push out too
    /// much else. [`NotStored::Purged`] where a purge took the key since the fetch began.
    pub fn insert(&self, key: &CacheKey, entry: Entry, begun: &Begun) -> Result<Arc<Entry>, NotStored> {
        let weight = entry.weight() + key.len() as u64;
        if entry.body().len() as u64 > self.max_object || weight > self.slots.shard_capacity() / 4 {
            return Err(NotStored::TooLarge);
        }
        let entry = Arc::new(entry);
        let limit = self.slots.shard_capacity() / 2 - key.len() as u64;
        let rule = entry.rule().clone();
        let mut stored = Err(NotStored::Purged);
        self.change(key, &rule, |old, books| {
            // judged under the lock that a purge takes: it comes before, and is in the log, or after, and finds the entry
            if begun.is_purged(&key.parts(), books.resource(&key.parts())) {
                return None;
            }
            stored = Ok(Arc::clone(&entry));
            Some(Slot::with(old, Arc::clone(&entry), limit))
        });
        stored
    }

    /// Marks a key: until then equal requests do not wait for one another. What is stored under it stays.
    pub fn mark_pass(&self, key: &CacheKey, rule: &Arc<str>, until: Instant) {
        self.change(key, rule, |old, _| Some(Slot::passing(old, rule, until)));
    }

    /// The function failed when it was asked again for what is stored under a key.
    pub fn mark_failed(&self, key: &CacheKey, now: Instant) {
        if let Some(slot) = self.slots.peek(key) {
            self.change(key, slot.rule(), |old, _| old.map(|slot| slot.failed(now)));
        }
    }

    /// Whether a caller may have what is fresh under a key fetched anew: once a second, or one client could keep a function busy.
    #[must_use]
    pub fn may_force(&self, key: &CacheKey, now: Instant) -> bool {
        let mut may = true;
        if let Some(slot) = self.slots.peek(key) {
            self.change(key, slot.rule(), |old, _| {
                let forced = old.and_then(|slot| slot.forced(now));
                may = forced.is_some();
                forced
            });
        }
        may
    }

    /// Removes whatever is stored under a key.
    pub fn remove(&self, key: &CacheKey) {
        if let Some(slot) = self.slots.peek(key) {
            self.change(key, slot.rule(), |old, _| old.map(Slot::emptied));
        }
    }

    /// Drops the entries `is_dead` names (no longer fresh, rule gone) and pass markers that are over. One pass over the
    /// store with short read locks, for a background task.
    pub fn sweep(&self, now: Instant, is_dead: impl Fn(&Entry) -> bool) {
        for (key, slot) in self.slots.iter() {
            if slot.needs_sweep(now, &is_dead) {
                // judged again under the lock: it may have changed since
                self.change(&key, slot.rule(), |old, _| old.map(|slot| slot.swept(now, &is_dead)));
            }
        }
    }

    /// What each rule uses, by name. Rules that no longer use anything keep their count of evictions.
    #[must_use]
    pub fn usage(&self) -> Vec<(Arc<str>, Usage)> {
        let mut usage: Vec<_> = self.books().rules.iter().map(|(rule, usage)| (Arc::clone(rule), *usage)).collect();
        usage.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        usage
    }

    /// The store as a whole.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let books = self.books();
        let entries = books.rules.values().map(|usage| usage.entries).sum();
        let evicted = Evicted::ALL.map(|reason| (reason, books.evicted[reason as usize]));
        Totals { bytes: self.bytes(), capacity: self.capacity, entries, evicted }
    }

    /// Bytes taken now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.slots.weight()
    }

    /// Replaces the slot of a key by what `make` makes of it; an empty one is removed.
    fn change(&self, key: &CacheKey, rule: &Arc<str>, make: impl FnOnce(Option<&Slot>, &Books) -> Option<(Slot, Lost)>) {
        // declared before the lock, so that what is pushed out is freed after it
        let mut pushed_out = Vec::new();
        let mut books = self.books();
        let old = self.slots.peek(key);
        let Some((slot, lost)) = make(old.as_deref(), &books) else { return };
        if let Some(old) = &old {
            books.take(key, old);
        }
        books.count(rule, lost.reason, lost.entries);
        books.count(rule, Evicted::VaryCap, lost.crowded);
        if slot.is_empty() {
            self.slots.remove(key);
        } else {
            let slot = Arc::new(slot);
            books.give(key, &slot);
            self.slots.insert_with_lifecycle(key.clone(), slot, &mut pushed_out);
        }
        for (key, slot) in &pushed_out {
            // the store reports the slot replaced as well: that one is booked already
            if !old.as_ref().is_some_and(|old| Arc::ptr_eq(old, slot)) {
                books.take(key, slot);
                books.count(slot.rule(), Evicted::Size, slot.len());
            }
        }
    }

    /// A panic under the lock may leave the books wrong, which a gauge shows; the store itself goes on.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug)]
struct Weigh;

impl Weighter<CacheKey, Arc<Slot>> for Weigh {
    fn weight(&self, key: &CacheKey, slot: &Arc<Slot>) -> u64 {
        slot.weight(key)
    }
}

/// Hands what the store pushes out to the one whose insert did it.
#[derive(Clone, Debug)]
struct Collect;

impl Lifecycle<CacheKey, Arc<Slot>> for Collect {
    type RequestState = Vec<(CacheKey, Arc<Slot>)>;

    fn on_evict(&self, pushed_out: &mut Self::RequestState, key: CacheKey, slot: Arc<Slot>) {
        pushed_out.push((key, slot));
    }
}

#[cfg(test)]
mod tests;
