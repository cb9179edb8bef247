//! What the lock guards: the state of every key, and its steps.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::accepted::Accepted;
use super::super::claims::{Keys, Ticket, Turn, Wish};
use super::super::history::History;
use super::MAX_IN_FLIGHT;
use crate::dedup::EventKey;
use crate::dedup::protocol::{Event, State, Tally, step};

/// Accepted events, events in flight, and what happened to them.
pub(super) struct Table {
    pub(super) accepted: Accepted,
    pub(super) in_flight: HashMap<EventKey, Flight>,
    pub(super) history: History,
    /// The number of the last request.
    pub(super) copies: u32,
    /// Whom to wake once the lock is given back.
    pub(super) calls: Calls,
    /// The token of the last claim.
    pub(super) tokens: u64,
    /// The longest window asked for so far.
    pub(super) longest: Duration,
}

/// Those who wait for a key, the first in front. Dropped, an end wakes its waiter without a turn.
pub(super) type Queue = VecDeque<Waiting>;

/// One who waits.
pub(super) struct Waiting {
    pub(super) call: oneshot::Sender<Turn>,
    /// All that its request holds; it is in the queue of one of these.
    pub(super) keys: Keys,
}

/// Whose turn it is, and what is kept for it.
pub(super) struct Next {
    pub(super) waiting: Waiting,
    pub(super) kept: Vec<EventKey>,
    /// The mark of what is kept.
    pub(super) token: u64,
}

/// Who is to wake.
#[derive(Default)]
pub(super) struct Calls {
    /// One for each key whose owner failed and that somebody waits for.
    pub(super) turns: Vec<Next>,
    /// All who wait for what was accepted.
    pub(super) accepted: Vec<Queue>,
}

/// A key that a claim owns, or that is kept for the one whose turn it is.
pub(super) struct Flight {
    pub(super) token: u64,
    pub(super) queue: Queue,
}

impl Table {
    pub(super) fn state(&self, key: &EventKey) -> State {
        if let Some(flight) = self.in_flight.get(key) {
            return State::InFlight { token: flight.token };
        }
        self.accepted.at(key).map_or(State::Absent, |at| State::Accepted { at })
    }

    /// Whether the key is kept for this request.
    fn is_turn(&self, key: &EventKey, wish: &Wish<'_>) -> bool {
        wish.waited
            .and_then(|waited| waited.turn.as_ref())
            .is_some_and(|turn| self.in_flight.get(key).is_some_and(|flight| flight.token == turn.token()))
    }

    pub(super) fn tally(&self, wish: &Wish<'_>) -> Tally {
        let mut tally = Tally::default();
        for key in wish.keys {
            let state = if self.is_turn(key, wish) { State::Absent } else { self.state(key) };
            tally.add(state.seen(wish.window, wish.now));
        }
        tally
    }

    /// Claims what is new for a request that is forwarded in any case.
    pub(super) fn own(&mut self, wish: &Wish<'_>, tally: &Tally, copy: u32) -> Ticket {
        self.tokens += 1;
        let ticket = Ticket { keys: wish.keys.clone(), token: self.tokens, window: wish.window, fresh: tally.absent, copy };
        if tally.absent > 0 && self.in_flight.len() + tally.absent <= MAX_IN_FLIGHT {
            for key in wish.keys {
                let kept = self.is_turn(key, wish);
                match self.in_flight.get_mut(key).filter(|_| kept) {
                    Some(flight) => flight.token = ticket.token,
                    None => self.apply(*key, Event::Claim { token: ticket.token, window: wish.window, now: wish.now }),
                }
            }
        }
        ticket
    }

    /// Takes one step of one key.
    pub(super) fn apply(&mut self, key: EventKey, event: Event) {
        let before = self.state(&key);
        let (after, _) = step(before, event);
        if after == before {
            return;
        }
        match before {
            State::Absent => {}
            State::InFlight { .. } => {
                let queue = self.in_flight.remove(&key).map(|flight| flight.queue).unwrap_or_default();
                if after == State::Absent {
                    self.call_next(key, queue);
                } else {
                    self.calls.accepted.push(queue);
                }
            }
            State::Accepted { .. } => self.accepted.remove(&key),
        }
        match after {
            State::Absent => {}
            State::InFlight { token } => drop(self.in_flight.insert(key, Flight { token, queue: Queue::new() })),
            State::Accepted { at } => self.accepted.insert(key, at, self.longest),
        }
    }

    /// The owner of a key failed: keeps the key for the first who still waits, and for nobody if nobody does.
    fn call_next(&mut self, key: EventKey, mut queue: Queue) {
        while let Some(waiter) = queue.pop_front() {
            if !waiter.call.is_closed() {
                self.tokens += 1;
                self.calls.turns.push(Next { waiting: waiter, kept: vec![key], token: self.tokens });
                self.in_flight.insert(key, Flight { token: self.tokens, queue });
                return;
            }
        }
    }

    /// Keeps for those called what else is free of their events. Else a copy of a batch that comes before them would own the rest of it,
    /// and the function would get the batch from both.
    pub(super) fn keep_rest(&mut self) {
        let mut turns = std::mem::take(&mut self.calls.turns);
        for next in &mut turns {
            for key in &next.waiting.keys {
                if self.in_flight.len() < MAX_IN_FLIGHT && self.state(key) == State::Absent {
                    self.in_flight.insert(*key, Flight { token: next.token, queue: Queue::new() });
                    next.kept.push(*key);
                }
            }
        }
        self.calls.turns = turns;
    }
}
