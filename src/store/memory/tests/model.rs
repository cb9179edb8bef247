//! Random commands against the store and against a model made of plain lists.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::Memory;
use super::{claim, now_or_never};
use crate::clock::Clock;
use crate::store::claims::{Claim, Claimed, Mode};

#[derive(Clone, Debug)]
enum Command {
    Claim(Vec<usize>, Mode, u64),
    Accept(usize),
    Drop(usize),
    Advance(u64),
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let mode = prop_oneof![Just(Mode::Wait), Just(Mode::Forward), Just(Mode::Always)];
    let command = prop_oneof![
        4 => (prop::collection::btree_set(0..6_usize, 1..4), mode, 1..40_u64)
            .prop_map(|(keys, mode, window)| Command::Claim(keys.into_iter().collect(), mode, window)),
        3 => (0..4_usize).prop_map(Command::Accept),
        1 => (0..4_usize).prop_map(Command::Drop),
        1 => (0..20_u64).prop_map(Command::Advance),
    ];
    prop::collection::vec(command, 0..120)
}

/// What the store should know.
struct Model {
    room: usize,
    /// In order of acceptance; `None` where one was taken out.
    accepted: VecDeque<(Option<usize>, Instant)>,
    /// Keys in flight and the claims that own them.
    owners: BTreeMap<usize, usize>,
}

impl Model {
    fn age(&self, key: usize, window: u64, now: Instant) -> Option<Duration> {
        let at = self.accepted.iter().find(|(other, _)| *other == Some(key))?.1;
        Some(now - at).filter(|age| age.as_secs() < window)
    }

    fn remove(&mut self, key: usize) {
        self.accepted.iter_mut().filter(|(other, _)| *other == Some(key)).for_each(|slot| slot.0 = None);
    }

    fn own(&mut self, claim: usize, keys: &[usize], window: u64, now: Instant) {
        for key in keys {
            if !self.owners.contains_key(key) && self.age(*key, window, now).is_none() {
                self.owners.insert(*key, claim);
                self.remove(*key);
            }
        }
    }

    /// In the order of the keys' hashes, as the store has it.
    fn accept(&mut self, keys: &[usize], window: u64, now: Instant) {
        let mut keys = keys.to_vec();
        keys.sort_by_key(|number| super::key(*number));
        for key in keys {
            self.owners.remove(&key);
            if self.age(key, window, now).is_none() {
                self.remove(key);
                for _ in 0..2 {
                    self.accepted.pop_front_if(|slot| slot.0.is_none());
                }
                if self.accepted.len() == self.room {
                    self.accepted.pop_front();
                }
                self.accepted.push_back((Some(key), now));
            }
        }
    }

    /// (keys that are new, keys in flight, ages of the accepted ones)
    fn tally(&self, keys: &[usize], window: u64, now: Instant) -> (usize, usize, Vec<Duration>) {
        let in_flight = keys.iter().filter(|key| self.owners.contains_key(key)).count();
        let ages: Vec<_> = keys.iter().filter_map(|key| self.age(*key, window, now)).collect();
        (keys.len() - in_flight - ages.len(), in_flight, ages)
    }
}

struct Open {
    id: usize,
    keys: Vec<usize>,
    window: u64,
    claim: Claim,
}

proptest! {
    #[test]
    fn the_store_agrees_with_a_naive_model(commands in commands(), room in prop_oneof![1..6_usize, Just(1_000)]) {
        let (store, clock) = (Memory::new(room), Clock::manual());
        let mut model = Model { room, accepted: VecDeque::new(), owners: BTreeMap::new() };
        let mut open: Vec<Open> = Vec::new();
        for (id, command) in commands.into_iter().enumerate() {
            let now = clock.now();
            match command {
                Command::Advance(seconds) => clock.advance(Duration::from_secs(seconds)),
                Command::Accept(at) if at < open.len() => {
                    let Open { keys, window, claim, .. } = open.remove(at);
                    claim.accept(now);
                    model.accept(&keys, window, now);
                }
                Command::Drop(at) if at < open.len() => {
                    let id = open.remove(at).id;
                    model.owners.retain(|_, owner| *owner != id);
                }
                Command::Accept(_) | Command::Drop(_) => {}
                Command::Claim(keys, mode, window) => {
                    let (absent, in_flight, ages) = model.tally(&keys, window, now);
                    match claim(&store, &keys, mode, Duration::from_secs(window), now) {
                        Claimed::Duplicate { age, .. } => {
                            prop_assert!(absent + in_flight == 0 && mode != Mode::Always);
                            prop_assert_eq!(Some(&age), ages.iter().min());
                        }
                        Claimed::InFlight(waiter) => {
                            prop_assert!(absent == 0 && in_flight > 0 && mode == Mode::Wait);
                            prop_assert!(now_or_never(waiter.wait()).is_none());
                        }
                        Claimed::Crowded => prop_assert!(false, "nobody waits"),
                        Claimed::Owned(claim) => {
                            prop_assert!(absent > 0 || mode == Mode::Always || in_flight > 0 && mode == Mode::Forward);
                            prop_assert_eq!((claim.fresh(), claim.repeated()), (absent, in_flight + ages.len()));
                            model.own(id, &keys, window, now);
                            open.push(Open { id, keys, window, claim });
                        }
                    }
                }
            }
            let entries = model.accepted.iter().filter(|slot| slot.0.is_some()).count();
            prop_assert_eq!((store.numbers().entries, store.numbers().in_flight), (entries, model.owners.len()));
        }
        drop(open);
        prop_assert_eq!((store.numbers().in_flight, store.numbers().waiting), (0, 0));
    }
}
