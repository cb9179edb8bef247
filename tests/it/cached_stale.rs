//! Answers that are not fresh any more and yet are given: while a new one is fetched, where the function fails, and where the caller
//! takes them so (RFC 5861, cache.md 7).

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use edge_sidecar::clock::Clock;
use serde_json::json;

use crate::cached::{HIT, STORED, told};
use crate::cached_flights::{all, begin, until_waiting};
use crate::support::client::{get, request};
use crate::support::origin::{Gate, Origin, Reply, Step};
use crate::support::sidecar::{Sidecar, in_front_of};

pub fn rules(options: &str) -> String {
    format!("cache:\n  include:\n    - {{ name: config, match: {{ function: \"config*\" }}, ttl: 5m, scope: public, {options} }}\n")
}

/// A function whose answers are numbered, and have the status that was put here; 0 breaks the connection.
async fn function() -> (Origin, Arc<AtomicU16>) {
    let (status, next) = (Arc::new(AtomicU16::new(200)), AtomicUsize::new(0));
    let says = Arc::clone(&status);
    let origin = Origin::start(move |_| match says.load(SeqCst) {
        0 => Reply::empty().then(Step::Reset),
        status => Reply::new(status, &[], next.fetch_add(1, SeqCst).to_string()),
    });
    (origin.await, status)
}

/// A sidecar that holds the function's first answer, which ceased to be fresh a second ago.
async fn with_stale(origin: &Origin, options: &str) -> (Sidecar, Clock) {
    let clock = Clock::manual();
    let sidecar = in_front_of(&origin.url()).rules(&rules(options)).clock(&clock).start().await;
    assert_eq!(told(&sidecar.get("/config").await), STORED);
    clock.advance(Duration::from_secs(301));
    (sidecar, clock)
}

const SWR: (&str, &str) = ("STALE", "hit; ttl=-1; detail=swr");
const SIE: (&str, &str) = ("STALE", "hit; ttl=-1; detail=sie");

#[tokio::test(flavor = "multi_thread")]
async fn while_one_new_answer_is_fetched_all_get_the_old_one_at_once() {
    let (gate, next) = (Gate::new(), AtomicUsize::new(0));
    let held = gate.clone();
    let origin = Origin::start(move |_| match next.fetch_add(1, SeqCst) {
        0 => Reply::ok("0"),
        n => Reply::ok(n.to_string()).behind(&held),
    });
    let (sidecar, _clock) = {
        let origin = origin.await;
        let made = with_stale(&origin, "stale_while_revalidate: 30s").await;
        for n in 0..20 {
            let id = format!("swr-{n}");
            let answer = made.0.send(get("/config").header("x-request-id", &id)).await;
            assert_eq!((told(&answer), answer.text().as_str(), answer.header("age")), (SWR, "0", "301"));
            assert_eq!(made.0.line("request", &id).await["outcome"], "stale");
        }
        origin.until(2).await;
        gate.open();
        made.0.until_series(r#"edge_sidecar_cache_refreshes_total{result="replaced",rule="config"}"#, 1.0).await;
        let fresh = made.0.get("/config").await;
        assert_eq!((told(&fresh), fresh.text().as_str(), origin.count()), (HIT, "1", 2));
        made
    };
    sidecar.until_series(r#"edge_sidecar_cache_lookups_total{result="stale",rule="config"}"#, 20.0).await;
    let figures = sidecar.metrics().await["cache"]["config"].clone();
    assert_eq!((&figures["stale"], &figures["hits"], &figures["misses"]), (&json!(20), &json!(1), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_window_and_where_the_answer_forbids_it_the_function_is_waited_for() {
    let (origin, _) = function().await;
    let (sidecar, clock) = with_stale(&origin, "stale_while_revalidate: 30s").await;
    clock.advance(Duration::from_secs(30));
    let late = sidecar.get("/config").await;
    assert_eq!((told(&late).0, late.text().as_str()), ("MISS", "1"));
    for says in ["max-age=5, must-revalidate", "s-maxage=5", "max-age=5, proxy-revalidate", "no-cache"] {
        let origin = Origin::start(move |_| Reply::new(200, &[("Cache-Control", says), ("ETag", "\"a\"")], "x")).await;
        let clock = Clock::manual();
        let sidecar =
            in_front_of(&origin.url()).rules(&rules("stale_while_revalidate: 30s, stale_if_error: 1h")).clock(&clock).start().await;
        sidecar.get("/config").await;
        clock.advance(Duration::from_secs(6));
        assert_eq!(told(&sidecar.get("/config").await).0, "MISS", "{says}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_may_not_be_stored_ends_the_old_answer() {
    let next = AtomicUsize::new(0);
    let origin = Origin::start(move |_| match next.fetch_add(1, SeqCst) {
        0 => Reply::ok("0"),
        n => Reply::new(200, &[("Cache-Control", "private")], n.to_string()),
    })
    .await;
    let (sidecar, _clock) = with_stale(&origin, "stale_while_revalidate: 30s").await;
    assert_eq!(told(&sidecar.get("/config").await), SWR);
    sidecar.until_series(r#"edge_sidecar_cache_refreshes_total{result="not_stored",rule="config"}"#, 1.0).await;
    let next = sidecar.get("/config").await;
    assert_eq!((told(&next), next.text().as_str()), (("BYPASS", "fwd=bypass; detail=unstorable"), "2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_function_fails_the_old_answer_stands_in() {
    for failure in [0, 500, 502, 503, 504, 546] {
        let (origin, says) = function().await;
        let (sidecar, _clock) = with_stale(&origin, "stale_if_error: 1h").await;
        says.store(failure, SeqCst);
        let answer = sidecar.send(get("/config").header("x-request-id", "failed")).await;
        assert_eq!((told(&answer), answer.status, answer.text().as_str()), (SIE, 200, "0"), "{failure}");
        assert_eq!((answer.header("age"), answer.header("x-cache-age")), ("301", "301"));
        let line = sidecar.line("request", "failed").await;
        assert_eq!((&line["outcome"], &line["reason"]), (&json!("stale"), &json!("sie")), "{failure}");
        sidecar.until_series(r#"edge_sidecar_cache_refreshes_total{result="failed",rule="config"}"#, 1.0).await;
    }
    for failure in [400, 401, 403, 404, 429, 501] {
        let (origin, says) = function().await;
        let (sidecar, _clock) = with_stale(&origin, "stale_if_error: 1h").await;
        says.store(failure, SeqCst);
        let answer = sidecar.get("/config").await;
        assert_eq!((answer.status, answer.text().as_str()), (failure, "1"), "an answer, not a failure");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_fails_is_left_alone_for_a_while_that_doubles() {
    let (origin, says) = function().await;
    let (sidecar, clock) = with_stale(&origin, "stale_if_error: 1h").await;
    says.store(503, SeqCst);
    let mut asked = 1;
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        for _ in 0..5 {
            assert_eq!(told(&sidecar.get("/config").await).0, "STALE");
        }
        asked += 1;
        assert_eq!(origin.count(), asked, "one of the five asked");
        clock.advance(Duration::from_secs(pause - 1) + Duration::from_millis(999));
        assert_eq!((told(&sidecar.get("/config").await).0, origin.count()), ("STALE", asked), "not before {pause} s");
        clock.advance(Duration::from_millis(1));
    }
    says.store(200, SeqCst);
    assert_eq!(told(&sidecar.get("/config").await).0, "MISS");
    // the next failure is a first one
    clock.advance(Duration::from_secs(301));
    says.store(503, SeqCst);
    let before = origin.count();
    assert_eq!(told(&sidecar.get("/config").await).0, "STALE");
    clock.advance(Duration::from_secs(1));
    assert_eq!((told(&sidecar.get("/config").await).0, origin.count()), ("STALE", before + 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_refresh_in_the_background_backs_off_too() {
    let (origin, says) = function().await;
    let (sidecar, clock) = with_stale(&origin, "stale_while_revalidate: 30s").await;
    says.store(0, SeqCst);
    assert_eq!(told(&sidecar.get("/config").await), SWR);
    sidecar.until_series(r#"edge_sidecar_cache_refreshes_total{result="failed",rule="config"}"#, 1.0).await;
    let asked = origin.count();
    for _ in 0..5 {
        assert_eq!(told(&sidecar.get("/config").await), SWR);
    }
    assert_eq!(origin.count(), asked);
    says.store(200, SeqCst);
    clock.advance(Duration::from_secs(1));
    assert_eq!(told(&sidecar.get("/config").await).0, "STALE");
    sidecar.until_series(r#"edge_sidecar_cache_refreshes_total{result="replaced",rule="config"}"#, 1.0).await;
    assert_eq!(told(&sidecar.get("/config").await), HIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_wait_for_a_function_that_fails_get_the_old_answer() {
    let (gate, next) = (Gate::new(), AtomicUsize::new(0));
    let held = gate.clone();
    let origin = Origin::start(move |_| match next.fetch_add(1, SeqCst) {
        0 => Reply::ok("0"),
        _ => Reply::new(503, &[], "down").behind(&held),
    })
    .await;
    let (sidecar, _clock) = with_stale(&origin, "stale_if_error: 1h").await;
    let mut tasks = vec![begin(&sidecar, get("/config"))];
    origin.until(2).await;
    tasks.extend((0..9).map(|_| begin(&sidecar, get("/config"))));
    until_waiting(&sidecar, 9).await;
    gate.open();
    for answer in all(tasks).await {
        assert_eq!((told(&answer), answer.text().as_str()), (SIE, "0"));
    }
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_have_the_old_answer_does_not_get_it() {
    let (origin, says) = function().await;
    let clock = Clock::manual();
    let per_caller = rules("stale_if_error: 1h, stale_while_revalidate: 1h").replace("public", "per_caller");
    let sidecar = in_front_of(&origin.url()).rules(&per_caller).clock(&clock).start().await;
    let by = |who: &str| get("/config").header("authorization", who);
    assert_eq!(told(&sidecar.send(by("a")).await), STORED);
    clock.advance(Duration::from_secs(301));
    says.store(503, SeqCst);
    let other = sidecar.send(by("b")).await;
    assert_eq!((other.status, other.text().as_str()), (503, "1"));
    assert_eq!(told(&sidecar.send(by("a")).await), SWR);
    // who keeps nothing takes nothing old
    let alone = sidecar.send(by("a").header("cache-control", "no-store")).await;
    assert_eq!((alone.status, told(&alone)), (503, ("BYPASS", "fwd=bypass; detail=request_no_store")));
}

#[tokio::test(flavor = "multi_thread")]
async fn head_range_and_only_if_cached_take_what_is_given_meanwhile_and_fetch_nothing() {
    let (origin, _) = function().await;
    let (sidecar, _clock) = with_stale(&origin, "stale_while_revalidate: 30s").await;
    let head = sidecar.send(request("HEAD", "/config")).await;
    assert_eq!((told(&head), head.header("content-length"), head.text().as_str()), (SWR, "1", ""));
    let range = sidecar.send(get("/config").header("range", "bytes=0-0")).await;
    assert_eq!((told(&range), range.status, range.text().as_str()), (SWR, 206, "0"));
    let cached = sidecar.send(get("/config").header("cache-control", "only-if-cached")).await;
    assert_eq!((told(&cached), cached.text().as_str()), (SWR, "0"));
    assert_eq!(origin.count(), 1);
}
