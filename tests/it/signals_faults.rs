//! Counters add up after every fault: a function or a caller may fail in any way, and each request is still counted exactly once.

use std::time::Duration;

use crate::signals_traffic::Exposition;
use crate::support::client::{Connection, Request, get, post, request};
use crate::support::origin::{Gate, Origin, Reply, Step};
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::{free_port, routes};

fn same(left: f64, right: f64, what: &str) {
    assert!((left - right).abs() < 1e-9, "{what}: {left}, not {right}");
}

/// What holds of any text while nothing runs, whatever went on before.
pub fn adds_up(text: &str) -> Exposition {
    let all = Exposition::read(text);
    let sum = |name: &str, labels: &[(&str, &str)]| all.sum(name, labels);
    let total = sum("requests_total", &[]);
    same(sum("requests_in_flight", &[]), 0.0, "in flight");
    same(sum("request_duration_seconds_count", &[]), total, "durations of all requests");
    let aside = sum("requests_shed_total", &[("reason", "connections")]) + sum("requests_shed_total", &[("reason", "slow_reader")]);
    same(sum("requests_shed_total", &[]) - aside, sum("requests_total", &[("outcome", "shed")]), "shed, by limit and by outcome");
    for rule in all.of("cache_lookups_total", &[("result", "hit")]) {
        let labels = [("rule", rule.labels["rule"].as_str())];
        let matched = sum("rule_matches_total", &labels);
        same(sum("cache_lookups_total", &labels) + sum("cache_bypass_total", &labels), matched, "look-ups and bypasses");
    }
    for rule in all.of("dedup_missed_total", &[]) {
        let labels = [("rule", rule.labels["rule"].as_str())];
        same(sum("dedup_requests_total", &labels), sum("rule_matches_total", &labels), "webhooks by result");
        let skipped = sum("dedup_requests_total", &[labels[0], ("result", "skipped")]);
        same(sum("dedup_skipped_total", &labels), skipped, "webhooks skipped, by reason and by result");
    }
    let uses = sum("upstream_connects_total", &[("result", "new")]) + sum("upstream_connects_total", &[("result", "reused")]);
    let calls = sum("upstream_duration_seconds_count", &[]);
    assert!(uses >= calls, "{uses} connections had in hand for {calls} calls");
    same(sum("upstream_connections", &[("state", "in_use")]), 0.0, "connections in use");
    all
}

/// A sidecar whose requests are counted here as well.
struct Watched {
    sidecar: Sidecar,
    sent: f64,
}

impl Watched {
    async fn start(url: &str) -> Self {
        let quick = Duration::from_millis(300);
        let sidecar = in_front_of(url).rules(routes::RULES).with(|s| {
            (s.upstreams[0].first_byte, s.upstreams[0].between_bytes) = (quick, quick);
            (s.limits.header_timeout, s.limits.body_timeout, s.limits.body) = (quick, quick, 4096);
            s.upstreams[0].retries.attempts = 2;
            s.upstreams[0].retries.backoff = Duration::from_millis(1);
        });
        Self { sidecar: sidecar.start().await, sent: 0.0 }
    }

    /// Sends a request, whatever comes of it.
    async fn send(&mut self, request: &Request) -> u16 {
        self.sent += 1.0;
        Connection::open(self.sidecar.address).await.try_send(request).await.status
    }

    /// Sends bytes, and reads what there is of an answer.
    async fn send_raw(&mut self, bytes: &str) -> u16 {
        self.sent += 1.0;
        let mut connection = Connection::open(self.sidecar.address).await;
        connection.write_raw(bytes.as_bytes()).await;
        connection.read_head().await.status
    }

    /// Every request sent is counted, once.
    async fn adds_up(&self, fault: &str) -> Exposition {
        crate::support::until(&format!("{fault}: all requests are recorded"), async || {
            let all = Exposition::read(&self.sidecar.prometheus().await);
            let idle = all.sum("requests_in_flight", &[]) + all.sum("upstream_connections", &[("state", "in_use")]) < 0.5;
            (idle && all.sum("requests_total", &[]) >= self.sent).then_some(())
        })
        .await;
        let all = adds_up(&self.sidecar.prometheus().await);
        same(all.sum("requests_total", &[]), self.sent, fault);
        let json = self.sidecar.metrics().await;
        let outcomes = json["metrics"]["requests"]["byOutcome"].as_object().expect("an object");
        for (outcome, n) in outcomes {
            same(n.as_f64().expect("a number"), all.sum("requests_total", &[("outcome", outcome)]), outcome);
        }
        all
    }
}

/// How functions fail, by the last part of the path or the id of the message.
const FAULTS: [&str; 8] = ["reset", "closed", "cut-head", "cut-body", "silent", "stalled", "broken", "546"];

fn reply(fault: &str) -> Reply {
    match fault {
        "reset" => Reply::empty().then(Step::Reset),
        "closed" => Reply::empty().then(Step::Close),
        "cut-head" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Le").then(Step::Close),
        "cut-body" => Reply::ok("{\"cut\":1}").cut(3).then(Step::Close),
        "silent" => Reply::ok("{}").behind(&Gate::new()),
        "stalled" => Reply::ok("{\"cut\":1}").cut(3).then(Step::Wait(Gate::new())),
        "broken" => Reply::new(500, &[], "{}"),
        "546" => Reply::new(546, &[], "{}"),
        _ => Reply::ok("{}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_add_up_after_every_way_in_which_a_function_fails() {
    let origin = Origin::start(|seen| {
        let said = format!("{} {}", seen.target(), seen.message.text());
        reply(FAULTS.iter().find(|fault| said.contains(**fault)).copied().unwrap_or_default())
    })
    .await;
    let mut watched = Watched::start(&origin.url()).await;
    for fault in FAULTS {
        let before = watched.adds_up("before").await;
        for (route, request) in routes::each(fault) {
            let status = watched.send(&request).await;
            assert!(status >= 500 || matches!(fault, "cut-body" | "stalled"), "{fault} on a {route}: {status}");
        }
        let all = watched.adds_up(fault).await;
        let rise = |name, labels: &[(&str, &str)]| all.sum(name, labels) - before.sum(name, labels);
        same(rise("upstream_duration_seconds_count", &[]), 4.0, fault);
        let failed = rise("requests_total", &[("outcome", "failed")]);
        same(failed, if matches!(fault, "reset" | "closed" | "cut-head" | "silent") { 4.0 } else { 0.0 }, fault);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_add_up_when_there_is_no_function_to_connect_to() {
    let mut watched = Watched::start(&format!("http://127.0.0.1:{}", free_port())).await;
    for (route, request) in routes::each("1") {
        assert_eq!(watched.send(&request).await, 502, "{route}");
    }
    let all = watched.adds_up("refused").await;
    same(all.sum("requests_total", &[("outcome", "failed"), ("code", "502")]), 4.0, "failed");
    let attempts = all.sum("upstream_connects_total", &[]);
    same(attempts, all.sum("upstream_connects_total", &[("result", "failed")]), "attempts, all of which failed");
    same(attempts, 4.0 + all.sum("upstream_retries_total", &[]), "first and further attempts");
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_add_up_after_every_way_in_which_a_caller_fails() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::ok("{}").behind(&held)).await;
    let mut watched = Watched::start(&origin.url()).await;
    // malformed, or too much, too slow
    for (fault, bytes, status) in [
        ("no host", "GET /x HTTP/1.1\r\n\r\n", 400),
        ("two lengths", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("no path", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("a head that does not end", "GET /x HTTP/1.1\r\nHost: a\r\n", 408),
        ("a webhook too long", "POST /wa-webhook-core HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n", 413),
        ("a webhook that does not end", "POST /wa-webhook-core HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{", 408),
    ] {
        assert_eq!(watched.send_raw(bytes).await, status, "{fault}");
        let all = watched.adds_up(fault).await;
        same(all.sum("requests_refused_total", &[]), all.sum("requests_total", &[("outcome", "refused")]), fault);
    }
    // gone while the function works: at once, or having said that nothing more comes
    for (n, (route, wanted)) in ["1", "2"].into_iter().flat_map(routes::each).enumerate() {
        let calls = origin.count();
        let mut connection = Connection::open(watched.sidecar.address).await;
        connection.write(&wanted).await;
        watched.sent += 1.0;
        origin.until(calls + 1).await;
        if n % 2 == 0 {
            connection.reset();
        } else {
            connection.close();
        }
        gate.open();
        watched.adds_up(route).await;
        gate.shut();
    }
    // a method of its own making, to a function that answers
    gate.open();
    assert_eq!(watched.send(&request("BREW", "/pot")).await, 200);
    assert_eq!(watched.send(&post("/plain", "{}").chunked()).await, 200);
    assert_eq!(watched.send(&get("/profile/9")).await, 200);
    watched.adds_up("after all").await;
}
