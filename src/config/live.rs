//! The rules in force, and the one way to change them: all or nothing, the last good ones stay.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};
use sha2::{Digest, Sha256};

use super::Snapshot;
use super::diagnostics::Problem;
use super::judge::{Judgement, judge_rules_at};
use super::status::{self, LastReload, Numbers, Outcome, Status};
use crate::engine::{RuleSet, Site};

/// What became of an offered text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is the running text.
    Unchanged,
    /// It is in force now.
    Accepted {
        /// Its generation.
        generation: u64,
        /// The rules added, removed or changed; a section's word for what has no name.
        changed: Vec<String>,
    },
    /// The last good rules stay.
    Refused {
        /// Why.
        problems: Vec<Problem>,
        /// The same, as a person reads it, without colour.
        rendered: String,
    },
}

type Hook = Box<dyn Fn(&Arc<Snapshot>) + Send + Sync>;

/// The rules in force. Reading is one atomic load; offers come one after the other.
pub struct Live {
    current: ArcSwap<Snapshot>,
    state: Mutex<State>,
    hooks: Mutex<Vec<Hook>>,
    file: String,
    sites: Vec<Site>,
}

#[derive(Debug)]
struct State {
    numbers: Numbers,
    last_reload: Option<LastReload>,
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
        let mut judgement = judge_rules_at(bytes, &sites);
        let Some(rules) = judgement.value.take() else { return Err(Box::new(judgement)) };
        let numbers =
            Numbers { generation: 1, successes: 0, failures: 0, last_success: now, last_reload_successful: true, file_differs: false };
        Ok(Self {
            current: ArcSwap::from_pointee(snapshot(rules, 1, bytes, now)),
            state: Mutex::new(State { numbers, last_reload: None }),
            hooks: Mutex::default(),
            file: file.to_owned(),
            sites,
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

    /// Offers a new text. All of it is taken, or nothing.
    pub fn offer(&self, bytes: &[u8], now: SystemTime) -> Offer {
        let mut state = lock(&self.state);
        let running = self.load_full();
        if running.text.as_bytes() == bytes {
            state.numbers.file_differs = false;
            if !state.numbers.last_reload_successful {
                // back to the running text after a refused edit: file and rules agree again, and `/config` says so as the gauge does
                state.numbers.last_reload_successful = true;
                state.last_reload = Some(LastReload { at: now, outcome: Outcome::Accepted, diagnostics: Vec::new(), changed: Vec::new() });
            }
            return Offer::Unchanged;
        }
        let mut judgement = judge_rules_at(bytes, &self.sites);
        let Some(rules) = judgement.value.take() else { return self.refuse(&mut state, judgement, now) };
        let changed = status::changed(&running.rules, &rules);
        let generation = running.generation + 1;
        let next = Arc::new(snapshot(rules, generation, bytes, now));
        self.current.store(Arc::clone(&next));
        let numbers = &mut state.numbers;
        numbers.generation = generation;
        numbers.successes += 1;
        numbers.last_success = now;
        numbers.last_reload_successful = true;
        numbers.file_differs = false;
        state.last_reload =
            Some(LastReload { at: now, outcome: Outcome::Accepted, diagnostics: judgement.problems, changed: changed.clone() });
        for hook in lock(&self.hooks).iter() {
            hook(&next);
        }
        Offer::Accepted { generation, changed }
    }

    fn refuse(&self, state: &mut State, judgement: Judgement<RuleSet>, now: SystemTime) -> Offer {
        let rendered = judgement.render(&self.file, false);
        let problems = judgement.problems;
        state.numbers.failures += 1;
        state.numbers.last_reload_successful = false;
        state.numbers.file_differs = true;
        state.last_reload = Some(LastReload { at: now, outcome: Outcome::Refused, diagnostics: problems.clone(), changed: Vec::new() });
        Offer::Refused { problems, rendered }
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
        lock(&self.state).numbers
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
            last_reload: state.last_reload.clone(),
            text: running.text.to_string(),
        }
    }
}

fn snapshot(rules: RuleSet, generation: u64, bytes: &[u8], now: SystemTime) -> Snapshot {
    let digest = Sha256::digest(bytes);
    let hash = digest.iter().take(6).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    // judged texts are UTF-8
    let text = String::from_utf8_lossy(bytes).as_ref().into();
    Snapshot { rules, generation, hash, text, since: now }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    const GOOD: &str = "version: 1\ncache:\n  include:\n    - { name: a, match: \"/a\", ttl: 1s }\n";
    const BAD: &str = "version: 1\ncashe: {}\n";

    fn accepted(offer: &Offer) -> Option<Vec<&str>> {
        if let Offer::Accepted { changed, .. } = offer { Some(changed.iter().map(String::as_str).collect()) } else { None }
    }

    #[test]
    fn accepts_refuses_and_comes_back() {
        let clock = Clock::manual();
        let live = Live::start("rules.yaml", b"version: 1\n", clock.wall()).expect("good rules");
        let swaps = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&swaps);
        live.subscribe(move |snapshot| seen.store(snapshot.generation, Relaxed));
        assert_eq!(live.offer(b"version: 1\n", clock.wall()), Offer::Unchanged);
        let kept = live.load_full();
        clock.advance(Duration::from_secs(5));
        assert_eq!(accepted(&live.offer(GOOD.as_bytes(), clock.wall())), Some(vec!["a"]));
        assert_eq!((kept.generation, live.load().generation, swaps.load(Relaxed)), (1, 2, 2));
        let success = live.numbers().last_success;
        assert_eq!(success, clock.wall());

        clock.advance(Duration::from_secs(5));
        let offer = live.offer(BAD.as_bytes(), clock.wall());
        assert!(matches!(&offer, Offer::Refused { rendered, .. } if rendered.contains("rules.yaml:2:1")), "{offer:?}");
        let numbers = live.numbers();
        let state = (numbers.generation, numbers.successes, numbers.failures, numbers.last_reload_successful, numbers.file_differs);
        assert_eq!(state, (2, 1, 1, false, true));
        assert_eq!((&*live.load().text, numbers.last_success), (GOOD, success));

        assert_eq!(live.offer(GOOD.as_bytes(), clock.wall()), Offer::Unchanged);
        let numbers = live.numbers();
        assert_eq!((numbers.generation, numbers.last_reload_successful, numbers.file_differs), (2, true, false));
        assert_eq!(swaps.load(Relaxed), 2);
    }

    #[test]
    fn a_bad_first_text_starts_nothing() {
        let judgement = Live::start("rules.yaml", BAD.as_bytes(), Clock::manual().wall()).expect_err("refused");
        assert_eq!(judgement.problems.len(), 1);
    }

    #[test]
    fn a_test_that_fails_refuses_the_swap() {
        let now = SystemTime::UNIX_EPOCH;
        let live = Live::start("rules.yaml", GOOD.as_bytes(), now).expect("good rules");
        let with =
            |ttl: &str| format!("{GOOD}slow: [{{ match: /a, after: 2s }}]\ntests: [{{ request: GET /a, expect: {{ ttl: {ttl} }} }}]\n");
        let offer = live.offer(with("2s").as_bytes(), now);
        assert!(matches!(&offer, Offer::Refused { problems, .. } if problems[0].code.as_str() == "test-failed"), "{offer:?}");
        assert_eq!((live.load().generation, live.numbers().last_reload_successful), (1, false));
        assert_eq!(accepted(&live.offer(with("1s").as_bytes(), now)), Some(vec!["slow"]));
    }

    #[test]
    fn the_status_is_plain_json() {
        let live = Live::start("rules.yaml", b"version: 1\n", SystemTime::UNIX_EPOCH).expect("good rules");
        live.offer(BAD.as_bytes(), SystemTime::UNIX_EPOCH + Duration::from_mins(1));
        let json = serde_json::to_value(live.status()).expect("plain data");
        assert_eq!(json["since"], "1970-01-01T00:00:00Z");
        assert_eq!((&json["generation"], &json["fileDiffers"]), (&1.into(), &true.into()));
        assert_eq!(json["lastReload"]["at"], "1970-01-01T00:01:00Z");
        assert_eq!(json["lastReload"]["outcome"], "refused");
        assert_eq!(json["lastReload"]["diagnostics"][0]["code"], "unknown-key");
        assert_eq!(json["lastReload"]["diagnostics"][0]["help"], "did you mean `cache`?");
        assert_eq!(json["hash"].as_str().map(str::len), Some(12));
    }
}
