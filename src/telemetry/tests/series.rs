//! Series: known ones are there at zero, and whatever is asked for, there are at most 3,000 of them in 256 KiB.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::rules::function;
use crate::telemetry::record::Phases;

/// Numbers that look random and are the same in every run.
fn dice(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn what_the_rules_foretell_is_there_at_zero() {
    let metrics = metrics();
    let s = samples(&metrics.prometheus());
    for (function, code_and_outcome) in [
        ("wa-webhook-core", r#"code="200",function="wa-webhook-core",outcome="new""#),
        ("wa-webhook-core", r#"code="200",function="wa-webhook-core",outcome="duplicate""#),
        ("ocr-documents", r#"code="200",function="ocr-documents",outcome="forwarded""#),
        ("other", r#"code="200",function="other",outcome="forwarded""#),
    ] {
        assert_eq!(s[&format!("edge_sidecar_requests_total{{{code_and_outcome}}}")], 0.0);
        for name in ["upstream_duration_seconds_count", "request_bytes_total", "response_bytes_total", "requests_slow_total"] {
            assert_eq!(s[&format!("edge_sidecar_{name}{{function=\"{function}\"}}")], 0.0, "{name}");
        }
        assert_eq!(s[&format!("edge_sidecar_request_duration_seconds_count{{function=\"{function}\",source=\"upstream\"}}")], 0.0);
    }
    assert_eq!(s[r#"edge_sidecar_request_duration_seconds_count{function="wa-webhook-core",source="dedup"}"#], 0.0);
    let closed: [(&str, &str, Vec<&str>); 9] = [
        ("requests_shed_total", "reason", ShedReason::ALL.iter().map(|w| w.as_str()).collect()),
        ("requests_refused_total", "reason", RefusedReason::ALL.iter().map(|w| w.as_str()).collect()),
        ("admin_refused_total", "reason", DoorRefusal::ALL.iter().map(|w| w.as_str()).collect()),
        ("cache_bypass_total", "reason", cache::Bypass::ALL.iter().map(|w| w.as_str()).collect()),
        ("cache_not_stored_total", "reason", cache::NotStored::ALL.iter().map(|w| w.as_str()).collect()),
        ("dedup_requests_total", "result", DedupResult::ALL.iter().map(|w| w.as_str()).collect()),
        ("dedup_skipped_total", "reason", dedup::SkipReason::ALL.iter().map(|w| w.as_str()).collect()),
        ("dedup_repeats_total", "cause", dedup::Cause::ALL.iter().map(|w| w.as_str()).collect()),
        ("upstream_connects_total", "result", vec!["new", "reused", "failed"]),
    ];
    for (name, label, words) in closed {
        for word in words {
            let of = |k: &String| k.starts_with(&format!("edge_sidecar_{name}{{")) && k.contains(&format!("{label}=\"{word}\""));
            assert!(s.keys().any(of), "{name} has no {word}");
        }
    }
}

#[test]
fn a_function_that_came_before_its_rule_gets_the_series_of_the_rule() {
    let metrics = metrics();
    metrics.record(&Finished { function: "later", ..finished() });
    let mut rules = rules();
    rules.dedup.include.push(rule("later", "later", dedup::Settings::default()));
    metrics.prepare(&rules);
    metrics.prepare(&rules);
    let s = samples(&metrics.prometheus());
    let of = |outcome: &str| s[&format!("edge_sidecar_requests_total{{code=\"200\",function=\"later\",outcome=\"{outcome}\"}}")];
    assert_eq!((of("forwarded"), of("new"), of("duplicate")), (1.0, 0.0, 0.0));
}

#[test]
fn a_hundred_thousand_made_up_requests_make_no_series() {
    const METHODS: [&str; 6] = ["GET", "POST", "PROPFIND", "X-WORD", "get", "\u{1b}[31m"];
    let (metrics, mut state) = (metrics(), 7);
    for n in 0..100_000_u32 {
        let path = format!("/functions/v1/f{}/{}%41..//{}", dice(&mut state), dice(&mut state), dice(&mut state));
        let (function, method) = (function::name(&path, "/functions/v1/"), METHODS[n as usize % METHODS.len()]);
        let status = [404, 500, 999][n as usize % 3];
        metrics.record(&Finished { function, method, path: &path, status, ..finished() });
    }
    let s = samples(&metrics.prometheus());
    assert!(s.len() < 600, "{}", s.len());
    assert_eq!(sum(&s, "edge_sidecar_requests_total", "function=\"other\""), 100_000.0);
}

#[test]
fn at_the_budget_there_are_3000_series_in_256_kib_and_nothing_is_left_out_of_the_sums() {
    let (metrics, mut sent) = (metrics(), 0.0);
    let phases: Vec<_> = (0..30).map(|n| format!("phase-number-{n};dur=1")).collect();
    let said = [(HeaderName::from_static("server-timing"), HeaderValue::from_str(&phases.join(",")).expect("a field value"))];
    let call = Exchanged { phases: Phases::of(&HeaderMap::from_iter(said)), ..exchanged() };
    for (n, status) in (0..200_u16).flat_map(|n| [200, 201, 204, 301, 404, 429, 500, 503, 999].map(|status| (n, status))) {
        let function = format!("function-{n}");
        for (source, outcome) in Source::ALL.iter().flat_map(|s| Outcome::ALL.iter().map(move |o| (*s, *o))) {
            metrics.record(&Finished { function: &function, status, source, outcome, upstream: Some(&call), ..finished() });
            sent += 1.0;
        }
    }
    let text = metrics.prometheus();
    let s = samples(&text);
    assert!(s.len() <= 3000, "{}", s.len());
    assert!(text.len() <= 256 << 10, "{}", text.len());
    let names: BTreeSet<_> = s.keys().filter_map(|k| Some(k.split_once("function=\"")?.1.split_once('"')?.0)).collect();
    assert_eq!(names.len(), functions::MOST + 1);
    for family in ["requests_total", "request_duration_seconds_count", "upstream_duration_seconds_count"] {
        assert_eq!(sum(&s, &format!("edge_sidecar_{family}"), ""), sent, "{family}");
    }
    assert!((sum(&s, "edge_sidecar_function_phase_seconds_sum", "") - sent * 30.0 / 1000.0).abs() < 1e-6 * sent);
    let phases = s.keys().filter(|k| k.starts_with("edge_sidecar_function_phase_seconds_count")).count();
    assert_eq!(phases, crate::telemetry::phases::MOST_IN_ALL + 1);
}
