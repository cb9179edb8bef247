//! `sidecar.yaml` beside what runs: it takes effect at the start, so an edit of it is no reload, but it is told what a restart would change, or
//! that a restart would fail.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Serialize;

use super::diagnostics::Problem;
use super::settings::{self, Change};
use super::sidecar::Sidecar;
use super::{Host, Overrides, judge_sidecar, watch};

/// Pause between two looks. A text counts when two looks in a row find it, as one that is being written may be cut.
const LOOK: Duration = Duration::from_millis(400);

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// What runs, maybe in other words.
    #[default]
    AsRunning,
    /// Other settings: they take effect with a restart.
    RestartNeeded,
    /// Something that a start refuses.
    Refused,
    /// It is gone, or cannot be read: a start would fail.
    Missing,
}

/// What was found in the file, for `/config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Its path; `None` for a sidecar without one.
    pub file: Option<String>,
    /// What it says.
    pub state: State,
    /// What a restart would change.
    pub changes: Vec<Change>,
    /// Why a start would refuse it.
    pub diagnostics: Vec<Problem>,
}

impl Found {
    /// Whether a restart would change settings, or fail.
    #[must_use]
    pub fn restart_needed(&self) -> bool {
        self.state != State::AsRunning
    }
}

/// The file of a running sidecar. By default there is none.
#[derive(Debug, Default)]
pub struct SidecarFile {
    started: Option<Started>,
    found: Mutex<Found>,
}

/// What the sidecar was started with.
#[derive(Debug)]
struct Started {
    path: PathBuf,
    running: Sidecar,
    overrides: Overrides,
    host: Host,
}

impl SidecarFile {
    /// The file at a path, from which these settings came, with what was put on top of it.
    #[must_use]
    pub fn new(path: &Path, running: Sidecar, overrides: Overrides, host: Host) -> Self {
        let found = Mutex::new(Found { file: Some(path.display().to_string()), ..Found::default() });
        Self { started: Some(Started { path: path.to_owned(), running, overrides, host }), found }
    }

    /// What was found at the last look.
    #[must_use]
    pub fn found(&self) -> Found {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a look at a text of the file (`None`: there is none). Answers what it says, if that is new, and the same for a person.
    pub fn look(&self, bytes: Option<&[u8]>) -> Option<(Found, String)> {
        let started = self.started.as_ref()?;
        let file = started.path.display().to_string();
        let (next, words) = started.judge(&file, bytes);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if *found == next {
            return None;
        }
        *found = next.clone();
        Some((next, words))
    }

    /// Looks again and again, until the watch is dropped.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn watch(self: Arc<Self>) -> std::io::Result<Watch> {
        let (stop, stopped) = channel();
        let Some(path) = self.started.as_ref().map(|started| started.path.clone()) else { return Ok(Watch { stop, thread: None }) };
        let path = std::path::absolute(path)?;
        let run = move || {
            let mut last = watch::read(&path);
            let mut told = None;
            while matches!(stopped.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)) {
                let bytes = watch::read(&path);
                if bytes == last && told.as_ref() != Some(&bytes) {
                    if let Some((found, words)) = self.look(bytes.as_deref()) {
                        tell(&found, &words);
                    }
                    told = Some(bytes.clone());
                }
                last = bytes;
            }
        };
        let thread = thread::Builder::new().name("watch-sidecar".into()).spawn(run)?;
        Ok(Watch { stop, thread: Some(thread) })
    }
}

impl Started {
    fn judge(&self, file: &str, bytes: Option<&[u8]>) -> (Found, String) {
        let found = |state| Found { file: Some(file.to_owned()), state, ..Found::default() };
        let Some(bytes) = bytes else { return (found(State::Missing), String::new()) };
        let judgement = judge_sidecar(bytes, &self.overrides, &self.host);
        let Some(sidecar) = &judgement.value else {
            let words = judgement.render(file, false);
            return (Found { diagnostics: judgement.problems, ..found(State::Refused) }, words);
        };
        let changes = settings::changes(&self.running, sidecar);
        let words = changes.iter().map(Change::words).collect::<Vec<_>>().join("; ");
        let state = if changes.is_empty() { State::AsRunning } else { State::RestartNeeded };
        (Found { changes, ..found(state) }, words)
    }
}

fn tell(found: &Found, words: &str) {
    let file = found.file.as_deref().unwrap_or_default();
    match found.state {
        State::AsRunning => tracing::info!(event = "reload", file, "the sidecar file says what runs again"),
        State::RestartNeeded => tracing::warn!(event = "reload", file, changes = words, "restart needed: the sidecar file was changed"),
        State::Refused => {
            let problems = found.diagnostics.len();
            tracing::warn!(event = "reload", file, problems, "the sidecar file was changed to one that a restart refuses\n{words}");
        }
        State::Missing => tracing::warn!(event = "reload", file, "the sidecar file is gone or unreadable: a restart would fail"),
    }
}

/// A running watch; it ends when dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
