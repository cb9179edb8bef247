//! The admin doors over a running sidecar: who may see what, health, probes.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use edge_sidecar::clock::Clock;
use edge_sidecar::proxy::drain::Stop;
use serde_json::{Value, json};

use crate::signals_traffic::{RULES, spawn};
use crate::support::client::{Answer, get, send, through_socket};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::{free_port, until};

async fn ask(sidecar: &Sidecar, target: &str) -> Answer {
    send(sidecar.admin, &get(target).header("connection", "close")).await
}

async fn echo() -> Origin {
    Origin::start(|_| Reply::ok("{}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_the_address_shows_no_configuration_but_the_socket_does() {
    let origin = echo().await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for credentials in ["", "Bearer x", "Basic eDp4"] {
        let request = get("/config").header("authorization", credentials).header("connection", "close");
        let answer = send(sidecar.admin, &request).await;
        assert_eq!((answer.status, answer.header("content-type")), (401, "application/json"));
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        let body = answer.json();
        assert_eq!(body["error"], "unauthorized");
        let message = body["message"].as_str().expect("a text");
        assert!(message.contains("--unix-socket") && message.contains("admin.token_file"), "{message}");
        assert!(!answer.text().contains("whatsapp"), "no rule is shown");
    }
    let answer = through_socket(&sidecar.socket, &get("/config")).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    let config = answer.json();
    assert_eq!(
        (&config["generation"], &config["fileDiffers"], &config["text"]),
        (&1.into(), &false.into(), &format!("version: 1\n{RULES}").into())
    );
    assert_eq!(config["hash"], sidecar.metrics().await["config"]["hash"]);
    for target in ["/metrics", "/health", "/livez", "/readyz"] {
        assert_eq!(
            (ask(&sidecar, target).await.status, through_socket(&sidecar.socket, &get(target)).await.status),
            (200, 200),
            "{target}"
        );
    }
    for target in ["/nothing", "/config/histories"] {
        let answer = ask(&sidecar, target).await;
        assert_eq!((answer.status, &answer.json()["error"]), (404, &"not_found".into()), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_opens_the_address() {
    let (origin, folder) = (echo().await, tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("token");
    std::fs::write(&file, "t0ken\n").expect("writable");
    let sidecar = in_front_of(&origin.url()).with(|s| s.admin.token_file = Some(file)).start().await;
    for (credentials, status) in
        [("Bearer t0ken", 200), ("bearer t0ken", 200), ("Bearer t0ke", 401), ("Bearer t0kens", 401), ("t0ken", 401), ("", 401)]
    {
        let request = get("/config").header("authorization", credentials).header("connection", "close");
        assert_eq!(send(sidecar.admin, &request).await.status, status, "{credentials}");
    }
    assert_eq!(send(sidecar.admin, &get("/config?token=t0ken").header("connection", "close")).await.status, 401);
    assert_eq!(through_socket(&sidecar.socket, &get("/config")).await.status, 200, "the socket needs none");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_may_open_the_socket() {
    let origin = echo().await;
    let sidecar = in_front_of(&origin.url()).start().await;
    let mode = std::fs::metadata(&sidecar.socket).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

const HEALTH: &str = "
health: { error_rate: { degraded: 25%, unhealthy: 50% }, average_latency: { degraded: 1s, unhealthy: 2s }, min_requests: 4, window: 10s }
cache:
  include:
    - { name: profile, match: { function: profile }, ttl: 5m, scope: public }
";

/// The health, once `requests` requests have been counted.
async fn health(sidecar: &Sidecar, requests: u64) -> (u16, Value) {
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    let answer = ask(sidecar, "/health").await;
    let body = answer.json();
    assert_eq!(body["indicators"][0]["samples"], requests, "{body}");
    assert_eq!(ask(sidecar, "/livez").await.status, 200, "the process is alive, however its functions are");
    let status = body["status"].as_str().expect("a text");
    sidecar.until_series(&format!("edge_sidecar_health_status{{status=\"{status}\"}}"), 1.0).await;
    (answer.status, body)
}

async fn send_all(sidecar: &Sidecar, target: &str, count: usize) {
    for _ in 0..count {
        sidecar.get(target).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_functions_make_it_degraded_then_unhealthy_and_leave_with_the_window() {
    let clock = Clock::manual();
    let origin = Origin::start(|seen| Reply::new(if seen.target() == "/fail" { 500 } else { 200 }, &[], "{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(HEALTH).clock(&clock).start().await;
    send_all(&sidecar, "/fail", 3).await;
    let (status, body) = health(&sidecar, 3).await;
    assert_eq!((status, &body["status"]), (200, &"healthy".into()), "too few to judge");

    send_all(&sidecar, "/echo", 7).await;
    let (status, body) = health(&sidecar, 10).await;
    assert_eq!((status, &body["status"]), (200, &"degraded".into()));
    let errors = &body["indicators"][0];
    assert_eq!(
        (&errors["name"], &errors["value"], &errors["limit"], &errors["ok"]),
        (&"error_rate".into(), &0.3.into(), &0.25.into(), &false.into())
    );
    assert!(errors["since"].as_str().is_some_and(|s| s.ends_with('Z')), "{errors}");
    assert_eq!(sidecar.series("edge_sidecar_health_indicator_ok{indicator=\"error_rate\"}").await.to_bits(), 0.0_f64.to_bits());

    send_all(&sidecar, "/fail", 4).await;
    let (status, body) = health(&sidecar, 14).await;
    assert_eq!((status, &body["status"]), (503, &"unhealthy".into()));

    clock.advance(Duration::from_secs(30));
    let (status, body) = health(&sidecar, 0).await;
    assert_eq!((status, &body["status"]), (200, &"healthy".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_functions_and_a_cold_cache_are_told_apart() {
    let (clock, gate) = (Clock::manual(), Gate::new());
    let held = gate.clone();
    let origin = Origin::start(move |seen| if seen.target() == "/held" { Reply::ok("{}").behind(&held) } else { Reply::ok("{}") }).await;
    let sidecar = in_front_of(&origin.url()).rules(HEALTH).clock(&clock).start().await;
    let bad = |body: &Value| {
        let indicators = body["indicators"].as_array().expect("a list");
        indicators.iter().filter(|i| i["ok"] == false).map(|i| (i["name"].clone(), i["value"].clone())).collect::<Vec<_>>()
    };
    // one hit of four look-ups
    for target in ["/profile?1", "/profile?2", "/profile?3", "/profile?1"] {
        assert_eq!(sidecar.get(target).await.status, 200);
    }
    let (status, body) = health(&sidecar, 4).await;
    assert_eq!((status, &body["status"], bad(&body)), (200, &"degraded".into(), vec![(json!("cache_hit_rate"), json!(0.25))]));
    clock.advance(Duration::from_secs(30));
    let held = [0; 4].map(|_| spawn(sidecar.address, get("/held")));
    origin.until(3 + held.len()).await;
    clock.advance(Duration::from_millis(2500));
    gate.open();
    for answer in held {
        assert_eq!(answer.await.expect("no panic").status, 200);
    }
    let (status, body) = health(&sidecar, 4).await;
    assert_eq!((status, &body["status"], bad(&body)), (503, &"unhealthy".into(), vec![(json!("average_latency"), json!(2500.0))]));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_once_the_functions_were_reached() {
    let port = free_port();
    let sidecar = in_front_of(&format!("http://127.0.0.1:{port}")).start().await;
    let answer = ask(&sidecar, "/readyz").await;
    assert_eq!((answer.status, answer.json()), (503, json!({ "ready": false, "reasons": ["upstream"] })));
    assert_eq!(ask(&sidecar, "/livez").await.status, 200);
    let origin = Origin::on(port, None, |_| Reply::ok("{}")).await;
    let ready = until("ready", async || Some(ask(&sidecar, "/readyz").await).filter(|a| a.status == 200)).await;
    assert_eq!(ready.json(), json!({ "ready": true, "reasons": [] }));
    assert_eq!(origin.count(), 0, "being reached is a connection, not a request");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_drains_it_is_not_ready_but_alive_and_still_answers() {
    let origin = echo().await;
    let sidecar = in_front_of(&origin.url()).with(|s| s.drain.announce = Duration::from_mins(10)).start().await;
    until("ready", async || (ask(&sidecar, "/readyz").await.status == 200).then_some(())).await;
    assert!(!sidecar.get("/echo").await.header("connection").eq_ignore_ascii_case("close"));
    sidecar.stop(Stop::Announced).await;
    let answer = until("not ready", async || Some(ask(&sidecar, "/readyz").await).filter(|a| a.status == 503)).await;
    assert_eq!(answer.json(), json!({ "ready": false, "reasons": ["draining"] }));
    assert_eq!(ask(&sidecar, "/livez").await.status, 200);
    let answer = sidecar.get("/echo").await;
    assert_eq!((answer.status, answer.header("connection").to_ascii_lowercase().as_str()), (200, "close"));
    sidecar.stop(Stop::Now).await;
    sidecar.ended().await;
}
