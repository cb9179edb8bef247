//! Webhooks as Meta sends them, each with the events that are in it (`tests/fixtures/whatsapp/manifest.json`).

use std::path::Path;

use serde_json::Value;

use super::{assert_repeat, sidecar, verdict};
use crate::support::client::post;
use crate::support::functions::Functions;
use crate::support::origin::{Origin, Reply};
use crate::support::sidecar::in_front_of;

fn read(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/whatsapp").join(file)).expect("a fixture")
}

fn manifest() -> Vec<Value> {
    serde_json::from_slice(&read("manifest.json")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_forwarded_as_it_came_and_known_when_it_comes_again() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    for (n, entry) in manifest().iter().enumerate() {
        let file = entry["file"].as_str().expect("a name");
        let events = entry["events"].as_array().expect("a list").len();
        let (first, again) = match (events, entry["idless"].as_bool().expect("a flag")) {
            (0, _) => ("SKIPPED; reason=no_id", "SKIPPED; reason=no_id"),
            (_, true) => ("NEW", "PARTIAL"),
            (_, false) => ("NEW", "DUPLICATE"),
        };
        let (target, id) = (format!("/wa-webhook-{n}"), format!("fixture-{n}"));
        let before = origin.count();
        for (round, word) in [first, again].into_iter().enumerate() {
            let request = post(&target, read(file)).header("X-Request-Id", &format!("{id}-{round}"));
            assert_eq!(verdict(&sidecar.send(request).await), (200, word), "{file}, round {round}");
        }
        assert_eq!(origin.count() - before, if again == "DUPLICATE" { 1 } else { 2 }, "{file}");
        assert!(origin.seen()[before..].iter().all(|seen| seen.message.body == read(file)), "{file}");
        let line = sidecar.line("request", &format!("{id}-0")).await;
        assert_eq!(line["dedup"]["ids"], events, "{file}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_share_an_id_are_told_apart() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let files = [
        "status_sent.json",
        "status_read.json",
        "payment.json",
        "payment_refund.json",
        "call_connect.json",
        "call_ringing.json",
        "call_terminate.json",
        "status_group.json",
        "batch_same_id.json",
    ];
    for word in ["NEW", "DUPLICATE"] {
        for file in files {
            assert_eq!(verdict(&sidecar.send(super::webhook(read(file))).await), (200, word), "{file}");
        }
    }
    assert_eq!(origin.count(), files.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_decides_whatever_the_transport_and_the_layout() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let mut word = "NEW";
    for (file, agent, kind, id) in [
        ("plain.json", "facebookexternalua", "application/json", "delivery-1"),
        ("plain.json", "facebookexternalua/2", "application/json; charset=utf-8", "delivery-2"),
        ("pretty.json", "other", "text/plain", "delivery-3"),
        ("escaped.json", "other", "application/octet-stream", "delivery-4"),
    ] {
        let request = super::post(super::CORE, read(file)).header("User-Agent", agent).header("Content-Type", kind);
        let answer = sidecar.send(request.header("X-Request-Id", id).header("X-Delivery", id)).await;
        assert_eq!((verdict(&answer), answer.header("x-request-id")), ((200, word), id), "{file}");
        if word == "DUPLICATE" {
            assert_repeat(&answer, word);
        }
        word = "DUPLICATE";
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_function_processes_each_event_once() {
    let functions = Functions::start();
    let sidecar = in_front_of(&functions.url()).rules(super::RULES).start().await;
    let bodies = ["text.json", "image.json", "batch_three.json"].map(read);
    let mut copies = Vec::new();
    for body in bodies.iter().flat_map(|body| [body; 4]) {
        copies.push(super::begin(&sidecar, super::webhook(body.clone())));
    }
    for copy in copies {
        let answer = super::end(copy).await;
        assert!(["NEW", "JOINED", "DUPLICATE"].contains(&answer.header("x-dedup")) && answer.status == 200, "{:?}", answer.message);
    }
    let counters = functions.counters().await;
    assert_eq!(functions.runs("wa-webhook-core").await, 3, "{counters}");
    let processed = counters["webhooks"]["processed"].as_object().expect("counts by id");
    assert_eq!(processed.values().map(|n| n.as_u64().unwrap_or_default()).collect::<Vec<_>>(), vec![1; processed.len()]);
    assert_eq!(processed.len(), 5);
}
