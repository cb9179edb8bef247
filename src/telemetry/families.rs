//! The metrics that requests move: one struct, whose doc comments are the HELP texts. What is read only when somebody
//! asks (pools, sizes, the process) is in [`super::prometheus_text`].

use prometheus::core::Collector;
use prometheus::{CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

/// Buckets of latencies, in seconds.
pub const LATENCY: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Buckets of what the sidecar adds, in seconds.
pub const OVERHEAD: &[f64] = &[0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05];

/// Buckets of the pause between two copies of a webhook, in seconds: from an instant retry to the seven days of the most patient sender.
pub const GAP: &[f64] = &[0.1, 1.0, 5.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0];

/// What every metric of this program is called first.
pub const PREFIX: &str = "edge_sidecar_";

struct Spec {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    buckets: &'static [f64],
}

impl Spec {
    fn opts(&self) -> Opts {
        Opts::new(format!("{PREFIX}{}", self.name), self.help.trim())
    }
}

trait Family: Collector + Clone + Sized + 'static {
    fn create(spec: &Spec) -> prometheus::Result<Self>;
}

impl Family for IntCounterVec {
    fn create(spec: &Spec) -> prometheus::Result<Self> {
        Self::new(spec.opts(), spec.labels)
    }
}

impl Family for CounterVec {
    fn create(spec: &Spec) -> prometheus::Result<Self> {
        Self::new(spec.opts(), spec.labels)
    }
}

impl Family for IntGauge {
    fn create(spec: &Spec) -> prometheus::Result<Self> {
        Self::with_opts(spec.opts())
    }
}

impl Family for HistogramVec {
    fn create(spec: &Spec) -> prometheus::Result<Self> {
        Self::new(HistogramOpts::from(spec.opts()).buckets(spec.buckets.to_vec()), spec.labels)
    }
}

impl Family for Histogram {
    fn create(spec: &Spec) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts::from(spec.opts()).buckets(spec.buckets.to_vec()))
    }
}

macro_rules! families {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident = $name:literal $labels:tt $buckets:ident;)+) => {
        /// Every metric that requests move.
        #[derive(Debug)]
        pub struct Families { $($(#[doc = $help])+ pub $field: $kind,)+ }

        impl Families {
            /// Creates and registers them.
            #[must_use]
            pub fn new(registry: &Registry) -> Self {
                Self { $($field: {
                    let help = concat!($($help),+);
                    register(registry, &Spec { name: $name, help, labels: &$labels, buckets: $buckets })
                },)+ }
            }
        }
    };
}

fn register<F: Family>(registry: &Registry, spec: &Spec) -> F {
    let family = F::create(spec).expect("names and labels are constants of the right form");
    registry.register(Box::new(family.clone())).expect("each name is used once");
    family
}

families! {
    /// Requests answered, by function, status (0 = the caller left before an answer) and outcome.
    /// What a function has beyond 14 pairs of the two is counted under function other by class, such as 5xx.
    requests: IntCounterVec = "requests_total" ["function", "code", "outcome"] LATENCY;
    /// Time from a request's head to the last byte of its answer, by function and by who made the answer: upstream, cache, dedup or sidecar.
    /// After the first 24 pairs of function and cache, dedup or sidecar, further ones count under function other.
    request_duration: HistogramVec = "request_duration_seconds" ["function", "source"] LATENCY;
    /// Time from the start of a call of the function, connecting and further attempts included, to the last byte of its answer.
    upstream_duration: HistogramVec = "upstream_duration_seconds" ["function"] LATENCY;
    /// Time of a request that neither the function nor a copy in flight took, the caller's sending and reading included.
    overhead: Histogram = "proxy_overhead_seconds" [] OVERHEAD;
    /// Requests being answered now.
    in_flight: IntGauge = "requests_in_flight" [] LATENCY;
    /// Bytes of request bodies received.
    request_bytes: IntCounterVec = "request_bytes_total" ["function"] LATENCY;
    /// Bytes of answers' bodies sent.
    response_bytes: IntCounterVec = "response_bytes_total" ["function"] LATENCY;
    /// Requests that took longer than their slow rule allows.
    slow: IntCounterVec = "requests_slow_total" ["function"] LATENCY;
    /// Requests refused with 503 because a limit was reached, by limit. Under connections: connections closed for want of room.
    shed: IntCounterVec = "requests_shed_total" ["reason"] LATENCY;
    /// Requests refused for what they are or how they came, by reason: malformed or ambiguous heads, limits of size and time.
    refused: IntCounterVec = "requests_refused_total" ["reason"] LATENCY;
    /// Requests that the admin address turned away: wrong Host, or neither socket nor token.
    door_refused: IntCounterVec = "admin_refused_total" ["reason"] LATENCY;
    /// Look-ups in the cache. The hit rate is (hit + stale + coalesced) / all; a bypass is no look-up.
    cache_lookups: IntCounterVec = "cache_lookups_total" ["rule", "result"] LATENCY;
    /// Requests that a cache rule matched but that were not looked up, by reason.
    cache_bypass: IntCounterVec = "cache_bypass_total" ["rule", "reason"] LATENCY;
    /// Answers fetched after a miss and not stored, by reason.
    cache_not_stored: IntCounterVec = "cache_not_stored_total" ["rule", "reason"] LATENCY;
    /// Calls for an answer that was not fresh any more, by what came: 304, another answer that is stored or is not, or none (and 5xx).
    cache_refreshes: IntCounterVec = "cache_refreshes_total" ["rule", "result"] LATENCY;
    /// Estimated time functions did not have to spend: for each hit and coalesced answer, the mean time of the rule's misses so far.
    cache_saved: CounterVec = "cache_saved_upstream_seconds_total" ["rule"] LATENCY;
    /// Events in the webhooks of a deduplication rule: new, duplicate (accepted before), joined (accepted while the copy waited)
    /// or timeout (waited in vain, answered 503).
    dedup_messages: IntCounterVec = "dedup_messages_total" ["rule", "result"] LATENCY;
    /// Requests that a deduplication rule matched, by result.
    dedup_requests: IntCounterVec = "dedup_requests_total" ["rule", "result"] LATENCY;
    /// Requests that a deduplication rule matched and that were forwarded without it, by reason.
    dedup_skipped: IntCounterVec = "dedup_skipped_total" ["rule", "reason"] LATENCY;
    /// Events that had been here before, by why they came again: slow (an earlier copy still ran), failed (the copy before did, or waited in
    /// vain), unread (the copy before was accepted, but its sender did not get the whole answer) or late (the rest).
    dedup_repeats: IntCounterVec = "dedup_repeats_total" ["rule", "cause"] LATENCY;
    /// Repeats forwarded though the function had taken the event within the last 24 h: its window was over, or it had made room for others.
    dedup_missed: IntCounterVec = "dedup_missed_total" ["rule"] LATENCY;
    /// Time from the last thing that happened to an event to the request that repeats it; the shortest of its events.
    dedup_gap: HistogramVec = "dedup_repeat_gap_seconds" ["rule"] GAP;
    /// Time to open a connection to the upstream, TLS included; kept connections do not count.
    connect_duration: HistogramVec = "upstream_connect_duration_seconds" ["upstream"] LATENCY;
    /// Requests for which a cache or deduplication rule decided.
    rule_matches: IntCounterVec = "rule_matches_total" ["rule"] LATENCY;
}
