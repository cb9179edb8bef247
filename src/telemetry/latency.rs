//! Quantiles of the last five to ten minutes: two windows that take turns, each an HDR histogram of two digits.
//!
//! The unit is 1 us, because a hit takes some ten of them: that costs 12 KiB a window instead of 9 with 100 us, and a
//! quantile is at most 0.8 % off, at any scale. Longer values than [`LONGEST`] count as that long.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Length of one window.
pub const WINDOW: Duration = Duration::from_mins(5);
/// Largest value told apart.
pub const LONGEST: Duration = Duration::from_mins(10);

/// Durations of the current and of the previous window.
#[derive(Debug)]
pub struct Windows {
    current: Digest,
    previous: Digest,
    started: Instant,
}

/// A set of durations: exact count, sum and maximum, quantiles to two digits.
#[derive(Debug)]
pub struct Digest {
    histogram: Histogram<u32>,
    sum: Duration,
    max: Duration,
}

/// What a [`Digest`] says, in milliseconds with a resolution of 0.001. All 0 if it is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// How many values; those of the last five to ten minutes.
    pub count: u64,
    /// Half of them took at most this long.
    pub p50_ms: f64,
    /// 90 % of them did.
    pub p90_ms: f64,
    /// 99 % of them did.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Their mean.
    pub avg_ms: f64,
}

impl Windows {
    /// No values; the first window starts now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { current: Digest::default(), previous: Digest::default(), started: now }
    }

    /// Adds one value.
    pub fn record(&mut self, now: Instant, value: Duration) {
        self.turn(now);
        self.current.record(value);
    }

    /// Adds what both windows hold to `all`.
    pub fn add_to(&mut self, now: Instant, all: &mut Digest) {
        self.turn(now);
        all.add(&self.previous);
        all.add(&self.current);
    }

    /// What both windows say.
    pub fn summary(&mut self, now: Instant) -> Summary {
        let mut all = Digest::default();
        self.add_to(now, &mut all);
        all.summary()
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.started);
        if age < WINDOW {
            return;
        }
        std::mem::swap(&mut self.current, &mut self.previous);
        self.current.clear();
        self.started += WINDOW;
        if age >= 2 * WINDOW {
            self.previous.clear();
            self.started = now;
        }
    }
}

impl Default for Digest {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(micros(LONGEST), 2).expect("the bounds are constants it takes");
        Self { histogram, sum: Duration::ZERO, max: Duration::ZERO }
    }
}

impl Digest {
    fn record(&mut self, value: Duration) {
        self.histogram.saturating_record(micros(value));
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
    }

    fn add(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all have the same bounds");
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    fn clear(&mut self) {
        if !self.histogram.is_empty() {
            self.histogram.reset();
            (self.sum, self.max) = (Duration::ZERO, Duration::ZERO);
        }
    }

    /// What the set says.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let count = self.histogram.len();
        if count == 0 {
            return Summary::default();
        }
        // the histogram names the upper end of a bucket, which may lie above every value
        let quantile = |q| millis(Duration::from_micros(self.histogram.value_at_quantile(q)).min(self.max));
        let average = self.sum / u32::try_from(count).unwrap_or(u32::MAX);
        let [p50_ms, p90_ms, p99_ms] = [0.5, 0.9, 0.99].map(quantile);
        Summary { count, p50_ms, p90_ms, p99_ms, max_ms: millis(self.max), avg_ms: millis(average) }
    }
}

fn micros(value: Duration) -> u64 {
    u64::try_from(value.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds with three decimals.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "exact up to 285 years")]
pub fn millis(value: Duration) -> f64 {
    micros(value) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    #[test]
    fn quantiles_of_100_000_values_are_within_one_percent() {
        let now = Clock::manual().now();
        let mut windows = Windows::new(now);
        // a long tail from 20 us to 20 s, in an order that a fixed step scrambles
        let exact: Vec<u64> = (0..100_000_u64).map(|i| 20 + i * i / 500).collect();
        (0..exact.len()).for_each(|i| windows.record(now, Duration::from_micros(exact[i * 7919 % exact.len()])));
        let got = windows.summary(now);
        assert_eq!(got.count, 100_000);
        for (value, rank) in [(got.p50_ms, 49_999), (got.p90_ms, 89_999), (got.p99_ms, 98_999)] {
            let want = millis(Duration::from_micros(exact[rank]));
            assert!((value / want - 1.0).abs() < 0.01, "{value} {want}");
        }
        let sum: u64 = exact.iter().sum();
        assert!((got.max_ms - 19_999.62).abs() < 1.0, "{got:?}");
        assert!((got.avg_ms - millis(Duration::from_micros(sum / 100_000))).abs() < 0.002, "{got:?}");
    }

    #[test]
    fn values_leave_after_two_windows_at_most() {
        let clock = Clock::manual();
        let mut windows = Windows::new(clock.now());
        windows.record(clock.now(), Duration::from_secs(9));
        clock.advance(WINDOW);
        windows.record(clock.now(), Duration::from_micros(12));
        let both = windows.summary(clock.now());
        assert_eq!((both.count, both.max_ms, both.p50_ms), (2, 9000.0, 0.012));
        clock.advance(WINDOW);
        let last = windows.summary(clock.now());
        assert_eq!((last.count, last.max_ms), (1, 0.012));
        clock.advance(2 * WINDOW);
        assert_eq!(windows.summary(clock.now()), Summary::default());
    }

    #[test]
    fn a_set_takes_little_memory_and_any_value() {
        let mut digest = Digest::default();
        assert!(digest.histogram.distinct_values() * 4 <= 13 * 1024, "{}", digest.histogram.distinct_values());
        digest.record(Duration::MAX);
        digest.record(Duration::ZERO);
        assert_eq!(digest.summary().count, 2);
        assert!(digest.summary().avg_ms.is_finite());
    }

    proptest! {
        #[test]
        fn quantiles_are_ordered_and_bounded(values in prop::collection::vec(0_u64..700_000_000, 1..200)) {
            let now = Clock::manual().now();
            let mut windows = Windows::new(now);
            for value in &values {
                windows.record(now, Duration::from_micros(*value));
            }
            let s = windows.summary(now);
            prop_assert!(s.p50_ms <= s.p90_ms && s.p90_ms <= s.p99_ms && s.p99_ms <= s.max_ms, "{s:?}");
            prop_assert_eq!(s.count, values.len() as u64);
        }
    }
}
