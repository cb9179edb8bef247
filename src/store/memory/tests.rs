//! The store in the cases a webhook depends on, under threads, and against a naive model ([`model`]).

mod model;
mod queue;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use super::super::claims::{Keys, Mode};
use super::*;
use crate::clock::Clock;
use crate::dedup::Cause;
use crate::dedup::key::KeyHasher;

const WINDOW: Duration = Duration::from_secs(30);

fn key(number: usize) -> EventKey {
    let mut hasher = KeyHasher::content();
    hasher.part(Some(&number.to_be_bytes()));
    hasher.finish()
}

fn keys(numbers: &[usize]) -> Keys {
    numbers.iter().copied().map(key).collect::<Vec<_>>().into()
}

/// The store never suspends in a claim, so one poll has the answer.
fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn claim(store: &Memory, numbers: &[usize], mode: Mode, window: Duration, now: Instant) -> Claimed {
    now_or_never(store.claim(&Wish { keys: &keys(numbers), window, mode, now, waited: None })).expect("at once")
}

fn own(store: &Memory, numbers: &[usize], now: Instant) -> Claim {
    match claim(store, numbers, Mode::Wait, WINDOW, now) {
        Claimed::Owned(claim) => claim,
        other => unreachable!("{other:?}"),
    }
}

fn wait(store: &Memory, numbers: &[usize], now: Instant) -> Waiter {
    match claim(store, numbers, Mode::Wait, WINDOW, now) {
        Claimed::InFlight(waiter) => waiter,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_key_is_new_then_in_flight_then_a_duplicate_then_new_again() {
    let (store, clock) = (Memory::new(10), Clock::manual());
    let claim_1 = own(&store, &[1], clock.now());
    assert_eq!((claim_1.fresh(), claim_1.repeated()), (1, 0));
    let waiter = wait(&store, &[1], clock.now());
    assert_eq!((store.numbers().in_flight, store.numbers().waiting), (1, 1));
    clock.advance(Duration::from_secs(25));
    claim_1.accept(clock.now());
    assert!(now_or_never(waiter.wait()).is_some());
    clock.advance(Duration::from_secs(29));
    let again = claim(&store, &[1], Mode::Wait, WINDOW, clock.now());
    assert!(matches!(again, Claimed::Duplicate { age, .. } if age.as_secs() == 29), "the window runs from acceptance: {again:?}");
    let shorter = claim(&store, &[1], Mode::Wait, Duration::from_secs(29), clock.now());
    assert!(matches!(shorter, Claimed::Owned(_)), "a shorter window acts at once");
    drop(shorter);
    assert_eq!(own(&store, &[1], clock.now()).fresh(), 1, "and the claim that it let through started the key afresh");
    assert_eq!((store.numbers().entries, store.numbers().in_flight, store.numbers().waiting), (0, 0, 0));
}

#[test]
fn a_mixed_batch_owns_what_is_new_and_accepts_all_of_it() {
    let (store, clock) = (Memory::new(10), Clock::manual());
    own(&store, &[1], clock.now()).accept(clock.now());
    let running = own(&store, &[2], clock.now());
    clock.advance(Duration::from_secs(10));
    let batch = own(&store, &[1, 2, 3], clock.now());
    assert_eq!((batch.fresh(), batch.repeated()), (1, 2));
    let waiter = wait(&store, &[2, 1], clock.now());
    batch.accept(clock.now());
    assert!(now_or_never(waiter.wait()).is_some(), "the function took the event, whoever brought it");
    drop(running);
    let all = claim(&store, &[1, 2, 3], Mode::Wait, WINDOW, clock.now());
    assert!(matches!(all, Claimed::Duplicate { age, .. } if age.is_zero()), "a failure of the other copy takes nothing back: {all:?}");
    clock.advance(Duration::from_secs(20));
    assert_eq!(own(&store, &[1, 2, 3], clock.now()).fresh(), 1, "the window of the first was not refreshed");
}

#[test]
fn forward_and_always_never_wait() {
    let (store, clock) = (Memory::new(10), Clock::manual());
    let first = own(&store, &[1], clock.now());
    for mode in [Mode::Forward, Mode::Always] {
        let second = claim(&store, &[1], mode, WINDOW, clock.now());
        assert!(matches!(&second, Claimed::Owned(claim) if claim.fresh() == 0), "{second:?}");
    }
    assert_eq!(store.numbers().in_flight, 1, "a copy that owns nothing releases nothing");
    first.accept(clock.now());
    assert!(matches!(claim(&store, &[1], Mode::Forward, WINDOW, clock.now()), Claimed::Duplicate { .. }));
    assert!(matches!(claim(&store, &[1], Mode::Always, WINDOW, clock.now()), Claimed::Owned(_)));
    assert!(matches!(claim(&store, &[], Mode::Wait, WINDOW, clock.now()), Claimed::Owned(_)), "no keys are no duplicate");
}

#[test]
fn a_claim_lost_in_a_panic_is_released_and_wakes() {
    let (store, now) = (Memory::new(10), Clock::manual().now());
    let claim = own(&store, &[1], now);
    let waiter = wait(&store, &[1], now);
    let thread = std::thread::spawn(move || {
        let _held = claim;
        std::panic::resume_unwind(Box::new("as a panic does"));
    });
    assert!(thread.join().is_err());
    assert!(now_or_never(waiter.wait()).is_some());
    assert_eq!(own(&store, &[1], now).fresh(), 1);
}

#[test]
fn why_repeats_come() {
    let (clock, hour) = (Clock::manual(), Duration::from_hours(1));
    let store = Memory::with_clock(10, clock.clone());
    let repeats = |claimed: &Claimed| match claimed {
        Claimed::Duplicate { repeats, .. } => *repeats,
        Claimed::InFlight(waiter) => waiter.repeats(),
        Claimed::Owned(claim) => claim.repeats(),
        Claimed::Crowded => unreachable!("no crowd"),
    };
    let ask = |numbers: &[usize]| claim(&store, numbers, Mode::Wait, hour, clock.now());
    let counts =
        |claimed: &Claimed| (Cause::ALL.map(|cause| repeats(claimed).of(cause)), repeats(claimed).missed(), repeats(claimed).gap());
    let pause = Duration::from_secs(3);
    let step = |numbers: &[usize]| {
        clock.advance(pause);
        ask(numbers)
    };

    let first = step(&[1, 2]);
    assert_eq!(counts(&first), ([0; 4], 0, None));
    assert_eq!(counts(&step(&[2])), ([1, 0, 0, 0], 0, Some(pause)), "slow");
    drop(first);
    let Claimed::Owned(second) = step(&[1, 2, 3]) else { unreachable!("free again") };
    assert_eq!((second.repeats().of(Cause::Failed), second.repeats().gap()), (2, Some(pause)));
    let receipt = second.accept(clock.now());
    assert_eq!(counts(&step(&[3])), ([0, 0, 0, 1], 0, Some(pause)), "late");
    receipt.unread();
    assert_eq!(counts(&step(&[1, 2, 3])), ([0, 0, 3, 0], 0, Some(pause)), "unread");
    clock.advance(hour);
    assert_eq!(counts(&step(&[1])), ([0, 0, 0, 1], 1, Some(hour + pause)), "late, and missed");
    clock.advance(hour * 23);
    assert_eq!(counts(&step(&[2])), ([0; 4], 0, None), "after a day an event is new");
}

#[test]
fn those_who_wait_are_counted_and_bounded() {
    let (store, now) = (Memory::new(10), Clock::manual().now());
    let claims: Vec<_> = (0..20).map(|number| own(&store, &[number], now)).collect();
    let crowded = |number| matches!(claim(&store, &[number], Mode::Wait, WINDOW, now), Claimed::Crowded);
    let mut waiters: Vec<_> = (0..64).map(|_| wait(&store, &[0], now)).collect();
    assert!(crowded(0) && store.numbers().waiting == 64, "one key takes no more");
    assert!(now_or_never(waiters.pop().expect("one").wait()).is_none() && !crowded(0), "who leaves makes room");
    waiters.extend((1..16).flat_map(|number| std::iter::repeat_n(number, 64)).map(|number| wait(&store, &[number], now)));
    waiters.push(wait(&store, &[0], now));
    assert!(crowded(19) && store.numbers().waiting == 1_024, "nor does the store");
    for claim in claims {
        claim.accept(now);
    }
    assert!(waiters.into_iter().all(|waiter| now_or_never(waiter.wait()).is_some()));
    assert_eq!((store.numbers().waiting, store.numbers().in_flight), (0, 0));
}

#[test]
fn a_flood_in_flight_is_forwarded_without_claims_and_its_memory_comes_back() {
    let (store, now) = (Memory::new(10), Clock::manual().now());
    let idle = store.numbers().bytes;
    let flood: Vec<_> =
        (0..MAX_IN_FLIGHT / 1_024).map(|at| own(&store, &(at * 1_024..(at + 1) * 1_024).collect::<Vec<_>>(), now)).collect();
    let beyond = own(&store, &[usize::MAX], now);
    assert_eq!((beyond.fresh(), store.numbers().in_flight), (1, MAX_IN_FLIGHT));
    assert!(matches!(claim(&store, &[0], Mode::Wait, WINDOW, now), Claimed::InFlight(_)), "nobody in flight was pushed out");
    beyond.accept(now);
    assert!(matches!(claim(&store, &[usize::MAX], Mode::Wait, WINDOW, now), Claimed::Duplicate { .. }));
    drop(flood);
    assert!(store.numbers().bytes < idle + (256 << 10));
}

/// Four threads, keys that fail now and then: never two owners at once, no duplicate of what was not accepted, one acceptance each.
#[test]
fn threads_never_own_the_same_key() {
    const KEYS: usize = 3_000;
    let (store, now) = (Memory::new(KEYS), Clock::manual().now());
    let flags = || (0..KEYS).map(|_| AtomicBool::new(false)).collect::<Vec<_>>();
    let (owned, accepted, acceptances) = (flags(), flags(), AtomicUsize::new(0));
    let run = |seed: usize| {
        for number in 0..KEYS {
            let mut turn = None;
            for attempt in 0.. {
                let called = turn.take();
                let wish = Wish { keys: &keys(&[number]), window: WINDOW, mode: Mode::Wait, now, waited: called.as_ref() };
                match now_or_never(store.claim(&wish)).expect("at once") {
                    Claimed::Duplicate { .. } => {
                        assert!(accepted[number].load(SeqCst), "a duplicate of nothing");
                        break;
                    }
                    Claimed::InFlight(waiter) => turn = Some(block_on(waiter.wait())),
                    Claimed::Crowded => unreachable!("four threads are no crowd"),
                    Claimed::Owned(claim) => {
                        assert!(!owned[number].swap(true, SeqCst), "two owners");
                        std::thread::yield_now();
                        let fails = (number * 7 + seed + attempt).is_multiple_of(3);
                        owned[number].store(false, SeqCst);
                        if fails {
                            drop(claim);
                        } else {
                            accepted[number].store(true, SeqCst);
                            acceptances.fetch_add(1, SeqCst);
                            claim.accept(now);
                        }
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|seed| drop(scope.spawn(move || run(seed)))));
    assert_eq!((acceptances.load(SeqCst), store.numbers().entries, store.numbers().in_flight), (KEYS, KEYS, 0));
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}
