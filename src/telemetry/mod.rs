//! Signals: metrics in two forms, the health of the functions, the access log.
//!
//! [`Metrics::record`] takes one [`Finished`] for each answer and moves everything at once: counters and histograms
//! ([`families`]: doc comment = HELP), quantiles ([`latency`]), the window of the health ([`health`]), the last quarter of an hour
//! ([`history`]), the log ([`log`]). What the other rooms know is read when somebody asks ([`Readings`]). No label and no line holds what
//! only a caller chose.

pub mod escape;
pub mod events;
pub mod families;
pub mod functions;
pub mod health;
pub mod history;
pub mod json;
pub mod latency;
pub mod line;
pub mod log;
pub mod phases;
pub mod process;
pub mod prometheus_text;
pub mod readings;
mod recent;
pub mod record;
pub mod report;
pub mod rules;
pub mod slow;
#[cfg(test)]
mod tests;
pub mod words;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::prometheus::{IntGauge, Registry};

pub use self::health::Health;
pub use self::log::AccessLog;
pub use self::readings::Readings;
pub use self::record::{
    CacheRecord, DedupRecord, DedupResult, DoorRefusal, Exchanged, Finished, LookupResult, Outcome, RefreshResult, RefusedReason,
    ShedReason, Source,
};

use self::families::Families;
use self::functions::Functions;
use self::history::History;
use self::process::Process;
use self::prometheus_text::Scrape;
use self::readings::CacheUsage;
use self::recent::Recent;
use self::rules::{ByRule, Rules};
use crate::clock::Clock;
use crate::engine::RuleSet;
use crate::rules::{Matcher, Pattern};
use crate::upstream::warm;

/// Version of this program, as the metrics tell it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a cache rule makes of good answers.
const CACHED: &[(Outcome, Source)] = &[(Outcome::Hit, Source::Cache), (Outcome::Miss, Source::Upstream)];
/// What a deduplication rule does.
const DEDUPLICATED: &[(Outcome, Source)] = &[(Outcome::New, Source::Upstream), (Outcome::Duplicate, Source::Dedup)];
/// What becomes of the rest.
const FORWARDED: &[(Outcome, Source)] = &[(Outcome::Forwarded, Source::Upstream)];

/// Everything that is measured in one process.
pub struct Metrics {
    registry: Registry,
    families: Arc<Families>,
    functions: Functions,
    rules: Rules,
    recent: Mutex<Recent>,
    log: Option<AccessLog>,
    readings: Box<dyn Fn() -> Readings + Send + Sync>,
    clock: Clock,
    start: Instant,
}

impl Metrics {
    /// Nothing counted yet. `readings` is asked at each scrape; without a `log` no access lines are written.
    #[must_use]
    pub fn new(readings: Box<dyn Fn() -> Readings + Send + Sync>, clock: Clock, log: Option<AccessLog>) -> Self {
        let (registry, start) = (Registry::new(), clock.now());
        let families = Arc::new(Families::new(&registry));
        for reason in ShedReason::ALL {
            families.shed.with_label_values(&[reason.as_str()]);
        }
        for reason in RefusedReason::ALL {
            families.refused.with_label_values(&[reason.as_str()]);
        }
        for reason in DoorRefusal::ALL {
            families.door_refused.with_label_values(&[reason.as_str()]);
        }
        Self {
            functions: Functions::new(Arc::clone(&families), start),
            rules: Rules::new(Arc::clone(&families)),
            recent: Mutex::new(Recent::new(start)),
            registry,
            families,
            log,
            readings,
            clock,
            start,
        }
    }

    /// Creates the series of these rules, admits the functions they spell out and judges health by their limits. To be
    /// called before the rules come into force, at the start and after each reload.
    pub fn prepare(&self, rules: &RuleSet) {
        self.rules.prepare(rules);
        let expect = |matcher: &Matcher, outcomes| {
            if let Some(name) = matcher.function.as_ref().map(Pattern::as_str)
                && !name.contains(['*', '?', '[', ']', '{', '}', '\\'])
            {
                self.functions.expect(name, outcomes);
            }
        };
        rules.cache.include.iter().for_each(|r| expect(&r.matcher, CACHED));
        rules.dedup.include.iter().for_each(|r| expect(&r.matcher, DEDUPLICATED));
        let others = rules.cache.exclude.iter().chain(&rules.dedup.exclude).map(|e| &e.matcher);
        others.chain(rules.slow.iter().map(|s| &s.matcher)).for_each(|m| expect(m, FORWARDED));
        for step in &rules.warm {
            step.functions.iter().for_each(|name| self.functions.expect(name, &[]));
            self.rules.prepare_warm(&step.name);
        }
        lock(&self.recent).health.set(rules.health.clone(), self.clock.now());
    }

    /// A request begins; it is in flight until the value is dropped.
    pub fn begin(&self) -> InFlight {
        self.families.in_flight.inc();
        InFlight(self.families.in_flight.clone())
    }

    /// A limit made the sidecar refuse a request. [`Metrics::record`] does not count this, as it knows no limits.
    pub fn shed(&self, reason: ShedReason) {
        self.families.shed.with_label_values(&[reason.as_str()]).inc();
    }

    /// A stored answer was asked for again on behalf of those who come later: no request of its own, so [`Metrics::record`] sees none.
    pub fn refreshed(&self, rule: &str, result: RefreshResult) {
        self.families.cache_refreshes.with_label_values(&[rule, result.as_str()]).inc();
    }

    /// The sidecar refused a request for what it is or how it came. [`Metrics::record`] does not count this, as it knows no reasons.
    pub fn refused(&self, reason: RefusedReason) {
        self.families.refused.with_label_values(&[reason.as_str()]).inc();
    }

    /// The admin address turned a request away.
    pub fn door_refused(&self, reason: DoorRefusal) {
        self.families.door_refused.with_label_values(&[reason.as_str()]).inc();
    }

    /// A call of warm-up ended; `took` = until the head of its answer.
    pub fn warmed(&self, step: &str, function: &str, outcome: warm::Outcome, took: Duration) {
        self.rules.warmed(step, outcome);
        self.functions.warmed(function, outcome, took);
    }

    /// Counts one finished request and writes its log line.
    pub fn record(&self, done: &Finished<'_>) {
        let now = self.clock.now();
        self.functions.record(now, done);
        self.rules.record(done);
        let overhead = done.overhead();
        if let Some(overhead) = overhead {
            self.families.overhead.observe(overhead.as_secs_f64());
        }
        if let Some(call) = done.upstream
            && let Some(connect) = call.connect
        {
            self.families.connect_duration.with_label_values(&[&*call.upstream]).observe(connect.as_secs_f64());
        }
        let wall = self.clock.wall();
        lock(&self.recent).record((now, wall), done, overhead);
        if let Some(log) = &self.log {
            log.write(wall, done);
        }
    }

    /// The access log, to be closed at the end.
    #[must_use]
    pub fn log(&self) -> Option<&AccessLog> {
        self.log.as_ref()
    }

    /// How the functions are.
    #[must_use]
    pub fn health(&self) -> Health {
        lock(&self.recent).health.judge(self.clock.now(), self.clock.wall())
    }

    /// Writes a log line for each indicator of the functions' health that is not what it was. To be called every second or so.
    pub fn tell_health(&self) {
        lock(&self.recent).tell_health(self.clock.now(), self.clock.wall());
    }

    /// The last quarter of an hour.
    #[must_use]
    pub fn history(&self) -> History {
        lock(&self.recent).history.read(self.clock.now(), self.clock.wall())
    }

    /// The last slow requests, the newest first, as the log tells them.
    #[must_use]
    pub fn slow(&self) -> Vec<serde_json::Value> {
        lock(&self.recent).slow.read()
    }

    /// What each rule in force did.
    #[must_use]
    pub fn by_rule(&self) -> ByRule {
        self.rules.by_rule()
    }

    /// The Prometheus text.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let mut readings = (self.readings)();
        for (rule, _) in self.rules.cache() {
            if readings.cache.rules.iter().all(|usage| usage.rule != rule) {
                readings.cache.rules.push(CacheUsage { rule, entries: 0, bytes: 0, evictions: 0, purged: 0 });
            }
        }
        for pool in &readings.pools {
            self.families.connect_duration.with_label_values(&[&*pool.upstream]);
        }
        let (process, health) = (Process::read(), self.health());
        let log_lines_dropped = self.log.as_ref().map_or(0, AccessLog::dropped);
        let phases = self.functions.phases(self.clock.now());
        let scrape =
            Scrape { readings: &readings, process: &process, health: &health, phases: &phases, log_lines_dropped, version: VERSION };
        prometheus_text::render(self.registry.gather(), &scrape)
    }

    /// The JSON document.
    #[must_use]
    pub fn json(&self) -> json::Document {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let (upstream, overhead, cold) = {
            let mut recent = lock(&self.recent);
            (recent.calls.summary(now), recent.overhead.summary(now), recent.cold.summary(now))
        };
        report::document(&report::Sources {
            functions: &self.functions,
            rules: &self.rules,
            readings: &(self.readings)(),
            process: &Process::read(),
            in_flight: u64::try_from(self.families.in_flight.get()).unwrap_or_default(),
            start: self.start,
            version: VERSION,
            upstream,
            overhead,
            cold,
            now,
            wall,
        })
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// A request in flight.
#[derive(Debug)]
#[must_use = "the request counts as answered when this is dropped"]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Locks for a few dozen instructions. What is inside stays whole even if a holder panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
