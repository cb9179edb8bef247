//! The store against a naive one, with purges and fetches that they overtake.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::store::purge::{Place, Purge};

/// What a naive store would hold: for each key the answers by selecting value; entries may be missing from the real one,
/// never different.
#[derive(Debug, Clone)]
enum Op {
    Insert { path: u8, language: u8, size: usize, varies: bool },
    Mark { path: u8 },
    Remove { path: u8 },
    Sweep { path: u8 },
    Begin { path: u8 },
    Finish,
    Purge { path: u8, kind: u8 },
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
        3 => (0_u8..24).prop_map(|path| Op::Begin { path }),
        3 => Just(Op::Finish),
        2 => (0_u8..24, 0_u8..5).prop_map(|(path, kind)| Op::Purge { path, kind }),
    ]
}

struct Bench {
    clock: Clock,
    store: Responses,
    /// Body of the newest answer by path and, if it varies, by language.
    model: BTreeMap<(u8, Option<u8>), Vec<u8>>,
    stamp: u64,
    /// Fetches under way, and whether a purge has taken what they fetch.
    fetches: Vec<(u8, Begun, bool)>,
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
                let stored = self.store.insert(&key, entry(&self.clock, &rule, &request, &answer, &body), &self.store.begin());
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
            Op::Begin { path } => self.fetches.push((path, self.store.begin(), false)),
            Op::Finish if self.fetches.is_empty() => {}
            Op::Finish => {
                let (path, begun, purged) = self.fetches.remove(0);
                let (rule, key) = Self::key(path);
                self.stamp += 1;
                let body = [&self.stamp.to_le_bytes()[..], &[path]].concat();
                let entry = entry(&self.clock, &rule, &HeaderMap::new(), &HeaderMap::new(), &body);
                let stored = self.store.insert(&key, entry, &begun);
                assert_eq!(matches!(stored, Err(NotStored::Purged)), purged && !matches!(stored, Err(NotStored::TooLarge)));
                if stored.is_ok() {
                    self.model.insert((path, None), body);
                }
            }
            Op::Purge { path, kind } => self.purge(path, kind),
            Op::Advance => self.clock.advance(Duration::from_secs(6)),
        }
    }

    fn purge(&mut self, path: u8, kind: u8) {
        let url = format!("/{path}");
        let takes = move |p: u8| match kind {
            0 => true,
            1 => p % 3 == path % 3,
            4 => p.to_string().starts_with(&path.to_string()),
            _ => p == path,
        };
        let place = |host| Place { host, target: url.clone() };
        match kind {
            0 => self.remove_by(&Purge::All),
            1 => self.remove_by(&Purge::Rule(format!("r{}", path % 3))),
            2 => self.remove_by(&Purge::Url(place(Some("h".to_owned())))),
            3 => self.store.invalidate("h", &url, None),
            _ => self.remove_by(&Purge::Prefix(place(None))),
        }
        self.model.retain(|(p, _), _| !takes(*p));
        self.fetches.iter_mut().for_each(|(p, _, purged)| *purged |= takes(*p));
    }

    /// As many go as were counted, and as the figures tell.
    fn remove_by(&self, purge: &Purge) {
        let purged = || self.store.usage().iter().map(|(_, usage)| usage.purged).sum::<u64>();
        let (before, counted) = (purged(), self.store.count(purge));
        assert_eq!((self.store.purge(purge), purged() - before, self.store.count(purge)), (counted, counted, 0));
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
        let mut bench = Bench { clock: Clock::manual(), store, model: BTreeMap::new(), stamp: 0, fetches: Vec::new() };
        for (at, op) in ops.iter().enumerate() {
            bench.run(op);
            if at % 16 == 0 || at + 1 == ops.len() {
                bench.check(capacity)?;
            }
        }
    }
}
