//! What is stored under one primary key: up to 16 variants, newest first, and perhaps a pass marker. Never changed in
//! place; a reader keeps the one it got.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::HeaderMap;

use super::Evicted;
use crate::cache::{CacheKey, Entry};

/// Variants of one key; beyond them the one used least recently goes.
const MAX_VARIANTS: usize = 16;
/// What a slot without entries weighs: it holds a pass marker.
const MARKER: u64 = 200;

/// See the module.
#[derive(Debug)]
pub struct Slot {
    rule: Arc<str>,
    variants: Vec<Variant>,
    pass_until: Option<Instant>,
    tries: Tries,
    /// Of its entries, or of the marker.
    weight: u64,
}

/// What came of asking again for what is stored.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    /// A function that failed is not asked again before then; how long that was.
    back_off: Option<(Instant, Duration)>,
    /// When a caller last had a fresh answer fetched anew.
    forced: Option<Instant>,
}

/// After the first failure; doubled by each further one.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);
/// Callers have a fresh answer fetched anew once in this time.
const FORCED_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Variant {
    entry: Arc<Entry>,
    /// The tick of its last use.
    used: AtomicU64,
}

/// How many entries a change lost, and why.
#[derive(Clone, Copy, Debug)]
pub struct Lost {
    /// Why `entries` went.
    pub reason: Evicted,
    /// Entries gone for that reason.
    pub entries: u64,
    /// Entries gone because there were too many variants.
    pub crowded: u64,
}

impl Slot {
    fn new(rule: Arc<str>, variants: Vec<Variant>, pass_until: Option<Instant>, tries: Tries) -> Self {
        let weight = if variants.is_empty() { MARKER } else { weight_of(&variants) };
        Self { rule, variants, pass_until, tries, weight }
    }

    /// The same entries and marker, other tries.
    fn tried(&self, tries: Tries) -> (Self, Lost) {
        let variants = self.variants.iter().map(Variant::copy).collect();
        let slot = Self::new(Arc::clone(&self.rule), variants, self.pass_until, tries);
        (slot, Lost { reason: Evicted::Replaced, entries: 0, crowded: 0 })
    }

    /// The function failed just now: what is stored may answer for a while without it being asked again.
    pub fn failed(&self, now: Instant) -> (Self, Lost) {
        let time = self.tries.back_off.map_or(FIRST_BACK_OFF, |(_, last)| (last * 2).min(LONGEST_BACK_OFF));
        self.tried(Tries { back_off: Some((now + time, time)), ..self.tries })
    }

    /// Whether the function failed so lately that it is not asked again.
    pub fn is_backing_off(&self, now: Instant) -> bool {
        self.tries.back_off.is_some_and(|(until, _)| now < until)
    }

    /// A caller has a fresh answer fetched anew; `None` if one has had that done just before.
    pub fn forced(&self, now: Instant) -> Option<(Self, Lost)> {
        let due = self.tries.forced.is_none_or(|last| now.saturating_duration_since(last) >= FORCED_EVERY);
        due.then(|| self.tried(Tries { forced: Some(now), ..self.tries }))
    }

    /// Ends the freshness of its entries now.
    pub fn softened(&self, now: Instant) -> (Self, Lost) {
        let soft = |v: &Variant| Variant { entry: Arc::new(v.entry.softened(now)), used: AtomicU64::new(v.used.load(Relaxed)) };
        let variants = self.variants.iter().map(soft).collect();
        let slot = Self::new(Arc::clone(&self.rule), variants, self.pass_until, self.tries);
        (slot, Lost { reason: Evicted::Replaced, entries: 0, crowded: 0 })
    }

    /// `old` with a new entry in front, in place of those with the same selecting fields; no marker. The variants weigh
    /// at most `limit`.
    pub fn with(old: Option<&Self>, entry: Arc<Entry>, limit: u64) -> (Self, Lost) {
        let kept = old.into_iter().flat_map(|slot| &slot.variants).filter(|v| v.entry.selecting() != entry.selecting());
        let mut variants: Vec<_> = kept.map(Variant::copy).collect();
        let entries = old.map_or(0, Self::len) - variants.len() as u64;
        let before = variants.len();
        let room = limit.saturating_sub(entry.weight());
        while variants.len() >= MAX_VARIANTS || weight_of(&variants) > room {
            // of those equally idle the oldest goes
            let Some(idle) = (0..variants.len()).rev().min_by_key(|at| variants[*at].used.load(Relaxed)) else { break };
            variants.remove(idle);
        }
        let crowded = (before - variants.len()) as u64;
        let newest = variants.iter().map(|v| v.used.load(Relaxed)).max().unwrap_or(0);
        let rule = Arc::clone(entry.rule());
        variants.insert(0, Variant { entry, used: AtomicU64::new(newest) });
        let tries = Tries { back_off: None, forced: old.and_then(|slot| slot.tries.forced) };
        (Self::new(rule, variants, None, tries), Lost { reason: Evicted::Replaced, entries, crowded })
    }

    /// `old` with a marker.
    pub fn passing(old: Option<&Self>, rule: &Arc<str>, until: Instant) -> (Self, Lost) {
        let variants = old.into_iter().flat_map(|slot| &slot.variants).map(Variant::copy).collect();
        let tries = old.map_or_else(Tries::default, |slot| slot.tries);
        (Self::new(Arc::clone(rule), variants, Some(until), tries), Lost { reason: Evicted::Replaced, entries: 0, crowded: 0 })
    }

    /// Nothing.
    pub fn emptied(&self) -> (Self, Lost) {
        (
            Self::new(Arc::clone(&self.rule), Vec::new(), None, Tries::default()),
            Lost { reason: Evicted::Replaced, entries: self.len(), crowded: 0 },
        )
    }

    /// Without its dead entries, and without a marker that is over.
    pub fn swept(&self, now: Instant, is_dead: impl Fn(&Entry) -> bool) -> (Self, Lost) {
        let variants: Vec<_> = self.variants.iter().filter(|v| !is_dead(&v.entry)).map(Variant::copy).collect();
        let entries = self.len() - variants.len() as u64;
        let pass_until = self.pass_until.filter(|until| now < *until);
        (Self::new(Arc::clone(&self.rule), variants, pass_until, self.tries), Lost { reason: Evicted::Expired, entries, crowded: 0 })
    }

    /// Whether [`Self::swept`] would drop anything.
    pub fn needs_sweep(&self, now: Instant, is_dead: impl Fn(&Entry) -> bool) -> bool {
        self.pass_until.is_some_and(|until| until <= now) || self.variants.iter().any(|v| is_dead(&v.entry))
    }

    /// The newest entry that answers a request.
    pub fn find(&self, headers: &HeaderMap, tick: &AtomicU64) -> Option<Arc<Entry>> {
        let variant = self.variants.iter().find(|v| v.entry.selecting().matches(headers))?;
        if self.variants.len() > 1 {
            variant.used.store(tick.fetch_add(1, Relaxed), Relaxed);
        }
        Some(Arc::clone(&variant.entry))
    }

    /// The newest entry.
    pub fn newest(&self) -> Option<&Entry> {
        self.variants.first().map(|v| &*v.entry)
    }

    /// Whether a pass marker is in force.
    pub fn is_passing(&self, now: Instant) -> bool {
        self.pass_until.is_some_and(|until| now < until)
    }

    /// Name of the rule its key belongs to.
    pub const fn rule(&self) -> &Arc<str> {
        &self.rule
    }

    /// How many entries it has.
    pub const fn len(&self) -> u64 {
        self.variants.len() as u64
    }

    /// Whether it holds neither entry nor marker.
    pub const fn is_empty(&self) -> bool {
        self.variants.is_empty() && self.pass_until.is_none()
    }

    /// Bytes it costs with its key.
    pub fn weight(&self, key: &CacheKey) -> u64 {
        self.weight + key.len() as u64
    }
}

impl Variant {
    fn copy(&self) -> Self {
        Self { entry: Arc::clone(&self.entry), used: AtomicU64::new(self.used.load(Relaxed)) }
    }
}

fn weight_of(variants: &[Variant]) -> u64 {
    variants.iter().map(|v| v.entry.weight()).sum()
}
