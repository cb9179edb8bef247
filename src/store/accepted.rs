//! The accepted events: a queue of packed slots in order of acceptance, and an index into it.
//!
//! A slot holds the key, half of the bare id's hash, and the time in 40 bits of milliseconds, counted from the first acceptance: 25 bytes,
//! no padding, and 34 years until they end. The time is rounded down, so an age may be a millisecond too high and a window that much too short, never
//! too long. Both parts are laid out for `capacity` entries once; the index is at most half full, so that removals leave no
//! tombstones to clean up and it never has to be built again. Pages not yet used are not resident.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use hashbrown::HashTable;

use super::ghosts::Ghosts;
use crate::dedup::{BareId, EventKey};

/// No window is longer: senders give up after 7 days, and older entries are dropped.
pub(super) const LONGEST_WINDOW: Duration = Duration::from_hours(7 * 24);

/// The time of a slot whose entry was removed; the slot is reused when it becomes the oldest.
const REMOVED: [u8; 5] = [u8::MAX; 5];

struct Slot {
    key: [u8; 16],
    /// Finds the event by its id alone.
    id: [u8; 4],
    at: [u8; 5],
}

/// The table.
pub(super) struct Accepted {
    /// Oldest first.
    slots: VecDeque<Slot>,
    /// The sequence number of the oldest slot. Numbers wrap, which is harmless: there are never as many slots.
    first: u32,
    /// The sequence numbers of the slots that hold an entry, by a hash that a sender cannot foresee.
    index: HashTable<u32>,
    hasher: RandomState,
    capacity: usize,
    start: Option<Instant>,
    evicted: u64,
    ghosts: Ghosts,
}

impl Accepted {
    /// A table for `capacity` entries, one at least.
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, 1 << 30);
        Self {
            slots: VecDeque::with_capacity(capacity),
            first: 0,
            index: HashTable::with_capacity(capacity / 4 * 7 + 7),
            hasher: RandomState::new(),
            capacity,
            start: None,
            evicted: 0,
            ghosts: Ghosts::new(capacity / 2),
        }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// How many there can be.
    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many entries made room for others before `window` (see [`Accepted::insert`]) had passed.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The bytes set aside.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.index.allocation_size() + self.ghosts.bytes()
    }

    /// When an event was accepted.
    pub(super) fn at(&self, key: &EventKey) -> Option<Instant> {
        let found = self.index.find(self.mark(key), |at| self.slot(*at).key == *key.as_bytes())?;
        self.time(self.slot(*found))
    }

    /// The hash of a key that a sender cannot foresee.
    pub(super) fn mark(&self, key: &EventKey) -> u64 {
        self.hasher.hash_one(key.as_bytes())
    }

    /// How long ago an event was accepted that had to make room since, once.
    pub(super) fn take_ghost(&mut self, mark: u64, now: Instant) -> Option<Duration> {
        let start = self.start?;
        let at = self.ghosts.take(mark, now.saturating_duration_since(start))?;
        Some(now.saturating_duration_since(start + at))
    }

    /// The sequence numbers in use, oldest first.
    pub(super) fn numbers(&self) -> (u32, usize) {
        (self.first, self.slots.len())
    }

    /// The marks and times of the events with this id among `count` slots from `number` on.
    pub(super) fn with_id(&self, id: BareId, number: u32, count: usize) -> Vec<(u64, Instant)> {
        let from = number.wrapping_sub(self.first) as usize;
        let range = from.min(self.slots.len())..from.saturating_add(count).min(self.slots.len());
        let found = self.slots.range(range).filter(|slot| slot.id == id.short());
        found.filter_map(|slot| Some((self.hasher.hash_one(slot.key), self.time(slot)?))).collect()
    }

    /// Adds an event that is not there. If all slots are in use, the oldest entry makes room, which counts as an eviction if it
    /// was accepted less than `window` ago.
    pub(super) fn insert(&mut self, key: EventKey, at: Instant, window: Duration) {
        let start = *self.start.get_or_insert(at);
        // Two old ones for a new one: the table is cleaned up as it is used, and no request pays for all of it.
        for _ in 0..2 {
            let Some(oldest) = self.slots.front() else { break };
            if self.time(oldest).is_some_and(|then| at.saturating_duration_since(then) < LONGEST_WINDOW) {
                break;
            }
            self.pop();
        }
        if self.slots.len() == self.capacity {
            let oldest = self.slots.front().and_then(|slot| self.time(slot));
            self.evicted += u64::from(oldest.is_some_and(|then| at.saturating_duration_since(then) < window));
            if let (Some(slot), Some(then)) = (self.slots.front(), oldest) {
                self.ghosts.add(self.hasher.hash_one(slot.key), then.saturating_duration_since(start));
            }
            self.pop();
        }
        let number = self.first.wrapping_add(u32::try_from(self.slots.len()).expect("the capacity fits"));
        self.slots.push_back(Slot { key: *key.as_bytes(), id: key.id().short(), at: pack(at.saturating_duration_since(start)) });
        let (slots, first, hasher) = (&self.slots, self.first, &self.hasher);
        let rehash = |at: &u32| hasher.hash_one(slots[at.wrapping_sub(first) as usize].key);
        self.index.insert_unique(self.mark(&key), number, rehash);
    }

    /// Forgets an event. Its slot stays in the queue until it is the oldest.
    pub(super) fn remove(&mut self, key: &EventKey) {
        let bytes = *key.as_bytes();
        self.take_out(self.mark(key), |slot| slot.key == bytes);
    }

    /// Forgets an event, found by its mark and id; whether it was there.
    pub(super) fn forget(&mut self, mark: u64, id: BareId) -> bool {
        self.take_out(mark, |slot| slot.id == id.short())
    }

    fn take_out(&mut self, mark: u64, is: impl Fn(&Slot) -> bool) -> bool {
        let (slots, first, hasher) = (&self.slots, self.first, &self.hasher);
        let place = |at: u32| at.wrapping_sub(first) as usize;
        let found = self.index.find_entry(mark, |at| hasher.hash_one(slots[place(*at)].key) == mark && is(&slots[place(*at)]));
        let Ok(found) = found else { return false };
        let at = place(found.remove().0);
        self.slots[at].at = REMOVED;
        true
    }

    /// Drops the oldest slot and its entry, if it has one.
    fn pop(&mut self) {
        let Some(slot) = self.slots.pop_front() else { return };
        let number = self.first;
        self.first = number.wrapping_add(1);
        // An entry that was removed is not in the index, and one that came back has another number.
        if let Ok(found) = self.index.find_entry(self.hasher.hash_one(slot.key), |at| *at == number) {
            found.remove();
        }
    }

    fn slot(&self, number: u32) -> &Slot {
        &self.slots[number.wrapping_sub(self.first) as usize]
    }

    fn time(&self, slot: &Slot) -> Option<Instant> {
        let mut millis = [0; 8];
        millis[3..].copy_from_slice(&slot.at);
        let after = Duration::from_millis(u64::from_be_bytes(millis));
        self.start.filter(|_| slot.at != REMOVED).map(|start| start + after)
    }
}

/// Whole milliseconds in 40 bits.
fn pack(after: Duration) -> [u8; 5] {
    let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).min((1 << 40) - 2);
    let [_, _, _, rest @ ..] = millis.to_be_bytes();
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::dedup::key::KeyHasher;

    fn key(number: u64) -> EventKey {
        let mut hasher = KeyHasher::content();
        hasher.part(Some(&number.to_be_bytes()));
        hasher.finish()
    }

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn a_million_entries_fit_40_mib_and_the_table_never_grows() {
        let million = Accepted::new(1_000_000);
        assert!(million.bytes() <= 40 << 20, "{} bytes", million.bytes());
        assert_eq!(size_of::<Slot>(), 25);
        let now = Clock::manual().now();
        for capacity in [1, 2, 3, 7, 100, 448, 1_000] {
            let mut table = Accepted::new(capacity);
            let bytes = table.bytes();
            for number in 0..20_000 {
                table.insert(key(number), now, DAY);
                if number % 3 == 0 {
                    table.remove(&key(number));
                }
            }
            assert_eq!((table.bytes(), table.slots.len()), (bytes, capacity));
        }
    }

    #[test]
    fn the_oldest_makes_room_and_counts_while_its_window_runs() {
        let clock = Clock::manual();
        let mut table = Accepted::new(2);
        for number in 0..3 {
            table.insert(key(number), clock.now(), DAY);
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!((table.at(&key(0)), table.len(), table.evicted()), (None, 2, 1));
        clock.advance(DAY);
        table.insert(key(3), clock.now(), DAY);
        assert_eq!((table.at(&key(1)), table.len(), table.evicted()), (None, 2, 1), "nobody would have asked for it any more");
        assert!(table.at(&key(2)).is_some() && table.at(&key(3)).is_some());
        table.remove(&key(2));
        table.insert(key(4), clock.now(), DAY * 9);
        assert_eq!((table.len(), table.evicted()), (2, 1), "what was removed is no loss");
    }

    #[test]
    fn times_are_kept_to_the_millisecond_and_rounded_down() {
        let clock = Clock::manual();
        let mut table = Accepted::new(10);
        let start = clock.now();
        table.insert(key(0), start, DAY);
        clock.advance(Duration::from_hours(24 * 365 * 10) + Duration::from_nanos(1_999_999));
        table.insert(key(1), clock.now(), DAY);
        assert_eq!(table.at(&key(1)), Some(start + Duration::from_hours(24 * 365 * 10) + Duration::from_millis(1)));
    }

    #[test]
    fn old_entries_leave_two_for_each_new_one() {
        let clock = Clock::manual();
        let mut table = Accepted::new(100);
        (0..10).for_each(|number| table.insert(key(number), clock.now(), DAY));
        clock.advance(LONGEST_WINDOW);
        table.insert(key(10), clock.now(), DAY);
        assert_eq!((table.len(), table.evicted()), (9, 0));
        (11..20).for_each(|number| table.insert(key(number), clock.now(), DAY));
        assert_eq!((table.len(), table.evicted()), (10, 0));
    }

    #[test]
    fn sequence_numbers_may_wrap() {
        let now = Clock::manual().now();
        let mut table = Accepted::new(3);
        table.first = u32::MAX - 4;
        for number in 0..20 {
            table.insert(key(number), now, DAY);
            assert!(table.at(&key(number)).is_some());
            assert_eq!(table.len(), usize::try_from(number + 1).expect("small").min(3));
        }
        table.remove(&key(18));
        assert!(table.at(&key(17)).is_some() && table.at(&key(18)).is_none() && table.at(&key(19)).is_some());
    }
}
