//! What the data path tells about a request: one [`Finished`] for each answer, with the closed words of its outcome.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::dedup::Repeats;
pub use crate::upstream::timing::Phases;

pub use super::words::{DedupResult, DoorRefusal, LookupResult, Outcome, RefreshResult, RefusedReason, ShedReason, Source};

/// One finished downstream request. Borrowed: recording it copies nothing but the log line.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// `X-Request-Id` of the answer.
    pub request_id: &'a str,
    /// Trace id of `traceparent`.
    pub trace_id: Option<&'a str>,
    /// Request method.
    pub method: &'a str,
    /// Raw path, without the query.
    pub path: &'a str,
    /// Name of the function; may be empty.
    pub function: &'a str,
    /// Status sent; 0 = the caller was gone before an answer.
    pub status: u16,
    /// What became of the request.
    pub outcome: Outcome,
    /// Who made the answer.
    pub source: Source,
    /// The closed reason of the outcome. Without one, the log line takes the reason of the cache or of deduplication.
    pub reason: Option<&'static str>,
    /// The closed code of an error.
    pub error: Option<&'static str>,
    /// Age of a stored answer.
    pub age: Option<Duration>,
    /// What the cache did, where one of its rules matched.
    pub cache: Option<CacheRecord<'a>>,
    /// What deduplication did, where one of its rules matched.
    pub dedup: Option<DedupRecord<'a>>,
    /// The call of the function, where one was made.
    pub upstream: Option<&'a Exchanged>,
    /// From the request's head to the last byte of the answer.
    pub duration: Duration,
    /// A request that takes longer is slow.
    pub slow_after: Duration,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// Generation of the rules it ran on.
    pub generation: u64,
}

/// The cache's part of [`Finished`].
#[derive(Clone, Copy, Debug)]
pub struct CacheRecord<'a> {
    /// Name of the rule.
    pub rule: &'a str,
    /// How the look-up ended.
    pub result: LookupResult,
    /// Why there was none.
    pub bypass: Option<&'static str>,
    /// Why the answer of a miss was not stored.
    pub not_stored: Option<&'static str>,
    /// What came of asking for an answer that was not fresh any more.
    pub refreshed: Option<RefreshResult>,
}

/// Deduplication's part of [`Finished`]. Only counts: no id, hashed or not, comes here.
#[derive(Clone, Copy, Debug)]
pub struct DedupRecord<'a> {
    /// Name of the rule.
    pub rule: &'a str,
    /// What it said.
    pub result: DedupResult,
    /// Why the request was not deduplicated.
    pub skipped: Option<&'static str>,
    /// Events in the body.
    pub ids: u32,
    /// Of these, seen for the first time.
    pub new: u32,
    /// Of these, accepted before.
    pub repeated: u32,
    /// Why those came that had been here before, whatever had become of them.
    pub repeats: Repeats,
    /// How long the request waited for a copy in flight.
    pub waited: Duration,
}

/// One call of a function.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// Name of the upstream.
    pub upstream: Arc<str>,
    /// The address that was called; `None` if no connection came about or it is no internet address.
    pub address: Option<SocketAddr>,
    /// The function's status; 0 = no answer.
    pub status: u16,
    /// Time to connect; only for a new connection.
    pub connect: Option<Duration>,
    /// From the start of the call to the answer's head; `total` if there was none.
    pub first_byte: Duration,
    /// From the start of the call, connecting and further attempts included, to the last byte of the answer.
    pub total: Duration,
    /// Whether a kept connection was used.
    pub reused: bool,
    /// Further attempts after the first.
    pub retries: u32,
    /// What the function says of how it spent its time.
    pub phases: Phases,
}

/// Where the time of a request went; the parts add up to all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Waiting for another request: a copy of the webhook in flight, or the fetch of the same answer.
    pub waited: Duration,
    /// Opening a connection.
    pub connect: Duration,
    /// From there to the head of the function's answer, further attempts included.
    pub function: Duration,
    /// From there to the end of the function's answer.
    pub answer: Duration,
    /// The rest: the sidecar, and the caller's sending and reading.
    pub rest: Duration,
}

impl Finished<'_> {
    /// Whether it took longer than its rule allows.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.duration > self.slow_after
    }

    /// Time from the request's head to the answer's: a stream that stays open for minutes is not slow to answer.
    #[must_use]
    pub fn until_head(&self) -> Duration {
        let body = self.upstream.map_or(Duration::ZERO, |u| u.total.saturating_sub(u.first_byte));
        self.duration.saturating_sub(body)
    }

    /// Where its time went.
    #[must_use]
    pub fn spent(&self) -> Spent {
        let Some(rest) = self.overhead() else { return Spent { waited: self.duration, ..Spent::default() } };
        let waited = self.dedup.map_or(Duration::ZERO, |d| d.waited);
        let Some(call) = self.upstream else { return Spent { waited, rest, ..Spent::default() } };
        let (connect, answer) = (call.connect.unwrap_or_default(), call.total.saturating_sub(call.first_byte));
        Spent { waited, connect, function: call.first_byte.saturating_sub(connect), answer, rest }
    }

    /// Time that neither the function nor a copy in flight took: what the sidecar, and the caller's sending and reading,
    /// added. `None` for an answer that waited for another request's fetch, where that time is not known apart.
    #[must_use]
    pub fn overhead(&self) -> Option<Duration> {
        let apart = self.upstream.is_some() || self.cache.is_none_or(|c| c.result != LookupResult::Coalesced);
        let elsewhere = self.upstream.map_or(Duration::ZERO, |u| u.total) + self.dedup.map_or(Duration::ZERO, |d| d.waited);
        apart.then(|| self.duration.saturating_sub(elsewhere))
    }
}

#[cfg(test)]
pub mod tests_support {
    //! A request to start from in tests.

    use super::*;

    /// A forwarded GET that was answered 200 after 12 ms.
    #[must_use]
    pub fn finished() -> Finished<'static> {
        Finished {
            request_id: "req-1",
            trace_id: None,
            method: "GET",
            path: "/functions/v1/profile/me",
            function: "profile",
            status: 200,
            outcome: Outcome::Forwarded,
            source: Source::Upstream,
            reason: None,
            error: None,
            age: None,
            cache: None,
            dedup: None,
            upstream: None,
            duration: Duration::from_millis(12),
            slow_after: Duration::from_secs(1),
            bytes_in: 0,
            bytes_out: 40,
            generation: 1,
        }
    }

    /// A call of the function that took 10 ms, 8 of them to the head, over a kept connection.
    #[must_use]
    pub fn exchanged() -> Exchanged {
        Exchanged {
            upstream: "functions".into(),
            address: Some(SocketAddr::from(([127, 0, 0, 1], 9000))),
            status: 200,
            connect: None,
            first_byte: Duration::from_millis(8),
            total: Duration::from_millis(10),
            reused: true,
            retries: 0,
            phases: Phases::default(),
        }
    }
}
