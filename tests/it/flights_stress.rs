//! The flights of the cache: in every order of the steps of three actors, and under real threads.
//!
//! As with the store of messages (`claims_stress.rs`), a flight's operations are whole under one lock each (the map's shard, the
//! channel's), so that orders of them are what a scheduler can choose; wake-ups are watched by wakers of our own. What lies between two
//! locks of one operation is for the threads.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use edge_sidecar::cache::control::Directives;
use edge_sidecar::cache::policy::{Facts, Storable};
use edge_sidecar::cache::request::Request;
use edge_sidecar::cache::vary::Selecting;
use edge_sidecar::cache::{CacheKey, CallerSecret, Entry, NotStored, Scope, Settings, Ttl};
use edge_sidecar::clock::Clock;
use edge_sidecar::store::flights::{Flights, Lead, Outcome, Role};
use edge_sidecar::upstream::retry::Cause;
use http::{HeaderMap, Method};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::PATIENCE;

fn key() -> CacheKey {
    let headers = HeaderMap::new();
    let (method, host, path, upstream) = (&Method::GET, "h", "/p", "u");
    let request =
        Request { method, host, path, odd_path: false, query: None, headers: &headers, has_body: false, upstream, trusted: false };
    CacheKey::new("r", &Settings::new(Ttl::Usual(std::time::Duration::ZERO), Scope::Public), &request, &CallerSecret::new([7; 16]))
}

fn entry() -> Arc<Entry> {
    let (directives, received) = (Directives::default(), Clock::manual().now());
    let facts =
        Facts { status: 200, directives, initial_age: std::time::Duration::ZERO, received, date: None, token_left: None, softened: None };
    Arc::new(Entry::new("r".into(), Storable { facts, selecting: Selecting::default() }, &HeaderMap::new(), [], &[]))
}

/// How a leader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    Pass,
    Fails,
    /// Dropped, as by a panic.
    Dropped,
}

/// What an actor does.
#[derive(Clone, Copy, Debug)]
enum Script {
    /// Asks, waits if it must, and ends so if it leads.
    Ask(End),
    /// Asks, and leaves if it had to wait.
    Leave,
    /// Fetches for no caller, unless somebody does.
    Refresh(End),
    /// A purge.
    Purge,
}

const SCRIPTS: [Script; 8] = [
    Script::Ask(End::Done),
    Script::Ask(End::Pass),
    Script::Ask(End::Fails),
    Script::Ask(End::Dropped),
    Script::Leave,
    Script::Refresh(End::Done),
    Script::Refresh(End::Fails),
    Script::Purge,
];

/// Whether a follower was woken since it was last looked at.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

enum Actor {
    Start,
    Waiting(Pin<Box<dyn Future<Output = Outcome>>>, Arc<Flag>),
    /// With the number of purges so far: a leader that a purge came after is not joined any more, and others may lead beside it.
    Leading(Lead, u32),
    Ended,
}

struct World {
    flights: Arc<Flights>,
    key: CacheKey,
    entry: Arc<Entry>,
    purges: u32,
    failures: u32,
}

impl World {
    fn step(&mut self, script: Script, actor: Actor) -> Actor {
        match (actor, script) {
            (Actor::Start, Script::Purge) => {
                self.purges += 1;
                self.flights.detach(|_| true);
                Actor::Ended
            }
            (Actor::Start, Script::Refresh(_)) => {
                self.flights.begin(&self.key).map_or(Actor::Ended, |lead| Actor::Leading(lead, self.purges))
            }
            (Actor::Start, _) => match self.flights.join(&self.key, 10) {
                Role::Lead(lead) => Actor::Leading(lead, self.purges),
                Role::Follow(follower) => {
                    let flag = Arc::new(Flag::default());
                    flag.0.store(true, SeqCst); // not looked at yet
                    Actor::Waiting(Box::pin(follower.outcome()), flag)
                }
                Role::Crowded => unreachable!("three are no crowd"),
            },
            (Actor::Waiting(..), Script::Leave) | (Actor::Ended, _) => Actor::Ended,
            (Actor::Waiting(mut outcome, flag), _) => {
                let woken = flag.0.swap(false, SeqCst);
                match outcome.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&flag)))) {
                    Poll::Pending => Actor::Waiting(outcome, flag),
                    Poll::Ready(outcome) => {
                        assert!(woken, "a wake-up is lost");
                        self.heard(outcome)
                    }
                }
            }
            (Actor::Leading(lead, _), Script::Ask(end) | Script::Refresh(end)) => self.end(lead, end),
            (Actor::Leading(lead, _), _) => self.end(lead, End::Done),
        }
    }

    fn heard(&self, outcome: Outcome) -> Actor {
        match outcome {
            Outcome::Lead(lead) => return Actor::Leading(lead, self.purges),
            Outcome::Done(entry) => assert!(Arc::ptr_eq(&entry, &self.entry)),
            Outcome::Failed(_) => assert!(self.failures >= 2, "one failure is never the last word"),
            Outcome::Stale(_) => unreachable!("nobody says so"),
            Outcome::Pass(_) => {}
        }
        Actor::Ended
    }

    fn end(&mut self, lead: Lead, end: End) -> Actor {
        self.failures += u32::from(matches!(end, End::Fails | End::Dropped));
        match end {
            End::Done => lead.done(Arc::clone(&self.entry)),
            End::Pass => lead.pass(NotStored::Private),
            End::Fails => lead.failed(Cause::Lost),
            End::Dropped => drop(lead),
        }
        Actor::Ended
    }
}

/// Runs one order of steps; the actors that are not done then go round until all are.
fn interleave(world: &mut World, scripts: [Script; 3], order: impl Iterator<Item = usize>) {
    let mut actors = [Actor::Start, Actor::Start, Actor::Start];
    (world.purges, world.failures) = (0, 0);
    for at in order.chain((0..18).map(|at| at % 3)) {
        actors[at] = world.step(scripts[at], std::mem::replace(&mut actors[at], Actor::Ended));
        let leaders = actors.iter().filter(|actor| matches!(actor, Actor::Leading(_, since) if *since == world.purges)).count();
        assert!(leaders <= 1 || world.purges > 0, "two lead: {scripts:?}");
    }
    assert!(actors.iter().all(|actor| matches!(actor, Actor::Ended)), "somebody waits for ever: {scripts:?}");
    assert!(world.flights.is_empty() && world.flights.waiting() == 0, "a key is stuck: {scripts:?}");
}

#[test]
fn every_interleaving_of_three_actors_ends_with_nobody_waiting_and_no_key_stuck() {
    const STEPS: u32 = 6;
    let mut world = World { flights: Arc::default(), key: key(), entry: entry(), purges: 0, failures: 0 };
    let n = SCRIPTS.len();
    for script in 0..n.pow(3) {
        let scripts = [SCRIPTS[script % n], SCRIPTS[script / n % n], SCRIPTS[script / n / n]];
        for order in 0..3_usize.pow(STEPS) {
            interleave(&mut world, scripts, (0..STEPS).map(|at| order / 3_usize.pow(at) % 3));
        }
    }
}

/// Three threads on one key: who leads holds a mark that nobody else may find, who follows is woken before the watchdog's patience ends.
#[test]
fn three_threads_never_lead_at_once_and_never_sleep_for_ever() {
    const FETCHES: u64 = 20_000;
    let (flights, leading, steps) = (Arc::<Flights>::default(), Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let (done, ended) = mpsc::channel();
    for thread in 0..3 {
        let (flights, leading, steps, done) = (Arc::clone(&flights), Arc::clone(&leading), Arc::clone(&steps), done.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let (mut dice, key, entry) = (StdRng::seed_from_u64(thread), key(), entry());
            let lead = |lead: Lead, dice: &mut StdRng| {
                assert!(!leading.swap(true, SeqCst), "two lead");
                (0..dice.random_range(0..4)).for_each(|_| std::thread::yield_now());
                leading.store(false, SeqCst);
                match dice.random_range(0..4) {
                    0 => lead.done(Arc::clone(&entry)),
                    1 => lead.pass(NotStored::Private),
                    2 => lead.failed(Cause::Lost),
                    _ => drop(lead),
                }
            };
            for _ in 0..FETCHES {
                steps.fetch_add(1, SeqCst);
                match flights.join(&key, 10) {
                    Role::Lead(first) => lead(first, &mut dice),
                    Role::Follow(follower) if dice.random_bool(0.2) => drop(follower),
                    Role::Follow(follower) => {
                        if let Outcome::Lead(second) = runtime.block_on(follower.outcome()) {
                            lead(second, &mut dice);
                        }
                    }
                    Role::Crowded => unreachable!("three are no crowd"),
                }
            }
            let _ = done.send(());
        });
    }
    drop(done);
    let mut running = 3;
    while running > 0 {
        let before = steps.load(SeqCst);
        match ended.recv_timeout(PATIENCE) {
            Ok(()) => running -= 1,
            Err(mpsc::RecvTimeoutError::Disconnected) => panic!("a thread failed"),
            Err(mpsc::RecvTimeoutError::Timeout) => assert!(steps.load(SeqCst) > before, "a wake-up is lost: nobody moves"),
        }
    }
    assert!(flights.is_empty() && flights.waiting() == 0, "a key is stuck");
}
