//! The clean end: not ready at once, still accepting for `drain.announce`, then what runs goes to its end, at most `drain.timeout`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep};

use super::Shared;
use super::way::Way;
use crate::config::sidecar;

/// Why the process is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM: others must learn first that it is not ready any more.
    Announced,
    /// Ctrl-C: nobody is told, what runs is finished.
    Now,
}

/// Where the word to stop comes from.
pub enum Source {
    /// Unix signals: TERM drains, INT drains without announcing.
    Signals,
    /// A channel, for a sidecar in a test's process.
    Channel(Mutex<mpsc::Receiver<Stop>>),
}

/// Waits for the word to stop, then for what runs.
pub struct Drain {
    /// Where the word comes from.
    pub source: Source,
    /// What is told that it drains, and counts requests.
    pub shared: Arc<Shared>,
    /// What counts calls whose caller may have left.
    pub ways: Vec<Arc<Way>>,
    /// How long for what.
    pub settings: sidecar::Drain,
}

const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Drain {
    fn running(&self) -> usize {
        self.shared.running.count() + self.ways.iter().map(|w| w.flying.count()).sum::<usize>()
    }

    /// The next word to stop. A hang-up of the terminal is none.
    async fn word(&self) -> Stop {
        match &self.source {
            Source::Channel(channel) => channel.lock().await.recv().await.unwrap_or(Stop::Now),
            Source::Signals => {
                let mut term = signal(SignalKind::terminate()).expect("SIGTERM can be watched");
                let mut int = signal(SignalKind::interrupt()).expect("SIGINT can be watched");
                let mut hangup = signal(SignalKind::hangup()).expect("SIGHUP can be watched");
                loop {
                    tokio::select! {
                        _ = term.recv() => return Stop::Announced,
                        _ = int.recv() => return Stop::Now,
                        _ = hangup.recv() => {}
                    }
                }
            }
        }
    }

    async fn drain(&self, stop: Stop) {
        self.shared.draining.store(true, Relaxed);
        let announce = if stop == Stop::Announced { self.settings.announce } else { Duration::ZERO };
        tracing::info!(event = "drain", running = self.running(), announce_ms = announce.as_millis(), "draining");
        sleep(announce).await;
        let deadline = Instant::now() + self.settings.timeout;
        while self.running() > 0 && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
        tracing::info!(event = "drain", running = self.running(), "drained");
    }
}

#[async_trait]
impl ShutdownSignalWatch for Drain {
    async fn recv(&self) -> ShutdownSignal {
        let stop = self.word().await;
        tokio::select! {
            () = self.drain(stop) => ShutdownSignal::GracefulTerminate,
            _ = self.word() => ShutdownSignal::FastShutdown,
        }
    }
}
