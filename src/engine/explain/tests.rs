//! The explanation is the data path's plan, and its steps are what a naive reader of the rules would say.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::engine::ruleset::{Exclusion, Rule, SlowRule};
use crate::engine::{Site, plan};
use crate::rules::{Matcher, Pattern};

const SECRET: CallerSecret = CallerSecret::new([3; 16]);

fn matchers() -> impl Strategy<Value = Matcher> {
    let glob = |texts: &'static [&'static str]| proptest::option::of(select(texts).prop_map(|t| Pattern::new(t).expect("a glob")));
    let functions = glob(&["a", "b*", "*"]);
    let paths = glob(&["/functions/v1/a", "**/x", "/functions/v1/*", "**"]);
    let methods = select(vec![vec![], vec![Method::GET], vec![Method::POST], vec![Method::GET, Method::POST]]);
    let query = select(vec![vec![], vec![("q".to_owned(), None)]]);
    (functions, paths, methods, query).prop_map(|(function, path, methods, query)| Matcher {
        function,
        path,
        methods,
        query,
        ..Matcher::default()
    })
}

fn section<S: Clone + std::fmt::Debug + 'static>(settings: impl Strategy<Value = S> + 'static) -> impl Strategy<Value = Section<S>> {
    let include = proptest::collection::vec((matchers(), settings), 0..5);
    (proptest::collection::vec(matchers(), 0..3), include).prop_map(|(exclude, include)| Section {
        exclude: exclude.into_iter().map(|matcher| Exclusion { name: "e".into(), matcher }).collect(),
        include: include
            .into_iter()
            .enumerate()
            .map(|(at, (matcher, settings))| Arc::new(Rule { name: format!("r{at}").into(), matcher, settings }))
            .collect(),
    })
}

fn rule_sets() -> impl Strategy<Value = RuleSet> {
    let scopes = select(vec![Scope::Public, Scope::PerCaller, Scope::Anonymous, Scope::Standard]);
    let cache = section(scopes.prop_map(|scope| cache::Settings::new(Ttl::Usual(Duration::from_secs(5)), scope)));
    let dedup = section(Just(crate::dedup::Settings::default()));
    let slow = proptest::collection::vec((matchers(), 1..9u64), 0..3)
        .prop_map(|list| list.into_iter().map(|(matcher, s)| SlowRule { matcher, after: Duration::from_secs(s) }).collect());
    (cache, dedup, slow).prop_map(|(cache, dedup, slow)| RuleSet { cache, dedup, slow, ..RuleSet::default() })
}

fn questions() -> impl Strategy<Value = Question> {
    let methods = select(vec![Method::GET, Method::HEAD, Method::POST, Method::OPTIONS]);
    let targets = select(vec!["/functions/v1/a", "/functions/v1/bc/x?q=1", "/a?q", "/functions//v1/../x", "/"]);
    let fields = select(vec!["authorization", "range", "content-encoding", "x-none"]);
    (methods, targets, fields, select(vec!["", "{\"entry\":[]}"])).prop_map(|(method, target, field, body)| {
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static(field), HeaderValue::from_static("v"))]);
        Question::new(method, target, headers, Bytes::from_static(body.as_bytes())).expect("a request")
    })
}

/// The place of the first include that matches, unless an exclusion does: written without the engine.
fn naive<S>(section: &Section<S>, facts: &crate::rules::Facts<'_>) -> Option<String> {
    let excluded = section.exclude.iter().any(|e| e.matcher.check(facts).is_ok());
    let found = section.include.iter().find(|r| r.matcher.check(facts).is_ok());
    if excluded { None } else { found.map(|r| r.name.to_string()) }
}

proptest! {
    #[test]
    fn the_explanation_is_the_plan(rules in rule_sets(), question in questions()) {
        let site = Site::default();
        let explained = explain(&rules, &site, &question, &SECRET);
        let function = question.function(&site);
        let facts = question.facts(&site, &function);
        let plan = plan(&rules, &facts, &SECRET);
        let same_key = match (&plan.cache, &explained.plan.cache) {
            (CachePlan::Lookup { key: a, .. }, CachePlan::Lookup { key: b, .. }) => a == b,
            (CachePlan::Lookup { .. }, _) | (_, CachePlan::Lookup { .. }) => false,
            _ => true,
        };
        prop_assert!(same_key);
        prop_assert_eq!(format!("{plan:?}"), format!("{:?}", explained.plan));

        let report = &explained.report;
        let preflight = question.method == Method::OPTIONS;
        let deduplicated = question.method == Method::POST;
        prop_assert_eq!(report.cache.rule.clone(), naive(&rules.cache, &facts).filter(|_| !preflight));
        prop_assert_eq!(report.dedup.rule.clone(), naive(&rules.dedup, &facts).filter(|_| deduplicated));
        let matched = report.cache.steps.iter().filter(|s| s.list == "include" && s.outcome == "matched").count();
        prop_assert_eq!(matched > 0, !preflight && rules.cache.include.iter().any(|r| r.matcher.check(&facts).is_ok()));
        prop_assert_eq!(report.cache.steps.len(), rules.cache.exclude.len() + rules.cache.include.len());
    }
}

#[test]
fn credentials_are_digits() {
    let rule = Rule {
        name: "own".into(),
        matcher: Matcher::default(),
        settings: cache::Settings::new(
            Ttl::ByStatus(vec![(200, Duration::from_mins(5)), (404, Duration::from_secs(15))]),
            Scope::PerCaller,
        ),
    };
    let rules = RuleSet { cache: Section { exclude: Vec::new(), include: vec![Arc::new(rule)] }, ..RuleSet::default() };
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer secret-token"))]);
    let question = Question::new(Method::GET, "/a", headers, Bytes::new()).expect("a request");
    let report = explain(&rules, &Site::default(), &question, &SECRET).report;
    let json = serde_json::to_string(&report).expect("plain data");
    assert!(!json.contains("secret-token") && json.contains("\"caller\""), "{json}");
    assert_eq!(report.cache.ttl.as_deref(), Some("200: 5m, 404: 15s"));
}
