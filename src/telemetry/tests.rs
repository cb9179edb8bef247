//! The metrics as a whole: what is counted, how it is shown.

#![allow(clippy::float_cmp, reason = "counts are exact")]

mod document;
mod phases;
mod series;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::readings::tests_support::readings;
use super::record::tests_support::{exchanged, finished};
use super::*;
use crate::engine::{Rule, RuleSet, SlowRule};
use crate::rules::{Matcher, Pattern};
use crate::{cache, dedup};

fn rule<S>(name: &str, function: &str, settings: S) -> Arc<Rule<S>> {
    let function = Some(Pattern::new(function).expect("a glob"));
    Arc::new(Rule { name: name.into(), matcher: Matcher { function, ..Matcher::default() }, settings })
}

fn rules() -> RuleSet {
    let settings = cache::Settings::new(cache::Ttl::Usual(Duration::from_mins(1)), cache::Scope::Public);
    let mut rules = RuleSet::default();
    rules.cache.include = ["profile", "state", "config", "health"].map(|name| rule(name, &format!("{name}*"), settings.clone())).to_vec();
    rules.dedup.include = vec![rule("whatsapp", "wa-webhook-core", dedup::Settings::default())];
    let ocr = Matcher { function: Some(Pattern::new("ocr-documents").expect("a glob")), ..Matcher::default() };
    rules.slow = vec![SlowRule { matcher: ocr, after: Duration::from_secs(10) }];
    rules
}

fn metrics() -> Metrics {
    let metrics = Metrics::new(Box::new(readings), Clock::manual(), None);
    metrics.prepare(&rules());
    metrics
}

/// Series and values of a text; a series that is there twice fails.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a sample");
        let value: f64 = value.parse().expect("a number");
        assert!(value.is_finite(), "{line}");
        assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

fn sum(samples: &BTreeMap<String, f64>, start: &str, part: &str) -> f64 {
    samples.iter().filter(|(k, _)| k.starts_with(start) && k.contains(part)).map(|(_, v)| v).sum()
}

/// Compares with a golden file; `UPDATE_GOLDEN=1` writes it.
fn golden(file: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, got).expect("golden files can be written");
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(want, got, "{} (UPDATE_GOLDEN=1 writes it)", path.display());
}

fn promtool(text: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("promtool: apt-get install prometheus");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn paths(value: &Value, at: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| paths(value, &format!("{at}.{key}"), out)),
        Value::Null => assert!(!value.is_null(), "{at} is null"),
        Value::Number(n) => assert!(out.insert(format!("{at} number")) && n.as_f64().is_some_and(f64::is_finite)),
        Value::Bool(_) => assert!(out.insert(format!("{at} boolean"))),
        _ => assert!(out.insert(format!("{at} string"))),
    }
}

#[test]
fn names_and_help_are_as_written_down() {
    let text = metrics().prometheus();
    let heads: String = text.lines().filter(|l| l.starts_with('#')).flat_map(|l| [l, "\n"]).collect();
    golden("metrics.txt", &heads);
}

#[test]
fn json_has_its_shape_before_traffic() {
    let metrics = metrics();
    let json = serde_json::to_value(metrics.json()).expect("plain values");
    assert_eq!(json["cache"]["profile"]["hitRate"], 0.0);
    assert_eq!(json["metrics"]["latency"]["p99Ms"], 0.0);
    metrics.record(&Finished { upstream: Some(&phases::said("db;dur=5")), ..finished() });
    let json = serde_json::to_value(metrics.json()).expect("plain values");
    let mut keys = BTreeSet::new();
    paths(&json, "", &mut keys);
    golden("metrics.json.keys", &keys.into_iter().flat_map(|k| [k, "\n".to_owned()]).collect::<String>());
}

#[test]
fn promtool_accepts_the_text_before_and_after_traffic() {
    let metrics = metrics();
    let before = metrics.prometheus();
    promtool(&before);
    let zero = samples(&before);
    assert_eq!(zero["edge_sidecar_cache_lookups_total{result=\"hit\",rule=\"profile\"}"], 0.0);
    assert_eq!(zero["edge_sidecar_dedup_skipped_total{reason=\"no_id\",rule=\"whatsapp\"}"], 0.0);
    assert_eq!(zero["edge_sidecar_upstream_connect_duration_seconds_count{upstream=\"functions\"}"], 0.0);
    assert_eq!(zero["edge_sidecar_cache_bytes{rule=\"state\"}"], 0.0);
    assert_eq!(zero["edge_sidecar_health_status{status=\"healthy\"}"], 1.0);
    let call = Exchanged { connect: Some(Duration::from_millis(1)), ..exchanged() };
    metrics.record(&Finished { upstream: Some(&call), ..finished() });
    metrics.record(&Finished { status: 0, outcome: Outcome::Failed, source: Source::Sidecar, ..finished() });
    let _running = metrics.begin();
    metrics.shed(ShedReason::InFlight);
    let text = metrics.prometheus();
    promtool(&text);
    let after = samples(&text);
    assert_eq!(after["edge_sidecar_requests_total{code=\"200\",function=\"profile\",outcome=\"forwarded\"}"], 1.0);
    assert_eq!(after["edge_sidecar_requests_total{code=\"0\",function=\"profile\",outcome=\"failed\"}"], 1.0);
    assert_eq!(after["edge_sidecar_requests_in_flight"], 1.0);
    assert_eq!(after["edge_sidecar_requests_shed_total{reason=\"in_flight\"}"], 1.0);
    assert_eq!(after["edge_sidecar_upstream_connect_duration_seconds_count{upstream=\"functions\"}"], 1.0);
    assert!((after["edge_sidecar_proxy_overhead_seconds_sum"] - 0.014).abs() < 1e-9, "2 ms of the first, 12 of the second");
}

#[test]
fn a_hit_saves_what_its_misses_took() {
    let metrics = metrics();
    let call = Exchanged { total: Duration::from_millis(200), ..exchanged() };
    let cache = |result| Some(CacheRecord { rule: "profile", result, bypass: None, not_stored: None, refreshed: None });
    metrics.record(&Finished { cache: cache(LookupResult::Miss), outcome: Outcome::Miss, upstream: Some(&call), ..finished() });
    for result in [LookupResult::Hit, LookupResult::Hit, LookupResult::Coalesced] {
        metrics.record(&Finished { cache: cache(result), outcome: Outcome::Hit, source: Source::Cache, ..finished() });
    }
    metrics.record(&Finished { cache: cache(LookupResult::Bypass), outcome: Outcome::Bypass, ..finished() });
    let saved = samples(&metrics.prometheus())["edge_sidecar_cache_saved_upstream_seconds_total{rule=\"profile\"}"];
    assert!((saved - 0.6).abs() < 1e-9);
    let json = metrics.json();
    let rule = json.cache["profile"];
    assert_eq!((rule.hits, rule.misses, rule.bypassed, rule.size, rule.evictions), (3, 1, 1, 2, 1));
    assert!((rule.hit_rate - 0.75).abs() < 1e-9 && rule.hit_rate.total_cmp(&json.totals.cache.sums.hit_rate).is_eq());
}

#[test]
fn functions_are_admitted_by_a_rule_or_by_a_good_answer() {
    let metrics = metrics();
    let ask = |function, status, source| metrics.record(&Finished { function, status, source, ..finished() });
    ask("ocr-documents", 500, Source::Upstream); // spelt out by a slow rule
    ask("wp-login.php", 404, Source::Upstream);
    ask("made-up", 200, Source::Sidecar);
    ask("250788123456", 200, Source::Upstream);
    ask("a b", 200, Source::Upstream);
    ask("real", 302, Source::Upstream);
    let json = metrics.json();
    assert_eq!(json.handlers.keys().collect::<Vec<_>>(), ["ocr-documents", "other", "real", "wa-webhook-core"]);
    assert_eq!((json.handlers["other"].requests, json.handlers["ocr-documents"].errors), (4, 1));
}

#[test]
fn health_follows_the_rules_in_force() {
    let metrics = metrics();
    (0..20).for_each(|_| metrics.record(&Finished { status: 503, ..finished() }));
    assert_eq!(metrics.health().status.as_str(), "unhealthy");
    let mut lenient = rules();
    lenient.health.min_requests = 100;
    metrics.prepare(&lenient);
    assert_eq!(metrics.health().status.as_str(), "healthy");
}

fn any_request() -> impl Strategy<Value = (usize, u16, usize, usize, Option<usize>, Option<usize>, bool, u64)> {
    let statuses = prop::sample::select(vec![0_u16, 200, 201, 304, 404, 500, 503, 546]);
    let part = |n: usize| prop::option::of(0..n);
    (0..40_usize, statuses, 0..Outcome::ALL.len(), 0..Source::ALL.len(), part(5), part(6), any::<bool>(), 0..3000_u64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn counters_add_up(requests in prop::collection::vec(any_request(), 1000)) {
        let metrics = metrics();
        let call = exchanged();
        let (mut calls, mut lookups, mut events, mut slow) = (0, 0, 0_u32, 0);
        for (function, status, outcome, source, cache, dedup, called, ms) in requests {
            let cache = cache.map(|r| CacheRecord { rule: "state", result: LookupResult::ALL[r], bypass: (r == 3).then_some("range"), not_stored: None, refreshed: None });
            let dedup = dedup.map(|r| DedupRecord { rule: "whatsapp", result: DedupResult::ALL[r], skipped: (r == 4).then_some("no_id"), ids: 3, new: 1, repeated: 2, waited: Duration::ZERO, repeats: crate::dedup::Repeats::default() });
            (calls, lookups) = (calls + u32::from(called), lookups + u32::from(cache.is_some()));
            (events, slow) = (events + dedup.map_or(0, |d| d.ids), slow + u64::from(ms > 1000));
            let function = format!("fn-{function}");
            let (outcome, source, upstream) = (Outcome::ALL[outcome], Source::ALL[source], called.then_some(&call));
            let duration = Duration::from_millis(ms);
            metrics.record(&Finished { function: &function, status, outcome, source, cache, dedup, upstream, duration, bytes_in: 3, ..finished() });
        }
        let (s, json) = (samples(&metrics.prometheus()), metrics.json());
        let name = |n: &str| format!("edge_sidecar_{n}");
        prop_assert_eq!(sum(&s, &name("requests_total"), ""), 1000.0);
        prop_assert_eq!(sum(&s, &name("request_duration_seconds_count"), ""), 1000.0);
        prop_assert_eq!(sum(&s, &name("request_bytes_total"), ""), 3000.0);
        prop_assert_eq!(sum(&s, &name("upstream_duration_seconds_count"), ""), f64::from(calls));
        prop_assert_eq!(sum(&s, &name("cache_lookups_total"), "") + sum(&s, &name("cache_bypass_total"), ""), f64::from(lookups));
        prop_assert_eq!(sum(&s, &name("rule_matches_total"), "state"), f64::from(lookups));
        prop_assert_eq!(sum(&s, &name("dedup_messages_total"), ""), f64::from(events));
        prop_assert_eq!(sum(&s, &name("dedup_requests_total"), ""), sum(&s, &name("rule_matches_total"), "whatsapp"));
        prop_assert_eq!((json.metrics.requests.total, json.metrics.latency.count), (1000, 1000));
        prop_assert_eq!(json.metrics.upstream_latency.count, u64::from(calls));
        prop_assert_eq!(json.handlers.values().map(|h| h.requests).sum::<u64>(), 1000);
        prop_assert_eq!(json.handlers.values().map(|h| h.slow).sum::<u64>(), slow);
        prop_assert_eq!(json.metrics.requests.by_outcome.values().sum::<u64>(), 1000);
    }
}
