//! What the other rooms know and the metrics show: plain values, filled in by the composition root when somebody asks.

use std::sync::Arc;
use std::time::SystemTime;

use crate::upstream::pool::Numbers;

/// One reading of everything that is not counted request by request.
#[derive(Clone, Debug)]
pub struct Readings {
    /// Pools, by upstream.
    pub pools: Vec<Pool>,
    /// The store of answers.
    pub cache: Cache,
    /// The memory of message ids.
    pub dedup: Dedup,
    /// Bytes of bodies in flight.
    pub body_bytes: u64,
    /// `memory.budget`, in bytes.
    pub memory_budget: u64,
    /// The rules in force.
    pub config: Config,
}

/// The pool of one upstream.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Name of the upstream.
    pub upstream: Arc<str>,
    /// Its numbers.
    pub numbers: Numbers,
    /// Whether its server answers, as far as is known.
    pub healthy: bool,
}

/// The store of answers.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    /// What each rule has in it. A rule that is not listed has nothing.
    pub rules: Vec<CacheUsage>,
    /// Bytes in it.
    pub bytes: u64,
    /// `memory.cache`, in bytes.
    pub capacity_bytes: u64,
    /// Entries removed since the start, by closed reason. List every reason, from 0.
    pub evictions: Vec<(&'static str, u64)>,
    /// Requests that wait for an answer which another one fetches.
    pub waiting: u64,
}

/// What one rule has in the store.
#[derive(Clone, Debug)]
pub struct CacheUsage {
    /// Name of the rule.
    pub rule: Arc<str>,
    /// Answers.
    pub entries: u64,
    /// Their bytes, keys and heads included.
    pub bytes: u64,
    /// Answers of it removed for want of room, since the start.
    pub evictions: u64,
    /// Answers of it that a purge or an unsafe method took, since the start.
    pub purged: u64,
}

/// The memory of message ids.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dedup {
    /// Accepted ids remembered.
    pub entries: u64,
    /// Most of them.
    pub capacity: u64,
    /// Ids claimed by requests that run now.
    pub in_flight: u64,
    /// Requests that wait for a copy in flight.
    pub waiting: u64,
    /// Bytes it takes.
    pub bytes: u64,
}

/// The rules in force, and how the last reload went.
#[derive(Clone, Debug)]
pub struct Config {
    /// Generation in force.
    pub generation: u64,
    /// Hash of its text.
    pub hash: String,
    /// Whether the last reload (or the start) was accepted.
    pub last_reload_ok: bool,
    /// When that was, accepted or not.
    pub last_reload: SystemTime,
    /// When rules were last accepted; the start counts.
    pub last_success: SystemTime,
    /// Reloads accepted, the start not counted.
    pub successes: u64,
    /// Reloads refused.
    pub failures: u64,
    /// Whether the file on disk is not what is in force.
    pub file_differs: bool,
    /// Whether the sidecar file says other than what runs.
    pub restart_needed: bool,
}

#[cfg(test)]
pub mod tests_support {
    //! Readings to start from in tests.

    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// One pool, one cache rule with entries, everything else small.
    #[must_use]
    pub fn readings() -> Readings {
        let day = UNIX_EPOCH + Duration::from_hours(500_000);
        Readings {
            pools: vec![Pool {
                upstream: "functions".into(),
                numbers: Numbers { created: 1, size: 1, idle: 1, new: 1, reused: 3, ..Numbers::default() },
                healthy: true,
            }],
            cache: Cache {
                rules: vec![CacheUsage { rule: "profile".into(), entries: 2, bytes: 900, evictions: 1, purged: 0 }],
                bytes: 900,
                capacity_bytes: 32 << 20,
                evictions: vec![("capacity", 1), ("expired", 0)],
                waiting: 0,
            },
            dedup: Dedup { entries: 5, capacity: 250_000, in_flight: 1, waiting: 0, bytes: 4096 },
            body_bytes: 0,
            memory_budget: 112 << 20,
            config: Config {
                generation: 2,
                hash: "0123456789ab".into(),
                last_reload_ok: true,
                last_reload: day,
                last_success: day,
                successes: 1,
                failures: 0,
                file_differs: false,
                restart_needed: false,
            },
        }
    }
}
