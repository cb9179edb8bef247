//! The log: lines of requests and events of the process gather in one buffer, and one thread of its own writes them out in blocks.
//!
//! Nobody waits for the reader of the log, neither a request nor a reload or the drain: past a bound, lines are dropped and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::line::{self, Event};
use super::lock;
use super::record::{Finished, Outcome};
use crate::config::sidecar::{Level, Log};

/// From here on the writer is woken at once, in bytes.
const BLOCK: usize = 64 * 1024;
/// Most bytes that wait for the writer.
const MOST: usize = 1024 * 1024;
/// Events of the process have this much more: lines of requests must not keep out the word that a reload was refused.
const RESERVE: usize = 64 * 1024;
/// Longest time a line waits for others.
const LINGER: Duration = Duration::from_millis(100);

/// The access log. Dropping it ends its thread after what was taken is written.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    settings: Log,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Tells the writer that there is something to do.
    wake: Condvar,
    /// Tells those who flush that something was written.
    written: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<u8>,
    texts: line::Shared,
    /// Lines taken in and lines written or given up, since the start.
    accepted: u64,
    done: u64,
    /// Millionths of a hit line that are due; see [`Log::hits_ppm`].
    due: u32,
    hurry: bool,
    closed: bool,
}

impl AccessLog {
    /// Starts the thread that writes. What the writer fails to take is dropped and counted.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(settings: Log, writer: Box<dyn Write + Send>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("access-log".into()).spawn(move || theirs.run(writer))?;
        Ok(Self { shared, settings })
    }

    /// Takes the lines of one request: an access line, unless it is a hit that is not in the sample, and one more each if it was
    /// slow and if it met a cold start.
    pub fn write(&self, wall: SystemTime, done: &Finished<'_>) {
        let wanted = |event| rank(line::level(done, event)) <= rank(self.settings.level);
        let (request, slow) = (wanted(Event::Request), done.is_slow() && wanted(Event::Slow));
        let cold = done.upstream.is_some_and(|call| call.cold) && wanted(Event::ColdStart);
        if !request && !slow && !cold {
            return;
        }
        let mut state = lock(&self.shared.state);
        let sampled = done.outcome != Outcome::Hit || state.is_due(self.settings.hits_ppm);
        let events = [(Event::Request, request && sampled), (Event::Slow, slow), (Event::ColdStart, cold)];
        for (event, _) in events.into_iter().filter(|(_, wanted)| *wanted) {
            if state.closed || state.pending.len() >= MOST {
                self.shared.dropped.fetch_add(1, Relaxed);
                continue;
            }
            let State { pending, texts, accepted, .. } = &mut *state;
            let before = pending.len();
            line::push(pending, texts, wall, event, done);
            *accepted += 1;
            if before == 0 || (before < BLOCK && pending.len() >= BLOCK) {
                self.shared.wake.notify_one();
            }
        }
    }

    /// Where the process's events go, to be written with the lines of requests.
    #[must_use]
    pub fn events(&self) -> Events {
        Events(Arc::clone(&self.shared))
    }

    /// Lines that nobody will read.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Waits until every line taken so far is written; `false` if that took longer than `within`.
    #[must_use]
    pub fn flush(&self, within: Duration) -> bool {
        self.shared.flush(within)
    }

    /// Writes what is left and ends the thread; later lines are dropped and counted. `false` as for [`AccessLog::flush`].
    #[must_use]
    pub fn close(&self, within: Duration) -> bool {
        lock(&self.shared.state).closed = true;
        self.flush(within)
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        lock(&self.shared.state).closed = true;
        self.shared.wake.notify_one();
    }
}

/// Takes events of the process, a whole line at a time.
#[derive(Clone, Debug)]
pub struct Events(Arc<Shared>);

impl Events {
    /// As [`AccessLog::flush`].
    #[must_use]
    pub fn flush_within(&self, within: Duration) -> bool {
        self.0.flush(within)
    }
}

impl Write for Events {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = lock(&self.0.state);
        if state.closed || state.pending.len() + line.len() > MOST + RESERVE {
            self.0.dropped.fetch_add(1, Relaxed);
        } else {
            state.pending.extend_from_slice(line);
            state.accepted += 1;
            state.hurry = true; // events are few, and may be the last word
            self.0.wake.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    /// Whether this hit is in the sample; evenly spread, without chance.
    fn is_due(&mut self, ppm: u32) -> bool {
        self.due += ppm.min(1_000_000);
        let due = self.due >= 1_000_000;
        self.due -= if due { 1_000_000 } else { 0 };
        due
    }
}

impl Shared {
    fn flush(&self, within: Duration) -> bool {
        let mut state = lock(&self.state);
        let target = state.accepted;
        state.hurry = true;
        self.wake.notify_one();
        let waited = self.written.wait_timeout_while(state, within, |s| s.done < target);
        waited.unwrap_or_else(PoisonError::into_inner).0.done >= target
    }

    /// The writer. Two buffers take turns, so that in steady state nothing is allocated.
    fn run(&self, mut writer: Box<dyn Write + Send>) {
        let mut block = Vec::new();
        loop {
            let state = lock(&self.state);
            let idle = |s: &mut State| s.pending.is_empty() && !s.closed && !s.hurry;
            let state = self.wake.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
            let young = |s: &mut State| s.pending.len() < BLOCK && !s.closed && !s.hurry;
            let waited = self.wake.wait_timeout_while(state, LINGER, young);
            let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
            std::mem::swap(&mut state.pending, &mut block);
            let (upto, lines, closed) = (state.accepted, state.accepted - state.done, state.closed);
            state.hurry = false;
            drop(state);
            if writer.write_all(&block).and_then(|()| writer.flush()).is_err() {
                self.dropped.fetch_add(lines, Relaxed);
            }
            block.clear();
            block.shrink_to(2 * BLOCK);
            lock(&self.state).done = upto;
            self.written.notify_all();
            if closed {
                return;
            }
        }
    }
}

const fn rank(level: Level) -> u8 {
    match level {
        Level::Error => 0,
        Level::Warn => 1,
        Level::Info => 2,
        Level::Debug => 3,
    }
}

#[cfg(test)]
mod tests;
