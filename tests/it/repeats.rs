//! Why webhooks come again, as the series tell it: each cause end to end, the pause before a repeat, and what the window missed.

use std::time::Duration;

use edge_sidecar::clock::Clock;

use crate::signals_traffic::spawn;
use crate::support::client::{Answer, Request, post};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};

const RULES: &str = r#"
dedup:
  include:
    - { name: whatsapp, match: { function: "wa-webhook*", method: POST }, id: whatsapp, window: 1h, wait_timeout: 100ms }
"#;

/// The same, for tests in which nobody's patience ends.
pub const PATIENT: &str = r#"
dedup:
  include:
    - { name: whatsapp, match: { function: "wa-webhook*", method: POST }, id: whatsapp, window: 24h, wait_timeout: 25s }
"#;

/// A webhook with messages of these ids.
pub fn webhook(ids: &[&str]) -> Request {
    let items: Vec<String> = ids.iter().map(|id| format!(r#"{{"from":"2","id":"{id}","type":"text"}}"#)).collect();
    let value = format!(r#"{{"metadata":{{"phone_number_id":"7"}},"messages":[{}]}}"#, items.join(","));
    post("/wa-webhook-core", format!(r#"{{"entry":[{{"id":"1","changes":[{{"value":{value},"field":"messages"}}]}}]}}"#))
}

async fn on(clock: &Clock, origin: &Origin) -> Sidecar {
    in_front_of(&origin.url()).rules(RULES).clock(clock).start().await
}

async fn copy(sidecar: &Sidecar) -> Answer {
    sidecar.send(webhook(&["wamid.a"])).await
}

/// The counts of slow, failed, unread and late.
async fn until(sidecar: &Sidecar, counts: [f64; 4]) {
    for (cause, count) in ["slow", "failed", "unread", "late"].into_iter().zip(counts) {
        sidecar.until_series(&format!(r#"edge_sidecar_dedup_repeats_total{{cause="{cause}",rule="whatsapp"}}"#), count).await;
    }
}

async fn until_missed(sidecar: &Sidecar, count: u32) {
    sidecar.until_series(r#"edge_sidecar_dedup_missed_total{rule="whatsapp"}"#, count.into()).await;
    assert_eq!(sidecar.metrics().await["deduplication"]["whatsapp"]["missed"], count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_repeats_what_it_was_answered_is_late() {
    let (clock, origin) = (Clock::manual(), Origin::start(|_| Reply::ok("{}")).await);
    let sidecar = on(&clock, &origin).await;
    until(&sidecar, [0.0; 4]).await;
    copy(&sidecar).await;
    for (pause, repeats) in [(20, 1.0), (200, 2.0)] {
        clock.advance(Duration::from_secs(pause));
        assert_eq!(copy(&sidecar).await.header("x-dedup"), "DUPLICATE");
        until(&sidecar, [0.0, 0.0, 0.0, repeats]).await;
    }
    for (bucket, count) in [("5", 0.0), ("30", 1.0), ("60", 1.0), ("300", 2.0)] {
        sidecar.until_series(&format!(r#"edge_sidecar_dedup_repeat_gap_seconds_bucket{{rule="whatsapp",le="{bucket}"}}"#), count).await;
    }
    sidecar.until_series(r#"edge_sidecar_dedup_repeat_gap_seconds_sum{rule="whatsapp"}"#, 220.0).await;
    until_missed(&sidecar, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_meets_another_in_flight_is_slow_whatever_becomes_of_it() {
    let (clock, gate) = (Clock::manual(), Gate::new());
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::ok("{}").behind(&held)).await;
    let sidecar = on(&clock, &origin).await;
    let first = spawn(sidecar.address, webhook(&["wamid.a", "wamid.b"]));
    origin.until(1).await;
    assert_eq!(copy(&sidecar).await.status, 503);
    until(&sidecar, [1.0, 0.0, 0.0, 0.0]).await;
    gate.open();
    first.await.expect("no panic");
    assert_eq!(copy(&sidecar).await.header("x-dedup"), "DUPLICATE");
    until(&sidecar, [1.0, 0.0, 0.0, 1.0]).await;
    sidecar.send(webhook(&["wamid.a", "wamid.b"])).await;
    until(&sidecar, [1.0, 0.0, 0.0, 3.0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_after_a_failure_is_one_whatever_becomes_of_it() {
    let (clock, origin) = (Clock::manual(), Origin::start(|_| Reply::new(500, &[], "")).await);
    let sidecar = on(&clock, &origin).await;
    for failures in 0..3 {
        assert_eq!(copy(&sidecar).await.header("x-dedup"), "NEW");
        until(&sidecar, [0.0, f64::from(failures), 0.0, 0.0]).await;
    }
    until_missed(&sidecar, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_what_the_sender_did_not_read_is_unread_once() {
    let (clock, origin) = (Clock::manual(), Origin::start(|_| Reply::ok(vec![b'x'; 8 << 20])).await);
    let sidecar = on(&clock, &origin).await;
    let mut first = sidecar.connect().await;
    first.write(&webhook(&["wamid.a"]).header("X-Request-Id", "first")).await;
    assert_eq!(first.read_head().await.status, 200);
    first.reset();
    assert_eq!(sidecar.line("request", "first").await["error"], "caller_gone");
    copy(&sidecar).await;
    until(&sidecar, [0.0, 0.0, 1.0, 0.0]).await;
    copy(&sidecar).await;
    until(&sidecar, [0.0, 0.0, 1.0, 1.0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_window_no_longer_catches_is_missed_for_a_day() {
    let (clock, origin) = (Clock::manual(), Origin::start(|_| Reply::ok("{}")).await);
    let sidecar = on(&clock, &origin).await;
    for (hours, missed) in [(0, 0), (1, 1), (23, 2), (24, 2), (1, 3)] {
        clock.advance(Duration::from_hours(hours));
        assert_eq!(copy(&sidecar).await.header("x-dedup"), "NEW", "after {hours} h");
        until_missed(&sidecar, missed).await;
        until(&sidecar, [0.0, 0.0, 0.0, missed.into()]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_to_make_room_is_missed_too() {
    let (clock, origin) = (Clock::manual(), Origin::start(|_| Reply::ok("{}")).await);
    let sidecar = in_front_of(&origin.url()).rules(RULES).clock(&clock).with(|s| s.dedup_max_entries = 1).start().await;
    for (id, missed) in [("wamid.a", 0), ("wamid.b", 0), ("wamid.a", 1), ("wamid.c", 1)] {
        assert_eq!(sidecar.send(webhook(&[id])).await.header("x-dedup"), "NEW");
        until_missed(&sidecar, missed).await;
    }
}
