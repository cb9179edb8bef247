//! Stored answers over time: reloads of the rules, the bound of the store, and the figures of both.

use std::time::Duration;

use edge_sidecar::clock::Clock;
use edge_sidecar::config::Offer;

use crate::cached::{HIT, PUBLIC, STORED, assert_fetched_anew, numbered, still, told};
use crate::support::client::{get, post};
use crate::support::origin::{Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::until;

/// Puts other rules in force.
fn reload(sidecar: &Sidecar, clock: &Clock, rules: &str) {
    let offer = sidecar.live.offer(format!("version: 1\n{rules}").as_bytes(), clock.wall());
    assert!(matches!(offer, Offer::Accepted { .. }), "{offer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ttl_acts_on_stored_answers_at_once() {
    let (origin, clock) = (numbered(&[]).await, Clock::manual());
    let sidecar = in_front_of(&origin.url()).rules(PUBLIC).clock(&clock).start().await;
    assert_eq!(told(&sidecar.get("/config").await), STORED);
    clock.advance(Duration::from_mins(1));
    assert_eq!(told(&sidecar.get("/config").await), ("HIT", "hit; ttl=240"));
    reload(&sidecar, &clock, &PUBLIC.replace("5m", "30s"));
    let shorter = sidecar.get("/config").await;
    assert_fetched_anew(&shorter);
    assert_eq!(shorter.text(), "1");
    reload(&sidecar, &clock, &PUBLIC.replace("5m", "1h"));
    clock.advance(Duration::from_mins(1));
    let longer = sidecar.get("/config").await;
    assert_eq!((told(&longer), longer.text().as_str()), (("HIT", "hit; ttl=3540"), "1"));
    assert_eq!(longer.header("x-cache-age"), "60");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_gone_excluded_or_another_answers_nothing() {
    let others = [
        PUBLIC.replace("config*", "other*"),
        PUBLIC.replace("  include:", "  exclude: [\"/config\"]\n  include:"),
        PUBLIC.replace("name: config", "name: renamed"),
        PUBLIC.replace("scope: public", "scope: per_caller"),
    ];
    let expected = ["", "", STORED.1, STORED.1];
    for (rules, status) in others.iter().zip(expected) {
        let (origin, clock) = (numbered(&[]).await, Clock::manual());
        let sidecar = in_front_of(&origin.url()).rules(PUBLIC).clock(&clock).start().await;
        assert_eq!(told(&sidecar.get("/config").await), STORED);
        reload(&sidecar, &clock, rules);
        let after = sidecar.get("/config").await;
        assert_eq!((told(&after).1, after.text().as_str()), (status, "1"), "{rules}");
        assert_eq!(after.has("x-cache"), !status.is_empty(), "{rules}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_survives_a_reload_and_a_refused_one() {
    let (origin, clock) = (numbered(&[]).await, Clock::manual());
    let sidecar = in_front_of(&origin.url()).rules(PUBLIC).clock(&clock).start().await;
    assert_eq!(told(&sidecar.get("/config").await), STORED);
    reload(&sidecar, &clock, &format!("{PUBLIC}    - {{ name: more, match: {{ function: more }}, ttl: 1s }}\n"));
    assert_eq!(told(&sidecar.get("/config").await), HIT);
    let refused = sidecar.live.offer(b"version: 1\ncache: { include: [{ name: config, ttl: never }] }\n", clock.wall());
    assert!(matches!(refused, Offer::Refused { .. }));
    assert_eq!((told(&sidecar.get("/config").await), origin.count()), (HIT, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_never_holds_more_than_its_share() {
    const CAPACITY: u32 = 1 << 20;
    let origin = Origin::start(|_| Reply::ok("x".repeat(10_000))).await;
    let sidecar = in_front_of(&origin.url()).rules(PUBLIC).with(|s| (s.memory.cache, s.memory.max_object) = (CAPACITY.into(), 20_000));
    let sidecar = sidecar.start().await;
    let mut connection = sidecar.connect().await;
    for i in 0..300 {
        assert_eq!(connection.send(&get(&format!("/config/{i}"))).await.message.body.len(), 10_000);
        if i % 20 == 0 {
            let bytes = sidecar.series(r#"edge_sidecar_cache_bytes{rule="config"}"#).await;
            assert!(bytes <= CAPACITY.into(), "{bytes} after {i}");
        }
    }
    // the last request is counted when it is over, a moment after its answer
    let all = async || Some(sidecar.metrics().await).filter(|m| m["cache"]["config"]["misses"] == 300);
    let metrics = until("all requests counted", all).await;
    let rule = &metrics["cache"]["config"];
    let number = |name: &str| rule[name].as_u64().expect("a number");
    assert!(number("bytes") <= CAPACITY.into() && number("bytes") > u64::from(CAPACITY) / 2, "{rule}");
    assert!(number("bytes") / number("size") > 10_400, "what an entry costs beside its body counts: {rule}");
    assert_eq!(number("size") + number("evictions"), 300, "{rule}");
    assert_eq!(metrics["memory"]["cacheBytes"], rule["bytes"]);
    let text = sidecar.prometheus().await;
    assert!(text.contains(&format!("edge_sidecar_cache_capacity_bytes {CAPACITY}\n")));
    assert!(text.contains(&format!("edge_sidecar_cache_evictions_total{{reason=\"size\"}} {}\n", number("evictions"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_answers_are_swept() {
    let (origin, clock) = (numbered(&[]).await, Clock::manual());
    let sidecar = in_front_of(&origin.url()).rules(PUBLIC).clock(&clock).start().await;
    for i in 0..5 {
        assert_eq!(told(&sidecar.get(&format!("/config/{i}")).await), STORED);
    }
    assert_eq!(sidecar.series(r#"edge_sidecar_cache_entries{rule="config"}"#).await.to_bits(), 5.0_f64.to_bits());
    clock.advance(Duration::from_secs(301));
    sidecar.until_series(r#"edge_sidecar_cache_entries{rule="config"}"#, 0.0).await;
    assert_eq!(sidecar.metrics().await["memory"]["cacheBytes"], 0);
    assert_eq!(sidecar.series(r#"edge_sidecar_cache_evictions_total{reason="expired"}"#).await.to_bits(), 5.0_f64.to_bits());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_add_up() {
    let origin = Origin::start(|seen| match seen.target() {
        "/config/private" => Reply::new(200, &[("Cache-Control", "private")], "x"),
        _ => Reply::ok("x"),
    })
    .await;
    let sidecar = still(&origin, PUBLIC).await;
    let before = sidecar.metrics().await;
    assert_eq!((&before["cache"]["config"]["hitRate"], &before["cache"]["config"]["hits"]), (&0.0.into(), &0.into()));
    let requests = [
        get("/config/a"),
        get("/config/a"),
        get("/config/a"),
        get("/config/b"),
        get("/config/private"),
        get("/config/private"),
        post("/config/a", "x"),
        get("/config/a").header("range", "bytes=0-0,2-2"),
        get("/other"),
    ];
    for request in requests {
        assert_eq!(sidecar.send(request).await.status, 200);
    }
    sidecar.until_series(r#"edge_sidecar_rule_matches_total{rule="config"}"#, 8.0).await;
    let all = async || Some(sidecar.metrics().await["cache"]["config"].clone()).filter(|rule| rule["misses"] == 3 && rule["bypassed"] == 3);
    let rule = until("all requests counted", all).await;
    let numbers = ["hits", "misses", "bypassed", "size", "evictions"].map(|name| rule[name].as_u64().expect("a number"));
    assert_eq!(numbers, [2, 3, 3, 1, 1], "the POST took what was stored of its URL: {rule}");
    assert_eq!(rule["hitRate"], 0.4);
    let text = sidecar.prometheus().await;
    for series in [
        r#"cache_lookups_total{result="hit",rule="config"} 2"#,
        r#"cache_lookups_total{result="miss",rule="config"} 3"#,
        r#"cache_lookups_total{result="coalesced",rule="config"} 0"#,
        r#"cache_bypass_total{reason="unstorable",rule="config"} 1"#,
        r#"cache_bypass_total{reason="method",rule="config"} 1"#,
        r#"cache_bypass_total{reason="range",rule="config"} 1"#,
        r#"cache_bypass_total{reason="credentials",rule="config"} 0"#,
        r#"rule_matches_total{rule="config"} 8"#,
        r#"cache_entries{rule="config"} 1"#,
        r#"cache_purged_total{rule="config"} 1"#,
    ] {
        assert!(text.contains(&format!("edge_sidecar_{series}\n")), "{series}");
    }
}
