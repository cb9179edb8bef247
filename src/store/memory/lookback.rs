//! What was before: why repeats come, the life of a message for `trace`, and the purge that lets a replay through.

use std::time::{Duration, Instant};

use super::Memory;
use super::table::Table;
use crate::dedup::key::Keys;
use crate::dedup::protocol::{Seen, State};
use crate::dedup::repeats::MISSED_WITHIN;
use crate::dedup::{BareId, Cause, Repeats};
use crate::store::claims::Wish;
use crate::store::history::{Step, What};

/// Entries looked at under one lock when an id is sought, so that no request waits for all of them.
const STRIDE: usize = 16_384;

/// What is known of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// The hash of its key, good for this process only.
    pub mark: u64,
    /// When the function took it, if that is remembered.
    pub accepted: Option<Instant>,
    /// What happened to it lately, in order of time.
    pub steps: Vec<Step>,
}

/// What is known of the events of one id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its events.
    pub events: Vec<Life>,
    /// Steps before this are forgotten; acceptances are remembered for longer.
    pub since: Option<Instant>,
}

impl Memory {
    /// The lives of all events with this id.
    #[must_use]
    pub fn trace(&self, id: &[u8]) -> Trace {
        let id = BareId::of(id);
        let (steps, since) = {
            let table = self.shared.lock();
            (table.history.of(id), table.history.since())
        };
        let mut events: Vec<Life> = Vec::new();
        for (mark, step) in steps {
            life(&mut events, mark).steps.push(step);
        }
        self.each_accepted(id, |_, mark, at| life(&mut events, mark).accepted = Some(at));
        Trace { events, since }
    }

    /// Forgets that events with this id were accepted, so that the next copy of each is forwarded. Those in flight are left alone.
    /// Answers how many there were.
    #[must_use]
    pub fn purge(&self, id: &[u8]) -> usize {
        let (id, mut purged) = (BareId::of(id), 0);
        self.each_accepted(id, |table, mark, _| {
            purged += usize::from(table.accepted.forget(mark, id));
            table.history.add(id, mark, Step { what: What::Purged, at: self.shared.clock.now(), copy: 0 });
        });
        purged
    }

    /// Finds the accepted events of an id, a stretch of the table at a time. What is accepted meanwhile is not among them.
    fn each_accepted(&self, id: BareId, mut found: impl FnMut(&mut Table, u64, Instant)) {
        let (first, count) = self.shared.lock().accepted.numbers();
        for start in (0..count).step_by(STRIDE) {
            let mut table = self.shared.lock();
            let number = first.wrapping_add(u32::try_from(start).unwrap_or(u32::MAX));
            for (mark, at) in table.accepted.with_id(id, number, STRIDE.min(count - start)) {
                found(&mut table, mark, at);
            }
        }
    }
}

fn life(events: &mut Vec<Life>, mark: u64) -> &mut Life {
    let at = events.iter().position(|life| life.mark == mark).unwrap_or_else(|| {
        events.push(Life { mark, accepted: None, steps: Vec::new() });
        events.len() - 1
    });
    &mut events[at]
}

impl Table {
    /// A number for a request that has just come.
    pub(super) fn next_copy(&mut self) -> u32 {
        self.copies = self.copies.wrapping_add(1);
        self.copies
    }

    /// Remembers what happened to events.
    pub(super) fn note(&mut self, keys: &Keys, what: What, at: Instant, copy: u32) {
        for key in keys {
            self.history.add(key.id(), self.accepted.mark(key), Step { what, at, copy });
        }
    }

    /// Which of the events of a request have been here before, and why they come again.
    pub(super) fn repeats(&mut self, wish: &Wish<'_>) -> Repeats {
        let mut repeats = Repeats::default();
        for key in wish.keys {
            let mark = self.accepted.mark(key);
            let last = self.history.last(key.id(), mark);
            let gap = last.map(|step| wish.now.saturating_duration_since(step.at));
            let what = last.map(|step| step.what);
            let state = self.state(key);
            match state.seen(wish.window, wish.now) {
                Seen::InFlight => repeats.add(Cause::Slow, gap),
                Seen::Accepted { age } => repeats.add(cause(what), gap.or(Some(age))),
                Seen::Absent => match self.accepted_ago(state, mark, wish.now) {
                    _ if what == Some(What::Purged) => {}
                    Some(ago) => {
                        repeats.add(cause(what), gap.or(Some(ago)));
                        repeats.miss();
                    }
                    None if matches!(what, Some(What::Failed | What::GaveUp)) => repeats.add(Cause::Failed, gap),
                    None => {}
                },
            }
        }
        repeats
    }

    /// How long ago an event was accepted that counts as new now, if a repeat of it is a repeat missed.
    fn accepted_ago(&mut self, state: State, mark: u64, now: Instant) -> Option<Duration> {
        let ago = match state {
            State::Accepted { at } => Some(now.saturating_duration_since(at)),
            _ => self.accepted.take_ghost(mark, now),
        };
        ago.filter(|ago| *ago < MISSED_WITHIN)
    }
}

/// Why an event that was accepted comes again, by the last thing that happened to it.
const fn cause(last: Option<What>) -> Cause {
    match last {
        Some(What::Unread) => Cause::Unread,
        Some(What::Failed | What::GaveUp) => Cause::Failed,
        _ => Cause::Late,
    }
}
