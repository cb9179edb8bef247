//! Fills in the JSON document from what was counted and what was read.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use super::functions::{Function, Functions};
use super::json::{
    CacheRule, CacheTotals, Config, DedupRule, DedupTotals, Document, Handler, LastReload, Memory, Metrics, Pool, Requests, Totals, rate,
};
use super::latency::{Digest, Summary};
use super::process::Process;
use super::readings::{self, Readings};
use super::record::{DedupResult, LookupResult, Outcome};
use super::rules::{self, Rules};

/// What the document is made of.
#[derive(Debug)]
pub struct Sources<'a> {
    /// What was counted by function.
    pub functions: &'a Functions,
    /// What was counted by rule.
    pub rules: &'a Rules,
    /// What the other rooms say.
    pub readings: &'a Readings,
    /// What the kernel says.
    pub process: &'a Process,
    /// Latency of the calls of functions.
    pub upstream: Summary,
    /// What the sidecar added.
    pub overhead: Summary,
    /// Requests being answered.
    pub in_flight: u64,
    /// The moment.
    pub now: Instant,
    /// The same moment on the wall.
    pub wall: SystemTime,
    /// The start.
    pub start: Instant,
    /// Version of this program.
    pub version: &'static str,
}

/// A time as the document writes it.
#[must_use]
pub fn date(time: SystemTime) -> String {
    // the formatter refuses what lies outside 1970 to 9999
    let time = time.max(SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_millis(time).to_string()
}

/// The document.
#[must_use]
pub fn document(from: &Sources<'_>) -> Document {
    let cache: BTreeMap<_, _> =
        from.rules.cache().iter().map(|(name, rule)| (name.to_string(), cache_rule(name, rule, &from.readings.cache))).collect();
    let deduplication: BTreeMap<_, _> = from.rules.dedup().iter().map(|(name, rule)| (name.to_string(), dedup_rule(rule))).collect();
    let (handlers, latency, by_outcome) = handlers(from);
    let (store, ids) = (&from.readings.cache, &from.readings.dedup);
    let sums = cache.values().fold(CacheRule::default(), CacheRule::plus);
    let sums = CacheRule { bytes: store.bytes, evictions: store.evictions.iter().map(|(_, n)| n).sum(), ..sums };
    let dedup_sums = deduplication.values().fold(DedupRule::default(), DedupRule::plus);
    Document {
        timestamp: date(from.wall),
        uptime_seconds: from.now.saturating_duration_since(from.start).as_secs(),
        version: from.version,
        client_pool: from.readings.pools.iter().map(|p| (p.upstream.to_string(), pool(p))).collect(),
        handlers,
        memory: Memory {
            rss_bytes: from.process.rss_bytes,
            cache_bytes: store.bytes,
            dedup_bytes: ids.bytes,
            body_bytes: from.readings.body_bytes,
            budget_bytes: from.readings.memory_budget,
        },
        metrics: Metrics {
            requests: Requests { total: by_outcome.values().sum(), in_flight: from.in_flight, by_outcome },
            latency,
            upstream_latency: from.upstream,
            proxy_overhead: from.overhead,
            cold_start: Summary::default(),
        },
        totals: Totals {
            cache: CacheTotals { sums, capacity_bytes: store.capacity_bytes },
            deduplication: DedupTotals {
                sums: dedup_sums,
                entries: ids.entries,
                capacity: ids.capacity,
                in_flight: ids.in_flight,
                waiting: ids.waiting,
            },
        },
        config: config(&from.readings.config),
        cache,
        deduplication,
    }
}

type Handlers = (BTreeMap<String, Handler>, Summary, BTreeMap<&'static str, u64>);

/// By function; the latency of all; requests by outcome.
fn handlers(from: &Sources<'_>) -> Handlers {
    let (mut all, mut outcomes) = (Digest::default(), [0_u64; Outcome::ALL.len()]);
    let mut handler = |function: &Function| {
        let (counted, latency) = (function.counted(), function.latency(from.now, &mut all));
        outcomes.iter_mut().zip(counted.outcomes).for_each(|(sum, n)| *sum += n);
        let (requests, errors, slow) = (counted.outcomes.iter().sum(), counted.errors, counted.slow);
        let Summary { p50_ms, p90_ms, p99_ms, .. } = latency;
        let phases = function.phases(from.now).into_iter().filter(|p| p.count > 0).map(|p| (p.name.to_string(), p.recent)).collect();
        Handler { requests, errors, loaded: counted.answered, load_time_ms: 0.0, cold_starts: 0, slow, p50_ms, p90_ms, p99_ms, phases }
    };
    let handlers = from.functions.all().iter().map(|f| (f.name().to_owned(), handler(f))).collect();
    let by_outcome = Outcome::ALL.iter().map(|o| (o.as_str(), outcomes[*o as usize])).collect();
    (handlers, all.summary(), by_outcome)
}

fn cache_rule(name: &str, rule: &rules::CacheRule, store: &readings::Cache) -> CacheRule {
    let usage = store.rules.iter().find(|u| &*u.rule == name);
    CacheRule {
        hits: rule.looked_up(LookupResult::Hit) + rule.looked_up(LookupResult::Coalesced),
        misses: rule.looked_up(LookupResult::Miss) + rule.looked_up(LookupResult::Revalidated),
        stale: rule.looked_up(LookupResult::Stale),
        bypassed: rule.bypassed(),
        size: usage.map_or(0, |u| u.entries),
        bytes: usage.map_or(0, |u| u.bytes),
        evictions: usage.map_or(0, |u| u.evictions),
        hit_rate: 0.0,
    }
    .rated()
}

fn dedup_rule(rule: &rules::DedupRule) -> DedupRule {
    DedupRule {
        new: rule.requests(DedupResult::New),
        duplicates: rule.requests(DedupResult::Duplicate),
        joined: rule.requests(DedupResult::Joined),
        partial: rule.requests(DedupResult::Partial),
        skipped: rule.requests(DedupResult::Skipped),
        timeouts: rule.requests(DedupResult::Timeout),
        missed: rule.missed(),
        duplicate_rate: 0.0,
    }
    .rated()
}

fn pool(pool: &readings::Pool) -> Pool {
    let n = &pool.numbers;
    let total_uses = n.new + n.reused;
    let (healthy, reuse_rate) = (pool.healthy, rate(n.reused, total_uses));
    Pool { size: n.size, idle: n.idle, in_use: n.in_use, healthy, total_uses, created: n.created, reused: n.reused, reuse_rate }
}

fn config(config: &readings::Config) -> Config {
    let result = if config.last_reload_ok { "success" } else { "failure" };
    let last_reload = LastReload { result, at: date(config.last_reload) };
    Config { generation: config.generation, hash: config.hash.clone(), last_reload, restart_needed: config.restart_needed }
}
