//! What every request pays, measured apart: plan, identify, claim, look-up, record. Read the ratios: the machine is noisy.
//!
//! `cargo bench --bench hot_path`; `make bench` runs it before the side-by-side comparison.
#![allow(missing_docs, clippy::print_stdout, reason = "criterion's macros make public items, and a bench prints")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use edge_sidecar::cache::policy::{Answer, storable};
use edge_sidecar::cache::{CacheKey, CallerSecret, Entry};
use edge_sidecar::clock::Clock;
use edge_sidecar::config::Live;
use edge_sidecar::dedup::key::{Keys, Scope};
use edge_sidecar::dedup::{Delivery, IdSource, extract};
use edge_sidecar::engine::{CachePlan, RuleSet, plan};
use edge_sidecar::rules::path::Path;
use edge_sidecar::rules::{Facts, function};
use edge_sidecar::store::claims::{Claimed, Claims, Mode, Wish};
use edge_sidecar::store::memory::Memory;
use edge_sidecar::store::responses::Responses;
use edge_sidecar::telemetry::record::{CacheRecord, Finished, LookupResult, Outcome, Source};
use edge_sidecar::telemetry::{Metrics, readings};
use http::{HeaderMap, HeaderValue, Method};
use tokio::runtime::Runtime;

const SHIPPED: &str = include_str!("../config/rules.yaml");
const SCOPE: Scope<'static> = Scope { upstream: "functions", function: "wa-webhook-core" };

fn rules() -> Arc<RuleSet> {
    let live = Live::start("rules.yaml", SHIPPED.as_bytes(), Clock::system().wall()).expect("the shipped rules are good");
    Arc::new(live.load().rules.clone())
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [("host", "api.example"), ("authorization", "Bearer abc"), ("accept", "*/*"), ("user-agent", "bench")] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

fn facts<'a>(method: &'a Method, path: &'a str, headers: &'a HeaderMap) -> Facts<'a> {
    let normal = Path::new(path);
    let function = function::name(path, "/functions/v1/");
    Facts {
        listener: "functions",
        upstream: "functions",
        method,
        host: "api.example",
        path: normal,
        query: Some("lang=en"),
        function,
        headers,
    }
}

/// A webhook with this many messages, written as Meta does.
fn webhook(messages: usize) -> Bytes {
    let message = |n: usize| {
        format!(r#"{{"from":"15550001111","id":"wamid.BENCH{n:06}","timestamp":"1750000000","type":"text","text":{{"body":"Hello"}}}}"#)
    };
    let messages: Vec<String> = (0..messages).map(message).collect();
    let value =
        format!(r#"{{"messaging_product":"whatsapp","metadata":{{"phone_number_id":"1000001"}},"messages":[{}]}}"#, messages.join(","));
    format!(r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"value":{value},"field":"messages"}}]}}]}}"#).into()
}

fn planning(c: &mut Criterion) {
    let (rules, headers, secret) = (rules(), headers(), CallerSecret::new([7; 16]));
    let mut group = c.benchmark_group("plan");
    for (name, method, path) in [
        ("cached GET", Method::GET, "/functions/v1/profile-get"),
        ("webhook POST", Method::POST, "/functions/v1/wa-webhook-core"),
        ("no rule", Method::POST, "/functions/v1/orders"),
        ("odd path", Method::GET, "/functions/v1/./profile-get"),
    ] {
        group.bench_function(name, |b| b.iter(|| plan(&rules, black_box(&facts(&method, path, &headers)), &secret)));
    }
}

fn keys_in(body: &[Bytes]) -> Keys {
    extract(&IdSource::WhatsApp, &SCOPE, &Delivery { target: "/", headers: &HeaderMap::new(), body }).expect("ids").keys
}

fn identifying(c: &mut Criterion) {
    let mut group = c.benchmark_group("identify");
    for (name, messages) in [("1 message", 1), ("1,000 messages", 1000)] {
        let body = [webhook(messages)];
        group.throughput(Throughput::Bytes(body[0].len() as u64));
        group.bench_function(name, |b| b.iter(|| keys_in(black_box(&body))));
    }
}

fn claiming(c: &mut Criterion) {
    let (runtime, clock, store) = (Runtime::new().expect("a runtime"), Clock::system(), Memory::new(250_000));
    let keys = |n: u64| {
        let body = String::from_utf8_lossy(&webhook(1)).replace("BENCH", &format!("BENCH{n}-"));
        keys_in(&[body.into()])
    };
    let claim = |keys: &_| {
        let wish = Wish { keys, window: Duration::from_hours(24), mode: Mode::Wait, now: clock.now(), waited: None };
        runtime.block_on(store.claim(&wish))
    };
    let mut group = c.benchmark_group("claim");
    let mut fresh = 0;
    group.bench_function("new, accepted", |b| {
        b.iter_batched(
            || {
                fresh += 1;
                keys(fresh)
            },
            |keys| match claim(&keys) {
                Claimed::Owned(claim) => claim.accept(clock.now()),
                _ => unreachable!("a fresh id"),
            },
            criterion::BatchSize::SmallInput,
        );
    });
    let known = keys(1);
    group.bench_function("duplicate", |b| b.iter(|| claim(black_box(&known))));
}

/// What a webhook costs beyond being forwarded: its events found, claimed and accepted, in a store that is as good as full. The tail
/// counts, so every round is timed by itself. Goals for new ones: p99 of 100 us for one message, 1 ms for a thousand.
fn adding(_: &mut Criterion) {
    let (runtime, clock, store) = (Runtime::new().expect("a runtime"), Clock::system(), Memory::new(250_000));
    let round = |body: &[Bytes], accepts: bool| {
        let began = clock.now();
        let keys = keys_in(body);
        let wish = Wish { keys: &keys, window: Duration::from_hours(24), mode: Mode::Wait, now: clock.now(), waited: None };
        match runtime.block_on(store.claim(&wish)) {
            Claimed::Owned(claim) if accepts => _ = claim.accept(clock.now()),
            Claimed::Duplicate { .. } if !accepts => {}
            other => unreachable!("{other:?}"),
        }
        clock.now().saturating_duration_since(began)
    };
    let fresh =
        |n: usize, messages: usize| [Bytes::from(String::from_utf8_lossy(&webhook(messages)).replace("BENCH", &format!("BENCH{n}-")))];
    (0..240).for_each(|n| _ = round(&fresh(n, 1_000), true));
    println!("a webhook adds                 p50         p90         p99");
    for (name, messages, rounds, accepts) in [
        ("repeat, 1 message", 1, 20_000, false),
        ("repeat, 1,000 messages", 1_000, 300, false),
        ("new, 1 message", 1, 20_000, true),
        ("new, 1,000 messages", 1_000, 300, true),
    ] {
        let bodies = (0..rounds).map(|n| if accepts { fresh(1_000 + n, messages) } else { fresh(239, messages) });
        let mut times: Vec<_> = bodies.map(|body| round(&body, accepts)).collect();
        times.sort_unstable();
        let micros = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e6;
        println!("{name:<22} {:>8.1} us {:>8.1} us {:>8.1} us", micros(50), micros(90), micros(99));
    }
}

fn looking_up(c: &mut Criterion) {
    let (rules, headers, secret, clock) = (rules(), headers(), CallerSecret::new([7; 16]), Clock::system());
    let store = Responses::new(32 << 20, 1 << 20);
    let key_of = |n: usize| -> (CacheKey, _) {
        let path = format!("/functions/v1/profile/{n}");
        match plan(&rules, &facts(&Method::GET, &path, &headers), &secret).cache {
            CachePlan::Lookup { key, rule, .. } => (key, rule),
            other => unreachable!("a cached route, not {other:?}"),
        }
    };
    for n in 0..10_000 {
        let (key, rule) = key_of(n);
        let answer = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let head = Answer { status: 200, headers: &answer, delay: Duration::ZERO, now: clock.now(), wall: clock.wall() };
        let storable = storable(&rule.settings, &headers, &head, 1 << 20).expect("storable");
        let fields = answer.iter().map(|(n, v)| (n.as_str().as_bytes(), v.as_bytes()));
        let entry = Entry::new(Arc::clone(&rule.name), storable, &answer, fields, &[Bytes::from(vec![b'x'; 1024])]);
        store.insert(&key, entry, &store.begin()).expect("room");
    }
    let (known, unknown) = (key_of(5).0, key_of(10_001).0);
    let mut group = c.benchmark_group("look-up");
    group.bench_function("hit among 10,000", |b| b.iter(|| store.lookup(black_box(&known), &headers, clock.now())));
    group.bench_function("miss", |b| b.iter(|| store.lookup(black_box(&unknown), &headers, clock.now())));
}

fn recording(c: &mut Criterion) {
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
    let metrics = Metrics::new(Box::new(read), clock, None);
    metrics.prepare(&rules());
    let done = Finished {
        request_id: "0123456789abcdef0123456789abcdef",
        trace_id: None,
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
    };
    c.bench_function("record/a hit, without its line", |b| b.iter(|| metrics.record(black_box(&done))));
}

criterion_group! {
    name = hot_path;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = planning, identifying, claiming, adding, looking_up, recording
}
criterion_main!(hot_path);
