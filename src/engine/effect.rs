//! What an edit of the rules would have meant for the last requests: how many would be decided otherwise, and how, in words.

use std::collections::BTreeMap;

use serde::Serialize;

use super::expect::span;
use super::plan::{CachePlan, DedupPlan, Plan, plan};
use super::recent::{Recalled, Recent, Watched};
use super::ruleset::RuleSet;
use super::{Site, explain};
use crate::cache::{CallerSecret, Scope, Statuses};
use crate::dedup::WhileFirstRuns;

/// Most lines of either kind.
const LINES: usize = 20;

/// The effect of an edit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// How many requests were looked at.
    pub requests: usize,
    /// How many of them would be decided otherwise.
    pub otherwise: usize,
    /// Of how many nothing can be said, because what the rules look at was not kept of them.
    pub unknown: usize,
    /// How: one sentence a kind, the most frequent first.
    pub how: Vec<String>,
    /// Those of them that may share an answer which was not shared, or forward a message twice.
    pub risks: Vec<String>,
}

/// One kind of change: what is done now and then, and whether that is dangerous.
type Kind = (bool, String, String);

impl Effect {
    /// Decides the last requests by either rules.
    #[must_use]
    pub fn of(recent: &Recent, sites: &[Site], old: &RuleSet, new: &RuleSet) -> Self {
        let recalled = recent.recall(&Watched::of(old).and(Watched::of(new)));
        let mut effect = Self { requests: recalled.len(), ..Self::default() };
        let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
        for request in recalled {
            let Some(found) = request.and_then(|request| compare(&request, sites, old, new)) else {
                effect.unknown += 1;
                continue;
            };
            effect.otherwise += usize::from(!found.is_empty());
            for kind in found {
                *kinds.entry(kind).or_default() += 1;
            }
        }
        let mut kinds: Vec<(Kind, usize)> = kinds.into_iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for ((risky, now, then), count) in kinds {
            let list = if risky { &mut effect.risks } else { &mut effect.how };
            list.push(format!("{count} of {}: {now} now, {then} then", effect.requests));
        }
        shorten(&mut effect.how);
        shorten(&mut effect.risks);
        effect
    }
}

fn shorten(lines: &mut Vec<String>) {
    if lines.len() > LINES {
        let more = lines.len() - LINES;
        lines.truncate(LINES);
        lines.push(format!("and {more} other kinds"));
    }
}

/// What changes for a request; `None` where it came in at a listener that there is not.
fn compare(request: &Recalled, sites: &[Site], old: &RuleSet, new: &RuleSet) -> Option<Vec<Kind>> {
    // no key leaves this function, so any secret will do
    let secret = CallerSecret::new([0; 16]);
    let (now, then) = request.with_facts(sites, |facts| (plan(old, facts, &secret), plan(new, facts, &secret)))?;
    let secrets = request.has_credentials();
    let mut found = Vec::new();
    let mut add = |risky: bool, now: String, then: String| {
        if now != then {
            found.push((risky, now, then));
        }
    };
    let shared = |plan: &Plan| matches!(&plan.cache, CachePlan::Lookup { rule, .. } if rule.settings.scope == Scope::Public);
    add(secrets && shared(&then) && !shared(&now), cache(&now.cache, secrets), cache(&then.cache, secrets));
    add(forwards_more(&now.dedup, &then.dedup), dedup(&now.dedup), dedup(&then.dedup) + otherwise(&now.dedup, &then.dedup));
    add(false, format!("slow after {}", span(now.slow_after)), format!("slow after {}", span(then.slow_after)));
    Some(found)
}

/// Whether a repeat may reach the function that does not now, or what nobody signed.
fn forwards_more(now: &DedupPlan, then: &DedupPlan) -> bool {
    match (now, then) {
        (DedupPlan::Inspect { rule }, DedupPlan::Inspect { rule: then }) => {
            let (a, b) = (&rule.settings, &then.settings);
            let forwards = a.while_first_runs == WhileFirstRuns::Wait && b.while_first_runs == WhileFirstRuns::Forward;
            b.window < a.window || forwards || a.id != b.id || (a.verify.is_some() && b.verify.is_none())
        }
        (DedupPlan::Inspect { .. }, _) => true,
        (DedupPlan::Skip { rule, .. }, DedupPlan::None) => rule.settings.verify.is_some(),
        _ => false,
    }
}

fn cache(plan: &CachePlan, secrets: bool) -> String {
    let rule = match plan {
        CachePlan::None => return "not cached".to_owned(),
        CachePlan::Bypass { rule, reason } => return format!("not looked up under `{}` ({})", rule.name, reason.as_str()),
        CachePlan::Lookup { rule, .. } => rule,
    };
    let settings = &rule.settings;
    let whom = match settings.scope {
        Scope::Public if secrets => "shared between callers, signed in or not,",
        Scope::Public => "shared between callers",
        Scope::PerCaller => "cached for each caller by itself",
        Scope::Anonymous => "shared between callers without credentials",
        Scope::Standard => "shared between callers where the answer allows it",
    };
    let errors = if settings.statuses == Statuses::Any { ", errors too" } else { "" };
    format!("{whom} under `{}` ({}{errors})", rule.name, explain::lifetime(settings))
}

/// What differs between two rules beyond what [`dedup`] says of either.
fn otherwise(now: &DedupPlan, then: &DedupPlan) -> &'static str {
    let (DedupPlan::Inspect { rule: now }, DedupPlan::Inspect { rule: then }) = (now, then) else { return "" };
    let (a, b) = (&now.settings, &then.settings);
    if a.id != b.id {
        ", by other ids"
    } else if a.verify != b.verify || a.duplicate_response != b.duplicate_response {
        ", with other secrets or answers"
    } else {
        ""
    }
}

fn dedup(plan: &DedupPlan) -> String {
    let rule = match plan {
        DedupPlan::None => return "not deduplicated".to_owned(),
        DedupPlan::Skip { rule, reason } => return format!("forwarded without deduplication under `{}` ({})", rule.name, reason.as_str()),
        DedupPlan::Inspect { rule } => rule,
    };
    let settings = &rule.settings;
    let copies = match settings.while_first_runs {
        WhileFirstRuns::Wait => format!("copies wait {}", span(settings.wait_timeout)),
        WhileFirstRuns::Forward => "copies are forwarded while the first runs".to_owned(),
    };
    let signed = if settings.verify.is_some() { ", signed only" } else { "" };
    format!("deduplicated for {} under `{}` ({copies}{signed})", span(settings.window), rule.name)
}
