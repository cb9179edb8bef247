//! What happened to events lately: a ring of small records, an index of the newest one of each id, and from each record back to the one
//! before it of the same id. No id and no key is in it, only hashes under keys that this process drew by lot.

use std::time::{Duration, Instant};

use hashbrown::HashTable;

use crate::dedup::BareId;

/// What happened to an event. Closed: words of `trace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A copy went to the function.
    Forwarded,
    /// A copy waits for the one in flight.
    Waits,
    /// A copy got no chance: it waited in vain, or too many wait already (503).
    GaveUp,
    /// A copy was answered as a duplicate.
    Answered,
    /// The function took it.
    Accepted,
    /// The function did not take it, or gave no answer.
    Failed,
    /// The function had taken it, but the sender did not get the whole answer.
    Unread,
    /// It was purged, for a replay.
    Purged,
}

impl What {
    const ALL: [Self; 8] =
        [Self::Forwarded, Self::Waits, Self::GaveUp, Self::Answered, Self::Accepted, Self::Failed, Self::Unread, Self::Purged];

    /// The closed word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Waits => "waits",
            Self::GaveUp => "gave_up",
            Self::Answered => "answered",
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Unread => "unread",
            Self::Purged => "purged",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub what: What,
    /// When, to the millisecond.
    pub at: Instant,
    /// The request it happened to: a number that tells the copies apart.
    pub copy: u32,
}

/// Steps of one id that are looked at: whoever has more is not a message.
const MOST_STEPS: usize = 256;
/// Steps that are looked at for the last one of an event: others that share its id come between.
const NEAR_STEPS: usize = 32;

struct Record {
    id: BareId,
    mark: u64,
    /// Milliseconds from the start, and what happened in the lowest 8 bits.
    at: u64,
    /// The record before of the same id.
    before: u32,
    copy: u32,
}

/// The ring. A record has a number; its place is that number modulo the size, which is a power of two, so that numbers may wrap.
pub(super) struct History {
    records: Vec<Record>,
    next: u32,
    size: u32,
    /// The number of the newest record of each id. At most half full, as [`super::accepted`]'s index, and for its reason.
    newest: HashTable<u32>,
    start: Option<Instant>,
}

impl History {
    /// A ring of `size` records, rounded down to a power of two.
    pub(super) fn new(size: u32) -> Self {
        let size = 1 << size.clamp(1, 1 << 24).ilog2();
        let (records, newest) = (Vec::with_capacity(size as usize), HashTable::with_capacity(size as usize / 4 * 7 + 7));
        Self { records, next: 0, size, newest, start: None }
    }

    /// The bytes set aside.
    pub(super) fn bytes(&self) -> usize {
        self.records.capacity() * size_of::<Record>() + self.newest.allocation_size()
    }

    /// Adds what happened to an event.
    pub(super) fn add(&mut self, id: BareId, mark: u64, step: Step) {
        let start = *self.start.get_or_insert(step.at);
        let millis = u64::try_from(step.at.saturating_duration_since(start).as_millis()).unwrap_or(u64::MAX >> 8);
        let number = self.next;
        let place = (number & (self.size - 1)) as usize;
        if let Some(oldest) = self.records.get(place).map(|record| record.id) {
            let gone = number.wrapping_sub(self.size);
            if let Ok(found) = self.newest.find_entry(oldest.get(), |at| *at == gone) {
                found.remove();
            }
        }
        let (records, last) = (&self.records, self.size - 1);
        let id_of = |at: &u32| records[(*at & last) as usize].id;
        // without a record of its own yet, a record is the end of its chain
        let mut before = number;
        match self.newest.find_mut(id.get(), |at| id_of(at) == id) {
            Some(at) => before = std::mem::replace(at, number),
            None => drop(self.newest.insert_unique(id.get(), number, |at| id_of(at).get())),
        }
        let record = Record { id, mark, at: millis << 8 | step.what as u64, before, copy: step.copy };
        match self.records.get_mut(place) {
            Some(oldest) => *oldest = record,
            None => self.records.push(record),
        }
        self.next = number.wrapping_add(1);
    }

    /// The last thing that happened to an event, as far as that is known.
    pub(super) fn last(&self, id: BareId, mark: u64) -> Option<Step> {
        self.back(id).take(NEAR_STEPS).find(|record| record.mark == mark).and_then(|record| self.step(record))
    }

    /// All that is known of the events with this id, in order of time; each with the mark of its event.
    pub(super) fn of(&self, id: BareId) -> Vec<(u64, Step)> {
        let known = self.back(id).take(MOST_STEPS);
        let mut steps: Vec<_> = known.filter_map(|record| Some((record.mark, self.step(record)?))).collect();
        steps.reverse();
        steps
    }

    /// When the oldest record was made: what happened before is forgotten.
    pub(super) fn since(&self) -> Option<Instant> {
        let oldest = if self.records.len() < self.size as usize { 0 } else { (self.next & (self.size - 1)) as usize };
        self.records.get(oldest).and_then(|record| self.step(record)).map(|step| step.at)
    }

    /// The records of an id, newest first.
    fn back(&self, id: BareId) -> impl Iterator<Item = &Record> {
        let newest = self.newest.find(id.get(), |at| self.record(*at).id == id).copied();
        let older = |at: &u32| {
            let before = self.record(*at).before;
            // an overwritten one is further back than the ring is long
            let kept = before != *at && self.next.wrapping_sub(before) <= self.size;
            kept.then_some(before)
        };
        std::iter::successors(newest, older).map(|at| self.record(at))
    }

    fn record(&self, number: u32) -> &Record {
        &self.records[(number & (self.size - 1)) as usize]
    }

    fn step(&self, record: &Record) -> Option<Step> {
        let what = *What::ALL.get(usize::try_from(record.at & 0xFF).ok()?)?;
        Some(Step { what, at: self.start? + Duration::from_millis(record.at >> 8), copy: record.copy })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    fn id(number: u8) -> BareId {
        BareId::of(&[number])
    }

    #[test]
    fn a_record_is_small_and_the_ring_never_grows() {
        assert_eq!(size_of::<Record>(), 32);
        let (mut history, now) = (History::new(70_000), Clock::manual().now());
        let bytes = history.bytes();
        assert!((2 << 20..4 << 20).contains(&bytes), "{bytes}");
        for n in 0..300_000_u32 {
            history.add(BareId::of(&n.to_be_bytes()), n.into(), Step { what: What::Forwarded, at: now, copy: n });
        }
        assert_eq!((history.bytes(), history.newest.len(), history.records.len()), (bytes, 65_536, 65_536));
    }

    #[test]
    fn words_and_their_places_agree() {
        assert!(What::ALL.into_iter().enumerate().all(|(at, what)| at == what as usize));
    }

    proptest! {
        /// Against a plain list that forgets its front.
        #[test]
        fn it_remembers_what_a_list_would(
            steps in prop::collection::vec((0..5_u8, 0..3_u64, 0..8_usize, 0..50_u64), 0..200),
            first in prop_oneof![Just(0), Just(u32::MAX - 20)],
        ) {
            let (mut history, clock) = (History::new(16), Clock::manual());
            // numbers go on from where a full ring would be
            let mut list: VecDeque<(u8, u64, Step)> = VecDeque::new();
            history.next = first & !15;
            for (copy, (who, mark, what, pause)) in (0..).zip(steps) {
                clock.advance(Duration::from_millis(pause));
                let step = Step { what: What::ALL[what], at: clock.now(), copy };
                history.add(id(who), mark, step);
                list.push_back((who, mark, step));
                if list.len() > 16 {
                    list.pop_front();
                }
                prop_assert_eq!(history.since(), list.front().map(|(_, _, step)| step.at));
                for who in 0..5 {
                    let known: Vec<_> = list.iter().filter(|(w, ..)| *w == who).map(|(_, mark, step)| (*mark, *step)).collect();
                    for mark in 0..3 {
                        let last = known.iter().rev().find(|(m, _)| *m == mark).map(|(_, step)| *step);
                        prop_assert_eq!(history.last(id(who), mark), last);
                    }
                    prop_assert_eq!(history.of(id(who)), known);
                }
            }
        }
    }
}
