//! The window that the health of the functions is judged by: a ring of at most 61 slots with running sums.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use super::record::{Finished, LookupResult, Outcome};
use crate::upstream::health::{Indicator, Settings, Status, Sums, judge};

/// Slots of a window: a verdict changes at most a sixtieth of the window late.
const SLOTS: u32 = 60;

/// The last window, and since when each indicator is what it is.
#[derive(Debug)]
pub struct Window {
    settings: Settings,
    slot: Duration,
    started: Instant,
    /// Number of the slot that is being filled, from `started` on.
    tick: u64,
    slots: VecDeque<Sums>,
    all: Sums,
    states: [(Status, Instant); 3],
}

/// A verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// The worst of the indicators.
    pub status: Status,
    /// Each figure, and since when it has its status.
    pub indicators: [(Indicator, SystemTime); 3],
}

impl Window {
    /// An empty window.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        let slot = (settings.window / SLOTS).max(Duration::from_secs(1));
        let slots = VecDeque::from([Sums::default()]);
        Self { settings, slot, started: now, tick: 0, slots, all: Sums::default(), states: [(Status::Healthy, now); 3] }
    }

    /// Judges by these settings from now on. A window of another length starts empty.
    pub fn set(&mut self, settings: Settings, now: Instant) {
        self.advance(now);
        if settings.window == self.settings.window {
            self.settings = settings;
        } else {
            *self = Self { states: self.states, ..Self::new(settings, now) };
        }
    }

    /// Counts one request. What was refused for being malformed or unauthorised says nothing about the functions.
    pub fn record(&mut self, now: Instant, done: &Finished<'_>) {
        self.advance(now);
        if done.outcome == Outcome::Refused {
            return;
        }
        let result = done.cache.map(|c| c.result);
        let hit = matches!(result, Some(LookupResult::Hit | LookupResult::Stale | LookupResult::Coalesced));
        let one = Sums {
            requests: 1,
            errors: u64::from(done.status >= 500),
            latency: done.until_head(),
            lookups: u64::from(hit || matches!(result, Some(LookupResult::Miss | LookupResult::Revalidated))),
            hits: u64::from(hit),
        };
        add(&mut self.all, &one);
        if let Some(slot) = self.slots.back_mut() {
            add(slot, &one);
        }
    }

    /// The verdict now; `wall` is the same moment on the clock on the wall.
    pub fn judge(&mut self, now: Instant, wall: SystemTime) -> Health {
        self.advance(now);
        let (status, indicators) = self.note(now);
        let since = |i: usize| wall.checked_sub(now.saturating_duration_since(self.states[i].1)).unwrap_or(wall);
        Health { status, indicators: [0, 1, 2].map(|i| (indicators[i], since(i))) }
    }

    /// Judges, and keeps the moment of every change.
    fn note(&mut self, now: Instant) -> (Status, [Indicator; 3]) {
        let (status, indicators) = judge(&self.settings, &self.all);
        for (state, indicator) in self.states.iter_mut().zip(&indicators) {
            if state.0 != indicator.status {
                *state = (indicator.status, now);
            }
        }
        (status, indicators)
    }

    /// Moves on slot by slot, judging at each boundary, so that `since` is right though nobody asked at that time.
    fn advance(&mut self, now: Instant) {
        let tick = u64::try_from(now.saturating_duration_since(self.started).as_nanos() / self.slot.as_nanos()).unwrap_or(u64::MAX);
        let length = usize::try_from(self.settings.window.as_nanos().div_ceil(self.slot.as_nanos())).unwrap_or(1).max(1);
        while self.tick < tick {
            if self.slots.len() == 1 && self.slots.front() == Some(&Sums::default()) {
                self.tick = tick; // nothing left that could leave
                return;
            }
            self.tick += 1;
            self.slots.push_back(Sums::default());
            while self.slots.len() > length + 1 || (self.slots.len() > 1 && self.slots.front() == Some(&Sums::default())) {
                let old = self.slots.pop_front().unwrap_or_default();
                subtract(&mut self.all, &old);
            }
            let offset = self.slot.as_nanos().saturating_mul(u128::from(self.tick));
            self.note(self.started + Duration::from_nanos(u64::try_from(offset).unwrap_or(u64::MAX)));
        }
    }
}

fn add(to: &mut Sums, one: &Sums) {
    to.requests += one.requests;
    to.errors += one.errors;
    to.latency = to.latency.saturating_add(one.latency);
    to.lookups += one.lookups;
    to.hits += one.hits;
}

fn subtract(from: &mut Sums, one: &Sums) {
    from.requests -= one.requests;
    from.errors -= one.errors;
    from.latency = from.latency.saturating_sub(one.latency);
    from.lookups -= one.lookups;
    from.hits -= one.hits;
}

#[cfg(test)]
mod tests {
    use super::super::record::tests_support::finished;
    use super::*;
    use crate::clock::Clock;

    fn send(window: &mut Window, clock: &Clock, status: u16, count: usize) {
        for _ in 0..count {
            window.record(clock.now(), &Finished { status, ..finished() });
        }
    }

    #[test]
    fn errors_make_it_unhealthy_and_leave_with_the_window() {
        let clock = Clock::manual();
        let begin = clock.wall();
        let mut window = Window::new(Settings::default(), clock.now());
        send(&mut window, &clock, 200, 15);
        clock.advance(Duration::from_secs(10));
        send(&mut window, &clock, 546, 5);
        clock.advance(Duration::from_secs(5));
        let health = window.judge(clock.now(), clock.wall());
        assert_eq!(health.status, Status::Unhealthy);
        let (errors, since) = health.indicators[0];
        assert_eq!((errors.value, errors.samples), (0.25, 20));
        // judged at the end of the slot in which it happened, not at the time of asking
        assert_eq!(since.duration_since(begin).expect("later"), Duration::from_secs(11));
        // the 15 good ones leave first: then 5 samples are too few to judge
        clock.advance(Duration::from_mins(5));
        let health = window.judge(clock.now(), clock.wall());
        assert_eq!((health.status, health.indicators[0].0.samples), (Status::Healthy, 0));
        assert_eq!(health.indicators[0].1.duration_since(begin).expect("later"), Duration::from_secs(61));
    }

    #[test]
    fn fresh_is_healthy_and_refusals_do_not_dilute() {
        let clock = Clock::manual();
        let mut window = Window::new(Settings::default(), clock.now());
        assert_eq!(window.judge(clock.now(), clock.wall()).status, Status::Healthy);
        send(&mut window, &clock, 502, 20);
        for _ in 0..1000 {
            window.record(clock.now(), &Finished { status: 400, outcome: Outcome::Refused, ..finished() });
        }
        assert!((window.judge(clock.now(), clock.wall()).indicators[0].0.value - 1.0).abs() < 1e-9);
    }

    #[test]
    fn other_limits_act_at_once_and_another_window_starts_empty() {
        let clock = Clock::manual();
        let mut window = Window::new(Settings::default(), clock.now());
        send(&mut window, &clock, 500, 10);
        assert_eq!(window.judge(clock.now(), clock.wall()).status, Status::Healthy);
        window.set(Settings { min_requests: 10, ..Settings::default() }, clock.now());
        assert_eq!(window.judge(clock.now(), clock.wall()).status, Status::Unhealthy);
        window.set(Settings { min_requests: 10, window: Duration::from_hours(1), ..Settings::default() }, clock.now());
        assert_eq!(window.judge(clock.now(), clock.wall()).status, Status::Healthy);
    }

    #[test]
    fn sums_stay_exact_through_a_long_run() {
        let clock = Clock::manual();
        let mut window = Window::new(Settings { window: Duration::from_secs(10), ..Settings::default() }, clock.now());
        for step in 0..500_u64 {
            send(&mut window, &clock, if step % 3 == 0 { 500 } else { 200 }, 1);
            clock.advance(Duration::from_millis(step % 7 * 400));
            let by_slots = window.slots.iter().fold(Sums::default(), |mut sum, slot| {
                add(&mut sum, slot);
                sum
            });
            assert_eq!(window.all, by_slots);
            assert!(window.slots.len() <= 11);
        }
    }
}
