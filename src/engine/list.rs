//! The entries of one list of a rules file, in their order, and how the first that matches is found without a look at all of them.
//!
//! Most rules name a function, or a path that begins with words of its own. Those words are a key: only rules whose key the request begins with
//! can match, and the keys that a text begins with are found by one binary search, as each knows the longest other key that it begins with itself.

use std::ops::Deref;
use std::sync::Arc;

use super::ruleset::{Exclusion, Rule, SlowRule};
use crate::rules::{Facts, Matcher};

/// A list as short as this is read from top to bottom: that is faster.
const SHORT: usize = 16;

/// An entry with a `match:`.
pub trait Matched {
    /// What it matches.
    fn matcher(&self) -> &Matcher;
}

impl Matched for Exclusion {
    fn matcher(&self) -> &Matcher {
        &self.matcher
    }
}

impl Matched for SlowRule {
    fn matcher(&self) -> &Matcher {
        &self.matcher
    }
}

impl<S> Matched for Arc<Rule<S>> {
    fn matcher(&self) -> &Matcher {
        &self.matcher
    }
}

/// Entries in the order of the file; never changed once it is made.
#[derive(Clone, Debug)]
pub struct List<T> {
    entries: Vec<T>,
    index: Option<Index>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), index: None }
    }
}

impl<T: Matched> From<Vec<T>> for List<T> {
    fn from(entries: Vec<T>) -> Self {
        let index = (entries.len() > SHORT).then(|| Index::new(entries.iter().map(Matched::matcher)));
        Self { entries, index }
    }
}

impl<T: Matched> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        Self::from(entries.into_iter().collect::<Vec<T>>())
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.entries
    }
}

impl<'l, T> IntoIterator for &'l List<T> {
    type Item = &'l T;
    type IntoIter = std::slice::Iter<'l, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

impl<T: Matched> List<T> {
    /// The place of the first entry that matches.
    #[must_use]
    pub fn first(&self, facts: &Facts<'_>) -> Option<usize> {
        let matches = |at: usize| self.entries[at].matcher().check(facts).is_ok();
        match &self.index {
            None => (0..self.entries.len()).find(|at| matches(*at)),
            Some(index) => index.first(facts, matches),
        }
    }
}

/// Which entries can match at all.
#[derive(Clone, Debug, Default)]
struct Index {
    functions: Keys,
    paths: Keys,
    /// Entries without a key, in order.
    rest: Vec<usize>,
}

impl Index {
    fn new<'m>(matchers: impl Iterator<Item = &'m Matcher>) -> Self {
        let (mut functions, mut paths, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for (at, matcher) in matchers.enumerate() {
            // every path begins with a slash
            match (matcher.function.as_ref().map_or("", |p| p.beginning()), matcher.path.as_ref().map_or("", |p| p.beginning())) {
                ("", "" | "/") => rest.push(at),
                ("", path) => paths.push((path, at)),
                (function, _) => functions.push((function, at)),
            }
        }
        Self { functions: Keys::new(functions), paths: Keys::new(paths), rest }
    }

    fn first(&self, facts: &Facts<'_>, matches: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = None;
        let mut look = |entries: &[usize]| {
            let before = entries.iter().take_while(|at| best.is_none_or(|best| **at < best));
            best = before.copied().find(|at| matches(*at)).or(best);
        };
        self.functions.each(facts.function, &mut look);
        self.paths.each(facts.path.as_str(), &mut look);
        look(&self.rest);
        best
    }
}

/// Beginnings of texts, sorted, each once.
#[derive(Clone, Debug, Default)]
struct Keys(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    text: Box<str>,
    /// The longest other key that this one begins with.
    shorter: Option<usize>,
    /// Entries with this key, in order.
    entries: Vec<usize>,
}

impl Keys {
    fn new(mut pairs: Vec<(&str, usize)>) -> Self {
        pairs.sort_unstable();
        let mut keys: Vec<Key> = Vec::new();
        for (text, at) in pairs {
            match keys.last_mut() {
                Some(last) if *last.text == *text => last.entries.push(at),
                _ => {
                    // what comes before in this order and is a beginning is the last one, or a beginning of it
                    let mut shorter = keys.len().checked_sub(1);
                    while let Some(key) = shorter.map(|at| &keys[at]).filter(|key| !text.starts_with(&*key.text)) {
                        shorter = key.shorter;
                    }
                    keys.push(Key { text: text.into(), shorter, entries: vec![at] });
                }
            }
        }
        Self(keys)
    }

    /// Calls `look` with the entries of each key that the text begins with.
    fn each(&self, text: &str, mut look: impl FnMut(&[usize])) {
        let mut at = self.0.partition_point(|key| *key.text <= *text).checked_sub(1);
        while let Some(key) = at.map(|at| &self.0[at]) {
            // once one is a beginning, so are those that it begins with
            if text.starts_with(&*key.text) {
                look(&key.entries);
            }
            at = key.shorter;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use proptest::collection::vec;
    use proptest::option::of;
    use proptest::prelude::*;

    use super::*;
    use crate::rules::path::Path;
    use crate::rules::{Pattern, function};

    fn entries() -> impl Strategy<Value = Vec<SlowRule>> {
        let glob = |text: &'static str| of(text.prop_map(|text| Pattern::new(&text).expect("a glob")));
        let one = (glob("[ab]{0,3}[*?]?"), glob("(/[ab]{0,2}){0,2}(/\\*\\*|/\\*|\\*\\*/a)?"), of(Just(Method::POST)));
        let rule = one.prop_map(|(function, path, method)| SlowRule {
            matcher: Matcher { function, path, methods: method.into_iter().collect(), ..Matcher::default() },
            after: std::time::Duration::from_secs(1),
        });
        vec(rule, 0..80)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_first_is_the_first(entries in entries(), path in "(/[ab]{0,3}){1,3}") {
            let headers = HeaderMap::new();
            let facts = Facts {
                listener: "l",
                upstream: "u",
                method: &Method::GET,
                host: "",
                path: Path::new(&path),
                query: None,
                function: function::name(&path, "/"),
                headers: &headers,
                trusted: false,
            };
            let naive = entries.iter().position(|entry| entry.matcher.check(&facts).is_ok());
            prop_assert_eq!(List::from(entries.clone()).first(&facts), naive);
            // and with an index however short it is
            let index = Index::new(entries.iter().map(Matched::matcher));
            prop_assert_eq!(index.first(&facts, |at| entries[at].matcher.check(&facts).is_ok()), naive);
        }
    }

    #[test]
    fn ordinary_rules_have_a_key() {
        let of = |function: &str, path: &str| {
            let glob = |text: &str| (!text.is_empty()).then(|| Pattern::new(text).expect("a glob"));
            Matcher { function: glob(function), path: glob(path), ..Matcher::default() }
        };
        let matchers = [of("a", ""), of("a*", "/x"), of("", "/x/**"), of("*", "/x"), of("", "**/a"), of("", "/*"), of("{a,b}", "")];
        let index = Index::new(matchers.iter());
        assert_eq!((index.functions.0.len(), index.paths.0.len(), index.rest), (1, 2, vec![4, 5, 6]));
    }
}
