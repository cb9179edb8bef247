//! What the parts say of themselves, for the metrics.

use std::sync::Arc;

use crate::config::Live;
use crate::flow::budget::Budget;
use crate::proxy::way::Way;
use crate::store::flights::Flights;
use crate::store::memory::Memory;
use crate::store::responses::Responses;
use crate::telemetry::readings;

/// Reads everything that is not counted request by request.
pub(super) fn read(
    ways: &[Arc<Way>],
    live: &Live,
    (responses, flights): (&Responses, &Flights),
    claims: &Memory,
    bodies: &Budget,
    budget: u64,
) -> readings::Readings {
    let pool =
        |way: &Arc<Way>| readings::Pool { upstream: Arc::clone(&way.name), numbers: way.counters.read(), healthy: way.peer().is_some() };
    let totals = responses.totals();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let ids = claims.numbers();
    let (config, status) = (live.numbers(), live.status());
    readings::Readings {
        pools: ways.iter().map(pool).collect(),
        cache: readings::Cache {
            rules: responses
                .usage()
                .into_iter()
                .map(|(rule, u)| readings::CacheUsage {
                    rule,
                    entries: u.entries,
                    bytes: u.bytes,
                    evictions: u.evictions,
                    purged: u.purged,
                })
                .collect(),
            bytes: totals.bytes,
            capacity_bytes: totals.capacity,
            evictions: totals.evicted.iter().map(|(reason, n)| (reason.as_str(), *n)).collect(),
            waiting: count(flights.waiting()),
        },
        dedup: readings::Dedup {
            entries: count(ids.entries),
            capacity: count(ids.capacity),
            in_flight: count(ids.in_flight),
            waiting: count(ids.waiting),
            bytes: count(ids.bytes),
        },
        body_bytes: bodies.used(),
        memory_budget: budget,
        config: readings::Config {
            generation: config.generation,
            hash: status.hash,
            last_reload_ok: config.last_reload_successful,
            last_reload: status.last_reload.map_or(status.since, |r| r.at),
            last_success: config.last_success,
            successes: config.successes,
            failures: config.failures,
            file_differs: config.file_differs,
            restart_needed: config.restart_needed,
        },
    }
}
