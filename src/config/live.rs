//! The rules in force, and the one way to change them: all or nothing, the last good ones stay.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};

use self::state::State;
use super::Snapshot;
use super::difference::Difference;
use super::judge::{Judgement, judge_rules_at};
pub use super::offer::{NoReload, Offer};
use super::restart::SidecarFile;
use super::status::{self, Cause, Numbers, Outcome, Reload, Status};
use super::verify_rule::Secrets;
use super::watch;
use crate::engine::{Effect, Recent, RuleSet, Site};

type Hook = Box<dyn Fn(&Arc<Snapshot>) + Send + Sync>;

/// The rules in force. Reading is one atomic load; offers come one after the other.
pub struct Live {
    current: ArcSwap<Snapshot>,
    state: Mutex<State>,
    hooks: Mutex<Vec<Hook>>,
    file: String,
    sites: Vec<Site>,
    recent: Recent,
    path: OnceLock<PathBuf>,
    sidecar: OnceLock<Arc<SidecarFile>>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("file", &self.file).field("generation", &self.load().generation).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // what a panic left behind is still whole: every change is one assignment
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// Puts the first rules in force. `file` is their name in diagnostics.
    ///
    /// # Errors
    /// The judgement, if the text is refused.
    pub fn start(file: &str, bytes: &[u8], now: SystemTime) -> Result<Self, Box<Judgement<RuleSet>>> {
        Self::start_at(vec![Site::default()], file, bytes, now)
    }

    /// The same, for a sidecar with these listeners.
    ///
    /// # Errors
    /// The judgement, if the text is refused.
    pub fn start_at(sites: Vec<Site>, file: &str, bytes: &[u8], now: SystemTime) -> Result<Self, Box<Judgement<RuleSet>>> {
        let mut judgement = judge_rules_at(bytes, &sites, Secrets::Needed);
        let Some(rules) = judgement.value.take() else { return Err(Box::new(judgement)) };
        let numbers = Numbers {
            generation: 1,
            successes: 0,
            failures: 0,
            last_success: now,
            last_reload_successful: true,
            file_differs: false,
            restart_needed: false,
        };
        Ok(Self {
            current: ArcSwap::from_pointee(Snapshot::new(rules, 1, bytes, now)),
            state: Mutex::new(State::new(numbers)),
            hooks: Mutex::default(),
            file: file.to_owned(),
            sites,
            recent: Recent::default(),
            path: OnceLock::new(),
            sidecar: OnceLock::new(),
        })
    }

    /// The snapshot in force, for a look.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The snapshot in force, to keep: what a request ends on.
    #[must_use]
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Names the file that [`Live::reload`] reads.
    pub fn read_from(&self, path: &Path) {
        // the first one stays: a sidecar has one rules file
        let _ = self.path.set(path.to_owned());
    }

    /// Names the sidecar file that stands beside the rules, so that status and figures tell of it.
    pub fn beside(&self, file: Arc<SidecarFile>) {
        // the first one stays, as with the rules
        let _ = self.sidecar.set(file);
    }

    /// Where requests come in.
    #[must_use]
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// Offers the text that the file holds. All of it is taken, or nothing.
    pub fn offer(&self, bytes: &[u8], now: SystemTime) -> Offer {
        let mut state = lock(&self.state);
        if state.held.as_ref().is_some_and(|held| held.as_bytes() == bytes) {
            state.numbers.file_differs = true;
            return Offer::Held;
        }
        self.take(&mut state, bytes, now, Cause::File)
    }

    /// Reads the file now and offers its text, even one that was rolled back.
    ///
    /// # Errors
    /// There is no file, or it cannot be read.
    pub fn reload(&self, now: SystemTime) -> Result<Offer, NoReload> {
        let path = self.path.get().ok_or(NoReload::NoFile)?;
        let Some(bytes) = watch::read(path) else {
            self.file_differs();
            return Err(NoReload::Unreadable);
        };
        Ok(self.take(&mut lock(&self.state), &bytes, now, Cause::Command))
    }

    /// Goes back to the text before the one in force, as a new generation. The file then differs, and its text stays out.
    ///
    /// # Errors
    /// There is none.
    pub fn rollback(&self, now: SystemTime) -> Result<Offer, NoReload> {
        let mut state = lock(&self.state);
        let text = state.earlier.pop_back().ok_or(NoReload::NoEarlier)?;
        let (left, held) = (Arc::clone(&self.load().text), state.held.clone());
        let offer = self.take(&mut state, text.as_bytes(), now, Cause::Rollback);
        if matches!(offer, Offer::Accepted { .. }) {
            // what was left is no generation to go back to
            state.earlier.pop_back();
            state.held = Some(left);
            state.numbers.file_differs = self.path.get().is_some();
        } else {
            // a secret of it is gone: all stays as it was
            state.earlier.push_back(text);
            state.held = held;
        }
        Ok(offer)
    }

    fn take(&self, state: &mut State, bytes: &[u8], now: SystemTime, cause: Cause) -> Offer {
        let running = self.load_full();
        let same = running.text.as_bytes() == bytes;
        if same {
            state.held = None;
        }
        if same && !running.rules.has_secrets() {
            state.settle(now, cause);
            return Offer::Unchanged;
        }
        let mut judgement = judge_rules_at(bytes, &self.sites, Secrets::Needed);
        let Some(rules) = judgement.value.take() else {
            state.numbers.file_differs = !same;
            // looked at twice a second: told once
            let told = state.lacks_secrets() && state.history.back().is_some_and(|last| last.diagnostics == judgement.problems);
            return if told && cause == Cause::File { Offer::Unchanged } else { self.refuse(state, judgement, now, cause) };
        };
        let changed = status::changed(&running.rules, &rules);
        if same && changed.is_empty() {
            state.settle(now, cause);
            return Offer::Unchanged;
        }
        let next = Arc::new(Snapshot::new(rules, running.generation + 1, bytes, now));
        let difference = Difference::of((&running.rules, &running.text), (&next.rules, &next.text));
        // the same text with other secrets is none to go back to
        state.in_force((!same).then_some(&running.text), next.generation, now);
        let reload = Reload::accepted(now, cause, next.generation);
        state.note(Reload { diagnostics: judgement.problems, changed: changed.clone(), difference, ..reload });
        self.swap(&next);
        Offer::Accepted { generation: next.generation, changed }
    }

    fn refuse(&self, state: &mut State, judgement: Judgement<RuleSet>, now: SystemTime, cause: Cause) -> Offer {
        let rendered = judgement.render(&self.file, false);
        let problems = judgement.problems;
        state.held = None;
        state.numbers.failures += 1;
        state.numbers.last_reload_successful = false;
        let reload = Reload::accepted(now, cause, state.numbers.generation);
        state.note(Reload { outcome: Outcome::Refused, diagnostics: problems.clone(), ..reload });
        Offer::Refused { problems, rendered }
    }

    /// Reads the secrets of the running rules again, while the file holds another text or none. One that cannot be read stays as it is.
    pub fn refresh(&self, now: SystemTime) -> Offer {
        let mut state = lock(&self.state);
        let running = self.load_full();
        if !running.rules.has_secrets() {
            return Offer::Unchanged;
        }
        let bytes = running.text.as_bytes();
        let Some(rules) = judge_rules_at(bytes, &self.sites, Secrets::Needed).value else { return Offer::Unchanged };
        let changed = status::changed(&running.rules, &rules);
        if changed.is_empty() {
            return Offer::Unchanged;
        }
        let next = Arc::new(Snapshot::new(rules, running.generation + 1, bytes, now));
        self.swap(&next);
        state.count(next.generation, now);
        Offer::Accepted { generation: next.generation, changed }
    }

    fn swap(&self, next: &Arc<Snapshot>) {
        self.current.store(Arc::clone(next));
        for hook in lock(&self.hooks).iter() {
            hook(next);
        }
    }

    /// Whether the last text offered was refused for nothing but secrets that cannot be read: it is good once they are there.
    #[must_use]
    pub fn lacks_secrets(&self) -> bool {
        lock(&self.state).lacks_secrets()
    }

    /// The last requests.
    #[must_use]
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Judges a text as a reload would, compares it with the rules in force, and says what it would have meant for the last requests; nothing
    /// changes.
    #[must_use]
    pub fn check(&self, bytes: &[u8]) -> (Judgement<RuleSet>, Difference) {
        let judgement = judge_rules_at(bytes, &self.sites, Secrets::Needed);
        let Some(rules) = &judgement.value else { return (judgement, Difference::default()) };
        let running = self.load_full();
        let difference = Difference::of((&running.rules, &running.text), (rules, &judgement.source));
        let effect = Effect::of(&self.recent, &self.sites, &running.rules, rules);
        (judgement, Difference { effect: Some(effect), ..difference })
    }

    /// Notes that the file is gone, or holds a text that is not offered yet.
    pub fn file_differs(&self) {
        lock(&self.state).numbers.file_differs = true;
    }

    /// Calls a function after each change, with the new snapshot; it must not offer in turn.
    pub fn subscribe(&self, hook: impl Fn(&Arc<Snapshot>) + Send + Sync + 'static) {
        lock(&self.hooks).push(Box::new(hook));
    }

    /// The figures for metrics.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let restart_needed = self.sidecar.get().is_some_and(|file| file.found().restart_needed());
        Numbers { restart_needed, ..lock(&self.state).numbers }
    }

    /// The state for `/config`.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = lock(&self.state);
        let running = self.load();
        Status {
            generation: running.generation,
            hash: running.hash.clone(),
            since: running.since,
            file_differs: state.numbers.file_differs,
            last_reload: state.history.back().cloned(),
            sidecar: self.sidecar.get().map(|file| file.found()),
            text: running.text.to_string(),
        }
    }

    /// The last reloads, the newest first.
    #[must_use]
    pub fn history(&self) -> Vec<Reload> {
        lock(&self.state).history.iter().rev().cloned().collect()
    }
}

mod state;
#[cfg(test)]
mod tests;
