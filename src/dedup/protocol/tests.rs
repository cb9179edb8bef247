//! The steps against a model that keeps the whole history, and the decision against the rules in words.

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;

#[derive(Clone, Copy, Debug)]
enum Act {
    Claim,
    Accept,
    Release,
}

/// (act, token, window in seconds, seconds that pass before it)
type Row = (Act, u64, u64, u64);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let act = prop_oneof![Just(Act::Claim), Just(Act::Accept), Just(Act::Release)];
    prop::collection::vec((act, 0..4_u64, 1..20_u64, 0..8_u64), 0..60)
}

/// What a history says, told without states: the last acceptance that counted, and the owner if nothing ended its claim since.
#[derive(Default)]
struct History {
    acceptance: Option<Instant>,
    claims: Vec<u64>,
}

impl History {
    fn accepted(&self, window: Duration, now: Instant) -> Option<Duration> {
        self.acceptance.map(|at| now - at).filter(|age| *age < window)
    }
}

proptest! {
    #[test]
    fn steps_agree_with_the_history(rows in rows()) {
        let (clock, mut state, mut history) = (Clock::manual(), State::Absent, History::default());
        for (act, token, window, pause) in rows {
            clock.advance(Duration::from_secs(pause));
            let (window, now) = (Duration::from_secs(window), clock.now());
            let accepted = history.accepted(window, now);
            let expected = match act {
                Act::Claim if accepted.is_none() && history.claims.is_empty() => {
                    // A claim starts the key afresh: an acceptance that had run out does not come back with a longer window.
                    history = History { acceptance: None, claims: vec![token] };
                    Effect::Claimed
                }
                Act::Claim => Effect::None,
                Act::Accept => {
                    let ended = !history.claims.is_empty();
                    history.claims.clear();
                    history.acceptance = history.acceptance.filter(|_| accepted.is_some()).or(Some(now));
                    if ended { Effect::Ended } else { Effect::None }
                }
                Act::Release => {
                    let before = history.claims.len();
                    history.claims.retain(|owner| *owner != token);
                    if history.claims.len() < before { Effect::Ended } else { Effect::None }
                }
            };
            let event = match act {
                Act::Claim => Event::Claim { token, window, now },
                Act::Accept => Event::Accept { window, now },
                Act::Release => Event::Release { token },
            };
            let (next, effect) = step(state, event);
            state = next;
            prop_assert_eq!(effect, expected);
            let seen = match (history.claims.first(), history.accepted(window, now)) {
                (Some(_), _) => Seen::InFlight,
                (None, Some(age)) => Seen::Accepted { age },
                (None, None) => Seen::Absent,
            };
            prop_assert_eq!(state.seen(window, now), seen);
        }
    }

    #[test]
    fn an_acceptance_stands_until_its_window_ends(rows in rows(), window in 1..100_u64) {
        let (clock, window) = (Clock::manual(), Duration::from_secs(window));
        let (mut state, at) = (State::Accepted { at: clock.now() }, clock.now());
        for (act, token, _, pause) in rows {
            clock.advance(Duration::from_secs(pause));
            let now = clock.now();
            if now - at >= window {
                break;
            }
            (state, _) = step(state, match act {
                Act::Claim => Event::Claim { token, window, now },
                Act::Accept => Event::Accept { window, now },
                Act::Release => Event::Release { token },
            });
            prop_assert_eq!(state, State::Accepted { at }, "neither taken back nor refreshed");
        }
        let late = Event::Claim { token: 9, window, now: at + window };
        prop_assert_eq!(step(state, late), (State::InFlight { token: 9 }, Effect::Claimed));
    }

    #[test]
    fn the_decision_follows_the_rules(ages in prop::collection::vec(0..5_u64, 0..4), in_flight in 0..3_usize, absent in 0..3_usize) {
        let mut tally = Tally::default();
        let accepted = ages.iter().map(|age| Seen::Accepted { age: Duration::from_secs(*age) });
        let rest = std::iter::repeat_n(Seen::InFlight, in_flight).chain(std::iter::repeat_n(Seen::Absent, absent));
        accepted.chain(rest).for_each(|seen| tally.add(seen));
        prop_assert_eq!((tally.accepted, tally.in_flight, tally.absent), (ages.len(), in_flight, absent));

        let all_accepted = !ages.is_empty() && in_flight == 0 && absent == 0;
        let must_wait = in_flight > 0 && absent == 0;
        for mode in [Mode::Wait, Mode::Forward, Mode::Always] {
            match tally.decide(mode) {
                Decision::Duplicate { age } => {
                    prop_assert!(all_accepted && mode != Mode::Always);
                    prop_assert_eq!(Some(age.as_secs()), ages.iter().min().copied());
                }
                Decision::Wait => prop_assert!(must_wait && mode == Mode::Wait),
                Decision::Own => prop_assert!(mode == Mode::Always || !(all_accepted || must_wait && mode == Mode::Wait)),
            }
        }
    }
}

#[test]
fn a_request_without_keys_is_never_a_duplicate() {
    for mode in [Mode::Wait, Mode::Forward, Mode::Always] {
        assert_eq!(Tally::default().decide(mode), Decision::Own);
    }
}

#[test]
fn an_acceptance_wins_over_a_foreign_claim() {
    let now = Clock::manual().now();
    let window = Duration::from_secs(30);
    let (state, effect) = step(State::InFlight { token: 2 }, Event::Accept { window, now });
    assert_eq!((state, effect), (State::Accepted { at: now }, Effect::Ended), "accepted by claim 1, whose key was lost to claim 2");
    assert_eq!(step(state, Event::Release { token: 2 }), (state, Effect::None));
    assert_eq!(step(State::InFlight { token: 2 }, Event::Release { token: 1 }), (State::InFlight { token: 2 }, Effect::None));
}
