//! Metrics over a running sidecar: both forms before and after traffic, sums that add up, series that stay bounded.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use edge_sidecar::clock::Clock;
use serde_json::Value;

use crate::signals_traffic::{Exposition, functions, left, mixed, sidecar, spawn};
use crate::support::client::{get, request, send};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};

/// Every key of interface.md 4, by the place it stands in.
const KEYS: [(&str, &str); 14] = [
    ("", "timestamp uptimeSeconds version cache deduplication clientPool handlers memory metrics totals config"),
    ("/cache/profile", "hits misses stale bypassed size bytes evictions hitRate"),
    ("/deduplication/whatsapp", "new duplicates joined partial skipped missed duplicateRate"),
    ("/clientPool/functions", "size idle inUse healthy totalUses created reused reuseRate"),
    ("/memory", "rssBytes cacheBytes dedupBytes bodyBytes budgetBytes"),
    ("/metrics", "requests latency upstreamLatency proxyOverhead coldStart"),
    ("/metrics/requests", "total byOutcome"),
    ("/metrics/latency", "count p50Ms p90Ms p99Ms maxMs avgMs"),
    ("/metrics/upstreamLatency", "count p50Ms p90Ms p99Ms maxMs avgMs"),
    ("/metrics/proxyOverhead", "count p50Ms p90Ms p99Ms maxMs avgMs"),
    ("/metrics/coldStart", "count p50Ms p90Ms p99Ms maxMs avgMs"),
    ("/totals", "cache deduplication"),
    ("/totals/cache", "hits misses hitRate"),
    ("/config", "generation hash lastReload"),
];

fn has_keys(json: &Value, at: &str, keys: &str) {
    let place = json.pointer(at).unwrap_or_else(|| panic!("nothing at {at}"));
    for key in keys.split(' ') {
        assert!(place.get(key).is_some(), "no {at}/{key} in {place}");
    }
}

/// Every figure in a document, by its key.
fn figures<'a>(json: &'a Value, key: &'a str, visit: &mut impl FnMut(&'a str, &'a Value)) {
    match json {
        Value::Object(map) => map.iter().for_each(|(key, value)| figures(value, key, visit)),
        Value::Array(list) => list.iter().for_each(|value| figures(value, key, visit)),
        value => visit(key, value),
    }
}

fn is_sound(json: &Value) {
    figures(json, "", &mut |key, value| {
        assert!(!value.is_null(), "{key} is null");
        let number = value.as_f64();
        assert!(number.is_none_or(|n| n.is_finite() && n >= 0.0), "{key} is {value}");
        assert!(!key.ends_with("Rate") || number.is_some_and(|n| n <= 1.0), "{key} is {value}");
        assert!(!key.ends_with("Ms") || number.is_some(), "{key} is {value}");
    });
    for (at, keys) in KEYS {
        has_keys(json, at, keys);
    }
}

/// What `promtool check metrics` says of a text.
fn promtool(text: &str) -> Result<(), String> {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool starts: run scripts/setup.sh test");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() && said.is_empty() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_traffic_every_rate_is_zero_and_nothing_is_null() {
    let origin = functions(&Gate::new()).await;
    let sidecar = sidecar(&origin).start().await;
    let json = sidecar.metrics().await;
    is_sound(&json);
    let mut rates = 0;
    figures(&json, "", &mut |key, value| {
        if key.ends_with("Rate") {
            rates += 1;
            assert_eq!(value.as_f64(), Some(0.0), "{key}");
        }
    });
    assert_eq!(rates, 6, "two cache rules, one dedup rule, one pool, two totals");
    let health = send(sidecar.admin, &get("/health")).await;
    assert_eq!((health.status, &health.json()["status"]), (200, &"healthy".into()));
    let text = sidecar.prometheus().await;
    assert_eq!(promtool(&text), Ok(()));
    let all = Exposition::read(&text);
    assert_eq!((all.sum("requests_total", &[]), all.of("cache_lookups_total", &[("rule", "profile")]).len()), (0.0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_traffic_of_every_kind_the_counters_add_up() {
    let gate = Gate::new();
    let origin = functions(&gate).await;
    let sidecar = sidecar(&origin).start().await;
    left(&sidecar, &origin).await;
    let mut sent = mixed(&sidecar, &origin, &gate).await;
    *sent.outcomes.entry("failed").or_default() += 1;

    let text = sidecar.prometheus().await;
    assert_eq!(promtool(&text), Ok(()));
    let all = Exposition::read(&text);
    let close = |left: f64, right: u64, what: &str| {
        assert!((left - f64::from(u32::try_from(right).expect("small"))).abs() < 1e-9, "{what}: {left}, not {right}");
    };
    for (outcome, n) in &sent.outcomes {
        close(all.sum("requests_total", &[("outcome", outcome)]), *n, outcome);
    }
    close(all.sum("requests_total", &[]), sent.total(), "requests");
    close(all.sum("request_duration_seconds_count", &[]), sent.total(), "durations");
    close(all.sum("cache_lookups_total", &[]), sent.lookups, "look-ups");
    close(all.sum("cache_bypass_total", &[("reason", "odd_path")]), 1, "odd paths");
    close(all.sum("cache_bypass_total", &[]), 2, "bypasses");
    let calls = all.sum("upstream_connects_total", &[("result", "new")]) + all.sum("upstream_connects_total", &[("result", "reused")]);
    close(calls, origin.count() as u64, "calls");
    close(all.sum("upstream_duration_seconds_count", &[]), origin.count() as u64, "durations of calls");
    close(
        all.sum("upstream_connects_total", &[("result", "new")]),
        origin.connections() as u64 - 1,
        "connections, without the first contact",
    );
    close(all.sum("requests_shed_total", &[("reason", "in_flight_per_function")]), 1, "shed");
    close(all.sum("dedup_requests_total", &[]), 6, "webhooks that were read whole");

    let json = sidecar.metrics().await;
    is_sound(&json);
    for (outcome, n) in json["metrics"]["requests"]["byOutcome"].as_object().expect("an object") {
        assert_eq!(n.as_u64(), Some(sent.outcomes.get(outcome.as_str()).copied().unwrap_or(0)), "{outcome}");
    }
    assert_eq!(json["metrics"]["requests"]["total"], sent.total());
    let handlers = json["handlers"].as_object().expect("an object");
    assert_eq!(handlers.values().filter_map(|h| h["requests"].as_u64()).sum::<u64>(), sent.total());
    has_keys(&json, "/handlers/wa-webhook-core", "requests errors loaded loadTimeMs coldStarts slow p50Ms p90Ms p99Ms");
    // /profile: a miss and two hits; /profile-broken: a miss
    assert_eq!((&json["cache"]["profile"]["hitRate"], &json["cache"]["profile"]["size"]), (&0.5.into(), &1.into()));
    // new 1, 2 and held; duplicate of 1; joined held; partial
    assert_eq!(json["deduplication"]["whatsapp"]["duplicateRate"], 0.4);
    assert_eq!(json["clientPool"]["functions"]["totalUses"], origin.count());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_counted_and_in_flight_are_all_requests_at_any_time() {
    let gate = Gate::new();
    let origin = functions(&gate).await;
    let sidecar = sidecar(&origin).start().await;
    assert_eq!(sidecar.get("/echo").await.status, 200);
    let held = [0, 1].map(|_| spawn(sidecar.address, get("/held")));
    origin.until(3).await;
    sidecar.until_series("edge_sidecar_requests_in_flight", 2.0).await;
    let all = Exposition::read(&sidecar.prometheus().await);
    assert!((all.sum("requests_total", &[]) - 1.0).abs() < 1e-9);
    let json = sidecar.metrics().await;
    assert_eq!((&json["metrics"]["requests"]["total"], &json["metrics"]["requests"]["inFlight"]), (&1.into(), &2.into()));
    assert_eq!(json["clientPool"]["functions"]["inUse"], 2);
    gate.open();
    for answer in held {
        assert_eq!(answer.await.expect("no panic").status, 200);
    }
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    assert_eq!(sidecar.metrics().await["metrics"]["requests"]["total"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn quantiles_are_those_of_the_requests() {
    let (gate, clock) = (Gate::new(), Clock::manual());
    let origin = functions(&gate).await;
    let sidecar = sidecar(&origin).clock(&clock).start().await;
    // 19 requests of no time at all, one of 200 ms
    for _ in 0..19 {
        assert_eq!(sidecar.get("/held-not").await.status, 200);
    }
    let held = spawn(sidecar.address, get("/held"));
    origin.until(20).await;
    clock.advance(Duration::from_millis(200));
    gate.open();
    assert_eq!(held.await.expect("no panic").status, 200);
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    let json = sidecar.metrics().await;
    for summary in ["latency", "upstreamLatency"] {
        let of = |key: &str| json["metrics"][summary][key].as_f64().expect("a number");
        assert_eq!((of("count"), of("p50Ms"), of("p90Ms")), (20.0, 0.0, 0.0), "{summary}");
        assert!((of("p99Ms") - 200.0).abs() < 2.0 && (of("maxMs") - 200.0).abs() < 2.0, "{summary} {json}");
        assert!((of("avgMs") - 10.0).abs() < 0.1, "{summary} {json}");
    }
    assert!((json["handlers"]["held"]["p50Ms"].as_f64().expect("a number") - 200.0).abs() < 2.0);
}

/// Numbers that look random and are the same in every run.
fn dice(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).expect("31 bits")
}

async fn crowd(sidecar: &Sidecar, state: &mut u64, count: usize) {
    const WORDS: [&str; 12] = ["a", "%41", "..", "", "250788123456", "wamid.HBgL", "profile", "functions", "v1", "x;y=z", "~", "Q-_.9"];
    let mut connection = sidecar.connect().await;
    for _ in 0..count {
        let mut target = String::new();
        for _ in 0..=dice(state) % 4 {
            let (word, number) = (WORDS[dice(state) % WORDS.len()], dice(state) % 1000);
            write!(target, "/{word}{number}").expect("a string takes all");
        }
        let method = ["GET", "DELETE", "PROPFIND", "X-WORD", "OPTIONS"][dice(state) % 5];
        let host = format!("h{}.test", dice(state) % 1000);
        let answer = connection.send(&request(method, &format!("{target}?q={}", dice(state))).header("host", &host)).await;
        assert!(matches!(answer.status, 200 | 404), "{method} {target}: {}", answer.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_make_up_paths_hosts_and_methods_make_no_series() {
    // one in ten is answered 200, as by a function that takes any path
    let origin =
        Origin::start(|seen| if seen.header("host").ends_with("0.test") { Reply::ok("{}") } else { Reply::new(404, &[], "{}") }).await;
    let sidecar = in_front_of(&origin.url()).rules(crate::signals_traffic::RULES).start().await;
    let mut state = 7;
    crowd(&sidecar, &mut state, 1000).await;
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    let before = Exposition::read(&sidecar.prometheus().await);
    crowd(&sidecar, &mut state, 1000).await;
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    let text = sidecar.prometheus().await;
    let all = Exposition::read(&text);
    assert!((all.sum("requests_total", &[]) - 2000.0).abs() < 1e-9);
    let functions = all.values("function");
    assert!(functions.len() == 31 && functions.contains("other"), "{functions:?}");
    assert!(all.sum("requests_total", &[("function", "other")]) > 1000.0);
    assert!(all.0.len() <= 3000 && before.0.len() <= 3000, "{} and {} series", before.0.len(), all.0.len());
    for never in ["250788123456", "wamid", ".test", "PROPFIND", "X-WORD"] {
        assert!(!text.contains(never), "{never}");
    }
    is_sound(&sidecar.metrics().await);
}
