//! What happens to a request after the plan: admission of a webhook ([`webhook`]), one call to a function ([`send`]), look-up and
//! fetch of a cached answer ([`fetch`], [`fill`]), calls that nobody waits for ([`warm`]). On tokio, but without Pingora: generic over [`Upstream`] and [`Downstream`], so
//! that it runs against scripted ones under paused time.

pub mod budget;
pub mod fetch;
pub mod fill;
pub mod send;
pub mod warm;
pub mod webhook;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::telemetry::record::Exchanged;
pub use crate::upstream::retry::Cause;

/// The way to a function.
pub trait Upstream: Send + Sync + 'static {
    /// An owned request: head and whole body.
    type Call: Send + 'static;
    /// Its answer.
    type Answer: Answer;

    /// Sends a request, repeats what cannot have run, and waits for the final head. Counts as in flight until the answer, with all
    /// that is left to read of it, is dropped.
    ///
    /// # Errors
    /// Why there is no head.
    fn open(&self, call: Self::Call) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// A call that brought no answer.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// What is known of the attempt, where a connection was made or tried.
    pub exchanged: Option<Exchanged>,
}

/// An answer whose head has been read. Dropping it closes the connection; reading it to its end gives the connection back to the
/// pool, before the last piece is handed out, so that the caller's next request finds it there.
pub trait Answer: Send + 'static {
    /// The head, in the form the caller's side writes.
    type Head: Send + 'static;

    /// Status and fields.
    fn head(&self) -> (StatusCode, &HeaderMap);
    /// The head, owned, once.
    fn take_head(&mut self) -> Self::Head;
    /// The next piece of the body; `None` at its proper end.
    ///
    /// # Errors
    /// [`Cause::Cut`] or [`Cause::Stalled`]: the body is not whole.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Cause>> + Send;
    /// What is known of the call so far.
    fn exchanged(&self) -> Exchanged;
    /// Reads what is left of a small answer for the sake of the connection, and cuts a long one.
    fn drain(self) -> impl Future<Output = ()> + Send;
}

/// The caller's side.
pub trait Downstream: Send {
    /// The head of an answer.
    type Head: Send + 'static;

    /// Writes the final head.
    ///
    /// # Errors
    /// [`Gone`]: the caller cannot be reached any more.
    fn head(&mut self, head: Self::Head) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Writes a piece of the body.
    ///
    /// # Errors
    /// [`Gone`]: the caller cannot be reached any more.
    fn data(&mut self, data: Bytes) -> impl Future<Output = Result<(), Gone>> + Send;
}

/// A write to the caller failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It has left.
    Left,
    /// It did not take what was written within `limits.write_timeout`.
    Stuck,
}

/// How many of something run; the clean end waits for zero.
#[derive(Clone, Debug, Default)]
pub struct Running(Arc<AtomicUsize>);

impl Running {
    /// One more, until the guard is dropped.
    #[must_use]
    pub fn enter(&self) -> RunningGuard {
        self.0.fetch_add(1, Relaxed);
        RunningGuard(Arc::clone(&self.0))
    }

    /// One more, unless `limit` run already.
    #[must_use]
    pub fn try_enter(&self, limit: usize) -> Option<RunningGuard> {
        let below = |n: usize| (n < limit).then_some(n + 1);
        self.0.fetch_update(Relaxed, Relaxed, below).ok().map(|_| RunningGuard(Arc::clone(&self.0)))
    }

    /// How many run now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// One that runs.
#[derive(Debug)]
pub struct RunningGuard(Arc<AtomicUsize>);

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
