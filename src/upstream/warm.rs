//! Warm-up: which functions are called so that no caller meets their cold start, and when (interface.md 1, `warm:`).
//!
//! Steps run one at a time, in the order of the file: first all that are due at the start, then those whose time has come. The functions of
//! a step are called together. A function with a timer is called `every` so often, and besides where its worker is about to have been
//! retired, as far as that is learnt ([`super::cold`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cold::Life;

/// One entry of `warm:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name: label and line of `/warmup`.
    pub name: Arc<str>,
    /// The functions it calls.
    pub functions: Vec<Arc<str>>,
    /// What it asks each of them for, below the function's own path.
    pub path: String,
    /// Whether it runs at the start, before the sidecar calls itself ready.
    pub on_start: bool,
    /// How often it runs.
    pub every: Option<Duration>,
    /// It runs once, when this function has had its first request.
    pub after_first: Option<Arc<str>>,
    /// Longest time for all of its calls together.
    pub timeout: Duration,
}

/// What made a step run. Closed: JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The start.
    Start,
    /// Its timer, or the foreseen end of a worker.
    Timer,
    /// The first request of the function it follows.
    Preload,
    /// `warmup` or `POST /warmup`.
    Command,
}

impl Occasion {
    /// The closed word of the occasion.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Timer => "timer",
            Self::Preload => "preload",
            Self::Command => "command",
        }
    }
}

/// How a call of a function ended. Closed: label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was running already.
    Warm,
    /// It was started for this call: a cold start that no caller met.
    Cold,
    /// No good answer.
    Failed,
}

impl Outcome {
    /// Every outcome, for series that start at zero.
    pub const ALL: [Self; 3] = [Self::Warm, Self::Cold, Self::Failed];

    /// The closed word of the outcome.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
            Self::Failed => "failed",
        }
    }
}

impl Step {
    /// Where `every` is so long that workers retire between two calls: a period that is not. `None` where it is short enough, or nobody knows.
    #[must_use]
    pub fn better_period(&self, life: Life) -> Option<Duration> {
        let most = life.at_most?;
        let period = life.at_least.max(most / 2);
        (self.every? > most).then(|| if period > Duration::from_secs(2) { Duration::from_secs(period.as_secs()) } else { period })
    }
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Calls of some functions of a step.
    Run(Arc<Step>, Vec<Arc<str>>, Occasion),
    /// Nothing before this moment; `None` = nothing foreseen.
    Wait(Option<Instant>),
}

/// What has run and what will.
#[derive(Debug, Default)]
pub struct Schedule(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    step: Arc<Step>,
    /// Waits for its run at the start.
    starts: bool,
    /// Waits for the first request of the function it follows.
    follows: bool,
    /// That request has come.
    followed: bool,
    /// When each function was last called, or began to be kept warm.
    last: Vec<Instant>,
}

impl Schedule {
    /// Takes the steps in force. Those that are as they were go on; new ones start their timers now. `starting`: what is due at the start is due.
    pub fn follow(&mut self, steps: &[Arc<Step>], now: Instant, starting: bool) {
        let mut old = std::mem::take(&mut self.0);
        for step in steps {
            let known = old.iter().position(|entry| *entry.step == **step).map(|at| old.remove(at));
            self.0.push(known.unwrap_or_else(|| Entry {
                starts: step.on_start && starting,
                follows: step.after_first.is_some(),
                followed: false,
                last: vec![now; step.functions.len()],
                step: Arc::clone(step),
            }));
        }
    }

    /// Whether a step waits for the first request of a function.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.0.iter().any(|entry| entry.follows)
    }

    /// A request to `function` was answered. Whether that makes a step due.
    pub fn arrived(&mut self, function: &str) -> bool {
        let mut due = false;
        for entry in self.0.iter_mut().filter(|e| e.follows && e.step.after_first.as_deref() == Some(function)) {
            (entry.follows, entry.followed, due) = (false, true, true);
        }
        due
    }

    /// Whether all that was due at the start has been called.
    #[must_use]
    pub fn has_started(&self) -> bool {
        !self.0.iter().any(|entry| entry.starts)
    }

    /// Gives up what has not run at the start.
    pub fn give_up_start(&mut self) {
        self.0.iter_mut().for_each(|entry| entry.starts = false);
    }

    /// The next thing to do. `look_at` foresees the end of a function's worker after a moment, for a timer of this period.
    pub fn next(&mut self, now: Instant, look_at: impl Fn(&str, Instant, Duration) -> Option<Instant>) -> Next {
        if let Some(entry) = self.0.iter_mut().find(|e| e.starts) {
            entry.starts = false;
            return entry.all(now, Occasion::Start);
        }
        if let Some(entry) = self.0.iter_mut().find(|e| e.followed) {
            entry.followed = false;
            return entry.all(now, Occasion::Preload);
        }
        let mut soonest: Option<Instant> = None;
        for entry in &mut self.0 {
            let Some(every) = entry.step.every else { continue };
            let mut due = Vec::new();
            for (function, last) in entry.step.functions.iter().zip(&mut entry.last) {
                let timer = *last + every;
                let at = look_at(function, *last, every).map_or(timer, |end| end.min(timer));
                if at <= now {
                    *last = now;
                    due.push(Arc::clone(function));
                } else {
                    soonest = Some(soonest.map_or(at, |soonest| soonest.min(at)));
                }
            }
            if !due.is_empty() {
                return Next::Run(Arc::clone(&entry.step), due, Occasion::Timer);
            }
        }
        Next::Wait(soonest)
    }

    /// Every step in order, to be called now.
    pub fn all(&mut self, now: Instant) -> Vec<Arc<Step>> {
        self.0.iter_mut().map(|entry| (entry.all(now, Occasion::Command), Arc::clone(&entry.step)).1).collect()
    }

    /// The steps in force.
    #[must_use]
    pub fn steps(&self) -> Vec<Arc<Step>> {
        self.0.iter().map(|entry| Arc::clone(&entry.step)).collect()
    }
}

impl Entry {
    fn all(&mut self, now: Instant, occasion: Occasion) -> Next {
        self.last.fill(now);
        Next::Run(Arc::clone(&self.step), self.step.functions.clone(), occasion)
    }
}

#[cfg(test)]
mod tests;
