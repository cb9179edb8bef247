//! The access log: lines gather in one buffer, and one thread of its own writes them out in blocks.
//!
//! A request never waits for the reader of the log: past a bound its line is dropped and counted.

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

    /// Lines that nobody will read.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Waits until every line taken so far is written; `false` if that took longer than `within`.
    #[must_use]
    pub fn flush(&self, within: Duration) -> bool {
        let mut state = lock(&self.shared.state);
        let target = state.accepted;
        state.hurry = true;
        self.shared.wake.notify_one();
        let waited = self.shared.written.wait_timeout_while(state, within, |s| s.done < target);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.done >= target
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
mod tests {
    use std::sync::mpsc;

    use super::super::record::tests_support::finished;
    use super::*;
    use crate::clock::Clock;

    /// Longer than any machine needs.
    const LONG: Duration = Duration::from_secs(30);
    const ALL: Log = Log { level: Level::Info, hits_ppm: 1_000_000 };

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that these requests leave.
    fn lines(settings: Log, requests: &[Finished<'_>]) -> Vec<String> {
        let sink = Sink::default();
        let log = AccessLog::start(settings, Box::new(sink.clone())).expect("a thread");
        for request in requests {
            log.write(SystemTime::UNIX_EPOCH, request);
        }
        assert!(log.close(LONG));
        let text = String::from_utf8(lock(&sink.0).clone()).expect("ASCII");
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn levels_and_the_share_of_hits_decide() {
        let hit = Finished { outcome: Outcome::Hit, ..finished() };
        let slow_hit = Finished { slow_after: Duration::ZERO, ..hit };
        let failed = Finished { status: 502, outcome: Outcome::Failed, ..finished() };
        let count = |level, hits_ppm, requests: &[Finished<'_>]| lines(Log { level, hits_ppm }, requests).len();
        assert_eq!(count(Level::Info, 250_000, &vec![hit; 1000]), 250);
        assert_eq!(count(Level::Info, 0, &[hit, slow_hit, failed]), 2);
        assert_eq!(count(Level::Info, 1_000_000, &[hit, slow_hit, failed, finished()]), 5);
        assert_eq!(count(Level::Warn, 1_000_000, &[hit, slow_hit, failed, finished()]), 2);
        assert_eq!(count(Level::Error, 1_000_000, &[hit, slow_hit, failed, finished()]), 1);
    }

    /// A reader that tells when it is asked to take something, and takes nothing until it is told to.
    struct Stuck(mpsc::Sender<()>, mpsc::Receiver<()>, Sink);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(());
            let _ = self.1.recv();
            self.2.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_never_memory_or_time() {
        let ((entered, asked), (release, stuck)) = (mpsc::channel(), mpsc::channel());
        let sink = Sink::default();
        let log = AccessLog::start(ALL, Box::new(Stuck(entered, stuck, sink.clone()))).expect("a thread");
        let wall = Clock::manual().wall();
        log.write(wall, &finished());
        asked.recv_timeout(LONG).expect("it is asked"); // what comes now stays with us
        (1..20_000).for_each(|_| log.write(wall, &finished()));
        assert!(!log.flush(Duration::from_millis(1)));
        let held = lock(&log.shared.state).pending.len();
        assert!((MOST - 1024..MOST + 1024).contains(&held), "{held}");
        let dropped = log.dropped();
        drop(release);
        assert!(log.close(LONG));
        let written = lock(&sink.0).split(|b| *b == b'\n').count() as u64 - 1;
        assert_eq!(written + dropped, 20_000);
        log.write(wall, &finished());
        assert_eq!(log.dropped(), dropped + 1, "after the end, lines are counted as lost");
    }

    #[test]
    fn a_line_is_written_though_nobody_flushes_and_a_broken_pipe_is_counted() {
        struct Told(mpsc::Sender<usize>);
        impl Write for Told {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.send(bytes.len()).map_err(io::Error::other)?;
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (sender, told) = mpsc::channel();
        let log = AccessLog::start(ALL, Box::new(Told(sender))).expect("a thread");
        log.write(Clock::manual().wall(), &finished());
        assert!(told.recv_timeout(LONG).is_ok_and(|n| n > 100));
        assert!(log.flush(LONG));
        assert_eq!(log.dropped(), 1);
    }
}
