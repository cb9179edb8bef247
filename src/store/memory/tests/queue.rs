//! Those who wait: one at a time takes the place of an owner that failed, in the order in which they came.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::{MAX_WAITERS, MAX_WAITERS_OF_A_KEY, Memory};
use super::{WINDOW, claim, keys, now_or_never, own, wait};
use crate::clock::Clock;
use crate::store::claims::{Claim, Claimed, Claims, Mode, Waited, Waiter, Wish};

fn take(store: &Memory, numbers: &[usize], turn: &Waited, now: Instant) -> Claimed {
    let wish = Wish { keys: &keys(numbers), window: WINDOW, mode: Mode::Wait, now, waited: Some(turn) };
    now_or_never(store.claim(&wish)).expect("at once")
}

/// The turn of a waiter that has been called; none if it was told of an acceptance.
fn called(waiter: &mut Option<Waiter>) -> Option<Waited> {
    let brought = now_or_never(waiter.take().expect("not asked before").wait()).expect("called");
    brought.turn.is_some().then_some(brought)
}

/// Whether a waiter sleeps; it loses its place in any case.
fn sleeps(waiter: Waiter) -> bool {
    now_or_never(waiter.wait()).is_none()
}

#[test]
fn the_first_who_waits_takes_over_and_the_others_sleep_on_in_their_places() {
    let (store, now) = (Memory::new(10), Clock::manual().now());
    let mut owner = own(&store, &[1], now);
    let mut queue: Vec<_> = (0..5).map(|_| Some(wait(&store, &[1], now))).collect();
    let (last, others) = queue.split_last_mut().expect("five");
    for (at, waiter) in others.iter_mut().enumerate() {
        drop(owner);
        assert_eq!(store.numbers().waiting, 5 - at, "nobody else was woken");
        let turn = called(waiter).expect("its turn");
        assert!(matches!(claim(&store, &[1], Mode::Forward, WINDOW, now), Claimed::Owned(c) if c.fresh() == 0), "the key is kept for it");
        let Claimed::Owned(next) = take(&store, &[1], &turn, now) else { unreachable!("the key is free for it") };
        owner = next;
        drop(turn);
        assert_eq!((owner.fresh(), store.numbers().in_flight), (1, 1), "a turn that is spent gives nothing free");
    }
    owner.accept(now);
    assert!(called(last).is_none(), "accepted: nobody's turn");
    assert_eq!((store.numbers().in_flight, store.numbers().waiting), (0, 0));
}

#[test]
fn a_turn_of_one_who_left_goes_to_the_next() {
    let (store, now) = (Memory::new(10), Clock::manual().now());
    let owner = own(&store, &[1], now);
    let mut queue: Vec<_> = (0..5).map(|_| Some(wait(&store, &[1], now))).collect();
    drop(queue[0].take()); // gone before it is called
    drop(owner);
    drop(queue[1].take()); // called, and gone before it heard
    drop(called(&mut queue[2])); // heard, and ran out of time before it claimed
    let turn = called(&mut queue[3]).expect("its turn");
    assert!(sleeps(queue[4].take().expect("the last")));
    drop(turn);
    assert_eq!((store.numbers().in_flight, store.numbers().waiting), (0, 0), "the last one gives the key free");
    assert_eq!(own(&store, &[1], now).fresh(), 1);
}

#[test]
fn an_acceptance_by_another_batch_ends_a_turn() {
    let (store, now) = (Memory::new(10), Clock::manual().now());
    let owner = own(&store, &[1], now);
    let (mut first, mut second) = (Some(wait(&store, &[1], now)), Some(wait(&store, &[1], now)));
    drop(owner);
    let turn = called(&mut first).expect("its turn");
    own(&store, &[1, 2], now).accept(now);
    assert!(called(&mut second).is_none());
    assert!(matches!(take(&store, &[1], &turn, now), Claimed::Duplicate { .. }));
    drop(turn);
    assert!(matches!(claim(&store, &[1], Mode::Wait, WINDOW, now), Claimed::Duplicate { .. }), "an old turn takes nothing back");
}

#[test]
fn a_batch_waits_for_one_key_and_takes_over_all_that_is_free() {
    let (store, now) = (Memory::new(10), Clock::manual().now());
    let owner = own(&store, &[1, 2, 3], now);
    let mut copies: Vec<_> = (0..2).map(|_| Some(wait(&store, &[3, 2, 1], now))).collect();
    drop(owner);
    let mut late = Some(wait(&store, &[1, 2, 3], now)); // it came before the first in the queue looked
    let turn = called(&mut copies[0]).expect("its turn");
    let Claimed::Owned(batch) = take(&store, &[1, 2, 3], &turn, now) else { unreachable!("all free") };
    assert_eq!(batch.fresh(), 3);
    drop(turn);
    batch.accept(now);
    assert!(called(&mut copies[1]).is_none() && called(&mut late).is_none());
}

#[test]
fn a_turn_for_a_batch_that_is_not_used_gives_all_of_it_to_the_next() {
    let (store, now) = (Memory::new(10), Clock::manual().now());
    let owner = own(&store, &[1, 2, 3], now);
    let mut copies: Vec<_> = (0..2).map(|_| Some(wait(&store, &[3, 2, 1], now))).collect();
    drop(owner);
    drop(called(&mut copies[0]));
    let turn = called(&mut copies[1]).expect("its turn");
    let late = wait(&store, &[2], now);
    drop(turn);
    assert!(!sleeps(late), "what is given back calls those who wait for any of it");
    assert_eq!((store.numbers().in_flight, store.numbers().waiting), (0, 0));
    assert_eq!(own(&store, &[1, 2, 3], now).fresh(), 3);
}

#[test]
fn places_are_bounded_for_a_key_and_in_all_and_the_gone_make_room() {
    let (store, now) = (Memory::new(10), Clock::manual().now());
    let keys = MAX_WAITERS / MAX_WAITERS_OF_A_KEY;
    let owners: Vec<_> = (0..=keys).map(|number| own(&store, &[number], now)).collect();
    let crowded = |number| matches!(claim(&store, &[number], Mode::Wait, WINDOW, now), Claimed::Crowded);
    let mut waiters: Vec<_> = (0..keys).map(|number| (0..MAX_WAITERS_OF_A_KEY).map(|_| wait(&store, &[number], now)).collect()).collect();
    assert_eq!(store.numbers().waiting, MAX_WAITERS);
    assert!(crowded(0) && crowded(keys), "neither behind others nor for a key that nobody waits for");
    let first: &mut Vec<Waiter> = &mut waiters[0];
    drop(first.remove(30));
    assert!(!crowded(keys) && !crowded(0), "one left");
    first.push(wait(&store, &[0], now));
    assert!(crowded(0) && crowded(keys));
    drop(owners);
    assert_eq!(waiters.into_iter().flatten().map(sleeps).filter(|sleeps| !sleeps).count(), MAX_WAITERS, "each in its turn");
    assert_eq!((store.numbers().in_flight, store.numbers().waiting), (0, 0));
}

/// Tasks that fail, leave and run out of time at every step: nobody sleeps for ever, never two owners, one acceptance.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_wake_up_is_lost_under_threads() {
    for round in 0..200 {
        let (store, now) = (Memory::new(10), Clock::manual().now());
        let (owners, accepted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..24)
            .map(|task| {
                let (store, owners, accepted) = (Arc::clone(&store), Arc::clone(&owners), Arc::clone(&accepted));
                tokio::spawn(async move {
                    let mut turn: Option<Waited> = None;
                    loop {
                        if turn.as_ref().is_some_and(|waited| waited.turn.is_some()) && task % 3 == 0 {
                            return; // called, and gone
                        }
                        let wish = Wish { keys: &keys(&[1]), window: WINDOW, mode: Mode::Wait, now, waited: turn.as_ref() };
                        let claimed = store.claim(&wish).await;
                        drop(turn.take());
                        match claimed {
                            Claimed::InFlight(waiter) if (task + round) % 5 == 0 => {
                                tokio::task::yield_now().await;
                                return drop(waiter); // gone before it is called, or in that moment
                            }
                            Claimed::InFlight(waiter) => turn = Some(waiter.wait().await),
                            Claimed::Owned(claim) => {
                                assert_eq!(owners.fetch_add(1, SeqCst), 0, "two owners");
                                tokio::task::yield_now().await;
                                owners.fetch_sub(1, SeqCst);
                                if task % 4 == 1 {
                                    accepted.fetch_add(1, SeqCst);
                                    return drop(claim.accept(now));
                                }
                                return;
                            }
                            Claimed::Duplicate { .. } => return,
                            Claimed::Crowded => unreachable!("24 are no crowd"),
                        }
                    }
                })
            })
            .collect();
        let all = async {
            for task in tasks {
                task.await.expect("no panic");
            }
        };
        tokio::time::timeout(Duration::from_mins(1), all).await.expect("nobody sleeps for ever");
        assert!(accepted.load(SeqCst) <= 1);
        assert_eq!((store.numbers().in_flight, store.numbers().waiting), (0, 0));
    }
}

proptest! {
    /// One key, any order of steps, against a queue on paper: who is called, and that nobody else is.
    #[test]
    fn turns_follow_the_queue(steps in prop::collection::vec((0..6_u8, 0..8_usize), 0..80)) {
        let (store, now) = (Memory::new(10), Clock::manual().now());
        let (mut owner, mut turn): (Option<Claim>, Option<(usize, Waited)>) = (None, None);
        let mut queue: VecDeque<(usize, Waiter)> = VecDeque::new();
        for (number, (step, at)) in steps.into_iter().enumerate() {
            match step {
                0 | 1 => match claim(&store, &[1], Mode::Wait, WINDOW, now) {
                    Claimed::InFlight(waiter) => queue.push_back((number, waiter)),
                    Claimed::Owned(claim) => {
                        prop_assert!(owner.is_none() && turn.is_none() && queue.is_empty(), "only a key that nobody waits for");
                        owner = Some(claim);
                    }
                    other => prop_assert!(false, "{other:?}"),
                },
                2 => drop(owner.take()),
                3 => drop((at < queue.len()).then(|| queue.remove(at))),
                4 => drop(turn.take()),
                _ => if let Some((_, turn)) = turn.take() {
                    let Claimed::Owned(claim) = take(&store, &[1], &turn, now) else { unreachable!("its turn") };
                    owner = Some(claim);
                },
            }
            if owner.is_none() && turn.is_none()
                && let Some((who, waiter)) = queue.pop_front()
            {
                turn = Some((who, now_or_never(waiter.wait()).expect("the first is called")));
            }
            prop_assert_eq!(store.numbers().waiting, queue.len());
            prop_assert_eq!(store.numbers().in_flight, usize::from(owner.is_some() || turn.is_some()));
        }
    }
}
