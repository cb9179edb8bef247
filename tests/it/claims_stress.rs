//! The memory store under three actors: in every order of their steps, and under real threads.
//!
//! Every operation of the store runs under its one lock, so an order of whole operations is all that a scheduler can choose, up to one
//! point: waiters are woken after the lock is given back. Hence two proofs instead of loom or shuttle, which would need a lock of
//! their own in the shipped code and would still see nothing of tokio's `oneshot` and `Semaphore`: every interleaving of whole
//! operations, on the store as it is; then real threads, for that one point, with a watchdog for a wake-up that is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use edge_sidecar::clock::Clock;
use edge_sidecar::dedup::key::{KeyHasher, Keys, Scope};
use edge_sidecar::store::claims::{Claim, Claimed, Claims, Mode, Waited, Waiter, Wish};
use edge_sidecar::store::memory::Memory;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::PATIENCE;

/// The bodies: one key, the other, both.
static BODIES: [&[usize]; 3] = [&[0], &[1], &[0, 1]];

const WINDOW: Duration = Duration::from_hours(24);

fn keys(numbers: &[usize]) -> Keys {
    let key = |number: &usize| {
        let mut hasher = KeyHasher::new(&Scope { upstream: "functions", function: "stress" }, "whatsapp");
        hasher.part(Some(&number.to_be_bytes()));
        hasher.finish()
    };
    numbers.iter().map(key).collect::<Vec<_>>().into()
}

fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn claim(store: &Memory, keys: &Keys, now: Instant, brought: Option<&Waited>) -> Claimed {
    now_or_never(store.claim(&Wish { keys, window: WINDOW, mode: Mode::Wait, now, waited: brought })).expect("memory answers at once")
}

/// What an actor of the interleavings does with its claim.
#[derive(Clone, Copy, Debug)]
enum End {
    Accept,
    Release,
}

/// An actor between two of its steps.
enum Actor {
    Start,
    Waiting(Waiter),
    Owning(Claim),
    Done,
}

impl Actor {
    /// Most keys in flight that are its own: those it claimed, or those kept for it as its turn has come and it has not looked yet.
    fn holds(&self, body: usize) -> usize {
        match self {
            Self::Owning(claim) => claim.fresh(),
            Self::Waiting(_) => BODIES[body].len(),
            Self::Start | Self::Done => 0,
        }
    }
}

/// Runs one order of steps; the last actors to be ready go round until all are done.
fn interleave(bodies: &[Keys; 3], scripts: &[(usize, End); 3], order: &[usize]) {
    let (store, now) = (Memory::new(8), Clock::manual().now());
    let mut actors = [Actor::Start, Actor::Start, Actor::Start];
    let mut accepted = [false; 2];
    let rest = (0..18).map(|at| at % 3);
    for at in order.iter().copied().chain(rest) {
        let (body, end) = scripts[at];
        let numbers = BODIES[body];
        let all_accepted = numbers.iter().all(|n| accepted[*n]);
        actors[at] = match std::mem::replace(&mut actors[at], Actor::Done) {
            Actor::Start => decide(&store, &bodies[body], now, None, all_accepted),
            Actor::Waiting(waiter) => {
                let brought = now_or_never(waiter.wait());
                let woken = brought.is_some();
                let next = decide(&store, &bodies[body], now, brought.as_ref(), all_accepted);
                // a batch waits for one of its keys; it may sleep on while another of them comes free, and who is not yet
                // first in the queue sleeps on while the key is kept for the one who is
                let sleeps_on = match &next {
                    Actor::Waiting(_) => true,
                    Actor::Owning(claim) => claim.repeated() > 0,
                    Actor::Start | Actor::Done => false,
                };
                assert!(woken || sleeps_on, "{scripts:?} {order:?}: a wake-up is lost");
                next
            }
            Actor::Owning(claim) => {
                match end {
                    End::Accept => {
                        for n in numbers {
                            accepted[*n] = true;
                        }
                        claim.accept(now);
                    }
                    End::Release => drop(claim),
                }
                Actor::Done
            }
            Actor::Done => Actor::Done,
        };
        let held: usize = actors.iter().zip(scripts).map(|(actor, script)| actor.holds(script.0)).sum();
        assert!(store.numbers().in_flight <= held, "{scripts:?} {order:?}: in flight without an owner");
    }
    assert!(actors.iter().all(|actor| matches!(actor, Actor::Done)), "{scripts:?} {order:?}: somebody waits for ever");
    let numbers = store.numbers();
    let expected = (0, 0, accepted.iter().filter(|a| **a).count());
    assert_eq!((numbers.in_flight, numbers.waiting, numbers.entries), expected, "{scripts:?} {order:?}");
}

/// One decision of the store, against what was accepted so far.
fn decide(store: &Memory, keys: &Keys, now: Instant, brought: Option<&Waited>, all_accepted: bool) -> Actor {
    match claim(store, keys, now, brought) {
        Claimed::Owned(claim) => {
            assert!(!all_accepted, "forwarded though all of it was accepted");
            Actor::Owning(claim)
        }
        Claimed::Duplicate { .. } => {
            assert!(all_accepted, "a duplicate of what was not accepted");
            Actor::Done
        }
        Claimed::InFlight(waiter) => Actor::Waiting(waiter),
        Claimed::Crowded => unreachable!("three actors are no crowd"),
    }
}

#[test]
fn every_interleaving_of_three_actors_keeps_the_order_of_things() {
    const STEPS: u32 = 6;
    let bodies = BODIES.map(keys);
    let of = |n: usize| (n % 3, if n < 3 { End::Accept } else { End::Release });
    for script in 0..6_usize.pow(3) {
        let scripts = [of(script % 6), of(script / 6 % 6), of(script / 36)];
        for order in 0..3_usize.pow(STEPS) {
            let order: Vec<_> = (0..STEPS).map(|at| order / 3_usize.pow(at) % 3).collect();
            interleave(&bodies, &scripts, &order);
        }
    }
}

/// What three threads share: who owns a key, and the time, which moves with every step so that windows end.
struct Ring {
    store: Arc<Memory>,
    /// What their webhooks hold.
    bodies: &'static [&'static [usize]],
    keys: Vec<Keys>,
    /// Whether bodies overlap: then one that owns only a part is forwarded too, and its acceptance ends the claims of others.
    mixed: bool,
    start: Instant,
    steps: AtomicU64,
    owners: [AtomicU64; 2],
    taken: [AtomicBool; 2],
}

/// A window, in steps of all threads.
const SHORT: Duration = Duration::from_micros(40);

impl Ring {
    fn now(&self) -> Instant {
        self.start + Duration::from_micros(self.steps.fetch_add(1, SeqCst))
    }

    /// One webhook of a thread, from the claim to its end.
    fn webhook(&self, runtime: &tokio::runtime::Runtime, dice: &mut StdRng, token: u64) {
        let body = dice.random_range(0..self.bodies.len());
        let mode = if self.mixed { [Mode::Wait, Mode::Forward, Mode::Always][dice.random_range(0..3)] } else { Mode::Wait };
        let mut brought = None;
        let claim = loop {
            let wish = Wish { keys: &self.keys[body], window: SHORT, mode, now: self.now(), waited: brought.as_ref() };
            match now_or_never(self.store.claim(&wish)).expect("memory answers at once") {
                Claimed::Owned(claim) => break claim,
                Claimed::InFlight(waiter) => {
                    drop(brought.take()); // as admission does: no turn is held while it waits again
                    brought = Some(runtime.block_on(waiter.wait()));
                }
                Claimed::Duplicate { .. } => {
                    let known = self.bodies[body].iter().all(|n| self.taken[*n].load(SeqCst));
                    return assert!(known, "a duplicate of what was never accepted");
                }
                Claimed::Crowded => unreachable!("three threads are no crowd"),
            }
        };
        let hand = |from: u64, to: u64| {
            for n in self.bodies[body] {
                assert_eq!(self.owners[*n].swap(to, SeqCst), from, "two own key {n}");
            }
        };
        if !self.mixed {
            assert_eq!(claim.repeated(), 0, "all or nothing");
            hand(0, token);
        }
        (0..dice.random_range(0..4)).for_each(|_| std::thread::yield_now());
        if !self.mixed {
            hand(token, 0);
        }
        if dice.random_bool(0.6) {
            self.bodies[body].iter().for_each(|n| self.taken[*n].store(true, SeqCst));
            claim.accept(self.now());
        } else {
            drop(claim);
        }
    }
}

/// Three threads over two keys until each has sent its webhooks, to a store that keeps this many acceptances: with one, each pushes
/// out the other.
fn race(bodies: &'static [&'static [usize]], entries: usize) {
    const WEBHOOKS: u64 = 20_000;
    let mixed = bodies.iter().any(|body| body.len() != bodies[0].len());
    let (store, keys, start) = (Memory::new(entries), bodies.iter().map(|body| keys(body)).collect(), Clock::manual().now());
    let (owners, taken) = Default::default();
    let ring = Arc::new(Ring { store, bodies, keys, mixed, start, steps: AtomicU64::new(0), owners, taken });
    let (done, ended) = mpsc::channel();
    for thread in 0..3 {
        let (ring, done) = (Arc::clone(&ring), done.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let mut dice = StdRng::seed_from_u64(thread);
            for webhook in 0..WEBHOOKS {
                ring.webhook(&runtime, &mut dice, 1 + webhook * 3 + thread);
            }
            let _ = done.send(());
        });
    }
    drop(done);
    let mut running = 3;
    while running > 0 {
        let before = ring.steps.load(SeqCst);
        match ended.recv_timeout(PATIENCE) {
            Ok(()) => running -= 1,
            Err(mpsc::RecvTimeoutError::Disconnected) => panic!("a thread failed"),
            Err(mpsc::RecvTimeoutError::Timeout) => assert!(ring.steps.load(SeqCst) > before, "a wake-up is lost: nobody moves"),
        }
    }
    let numbers = ring.store.numbers();
    assert_eq!((numbers.in_flight, numbers.waiting), (0, 0), "nothing is left");
    assert!(ring.taken.iter().any(|taken| taken.load(SeqCst)) && numbers.entries <= entries, "{numbers:?}");
}

#[test]
fn three_threads_never_own_the_same_key_and_never_sleep_for_ever() {
    for bodies in [&BODIES[..2], &BODIES[2..], &BODIES] {
        race(bodies, 16);
    }
}

#[test]
fn nor_do_they_while_acceptances_are_pushed_out() {
    for bodies in [&BODIES[..2], &BODIES] {
        race(bodies, 1);
    }
}
