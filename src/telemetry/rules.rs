//! Metrics by rule: every series of a rule exists, at zero, from the moment the rule is in force.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use prometheus::{Counter, Histogram, IntCounter, IntCounterVec};
use serde::Serialize;

use super::families::Families;
use super::functions::OTHER;
use super::lock;
use super::record::{CacheRecord, DedupRecord, DedupResult, Finished, LookupResult, RefreshResult};
use crate::cache::{Bypass, NotStored};
use crate::dedup::{Cause, Repeats, SkipReason};
use crate::engine::RuleSet;
use crate::upstream::warm;

/// Most rule names of one kind in the life of the process; reloads that name more get no series for them.
const MOST: usize = 200;
/// Most steps of warm-up with series of their own, over all reloads.
const MOST_STEPS: usize = 40;
/// Results of a look-up that have a series.
const LOOKUPS: [LookupResult; 5] =
    [LookupResult::Hit, LookupResult::Stale, LookupResult::Miss, LookupResult::Coalesced, LookupResult::Revalidated];
/// Results of an event.
const MESSAGES: [DedupResult; 4] = [DedupResult::New, DedupResult::Duplicate, DedupResult::Joined, DedupResult::Timeout];

/// The series of all rules.
#[derive(Debug)]
pub struct Rules {
    families: Arc<Families>,
    known: ArcSwap<Known>,
    /// Steps of warm-up that have series.
    steps: Mutex<BTreeSet<Box<str>>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    cache: HashMap<Arc<str>, Arc<CacheRule>>,
    dedup: HashMap<Arc<str>, Arc<DedupRule>>,
    /// Names in force, in the order of the file.
    cache_in_force: Vec<Arc<str>>,
    dedup_in_force: Vec<Arc<str>>,
}

type Words = Vec<(&'static str, IntCounter)>;

/// The series of one cache rule.
#[derive(Debug)]
pub struct CacheRule {
    matches: IntCounter,
    lookups: Words,
    bypass: Words,
    not_stored: Words,
    refreshes: Words,
    saved: Counter,
    fetches: AtomicU64,
    fetch_nanos: AtomicU64,
}

/// The series of one deduplication rule.
#[derive(Debug)]
pub struct DedupRule {
    matches: IntCounter,
    messages: Words,
    requests: Words,
    skipped: Words,
    repeats: [IntCounter; Cause::ALL.len()],
    missed: IntCounter,
    gap: Histogram,
}

impl Rules {
    /// No rules.
    #[must_use]
    pub fn new(families: Arc<Families>) -> Self {
        Self { families, known: ArcSwap::default(), steps: Mutex::default() }
    }

    /// Creates the series of a step of `warm:`.
    pub fn prepare_warm(&self, step: &str) {
        for outcome in warm::Outcome::ALL {
            self.families.warmups.with_label_values(&[self.step(step), outcome.as_str()]);
        }
    }

    /// Counts a call of warm-up.
    pub fn warmed(&self, step: &str, outcome: warm::Outcome) {
        self.families.warmups.with_label_values(&[self.step(step), outcome.as_str()]).inc();
    }

    /// A step's label: the first [`MOST_STEPS`] names have one, the rest share one.
    fn step<'s>(&self, step: &'s str) -> &'s str {
        let mut steps = lock(&self.steps);
        if steps.contains(step) || (steps.len() < MOST_STEPS && steps.insert(step.into())) { step } else { OTHER }
    }

    /// Creates the series of every rule that has none yet. Those of rules no longer in force stay: requests may still end on them.
    pub fn prepare(&self, rules: &RuleSet) {
        let mut next = Known::clone(&self.known.load());
        next.cache_in_force = rules.cache.include.iter().map(|r| Arc::clone(&r.name)).collect();
        next.dedup_in_force = rules.dedup.include.iter().map(|r| Arc::clone(&r.name)).collect();
        for name in next.cache_in_force.iter().filter(|n| !next.cache.contains_key(*n)).cloned().collect::<Vec<_>>() {
            if next.cache.len() < MOST {
                next.cache.insert(Arc::clone(&name), Arc::new(CacheRule::new(&self.families, &name)));
            }
        }
        for name in next.dedup_in_force.iter().filter(|n| !next.dedup.contains_key(*n)).cloned().collect::<Vec<_>>() {
            if next.dedup.len() < MOST {
                next.dedup.insert(Arc::clone(&name), Arc::new(DedupRule::new(&self.families, &name)));
            }
        }
        self.known.store(Arc::new(next));
    }

    /// Counts what the rules did with one request.
    pub fn record(&self, done: &Finished<'_>) {
        if done.cache.is_none() && done.dedup.is_none() {
            return;
        }
        let known = self.known.load();
        if let Some((rule, cache)) = done.cache.as_ref().and_then(|c| Some((known.cache.get(c.rule)?, c))) {
            rule.record(&self.families, cache, done);
        }
        if let Some((rule, dedup)) = done.dedup.as_ref().and_then(|d| Some((known.dedup.get(d.rule)?, d))) {
            rule.record(&self.families, dedup);
        }
    }

    /// The cache rules in force, in the order of the file.
    #[must_use]
    pub fn cache(&self) -> Vec<(Arc<str>, Arc<CacheRule>)> {
        let known = self.known.load();
        known.cache_in_force.iter().filter_map(|n| Some((Arc::clone(n), Arc::clone(known.cache.get(n)?)))).collect()
    }

    /// The deduplication rules in force, in the order of the file.
    #[must_use]
    pub fn dedup(&self) -> Vec<(Arc<str>, Arc<DedupRule>)> {
        let known = self.known.load();
        known.dedup_in_force.iter().filter_map(|n| Some((Arc::clone(n), Arc::clone(known.dedup.get(n)?)))).collect()
    }

    /// What the rules in force did.
    #[must_use]
    pub fn by_rule(&self) -> ByRule {
        let mut all = ByRule {
            matches: self.cache().into_iter().map(|(name, rule)| (name.to_string(), rule.matches.get())).collect(),
            ..ByRule::default()
        };
        for (name, rule) in self.dedup() {
            all.matches.insert(name.to_string(), rule.matches.get());
            all.repeats
                .insert(name.to_string(), Cause::ALL.iter().zip(&rule.repeats).map(|(cause, n)| (cause.as_str(), n.get())).collect());
        }
        all
    }
}

/// What the rules in force did beside what the JSON document says of them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ByRule {
    /// Requests that each one decided.
    pub matches: BTreeMap<String, u64>,
    /// Why messages came again, by deduplication rule and cause.
    pub repeats: BTreeMap<String, BTreeMap<&'static str, u64>>,
}

impl CacheRule {
    fn new(families: &Families, rule: &str) -> Self {
        Self {
            matches: families.rule_matches.with_label_values(&[rule]),
            lookups: series(&families.cache_lookups, rule, LOOKUPS.iter().map(|r| r.as_str())),
            bypass: series(&families.cache_bypass, rule, Bypass::ALL.iter().map(|r| r.as_str())),
            not_stored: series(&families.cache_not_stored, rule, NotStored::ALL.iter().map(|r| r.as_str())),
            refreshes: series(&families.cache_refreshes, rule, RefreshResult::ALL.iter().map(|r| r.as_str())),
            saved: families.cache_saved.with_label_values(&[rule]),
            fetches: AtomicU64::new(0),
            fetch_nanos: AtomicU64::new(0),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "an estimate of seconds")]
    fn record(&self, families: &Families, cache: &CacheRecord<'_>, done: &Finished<'_>) {
        self.matches.inc();
        match cache.result {
            LookupResult::Bypass => inc(&self.bypass, &families.cache_bypass, cache.rule, cache.bypass.unwrap_or("unknown")),
            result => inc(&self.lookups, &families.cache_lookups, cache.rule, result.as_str()),
        }
        if let Some(reason) = cache.not_stored {
            inc(&self.not_stored, &families.cache_not_stored, cache.rule, reason);
        }
        if let Some(result) = cache.refreshed {
            inc(&self.refreshes, &families.cache_refreshes, cache.rule, result.as_str());
        }
        match (cache.result, done.upstream) {
            (LookupResult::Miss, Some(call)) => {
                self.fetch_nanos.fetch_add(u64::try_from(call.total.as_nanos()).unwrap_or(u64::MAX), Relaxed);
                self.fetches.fetch_add(1, Relaxed);
            }
            (LookupResult::Hit | LookupResult::Stale | LookupResult::Coalesced, _) => {
                let fetches = self.fetches.load(Relaxed).max(1) as f64;
                self.saved.inc_by(self.fetch_nanos.load(Relaxed) as f64 / fetches / 1e9);
            }
            _ => {}
        }
    }

    /// Look-ups with this result.
    #[must_use]
    pub fn looked_up(&self, result: LookupResult) -> u64 {
        self.lookups.iter().filter(|(word, _)| *word == result.as_str()).map(|(_, n)| n.get()).sum()
    }

    /// Requests not looked up.
    #[must_use]
    pub fn bypassed(&self) -> u64 {
        self.matches.get().saturating_sub(self.lookups.iter().map(|(_, n)| n.get()).sum())
    }
}

impl DedupRule {
    fn new(families: &Families, rule: &str) -> Self {
        Self {
            matches: families.rule_matches.with_label_values(&[rule]),
            messages: series(&families.dedup_messages, rule, MESSAGES.iter().map(|r| r.as_str())),
            requests: series(&families.dedup_requests, rule, DedupResult::ALL.iter().map(|r| r.as_str())),
            skipped: series(&families.dedup_skipped, rule, SkipReason::ALL.iter().map(|r| r.as_str())),
            repeats: Cause::ALL.map(|cause| families.dedup_repeats.with_label_values(&[rule, cause.as_str()])),
            missed: families.dedup_missed.with_label_values(&[rule]),
            gap: families.dedup_gap.with_label_values(&[rule]),
        }
    }

    fn record(&self, families: &Families, dedup: &DedupRecord<'_>) {
        self.matches.inc();
        inc(&self.requests, &families.dedup_requests, dedup.rule, dedup.result.as_str());
        if let Some(reason) = dedup.skipped {
            inc(&self.skipped, &families.dedup_skipped, dedup.rule, reason);
        }
        self.record_repeats(&dedup.repeats);
        let (repeated, undecided) = match dedup.result {
            DedupResult::Joined => (DedupResult::Joined, 0),
            DedupResult::Timeout => (DedupResult::Duplicate, dedup.ids.saturating_sub(dedup.new + dedup.repeated)),
            _ => (DedupResult::Duplicate, 0),
        };
        for (result, n) in [(DedupResult::New, dedup.new), (repeated, dedup.repeated), (DedupResult::Timeout, undecided)] {
            if let Some((_, counter)) = self.messages.iter().find(|(word, _)| n > 0 && *word == result.as_str()) {
                counter.inc_by(n.into());
            }
        }
    }

    fn record_repeats(&self, repeats: &Repeats) {
        for (cause, counter) in Cause::ALL.into_iter().zip(&self.repeats) {
            counter.inc_by(repeats.of(cause).into());
        }
        self.missed.inc_by(repeats.missed().into());
        if let Some(gap) = repeats.gap() {
            self.gap.observe(gap.as_secs_f64());
        }
    }

    /// Repeats that were forwarded though the function had taken the event within 24 h.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.get()
    }

    /// Requests with this result.
    #[must_use]
    pub fn requests(&self, result: DedupResult) -> u64 {
        self.requests.iter().filter(|(word, _)| *word == result.as_str()).map(|(_, n)| n.get()).sum()
    }
}

fn series(family: &IntCounterVec, rule: &str, words: impl Iterator<Item = &'static str>) -> Words {
    words.map(|word| (word, family.with_label_values(&[rule, word]))).collect()
}

/// Counts a word; one that has no series yet gets it now. The words are `&'static`, so they cannot come from a request.
fn inc(words: &Words, family: &IntCounterVec, rule: &str, word: &'static str) {
    match words.iter().find(|(known, _)| *known == word) {
        Some((_, counter)) => counter.inc(),
        None => family.with_label_values(&[rule, word]).inc(),
    }
}
