//! Warm-up: makes the calls that [`Schedule`] asks for, one step after the other, and keeps what came of them. Generic over the way to the
//! functions, so that it runs against a scripted one under paused time.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant as Deadline, sleep, timeout_at};

use super::{Answer, Upstream};
use crate::engine::expect::span;
use crate::upstream::cold::{Life, Starts};
use crate::upstream::warm::{Next, Occasion, Outcome, Schedule, Step};

/// How often what changes without a word is looked at: the rules, the drain.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What warm-up works with.
pub trait Host: Send + Sync + 'static {
    /// The way to the functions.
    type Upstream: Upstream;

    /// The way to the functions.
    fn upstream(&self) -> &Self::Upstream;
    /// A request to a function, for a path below its own.
    fn call(&self, function: &str, path: &str) -> <Self::Upstream as Upstream>::Call;
    /// Generation of the rules in force, and their steps.
    fn steps(&self) -> (u64, Vec<Arc<Step>>);
    /// What is known of the functions' workers.
    fn starts(&self) -> &Starts;
    /// Whether calls may be made: not while draining.
    fn may_call(&self) -> bool;
    /// The time.
    fn now(&self) -> Instant;
    /// A call ended; `took` = until the head of its answer.
    fn ended(&self, step: &str, function: &str, outcome: Outcome, took: Duration);
}

/// What became of a function's last call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// When it began.
    pub at: Instant,
    /// What made it.
    pub occasion: Occasion,
    /// How it ended.
    pub outcome: Outcome,
    /// Until the head of its answer, or until it failed.
    pub took: Duration,
    /// Why it failed.
    pub error: Option<String>,
}

/// A step, and what became of its functions' last calls.
#[derive(Clone, Debug)]
pub struct Report {
    /// The step.
    pub step: Arc<Step>,
    /// Its functions in order; `None` where none was called yet.
    pub calls: Vec<(Arc<str>, Option<Called>)>,
}

/// The state of warm-up, shared by what runs it, what tells it of requests and what asks for it.
#[derive(Debug, Default)]
pub struct WarmUp {
    state: Mutex<State>,
    wake: Notify,
    /// Whether all that was due at the start is over.
    started: AtomicBool,
    /// Whether a step waits for the first request of a function.
    waiting: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    schedule: Schedule,
    generation: u64,
    results: BTreeMap<(Arc<str>, Arc<str>), Called>,
    /// Periods that were said to be too long.
    said: BTreeSet<(Arc<str>, Arc<str>)>,
    commands: Vec<oneshot::Sender<()>>,
    ended: bool,
}

impl WarmUp {
    /// Nothing has run yet. Where no step is due at the start, the start is over.
    #[must_use]
    pub fn new(steps: &[Arc<Step>]) -> Self {
        Self { started: AtomicBool::new(!steps.iter().any(|step| step.on_start)), ..Self::default() }
    }

    /// Whether what is due at the start is over, however it ended.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.started.load(Relaxed)
    }

    /// A request to `function` was answered.
    pub fn arrived(&self, function: &str) {
        if self.waiting.load(Relaxed) {
            let mut state = self.lock();
            let due = state.schedule.arrived(function);
            self.waiting.store(state.schedule.is_waiting(), Relaxed);
            if due {
                self.wake.notify_one();
            }
        }
    }

    /// Has every step run now, and waits for that. False if nobody runs them: the process is ending.
    pub async fn command(&self) -> bool {
        let (done, told) = oneshot::channel();
        {
            let mut state = self.lock();
            if state.ended {
                return false;
            }
            state.commands.push(done);
        }
        self.wake.notify_one();
        told.await.is_ok()
    }

    /// Every step and what became of it.
    #[must_use]
    pub fn report(&self) -> Vec<Report> {
        let state = self.lock();
        let last = |step: &Step, function: &Arc<str>| state.results.get(&(Arc::clone(&step.name), Arc::clone(function))).cloned();
        let report = |step: Arc<Step>| Report { calls: step.functions.iter().map(|f| (Arc::clone(f), last(&step, f))).collect(), step };
        state.schedule.steps().into_iter().map(report).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs steps until calls may not be made any more. `reached` is when the functions can be called at all.
    pub async fn run<H: Host>(&self, host: &H, reached: impl Future<Output = ()>) {
        self.follow(host, true);
        tokio::select! { () = reached => {}, () = forbidden(host) => {} }
        while host.may_call() {
            self.follow(host, false);
            for done in self.take_commands() {
                let steps = self.lock().schedule.all(host.now());
                for step in steps {
                    self.step(host, &step, &step.functions, Occasion::Command).await;
                }
                let _ = done.send(());
            }
            let look_at = |function: &str, after: Instant, every: Duration| {
                let life = host.starts().life(function);
                // a step that would be called more often than its author wants is left alone
                life.at_most.filter(|most| *most >= every).and_then(|_| host.starts().look_at(function, after))
            };
            let next = self.lock().schedule.next(host.now(), look_at);
            match next {
                Next::Run(step, functions, occasion) => self.step(host, &step, &functions, occasion).await,
                Next::Wait(until) => {
                    self.started.store(true, Relaxed);
                    let pause = until.map_or(LOOK_EVERY, |at| at.saturating_duration_since(host.now()).min(LOOK_EVERY));
                    tokio::select! { () = self.wake.notified() => {}, () = sleep(pause) => {} }
                }
            }
        }
        self.started.store(true, Relaxed);
        let mut state = self.lock();
        state.ended = true;
        state.commands.clear();
    }

    fn take_commands(&self) -> Vec<oneshot::Sender<()>> {
        std::mem::take(&mut self.lock().commands)
    }

    /// Takes the steps in force, if others were before.
    fn follow<H: Host>(&self, host: &H, starting: bool) {
        let (generation, steps) = host.steps();
        let mut state = self.lock();
        if starting || state.generation != generation {
            state.generation = generation;
            state.schedule.follow(&steps, host.now(), starting);
            state.results.retain(|(step, function), _| steps.iter().any(|s| s.name == *step && s.functions.contains(function)));
            state.said.clear();
            self.waiting.store(state.schedule.is_waiting(), Relaxed);
        }
    }

    /// Calls functions of a step together, and notes what becomes of them.
    async fn step<H: Host>(&self, host: &H, step: &Step, functions: &[Arc<str>], occasion: Occasion) {
        let limit = Deadline::now() + step.timeout;
        let calls = functions.iter().map(|function| async move {
            let called = tokio::select! {
                called = call(host, function, &step.path, occasion, limit) => called,
                () = forbidden(host) => return,
            };
            host.ended(&step.name, function, called.outcome, called.took);
            self.lock().results.insert((Arc::clone(&step.name), Arc::clone(function)), called);
            self.advise(step, function, host.starts().life(function));
        });
        all(calls.map(Box::pin).collect()).await;
    }

    /// Says once that a period lets workers retire.
    fn advise(&self, step: &Step, function: &Arc<str>, life: Life) {
        if let (Some(better), Some(every)) = (step.better_period(life), step.every)
            && self.lock().said.insert((Arc::clone(&step.name), Arc::clone(function)))
        {
            let (name, every, better) = (&*step.name, span(every), span(better));
            tracing::warn!(
                event = "warm",
                step = name,
                function = &**function,
                "warm step {name} calls {function} every {every}, but its workers retire earlier: callers meet cold starts; every: {better} keeps it warm"
            );
        }
    }
}

/// Runs futures side by side to their ends.
async fn all<F: Future<Output = ()>>(mut running: Vec<Pin<Box<F>>>) {
    poll_fn(|context| {
        running.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn forbidden<H: Host>(host: &H) {
    while host.may_call() {
        sleep(LOOK_EVERY).await;
    }
}

async fn call<H: Host>(host: &H, function: &str, path: &str, occasion: Occasion, limit: Deadline) -> Called {
    let at = host.now();
    let (outcome, error) = match timeout_at(limit, host.upstream().open(host.call(function, path))).await {
        Err(_) => (Outcome::Failed, Some("timeout".to_owned())),
        Ok(Err(failure)) => (Outcome::Failed, Some(failure.cause.as_str().to_owned())),
        Ok(Ok(answer)) => {
            let (status, cold) = (answer.head().0, answer.exchanged().cold);
            let took = host.now().saturating_duration_since(at);
            // for the sake of its connection
            let _ = timeout_at(limit, answer.drain()).await;
            return match status.as_u16() {
                200..=399 => Called { at, occasion, outcome: if cold { Outcome::Cold } else { Outcome::Warm }, took, error: None },
                status => Called { at, occasion, outcome: Outcome::Failed, took, error: Some(format!("status {status}")) },
            };
        }
    };
    Called { at, occasion, outcome, took: host.now().saturating_duration_since(at), error }
}

#[cfg(test)]
mod tests;
