//! When the functions count as healthy (supabase.md 0): error rate, average latency and cache hit rate of the last window,
//! judged by [`judge`].

use std::time::Duration;

/// `health:` of a rules file. A `None` limit is never reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Share of 5xx answers, 0 to 1.
    pub error_rate: Limits<f64>,
    /// Average latency of all answers.
    pub average_latency: Limits<Duration>,
    /// Share of look-ups answered from the cache, 0 to 1; below it = worse.
    pub cache_hit_rate: Limits<f64>,
    /// Below this many samples an indicator is not judged.
    pub min_requests: u64,
    /// How far back the judgement looks.
    pub window: Duration,
}

/// Two limits of one indicator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits<T> {
    /// From here on the sidecar is degraded.
    pub degraded: Option<T>,
    /// From here on it is unhealthy.
    pub unhealthy: Option<T>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            error_rate: Limits { degraded: Some(0.05), unhealthy: Some(0.10) },
            average_latency: Limits { degraded: Some(Duration::from_secs(1)), unhealthy: Some(Duration::from_secs(2)) },
            cache_hit_rate: Limits { degraded: Some(0.50), unhealthy: None },
            min_requests: 20,
            window: Duration::from_mins(1),
        }
    }
}

/// What the last window saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Answers, those refused for what the request is left out.
    pub requests: u64,
    /// Of these, with a 5xx status; 546, the platform's "worker out of resources", is one.
    pub errors: u64,
    /// Sum of the times until an answer's head.
    pub latency: Duration,
    /// Look-ups in the cache; bypasses are none.
    pub lookups: u64,
    /// Of these, answered without a call of the function for this request.
    pub hits: u64,
}

/// The verdict, best first. Closed: JSON value and label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Every indicator is within its limits.
    Healthy,
    /// One is past its first limit.
    Degraded,
    /// One is past its second.
    Unhealthy,
}

impl Status {
    /// Every status, best first.
    pub const ALL: [Self; 3] = [Self::Healthy, Self::Degraded, Self::Unhealthy];

    /// The closed word of the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One figure and how it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Indicator {
    /// Its key in the rules file.
    pub name: &'static str,
    /// Its value now, 0 before traffic: a share from 0 to 1, or milliseconds.
    pub value: f64,
    /// The limit it is past, else the next one; `None` if the rules set none.
    pub limit: Option<f64>,
    /// How many answers or look-ups it is made of.
    pub samples: u64,
    /// Where it stands; healthy while there are fewer samples than `min_requests`.
    pub status: Status,
}

/// Names of the indicators, in the order [`judge`] gives them.
pub const INDICATORS: [&str; 3] = ["error_rate", "average_latency", "cache_hit_rate"];

/// Judges a window: the worst indicator decides.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts of one window")]
pub fn judge(settings: &Settings, sums: &Sums) -> (Status, [Indicator; 3]) {
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    let share = |part: f64, all: u64| if all == 0 { 0.0 } else { part / all as f64 };
    let latency = Limits { degraded: settings.average_latency.degraded.map(ms), unhealthy: settings.average_latency.unhealthy.map(ms) };
    let rows = [
        (share(sums.errors as f64, sums.requests), settings.error_rate, sums.requests, false),
        (share(ms(sums.latency), sums.requests), latency, sums.requests, false),
        (share(sums.hits as f64, sums.lookups), settings.cache_hit_rate, sums.lookups, true),
    ];
    let mut indicators = INDICATORS.map(|name| Indicator { name, value: 0.0, limit: None, samples: 0, status: Status::Healthy });
    for (indicator, (value, limits, samples, low_is_bad)) in indicators.iter_mut().zip(rows) {
        let past = |limit: Option<f64>| samples > 0 && limit.is_some_and(|l| if low_is_bad { value < l } else { value >= l });
        let (status, limit) = match limits {
            _ if samples < settings.min_requests => (Status::Healthy, limits.degraded.or(limits.unhealthy)),
            Limits { unhealthy, .. } if past(unhealthy) => (Status::Unhealthy, unhealthy),
            Limits { degraded, .. } if past(degraded) => (Status::Degraded, degraded),
            Limits { degraded, unhealthy } => (Status::Healthy, degraded.or(unhealthy)),
        };
        *indicator = Indicator { value, limit, samples, status, ..*indicator };
    }
    (indicators.iter().map(|i| i.status).max().unwrap_or(Status::Healthy), indicators)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sums(requests: u64, errors: u64, average_ms: u64, lookups: u64, hits: u64) -> Sums {
        Sums { requests, errors, latency: Duration::from_millis(average_ms * requests), lookups, hits }
    }

    #[test]
    fn table() {
        use Status::{Degraded, Healthy, Unhealthy};
        for (window, statuses) in [
            (sums(0, 0, 0, 0, 0), [Healthy, Healthy, Healthy]),
            (sums(19, 19, 9000, 19, 0), [Healthy, Healthy, Healthy]), // too few to judge
            (sums(20, 0, 999, 20, 10), [Healthy, Healthy, Healthy]),
            (sums(100, 4, 10, 0, 0), [Healthy, Healthy, Healthy]),
            (sums(100, 5, 10, 0, 0), [Degraded, Healthy, Healthy]),
            (sums(100, 10, 10, 0, 0), [Unhealthy, Healthy, Healthy]),
            (sums(20, 0, 1000, 0, 0), [Healthy, Degraded, Healthy]),
            (sums(20, 0, 2000, 0, 0), [Healthy, Unhealthy, Healthy]),
            (sums(100, 0, 10, 100, 49), [Healthy, Healthy, Degraded]),
            (sums(100, 0, 10, 100, 0), [Healthy, Healthy, Degraded]), // no second limit by default
        ] {
            let (worst, indicators) = judge(&Settings::default(), &window);
            assert_eq!(indicators.map(|i| i.status), statuses, "{window:?}");
            assert_eq!(Some(worst), statuses.into_iter().max());
        }
    }

    #[test]
    fn the_limit_told_is_the_one_passed_or_the_next() {
        let limit = |errors| judge(&Settings::default(), &sums(100, errors, 0, 0, 0)).1[0].limit;
        assert_eq!([limit(0), limit(7), limit(50)], [Some(0.05), Some(0.05), Some(0.10)]);
        let none = Settings { error_rate: Limits { degraded: None, unhealthy: None }, min_requests: 0, ..Settings::default() };
        let (status, indicators) = judge(&none, &sums(100, 100, 0, 0, 0));
        assert_eq!((status, indicators[0].limit), (Status::Healthy, None));
    }

    proptest! {
        #[test]
        fn values_are_numbers_whatever_the_limits(requests in 0_u64..50, errors in 0_u64..50, hits in 0_u64..50, least in 0_u64..3) {
            let settings = Settings { min_requests: least, ..Settings::default() };
            let (_, indicators) = judge(&settings, &sums(requests, errors.min(requests), 5, requests, hits.min(requests)));
            prop_assert!(indicators.iter().all(|i| i.value.is_finite() && (requests > 0 || i.status == Status::Healthy)));
        }
    }
}
