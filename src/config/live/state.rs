//! What is known of the reloads beside the rules in force: their figures and history, and the texts to go back to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::diagnostics::Code;
use crate::config::status::{Cause, Numbers, Outcome, Reload};

/// Most reloads remembered, and most texts to go back to.
const HISTORY: usize = 20;
/// Most bytes of texts to go back to.
pub(super) const TEXTS: usize = 2 << 20;

#[derive(Debug)]
pub(super) struct State {
    pub(super) numbers: Numbers,
    /// The last reloads, the newest last.
    pub(super) history: VecDeque<Reload>,
    /// Earlier texts, the newest last.
    pub(super) earlier: VecDeque<Arc<str>>,
    /// The text that was rolled back.
    pub(super) held: Option<Arc<str>>,
}

impl State {
    pub(super) fn new(numbers: Numbers) -> Self {
        Self { numbers, history: VecDeque::new(), earlier: VecDeque::new(), held: None }
    }

    pub(super) fn note(&mut self, reload: Reload) {
        self.history.push_back(reload);
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    /// The file holds the running text. After a refused edit, file and rules agree again, and `/config` says so as the gauge does.
    pub(super) fn settle(&mut self, now: SystemTime, cause: Cause) {
        self.numbers.file_differs = false;
        if !self.numbers.last_reload_successful {
            self.numbers.last_reload_successful = true;
            self.note(Reload::accepted(now, cause, self.numbers.generation));
        }
    }

    pub(super) fn in_force(&mut self, before: Option<&Arc<str>>, generation: u64, now: SystemTime) {
        self.held = None;
        self.earlier.extend(before.map(Arc::clone));
        while self.earlier.len() > HISTORY || self.earlier.iter().map(|text| text.len()).sum::<usize>() > TEXTS {
            self.earlier.pop_front();
        }
        self.count(generation, now);
        self.numbers.last_reload_successful = true;
        self.numbers.file_differs = false;
    }

    pub(super) fn count(&mut self, generation: u64, now: SystemTime) {
        self.numbers = Numbers { generation, successes: self.numbers.successes + 1, last_success: now, ..self.numbers };
    }

    pub(super) fn lacks_secrets(&self) -> bool {
        let refused = self.history.back().filter(|last| last.outcome == Outcome::Refused);
        refused.is_some_and(|last| last.diagnostics.iter().filter(|p| p.is_error()).all(|p| p.code == Code::Unreadable))
    }
}
