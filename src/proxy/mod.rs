//! Pingora's side: with `app.rs` the only code that names it. One [`service::Edge`] a listener answers requests; [`pass`] streams those that
//! no rule claims, [`webhook`] and [`cached`] take the others through the exchange.

pub mod background;
pub mod body;
pub mod cached;
pub mod caller;
pub mod client;
pub mod ctx;
pub mod drain;
pub mod exchange;
pub mod explain;
pub mod facts;
pub mod files;
pub mod framing;
pub mod gate;
pub mod guard;
pub mod heads;
pub mod hit;
pub mod ids;
pub mod pass;
pub mod refresh;
pub mod refusal;
pub mod respond;
pub mod room;
pub mod service;
pub mod slot;
pub mod stalls;
pub mod tunnel;
pub mod unsafe_method;
pub mod upgrade;
pub mod way;
pub mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use dashmap::DashMap;

use crate::cache::CallerSecret;
use crate::clock::Clock;
use crate::config::sidecar::{Limits, Memory, Network};
use crate::config::{Live, Offer};
use crate::flow::budget::Budget;
use crate::flow::{Running, RunningGuard};
use crate::store::flights::Flights;
use crate::store::memory;
use crate::store::responses::Responses;
use crate::telemetry::Metrics;
use room::Room;
use stalls::Stalls;

/// What all listeners share.
pub struct Shared {
    /// The time.
    pub clock: Clock,
    /// The rules in force.
    pub live: Arc<Live>,
    /// Accepted and running messages.
    pub claims: Arc<memory::Memory>,
    /// Stored answers.
    pub responses: Arc<Responses>,
    /// Answers being fetched.
    pub flights: Arc<Flights>,
    /// Every number.
    pub metrics: Arc<Metrics>,
    /// Bytes of bodies in memory.
    pub bodies: Budget,
    /// Bytes of large heads in memory.
    pub heads: Budget,
    /// What is left of all memory.
    pub room: Arc<Room>,
    /// Callers that do not take what was written to them.
    pub stalls: Arc<Stalls>,
    /// Key of the callers' hashes, new with each process.
    pub secret: CallerSecret,
    /// Limits.
    pub limits: Limits,
    /// Sizes.
    pub memory: Memory,
    /// Peers whose `X-Forwarded-*` is kept.
    pub trusted_proxies: Vec<Network>,
    /// Requests in flight.
    pub running: Running,
    /// Requests in flight, by function; an entry goes when its last request does.
    pub functions: Functions,
    /// Set once the clean end has begun.
    pub draining: Arc<AtomicBool>,
    /// Set once it has been announced: newcomers are turned away, or what runs would never end.
    pub shut: AtomicBool,
}

impl Shared {
    /// Whether the clean end has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}

impl Shared {
    /// Reads the rules file now, beside what runs; the log says what came of it.
    pub fn reload(&self) {
        let (live, now) = (Arc::clone(&self.live), self.clock.wall());
        tokio::task::spawn_blocking(move || match live.reload(now) {
            Ok(Offer::Accepted { generation, changed }) => {
                tracing::info!(event = "reload", generation, changed = changed.join(" "), "rules reloaded");
            }
            Ok(Offer::Refused { problems, rendered }) => {
                tracing::warn!(event = "reload", problems = problems.len(), "rules file refused, the last good rules stay\n{rendered}");
            }
            Ok(Offer::Unchanged | Offer::Held) => tracing::info!(event = "reload", "the rules file holds the running rules"),
            Err(why) => tracing::warn!(event = "reload", "{}", why.as_str()),
        });
    }
}

/// Requests in flight by function. Bounded by the requests in flight: names without one are forgotten.
#[derive(Default)]
pub struct Functions(DashMap<String, Running>);

impl Functions {
    /// One more request to `function`, unless `limit` run already.
    #[must_use]
    pub fn try_enter(&self, function: &str, limit: usize) -> Option<RunningGuard> {
        if let Some(running) = self.0.get(function) {
            return running.try_enter(limit);
        }
        self.0.entry(function.to_owned()).or_default().try_enter(limit)
    }

    /// Forgets the idle ones. Counts are behind the shard's lock, so none is lost.
    pub fn sweep(&self) {
        self.0.retain(|_, running| running.count() > 0);
    }

    /// How many names are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
