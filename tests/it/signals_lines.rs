//! The log of the real binary: events of the process among the lines of requests, the share of hits, and a reader that is stuck.

use serde_json::Value;

use crate::support::client::{Connection, get, send, through_socket};
use crate::support::command::{Process, rename_over};
use crate::support::origin::{Origin, Reply};
use crate::support::sidecar::in_front_of;
use crate::support::{routes, until};

const RULES: &str = "version: 1\nhealth: { error_rate: { degraded: 5%, unhealthy: 10% }, min_requests: 20, window: 1m }\n";

/// The first event that these words are in.
async fn event(process: &Process, words: &[&str]) -> Value {
    let find = || process.lines().into_iter().find(|l| words.iter().all(|w| l.contains(w)));
    let line = until(&format!("a line with {words:?}"), async || find()).await;
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_health_reloads_and_the_drain_have_lines_and_every_line_is_json() {
    let origin = Origin::start(|_| Reply::new(500, &[], "{}")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.yaml");
    std::fs::write(&rules, RULES).expect("writable");
    let mut process = Process::start(&origin.url(), &["--rules", &rules.display().to_string()]).await;
    let mut connection = Connection::open(process.address).await;
    for _ in 0..20 {
        assert_eq!(connection.send(&get("/echo")).await.status, 500);
    }
    let worse = event(&process, &[r#""event":"health""#, r#""status":"unhealthy""#]).await;
    assert_eq!((&worse["level"], &worse["indicator"], &worse["before"]), (&"warn".into(), &"error_rate".into(), &"healthy".into()));
    assert_eq!(
        (&worse["value"], &worse["limit"], &worse["samples"], &worse["overall"]),
        (&1.0.into(), &0.1.into(), &20.into(), &"unhealthy".into())
    );
    assert_eq!(send(process.admin, &get("/livez").header("connection", "close")).await.status, 200, "no reason to restart the sidecar");
    assert_eq!(send(process.admin, &get("/health").header("connection", "close")).await.status, 503);
    // judged by other limits, they are healthy again
    rename_over(&rules, &RULES.replace("min_requests: 20", "min_requests: 1000"));
    let better = event(&process, &[r#""event":"health""#, r#""status":"healthy""#]).await;
    assert_eq!((&better["level"], &better["before"]), (&"info".into(), &"unhealthy".into()));
    event(&process, &[r#""event":"reload""#, "rules reloaded"]).await;
    rename_over(&rules, "version: 1\nhelth: {}\n");
    event(&process, &[r#""event":"reload""#, r#""level":"warn""#, "helth"]).await;
    process.signal("TERM");
    assert!(process.ended().await.success());
    event(&process, &[r#""event":"drain""#, "drained"]).await;
    for line in process.lines() {
        let json: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let started = json["ts"].as_str().zip(json["level"].as_str()).zip(json["event"].as_str());
        assert!(started.is_some() && line.starts_with(r#"{"ts":""#), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_the_hits_has_lines_and_all_are_counted() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(routes::RULES).with(|s| s.log.hits_ppm = 250_000).start().await;
    let mut connection = sidecar.connect().await;
    for n in 0..41 {
        let answer = connection.send(&get("/profile/1").header("authorization", "Bearer a")).await;
        assert_eq!(answer.header("x-cache"), if n == 0 { "MISS" } else { "HIT" });
    }
    assert_eq!(connection.send(&get("/plain").header("x-request-id", "last")).await.status, 200);
    sidecar.line("request", "last").await;
    let of = |outcome: &str| sidecar.lines().iter().filter(|l| l["outcome"] == outcome).count();
    assert_eq!((of("hit"), of("miss"), of("forwarded")), (10, 1, 1));
    assert_eq!(sidecar.metrics().await["cache"]["profile"]["hits"], 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_reader_of_the_log_that_is_stuck() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.yaml");
    std::fs::write(&rules, routes_with("5m")).expect("writable");
    let mut process = Process::start_unread(&origin.url(), &["--rules", &rules.display().to_string()]).await;
    let dropped = async || process.series("edge_sidecar_log_lines_dropped_total").await;
    // 64 KiB are in the pipe and 1 MiB is in memory: some 2,500 lines
    let (mut connection, mut sent) = (Connection::open(process.address).await, 0_u32);
    while dropped().await < 0.5 {
        assert!(sent < 20_000, "lines are kept without bound");
        for _ in 0..500 {
            assert_eq!(connection.send(&get("/profile/1").header("authorization", "Bearer a")).await.status, 200);
        }
        sent += 500;
    }
    rename_over(&rules, &routes_with("6m"));
    until("an edit is in force", async || (process.series("edge_sidecar_config_generation").await > 1.5).then_some(())).await;
    let reload = crate::support::client::post("/reload", "");
    assert_eq!(through_socket(&process.socket, &reload).await.status, 200);
    assert!(
        (process.series("edge_sidecar_requests_total{code=\"200\",function=\"profile\",outcome=\"hit\"}").await - f64::from(sent - 1))
            .abs()
            < 0.5
    );
    process.signal("TERM");
    assert!(process.ended().await.success(), "the drain does not wait for the log");
}

fn routes_with(ttl: &str) -> String {
    format!("version: 1\n{}", routes::RULES.replace("5m", ttl))
}
