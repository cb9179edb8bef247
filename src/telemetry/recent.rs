//! What fades with time, behind one lock: quantiles of calls, the window of the health, the last quarter of an hour.

use std::time::{Duration, Instant, SystemTime};

use super::health::{Change, Window};
use super::history::Ring;
use super::latency::Windows;
use super::record::Finished;
use super::slow::Slow;
use crate::engine::RuleSet;
use crate::upstream::health::Status;

/// What fades with time.
pub(super) struct Recent {
    /// Latency of the calls of functions.
    pub calls: Windows,
    /// What the sidecar added.
    pub overhead: Windows,
    /// Cold starts that callers met.
    pub cold: Windows,
    pub health: Window,
    pub history: Ring,
    pub slow: Slow,
}

impl Recent {
    pub fn new(now: Instant) -> Self {
        let [calls, overhead, cold] = [(); 3].map(|()| Windows::new(now));
        Self { calls, overhead, cold, health: Window::new(RuleSet::default().health, now), history: Ring::new(now), slow: Slow::default() }
    }

    pub fn record(&mut self, (now, wall): (Instant, SystemTime), done: &Finished<'_>, overhead: Option<Duration>) {
        if let Some(call) = done.upstream {
            self.calls.record(now, call.total);
        }
        if let Some(call) = done.upstream.filter(|call| call.cold) {
            self.cold.record(now, call.first_byte);
        }
        if let Some(overhead) = overhead {
            self.overhead.record(now, overhead);
        }
        self.health.record(now, done);
        self.history.record(now, done);
        self.slow.record(wall, done);
    }

    /// A log line for each indicator that is not what it was when this was called last.
    pub fn tell_health(&mut self, now: Instant, wall: SystemTime) {
        let (overall, changes) = self.health.changes(now, wall);
        for Change { before, indicator } in changes {
            let (name, value, limit, samples) = (indicator.name, indicator.value, indicator.limit, indicator.samples);
            let (before, status, overall) = (before.as_str(), indicator.status.as_str(), overall.as_str());
            if indicator.status == Status::Healthy {
                tracing::info!(
                    event = "health",
                    indicator = name,
                    before,
                    status,
                    overall,
                    value,
                    limit,
                    samples,
                    "within its limits again"
                );
            } else {
                tracing::warn!(event = "health", indicator = name, before, status, overall, value, limit, samples, "beyond a limit");
            }
        }
    }
}
