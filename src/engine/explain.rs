//! `explain`: why a request is decided as it is, as the trace of [`super::plan()`] itself.

use std::time::Duration;

use serde::Serialize;

use super::expect::span;
use super::identify::{Identified, identify};
use super::plan::{CachePlan, DedupPlan, Plan, plan_seen};
use super::question::{Question, Site};
use super::ruleset::{RuleSet, Section};
use super::trace::{Entry, Observer, Part};
use crate::cache::request::OnMiss;
use crate::cache::{self, CallerSecret, Scope, Ttl};
use crate::dedup::Delivery;
use crate::rules::Mismatch;

/// A plan and how it came about.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The plan.
    pub plan: Plan,
    /// What was found in the body, where a rule looks into it.
    pub events: Option<Identified>,
    /// The same in words.
    pub report: Report,
}

/// An explanation in words; its JSON form is the answer of `POST /explain`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Method, path as rules see it, function, listener.
    pub request: Request,
    /// The cache's part.
    pub cache: Cache,
    /// Deduplication's part.
    pub dedup: Dedup,
    /// The entries of `slow:`.
    pub slow: Vec<Step>,
    /// After which time the request is slow.
    pub slow_after: String,
}

/// What rules see of the request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path in normal form.
    pub path: String,
    /// Whether the path sent differs from it.
    pub odd_path: bool,
    /// The function it names.
    pub function: String,
    /// Where it comes in.
    pub listener: String,
}

/// One entry of the rules, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name; of `slow:` its number from 1.
    pub entry: String,
    /// `exclude` or `include`.
    pub list: &'static str,
    /// `matched`, `no_match` or `not_reached`.
    pub outcome: &'static str,
    /// The key of its `match:` that did not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<&'static str>,
}

/// The cache's part of an explanation.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// `lookup`, `bypass` or `none`.
    pub verdict: &'static str,
    /// The rule that matched.
    pub rule: Option<String>,
    /// Why there is no look-up, or what a miss means.
    pub reason: Option<&'static str>,
    /// Lifetimes by status, from the rule; what the answer says of itself comes first.
    pub ttl: Option<String>,
    /// Whose answer may be given to whom.
    pub scope: Option<&'static str>,
    /// What the key is made of.
    pub key: Vec<(&'static str, String)>,
    /// Every entry.
    pub steps: Vec<Step>,
}

/// Deduplication's part of an explanation.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dedup {
    /// `inspect`, `skip` or `none`.
    pub verdict: &'static str,
    /// The rule that matched.
    pub rule: Option<String>,
    /// Why the request would be forwarded without deduplication.
    pub reason: Option<&'static str>,
    /// How long a repeat is one.
    pub window: Option<String>,
    /// 8 hex digits of each event's key.
    pub events: Vec<String>,
    /// Whether the body also holds something without an id.
    pub idless: bool,
    /// Every entry.
    pub steps: Vec<Step>,
}

#[derive(Default)]
struct Seen(Vec<(Part, Entry, Result<(), Mismatch>)>);

impl Observer for Seen {
    fn looked(&mut self, part: Part, entry: Entry, found: Result<(), Mismatch>) {
        self.0.push((part, entry, found));
    }
}

impl Seen {
    fn step(&self, part: Part, entry: Entry, name: String) -> Step {
        let list = if matches!(entry, Entry::Exclude(_)) { "exclude" } else { "include" };
        let (outcome, part) = match self.0.iter().find(|(p, e, _)| *p == part && *e == entry) {
            Some((_, _, Ok(()))) => ("matched", None),
            Some((_, _, Err(part))) => ("no_match", Some(part.as_str())),
            None => ("not_reached", None),
        };
        Step { entry: name, list, outcome, part }
    }

    fn section<S>(&self, part: Part, section: &Section<S>) -> Vec<Step> {
        let exclude = section.exclude.iter().enumerate().map(|(at, e)| self.step(part, Entry::Exclude(at), e.name.to_string()));
        let include = section.include.iter().enumerate().map(|(at, r)| self.step(part, Entry::Include(at), r.name.to_string()));
        exclude.chain(include).collect()
    }
}

/// Explains a request at a site.
#[must_use]
pub fn explain(rules: &RuleSet, site: &Site, question: &Question, secret: &CallerSecret) -> Explained {
    let function = question.function(site);
    let facts = question.facts(site, &function);
    let mut seen = Seen::default();
    let plan = plan_seen(rules, &facts, secret, &mut seen);
    let events = if let DedupPlan::Inspect { rule } = &plan.dedup {
        let delivery = Delivery { target: question.target(), headers: &question.headers, body: std::slice::from_ref(&question.body) };
        Some(identify(&rule.settings, facts.upstream, &function, &delivery))
    } else {
        None
    };
    let request = Request {
        method: facts.method.to_string(),
        path: facts.path.as_str().to_owned(),
        odd_path: facts.path.is_odd(),
        function: function.clone(),
        listener: site.listener.clone(),
    };
    let slow = (0..rules.slow.len()).map(|at| seen.step(Part::Slow, Entry::Include(at), (at + 1).to_string())).collect();
    let report = Report {
        request,
        cache: Cache { steps: seen.section(Part::Cache, &rules.cache), ..cache(&plan.cache, &facts, secret) },
        dedup: Dedup { steps: seen.section(Part::Dedup, &rules.dedup), ..dedup(&plan.dedup, events.as_ref()) },
        slow,
        slow_after: span(plan.slow_after),
    };
    Explained { plan, events, report }
}

fn cache(plan: &CachePlan, facts: &crate::rules::Facts<'_>, secret: &CallerSecret) -> Cache {
    let nothing = Cache { verdict: "none", rule: None, reason: None, ttl: None, scope: None, key: Vec::new(), steps: Vec::new() };
    let (rule, verdict, reason) = match plan {
        CachePlan::None => return nothing,
        CachePlan::Bypass { rule, reason } => (rule, "bypass", Some(reason.as_str())),
        CachePlan::Lookup { rule, on_miss, .. } => (rule, "lookup", miss(*on_miss)),
    };
    let settings = &rule.settings;
    let mut key = Vec::new();
    if verdict == "lookup" {
        key.extend([("rule", rule.name.to_string()), ("upstream", facts.upstream.to_owned()), ("host", facts.host.to_owned())]);
        key.extend([("path", facts.path.as_str().to_owned()), ("query", facts.query.map_or("none".to_owned(), |q| format!("?{q}")))]);
        if settings.scope == Scope::PerCaller {
            // the hash under a secret of this process, and of that only the first digits
            key.push(("caller", format!("{:08x}", secret.caller_hash(facts.headers) >> 96)));
        }
    }
    Cache {
        verdict,
        rule: Some(rule.name.to_string()),
        reason,
        ttl: Some(lifetime(settings)),
        scope: Some(settings.scope.as_str()),
        key,
        ..nothing
    }
}

fn miss(on_miss: OnMiss) -> Option<&'static str> {
    match on_miss {
        OnMiss::Fetch => None,
        OnMiss::Forward(reason) => Some(reason.as_str()),
        OnMiss::GatewayTimeout => Some(cache::Bypass::OnlyIfCached.as_str()),
    }
}

pub(super) fn lifetime(settings: &cache::Settings) -> String {
    let one = |(status, ttl): &(u16, Duration)| format!("{status}: {}", span(*ttl));
    match &settings.ttl {
        Ttl::Usual(ttl) => span(*ttl),
        Ttl::ByStatus(list) => list.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

fn dedup(plan: &DedupPlan, events: Option<&Identified>) -> Dedup {
    let nothing = Dedup { verdict: "none", rule: None, reason: None, window: None, events: Vec::new(), idless: false, steps: Vec::new() };
    let (rule, verdict, reason) = match (plan, events) {
        (DedupPlan::None, _) => return nothing,
        (DedupPlan::Skip { rule, reason }, _) | (DedupPlan::Inspect { rule }, Some(Identified::Skip(reason))) => {
            (rule, "skip", Some(reason.as_str()))
        }
        (DedupPlan::Inspect { rule }, _) => (rule, "inspect", None),
    };
    let (digits, idless) = match events {
        Some(Identified::Events { keys, idless }) => (keys.iter().map(|key| key.log_digits().to_string()).collect(), *idless),
        _ => (Vec::new(), false),
    };
    Dedup {
        verdict,
        rule: Some(rule.name.to_string()),
        reason,
        window: Some(span(rule.settings.window)),
        events: digits,
        idless,
        ..nothing
    }
}

#[cfg(test)]
mod tests;
