//! The ready form of a rules file: matchers compiled, values typed, nothing left to fail.

use std::sync::Arc;
use std::time::Duration;

use crate::rules::Matcher;
use crate::{cache, dedup, upstream};

/// A rules file, ready to decide requests.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// What is cached.
    pub cache: Section<cache::Settings>,
    /// What is deduplicated.
    pub dedup: Section<dedup::Settings>,
    /// When a request is slow; first match wins, [`RuleSet::SLOW_AFTER`] without one.
    pub slow: Vec<SlowRule>,
    /// When the sidecar calls itself degraded or unhealthy.
    pub health: upstream::health::Settings,
}

impl RuleSet {
    /// The threshold of a slow request that no `slow:` rule matches.
    pub const SLOW_AFTER: Duration = Duration::from_secs(1);

    /// The matchers of all entries.
    pub fn matchers(&self) -> impl Iterator<Item = &Matcher> {
        let cache = self.cache.matchers().chain(self.dedup.matchers());
        cache.chain(self.slow.iter().map(|rule| &rule.matcher))
    }

    /// Whether a rule verifies signatures: what it needs for that may change although the file does not.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        self.dedup.include.iter().any(|rule| rule.settings.verify.is_some())
    }
}

/// One section: exclusions are read first and always win, then the first include that matches decides.
#[derive(Clone, Debug)]
pub struct Section<S> {
    /// Requests this section never touches.
    pub exclude: Vec<Exclusion>,
    /// Rules, top to bottom.
    pub include: Vec<Arc<Rule<S>>>,
}

impl<S> Section<S> {
    /// The matchers of both lists.
    pub fn matchers(&self) -> impl Iterator<Item = &Matcher> {
        self.exclude.iter().map(|e| &e.matcher).chain(self.include.iter().map(|rule| &rule.matcher))
    }
}

impl<S> Default for Section<S> {
    fn default() -> Self {
        Self { exclude: Vec::new(), include: Vec::new() }
    }
}

/// One entry of an `exclude:` list.
#[derive(Clone, Debug)]
pub struct Exclusion {
    /// Its name; the path's text for a bare string.
    pub name: Arc<str>,
    /// What it matches.
    pub matcher: Matcher,
}

/// One entry of an `include:` list.
#[derive(Clone, Debug)]
pub struct Rule<S> {
    /// `[a-z][a-z0-9-]{0,39}`, unique in its file: label, log field, line of `explain`.
    pub name: Arc<str>,
    /// What it matches.
    pub matcher: Matcher,
    /// What it does.
    pub settings: S,
}

/// One entry of the `slow:` list.
#[derive(Clone, Debug)]
pub struct SlowRule {
    /// What it matches.
    pub matcher: Matcher,
    /// A request that takes longer is slow.
    pub after: Duration,
}
