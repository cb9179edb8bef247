//! Limits: waiting ends with 503 and never with 200, bodies too large with 413, and the function runs once all the same.

use std::time::Duration;

use super::{Change, RULES, assert_repeat, begin, end, message, sidecar, verdict, webhook};
use crate::support::client::{Answer, Request, post};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};

/// Asserts an error in the sidecar's own form.
fn assert_refused(answer: &Answer, status: u16, code: &str, id: &str) {
    assert_eq!((answer.status, answer.header("content-type")), (status, "application/json"), "{}", answer.text());
    let json = answer.json();
    assert_eq!((json["error"].as_str(), json["requestId"].as_str()), (Some(code), Some(id)));
    assert!(json["message"].as_str().is_some_and(|m| m.len() > 10));
    assert_eq!(answer.header("x-request-id"), id);
    assert_eq!(answer.has("retry-after"), status == 503, "{code}");
    assert!(!answer.has("x-dedup") && !answer.has("x-duplicate"), "{:?}", answer.message);
}

async fn held(gate: &Gate, builder: impl FnOnce(&str) -> crate::support::sidecar::Builder) -> (Origin, Sidecar) {
    let gate = gate.clone();
    let origin = Origin::start(move |_| Reply::ok("{}").behind(&gate)).await;
    let sidecar = builder(&origin.url()).start().await;
    (origin, sidecar)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_ends_is_503_and_never_200() {
    let gate = Gate::new();
    let short = RULES.replace("window: 24h", "window: 24h, wait_timeout: 100ms");
    let (origin, sidecar) = held(&gate, |url| in_front_of(url).rules(&short)).await;
    let first = begin(&sidecar, webhook(message("wamid.a")));
    origin.until(1).await;
    for id in ["second", "third"] {
        let answer = sidecar.send(webhook(message("wamid.a")).header("X-Request-Id", id)).await;
        assert_refused(&answer, 503, "wait_timeout", id);
    }
    gate.open();
    assert_eq!(verdict(&end(first).await), (200, "NEW"));
    assert_repeat(&sidecar.send(webhook(message("wamid.a"))).await, "DUPLICATE");
    assert_eq!(origin.count(), 1);
    let line = sidecar.line("request", "second").await;
    assert_eq!((&line["outcome"], &line["error"], &line["dedup"]["ids"]), (&"shed".into(), &"wait_timeout".into(), &1.into()));
    assert!(line["dedup"]["waited_ms"].as_f64().is_some_and(|ms| ms >= 100.0), "{line}");
    sidecar.until_series(&super::requests("timeout"), 2.0).await;
    sidecar.until_series(r#"edge_sidecar_requests_shed_total{reason="wait_timeout"}"#, 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_64_copies_wait_for_one_message() {
    let gate = Gate::new();
    let long = RULES.replace("window: 24h", "window: 24h, wait_timeout: 60s");
    let (origin, sidecar) = held(&gate, |url| in_front_of(url).rules(&long)).await;
    let first = begin(&sidecar, webhook(message("wamid.a")));
    origin.until(1).await;
    let waiting: Vec<_> = (0..64).map(|_| begin(&sidecar, webhook(message("wamid.a")))).collect();
    sidecar.until_series("edge_sidecar_dedup_waiting", 64.0).await;
    let crowded = sidecar.send(webhook(message("wamid.a")).header("X-Request-Id", "one-more")).await;
    assert_refused(&crowded, 503, "waiters", "one-more");
    let other = begin(&sidecar, webhook(message("wamid.b")));
    origin.until(2).await;
    gate.open();
    for copy in waiting {
        assert_repeat(&end(copy).await, "JOINED");
    }
    assert_eq!((verdict(&end(first).await), verdict(&end(other).await)), ((200, "NEW"), (200, "NEW")));
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_above_the_limit_is_413_and_never_sent() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(|s| s.limits.body = 100_000).start().await;
    let framings: [(&str, Change); 4] = [
        ("length", |r| r),
        ("chunks", Request::chunked),
        ("length-expecting", |r| r.header("Expect", "100-continue")),
        ("chunks-expecting", |r| r.chunked().expecting()),
    ];
    for (id, frame) in framings {
        for size in [100_001, 12_000_000] {
            let answer = sidecar.send(frame(webhook(vec![b' '; size])).header("X-Request-Id", id)).await;
            assert_refused(&answer, 413, "body_too_large", id);
        }
    }
    assert_eq!(origin.count(), 0);
    let just = sidecar.send(webhook(vec![b' '; 100_000])).await;
    assert_eq!((verdict(&just), origin.count()), ((200, "SKIPPED; reason=unparsable"), 1));
    assert_eq!(sidecar.send(post("/upload", vec![b' '; 200_000])).await.status, 200, "the limit is for what is read whole");
    sidecar.until_series(r#"edge_sidecar_memory_bytes{kind="bodies"}"#, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_given_up() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(|s| s.limits.body_timeout = Duration::from_millis(100)).start().await;
    let mut slow = sidecar.connect().await;
    slow.write_raw(b"POST /wa-webhook-core HTTP/1.1\r\nHost: f\r\nX-Request-Id: slow\r\nContent-Length: 400\r\n\r\n{").await;
    assert_refused(&slow.read(&post("/", "")).await, 408, "body_timeout", "slow");
    assert!(slow.is_closed().await, "what still comes of that body is no request");
    assert_eq!(origin.count(), 0);
    assert_eq!(verdict(&sidecar.send(webhook(message("wamid.a"))).await), (200, "NEW"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_memory_forgets_the_oldest_and_loses_nothing() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(|s| s.dedup_max_entries = 10).start().await;
    for n in 0..50 {
        assert_eq!(verdict(&sidecar.send(webhook(message(&format!("wamid.{n}")))).await), (200, "NEW"));
    }
    assert_repeat(&sidecar.send(webhook(message("wamid.49"))).await, "DUPLICATE");
    assert_eq!(verdict(&sidecar.send(webhook(message("wamid.0"))).await), (200, "NEW"), "forwarded once more, never refused");
    assert_eq!(origin.count(), 51);
    let (entries, capacity) = (sidecar.series("edge_sidecar_dedup_entries").await, sidecar.series("edge_sidecar_dedup_capacity").await);
    assert!(entries <= capacity && entries >= 1.0, "{entries} of {capacity}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_may_let_copies_run_side_by_side() {
    let gate = Gate::new();
    let forward = RULES.replace("window: 24h", "window: 24h, while_first_runs: forward");
    let (origin, forwarding) = held(&gate, |url| in_front_of(url).rules(&forward)).await;
    let copies = [(); 2].map(|()| begin(&forwarding, webhook(message("wamid.a"))));
    origin.until(2).await;
    gate.open();
    let mut marks = Vec::new();
    for copy in copies {
        let answer = end(copy).await;
        assert!(answer.status == 200 && !answer.has("x-duplicate"), "{:?}", answer.message);
        marks.push(answer.header("x-dedup").to_owned());
    }
    marks.sort_unstable();
    assert_eq!(marks, ["NEW", "SKIPPED; reason=not_claimed"]);
    assert_repeat(&forwarding.send(webhook(message("wamid.a"))).await, "DUPLICATE");
    assert_eq!(origin.count(), 2);
    let plain = sidecar(&origin).await;
    assert_eq!(verdict(&plain.send(webhook(message("wamid.a"))).await), (200, "NEW"), "two sidecars share nothing");
}
