//! The shortest walk.

use crate::support::client::{get, post};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::in_front_of;

const RULES: &str = r#"
dedup:
  include:
    - { name: whatsapp, match: { function: "wa-webhook*", method: POST }, id: whatsapp, window: 24h }
cache:
  include:
    - { name: profile, match: { function: "profile*", method: GET }, ttl: 5m, scope: per_caller }
"#;

fn message(id: &str) -> String {
    format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"value":{{"messaging_product":"whatsapp","metadata":{{"phone_number_id":"7"}},"messages":[{{"from":"2","id":"{id}","type":"text","text":{{"body":"hi"}}}}]}},"field":"messages"}}]}}]}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn joined() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::ok("{}").behind(&held)).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    let first = tokio::spawn({
        let address = sidecar.address;
        async move { crate::support::client::send(address, &post("/wa-webhook-core", message("a"))).await }
    });
    origin.until(1).await;
    let second = tokio::spawn({
        let address = sidecar.address;
        async move { crate::support::client::send(address, &post("/wa-webhook-core", message("a"))).await }
    });
    sidecar.until_series("edge_sidecar_dedup_waiting", 1.0).await;
    gate.open();
    let (first, second) = (first.await.expect("no panic"), second.await.expect("no panic"));
    assert_eq!((first.status, first.header("x-dedup")), (200, "NEW"));
    assert_eq!((second.status, second.header("x-dedup"), second.text().as_str()), (200, "JOINED", r#"{"success":true,"duplicate":true}"#));
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn hit() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for expected in ["MISS", "HIT"] {
        let answer = sidecar.send(get("/profile").header("authorization", "Bearer a")).await;
        assert_eq!(answer.header("x-cache"), expected);
    }
    assert_eq!(origin.count(), 1);
}
