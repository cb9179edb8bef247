//! The whole path in front of real functions on Deno, by the rules that are shipped.

use std::path::PathBuf;

use crate::support::client::{Connection, get, post};
use crate::support::functions::Functions;
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::{sha256, until};

const WEBHOOK: &str = "/functions/v1/wa-webhook-core";

async fn both() -> (Functions, Sidecar) {
    let functions = Functions::start();
    let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/rules.yaml");
    let sidecar = in_front_of(&functions.url()).watching(shipped).start().await;
    (functions, sidecar)
}

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/whatsapp").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_contract_by_hand() {
    let (functions, sidecar) = both().await;
    assert_eq!(sidecar.metrics().await["cache"]["profile"]["hitRate"], 0.0, "a number before traffic");
    for (expected, age) in [("MISS", ""), ("HIT", "0")] {
        let answer = sidecar.send(get("/functions/v1/profile?lang=en").header("authorization", "Bearer x")).await;
        assert_eq!((answer.status, answer.header("x-cache"), answer.header("x-cache-age")), (200, expected, age));
        assert_eq!(answer.header("x-invocation"), "1", "the function ran once");
    }
    assert_eq!(functions.runs("profile").await, 1);
    // an answer is counted once it has been written: a moment after the caller has it
    until("one hit of two", async || (sidecar.metrics().await["cache"]["profile"]["hitRate"] == 0.5).then_some(())).await;
    let body = fixture("plain.json");
    let first = sidecar.send(post(WEBHOOK, body.clone()).header("content-type", "application/json")).await;
    assert_eq!((first.status, first.header("x-dedup")), (200, "NEW"));
    assert_eq!(first.json()["body"]["sha256"], sha256(&body));
    let second = sidecar.send(post(WEBHOOK, body).header("content-type", "application/json")).await;
    assert_eq!((second.status, second.header("x-dedup"), second.header("x-duplicate")), (200, "DUPLICATE", "true"));
    assert_eq!((second.header("content-type"), second.text().as_str()), ("application/json", r#"{"success":true,"duplicate":true}"#));
    assert_eq!(functions.runs("wa-webhook-core").await, 1);
    sidecar.until_series(r#"edge_sidecar_dedup_requests_total{result="duplicate",rule="whatsapp"}"#, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_do_not_see_each_others_profile() {
    let (functions, sidecar) = both().await;
    let mut seen = Vec::new();
    for (name, value) in [("authorization", "Bearer a"), ("authorization", "Bearer b"), ("apikey", "a"), ("apikey", "b")] {
        let request = get("/functions/v1/profile").header(name, value);
        let (first, second) = (sidecar.send(request.clone()).await, sidecar.send(request).await);
        assert_eq!((first.header("x-cache"), second.header("x-cache")), ("MISS", "HIT"), "{name}: {value}");
        assert_eq!(first.text(), second.text());
        seen.push(first.json()["caller"].clone());
    }
    seen.dedup();
    assert_eq!((seen.len(), functions.runs("profile").await), (4, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_of_one_message_reaches_the_function() {
    let (functions, sidecar) = both().await;
    let status = |word: &str| {
        format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"value":{{"messaging_product":"whatsapp","metadata":{{"phone_number_id":"7"}},"statuses":[{{"id":"wamid.S","status":"{word}","timestamp":"1"}}]}},"field":"messages"}}]}}]}}"#
        )
    };
    for word in ["sent", "delivered", "read"] {
        assert_eq!(sidecar.send(post(WEBHOOK, status(word))).await.header("x-dedup"), "NEW", "{word}");
    }
    assert_eq!(sidecar.send(post(WEBHOOK, status("read"))).await.header("x-dedup"), "DUPLICATE");
    assert_eq!(functions.runs("wa-webhook-core").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_message_is_tried_again_and_then_remembered() {
    let (functions, sidecar) = both().await;
    let request = |status: Option<&str>| {
        let request = post(WEBHOOK, fixture("plain.json"));
        status.map_or(request.clone(), |s| request.header("x-test-status", s))
    };
    for status in ["500", "503", "404"] {
        let answer = sidecar.send(request(Some(status))).await;
        assert_eq!((answer.status.to_string().as_str(), answer.header("x-dedup")), (status, "NEW"));
    }
    assert_eq!(sidecar.send(request(None)).await.header("x-dedup"), "NEW");
    assert_eq!(sidecar.send(request(None)).await.header("x-dedup"), "DUPLICATE");
    assert_eq!(functions.runs("wa-webhook-core").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_rules_cover_what_they_name() {
    let (functions, sidecar) = both().await;
    for (target, rule, header) in [
        ("/functions/v1/user-state", "state", "authorization"),
        ("/functions/v1/app-config", "config", "x-none"),
        ("/functions/v1/health", "health", "x-none"),
        ("/wa-webhook-core/health", "health", "x-none"),
    ] {
        let request = get(target).header(header, "Bearer x");
        let found = [sidecar.send(request.clone()).await, sidecar.send(request).await].map(|a| a.header("x-cache").to_owned());
        assert_eq!(found, ["MISS", "HIT"], "{target}");
        until(rule, async || (sidecar.metrics().await["cache"][rule]["hits"].as_u64() >= Some(1)).then_some(())).await;
    }
    let handshake = "/functions/v1/wa-webhook-core?hub.mode=subscribe&hub.verify_token=t&hub.challenge=42";
    for _ in 0..2 {
        let answer = sidecar.get(handshake).await;
        assert_eq!((answer.status, answer.text().as_str(), answer.has("x-cache"), answer.has("x-dedup")), (200, "42", false, false));
    }
    assert_eq!(functions.runs("wa-webhook-core").await, 3, "a health check and two handshakes");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_streams_of_functions_pass_as_they_are() {
    let (_functions, sidecar) = both().await;
    for status in [400, 404, 429, 500, 503, 546] {
        let answer = sidecar.get(&format!("/functions/v1/fail?status={status}")).await;
        assert_eq!(answer.status, status);
        assert!(!answer.text().contains("requestId"), "the function's own body: {}", answer.text());
    }
    assert_eq!(sidecar.get("/functions/v1/no-such-function").await.status, 404);
    let mut client = Connection::open(sidecar.address).await;
    client.write(&get("/functions/v1/stream?events=3&interval_ms=20")).await;
    let head = client.read_head().await;
    assert_eq!((head.status, head.header("content-type")), (200, "text/event-stream"));
    let mut chunks = 0;
    while client.read_chunk().await.is_some_and(|c| !c.is_empty()) {
        chunks += 1;
    }
    assert!(chunks >= 3, "each event as it came: {chunks}");
}
