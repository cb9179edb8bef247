//! The Prometheus text: what requests moved, and what the [`Readings`] say at this moment.

use std::sync::Arc;

use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType, Summary};

use super::families::PREFIX;
use super::health::Health;
use super::phases::Reading;
use super::process::Process;
use super::readings::{Config, Readings};
use crate::upstream::health::Status;

/// The type of the text. Never the caller's `Accept` list given back.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const PHASES: &str = "Time a function reports for a phase of its work by Server-Timing (db;dur=53), summed up for each answer that names it. At \
most 8 phases a function and 90 in all; further ones count as phase other of function other.";

/// Everything that goes into one text.
#[derive(Debug)]
pub struct Scrape<'a> {
    /// What the other rooms say.
    pub readings: &'a Readings,
    /// What the kernel says.
    pub process: &'a Process,
    /// What the window says.
    pub health: &'a Health,
    /// What functions report of their phases, by function.
    pub phases: &'a [(Arc<str>, Reading)],
    /// Access lines lost.
    pub log_lines_dropped: u64,
    /// Version of this program.
    pub version: &'a str,
}

/// One metric with its samples: name, HELP, and for each sample label values and value.
struct Table {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    samples: Vec<(Vec<String>, f64)>,
}

/// Renders the text, metrics in the order of their names.
///
/// # Panics
/// Never: the encoder refuses only families without samples, which are left out.
#[must_use]
pub fn render(counted: Vec<MetricFamily>, scrape: &Scrape<'_>) -> String {
    let mut all = counted;
    all.extend(
        [cache(scrape), dedup(scrape), pools(scrape), config(&scrape.readings.config), own(scrape)]
            .into_iter()
            .flatten()
            .map(|t| t.family(PREFIX)),
    );
    all.push(phases(scrape.phases));
    all.extend(process(scrape.process).into_iter().map(|t| t.family("")));
    all.retain(|family| !family.get_metric().is_empty());
    all.sort_by(|a, b| a.name().cmp(b.name()));
    TextEncoder::new().encode_to_string(&all).expect("writing to a string cannot fail, and no family is empty")
}

impl Table {
    fn one(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, labels: &[], samples: vec![(Vec::new(), value)] }
    }

    fn by<const N: usize>(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str; N],
        samples: impl IntoIterator<Item = ([String; N], f64)>,
    ) -> Self {
        Self { name, help, labels, samples: samples.into_iter().map(|(values, value)| (values.to_vec(), value)).collect() }
    }

    /// A name that ends in `_total` is a counter, any other a gauge: promtool holds to that rule, so it can be relied on.
    fn family(self, prefix: &str) -> MetricFamily {
        let counter = self.name.ends_with("_total");
        let mut family = MetricFamily::default();
        family.set_name(format!("{prefix}{}", self.name));
        family.set_help(self.help.to_owned());
        family.set_field_type(if counter { MetricType::COUNTER } else { MetricType::GAUGE });
        family.set_metric(self.samples.into_iter().map(|(values, value)| metric(self.labels, values, value, counter)).collect());
        family
    }
}

fn labelled(labels: &[&str], values: Vec<String>) -> Metric {
    let pairs = labels.iter().zip(values).map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value);
        pair
    });
    Metric::from_label(pairs.collect())
}

fn metric(labels: &[&str], values: Vec<String>, value: f64, counter: bool) -> Metric {
    let mut metric = labelled(labels, values);
    if counter {
        let mut inner = Counter::default();
        inner.set_value(value);
        metric.set_counter(inner);
    } else {
        let mut inner = Gauge::default();
        inner.set_value(value);
        metric.set_gauge(inner);
    }
    metric
}

#[allow(clippy::cast_precision_loss, reason = "Prometheus knows no other number")]
const fn float(value: u64) -> f64 {
    value as f64
}

fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

fn cache(scrape: &Scrape<'_>) -> Vec<Table> {
    let cache = &scrape.readings.cache;
    let by_rule = |pick: fn(&super::readings::CacheUsage) -> u64| cache.rules.iter().map(move |r| ([r.rule.to_string()], float(pick(r))));
    vec![
        Table::by("cache_bytes", "Bytes of stored answers, keys and heads included.", &["rule"], by_rule(|r| r.bytes)),
        Table::by("cache_entries", "Stored answers.", &["rule"], by_rule(|r| r.entries)),
        Table::one("cache_capacity_bytes", "Most bytes of stored answers (memory.cache).", float(cache.capacity_bytes)),
        Table::by(
            "cache_evictions_total",
            "Stored answers removed, by reason.",
            &["reason"],
            cache.evictions.iter().map(|(reason, n)| ([(*reason).to_owned()], float(*n))),
        ),
        Table::by(
            "cache_purged_total",
            "Stored answers that a purge took, or that an unsafe method made obsolete.",
            &["rule"],
            by_rule(|r| r.purged),
        ),
        Table::one("cache_waiting", "Requests that wait for an answer which another one fetches.", float(cache.waiting)),
    ]
}

fn dedup(scrape: &Scrape<'_>) -> Vec<Table> {
    let dedup = &scrape.readings.dedup;
    vec![
        Table::one("dedup_entries", "Accepted events remembered.", float(dedup.entries)),
        Table::one("dedup_capacity", "Most accepted events remembered (dedup.max_entries).", float(dedup.capacity)),
        Table::one("dedup_waiting", "Requests that wait for the outcome of a copy in flight.", float(dedup.waiting)),
    ]
}

fn pools(scrape: &Scrape<'_>) -> Vec<Table> {
    let pools = &scrape.readings.pools;
    let states = pools.iter().flat_map(|p| {
        [("idle", p.numbers.idle), ("in_use", p.numbers.in_use)].map(|(s, n)| ([p.upstream.to_string(), s.to_owned()], float(n)))
    });
    let connects = pools.iter().flat_map(|p| {
        let n = &p.numbers;
        [("new", n.new), ("reused", n.reused), ("failed", n.failed)].map(|(r, n)| ([p.upstream.to_string(), r.to_owned()], float(n)))
    });
    let retries = pools.iter().flat_map(|p| {
        let of = |reason: &str, n| ([p.upstream.to_string(), reason.to_owned()], float(n));
        [of("connect", p.numbers.retried), of("stale", p.numbers.stale)]
    });
    vec![
        Table::by("upstream_connections", "Open connections to an upstream, by state: idle or in_use.", &["upstream", "state"], states),
        Table::by(
            "upstream_connects_total",
            "Attempts to get a connection, by result: new (opened), reused (a kept one) or failed.",
            &["upstream", "result"],
            connects,
        ),
        Table::by(
            "upstream_retries_total",
            "Further attempts, by what failed: connect (no connection came about) or stale (a GET met a kept connection that was closed).",
            &["upstream", "reason"],
            retries,
        ),
    ]
}

fn config(config: &Config) -> Vec<Table> {
    let seconds = |t: std::time::SystemTime| t.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    vec![
        Table::one(
            "config_last_reload_successful",
            "1 if the last reload of the rules (or the start) was accepted, else 0.",
            flag(config.last_reload_ok),
        ),
        Table::one(
            "config_last_reload_success_timestamp_seconds",
            "When rules were last accepted, in seconds since 1970.",
            seconds(config.last_success),
        ),
        Table::by(
            "config_reloads_total",
            "Reloads of the rules since the start, by result: success or failure.",
            &["result"],
            [("success", config.successes), ("failure", config.failures)].map(|(r, n)| ([r.to_owned()], float(n))),
        ),
        Table::one(
            "config_generation",
            "Generation of the rules in force: 1 at the start, one more with each accepted reload.",
            float(config.generation),
        ),
        Table::one("config_file_differs", "1 if the rules file on disk is not what is in force, else 0.", flag(config.file_differs)),
        Table::one(
            "config_restart_needed",
            "1 if a restart would change settings or fail, as the sidecar file was changed, else 0; /config says what.",
            flag(config.restart_needed),
        ),
    ]
}

fn own(scrape: &Scrape<'_>) -> Vec<Table> {
    let (readings, health) = (scrape.readings, scrape.health);
    let kinds = [
        ("rss", scrape.process.rss_bytes),
        ("cache", readings.cache.bytes),
        ("dedup", readings.dedup.bytes),
        ("bodies", readings.body_bytes),
    ];
    let indicators = health.indicators.iter().map(|(i, _)| ([i.name.to_owned()], flag(i.status == Status::Healthy)));
    vec![
        Table::by(
            "memory_bytes",
            "Memory by kind: rss (the whole process), and of it cache (stored answers), dedup (ids), bodies (in flight).",
            &["kind"],
            kinds.map(|(kind, n)| ([kind.to_owned()], float(n))),
        ),
        Table::one("memory_budget_bytes", "What the process may take (memory.budget).", float(readings.memory_budget)),
        Table::by(
            "health_status",
            "1 for the status that the health of the functions has now, 0 for the others.",
            &["status"],
            Status::ALL.map(|s| ([s.as_str().to_owned()], flag(s == health.status))),
        ),
        Table::by(
            "health_indicator_ok",
            "1 if an indicator of the functions' health is within its limits, else 0.",
            &["indicator"],
            indicators,
        ),
        Table::one(
            "log_lines_dropped_total",
            "Access and slow lines dropped because the log's reader was too slow or gone.",
            float(scrape.log_lines_dropped),
        ),
        Table::by("build_info", "Always 1; the version is in the label.", &["version"], [([scrape.version.to_owned()], 1.0)]),
    ]
}

/// Sums and counts: quantiles of so many phases would be a third of all series. The JSON document has them.
fn phases(phases: &[(Arc<str>, Reading)]) -> MetricFamily {
    let metric = |(function, phase): &(Arc<str>, Reading)| {
        let mut summary = Summary::default();
        summary.set_sample_count(phase.count);
        summary.set_sample_sum(phase.sum.as_secs_f64());
        let mut metric = labelled(&["function", "phase"], vec![function.to_string(), phase.name.to_string()]);
        metric.set_summary(summary);
        metric
    };
    let mut family = MetricFamily::default();
    family.set_name(format!("{PREFIX}function_phase_seconds"));
    family.set_help(PHASES.to_owned());
    family.set_field_type(MetricType::SUMMARY);
    family.set_metric(phases.iter().map(metric).collect());
    family
}

/// The names every Prometheus client library gives these.
fn process(process: &Process) -> Vec<Table> {
    vec![
        Table::one("process_cpu_seconds_total", "Time on a CPU, user and system, in seconds.", process.cpu_seconds),
        Table::one("process_resident_memory_bytes", "Resident memory in bytes.", float(process.rss_bytes)),
        Table::one("process_virtual_memory_bytes", "Virtual memory in bytes.", float(process.virtual_bytes)),
        Table::one("process_open_fds", "Open file descriptors.", float(process.open_fds)),
        Table::one("process_max_fds", "Most file descriptors the process may open.", float(process.max_fds)),
        Table::one("process_threads", "Threads.", float(process.threads)),
        Table::one("process_start_time_seconds", "Start of the process, in seconds since 1970.", process.start_seconds),
    ]
}
