//! What a rules file costs: to judge 500 rules, and to plan with 5, 50 and 500.
//!
//! `cargo bench --bench rules`.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use edge_sidecar::cache::CallerSecret;
use edge_sidecar::config::judge_rules;
use edge_sidecar::engine::{Question, Recent, Site, Watched, plan};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// A file with so many rules, of which each fifth matches by path and the others by function.
fn file(rules: usize) -> String {
    let rule = |at: usize| {
        let matched = if at.is_multiple_of(5_usize) {
            format!("{{ path: \"/functions/v1/f{at}/**\", method: GET }}")
        } else {
            format!("{{ function: \"f{at}-*\" }}")
        };
        format!("    - {{ name: r{at}, match: {matched}, ttl: 5m, scope: per_caller }}\n")
    };
    format!("version: 1\ncache:\n  exclude: [\"**/login\"]\n  include:\n{}", (0..rules).map(rule).collect::<String>())
}

fn judging(c: &mut Criterion) {
    let text = file(500);
    c.bench_function("judge/500 rules", |b| b.iter(|| judge_rules(black_box(text.as_bytes())).problems.len()));
}

fn planning(c: &mut Criterion) {
    let (site, secret) = (Site::default(), CallerSecret::new([7; 16]));
    let mut group = c.benchmark_group("plan");
    for rules in [5, 50, 500] {
        let judged = judge_rules(file(rules).as_bytes()).value.expect("good rules");
        let last = format!("/functions/v1/f{}-x", rules - 1);
        for (what, target) in [("the last matches", last.as_str()), ("none matches", "/functions/v1/other?lang=en")] {
            let question = Question::new(Method::GET, target, HeaderMap::new(), Bytes::new()).expect("a request");
            let function = question.function(&site);
            group.bench_function(format!("{rules} rules, {what}"), |b| {
                b.iter(|| plan(&judged, black_box(&question.facts(&site, &function)), &secret));
            });
        }
    }
}

/// What it costs to remember a request, as a browser sends one.
fn remembering(c: &mut Criterion) {
    let fields = "host accept accept-encoding accept-language authorization apikey cache-control connection content-type cookie origin referer \
                  sec-fetch-dest sec-fetch-mode sec-fetch-site user-agent x-client-info x-forwarded-for x-forwarded-proto x-request-id";
    let headers: HeaderMap =
        fields.split_whitespace().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("a-value"))).collect();
    let target = "/functions/v1/profile-get/me?lang=en&version=3";
    let (site, question) = (Site::default(), Question::new(Method::GET, target, headers, Bytes::new()).expect("a request"));
    let function = question.function(&site);
    let (recent, facts, watched) = (Recent::default(), question.facts(&site, &function), Watched::default());
    c.bench_function("remember a request with 20 fields", |b| b.iter(|| recent.note(black_box(&facts), &watched)));
}

criterion_group! {
    name = rules;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = judging, planning, remembering
}
criterion_main!(rules);
