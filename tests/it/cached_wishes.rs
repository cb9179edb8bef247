//! Who may have stored answers fetched anew before their time: callers, where the rule honours their wishes, and soft purges.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use edge_sidecar::clock::Clock;
use serde_json::{Value, json};

use crate::cached::{HIT, numbered, told};
use crate::cached_flights::{all, begin, leader_and_waiters};
use crate::cached_stale::rules;
use crate::support::client::{get, post, through_socket};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_wishes_count_only_where_the_rule_honours_them() {
    let origin = numbered(&[]).await;
    let wishes =
        [("cache-control", "no-cache"), ("cache-control", "max-age=0"), ("cache-control", "min-fresh=301"), ("pragma", "no-cache")];
    let clock = Clock::manual();
    let sidecar = in_front_of(&origin.url()).rules(&rules("client_control: ignore")).clock(&clock).start().await;
    sidecar.get("/config").await;
    for (name, value) in wishes {
        assert_eq!(told(&sidecar.send(get("/config").header(name, value)).await), HIT, "{value}");
    }
    let sidecar = in_front_of(&origin.url()).rules(&rules("client_control: honour")).clock(&clock).start().await;
    sidecar.get("/config").await;
    for (name, value) in wishes {
        let before = origin.count();
        let wanted = get("/config").header(name, value);
        assert_eq!(told(&sidecar.send(wanted.clone()).await), ("MISS", "fwd=request; fwd-status=200; stored"), "{value}");
        // once a second: one client must not keep a function busy
        assert_eq!((told(&sidecar.send(wanted.clone()).await), origin.count()), (HIT, before + 1), "{value}");
        clock.advance(Duration::from_secs(1));
    }
    clock.advance(Duration::from_mins(5));
    let old = sidecar.send(get("/config").header("cache-control", "max-stale=60")).await;
    assert_eq!((told(&old), old.header("age")), (("STALE", "hit; ttl=-1; detail=max_stale"), "301"));
    assert_eq!(told(&sidecar.send(get("/config").header("cache-control", "max-stale=0")).await).0, "MISS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_a_caller_wanted_is_shared_and_a_failure_is_told() {
    let (gate, next) = (Gate::new(), AtomicUsize::new(0));
    let held = gate.clone();
    let origin = Origin::start(move |_| match next.fetch_add(1, SeqCst) {
        0 => Reply::ok("0"),
        _ => Reply::new(503, &[], "down").behind(&held),
    })
    .await;
    let clock = Clock::manual();
    let sidecar = in_front_of(&origin.url()).rules(&rules("client_control: honour, stale_if_error: 1h")).clock(&clock).start().await;
    sidecar.get("/config").await;
    let forced = begin(&sidecar, get("/config").header("cache-control", "no-cache"));
    origin.until(2).await;
    assert_eq!(told(&sidecar.get("/config").await), HIT, "the others go on");
    gate.open();
    let answer = forced.await.expect("a task");
    assert_eq!((answer.status, answer.text().as_str()), (503, "down"), "nothing stale stands in for what is fresh");
    assert_eq!(told(&sidecar.get("/config").await), HIT);
}

async fn purge(sidecar: &Sidecar, wanted: &Value) -> Value {
    through_socket(&sidecar.socket, &post("/cache/purge", wanted.to_string()).header("content-type", "application/json")).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_purge_has_everything_fetched_anew_and_given_meanwhile() {
    let origin = numbered(&[]).await;
    let clock = Clock::manual();
    let sidecar = in_front_of(&origin.url()).rules(&rules("stale_while_revalidate: 30s")).clock(&clock).start().await;
    sidecar.get("/config").await;
    clock.advance(Duration::from_secs(10));
    assert_eq!(purge(&sidecar, &json!({ "all": true, "soft": true, "dryRun": true })).await, json!({ "purged": 1 }));
    assert_eq!(told(&sidecar.get("/config").await), ("HIT", "hit; ttl=290"));
    assert_eq!(purge(&sidecar, &json!({ "all": true, "soft": true })).await, json!({ "purged": 1 }));
    let old = sidecar.get("/config").await;
    assert_eq!((told(&old), old.text().as_str(), old.header("age")), (("STALE", "hit; ttl=0; detail=swr"), "0", "10"));
    sidecar.until_series(r#"edge_sidecar_cache_refreshes_total{result="replaced",rule="config"}"#, 1.0).await;
    let new = sidecar.get("/config").await;
    assert_eq!((told(&new), new.text().as_str()), (HIT, "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_before_a_soft_purge_is_not_stored_after_it() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::ok("x").behind(&held)).await;
    let sidecar = in_front_of(&origin.url()).rules(&rules("stale_while_revalidate: 30s")).clock(&Clock::manual()).start().await;
    let (mut leader, waiters) = leader_and_waiters(&sidecar, &origin, 3).await;
    assert_eq!(purge(&sidecar, &json!({ "rule": "config", "soft": true })).await, json!({ "purged": 0 }));
    gate.open();
    assert_eq!(leader.read(&get("/config")).await.text(), "x");
    for answer in all(waiters).await {
        assert_eq!(answer.text(), "x");
    }
    assert_ne!(told(&sidecar.get("/config").await), HIT);
}
