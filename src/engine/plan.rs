//! `plan`: what the rules say about a request. One function, for every caller.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::list::{List, Matched};
use super::ruleset::{Rule, RuleSet, Section};
use super::trace::{Entry, Observer, Part};
use crate::cache::{self, CacheKey, CallerSecret, request};
use crate::dedup::{self, SkipReason};
use crate::rules::Facts;

/// What is to be done with one request. Owns its rules, so that a request ends on the rules it began with.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The cache's part.
    pub cache: CachePlan,
    /// Deduplication's part.
    pub dedup: DedupPlan,
    /// A request that takes longer is slow.
    pub slow_after: Duration,
}

/// The cache's part of a plan.
#[derive(Clone, Debug)]
pub enum CachePlan {
    /// No rule, or excluded: not looked at, no `X-Cache`.
    None,
    /// A rule matched, but this request is not looked up.
    Bypass {
        /// The rule.
        rule: Arc<Rule<cache::Settings>>,
        /// Why not.
        reason: cache::Bypass,
    },
    /// Look the answer up.
    Lookup {
        /// The rule.
        rule: Arc<Rule<cache::Settings>>,
        /// Whose answer it would be.
        key: CacheKey,
        /// What a miss means for this request.
        on_miss: request::OnMiss,
    },
}

/// Deduplication's part of a plan.
#[derive(Clone, Debug)]
pub enum DedupPlan {
    /// No rule, or excluded.
    None,
    /// A rule matched, but this request is forwarded without a look at its body.
    Skip {
        /// The rule.
        rule: Arc<Rule<dedup::Settings>>,
        /// Why not.
        reason: SkipReason,
    },
    /// Read the body and [`super::identify()`] its events.
    Inspect {
        /// The rule.
        rule: Arc<Rule<dedup::Settings>>,
    },
}

/// Makes the plan. Exclusions first, then the first include that matches, in each section by itself.
#[must_use]
pub fn plan(rules: &RuleSet, facts: &Facts<'_>, secret: &CallerSecret) -> Plan {
    plan_seen(rules, facts, secret, &mut ())
}

/// Makes the plan and tells an observer each entry it looks at on the way.
pub fn plan_seen(rules: &RuleSet, facts: &Facts<'_>, secret: &CallerSecret, seen: &mut impl Observer) -> Plan {
    let cache = cache_plan(rules, facts, secret, seen);
    let dedup = dedup_plan(rules, facts, seen);
    let slow = first(seen, (Part::Slow, Entry::Include), &rules.slow, facts);
    Plan { cache, dedup, slow_after: slow.map_or(RuleSet::SLOW_AFTER, |slow| slow.after) }
}

/// The first entry that matches. An observer is told of it and of those above, each of which did not.
fn first<'l, T: Matched>(
    seen: &mut impl Observer,
    (part, entry): (Part, fn(usize) -> Entry),
    list: &'l List<T>,
    facts: &Facts<'_>,
) -> Option<&'l T> {
    let found = list.first(facts);
    if seen.wants() {
        let looked = found.map_or(list.len(), |at| at + 1);
        list[..looked].iter().enumerate().for_each(|(at, item)| seen.looked(part, entry(at), item.matcher().check(facts)));
    }
    found.map(|at| &list[at])
}

/// The rule that decides. Exclusions win, and are looked at only where there is a rule to win against: most requests match none.
fn decide<'r, S>(part: Part, section: &'r Section<S>, facts: &Facts<'_>, seen: &mut impl Observer) -> Option<&'r Arc<Rule<S>>> {
    let rule = first(seen, (part, Entry::Include), &section.include, facts)?;
    let excluded = first(seen, (part, Entry::Exclude), &section.exclude, facts).is_some();
    (!excluded).then_some(rule)
}

/// `OPTIONS` is never touched: a preflight carries no token and the function answers it (interface.md 3).
fn cache_plan(rules: &RuleSet, facts: &Facts<'_>, secret: &CallerSecret, seen: &mut impl Observer) -> CachePlan {
    if facts.method == Method::OPTIONS {
        return CachePlan::None;
    }
    let Some(rule) = decide(Part::Cache, &rules.cache, facts, seen) else { return CachePlan::None };
    let rule = Arc::clone(rule);
    let request = request::Request {
        method: facts.method,
        host: facts.host,
        path: facts.path.as_str(),
        odd_path: facts.path.is_odd(),
        query: facts.query,
        headers: facts.headers,
        has_body: facts.has_body(),
        upstream: facts.upstream,
        trusted: facts.trusted,
    };
    match request::judge(&rule.settings, &request) {
        request::Lookup::Bypass(reason) => CachePlan::Bypass { rule, reason },
        request::Lookup::Find(on_miss) => {
            let key = CacheKey::new(&rule.name, &rule.settings, &request, secret);
            CachePlan::Lookup { rule, key, on_miss }
        }
    }
}

/// Only requests that carry an event are deduplicated: a GET or HEAD is Meta's handshake or a health check, OPTIONS a preflight.
fn dedup_plan(rules: &RuleSet, facts: &Facts<'_>, seen: &mut impl Observer) -> DedupPlan {
    if matches!(*facts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return DedupPlan::None;
    }
    let Some(rule) = decide(Part::Dedup, &rules.dedup, facts, seen) else { return DedupPlan::None };
    let rule = Arc::clone(rule);
    if facts.path.is_odd() {
        return DedupPlan::Skip { rule, reason: SkipReason::OddPath };
    }
    if facts.headers.contains_key(http::header::CONTENT_ENCODING) {
        return DedupPlan::Skip { rule, reason: SkipReason::Encoded };
    }
    DedupPlan::Inspect { rule }
}

impl CachePlan {
    /// The name of the rule that matched.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Bypass { rule, .. } | Self::Lookup { rule, .. } => Some(&rule.name),
        }
    }
}

impl DedupPlan {
    /// The name of the rule that matched.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Skip { rule, .. } | Self::Inspect { rule } => Some(&rule.name),
        }
    }
}
