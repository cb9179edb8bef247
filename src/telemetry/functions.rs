//! Metrics by function: handles resolved once, names admitted only if they are real, so that no caller can make series.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwap;
use prometheus::{Histogram, IntCounter};

use super::families::Families;
use super::latency::{Digest, Windows};
use super::lock;
use super::phases::{Phases, Reading};
use super::record::{Exchanged, Finished, Outcome, Source};

/// Most functions with series of their own; the rest is [`OTHER`].
pub const MOST: usize = 30;
/// The function of whatever has no series of its own.
pub const OTHER: &str = "other";
/// Most pairs of status and outcome a function has; past it, they are counted by class under [`OTHER`].
const MOST_CODES: usize = 14;
/// Most pairs of function and source, besides those of the functions themselves, with a histogram of their own; past it, they share those
/// of [`OTHER`]. A histogram is 17 series, and there are 3,000 for everything.
const MOST_DURATIONS: usize = 24;

/// All functions.
#[derive(Debug)]
pub struct Functions {
    families: Arc<Families>,
    by_name: ArcSwap<HashMap<Arc<str>, Arc<Function>>>,
    other: Arc<Function>,
    durations: AtomicUsize,
    phases: AtomicUsize,
    admission: Mutex<()>,
    start: Instant,
}

/// One function.
#[derive(Debug)]
pub struct Function {
    name: Arc<str>,
    durations: [OnceLock<Histogram>; Source::ALL.len()],
    upstream: Histogram,
    bytes_in: IntCounter,
    bytes_out: IntCounter,
    slow: IntCounter,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    requests: Vec<Pair>,
    latency: Windows,
    phases: Phases,
    answered: bool,
}

/// Requests with one status and outcome. A code below 10 stands for its class, whose counter functions share.
#[derive(Debug)]
struct Pair {
    code: u16,
    outcome: Outcome,
    counter: IntCounter,
    own: u64,
}

/// What was counted about one function.
#[derive(Debug, Default)]
pub struct Counted {
    /// Requests by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// Requests answered 5xx.
    pub errors: u64,
    /// Requests that were slow.
    pub slow: u64,
    /// Whether the function itself ever answered.
    pub answered: bool,
}

impl Functions {
    /// Knows only [`OTHER`].
    #[must_use]
    pub fn new(families: Arc<Families>, now: Instant) -> Self {
        let other = Arc::new(Function::new(&families, OTHER.into(), now));
        lock(&other.state).count(&families, OTHER, 200, Outcome::Forwarded, 0);
        lock(&other.state).phases = Phases::of_others(now);
        let [durations, phases] = [0, 0].map(AtomicUsize::new);
        Self { families, by_name: ArcSwap::default(), other, durations, phases, admission: Mutex::new(()), start: now }
    }

    /// Admits a name that a rule spells out, with the series of what the rule makes of good answers, at zero.
    pub fn expect(&self, name: &str, outcomes: &[(Outcome, Source)]) {
        self.admit(name);
        if let Some(function) = self.by_name.load().get(name) {
            for (outcome, source) in outcomes {
                lock(&function.state).count(&self.families, &function.name, 200, *outcome, 0);
                function.duration(self, *source);
            }
        }
    }

    fn admit(&self, name: &str) {
        let _one_at_a_time = lock(&self.admission);
        let known = self.by_name.load();
        if known.len() < MOST && !known.contains_key(name) && is_name(name) {
            let name: Arc<str> = name.into();
            let mut next = HashMap::clone(&known);
            next.insert(Arc::clone(&name), Arc::new(Function::new(&self.families, name, self.start)));
            self.by_name.store(Arc::new(next));
        }
    }

    /// Counts one request. A name is admitted when somebody other than the sidecar answered it with 2xx or 3xx.
    pub fn record(&self, now: Instant, done: &Finished<'_>) {
        if let Some(function) = self.by_name.load().get(done.function) {
            return function.record(self, now, done);
        }
        if (200..400).contains(&done.status) && done.source != Source::Sidecar && self.by_name.load().len() < MOST {
            self.admit(done.function);
        }
        self.by_name.load().get(done.function).unwrap_or(&self.other).record(self, now, done);
    }

    /// The phases of every function, by its name, those of [`OTHER`] last.
    #[must_use]
    pub fn phases(&self, now: Instant) -> Vec<(Arc<str>, Reading)> {
        let mut all: Vec<_> = self.by_name.load().values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.push(Arc::clone(&self.other));
        all.iter().flat_map(|f| f.phases(now).into_iter().map(|phase| (Arc::clone(&f.name), phase))).collect()
    }

    /// Every function by name, [`OTHER`] last and only if it counted something.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Function>> {
        let mut all: Vec<_> = self.by_name.load().values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        if self.other.counted().outcomes.iter().any(|n| *n > 0) {
            all.push(Arc::clone(&self.other));
        }
        all
    }
}

impl Function {
    fn new(families: &Families, name: Arc<str>, now: Instant) -> Self {
        let label = &[&*name];
        let durations: [OnceLock<Histogram>; Source::ALL.len()] = Default::default();
        durations[Source::Upstream as usize]
            .get_or_init(|| families.request_duration.with_label_values(&[&*name, Source::Upstream.as_str()]));
        Self {
            durations,
            upstream: families.upstream_duration.with_label_values(label),
            bytes_in: families.request_bytes.with_label_values(label),
            bytes_out: families.response_bytes.with_label_values(label),
            slow: families.slow.with_label_values(label),
            state: Mutex::new(State { requests: Vec::new(), latency: Windows::new(now), phases: Phases::default(), answered: false }),
            name,
        }
    }

    fn record(&self, all: &Functions, now: Instant, done: &Finished<'_>) {
        self.duration(all, done.source).observe(done.duration.as_secs_f64());
        if let Some(call) = done.upstream {
            self.upstream.observe(call.total.as_secs_f64());
        }
        self.bytes_in.inc_by(done.bytes_in);
        self.bytes_out.inc_by(done.bytes_out);
        self.slow.inc_by(u64::from(done.is_slow()));
        let mut state = lock(&self.state);
        state.count(&all.families, &self.name, done.status, done.outcome, 1);
        state.latency.record(now, done.duration);
        state.answered |= done.upstream.is_some_and(|call| call.status > 0);
        drop(state);
        if let Some(call) = done.upstream.filter(|call| !call.phases.is_empty()) {
            self.record_phases(all, now, call);
        }
    }

    fn record_phases(&self, all: &Functions, now: Instant, call: &Exchanged) {
        let without_place: Vec<_> = {
            let own = &mut lock(&self.state).phases;
            call.phases.iter().filter(|phase| &*self.name == OTHER || !own.add(now, phase, &all.phases)).collect()
        };
        let others = &mut lock(&all.other.state).phases;
        for phase in without_place {
            others.add_other(now, phase.time);
        }
    }

    /// What it reported of its phases.
    #[must_use]
    pub fn phases(&self, now: Instant) -> Vec<Reading> {
        lock(&self.state).phases.read(now)
    }

    fn duration(&self, all: &Functions, source: Source) -> &Histogram {
        self.durations[source as usize].get_or_init(|| {
            let own = &*self.name == OTHER || all.durations.fetch_add(1, Relaxed) < MOST_DURATIONS;
            all.families.request_duration.with_label_values(&[if own { &*self.name } else { OTHER }, source.as_str()])
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was counted.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let state = lock(&self.state);
        let mut counted = Counted { slow: self.slow.get(), answered: state.answered, ..Counted::default() };
        for pair in &state.requests {
            counted.outcomes[pair.outcome as usize] += pair.own;
            counted.errors += if pair.code >= 500 || pair.code == 5 { pair.own } else { 0 };
        }
        counted
    }

    /// Its latencies, and adds them to `all`.
    #[must_use]
    pub fn latency(&self, now: Instant, all: &mut Digest) -> super::latency::Summary {
        let windows = &mut lock(&self.state).latency;
        windows.add_to(now, all);
        windows.summary(now)
    }
}

impl State {
    fn count(&mut self, families: &Families, function: &str, status: u16, outcome: Outcome, by: u64) {
        if let Some(at) = self.find(status, outcome) {
            self.requests[at].counter.inc_by(by);
            self.requests[at].own += by;
            return;
        }
        let exact = status == 0 || (100..600).contains(&status);
        let room = self.requests.iter().filter(|p| p.code == 0 || p.code >= 10).count() < MOST_CODES;
        let class = (status / 100).clamp(1, 9);
        let code = if exact && room { status } else { class };
        let at = self.find(code, outcome).unwrap_or_else(|| {
            let (function, label) = if code == class { (OTHER, format!("{code}xx")) } else { (function, code.to_string()) };
            let counter = families.requests.with_label_values(&[function, &label, outcome.as_str()]);
            self.requests.push(Pair { code, outcome, counter, own: 0 });
            self.requests.len() - 1
        });
        self.requests[at].counter.inc_by(by);
        self.requests[at].own += by;
    }

    fn find(&self, code: u16, outcome: Outcome) -> Option<usize> {
        self.requests.iter().position(|p| (p.code, p.outcome) == (code, outcome))
    }
}

/// Names of functions are slugs; what else stands in a path is no name worth a series, least of all a phone number.
fn is_name(name: &str) -> bool {
    let slug = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(slug) && super::escape::secret(name).is_none()
}
