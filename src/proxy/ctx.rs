//! What a request carries through the phases: small, no formatting; read once more at its one exit.

use std::fmt::Arguments;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use pingora::upstreams::peer::HttpPeer;
use tokio::sync::OwnedSemaphorePermit;

use crate::cache::status::CacheStatus;
use crate::config::Snapshot;
use crate::dedup::{Repeats, SkipReason};
use crate::engine::Plan;
use crate::flow::RunningGuard;
use crate::telemetry::InFlight;
use crate::telemetry::record::{DedupResult, Exchanged, LookupResult, Outcome, RefreshResult, RefusedReason, ShedReason, Source};
use crate::upstream::pool::Borrowed;

/// The context of one request.
pub struct Ctx {
    /// When its head had been read.
    pub started: Instant,
    /// The rules it began with, and ends on.
    pub snapshot: Arc<Snapshot>,
    /// Who it is.
    pub line: Line,
    /// What the rules say about it; `None` before it was planned.
    pub plan: Option<Plan>,
    /// What its answer is marked with.
    pub marks: Marks,
    /// What will be recorded of it.
    pub story: Story,
    /// Whether bytes had come before anybody agreed to what it asks for.
    pub ahead: bool,
    /// Whether it is a handshake that may be passed.
    pub websocket: bool,
    /// Its way through Pingora's own proxying.
    pub pass: Pass,
    /// Given back when it ends, on whatever path.
    pub guards: Guards,
}

/// Who a request is, for records.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// `traceparent` as sent upstream.
    pub traceparent: String,
    /// The method's name.
    pub method: String,
    /// Its normalised path.
    pub path: String,
    /// The function in it.
    pub function: String,
}

/// What an answer is marked with.
#[derive(Clone, Debug)]
pub struct Marks {
    /// `X-Request-Id`.
    pub request_id: Arc<str>,
    /// The cache's fields, on a route that a cache rule matched.
    pub cache: Option<CacheMark>,
    /// `X-Dedup`, on a route that a deduplication rule matched.
    pub dedup: Option<DedupMark>,
    /// Set once the clean end has begun: `Connection: close`.
    pub draining: Arc<AtomicBool>,
}

/// What caches say of an answer (RFC 9211).
pub const CACHE_STATUS: &str = "Cache-Status";
/// The request's id.
pub const X_REQUEST_ID: &str = "X-Request-Id";

impl Marks {
    /// The fields of an answer that they are, in the order they are written. `others` is what comes before our word in `Cache-Status`.
    pub fn fields(&self, others: &str, mut put: impl FnMut(&'static str, Arguments<'_>)) {
        if let Some(CacheMark { status, age }) = &self.cache {
            put(CACHE_STATUS, format_args!("{others}{status}"));
            put("X-Cache", format_args!("{}", status.x_cache().as_str()));
            if let Some(age) = age.map(|age| age.as_secs()) {
                put("Age", format_args!("{age}"));
                put("X-Cache-Age", format_args!("{age}"));
            }
        }
        if let Some(dedup) = &self.dedup {
            put("X-Dedup", format_args!("{}", dedup.as_str()));
        }
        put(X_REQUEST_ID, format_args!("{}", self.request_id));
    }
}

/// The cache's fields.
#[derive(Clone, Copy, Debug)]
pub struct CacheMark {
    /// `X-Cache` and `Cache-Status`.
    pub status: CacheStatus,
    /// `Age` and `X-Cache-Age`.
    pub age: Option<Duration>,
}

/// Values of `X-Dedup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedupMark {
    /// First seen.
    New,
    /// Accepted earlier.
    Duplicate,
    /// Waited for the copy in flight, which was accepted.
    Joined,
    /// A batch with old and new.
    Partial,
    /// Not looked at, and why.
    Skipped(SkipReason),
}

impl DedupMark {
    /// The value of the header.
    #[must_use]
    pub fn as_str(self) -> String {
        match self {
            Self::New => "NEW".to_owned(),
            Self::Duplicate => "DUPLICATE".to_owned(),
            Self::Joined => "JOINED".to_owned(),
            Self::Partial => "PARTIAL".to_owned(),
            Self::Skipped(reason) => format!("SKIPPED; reason={}", reason.as_str()),
        }
    }
}

/// What will be recorded of a request.
#[derive(Debug)]
pub struct Story {
    /// How it ended.
    pub outcome: Outcome,
    /// Who made the answer.
    pub source: Source,
    /// Why the outcome is what it is, where that has a closed reason.
    pub reason: Option<&'static str>,
    /// What failed.
    pub error: Option<&'static str>,
    /// The limit that refused it.
    pub shed: Option<ShedReason>,
    /// Why it was refused for what it is.
    pub refused: Option<RefusedReason>,
    /// Age of an answer from the cache.
    pub age: Option<Duration>,
    /// The cache's part.
    pub cache: Option<CacheStory>,
    /// Deduplication's part.
    pub dedup: Option<DedupStory>,
    /// The call to the function.
    pub upstream: Option<Exchanged>,
    /// Bytes sent to the caller after a switch of protocols; the session then knows nothing of its answer any more.
    pub switched: Option<u64>,
    /// Bytes of the request's body, where we read it ourselves.
    pub bytes_in: u64,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            outcome: Outcome::Forwarded,
            source: Source::Upstream,
            reason: None,
            error: None,
            shed: None,
            refused: None,
            age: None,
            cache: None,
            dedup: None,
            upstream: None,
            switched: None,
            bytes_in: 0,
        }
    }
}

/// The cache's part of a story.
#[derive(Clone, Copy, Debug)]
pub struct CacheStory {
    /// How the look-up ended.
    pub result: LookupResult,
    /// Why there was none.
    pub bypass: Option<&'static str>,
    /// Why the answer was not stored.
    pub not_stored: Option<&'static str>,
    /// What came of asking for an answer that was not fresh any more.
    pub refreshed: Option<RefreshResult>,
}

impl DedupStory {
    /// A story without details.
    #[must_use]
    pub const fn of(result: DedupResult, ids: u32) -> Self {
        Self { result, skipped: None, ids, new: 0, repeated: 0, repeats: None, waited: Duration::ZERO }
    }
}

/// Deduplication's part of a story.
#[derive(Clone, Copy, Debug)]
pub struct DedupStory {
    /// What came of it.
    pub result: DedupResult,
    /// Why it was skipped.
    pub skipped: Option<&'static str>,
    /// Events in the body.
    pub ids: u32,
    /// Of these, first seen.
    pub new: u32,
    /// Of these, seen before.
    pub repeated: u32,
    /// Why repeats came, if the store was asked.
    pub repeats: Option<Repeats>,
    /// Time spent waiting for another copy.
    pub waited: Duration,
}

/// The state of a request that Pingora proxies itself.
#[derive(Default)]
pub struct Pass {
    /// The server chosen.
    pub peer: Option<Arc<HttpPeer>>,
    /// Its connection slot.
    pub slot: Option<OwnedSemaphorePermit>,
    /// Its connection.
    pub borrowed: Option<Borrowed>,
    /// When this attempt began.
    pub began: Option<Instant>,
    /// Attempts made.
    pub attempts: u32,
    /// Pause before the next attempt.
    pub pause: Option<Duration>,
}

/// What a request holds until it ends.
#[derive(Default)]
pub struct Guards {
    /// The gauge of requests in flight.
    pub gauge: Option<InFlight>,
    /// One of `limits.in_flight`.
    pub running: Option<RunningGuard>,
    /// One of `limits.in_flight_per_function`.
    pub function: Option<RunningGuard>,
}
