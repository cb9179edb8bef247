//! The claims of one process, in memory. Nothing survives a restart: a sender's next copy is then forwarded once more.
//!
//! What was accepted lies in one packed table of fixed size ([`super::accepted`]), what is in flight in a small map beside it; a key is
//! in one of the two or in neither. What happened lately ([`super::history`]) tells why repeats come, and is what `trace` shows
//! ([`lookback`]). One lock guards all, held for the keys of one request and never across an `await`.

pub mod lookback;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

use self::table::{Calls, Flight, Next, Table, Waiting};
use super::accepted::Accepted;
use super::claims::{Claim, Claimed, Claims, Settle, Ticket, Turn, Waiter, Wish};
use super::history::{History, What};
use crate::clock::Clock;
use crate::dedup::protocol::{Decision, Event};
use crate::dedup::{EventKey, Repeats};

/// How many requests may wait for one key.
const MAX_WAITERS_OF_A_KEY: usize = 64;
/// How many may wait in all.
const MAX_WAITERS: usize = 1_024;
/// How many events are kept track of while in flight. Beyond that a request is forwarded without owning its keys: copies that run
/// side by side both reach the function then, and what it takes is still remembered.
const MAX_IN_FLIGHT: usize = 65_536;
/// Most steps of all events that are remembered.
const MAX_STEPS: u32 = 65_536;
/// An idle map gives back what a flood made it grow to.
const IDLE_IN_FLIGHT: usize = 1_024;

/// The store.
pub struct Memory {
    shared: Arc<Shared>,
}

/// What the store holds, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Accepted events known.
    pub entries: usize,
    /// How many can be.
    pub capacity: usize,
    /// Events on their way.
    pub in_flight: usize,
    /// Requests that wait for one of those.
    pub waiting: usize,
    /// Accepted events that had to make room though the longest window in use was not over: a repeat of one would be forwarded.
    pub evicted: u64,
    /// Bytes set aside for all of it; the table of accepted events is most and takes its memory only as it fills.
    pub bytes: usize,
}

impl Memory {
    /// A store for `max_entries` accepted events, 25 bytes each, 10 to 20 for the index and up to 4 for ghosts. It is laid out once and
    /// never grows: no request pays for moving a million entries.
    #[must_use]
    pub fn new(max_entries: usize) -> Arc<Self> {
        Self::with_clock(max_entries, Clock::system())
    }

    /// As [`Memory::new`]. The clock dates what happens without anybody saying when: a claim that is dropped.
    #[must_use]
    pub fn with_clock(max_entries: usize, clock: Clock) -> Arc<Self> {
        let accepted = Accepted::new(max_entries);
        let steps = u32::try_from(max_entries / 4).unwrap_or(u32::MAX).clamp(1_024, MAX_STEPS);
        let table = Table {
            history: History::new(steps),
            copies: 0,
            accepted,
            in_flight: HashMap::new(),
            calls: Calls::default(),
            tokens: 0,
            longest: Duration::ZERO,
        };
        let places = Arc::new(Semaphore::new(MAX_WAITERS));
        Arc::new(Self { shared: Arc::new(Shared { table: Mutex::new(table), places, clock }) })
    }

    /// Counts what the store holds.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let table = self.shared.lock();
        Numbers {
            entries: table.accepted.len(),
            capacity: table.accepted.capacity(),
            in_flight: table.in_flight.len(),
            waiting: MAX_WAITERS - self.shared.places.available_permits(),
            evicted: table.accepted.evicted(),
            bytes: table.accepted.bytes() + table.history.bytes() + table.in_flight.capacity() * size_of::<(EventKey, Flight)>(),
        }
    }
}

impl Claims for Memory {
    async fn claim(&self, wish: &Wish<'_>) -> Claimed {
        self.shared.claim(wish)
    }
}

struct Shared {
    table: Mutex<Table>,
    places: Arc<Semaphore>,
    clock: Clock,
}

impl Shared {
    /// A panic elsewhere must not take deduplication down with it; no step below can leave the table half changed.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(self: &Arc<Self>, wish: &Wish<'_>) -> Claimed {
        let mut table = self.lock();
        table.longest = table.longest.max(wish.window);
        let (copy, repeats) = match wish.waited {
            Some(waited) => (waited.copy, Repeats::default()),
            None => (table.next_copy(), table.repeats(wish)),
        };
        let tally = table.tally(wish);
        match tally.decide(wish.mode) {
            Decision::Duplicate { age } => {
                table.note(wish.keys, What::Answered, wish.now, copy);
                Claimed::Duplicate { age, repeats }
            }
            Decision::Wait => self.wait(&mut table, wish, copy, repeats),
            Decision::Own => {
                let ticket = table.own(wish, &tally, copy);
                table.note(wish.keys, What::Forwarded, wish.now, copy);
                drop(table);
                Claimed::Owned(Claim::new(Arc::<Self>::clone(self), ticket, repeats))
            }
        }
    }

    /// Takes a place in the queue of the first key in flight, under the lock that its end needs too: no end is missed.
    fn wait(self: &Arc<Self>, table: &mut Table, wish: &Wish<'_>, copy: u32, repeats: Repeats) -> Claimed {
        let key = wish.keys.iter().find(|key| table.in_flight.contains_key(*key));
        let flight = key.and_then(|key| table.in_flight.get_mut(key)).expect("the decision to wait is made on a key in flight");
        if flight.queue.len() >= MAX_WAITERS_OF_A_KEY {
            flight.queue.retain(|waiter| !waiter.call.is_closed());
        }
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) if flight.queue.len() < MAX_WAITERS_OF_A_KEY => {
                let (call, called) = oneshot::channel();
                flight.queue.push_back(Waiting { call, keys: wish.keys.clone() });
                table.note(wish.keys, What::Waits, wish.now, copy);
                let ticket = Ticket { keys: wish.keys.clone(), token: 0, window: wish.window, fresh: 0, copy };
                Claimed::InFlight(Waiter::new(called, place, (Arc::<Self>::clone(self), ticket), repeats))
            }
            _ => {
                table.note(wish.keys, What::GaveUp, wish.now, copy);
                Claimed::Crowded
            }
        }
    }

    fn settle(self: Arc<Self>, ticket: &Ticket, event: Event, what: Option<What>) {
        let mut table = self.lock();
        if let Some(what) = what {
            table.note(&ticket.keys, what, self.clock.now(), ticket.copy);
        }
        for key in &ticket.keys {
            table.apply(*key, event);
        }
        table.keep_rest();
        if table.in_flight.is_empty() {
            table.in_flight.shrink_to(IDLE_IN_FLIGHT);
        }
        let Calls { turns, accepted } = std::mem::take(&mut table.calls);
        drop(table);
        // without the lock: not one of those who wake has to wait for it
        drop(accepted);
        for Next { waiting, kept, token } in turns {
            // who has left meanwhile gives the turn back, dropped here, and the next is called
            drop(waiting.call.send(Turn::new(Arc::<Self>::clone(&self), kept.into(), token)));
        }
    }
}

impl Settle for Shared {
    fn accept(self: Arc<Self>, ticket: &Ticket, now: Instant) {
        self.settle(ticket, Event::Accept { window: ticket.window, now }, Some(What::Accepted));
    }

    fn release(self: Arc<Self>, ticket: &Ticket) {
        self.settle(ticket, Event::Release { token: ticket.token }, Some(What::Failed));
    }

    fn give_up(self: Arc<Self>, ticket: &Ticket) {
        // a turn has the token of its key; who only waited owns nothing, and its place in the queue ends by itself
        let what = (ticket.token == 0).then_some(What::GaveUp);
        self.settle(ticket, Event::Release { token: ticket.token }, what);
    }

    fn unread(self: Arc<Self>, ticket: &Ticket) {
        self.lock().note(&ticket.keys, What::Unread, self.clock.now(), ticket.copy);
    }
}
