//! The world around the protocol: senders that repeat and leave, a function that takes, refuses or falls silent, time that passes.
//! Every change of a key goes through the transition functions under test; what must hold is judged by facts kept beside them.

use std::time::Duration;

use edge_sidecar::dedup::protocol::{Decision, Effect, Event, Mode, Seen, State, Tally};

use super::Setup;

/// How many ticks a window lasts.
pub const WINDOW: u8 = 2;

/// A key as the sidecar knows it; ages in ticks, so that the worlds are finite.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Key {
    Absent,
    InFlight(u64),
    Accepted(u8),
}

/// Where a copy is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Copy {
    Unsent,
    /// Waits for a key; `rung` once its flight has ended.
    Waiting {
        key: usize,
        rung: bool,
    },
    /// At the function. `owns`: which of its keys are its own, bit by bit, as long as nobody has brought them to acceptance.
    Running {
        owns: u8,
    },
    Done,
}

/// What is true of an event, whatever the sidecar believes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Fact {
    /// The function has said 2xx to a body with it.
    taken: bool,
    /// Ticks since the acceptance that began its window.
    age: Option<u8>,
}

/// One state of everything.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    keys: Vec<Key>,
    facts: Vec<Fact>,
    /// Per sender, per attempt.
    copies: Vec<Vec<Copy>>,
    /// Whether the sender is still there for its latest copy.
    listening: Vec<bool>,
}

/// Something that may happen next: a sender and an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    Send(usize),
    Leave(usize),
    /// A waiter whose bell rang decides again.
    Wake(usize, usize),
    /// A waiter has waited long enough: 503.
    GiveUp(usize, usize),
    Takes(usize, usize),
    Refuses(usize, usize),
    /// It may have run, but its answer was lost.
    FallsSilent(usize, usize),
    Tick,
}

/// What must never happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// A sender got 200, but the function never said 2xx to one of its events.
    Lost,
    /// The function took an event twice within its window, and no body held anything else.
    TakenTwice,
    /// A body was forwarded though all of it was accepted within its window.
    Repeated,
    /// A body was answered as a duplicate though a window was over.
    Silenced,
    /// Two copies own one key.
    TwoOwners,
    /// A copy waits for something that has ended.
    Stuck,
}

impl World {
    /// Before anything has happened.
    pub fn start(setup: &Setup) -> Self {
        let keys = setup.senders.iter().flatten().max().map_or(0, |k| k + 1);
        Self {
            keys: vec![Key::Absent; keys],
            facts: vec![Fact::default(); keys],
            copies: vec![vec![Copy::Unsent; setup.attempts]; setup.senders.len()],
            listening: vec![false; setup.senders.len()],
        }
    }

    /// Everything that may happen next.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = vec![Action::Tick];
        for (sender, copies) in self.copies.iter().enumerate() {
            if self.listening[sender] {
                actions.push(Action::Leave(sender));
            } else if copies.contains(&Copy::Unsent) {
                actions.push(Action::Send(sender));
            }
            for (attempt, copy) in copies.iter().enumerate() {
                match copy {
                    Copy::Waiting { rung: true, .. } => actions.push(Action::Wake(sender, attempt)),
                    Copy::Waiting { .. } => actions.push(Action::GiveUp(sender, attempt)),
                    Copy::Running { .. } => {
                        actions.extend([Action::Takes, Action::Refuses, Action::FallsSilent].map(|a| a(sender, attempt)));
                    }
                    Copy::Unsent | Copy::Done => {}
                }
            }
        }
        actions
    }

    /// The world after an action, or what that broke.
    pub fn after(&self, setup: &Setup, action: Action) -> Result<Self, Broken> {
        let mut world = self.clone();
        match action {
            Action::Tick => world.tick(),
            Action::Leave(sender) => world.listening[sender] = false,
            Action::Send(sender) => {
                let attempt = world.copies[sender].iter().position(|c| *c == Copy::Unsent).expect("offered only then");
                world.listening[sender] = true;
                world.admit(setup, sender, attempt)?;
            }
            Action::Wake(sender, attempt) => world.admit(setup, sender, attempt)?,
            Action::GiveUp(sender, attempt) => world.done(sender, attempt),
            Action::Takes(sender, attempt) => world.take(setup, sender, attempt)?,
            Action::Refuses(sender, attempt) | Action::FallsSilent(sender, attempt) => world.release(setup, sender, attempt),
        }
        world.judge()?;
        Ok(world)
    }

    /// A window that is over is no different from one that was over long ago.
    fn tick(&mut self) {
        for key in &mut self.keys {
            if let Key::Accepted(age) = key {
                *age = (*age + 1).min(WINDOW);
            }
        }
        for fact in &mut self.facts {
            fact.age = fact.age.map(|age| age + 1).filter(|age| *age < WINDOW);
        }
    }

    /// A copy asks, as `flow::webhook::admit` does: decided over all keys, claimed in the same step.
    fn admit(&mut self, setup: &Setup, sender: usize, attempt: usize) -> Result<(), Broken> {
        let keys = &setup.senders[sender];
        let mut tally = Tally::default();
        for key in keys {
            tally.add(self.state(setup, *key).seen(window(), setup.now()));
        }
        let known = keys.iter().all(|key| self.facts[*key].age.is_some());
        match (setup.protocol.decide)(&tally, Mode::Wait) {
            Decision::Duplicate { .. } => {
                if keys.iter().any(|key| !self.facts[*key].taken) {
                    return Err(Broken::Lost);
                }
                self.done(sender, attempt);
                if known { Ok(()) } else { Err(Broken::Silenced) }
            }
            Decision::Wait => {
                let seen = |key: &&usize| self.state(setup, **key).seen(window(), setup.now()) == Seen::InFlight;
                let key = *keys.iter().find(seen).expect("it waits for a key in flight");
                self.copies[sender][attempt] = Copy::Waiting { key, rung: false };
                Ok(())
            }
            Decision::Own => {
                let mut owns = 0;
                for key in keys {
                    let claim = Event::Claim { token: token(sender, attempt), window: window(), now: setup.now() };
                    if self.apply(setup, *key, claim, (sender, attempt)) == Effect::Claimed {
                        owns |= 1 << key;
                    }
                }
                self.copies[sender][attempt] = Copy::Running { owns };
                if known { Err(Broken::Repeated) } else { Ok(()) }
            }
        }
    }

    fn take(&mut self, setup: &Setup, sender: usize, attempt: usize) -> Result<(), Broken> {
        let mixed = setup.senders.iter().any(|keys| *keys != setup.senders[0]);
        let keys = &setup.senders[sender];
        let twice = !mixed && keys.iter().any(|key| self.facts[*key].age.is_some());
        for key in keys {
            self.apply(setup, *key, Event::Accept { window: window(), now: setup.now() }, (sender, attempt));
            let fact = &mut self.facts[*key];
            (fact.taken, fact.age) = (true, fact.age.or(Some(0)));
            for copy in self.copies.iter_mut().flatten() {
                if let Copy::Running { owns } = copy {
                    *owns &= !(1 << key);
                }
            }
        }
        self.done(sender, attempt);
        if twice { Err(Broken::TakenTwice) } else { Ok(()) }
    }

    fn release(&mut self, setup: &Setup, sender: usize, attempt: usize) {
        for key in &setup.senders[sender] {
            self.apply(setup, *key, Event::Release { token: token(sender, attempt) }, (sender, attempt));
        }
        self.done(sender, attempt);
    }

    /// The answer goes to the sender, if that is still there for this copy: only then may it send the next one.
    fn done(&mut self, sender: usize, attempt: usize) {
        self.copies[sender][attempt] = Copy::Done;
        let latest = self.copies[sender].iter().rposition(|c| *c != Copy::Unsent);
        if latest == Some(attempt) {
            self.listening[sender] = false;
        }
    }

    fn state(&self, setup: &Setup, key: usize) -> State {
        match self.keys[key] {
            Key::Absent => State::Absent,
            Key::InFlight(token) => State::InFlight { token },
            Key::Accepted(age) => State::Accepted { at: setup.ago(age) },
        }
    }

    /// One step of the protocol under test.
    fn apply(&mut self, setup: &Setup, key: usize, event: Event, (sender, attempt): (usize, usize)) -> Effect {
        let (state, effect) = (setup.protocol.step)(self.state(setup, key), event, token(sender, attempt));
        self.keys[key] = match state {
            State::Absent => Key::Absent,
            State::InFlight { token } => Key::InFlight(token),
            State::Accepted { at } => Key::Accepted((0..WINDOW).find(|age| setup.ago(*age) == at).unwrap_or(WINDOW)),
        };
        if effect == Effect::Ended {
            for copy in self.copies.iter_mut().flatten() {
                if let Copy::Waiting { key: waits_for, rung } = copy {
                    *rung |= *waits_for == key;
                }
            }
        }
        effect
    }

    fn judge(&self) -> Result<(), Broken> {
        let copies = || self.copies.iter().flatten();
        for key in 0..self.keys.len() {
            if copies().filter(|copy| matches!(copy, Copy::Running { owns } if owns & 1 << key != 0)).count() > 1 {
                return Err(Broken::TwoOwners);
            }
            let waits = copies().any(|copy| matches!(copy, Copy::Waiting { key: k, rung: false } if *k == key));
            if waits && !matches!(self.keys[key], Key::InFlight(_)) {
                return Err(Broken::Stuck);
            }
        }
        Ok(())
    }
}

/// A time in ticks.
pub fn ticks(n: u8) -> Duration {
    Duration::from_secs(u64::from(n))
}

fn window() -> Duration {
    ticks(WINDOW)
}

fn token(sender: usize, attempt: usize) -> u64 {
    sender as u64 * 10 + attempt as u64
}
