//! What is taken out of the store before its time, and the log that keeps an answer out whose fetch began before (cache.md 9).
//!
//! A purge raises `seq`, then removes. A fetch notes `seq` when it starts, and its answer is stored only if no purge since then would
//! have removed it. So nothing fetched before a purge is stored after it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache::KeyParts;
use crate::rules::function;

/// Purges remembered while fetches run. A fetch that began before the oldest of a longer list is not stored.
const REMEMBERED: usize = 1024;

/// What an operator takes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Everything.
    All,
    /// The answers of one rule.
    Rule(String),
    /// The answers of one function, and for each upstream the prefix behind which its paths name it.
    Function(String, Vec<(String, String)>),
    /// One URL.
    Url(Place),
    /// Every URL that begins so.
    Prefix(Place),
}

/// What a purge does with what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Removes it.
    Remove,
    /// Ends its freshness: it is asked for again, and may be given meanwhile where the rule allows that.
    Soften,
    /// Nothing: it is only counted.
    Count,
}

/// A URL without its scheme, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In lower case, with its port as callers write it; `None` for any.
    pub host: Option<String>,
    /// Path and query, as requests write them.
    pub target: String,
}

impl Place {
    /// Reads `https://host/path?query` or `/path?query`. `None`: it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return Some(Self { host: None, target: text.to_owned() });
        }
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let slash = if target.starts_with('/') { "" } else { "/" };
        (!host.is_empty()).then(|| Self { host: Some(host.to_ascii_lowercase()), target: format!("{slash}{target}") })
    }

    fn is_on(&self, key: &KeyParts<'_>) -> bool {
        self.host.as_ref().is_none_or(|host| host == key.host)
    }
}

impl Purge {
    /// Whether it takes what is stored under a key.
    #[must_use]
    pub fn takes(&self, key: &KeyParts<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Rule(rule) => key.rule == rule,
            Self::Function(name, prefixes) => {
                let prefix = prefixes.iter().find(|(upstream, _)| upstream == key.upstream).map_or("/", |(_, prefix)| prefix);
                function::name(key.path, prefix) == name
            }
            Self::Url(place) => place.is_on(key) && place.target == key.target(),
            Self::Prefix(place) => place.is_on(key) && key.target().starts_with(&place.target),
        }
    }
}

/// Purges that fetches which run now have to know.
#[derive(Debug, Default)]
pub struct Log(Mutex<Running>);

#[derive(Debug, Default)]
struct Running {
    /// Raised by each purge.
    seq: u64,
    /// Fetches under way.
    fetches: usize,
    /// The latest purge that had to be forgotten.
    forgotten: u64,
    purges: VecDeque<(u64, Logged)>,
}

/// A purge in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logged {
    /// An operator's.
    Purge(Arc<Purge>),
    /// One resource that an unsafe method changed, by a hash of Host, path and query: a collision keeps one answer out.
    Resource(u64),
}

/// The moment a fetch began. While one is held, purges are remembered.
#[derive(Debug)]
pub struct Begun {
    log: Arc<Log>,
    seq: u64,
}

impl Log {
    /// A fetch begins.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> Begun {
        let mut running = self.lock();
        running.fetches += 1;
        Begun { log: Arc::clone(self), seq: running.seq }
    }

    /// A purge begins: what is under way must know it before the store is searched.
    pub fn add(&self, purge: Logged) {
        let mut running = self.lock();
        running.seq += 1;
        if running.fetches == 0 {
            return;
        }
        let seq = running.seq;
        // the same again: only the latest counts
        running.purges.retain(|(_, earlier)| *earlier != purge);
        running.purges.push_back((seq, purge));
        if running.purges.len() > REMEMBERED {
            running.forgotten = running.purges.pop_front().map_or(0, |(seq, _)| seq);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    /// Whether a purge since then takes this key, whose resource has this hash.
    #[must_use]
    pub fn is_purged(&self, key: &KeyParts<'_>, resource: u64) -> bool {
        let running = self.log.lock();
        let takes = |purge: &Logged| match purge {
            Logged::Purge(purge) => purge.takes(key),
            Logged::Resource(other) => *other == resource,
        };
        running.forgotten > self.seq || running.purges.iter().rev().take_while(|(seq, _)| *seq > self.seq).any(|(_, purge)| takes(purge))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut running = self.log.lock();
        running.fetches -= 1;
        if running.fetches == 0 {
            running.purges.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyParts<'_> =
        KeyParts { rule: "r", upstream: "u", host: "h:1", path: "/functions/v1/f/a", query: Some("x=1"), caller: None };

    fn place(text: &str) -> Place {
        Place::parse(text).expect("a place")
    }

    #[test]
    fn kinds() {
        let prefixes = || vec![("u".to_owned(), "/functions/v1/".to_owned())];
        for taken in [
            Purge::All,
            Purge::Rule("r".into()),
            Purge::Function("f".into(), prefixes()),
            Purge::Url(place("/functions/v1/f/a?x=1")),
            Purge::Url(place("https://H:1/functions/v1/f/a?x=1")),
            Purge::Prefix(place("/functions/v1/f/")),
            Purge::Prefix(place("http://h:1")),
        ] {
            assert!(taken.takes(&KEY), "{taken:?}");
        }
        for left in [
            Purge::Rule("r2".into()),
            Purge::Function("functions".into(), prefixes()),
            Purge::Url(place("/functions/v1/f/a")),
            Purge::Url(place("https://h/functions/v1/f/a?x=1")),
            Purge::Prefix(place("/functions/v1/f/b")),
            Purge::Prefix(place("http://h")),
        ] {
            assert!(!left.takes(&KEY), "{left:?}");
        }
        assert_eq!([Place::parse("functions"), Place::parse("ftp://h/"), Place::parse("http:///x"), Place::parse("")], [const { None }; 4]);
    }

    #[test]
    fn a_fetch_knows_the_purges_since_it_began() {
        let log = Arc::<Log>::default();
        let before = log.begin();
        log.add(Logged::Resource(7));
        let after = log.begin();
        assert!(before.is_purged(&KEY, 7) && !before.is_purged(&KEY, 8) && !after.is_purged(&KEY, 7));
        log.add(Logged::Purge(Arc::new(Purge::Rule("r".into()))));
        assert!(after.is_purged(&KEY, 8) && !after.is_purged(&KeyParts { rule: "s", ..KEY }, 8));
        drop((before, after));
        assert!(log.lock().purges.is_empty(), "nobody asks any more");
        assert!(!log.begin().is_purged(&KEY, 7));
    }

    #[test]
    fn the_same_purge_takes_one_place_and_too_many_keep_everything_out() {
        let log = Arc::<Log>::default();
        let begun = log.begin();
        (0..5_000).for_each(|_| log.add(Logged::Resource(1)));
        assert!(!begun.is_purged(&KEY, 2));
        (10..2_000).for_each(|n| log.add(Logged::Resource(n)));
        assert!(begun.is_purged(&KEY, 2) && !log.begin().is_purged(&KEY, 2));
    }
}
