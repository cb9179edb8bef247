//! `tests:` of a rules file: requests with what is to become of them, run through the engine's plan before each swap. One that fails
//! refuses the file.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use super::decode::{Decoder, Fields};
use super::diagnostics::{Code, Span};
use super::grammar::{EXPECT, SCOPES, TEST};
use super::spanned::{Kind, Node};
use super::values::{self, Fault};
use crate::cache::{Bypass, CallerSecret};
use crate::dedup::SkipReason;
use crate::engine::expect::{Aspect, actual, span};
use crate::engine::explain::{Report, Step};
use crate::engine::{Expected, Question, RuleSet, Site, explain};

/// Most tests of a file: they are run before each swap.
const MOST: usize = 500;

/// One test, ready to run.
pub struct Test<'n> {
    request: &'n str,
    question: Question,
    listener: Option<&'n Node>,
    expected: Vec<(Expected, Span)>,
}

/// Reads the tests; those with problems are left out.
pub fn tests<'n>(d: &mut Decoder, node: &'n Node) -> Vec<Test<'n>> {
    if node.items().len() > MOST {
        d.error(Code::OutOfRange, node.span, format!("{} tests", node.items().len()), format!("at most {MOST}: they run before each swap"));
        return Vec::new();
    }
    d.each(node, test)
}

fn test<'n>(d: &mut Decoder, node: &'n Node) -> Option<Test<'n>> {
    let fields = d.fields(node, &TEST)?;
    let line = fields.required(d, "request").and_then(|n| Some((d.text(n)?, n.span)));
    let headers = fields.get("headers").map_or_else(|| Some(HeaderMap::new()), |n| headers(d, n));
    let body = fields.get("body").map_or(Some(""), |n| body(d, n));
    let expected = fields.required(d, "expect").and_then(|n| expected(d, n));
    let (text, span) = line?;
    let question = question(text, headers?, body?).map_err(|fault| d.fault(fault, span)).ok()?;
    Some(Test { request: text, question, listener: listener(d, fields), expected: expected? })
}

fn listener<'n>(d: &mut Decoder, fields: Fields<'n>) -> Option<&'n Node> {
    fields.get("listener").filter(|node| d.text(node).is_some())
}

/// A body may span lines, unlike other values.
fn body<'n>(d: &mut Decoder, node: &'n Node) -> Option<&'n str> {
    match &node.kind {
        Kind::Scalar { text, .. } if !node.is_null() => Some(text),
        _ => d.text(node),
    }
}

/// `METHOD TARGET`.
fn question(text: &str, headers: HeaderMap, body: &str) -> Result<Question, Fault> {
    let fault =
        |message: String| Fault { code: Code::BadValue, message, help: "such as `GET /functions/v1/profile-get?lang=en`".to_owned() };
    let Some((method, target)) = text.split_once(' ') else { return Err(fault(format!("`{text}` is not a method and a target"))) };
    let method: Method = values::method(method)?;
    Question::new(method, target, headers, Bytes::copy_from_slice(body.as_bytes())).map_err(fault)
}

fn headers(d: &mut Decoder, node: &Node) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let before = d.problems.len();
    for (key, value) in d.entries(node)? {
        let name = values::header(&key.text).map_err(|fault| d.fault(fault, key.span)).ok();
        let text = d.text(value);
        if let Some((name, text)) = name.zip(text) {
            // a text without control characters is a value
            headers.extend(HeaderValue::from_str(text).map(|value| (name, value)));
        }
    }
    (d.problems.len() == before).then_some(headers)
}

fn expected(d: &mut Decoder, node: &Node) -> Option<Vec<(Expected, Span)>> {
    let fields = d.fields(node, &EXPECT)?;
    let mut list = Vec::new();
    let mut whole = true;
    for aspect in Aspect::ALL {
        let Some(node) = fields.get(aspect.as_str()) else { continue };
        let value = match d.text(node) {
            Some(text) if aspect.is_duration() && text != "none" => d.read(node, values::duration).map(span),
            Some(text) if aspect == Aspect::Ids => d.read(node, values::number_in(0, 1_000_000)).map(|_| text.to_owned()),
            text => text.map(str::to_owned),
        };
        whole &= value.is_some();
        list.extend(value.map(|value| (Expected { aspect, value }, node.span)));
    }
    if list.is_empty() && whole {
        d.error(Code::EmptyValue, node.span, "the test expects nothing", "such as `expect: { cache: profile, dedup: none }`");
    }
    whole.then_some(list)
}

/// Runs the tests; each expectation that does not hold is a problem at its place.
pub fn run(d: &mut Decoder, tests: &[Test<'_>], rules: &RuleSet, sites: &[Site]) {
    // no key made here is ever looked up
    let secret = CallerSecret::new([0; 16]);
    let names: Vec<&str> = sites.iter().map(|site| site.listener.as_str()).collect();
    for test in tests {
        let wanted = test.listener.and_then(|node| Some((node.scalar()?, node.span)));
        let site = match wanted {
            None => sites.first(),
            Some((name, span)) => {
                d.known(name, span, "listener", &names);
                sites.iter().find(|site| site.listener == name)
            }
        };
        let Some(site) = site else { continue };
        let explained = explain(rules, site, &test.question, &secret);
        for (expected, span) in &test.expected {
            if misnamed(d, rules, expected, *span) {
                continue;
            }
            let found = actual(&explained, expected.aspect);
            if found != expected.value {
                let message =
                    format!("the test `{}` expects `{}: {}`, but it is `{found}`", test.request, expected.aspect.as_str(), expected.value);
                d.error(Code::TestFailed, *span, message, why(&explained.report, expected));
            }
        }
    }
}

/// Notes an expectation that can never hold, as nothing is called so.
fn misnamed(d: &mut Decoder, rules: &RuleSet, expected: &Expected, span: Span) -> bool {
    let (what, mut names): (_, Vec<&str>) = match expected.aspect {
        Aspect::Cache => ("cache rule", rules.cache.include.iter().map(|rule| &*rule.name).collect()),
        Aspect::Dedup => ("dedup rule", rules.dedup.include.iter().map(|rule| &*rule.name).collect()),
        Aspect::Scope => ("scope", SCOPES.to_vec()),
        Aspect::Bypass => ("reason to bypass the cache", Bypass::ALL.map(Bypass::as_str).to_vec()),
        Aspect::Skip => ("reason to skip deduplication", SkipReason::ALL.map(SkipReason::as_str).to_vec()),
        Aspect::Ttl | Aspect::Ids | Aspect::Slow => return false,
    };
    names.push("none");
    let before = d.problems.len();
    d.known(&expected.value, span, what, &names);
    d.problems.len() > before
}

/// What the trace says about an expectation: the rule that was meant, else the one that decided.
fn why(report: &Report, expected: &Expected) -> String {
    let (steps, reason): (&[Step], _) = match expected.aspect {
        Aspect::Cache | Aspect::Ttl | Aspect::Scope | Aspect::Bypass => (&report.cache.steps, report.cache.reason),
        Aspect::Dedup | Aspect::Skip | Aspect::Ids => (&report.dedup.steps, report.dedup.reason),
        Aspect::Slow => (&report.slow, None),
    };
    let matched = |list| steps.iter().find(|s| s.list == list && s.outcome == "matched");
    let meant = steps.iter().find(|s| s.list == "include" && s.entry == expected.value && s.part.is_some());
    let path = &report.request.path;
    if let Some(step) = matched("exclude") {
        return format!("the exclusion `{}` matches it; correct the rules or the test", step.entry);
    }
    if let Some((step, part)) = meant.and_then(|s| Some((s, s.part?))) {
        return format!("`{part}` of the rule `{}` does not match it (path `{path}`); correct the rule or the test", step.entry);
    }
    match (matched("include"), reason) {
        (Some(step), Some(reason)) => format!("the rule `{}` matches, but does not apply: {reason}", step.entry),
        (Some(step), None) => format!("the rule `{}` decides; correct the rules or the test", step.entry),
        (None, _) => format!("no rule matches the function `{}` (path `{path}`); correct the rules or the test", report.request.function),
    }
}
