use proptest::prelude::*;

use super::*;
use crate::clock::Clock;

const F: &str = "profile";

fn start() -> Instant {
    Clock::manual().now()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// An answer of isolate `id` to a request sent at `sent`, a millisecond later.
fn answer(starts: &Starts, id: &str, sent: Instant) -> bool {
    let sign = Sign { execution_id: Some(id.as_bytes()), status: 200, reused: true, sent, answered: sent + ms(1) };
    starts.judge(F, &sign)
}

#[test]
fn each_change_of_the_id_is_a_cold_start_and_the_first_id_is_none() {
    let (starts, now) = (Starts::default(), start());
    let seen: Vec<bool> = ["a", "a", "b", "a", "b", "c", "c"].iter().map(|id| answer(&starts, id, now)).collect();
    assert_eq!(seen, [false, false, true, false, false, true, false]);
    assert!(!starts.judge("other", &Sign { execution_id: Some(b"x"), status: 200, reused: true, sent: now, answered: now }));
}

#[test]
fn answers_without_an_id_are_cold_after_idleness_on_a_new_connection_if_slow() {
    let now = start();
    for (idle, reused, took, cold) in
        [(IDLE, false, 11, true), (IDLE, false, 9, false), (IDLE, true, 11, false), (IDLE.saturating_sub(ms(1)), false, 11, false)]
    {
        let starts = Starts::default();
        let sign = |sent, reused, took| Sign { execution_id: None, status: 200, reused, sent, answered: sent + ms(took) };
        assert!(!starts.judge(F, &sign(now, false, 5)));
        assert_eq!(starts.judge(F, &sign(now + ms(5) + idle, reused, took)), cold, "{idle:?} {reused} {took}");
    }
}

#[test]
fn an_answer_without_an_id_tells_nothing_where_others_have_one() {
    let (starts, now) = (Starts::default(), start());
    answer(&starts, "a", now);
    let gateway = Sign { execution_id: None, status: 503, reused: false, sent: now + 2 * IDLE, answered: now + 3 * IDLE };
    assert!(!starts.judge(F, &gateway));
}

#[test]
fn names_that_never_answered_well_are_not_followed_and_the_rest_is_bounded() {
    let (starts, now) = (Starts::default(), start());
    let sign = Sign { execution_id: Some(b"a"), status: 404, reused: true, sent: now, answered: now };
    starts.judge(F, &sign);
    assert!(starts.lock().is_empty());
    (0..2 * MOST).for_each(|n| assert!(!starts.judge(&n.to_string(), &Sign { status: 200, ..sign })));
    assert_eq!(starts.lock().len(), MOST);
}

#[test]
fn with_two_isolates_beside_each_other_no_end_is_foretold() {
    let (starts, now) = (Starts::default(), start());
    for (at, id) in [(0, "a"), (10, "b"), (20, "a"), (30, "b"), (40, "c")] {
        answer(&starts, id, now + ms(at));
    }
    assert_eq!((starts.life(F).at_most, starts.look_at(F, now)), (None, None));
}

proptest! {
    /// Isolates of one constant life under any traffic: what is learnt is true, and so is the count.
    #[test]
    fn the_life_learnt_holds_the_true_one(life in 100_u64..20_000, gaps in prop::collection::vec(1_u64..4_000, 2..200)) {
        let (starts, begin) = (Starts::default(), start());
        let (mut at, mut born, mut number, mut cold) = (0, 0, 0_u32, 0);
        for gap in gaps {
            at += gap;
            if at >= born + life {
                (born, number) = (at, number + 1);
            }
            cold += u32::from(answer(&starts, &number.to_string(), begin + ms(at)));
        }
        // the first isolate may have answered before the first request or been replaced by it
        prop_assert!(cold == number || cold + 1 == number);
        let learnt = starts.life(F);
        prop_assert!(learnt.at_least < ms(life), "{learnt:?}");
        prop_assert!(learnt.at_most.is_none_or(|most| most >= ms(life)), "{learnt:?}");
    }

    /// Who looks when told to comes ever closer to the end.
    #[test]
    fn looking_when_told_finds_the_end(life in 1_000_u64..60_000) {
        let (starts, begin) = (Starts::default(), start());
        let (mut at, mut born, mut number) = (begin, begin, 0);
        for _ in 0..200 {
            at = starts.look_at(F, at).unwrap_or(at + ms(700));
            if at >= born + ms(life) {
                (born, number) = (at, number + 1);
            }
            answer(&starts, &number.to_string(), at);
        }
        let learnt = starts.life(F);
        let most = learnt.at_most.expect("many ends were seen");
        prop_assert!(learnt.at_least < ms(life) && most >= ms(life) && most <= learnt.at_least + EXACT, "{learnt:?}");
    }

    /// Whatever answers come, the bounds are in order.
    #[test]
    fn bounds_are_in_order(answers in prop::collection::vec((0_u8..12, 0_u64..5_000), 1..100)) {
        let (starts, mut at) = (Starts::default(), start());
        for (id, gap) in answers {
            at += ms(gap);
            answer(&starts, &id.to_string(), at);
            let life = starts.life(F);
            prop_assert!(life.at_most.is_none_or(|most| most >= life.at_least), "{life:?}");
        }
    }
}
