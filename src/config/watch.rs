//! Watches the rules file and offers its edits to [`Live`].
//!
//! The folder is watched, not the file: a watch on the file is dead after the first rename over it or symlink swap. The
//! thread reads through the path each time; what a read means is [`Settle`]'s to say. A slow look is the net under the events.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::live::{Live, Offer};
use super::settle::{Placed, Read, Settle, Step};
use super::spanned::MAX_BYTES;
use crate::clock::Clock;

/// Pause between two looks without an event.
const NET: Duration = Duration::from_millis(500);
/// Events within this time of each other are one.
const BURST: Duration = Duration::from_millis(10);

enum Signal {
    Changed(Change),
    Stop,
}

/// Something happened in the folder.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    /// Another file was renamed to the name.
    renamed: bool,
    /// Whether a writer has the file open, where the event tells.
    open: Option<bool>,
}

impl Change {
    /// This one and a later one.
    fn and(self, later: Self) -> Self {
        Self { renamed: self.renamed || later.renamed, open: later.open.or(self.open) }
    }
}

/// A running watch; it ends when dropped.
#[derive(Debug)]
pub struct Watcher {
    stop: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Watches a rules file from now on. Where the system gives no events, slow looks alone find the edits.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(path: &Path, live: Arc<Live>, clock: Clock) -> std::io::Result<Self> {
        let path = std::path::absolute(path)?;
        live.read_from(&path);
        let (stop, signals) = channel();
        let events = watch_folder(&path, stop.clone());
        let target = fs::canonicalize(&path).ok();
        let work = Work { path, live, clock, settle: Settle::default(), target, open: false, last: (Step::Nothing, 0) };
        let run = move || {
            let _events = events;
            work.run(&signals);
        };
        let thread = thread::Builder::new().name("watch-rules".into()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.stop.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch_folder(path: &Path, signals: Sender<Signal>) -> Option<RecommendedWatcher> {
    let name = path.file_name().map(OsStr::to_owned).unwrap_or_default();
    let folder = path.parent().unwrap_or(path);
    let handler = move |event: notify::Result<Event>| {
        let change = event.map_or(Some(Change::default()), |event| meaning(&event, &name));
        if let Some(change) = change {
            let _ = signals.send(Signal::Changed(change));
        }
    };
    let watched = notify::recommended_watcher(handler).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watched.inspect_err(|error| tracing::warn!(%error, "no events from the rules folder, looking at it twice a second")).ok()
}

/// `None` for events that say nothing about the file, such as our own reading.
fn meaning(event: &Event, name: &OsStr) -> Option<Change> {
    let own = |path: &PathBuf| path.file_name() == Some(name);
    let written = |open| event.paths.iter().any(own).then_some(Change { renamed: false, open: Some(open) });
    match event.kind {
        EventKind::Modify(ModifyKind::Data(_)) => written(true),
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => written(false),
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => {
            let renamed = event.paths.last().is_some_and(own);
            Some(Change { renamed, open: renamed.then_some(false) })
        }
        _ => Some(Change::default()),
    }
}

/// The thread's own.
struct Work {
    path: PathBuf,
    live: Arc<Live>,
    clock: Clock,
    settle: Settle,
    /// Where the path led at the last look.
    target: Option<PathBuf>,
    /// Whether a writer has the file open, as far as events tell.
    open: bool,
    /// The last step, and how many times it came in a row.
    last: (Step, u32),
}

impl Work {
    fn run(mut self, signals: &Receiver<Signal>) {
        let mut wait = Duration::ZERO;
        loop {
            let mut change = Change::default();
            let mut next = signals.recv_timeout(wait);
            // a few at once: a folder that never rests must not keep us from looking
            for _ in 0..8 {
                let Ok(Signal::Changed(more)) = next else { break };
                change = change.and(more);
                next = signals.recv_timeout(BURST);
            }
            if let Ok(Signal::Changed(more)) = next {
                change = change.and(more);
            }
            if matches!(next, Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected)) {
                return;
            }
            self.open = change.open.unwrap_or(self.open);
            wait = self.look(change.renamed);
        }
    }

    /// One look; answers when the next is due.
    fn look(&mut self, renamed: bool) -> Duration {
        let target = fs::canonicalize(&self.path).ok();
        let swapped = target.is_some() && self.target.is_some() && target != self.target;
        if target.is_some() {
            self.target = target;
        }
        let bytes = read(&self.path);
        let placed = match (renamed || swapped, self.open) {
            (true, _) => Placed::Whole,
            (false, true) => Placed::Open,
            (false, false) => Placed::Closed,
        };
        let read = bytes.as_deref().map_or(Read::Missing, |bytes| Read::Text { bytes, placed });
        let running = Arc::clone(&self.live.load().text);
        let step = self.settle.look(read, running.as_bytes(), self.clock.now());
        let times = if step == self.last.0 { self.last.1.saturating_add(1) } else { 1 };
        match step {
            Step::Nothing => {}
            Step::Again(rest) => return rest.min(NET),
            Step::Offer => {
                let offer = self.live.offer(bytes.as_deref().unwrap_or_default(), self.clock.wall());
                tell(offer);
                if self.live.lacks_secrets() {
                    self.settle.insist(); // mounts come in any order
                }
            }
            Step::HalfWritten(why) => {
                self.live.file_differs();
                if times == 1 {
                    let file = self.path.display();
                    tracing::warn!(event = "reload", %file, reason = why.as_str(), "the rules file looks half-written, waiting for the rest");
                }
            }
            Step::Missing => {
                self.live.file_differs();
                // many editors put the file away and write a new one: said only if it stays away
                if times == 2 {
                    tracing::warn!(event = "reload", file = %self.path.display(), "the rules file is gone or unreadable, the rules stay");
                }
            }
        }
        if bytes.as_deref() != Some(running.as_bytes()) {
            tell(self.live.refresh(self.clock.wall()));
        }
        self.last = (step, times);
        NET
    }
}

fn tell(offer: Offer) {
    match offer {
        Offer::Unchanged => {}
        Offer::Held => tracing::warn!(event = "reload", "the rules file still holds what was rolled back, the rules stay"),
        Offer::Accepted { generation, changed } => {
            tracing::info!(event = "reload", generation, changed = changed.join(" "), "rules reloaded");
        }
        Offer::Refused { problems, rendered } => {
            tracing::warn!(event = "reload", problems = problems.len(), "rules file refused, the last good rules stay\n{rendered}");
        }
    }
}

/// The file's bytes, one more than are ever accepted at most; `None` if it cannot be read.
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX) + 4;
    let mut bytes = Vec::new();
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|m| m.is_file()))?;
    file.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
