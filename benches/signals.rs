//! What the signals cost: one `record`, its line, and a scrape at the series budget.
//!
//! `cargo bench --bench signals`. Goals: `/metrics` in 20 ms and 256 KiB.
#![allow(missing_docs, clippy::print_stdout, reason = "criterion's macros make public items, and a bench prints")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use edge_sidecar::clock::Clock;
use edge_sidecar::config::Live;
use edge_sidecar::config::sidecar::{Level, Log};
use edge_sidecar::telemetry::log::AccessLog;
use edge_sidecar::telemetry::record::{CacheRecord, Exchanged, Finished, LookupResult, Outcome, Phases, Source};
use edge_sidecar::telemetry::{Metrics, readings};
use http::{HeaderMap, HeaderName, HeaderValue};

const SHIPPED: &str = include_str!("../config/rules.yaml");

fn metrics(log: Option<AccessLog>) -> Metrics {
    let clock = Clock::system();
    let now = clock.wall();
    let read = move || readings::Readings {
        pools: Vec::new(),
        cache: readings::Cache::default(),
        dedup: readings::Dedup::default(),
        body_bytes: 0,
        memory_budget: 0,
        config: readings::Config {
            generation: 1,
            hash: String::new(),
            last_reload_ok: true,
            last_reload: now,
            last_success: now,
            successes: 0,
            failures: 0,
            file_differs: false,
            restart_needed: false,
        },
    };
    let live = Live::start("rules.yaml", SHIPPED.as_bytes(), now).expect("the shipped rules are good");
    let metrics = Metrics::new(Box::new(read), clock, log);
    metrics.prepare(&live.load().rules);
    metrics
}

fn log() -> AccessLog {
    AccessLog::start(Log { level: Level::Info, hits_ppm: 1_000_000 }, Box::new(std::io::sink())).expect("a thread")
}

fn hit() -> Finished<'static> {
    Finished {
        request_id: "0123456789abcdef0123456789abcdef",
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
        method: "GET",
        path: "/functions/v1/profile-get",
        function: "profile-get",
        status: 200,
        outcome: Outcome::Hit,
        source: Source::Cache,
        reason: None,
        error: None,
        age: Some(Duration::from_secs(3)),
        cache: Some(CacheRecord { rule: "profile", result: LookupResult::Hit, bypass: None, not_stored: None, refreshed: None }),
        dedup: None,
        upstream: None,
        duration: Duration::from_micros(180),
        slow_after: Duration::from_secs(1),
        bytes_in: 0,
        bytes_out: 1024,
        generation: 1,
    }
}

fn call(server_timing: &str) -> Exchanged {
    let field = (HeaderName::from_static("server-timing"), HeaderValue::from_str(server_timing).expect("a field value"));
    Exchanged {
        upstream: "functions".into(),
        address: Some(([127, 0, 0, 1], 9000).into()),
        status: 200,
        connect: None,
        first_byte: Duration::from_millis(4),
        total: Duration::from_millis(5),
        reused: true,
        retries: 0,
        cold: false,
        phases: Phases::of(&HeaderMap::from_iter([field])),
    }
}

fn recording(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    let (silent, loud) = (metrics(None), metrics(Some(log())));
    group.bench_function("a hit, without its line", |b| b.iter(|| silent.record(black_box(&hit()))));
    group.bench_function("a hit and its line", |b| b.iter(|| loud.record(black_box(&hit()))));
    let (plain, timed) = (call("miss"), call("db;dur=3, render;dur=0.4"));
    for (name, upstream) in [("a call and its line", &plain), ("a call with two phases, and its line", &timed)] {
        let done = Finished { outcome: Outcome::Forwarded, source: Source::Upstream, cache: None, upstream: Some(upstream), ..hit() };
        group.bench_function(name, |b| b.iter(|| loud.record(black_box(&done))));
    }
}

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("Server-Timing");
    for (name, field) in [("none", None), ("two phases", Some("db;dur=53;desc=\"two, queries\", render;dur=4.2"))] {
        let headers: HeaderMap =
            field.map(|f| (HeaderName::from_static("server-timing"), HeaderValue::from_static(f))).into_iter().collect();
        group.bench_function(name, |b| b.iter(|| Phases::of(black_box(&headers))));
    }
}

/// Everything that any number of functions, statuses and phases can bring about.
fn scraping(c: &mut Criterion) {
    let full = metrics(None);
    let phases: Vec<_> = (0..9).map(|n| format!("phase-{n};dur=1")).collect();
    let call = call(&phases.join(","));
    for (n, status) in (0..60).flat_map(|n| [200, 201, 204, 301, 404, 429, 500, 503].map(|status| (n, status))) {
        let function = format!("function-{n}");
        for (source, outcome) in Source::ALL.iter().flat_map(|s| Outcome::ALL.iter().map(move |o| (*s, *o))) {
            full.record(&Finished { function: &function, status, source, outcome, upstream: Some(&call), ..hit() });
        }
    }
    let text = full.prometheus();
    let series = text.lines().filter(|l| !l.starts_with('#')).count();
    let json = serde_json::to_vec(&full.json()).expect("plain values").len();
    println!("at the budget: {series} series, {} bytes of text, {json} bytes of JSON", text.len());
    let mut group = c.benchmark_group("scrape at the budget");
    group.bench_function("text", |b| b.iter(|| full.prometheus()));
    group.bench_function("JSON", |b| b.iter(|| serde_json::to_vec(&full.json())));
}

criterion_group! {
    name = signals;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = recording, reading, scraping
}
criterion_main!(signals);
