//! The protocol of claims, explored to its end: every order of every event of a small world, breadth first, on the shipped transition
//! functions. Then the same for mutants, each a bug that real products ship: the exploration must find what each one breaks.
//!
//! A small explorer of our own and no model checker: the states are values already, so all that is missing is a queue and a set, and a
//! counterexample comes out as the shortest list of actions.

mod world;

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use edge_sidecar::clock::Clock;
use edge_sidecar::dedup::protocol::{Decision, Effect, Event, Mode, State, Tally, step};

use world::{Action, Broken, WINDOW, World, ticks};

/// The transition functions under test: the shipped ones, or a mutant's. `actor` is the claim that acts.
#[derive(Clone, Copy)]
struct Protocol {
    step: fn(state: State, event: Event, actor: u64) -> (State, Effect),
    decide: fn(&Tally, Mode) -> Decision,
}

/// What there is to explore.
struct Setup {
    protocol: Protocol,
    /// The keys in the body of each sender.
    senders: Vec<Vec<usize>>,
    /// How often each sends it.
    attempts: usize,
    /// A time at hand; only differences count.
    start: Instant,
}

impl Setup {
    /// The present of every world.
    fn now(&self) -> Instant {
        self.ago(0)
    }

    /// The time some ticks before it, a window at most.
    fn ago(&self, age: u8) -> Instant {
        self.start + ticks(WINDOW - age)
    }
}

/// The shipped functions. An acceptance needs no token: the function did take the event, whoever brought it.
const SHIPPED: Protocol = Protocol { step: |state, event, _| step(state, event), decide: |tally, mode| tally.decide(mode) };

/// The bodies that the senders send: one event from two senders (a batch of two that never part is no different), and batches
/// that overlap.
const SAME: [&[usize]; 2] = [&[0], &[0]];
const TWINS: [&[usize]; 2] = [&[0, 1], &[0, 1]];
const OVERLAPPING: [&[usize]; 2] = [&[0], &[0, 1]];
const CROSSED: [&[usize]; 3] = [&[0], &[1], &[0, 1]];

/// What an exploration found.
#[derive(Debug)]
struct Explored {
    worlds: usize,
    broken: Option<(Broken, Vec<Action>)>,
}

/// Visits every world that can be reached, nearest first, until something is broken.
fn explore(protocol: Protocol, senders: &[&[usize]], attempts: usize) -> Explored {
    let senders = senders.iter().map(|keys| keys.to_vec()).collect();
    let setup = Setup { protocol, senders, attempts, start: Clock::manual().now() };
    let start = World::start(&setup);
    let (mut known, mut paths, mut next) = (HashSet::from([start.clone()]), Vec::new(), VecDeque::from([(start, None)]));
    while let Some((world, path)) = next.pop_front() {
        for action in world.actions() {
            let step = |paths: &mut Vec<(Action, Option<usize>)>| {
                paths.push((action, path));
                paths.len() - 1
            };
            match world.after(&setup, action) {
                Err(broken) => {
                    let last = step(&mut paths);
                    return Explored { worlds: known.len(), broken: Some((broken, trace(&paths, last))) };
                }
                Ok(after) if known.insert(after.clone()) => next.push_back((after, Some(step(&mut paths)))),
                Ok(_) => {}
            }
        }
    }
    Explored { worlds: known.len(), broken: None }
}

/// The actions that lead to a step.
fn trace(paths: &[(Action, Option<usize>)], last: usize) -> Vec<Action> {
    let mut actions: Vec<_> = std::iter::successors(Some(last), |at| paths[*at].1).map(|at| paths[at].0).collect();
    actions.reverse();
    actions
}

#[test]
fn nothing_is_lost_and_nothing_is_taken_twice_in_any_order_of_events() {
    for (name, senders, attempts) in
        [("same", &SAME[..], 3), ("twins", &TWINS[..], 3), ("overlapping", &OVERLAPPING[..], 3), ("crossed", &CROSSED[..], 2)]
    {
        let explored = explore(SHIPPED, senders, attempts);
        eprintln!("model, {name}: {} worlds", explored.worlds);
        assert!(explored.broken.is_none(), "{name}: {explored:?}");
        assert!(explored.worlds > 1_000, "{name}: {} worlds are no proof", explored.worlds);
    }
}

/// The mutants: name, functions, senders that show it, and what it breaks.
fn mutants() -> Vec<(&'static str, Protocol, &'static [&'static [usize]], Broken)> {
    vec![
        ("mark first, never release", Protocol { step: mark_first, ..SHIPPED }, &SAME, Broken::Lost),
        ("release without token", Protocol { step: release_any, ..SHIPPED }, &OVERLAPPING, Broken::TwoOwners),
        ("accept only with the own token", Protocol { step: accept_own, ..SHIPPED }, &OVERLAPPING, Broken::Repeated),
        ("accept whatever is there", Protocol { step: accept_again, ..SHIPPED }, &OVERLAPPING, Broken::Silenced),
        ("answer while in flight", Protocol { decide: answer_in_flight, ..SHIPPED }, &SAME, Broken::Lost),
        ("forward while in flight", Protocol { decide: forward_in_flight, ..SHIPPED }, &SAME, Broken::TakenTwice),
        ("release in silence", Protocol { step: silent_release, ..SHIPPED }, &SAME, Broken::Stuck),
    ]
}

fn mark_first(state: State, event: Event, _: u64) -> (State, Effect) {
    match (step(state, event), event) {
        ((State::InFlight { .. }, Effect::Claimed), Event::Claim { now, .. }) => (State::Accepted { at: now }, Effect::Claimed),
        (_, Event::Release { .. }) => (state, Effect::None),
        (after, _) => after,
    }
}

fn release_any(state: State, event: Event, _: u64) -> (State, Effect) {
    match (state, event) {
        (State::InFlight { token }, Event::Release { .. }) => step(state, Event::Release { token }),
        _ => step(state, event),
    }
}

fn accept_own(state: State, event: Event, actor: u64) -> (State, Effect) {
    match (state, event) {
        (State::InFlight { token }, Event::Accept { .. }) if token != actor => (state, Effect::None),
        _ => step(state, event),
    }
}

fn accept_again(state: State, event: Event, _: u64) -> (State, Effect) {
    match event {
        Event::Accept { now, .. } => (State::Accepted { at: now }, step(state, event).1),
        _ => step(state, event),
    }
}

fn answer_in_flight(tally: &Tally, mode: Mode) -> Decision {
    match tally.decide(mode) {
        Decision::Wait => Decision::Duplicate { age: Duration::ZERO },
        decision => decision,
    }
}

fn forward_in_flight(tally: &Tally, mode: Mode) -> Decision {
    match tally.decide(mode) {
        Decision::Wait => Decision::Own,
        decision => decision,
    }
}

fn silent_release(state: State, event: Event, _: u64) -> (State, Effect) {
    match event {
        Event::Release { .. } => (step(state, event).0, Effect::None),
        _ => step(state, event),
    }
}

#[test]
fn every_mutant_of_the_protocol_is_caught() {
    for (name, protocol, senders, breaks) in mutants() {
        let explored = explore(protocol, senders, 3);
        let (broken, actions) = explored.broken.unwrap_or_else(|| panic!("{name}: not caught in {} worlds", explored.worlds));
        eprintln!("mutant, {name}: {broken:?} after {actions:?}");
        assert_eq!(broken, breaks, "{name}: {actions:?}");
    }
}
