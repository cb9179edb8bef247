//! `rules.yaml` -> [`RuleSet`]: what is cached, deduplicated and slow, and when the functions count as healthy.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderName, Method};

use super::decode::{Decoder, Fields};
use super::dedup_rule::dedup_rule;
use super::diagnostics::{Code, Problem};
use super::grammar::{self, Map};
use super::matching::{exclusion, matcher, name_of};
use super::spanned::{Kind, Node};
use super::{tests_block, values};
use crate::cache::{self, ClientControl, Scope, Statuses, Ttl};
use crate::engine::ruleset::{Exclusion, SlowRule};
use crate::engine::{Rule, RuleSet, Section, Site};
use crate::rules::Matcher;
use crate::upstream::health;

/// What to do about an entry that another one keeps from its requests.
const FIRST_DECIDES: &str = "the first that matches decides: move the narrower one up, or remove it";
/// Longest `health.window`.
const HOUR: Duration = Duration::from_hours(1);

/// Reads a rules file and runs its tests; what is wrong is in the decoder. `sites` are where requests come in.
pub fn decode(d: &mut Decoder, root: &Node, sites: &[Site]) -> RuleSet {
    let Some(fields) = d.fields(root, &grammar::RULES) else { return RuleSet::default() };
    d.version(fields);
    unique_names(d, fields);
    let tests = fields.get("tests").map(|n| tests_block::tests(d, n)).unwrap_or_default();
    let rules = RuleSet {
        cache: fields.get("cache").map(|n| section(d, n, &grammar::CACHE, cache_rule)).unwrap_or_default(),
        dedup: fields.get("dedup").map(|n| section(d, n, &grammar::DEDUP, dedup_rule)).unwrap_or_default(),
        slow: fields.get("slow").map(|n| slow(d, n)).unwrap_or_default(),
        health: fields.get("health").map(|n| health(d, n)).unwrap_or_default(),
    };
    // of rules with mistakes in them the tests would say what follows from the mistakes
    if !d.problems.iter().any(Problem::is_error) {
        tests_block::run(d, &tests, &rules, sites);
    }
    rules
}

/// Names are unique in the whole file: they are labels, log fields and lines of the trace.
fn unique_names(d: &mut Decoder, fields: Fields<'_>) {
    let mut seen = Vec::new();
    for section in ["cache", "dedup"].iter().filter_map(|key| fields.get(key)) {
        for list in ["exclude", "include"].iter().filter_map(|key| section.get(key)) {
            for (name, span) in list.items().iter().filter_map(name_of) {
                d.unique(&mut seen, name, span);
            }
        }
    }
}

type ReadRule<S> = fn(&mut Decoder, &Node) -> Option<Rule<S>>;

fn section<S>(d: &mut Decoder, node: &Node, map: &'static Map, rule: ReadRule<S>) -> Section<S> {
    let Some(fields) = d.fields(node, map) else { return Section::default() };
    let exclude = fields.get("exclude").map(|n| d.each(n, exclusion)).unwrap_or_default();
    let mut include: Vec<Arc<Rule<S>>> = Vec::new();
    for item in fields.get("include").and_then(|n| d.list(n)).unwrap_or_default() {
        let before = d.problems.len();
        let Some(rule) = rule(d, item) else { continue };
        // what is left of a rule with mistakes says nothing about what was meant
        if d.problems[before..].iter().any(Problem::is_error) {
            continue;
        }
        if let Some(all) = exclude.iter().find(|exclusion: &&Exclusion| exclusion.matcher.covers(&rule.matcher)) {
            let message = format!("the rule `{}` is never reached: the exclusion `{}` matches all of its requests", rule.name, all.name);
            d.warning(Code::Unreachable, item.span, message, "exclusions always win: narrow the exclusion, or remove the rule");
        } else if let Some(earlier) = include.iter().find(|earlier| earlier.matcher.covers(&rule.matcher)) {
            let message = format!("the rule `{}` is never reached: `{}` above it matches all of its requests", rule.name, earlier.name);
            d.warning(Code::Unreachable, item.span, message, FIRST_DECIDES);
        }
        include.push(Arc::new(rule));
    }
    Section { exclude, include }
}

/// Name and matcher of an `include:` entry.
pub(super) fn head(d: &mut Decoder, fields: Fields<'_>) -> (Option<String>, Option<Matcher>) {
    let name = fields.required(d, "name").and_then(|n| d.read(n, values::name));
    (name, fields.required(d, "match").and_then(|n| matcher(d, n)))
}

fn cache_rule(d: &mut Decoder, node: &Node) -> Option<Rule<cache::Settings>> {
    let fields = d.fields(node, &grammar::CACHE_RULE)?;
    let (name, matcher) = head(d, fields);
    let ttl = fields.required(d, "ttl").and_then(|n| ttl(d, n));
    let words =
        [("public", Scope::Public), ("per_caller", Scope::PerCaller), ("anonymous", Scope::Anonymous), ("standard", Scope::Standard)];
    let scope = fields.get("scope").map_or(Some(Scope::Anonymous), |n| d.word(n, &words));
    let statuses =
        fields.get("statuses").map_or(Some(Statuses::Usual), |n| d.word(n, &[("default", Statuses::Usual), ("any", Statuses::Any)]));
    let mut window = |key| fields.get(key).map_or(Some(Duration::ZERO), |n| d.read(n, values::duration));
    let (while_revalidate, if_error) = (window("stale_while_revalidate"), window("stale_if_error"));
    let words = [("ignore", ClientControl::Ignore), ("honour", ClientControl::Honour)];
    let client_control = fields.get("client_control").map_or(Some(ClientControl::Ignore), |n| d.word(n, &words));
    let matcher = matcher?;
    methods(d, node, &matcher, |m| m == Method::GET || m == Method::HEAD, "only answers to GET and HEAD are cached");
    if scope == Some(Scope::Public) {
        shared_with_all(d, node, &matcher);
    }
    let settings = cache::Settings {
        statuses: statuses?,
        while_revalidate: while_revalidate?,
        if_error: if_error?,
        client_control: client_control?,
        ..cache::Settings::new(ttl?, scope?)
    };
    Some(Rule { name: name?.into(), matcher, settings })
}

/// Checks that the methods of a rule are of use: an error if none is, a warning for those that are not. `why` says what is of use.
pub(super) fn methods(d: &mut Decoder, node: &Node, matcher: &Matcher, is_used: impl Fn(&Method) -> bool, why: &str) {
    let (used, unused): (Vec<&Method>, Vec<&Method>) = matcher.methods.iter().partition(|method| is_used(method));
    let span = node.get("match").and_then(|m| m.get("method")).map_or(node.span, |n| n.span);
    let list = |methods: &[&Method]| methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
    match (used.is_empty(), unused.is_empty()) {
        (_, true) => {}
        (true, false) => {
            let help = "with these methods the rule can never apply: name others, or remove `method`";
            d.error(Code::Unreachable, span, why, help);
        }
        (false, false) => {
            let message = format!("{why}: of no use here are {}", list(&unused));
            d.warning(Code::Unreachable, span, message, format!("write `method: [{}]`", list(&used)));
        }
    }
}

/// A rule that is for callers who say who they are, and gives the answer of one to all.
fn shared_with_all(d: &mut Decoder, node: &Node, matcher: &Matcher) {
    let credential = |name: &HeaderName| [AUTHORIZATION.as_str(), COOKIE.as_str(), "apikey"].contains(&name.as_str());
    if let Some((name, _)) = matcher.headers.iter().find(|(name, _)| credential(name)) {
        let span = node.get("scope").map_or(node.span, |n| n.span);
        let message = format!("`public` gives the answer of one caller with `{name}` to all others with such a field");
        d.warning(Code::Risk, span, message, "write `scope: per_caller`, unless the answer is the same for all");
    }
}

fn ttl(d: &mut Decoder, node: &Node) -> Option<Ttl> {
    if !matches!(node.kind, Kind::Mapping(_)) {
        return d.read(node, values::duration).map(Ttl::Usual);
    }
    let mut list = Vec::new();
    for (key, value) in d.entries(node)? {
        let status = grammar::STORABLE.iter().find(|s| **s == key.text).and_then(|s| s.parse().ok());
        if status.is_none() {
            let message = format!("a rule gives no lifetime to answers with status `{}`", key.text.escape_debug());
            d.error(Code::BadValue, key.span, message, format!("one of: {}", grammar::STORABLE.join(", ")));
        }
        let duration = d.read(value, values::duration);
        list.extend(status.zip(duration));
    }
    if list.is_empty() {
        d.error(Code::EmptyValue, node.span, "no status is given a lifetime", "such as `ttl: 5m` or `ttl: { 200: 5m, 404: 15s }`");
    }
    Some(Ttl::ByStatus(list))
}

fn slow(d: &mut Decoder, node: &Node) -> Vec<SlowRule> {
    let mut lines: Vec<(SlowRule, usize)> = Vec::new();
    for item in d.list(node).unwrap_or_default() {
        let Some(rule) = slow_rule(d, item) else { continue };
        if let Some((_, line)) = lines.iter().find(|(earlier, _)| earlier.matcher.covers(&rule.matcher)) {
            let message = format!("this entry is never reached: the one in line {line} matches all of its requests");
            d.warning(Code::Unreachable, item.span, message, FIRST_DECIDES);
        }
        lines.push((rule, item.span.line));
    }
    lines.into_iter().map(|(rule, _)| rule).collect()
}

fn slow_rule(d: &mut Decoder, node: &Node) -> Option<SlowRule> {
    let fields = d.fields(node, &grammar::SLOW)?;
    let matcher = fields.required(d, "match").and_then(|n| matcher(d, n));
    let after = fields.required(d, "after").and_then(|n| d.read(n, values::positive));
    Some(SlowRule { matcher: matcher?, after: after? })
}

fn health(d: &mut Decoder, node: &Node) -> health::Settings {
    let default = health::Settings::default();
    let Some(fields) = d.fields(node, &grammar::HEALTH) else { return default };
    let share = |text: &str| values::percentage(text).map(|ppm| f64::from(ppm) / 1e6);
    health::Settings {
        error_rate: limits(d, fields, ("error_rate", &grammar::SHARE_LIMITS), default.error_rate, share, |a, b| a <= b),
        average_latency: limits(
            d,
            fields,
            ("average_latency", &grammar::TIME_LIMITS),
            default.average_latency,
            values::positive,
            |a, b| a <= b,
        ),
        cache_hit_rate: limits(d, fields, ("cache_hit_rate", &grammar::SHARE_LIMITS), default.cache_hit_rate, share, |a, b| a >= b),
        min_requests: fields.or(d, "min_requests", default.min_requests, values::number_in(1, 1_000_000)),
        window: fields.or(d, "window", default.window, values::duration_in(Duration::from_secs(1), HOUR)),
    }
}

/// Two limits, either of which may be `null` = never; `unhealthy` must not come before `degraded`.
fn limits<T: Copy>(
    d: &mut Decoder,
    fields: Fields<'_>,
    (key, map): (&str, &'static Map),
    default: health::Limits<T>,
    parse: impl Fn(&str) -> Result<T, values::Fault> + Copy,
    in_order: impl Fn(T, T) -> bool,
) -> health::Limits<T> {
    let Some((node, inner)) = fields.get(key).and_then(|n| d.fields(n, map).map(|f| (n, f))) else { return default };
    let mut one = |key: &str, default: Option<T>| match (inner.get(key), inner.optional(key)) {
        (Some(_), None) => None,
        (_, Some(node)) => d.read(node, parse).or(default),
        (None, None) => default,
    };
    let limits = health::Limits { degraded: one("degraded", default.degraded), unhealthy: one("unhealthy", default.unhealthy) };
    if let (Some(degraded), Some(unhealthy)) = (limits.degraded, limits.unhealthy)
        && !in_order(degraded, unhealthy)
    {
        let help = "`unhealthy` is the worse of the two; write `unhealthy: null` for never";
        d.error(Code::OutOfRange, node.span, format!("`{key}` is unhealthy before it is degraded"), help);
    }
    limits
}
