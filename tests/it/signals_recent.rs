//! What fades with time, over a running sidecar: the last quarter of an hour in slots.

use std::time::Duration;

use edge_sidecar::clock::Clock;
use serde_json::Value;

use crate::signals_traffic::{functions, mixed, sidecar};
use crate::support::client::{get, send};
use crate::support::origin::Gate;
use crate::support::sidecar::Sidecar;

async fn history(sidecar: &Sidecar) -> Vec<Value> {
    let answer = send(sidecar.admin, &get("/metrics/history").header("connection", "close")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let json = answer.json();
    assert_eq!(json["slotSeconds"], 10);
    json["slots"].as_array().expect("a list").clone()
}

fn sum(slots: &[Value], key: &str) -> u64 {
    slots.iter().map(|slot| slot[key].as_u64().unwrap_or_else(|| panic!("no {key}: {slot}"))).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slots_of_the_last_quarter_of_an_hour_say_what_the_counters_say() {
    let (gate, clock) = (Gate::new(), Clock::manual());
    let origin = functions(&gate).await;
    let sidecar = sidecar(&origin).clock(&clock).start().await;
    let fresh = history(&sidecar).await;
    assert_eq!((fresh.len(), sum(&fresh, "requests")), (1, 0));
    clock.advance(Duration::from_secs(30));
    mixed(&sidecar, &origin, &gate).await;
    let slots = history(&sidecar).await;
    assert_eq!((slots.len(), sum(&slots[..3], "requests")), (4, 0), "nothing but the slot that is being filled");
    let json = sidecar.metrics().await;
    let (cache, dedup) = (&json["totals"]["cache"], &json["totals"]["deduplication"]);
    let number = |value: &Value| value.as_u64().expect("a number");
    assert_eq!(sum(&slots, "requests"), number(&json["metrics"]["requests"]["total"]));
    assert_eq!(sum(&slots, "shed"), number(&json["metrics"]["requests"]["byOutcome"]["shed"]));
    assert_eq!(sum(&slots, "hits"), number(&cache["hits"]));
    assert_eq!(sum(&slots, "lookups"), number(&cache["hits"]) + number(&cache["misses"]));
    assert_eq!(sum(&slots, "duplicates"), number(&dedup["duplicates"]) + number(&dedup["joined"]));
    assert_eq!(sum(&slots, "webhooks"), sum(&slots, "duplicates") + number(&dedup["new"]) + number(&dedup["partial"]));
    let errors: u64 = json["handlers"].as_object().expect("an object").values().map(|h| number(&h["errors"])).sum();
    assert_eq!(sum(&slots, "errors"), errors);
    clock.advance(Duration::from_mins(20));
    let later = history(&sidecar).await;
    assert_eq!((later.len(), sum(&later, "requests")), (91, 0));
}
