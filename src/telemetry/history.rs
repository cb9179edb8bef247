//! The last quarter of an hour in sums: what the live page draws. A bounded ring, filled as requests end.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::record::{DedupResult, Finished, LookupResult};
use super::report::date;

/// Length of one slot.
pub const SLOT: Duration = Duration::from_secs(10);
/// Most slots, the one being filled included: 15 minutes and what has passed of the current slot.
pub const MOST: usize = 91;

/// Sums of the requests that ended within one slot. Rates are the reader's to make: `hits / lookups`, `duplicates / webhooks`,
/// `errors / requests`; nothing is 0 because it was not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// All requests, whatever their outcome.
    pub requests: u64,
    /// Of these, with a status of 500 and more.
    pub errors: u64,
    /// Of these, slower than their slow rule allows.
    pub slow: u64,
    /// Of these, refused for load (503 made here).
    pub shed: u64,
    /// Look-ups in the cache; a bypass is none.
    pub lookups: u64,
    /// Of these, answered from the store or by another request's fetch.
    pub hits: u64,
    /// Webhooks in which a deduplication rule found events and decided.
    pub webhooks: u64,
    /// Of these, no function saw: accepted before, or while they waited.
    pub duplicates: u64,
}

/// The ring.
#[derive(Debug)]
pub struct Ring {
    started: Instant,
    /// Number of the slot that is being filled, from `started` on.
    tick: u64,
    slots: VecDeque<Sums>,
}

/// What the ring holds: `GET /metrics/history`. At most [`MOST`] slots, oldest first, without gaps: a slot without requests is all
/// zeros. There are none from before the start of the process; the last one is still being filled.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// When it was read, RFC 3339.
    pub timestamp: String,
    /// Length of a slot.
    pub slot_seconds: u64,
    /// The slots.
    pub slots: Vec<Slot>,
}

/// One slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slot {
    /// When it began, RFC 3339.
    pub at: String,
    /// What ended within it.
    #[serde(flatten)]
    pub sums: Sums,
}

impl Ring {
    /// An empty ring; its first slot begins now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { started: now, tick: 0, slots: VecDeque::from([Sums::default()]) }
    }

    /// Counts one request.
    pub fn record(&mut self, now: Instant, done: &Finished<'_>) {
        self.advance(now);
        let Some(slot) = self.slots.back_mut() else { return };
        slot.requests += 1;
        slot.errors += u64::from(done.status >= 500);
        slot.slow += u64::from(done.is_slow());
        slot.shed += u64::from(done.outcome == super::Outcome::Shed);
        if let Some(cache) = &done.cache {
            let hit = matches!(cache.result, LookupResult::Hit | LookupResult::Stale | LookupResult::Coalesced);
            slot.hits += u64::from(hit);
            slot.lookups += u64::from(cache.result != LookupResult::Bypass);
        }
        if let Some(dedup) = &done.dedup {
            let duplicate = matches!(dedup.result, DedupResult::Duplicate | DedupResult::Joined);
            slot.duplicates += u64::from(duplicate);
            slot.webhooks += u64::from(duplicate || matches!(dedup.result, DedupResult::New | DedupResult::Partial));
        }
    }

    /// Reads it; `wall` is the same moment on the clock on the wall.
    pub fn read(&mut self, now: Instant, wall: SystemTime) -> History {
        self.advance(now);
        let into = now.saturating_duration_since(self.started).saturating_sub(offset(self.tick));
        let at = |ago: usize| wall.checked_sub(into + offset(ago as u64)).unwrap_or(SystemTime::UNIX_EPOCH);
        let last = self.slots.len() - 1;
        let slots = self.slots.iter().enumerate().map(|(i, sums)| Slot { at: date(at(last - i)), sums: *sums }).collect();
        History { timestamp: date(wall), slot_seconds: SLOT.as_secs(), slots }
    }

    fn advance(&mut self, now: Instant) {
        let tick = now.saturating_duration_since(self.started).as_secs() / SLOT.as_secs();
        let passed = tick.saturating_sub(self.tick);
        for _ in 0..passed.min(MOST as u64) {
            self.slots.push_back(Sums::default());
            if self.slots.len() > MOST {
                self.slots.pop_front();
            }
        }
        self.tick += passed;
    }
}

fn offset(slots: u64) -> Duration {
    Duration::from_secs(SLOT.as_secs().saturating_mul(slots))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::tests_support::finished;
    use super::super::record::{CacheRecord, DedupRecord, Outcome};
    use super::*;
    use crate::clock::Clock;
    use crate::dedup::Repeats;

    fn looked_up(result: LookupResult) -> Finished<'static> {
        Finished { cache: Some(CacheRecord { rule: "profile", result, bypass: None, not_stored: None, refreshed: None }), ..finished() }
    }

    fn webhook(result: DedupResult) -> Finished<'static> {
        let (repeats, waited) = (Repeats::default(), Duration::ZERO);
        let dedup = DedupRecord { rule: "wa", result, skipped: None, ids: 1, new: 1, repeated: 0, repeats, waited };
        Finished { dedup: Some(dedup), ..finished() }
    }

    #[test]
    fn each_request_is_summed_up_in_the_slot_in_which_it_ended() {
        let clock = Clock::manual();
        let mut ring = Ring::new(clock.now());
        let begin = clock.wall();
        for result in LookupResult::ALL {
            ring.record(clock.now(), &looked_up(*result));
        }
        clock.advance(Duration::from_secs(25));
        for result in DedupResult::ALL {
            ring.record(clock.now(), &webhook(*result));
        }
        ring.record(clock.now(), &Finished { status: 503, outcome: Outcome::Shed, slow_after: Duration::ZERO, ..finished() });
        let read = ring.read(clock.now(), clock.wall());
        assert_eq!((read.slot_seconds, read.timestamp), (10, date(begin + Duration::from_secs(25))));
        let [first, second, third] = read.slots.as_slice() else { unreachable!("25 s are three slots") };
        let times = [0, 10, 20].map(|s| date(begin + Duration::from_secs(s)));
        assert_eq!([&first.at, &second.at, &third.at], times.each_ref());
        assert_eq!(first.sums, Sums { requests: 6, lookups: 5, hits: 3, ..Sums::default() });
        assert_eq!(second.sums, Sums::default());
        assert_eq!(third.sums, Sums { requests: 8, errors: 1, slow: 1, shed: 1, webhooks: 4, duplicates: 2, ..Sums::default() });
    }

    #[test]
    fn it_holds_a_quarter_of_an_hour_and_no_more() {
        let clock = Clock::manual();
        let mut ring = Ring::new(clock.now());
        ring.record(clock.now(), &finished());
        clock.advance(Duration::from_mins(15));
        let read = ring.read(clock.now(), clock.wall());
        assert_eq!((read.slots.len(), read.slots[0].sums.requests), (MOST, 1));
        clock.advance(SLOT);
        let read = ring.read(clock.now(), clock.wall());
        assert_eq!((read.slots.len(), read.slots.iter().map(|s| s.sums.requests).sum::<u64>()), (MOST, 0));
        clock.advance(Duration::from_hours(100_000));
        ring.record(clock.now(), &finished());
        let read = ring.read(clock.now(), clock.wall());
        assert_eq!((read.slots.len(), read.slots[MOST - 1].sums.requests), (MOST, 1));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_within_the_time_it_covers(pauses in prop::collection::vec(0_u64..60, 1..60)) {
            let clock = Clock::manual();
            let (mut ring, mut ends) = (Ring::new(clock.now()), Vec::new());
            for pause in pauses {
                clock.advance(Duration::from_secs(pause));
                ring.record(clock.now(), &finished());
                ends.push(clock.now());
            }
            let read = ring.read(clock.now(), clock.wall());
            let oldest = clock.wall() - offset(MOST as u64 - 1);
            let kept = read.slots.iter().map(|s| s.sums.requests).sum::<u64>();
            let surely = ends.iter().filter(|e| clock.now().saturating_duration_since(**e) < offset(MOST as u64 - 1)).count() as u64;
            prop_assert!(kept >= surely, "{kept} of {surely}");
            prop_assert!(read.slots.len() <= MOST && read.slots.iter().all(|s| s.at >= date(oldest - SLOT)));
        }
    }
}
