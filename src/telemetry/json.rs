//! The shape of `GET /metrics` as JSON (interface.md 4). Keys are camelCase; times are in ms where the key ends in `Ms`, sizes in
//! bytes, rates from 0 to 1. Every key is always there, every figure is a number from the start: nothing is null.
//!
//! Figures of parts that are not built yet (cold starts) are 0.

use std::collections::BTreeMap;

use serde::Serialize;

use super::latency::Summary;

/// The whole document.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// When it was made, RFC 3339.
    pub timestamp: String,
    /// Since the start of the process.
    pub uptime_seconds: u64,
    /// Version of this program.
    pub version: &'static str,
    /// By cache rule in force.
    pub cache: BTreeMap<String, CacheRule>,
    /// By deduplication rule in force.
    pub deduplication: BTreeMap<String, DedupRule>,
    /// By upstream.
    pub client_pool: BTreeMap<String, Pool>,
    /// By function; `other` = those without series of their own.
    pub handlers: BTreeMap<String, Handler>,
    /// Memory of the process.
    pub memory: Memory,
    /// All requests.
    pub metrics: Metrics,
    /// Sums over the rules in force.
    pub totals: Totals,
    /// The rules in force.
    pub config: Config,
}

/// One cache rule, or all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheRule {
    /// Answered from the store or, coalesced, from the fetch of another request.
    pub hits: u64,
    /// Looked up and fetched, or stored and confirmed by the function.
    pub misses: u64,
    /// Answered past their lifetime.
    pub stale: u64,
    /// Matched, but not looked up.
    pub bypassed: u64,
    /// Stored answers now.
    pub size: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Stored answers removed for want of room.
    pub evictions: u64,
    /// `hits / (hits + misses)`: a bypass is no look-up and does not count.
    pub hit_rate: f64,
}

/// One deduplication rule, or all; requests, not events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DedupRule {
    /// All events new.
    pub new: u64,
    /// All accepted before.
    pub duplicates: u64,
    /// Waited for the copy in flight, which was accepted.
    pub joined: u64,
    /// Old and new events.
    pub partial: u64,
    /// Forwarded without deduplication.
    pub skipped: u64,
    /// Waited in vain, answered 503.
    pub timeouts: u64,
    /// Events, not requests: repeats forwarded though the function had taken them within the last 24 h.
    pub missed: u64,
    /// `(duplicates + joined) / (new + duplicates + joined + partial)`: how many a function never saw.
    pub duplicate_rate: f64,
}

/// Connections of one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// Open.
    pub size: u64,
    /// Of these, kept for the next request.
    pub idle: u64,
    /// Of these, used by a request.
    pub in_use: u64,
    /// Whether the server answers, as far as is known.
    pub healthy: bool,
    /// Uses of a connection since the start.
    pub total_uses: u64,
    /// Connections opened since the start.
    pub created: u64,
    /// Uses of a kept connection since the start.
    pub reused: u64,
    /// `reused / totalUses`.
    pub reuse_rate: f64,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Handler {
    /// Requests answered for it, whoever answered.
    pub requests: u64,
    /// Of these, with a 5xx.
    pub errors: u64,
    /// Whether it ever answered itself.
    pub loaded: bool,
    /// Time its first start took.
    pub load_time_ms: f64,
    /// Starts from cold seen.
    pub cold_starts: u64,
    /// Requests that took longer than their slow rule allows.
    pub slow: u64,
    /// Half of the last minutes' requests took at most this long.
    pub p50_ms: f64,
    /// 90 % of them did.
    pub p90_ms: f64,
    /// 99 % of them did.
    pub p99_ms: f64,
    /// What it reports of its phases by `Server-Timing`, such as `db`; those of the last minutes.
    pub phases: BTreeMap<String, Summary>,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// The whole process.
    pub rss_bytes: u64,
    /// Stored answers.
    pub cache_bytes: u64,
    /// Message ids.
    pub dedup_bytes: u64,
    /// Bodies in flight.
    pub body_bytes: u64,
    /// What the process may take.
    pub budget_bytes: u64,
}

/// All requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// How many.
    pub requests: Requests,
    /// From head to last byte.
    pub latency: Summary,
    /// Of the calls of functions.
    pub upstream_latency: Summary,
    /// What neither function nor waiting took.
    pub proxy_overhead: Summary,
    /// Starts from cold.
    pub cold_start: Summary,
}

/// Requests since the start.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// All.
    pub total: u64,
    /// Being answered now.
    pub in_flight: u64,
    /// By outcome, every outcome listed.
    pub by_outcome: BTreeMap<&'static str, u64>,
}

/// Sums over the rules.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Totals {
    /// Of all cache rules.
    pub cache: CacheTotals,
    /// Of all deduplication rules.
    pub deduplication: DedupTotals,
}

/// All cache rules.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheTotals {
    /// Their sums; `bytes` and `evictions` are the store's.
    #[serde(flatten)]
    pub sums: CacheRule,
    /// Most bytes of stored answers.
    pub capacity_bytes: u64,
}

/// All deduplication rules.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DedupTotals {
    /// Their sums.
    #[serde(flatten)]
    pub sums: DedupRule,
    /// Accepted events remembered.
    pub entries: u64,
    /// Most of them.
    pub capacity: u64,
    /// Events claimed by requests that run now.
    pub in_flight: u64,
    /// Requests that wait for a copy in flight.
    pub waiting: u64,
}

/// The rules in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// 1 at the start, one more with each accepted reload.
    pub generation: u64,
    /// Of their text.
    pub hash: String,
    /// The last attempt to load rules; the start is the first.
    pub last_reload: LastReload,
    /// Whether a restart would change settings or fail.
    pub restart_needed: bool,
}

/// The last attempt to load rules.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastReload {
    /// `success` or `failure`.
    pub result: &'static str,
    /// When, RFC 3339.
    pub at: String,
}

/// `part / all`, 0 where `all` is 0.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a rate")]
pub fn rate(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

impl CacheRule {
    /// With its rate.
    #[must_use]
    pub fn rated(self) -> Self {
        Self { hit_rate: rate(self.hits + self.stale, self.hits + self.stale + self.misses), ..self }
    }

    /// The sum of two, the rate of the sum.
    #[must_use]
    pub fn plus(self, o: &Self) -> Self {
        let (hits, misses, stale, bypassed) =
            (self.hits + o.hits, self.misses + o.misses, self.stale + o.stale, self.bypassed + o.bypassed);
        let (size, bytes, evictions) = (self.size + o.size, self.bytes + o.bytes, self.evictions + o.evictions);
        Self { hits, misses, stale, bypassed, size, bytes, evictions, hit_rate: 0.0 }.rated()
    }
}

impl DedupRule {
    /// With its rate.
    #[must_use]
    pub fn rated(self) -> Self {
        let repeats = self.duplicates + self.joined;
        Self { duplicate_rate: rate(repeats, repeats + self.new + self.partial), ..self }
    }

    /// The sum of two, the rate of the sum.
    #[must_use]
    pub fn plus(self, o: &Self) -> Self {
        let (new, duplicates, joined, partial) =
            (self.new + o.new, self.duplicates + o.duplicates, self.joined + o.joined, self.partial + o.partial);
        let (skipped, timeouts, missed) = (self.skipped + o.skipped, self.timeouts + o.timeouts, self.missed + o.missed);
        Self { new, duplicates, joined, partial, skipped, timeouts, missed, duplicate_rate: 0.0 }.rated()
    }
}
