//! Stored answers that are not fresh any more: asked for with their validators, renewed by a 304, replaced, or gone.

use std::time::Duration;

use edge_sidecar::clock::Clock;

use crate::cached::{HIT, PUBLIC, STORED, still, told};
use crate::cached_flights::{all, begin, until_waiting};
use crate::support::client::get;
use crate::support::origin::{Gate, Origin, Reply, Seen};
use crate::support::sidecar::{Sidecar, in_front_of};

const RENEWED: (&str, &str) = ("REVALIDATED", "fwd=stale; fwd-status=304; stored");
const REPLACED: (&str, &str) = ("MISS", "fwd=stale; fwd-status=200; stored");
const TAG: (&str, &str) = ("ETag", "W/\"v, 1\"");
const MODIFIED: (&str, &str) = ("Last-Modified", "Tue, 03 Nov 2026 08:00:00 GMT");

fn is_conditional(seen: &Seen) -> bool {
    !seen.header("if-none-match").is_empty() || !seen.header("if-modified-since").is_empty()
}

/// A function that gives a whole answer unless it is asked with a condition.
async fn function(whole: &'static [(&'static str, &'static str)], then: impl Fn() -> Reply + Send + Sync + 'static) -> Origin {
    Origin::start(move |seen| if is_conditional(seen) { then() } else { Reply::new(200, whole, "whole") }).await
}

/// A sidecar that holds the function's answer, which is not fresh any more.
async fn with_stale(origin: &Origin, rules: &str) -> (Sidecar, Clock) {
    let clock = Clock::manual();
    let sidecar = in_front_of(&origin.url()).rules(rules).clock(&clock).start().await;
    assert_eq!(told(&sidecar.get("/config").await), STORED);
    clock.advance(Duration::from_secs(301));
    (sidecar, clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_renews_what_is_stored() {
    let not_modified = || Reply::new(304, &[("X-Seen", "again"), ("Content-Type", "not/this"), ("Age", "10")], "");
    let origin = function(&[TAG, MODIFIED, ("X-Seen", "first"), ("Content-Type", "text/plain"), ("X-Kept", "yes")], not_modified).await;
    let (sidecar, clock) = with_stale(&origin, PUBLIC).await;
    let theirs = get("/config").header("if-none-match", "\"other\"").header("x-request-id", "renewed");
    let renewed = sidecar.send(theirs).await;
    assert_eq!((told(&renewed), renewed.status, renewed.text().as_str()), (RENEWED, 200, "whole"));
    let fields = ["x-seen", "content-type", "x-kept", "etag", "content-length"].map(|name| renewed.message.all(name));
    assert_eq!(fields, [vec!["again"], vec!["text/plain"], vec!["yes"], vec![TAG.1], vec!["5"]]);
    assert!(!renewed.has("age"));
    let seen = origin.seen().pop().expect("two requests");
    assert_eq!((seen.header("if-none-match"), seen.header("if-modified-since")), (TAG.1, MODIFIED.1));
    let line = sidecar.line("request", "renewed").await;
    assert_eq!(line["outcome"], "revalidated");
    // fresh again, with the age the 304 came with
    clock.advance(Duration::from_secs(5));
    let hit = sidecar.get("/config").await;
    assert_eq!((told(&hit), hit.header("age"), hit.header("x-seen")), (("HIT", "hit; ttl=285"), "15", "again"));
    assert_eq!(origin.count(), 2);
    sidecar.until_series(r#"edge_sidecar_cache_lookups_total{result="revalidated",rule="config"}"#, 1.0).await;
    sidecar.until_series(r#"edge_sidecar_cache_refreshes_total{result="not_modified",rule="config"}"#, 1.0).await;
    assert_eq!(sidecar.metrics().await["cache"]["config"]["misses"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_copy_is_good_gets_304() {
    let origin = function(&[TAG], || Reply::new(304, &[], "")).await;
    let (sidecar, _clock) = with_stale(&origin, PUBLIC).await;
    let answer = sidecar.send(get("/config").header("if-none-match", TAG.1)).await;
    assert_eq!((told(&answer), answer.status, answer.text().as_str(), answer.header("etag")), (RENEWED, 304, "", TAG.1));
    assert_eq!((told(&sidecar.get("/config").await), origin.count()), (HIT, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_requests_wait_for_one_304() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = function(&[TAG], move || Reply::new(304, &[], "").behind(&held)).await;
    let (sidecar, _clock) = with_stale(&origin, PUBLIC).await;
    let mut tasks = vec![begin(&sidecar, get("/config"))];
    origin.until(2).await;
    tasks.extend((0..9).map(|_| begin(&sidecar, get("/config"))));
    until_waiting(&sidecar, 9).await;
    gate.open();
    for (i, answer) in all(tasks).await.iter().enumerate() {
        let expected = if i == 0 { RENEWED } else { ("MISS", "fwd=stale; collapsed") };
        assert_eq!((told(answer), answer.text().as_str()), (expected, "whole"));
    }
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_of_per_caller_have_answers_of_their_own() {
    let origin = Origin::start(|seen| {
        let who = seen.header("authorization").to_owned();
        let tag = format!("\"{who}\"");
        if seen.header("if-none-match") == tag { Reply::new(304, &[], "") } else { Reply::new(200, &[("ETag", &tag)], who) }
    })
    .await;
    let clock = Clock::manual();
    let rules = PUBLIC.replace("scope: public", "scope: per_caller");
    let sidecar = in_front_of(&origin.url()).rules(&rules).clock(&clock).start().await;
    for expected in [STORED, RENEWED, RENEWED] {
        for who in ["a", "b"] {
            let answer = sidecar.send(get("/config").header("authorization", who).header("if-none-match", "\"a\", \"b\"")).await;
            // both tags match: what the caller holds is its own
            assert_eq!((told(&answer), answer.header("etag")), (expected, &*format!("\"{who}\"")));
        }
        clock.advance(Duration::from_secs(301));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_that_turns_private_is_given_once() {
    for (field, reason) in [(("Cache-Control", "private"), "private"), (("Set-Cookie", "a=1"), "set_cookie"), (("Vary", "*"), "vary_star")]
    {
        let origin = function(&[TAG], move || Reply::new(304, &[field], "")).await;
        let (sidecar, _clock) = with_stale(&origin, PUBLIC).await;
        let once = sidecar.get("/config").await;
        assert_eq!((told(&once).0, once.text().as_str(), once.header(field.0)), ("REVALIDATED", "whole", field.1));
        assert_eq!(told(&once).1, format!("fwd=stale; fwd-status=304; detail={reason}"));
        assert_eq!(sidecar.series(r#"edge_sidecar_cache_entries{rule="config"}"#).await.to_bits(), 0.0_f64.to_bits());
        sidecar.get("/config").await;
        assert!(!is_conditional(origin.seen().last().expect("asked")), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_about_nothing_stored_is_no_answer() {
    let origin = Origin::start(|_| Reply::new(304, &[TAG], "")).await;
    let sidecar = still(&origin, PUBLIC).await;
    let answer = sidecar.send(get("/config").header("if-none-match", TAG.1)).await;
    assert_eq!((answer.status, answer.has("etag")), (502, false));
    // one about another answer: what is stored goes, and the next fetch asks for the whole
    let origin = function(&[("ETag", "\"a\"")], || Reply::new(304, &[("ETag", "\"b\"")], "")).await;
    let (sidecar, _clock) = with_stale(&origin, PUBLIC).await;
    assert_eq!(sidecar.get("/config").await.status, 502);
    assert_eq!(told(&sidecar.get("/config").await), STORED);
    sidecar.until_series(r#"edge_sidecar_cache_refreshes_total{result="failed",rule="config"}"#, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_answer_replaces_or_removes_what_is_stored() {
    let stored = |sidecar: Sidecar| async move { sidecar.series(r#"edge_sidecar_cache_entries{rule="config"}"#).await };
    for (status, fields, expected, entries, word) in [
        (200, &[][..], REPLACED, 1.0, "replaced"),
        (200, &[("Cache-Control", "private")], ("MISS", "fwd=stale; fwd-status=200; detail=private"), 0.0, "not_stored"),
        (403, &[], ("MISS", "fwd=stale; fwd-status=403; detail=status"), 1.0, "not_stored"),
        (503, &[], ("MISS", "fwd=stale; fwd-status=503; detail=status"), 1.0, "failed"),
    ] {
        let origin = function(&[TAG], move || Reply::new(status, fields, "other")).await;
        let (sidecar, _clock) = with_stale(&origin, PUBLIC).await;
        let answer = sidecar.get("/config").await;
        assert_eq!((told(&answer), answer.status, answer.text().as_str()), (expected, status, "other"));
        sidecar.until_series(&format!(r#"edge_sidecar_cache_refreshes_total{{result="{word}",rule="config"}}"#), 1.0).await;
        assert_eq!(stored(sidecar).await.to_bits(), f64::to_bits(entries), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_fresh_is_asked_for_each_time_and_shared_with_nobody() {
    let gate = Gate::new();
    gate.open();
    let held = gate.clone();
    let whole = &[TAG, ("Cache-Control", "no-cache"), ("Content-Type", "text/plain")];
    let origin = function(whole, move || Reply::new(304, &[], "").behind(&held)).await;
    let sidecar = still(&origin, PUBLIC).await;
    assert_eq!(told(&sidecar.get("/config").await), STORED);
    assert_eq!(told(&sidecar.get("/config").await), RENEWED);
    gate.shut();
    let mut tasks = vec![begin(&sidecar, get("/config"))];
    origin.until(3).await;
    tasks.extend((0..4).map(|_| begin(&sidecar, get("/config"))));
    until_waiting(&sidecar, 4).await;
    gate.open();
    for answer in all(tasks).await {
        assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
    }
    assert_eq!(origin.count(), 7, "each asked for itself");
}
