//! The clean end: not ready at once, still accepting for `drain.announce`, then what runs goes to its end, at most `drain.timeout`.
//!
//! It begins with a signal or with `POST /drain`; a signal while it runs ends the process now. The signal that follows a command is the
//! exception: the kubelet sends TERM right after a `preStop` hook that drains, and must not cut what that drain waits for.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, MutexGuard, Notify, mpsc};
use tokio::time::{Instant, sleep};

use super::Shared;
use super::way::Way;
use crate::config::sidecar;

/// Why the process is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM or `POST /drain`: others must learn first that it is not ready any more.
    Announced,
    /// Ctrl-C: nobody is told, what runs is finished.
    Now,
}

/// Where the word to stop comes from, besides `POST /drain`.
pub enum Source {
    /// Unix signals: TERM drains, INT drains without announcing.
    Signals,
    /// A channel, for a sidecar in a test's process.
    Channel(Mutex<mpsc::Receiver<Stop>>),
}

/// What the end waits for, and the way to begin it from the admin doors.
pub struct Work {
    /// What is told that it drains, and counts requests.
    pub shared: Arc<Shared>,
    /// What counts calls whose caller may have left.
    pub ways: Vec<Arc<Way>>,
    /// Told by [`Work::drain`].
    pub commanded: Notify,
}

/// Waits for the word to stop, then for what runs.
pub struct Drain {
    /// Where the word comes from.
    pub source: Source,
    /// What runs.
    pub work: Arc<Work>,
    /// How long for what.
    pub settings: sidecar::Drain,
}

const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The answer to `POST /drain` must have left before the door closes.
const LAST_ANSWER: Duration = Duration::from_millis(100);

impl Work {
    /// Requests that run; calls of functions where those are more, as their callers have left. (Most calls belong to a request: the sum
    /// would count it twice.)
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.running.count().max(self.ways.iter().map(|w| w.flying.count()).sum())
    }

    /// Begins the clean end, unless it has begun. Not ready from now on; answers what runs.
    pub fn drain(&self) -> usize {
        self.shared.draining.store(true, Relaxed);
        self.commanded.notify_one();
        self.running()
    }
}

/// The words to stop, watched without a gap: a signal between two of them is not lost.
enum Words<'a> {
    Signals { term: Signal, int: Signal, hangup: Signal },
    Channel(MutexGuard<'a, mpsc::Receiver<Stop>>),
}

impl Words<'_> {
    /// The next one. A hang-up is none: it asks for the rules file to be read, as of other servers.
    async fn next(&mut self, work: &Work) -> Stop {
        match self {
            Self::Channel(channel) => channel.recv().await.unwrap_or(Stop::Now),
            Self::Signals { term, int, hangup } => loop {
                tokio::select! {
                    _ = term.recv() => return Stop::Announced,
                    _ = int.recv() => return Stop::Now,
                    _ = hangup.recv() => work.shared.reload(),
                }
            },
        }
    }
}

impl Drain {
    async fn words(&self) -> Words<'_> {
        match &self.source {
            Source::Channel(channel) => Words::Channel(channel.lock().await),
            Source::Signals => Words::Signals {
                term: signal(SignalKind::terminate()).expect("SIGTERM can be watched"),
                int: signal(SignalKind::interrupt()).expect("SIGINT can be watched"),
                hangup: signal(SignalKind::hangup()).expect("SIGHUP can be watched"),
            },
        }
    }

    async fn drain(&self, announce: Duration) {
        self.work.shared.draining.store(true, Relaxed);
        tracing::info!(event = "drain", running = self.work.running(), announce_ms = announce.as_millis(), "draining");
        sleep(announce).await;
        self.work.shared.shut.store(true, Relaxed);
        let deadline = Instant::now() + self.settings.timeout;
        while self.work.running() > 0 && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
        tracing::info!(event = "drain", running = self.work.running(), "drained");
    }
}

#[async_trait]
impl ShutdownSignalWatch for Drain {
    async fn recv(&self) -> ShutdownSignal {
        let mut words = self.words().await;
        let (commanded, announce) = tokio::select! {
            stop = words.next(&self.work) => (false, if stop == Stop::Announced { self.settings.announce } else { Duration::ZERO }),
            () = self.work.commanded.notified() => (true, self.settings.announce.max(LAST_ANSWER)),
        };
        let cut = async {
            if commanded {
                words.next(&self.work).await;
                tracing::info!(event = "drain", running = self.work.running(), "a signal joins the drain that was commanded");
            }
            words.next(&self.work).await
        };
        tokio::select! {
            () = self.drain(announce) => ShutdownSignal::GracefulTerminate,
            _ = cut => ShutdownSignal::FastShutdown,
        }
    }
}
