use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::cache::policy::{Answer, storable};
use crate::cache::request::Request;
use crate::cache::{CallerSecret, Scope, Settings, Statuses, Ttl};
use crate::clock::Clock;

const SETTINGS: Settings = Settings { ttl: Ttl::Usual(Duration::from_mins(1)), scope: Scope::PerCaller, statuses: Statuses::Usual };

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    map
}

fn key(rule: &str, path: &str, request: &HeaderMap) -> CacheKey {
    let request =
        Request { method: &Method::GET, host: "h", path, odd_path: false, query: None, headers: request, has_body: false, upstream: "u" };
    CacheKey::new(rule, SETTINGS.scope, &request, &CallerSecret::new([1; 16]))
}

fn entry(clock: &Clock, rule: &str, request: &HeaderMap, answer: &HeaderMap, body: &[u8]) -> Entry {
    let head = Answer { status: 200, headers: answer, delay: Duration::ZERO, now: clock.now(), wall: clock.wall() };
    let storable = storable(&SETTINGS, request, &head, u64::MAX).expect("storable");
    let fields = answer.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    Entry::new(rule.into(), storable, answer, fields, &[Bytes::copy_from_slice(body)])
}

fn body(found: &Found) -> Option<&[u8]> {
    match found {
        Found::Entry { entry, .. } => Some(entry.body()),
        _ => None,
    }
}

#[test]
fn a_callers_answer_is_not_anothers() {
    let (clock, store) = (Clock::manual(), Responses::new(1 << 20, 1 << 10));
    let (a, b, api) = (headers(&[("authorization", "a")]), headers(&[("authorization", "b")]), headers(&[("apikey", "a")]));
    let stored = store.insert(&key("r", "/p", &a), entry(&clock, "r", &a, &HeaderMap::new(), b"of a")).expect("stored");
    assert_eq!(body(&store.lookup(&key("r", "/p", &a), &a, clock.now())), Some(&stored.body()[..]));
    for other in [&b, &api, &HeaderMap::new()] {
        assert!(matches!(store.lookup(&key("r", "/p", other), other, clock.now()), Found::Nothing));
    }
}

#[test]
fn variants_by_selecting_fields() {
    let (clock, store) = (Clock::manual(), Responses::new(1 << 20, 1 << 10));
    let answer = headers(&[("vary", "accept-language")]);
    let language = |value: &str| headers(&[("accept-language", value)]);
    let key = key("r", "/p", &HeaderMap::new());
    for text in ["en", "fr", "en"] {
        store.insert(&key, entry(&clock, "r", &language(text), &answer, text.as_bytes())).expect("stored");
    }
    assert_eq!(store.totals().entries, 2);
    assert_eq!(store.totals().evicted[Evicted::Replaced as usize].1, 1);
    for text in ["en", "fr"] {
        assert_eq!(body(&store.lookup(&key, &language(text), clock.now())), Some(text.as_bytes()));
    }
    let flight = |text: &str| match store.lookup(&key, &language(text), clock.now()) {
        Found::NoVariant { flight } => Some(flight),
        _ => None,
    };
    assert!(flight("de").is_some() && flight("de") == flight("DE") && flight("de") != flight("it") && flight("de") != Some(key.clone()));
}

#[test]
fn the_least_recently_used_variant_goes() {
    let (clock, store) = (Clock::manual(), Responses::new(1 << 20, 1 << 10));
    let answer = headers(&[("vary", "x-a")]);
    let key = key("r", "/p", &HeaderMap::new());
    let request = |n: usize| headers(&[("x-a", &n.to_string())]);
    for n in 0..40 {
        store.insert(&key, entry(&clock, "r", &request(n), &answer, b"")).expect("stored");
        assert!(body(&store.lookup(&key, &request(0), clock.now())).is_some(), "asked for all the time: {n}");
        assert!(body(&store.lookup(&key, &request(n), clock.now())).is_some(), "the newest: {n}");
    }
    assert_eq!((store.totals().entries, store.totals().evicted[Evicted::VaryCap as usize].1), (16, 24));
}

#[test]
fn a_pass_marker_ends_by_time_or_by_an_insert() {
    let (clock, store) = (Clock::manual(), Responses::new(1 << 20, 1 << 10));
    let (none, key) = (HeaderMap::new(), key("r", "/p", &HeaderMap::new()));
    let ten = Duration::from_secs(10);
    store.mark_pass(&key, &"r".into(), clock.now() + ten);
    assert!(matches!(store.lookup(&key, &none, clock.now()), Found::Pass));
    assert_eq!((store.totals().entries, store.totals().bytes), (0, key.len() as u64 + 200));
    clock.advance(ten);
    assert!(matches!(store.lookup(&key, &none, clock.now()), Found::Nothing));
    store.sweep(clock.now(), |_| false);
    assert_eq!(store.totals().bytes, 0);
    store.insert(&key, entry(&clock, "r", &none, &none, b"x")).expect("stored");
    store.mark_pass(&key, &"r".into(), clock.now() + ten);
    assert!(matches!(store.lookup(&key, &none, clock.now()), Found::Entry { passing: true, .. }), "what is stored stays");
    store.insert(&key, entry(&clock, "r", &none, &none, b"y")).expect("stored");
    assert!(matches!(store.lookup(&key, &none, clock.now()), Found::Entry { passing: false, .. }));
    store.remove(&key);
    assert!(matches!(store.lookup(&key, &none, clock.now()), Found::Nothing));
    assert_eq!(store.totals().bytes, 0);
}

#[test]
fn large_objects_fit_or_are_refused() {
    let (clock, none) = (Clock::manual(), HeaderMap::new());
    let key = key("r", "/p", &none);
    for (capacity, max_object, shards) in [(32 << 20, 1 << 20, 4), (64 << 20, 1 << 20, 8), (1 << 20, 1 << 20, 1), (0, 1 << 20, 1)] {
        let store = Responses::new(capacity, max_object);
        assert_eq!(store.slots.num_shards(), shards, "{capacity}");
        let insert = |len: u64| store.insert(&key, entry(&clock, "r", &none, &none, &vec![0; usize::try_from(len).unwrap_or(0)])).err();
        assert_eq!(insert(max_object + 1), Some(NotStored::TooLarge));
        assert_eq!(insert(max_object).is_none(), shards > 1, "{capacity}");
        assert_eq!(insert(capacity / 4), Some(NotStored::TooLarge), "{capacity}");
    }
    Responses::new(0, 1).mark_pass(&key, &"r".into(), clock.now() + Duration::from_secs(1));
}

#[test]
fn the_books_are_exact_after_many_threads() {
    let (clock, store) = (Clock::manual(), Responses::new(256 << 10, 1 << 10));
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (clock, store) = (&clock, &store);
            scope.spawn(move || {
                for n in 0..400 {
                    let (none, rule) = (HeaderMap::new(), ["r0", "r1"][thread % 2]);
                    let key = key(rule, &format!("/{}", n % 150), &none);
                    let _ = store.insert(&key, entry(clock, rule, &none, &none, &vec![0; n]));
                    let _ = store.lookup(&key, &none, clock.now());
                    if n % 50 == thread {
                        store.sweep(clock.now(), |entry| entry.body().len() % 7 == 0);
                    }
                }
            });
        }
    });
    let (totals, usage) = (store.totals(), store.usage());
    assert!(totals.bytes > 0 && totals.bytes <= totals.capacity);
    assert_eq!(usage.iter().map(|(_, u)| u.bytes).sum::<u64>(), totals.bytes);
    assert_eq!(usage.iter().map(|(_, u)| u.entries + u.evictions).sum::<u64>(), 1600, "each insert is there or counted as gone");
}

/// What a naive store would hold: for each key the answers by selecting value; entries may be missing from the real one,
/// never different.
#[derive(Debug, Clone)]
enum Op {
    Insert { path: u8, language: u8, size: usize, varies: bool },
    Mark { path: u8 },
    Remove { path: u8 },
    Sweep { path: u8 },
    Advance,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0_u8..24, 0_u8..20, 0_usize..3000, any::<bool>())
            .prop_map(|(path, language, size, varies)| Op::Insert { path, language, size, varies }),
        2 => (0_u8..24).prop_map(|path| Op::Mark { path }),
        1 => (0_u8..24).prop_map(|path| Op::Remove { path }),
        1 => (0_u8..24).prop_map(|path| Op::Sweep { path }),
        1 => Just(Op::Advance),
    ]
}

struct Bench {
    clock: Clock,
    store: Responses,
    /// Body of the newest answer by path and, if it varies, by language.
    model: BTreeMap<(u8, Option<u8>), Vec<u8>>,
    stamp: u64,
}

impl Bench {
    fn key(path: u8) -> (String, CacheKey) {
        let rule = format!("r{}", path % 3);
        let key = key(&rule, &format!("/{path}"), &HeaderMap::new());
        (rule, key)
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Insert { path, language, size, varies } => {
                let (rule, key) = Self::key(path);
                let request = headers(&[("x-l", &language.to_string())]);
                let answer = if varies { headers(&[("vary", "x-l")]) } else { HeaderMap::new() };
                self.stamp += 1;
                let body = [&self.stamp.to_le_bytes()[..], &[path], &vec![0; size]].concat();
                let stored = self.store.insert(&key, entry(&self.clock, &rule, &request, &answer, &body));
                if stored.is_ok() {
                    self.model.insert((path, varies.then_some(language)), body);
                }
            }
            Op::Mark { path } => {
                let (rule, key) = Self::key(path);
                self.store.mark_pass(&key, &rule.as_str().into(), self.clock.now() + Duration::from_secs(10));
            }
            Op::Remove { path } => {
                self.store.remove(&Self::key(path).1);
                self.model.retain(|(p, _), _| *p != path);
            }
            Op::Sweep { path } => {
                self.store.sweep(self.clock.now(), |entry| entry.body()[8] == path);
                self.model.retain(|(p, _), _| *p != path);
            }
            Op::Advance => self.clock.advance(Duration::from_secs(6)),
        }
    }

    fn check(&self, capacity: u64) -> Result<(), TestCaseError> {
        let (totals, usage) = (self.store.totals(), self.store.usage());
        let (mut bytes, mut entries) = (BTreeMap::new(), BTreeMap::new());
        for (key, slot) in self.store.slots.iter() {
            *bytes.entry(slot.rule().to_string()).or_insert(0) += slot.weight(&key);
            *entries.entry(slot.rule().to_string()).or_insert(0) += slot.len();
            prop_assert!(!slot.is_empty());
        }
        prop_assert!(totals.bytes <= capacity, "{totals:?}");
        prop_assert_eq!(totals.bytes, bytes.values().sum::<u64>());
        prop_assert_eq!(totals.entries, entries.values().sum::<u64>());
        for (rule, usage) in &usage {
            prop_assert_eq!(usage.bytes, bytes.get(&**rule).copied().unwrap_or(0));
            prop_assert_eq!(usage.entries, entries.get(&**rule).copied().unwrap_or(0));
        }
        let evicted: u64 = totals.evicted.iter().map(|(_, n)| n).sum();
        prop_assert_eq!(usage.iter().map(|(_, u)| u.evictions).sum::<u64>(), evicted);
        for path in 0..24 {
            for language in 0..20 {
                let found = self.store.lookup(&Self::key(path).1, &headers(&[("x-l", &language.to_string())]), self.clock.now());
                if let Some(body) = body(&found) {
                    let fits = [None, Some(language)].map(|l| self.model.get(&(path, l)).map(Vec::as_slice));
                    prop_assert!(fits.contains(&Some(body)), "another's or an older answer");
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_books_are_exact_and_no_answer_is_anothers(ops in prop::collection::vec(op(), 1..120), capacity in 0_u64..60_000) {
        let store = Responses::new(capacity, 2500);
        let mut bench = Bench { clock: Clock::manual(), store, model: BTreeMap::new(), stamp: 0 };
        for (at, op) in ops.iter().enumerate() {
            bench.run(op);
            if at % 16 == 0 || at + 1 == ops.len() {
                bench.check(capacity)?;
            }
        }
    }
}
