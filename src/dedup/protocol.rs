//! What becomes of an event that may arrive more than once: the states of one key and the steps between them, and the decision
//! over all keys of a request. Values only; the stores put them to work.
//!
//! `Absent < InFlight < Accepted`. A key is claimed before the request is forwarded and accepted when the function has taken it
//! (2xx); a failure releases it, so that the next copy is forwarded. An acceptance always wins, whoever brings it: the function
//! did take the event. Nothing takes it back before its window ends, and no repeat makes the window longer, or a sender that
//! keeps repeating would be silenced for ever.

use std::time::{Duration, Instant};

/// What is known of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing: never seen, released, or forgotten.
    #[default]
    Absent,
    /// A request that carries the event is on its way to the function.
    InFlight {
        /// The claim that owns the key.
        token: u64,
    },
    /// The function took the event.
    Accepted {
        /// When it did.
        at: Instant,
    },
}

/// A state as the rule of the day sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// New, or accepted so long ago that it counts as new.
    Absent,
    /// On its way.
    InFlight,
    /// Taken, within the window.
    Accepted {
        /// How long ago.
        age: Duration,
    },
}

impl State {
    /// Judges the state by a window. A state keeps only what happened, so a window that was changed a moment ago acts at once.
    #[must_use]
    pub fn seen(self, window: Duration, now: Instant) -> Seen {
        match self {
            Self::Absent => Seen::Absent,
            Self::InFlight { .. } => Seen::InFlight,
            Self::Accepted { at } => match now.saturating_duration_since(at) {
                age if age < window => Seen::Accepted { age },
                _ => Seen::Absent,
            },
        }
    }
}

/// What happens to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request wants to own it.
    Claim {
        /// The claim.
        token: u64,
        /// The window of its rule.
        window: Duration,
        /// The time.
        now: Instant,
    },
    /// The function took a request that carries it; whether that request owns the key makes no difference.
    Accept {
        /// The window of its rule.
        window: Duration,
        /// The time.
        now: Instant,
    },
    /// A claim ended without acceptance.
    Release {
        /// The claim.
        token: u64,
    },
}

/// What a step calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The key is now the claim's.
    Claimed,
    /// The key is no longer in flight: whoever waits for it is to be woken.
    Ended,
}

/// One step of one key.
#[must_use]
pub fn step(state: State, event: Event) -> (State, Effect) {
    match event {
        Event::Claim { token, window, now } => match state.seen(window, now) {
            Seen::Absent => (State::InFlight { token }, Effect::Claimed),
            Seen::InFlight | Seen::Accepted { .. } => (state, Effect::None),
        },
        Event::Accept { window, now } => match state.seen(window, now) {
            Seen::Absent => (State::Accepted { at: now }, Effect::None),
            Seen::InFlight => (State::Accepted { at: now }, Effect::Ended),
            Seen::Accepted { .. } => (state, Effect::None),
        },
        Event::Release { token } if state == (State::InFlight { token }) => (State::Absent, Effect::Ended),
        Event::Release { .. } => (state, Effect::None),
    }
}

/// How a request wants its repeats treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// While a copy is in flight, wait for its outcome.
    Wait,
    /// Forward every copy until one is accepted.
    Forward,
    /// Forward whatever was accepted: the body also holds something that has no key.
    Always,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Every event in it was accepted: answer it.
    Duplicate {
        /// Since when that holds: the age of the youngest acceptance.
        age: Duration,
    },
    /// Nothing in it is new, but not all of it is accepted: wait for one that is in flight, then decide again. Own nothing meanwhile.
    Wait,
    /// Forward it, and own what is absent (which may be nothing).
    Own,
}

/// The keys of one request, counted by what is known of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Keys that are new.
    pub absent: usize,
    /// Keys on their way.
    pub in_flight: usize,
    /// Keys accepted within the window.
    pub accepted: usize,
    youngest: Option<Duration>,
}

impl Tally {
    /// Counts one more key.
    pub fn add(&mut self, seen: Seen) {
        match seen {
            Seen::Absent => self.absent += 1,
            Seen::InFlight => self.in_flight += 1,
            Seen::Accepted { age } => {
                self.accepted += 1;
                self.youngest = Some(self.youngest.map_or(age, |youngest| youngest.min(age)));
            }
        }
    }

    /// The decision over the whole request. Something new is forwarded at once, with all that came with it: waiting would not
    /// spare the function anything.
    #[must_use]
    pub fn decide(&self, mode: Mode) -> Decision {
        match (mode, self.youngest) {
            (Mode::Wait | Mode::Forward, Some(age)) if self.absent == 0 && self.in_flight == 0 => Decision::Duplicate { age },
            (Mode::Wait, _) if self.absent == 0 && self.in_flight > 0 => Decision::Wait,
            _ => Decision::Own,
        }
    }
}

#[cfg(test)]
mod tests;
