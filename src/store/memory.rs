//! The claims of one process, in memory. Nothing survives a restart: a sender's next copy is then forwarded once more.
//!
//! What was accepted lies in one packed table of fixed size ([`super::accepted`]), what is in flight in a small map beside it; a key is
//! in one of the two or in neither. One lock guards both, held for the keys of one request and never across an `await`.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use super::accepted::Accepted;
use super::claims::{Claim, Claimed, Claims, Settle, Ticket, Waiter, Wish};
use crate::dedup::EventKey;
use crate::dedup::protocol::{Decision, Effect, Event, State, Tally, step};

/// How many requests may wait for one key.
const MAX_WAITERS_OF_A_KEY: usize = 64;
/// How many may wait in all.
const MAX_WAITERS: usize = 1_024;
/// How many events are kept track of while in flight. Beyond that a request is forwarded without owning its keys: copies that run
/// side by side both reach the function then, and what it takes is still remembered.
const MAX_IN_FLIGHT: usize = 65_536;
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
    /// A store for `max_entries` accepted events, 22 bytes each and 10 to 20 for the index. It is laid out once and never grows:
    /// no request pays for moving a million entries.
    #[must_use]
    pub fn new(max_entries: usize) -> Arc<Self> {
        let accepted = Accepted::new(max_entries);
        let table = Table { accepted, in_flight: HashMap::new(), ended: Vec::new(), tokens: 0, longest: Duration::ZERO };
        let places = Arc::new(Semaphore::new(MAX_WAITERS));
        Arc::new(Self { shared: Arc::new(Shared { table: Mutex::new(table), places }) })
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
            bytes: table.accepted.bytes() + table.in_flight.capacity() * size_of::<(EventKey, Flight)>(),
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
}

impl Shared {
    /// A panic elsewhere must not take deduplication down with it; no step below can leave the table half changed.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(self: &Arc<Self>, wish: &Wish<'_>) -> Claimed {
        let mut table = self.lock();
        table.longest = table.longest.max(wish.window);
        let tally = table.tally(wish);
        match tally.decide(wish.mode) {
            Decision::Duplicate { age } => Claimed::Duplicate { age },
            Decision::Wait => self.wait(&mut table, wish),
            Decision::Own => {
                let ticket = table.own(wish, &tally);
                drop(table);
                Claimed::Owned(Claim::new(Arc::<Self>::clone(self), ticket))
            }
        }
    }

    /// Takes a place with the first key in flight, under the lock that its end needs too: no end is missed.
    fn wait(&self, table: &mut Table, wish: &Wish<'_>) -> Claimed {
        let key = wish.keys.iter().find(|key| table.in_flight.contains_key(*key));
        let flight = key.and_then(|key| table.in_flight.get_mut(key)).expect("the decision to wait is made on a key in flight");
        let ended = flight.ended.get_or_insert_with(|| watch::channel(()).0);
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) if ended.receiver_count() < MAX_WAITERS_OF_A_KEY => Claimed::InFlight(Waiter::new(ended.subscribe(), place)),
            _ => Claimed::Crowded,
        }
    }

    fn settle(&self, ticket: &Ticket, event: Event) {
        let mut table = self.lock();
        for key in &ticket.keys {
            table.apply(*key, event);
        }
        if table.in_flight.is_empty() {
            table.in_flight.shrink_to(IDLE_IN_FLIGHT);
        }
        let ended = std::mem::take(&mut table.ended);
        drop(table);
        drop(ended); // Wakes all who wait, and not one of them has to wait for the lock.
    }
}

impl Settle for Shared {
    fn accept(&self, ticket: &Ticket, now: Instant) {
        self.settle(ticket, Event::Accept { window: ticket.window, now });
    }

    fn release(&self, ticket: &Ticket) {
        self.settle(ticket, Event::Release { token: ticket.token });
    }
}

struct Table {
    accepted: Accepted,
    in_flight: HashMap<EventKey, Flight>,
    /// The bells of flights that ended, until the lock is given back.
    ended: Vec<Bell>,
    /// The token of the last claim.
    tokens: u64,
    /// The longest window asked for so far.
    longest: Duration,
}

/// Rings for all who subscribed when it is dropped.
type Bell = watch::Sender<()>;

struct Flight {
    token: u64,
    /// Made for the first who waits.
    ended: Option<Bell>,
}

impl Table {
    fn state(&self, key: &EventKey) -> State {
        if let Some(flight) = self.in_flight.get(key) {
            return State::InFlight { token: flight.token };
        }
        self.accepted.at(key).map_or(State::Absent, |at| State::Accepted { at })
    }

    fn tally(&self, wish: &Wish<'_>) -> Tally {
        let mut tally = Tally::default();
        for key in wish.keys {
            tally.add(self.state(key).seen(wish.window, wish.now));
        }
        tally
    }

    /// Claims what is new for a request that is forwarded in any case.
    fn own(&mut self, wish: &Wish<'_>, tally: &Tally) -> Ticket {
        self.tokens += 1;
        let ticket = Ticket { keys: wish.keys.clone(), token: self.tokens, window: wish.window, fresh: tally.absent };
        if tally.absent > 0 && self.in_flight.len() + tally.absent <= MAX_IN_FLIGHT {
            for key in wish.keys {
                self.apply(*key, Event::Claim { token: ticket.token, window: wish.window, now: wish.now });
            }
        }
        ticket
    }

    /// Takes one step of one key.
    fn apply(&mut self, key: EventKey, event: Event) {
        let before = self.state(&key);
        let (after, effect) = step(before, event);
        if after == before {
            return;
        }
        match before {
            State::Absent => {}
            State::InFlight { .. } => {
                let flight = self.in_flight.remove(&key);
                self.ended.extend(flight.filter(|_| effect == Effect::Ended).and_then(|flight| flight.ended));
            }
            State::Accepted { .. } => self.accepted.remove(&key),
        }
        match after {
            State::Absent => {}
            State::InFlight { token } => drop(self.in_flight.insert(key, Flight { token, ended: None })),
            State::Accepted { at } => self.accepted.insert(key, at, self.longest),
        }
    }
}
