//! Files of rules, and a request under them: `YAML NUL REQUEST`. A file has one meaning, every problem has a place and can be shown, an
//! error leaves no rules, and what the rules say of any request stays within what may be looked up or deduplicated.

use std::path::Path;

use edge_sidecar::cache::{CallerSecret, Scope};
use edge_sidecar::config::{FileKind, Host, Judgement, Overrides, Problem, judge_rules, judge_sidecar};
use edge_sidecar::engine::{CachePlan, DedupPlan, RuleSet, Section, plan};
use edge_sidecar::rules::{Facts, Matcher, Pattern};
use http::{HeaderMap, HeaderValue, Method};

use super::message::{Request, parts};

const CREDENTIALS: [&str; 3] = ["authorization", "apikey", "cookie"];
/// For so many rules of a file, requests are made up.
const MADE: usize = 6;

/// Checks one file and one request.
pub fn check(input: &[u8]) {
    let mut parts = parts(input, b"\0");
    let file = parts.next().unwrap_or_default();
    if FileKind::of(file, Path::new("rules.yaml")) == FileKind::Sidecar {
        let host = Host { root: true, temp_dir: "/tmp".into(), ..Host::default() };
        let _ = judged(|| judge_sidecar(file, &Overrides::default(), &host));
        return;
    }
    let Some(rules) = judged(|| judge_rules(file)) else { return };
    let request = parts.next().unwrap_or_default();
    planned(&rules, &Request::read(request).facts());
    let matchers = rules.cache.include.iter().map(|rule| &rule.matcher).chain(rules.dedup.include.iter().map(|rule| &rule.matcher));
    for matcher in matchers.take(MADE) {
        made_for(matcher, |request| planned(&rules, &request.facts()));
    }
}

/// Asks about requests that a matcher is likely to match, and about those that differ from them in what no rule may ignore.
fn made_for(matcher: &Matcher, mut ask: impl FnMut(&Request)) {
    let text = |pattern: &Option<Pattern>, default: &str| pattern.as_ref().map_or_else(|| default.to_owned(), sample);
    let mut request = Request {
        method: matcher.methods.first().cloned().unwrap_or(Method::GET),
        path: format!("/{}", text(&matcher.path, "a").trim_start_matches('/')),
        query: Some(matcher.query.iter().map(|(name, value)| format!("{name}={}", text(value, ""))).collect::<Vec<_>>().join("&")),
        host: text(&matcher.host, "a"),
        function: text(&matcher.function, "a"),
        headers: HeaderMap::new(),
    };
    for (name, pattern) in &matcher.headers {
        if let Ok(value) = HeaderValue::from_str(&sample(pattern)) {
            request.headers.append(name, value);
        }
    }
    ask(&request);
    for (name, value) in [("cookie", "a=b"), ("content-encoding", "gzip"), ("range", "bytes=0-1"), ("upgrade", "websocket")] {
        let mut with = request.clone();
        with.headers.append(name, HeaderValue::from_static(value));
        ask(&with);
    }
    ask(&Request { path: format!("/x/..{}", request.path), ..request.clone() });
    ask(&Request { method: Method::POST, ..request.clone() });
    ask(&Request { path: "/a/login".into(), ..request });
}

/// Judges twice, and looks at every problem as all its readers do.
fn judged<T: std::fmt::Debug>(judge: impl Fn() -> Judgement<T>) -> Option<T> {
    let (first, second) = (judge(), judge());
    assert_eq!(first.problems, second.problems);
    assert_eq!(format!("{:?}", first.value), format!("{:?}", second.value), "one meaning");
    assert_eq!(first.value.is_none(), first.problems.iter().any(Problem::is_error), "all or nothing");
    let colour = first.source.len().is_multiple_of(4);
    assert_eq!(first.problems.is_empty(), first.render("file.yaml", colour).is_empty());
    for problem in &first.problems {
        assert!(first.source.get(problem.span.start..problem.span.end).is_some(), "{problem:?}");
        assert!(!problem.message.is_empty() && serde_json::to_string(problem).is_ok());
    }
    first.value
}

fn planned(rules: &RuleSet, facts: &Facts<'_>) {
    let plan = plan(rules, facts, &CallerSecret::new([7; 16]));
    let odd = facts.path.is_odd();
    match &plan.cache {
        CachePlan::None => {}
        CachePlan::Bypass { rule, .. } | CachePlan::Lookup { rule, .. } => {
            assert!(rule.matcher.check(facts).is_ok() && !excluded(&rules.cache, facts) && facts.method != Method::OPTIONS);
        }
    }
    if let CachePlan::Lookup { rule, .. } = &plan.cache {
        assert!([Method::GET, Method::HEAD].contains(facts.method) && !odd && !facts.has_body());
        let known = CREDENTIALS.iter().any(|name| facts.headers.contains_key(*name));
        assert!(rule.settings.scope != Scope::Anonymous || !known, "credentials under `anonymous`");
    }
    match &plan.dedup {
        DedupPlan::None => {}
        DedupPlan::Skip { rule, .. } | DedupPlan::Inspect { rule } => {
            assert!(rule.matcher.check(facts).is_ok() && !excluded(&rules.dedup, facts));
            assert!(![Method::GET, Method::HEAD, Method::OPTIONS].contains(facts.method));
        }
    }
    if let DedupPlan::Inspect { .. } = plan.dedup {
        assert!(!odd && !facts.headers.contains_key("content-encoding"));
    }
}

fn excluded<S>(section: &Section<S>, facts: &Facts<'_>) -> bool {
    section.exclude.iter().any(|exclusion| exclusion.matcher.check(facts).is_ok())
}

/// A text that a glob is likely to match.
fn sample(pattern: &Pattern) -> String {
    let (mut out, mut rest) = (String::new(), pattern.as_str().chars().peekable());
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.peek() == Some(&'*') => {}
            '*' | '?' => out.push('a'),
            '\\' => out.extend(rest.next()),
            '[' => {
                out.extend(rest.next());
                rest.by_ref().find(|c| *c == ']');
            }
            '{' => {
                while let Some(c) = rest.next_if(|c| !matches!(c, ',' | '}')) {
                    out.push(c);
                }
                rest.by_ref().find(|c| *c == '}');
            }
            other => out.push(other),
        }
    }
    out
}
