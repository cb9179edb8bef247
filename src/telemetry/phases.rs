//! Time by phase, as functions report it (`Server-Timing`): for each phase a sum, a count and the quantiles of the last minutes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::escape::secret;
use super::latency::{Summary, Windows};
use crate::upstream::timing::{self, Phase};

/// Most phases of one function.
pub const MOST: usize = timing::MOST;
/// Most phases of all functions together: two series and 24 KiB each.
pub const MOST_IN_ALL: usize = 90;

/// The phases of one function, in the order in which they came up.
#[derive(Debug, Default)]
pub struct Phases(Vec<Measured>);

#[derive(Debug)]
struct Measured {
    name: Arc<str>,
    count: u64,
    sum: Duration,
    windows: Windows,
}

/// What is known of one phase.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its name.
    pub name: Arc<str>,
    /// Answers that reported it, since the start.
    pub count: u64,
    /// The time they reported, since the start.
    pub sum: Duration,
    /// Quantiles of the last minutes.
    pub recent: Summary,
}

impl Phases {
    /// Where the time of phases without a place of their own is counted.
    #[must_use]
    pub fn of_others(now: Instant) -> Self {
        Self(vec![Measured::new(timing::OTHER, now)])
    }

    /// Adds the time of one phase of one answer. False: it has no place here, and `used`, the places of all functions, tells of no more.
    pub fn add(&mut self, now: Instant, phase: &Phase, used: &AtomicUsize) -> bool {
        if let Some(known) = self.0.iter_mut().find(|known| *known.name == *phase.name) {
            known.add(now, phase.time);
            return true;
        }
        // a label is no place for a number that may be a person's
        let fits = self.0.len() < MOST && *phase.name != *timing::OTHER && secret(&phase.name).is_none();
        let room = fits && used.fetch_update(Relaxed, Relaxed, |n| (n < MOST_IN_ALL).then_some(n + 1)).is_ok();
        if room {
            let mut new = Measured::new(&phase.name, now);
            new.add(now, phase.time);
            self.0.push(new);
        }
        room
    }

    /// Adds the time of a phase without a place of its own.
    pub fn add_other(&mut self, now: Instant, time: Duration) {
        if let Some(other) = self.0.first_mut() {
            other.add(now, time);
        }
    }

    /// All of them.
    pub fn read(&mut self, now: Instant) -> Vec<Reading> {
        let read = |p: &mut Measured| Reading { name: Arc::clone(&p.name), count: p.count, sum: p.sum, recent: p.windows.summary(now) };
        self.0.iter_mut().map(read).collect()
    }
}

impl Measured {
    fn new(name: &str, now: Instant) -> Self {
        Self { name: name.into(), count: 0, sum: Duration::ZERO, windows: Windows::new(now) }
    }

    fn add(&mut self, now: Instant, time: Duration) {
        self.count += 1;
        self.sum = self.sum.saturating_add(time);
        self.windows.record(now, time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn phase(name: &str, millis: u64) -> Phase {
        Phase { name: name.into(), time: Duration::from_millis(millis) }
    }

    #[test]
    fn a_function_has_eight_and_all_have_ninety() {
        let (now, used) = (Clock::manual().now(), AtomicUsize::new(0));
        let mut functions: Vec<Phases> = Vec::new();
        for _ in 0..20 {
            let mut phases = Phases::default();
            let left = MOST_IN_ALL - used.load(Relaxed);
            let placed = (0..20).filter(|n| phases.add(now, &phase(&format!("p{n}"), 1), &used)).count();
            assert_eq!(placed, left.min(MOST));
            functions.push(phases);
        }
        assert_eq!(used.load(Relaxed), MOST_IN_ALL);
        assert!(functions[0].add(now, &phase("p0", 5), &used), "those that have a place keep it");
        let read = functions[0].read(now);
        assert_eq!((&*read[0].name, read[0].count, read[0].sum), ("p0", 2, Duration::from_millis(6)));
        assert!((read[0].recent.p50_ms - 1.0).abs() < 0.01 && (read[0].recent.max_ms - 5.0).abs() < 0.01);
    }

    #[test]
    fn names_that_may_be_a_persons_number_and_the_word_for_the_rest_have_no_place() {
        let (now, used) = (Clock::manual().now(), AtomicUsize::new(0));
        let mut phases = Phases::default();
        for name in ["250788123456", "user-250788123456", "wamid.HBgL", "other"] {
            assert!(!phases.add(now, &phase(name, 1), &used), "{name}");
        }
        let mut others = Phases::of_others(now);
        others.add_other(now, Duration::from_millis(3));
        assert_eq!((others.read(now)[0].count, others.read(now)[0].sum), (1, Duration::from_millis(3)));
    }
}
