//! Cold starts: seen on every way to real functions whose workers retire, and guessed where answers do not name their isolate.

use std::time::Duration;

use edge_sidecar::clock::Clock;

use crate::support::client::{Request, get, post};
use crate::support::functions::Functions;
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::routes::{RULES, message};
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::until;

const ECHO: &str = "/functions/v1/echo";

fn count(function: &str) -> String {
    format!(r#"edge_sidecar_cold_starts_total{{function="{function}"}}"#)
}

/// Sends requests one after the other until `changes` new isolates have answered, and tells how many did.
async fn until_changed(sidecar: &Sidecar, request: &Request, changes: u32) -> u32 {
    let (mut ids, mut seen) = (Vec::new(), 0);
    while seen < changes {
        let answer = sidecar.send(request.clone()).await;
        let id = answer.header("x-deno-execution-id").to_owned();
        assert!(answer.status == 200 && !id.is_empty());
        if !ids.contains(&id) {
            seen += u32::from(!ids.is_empty());
            ids.push(id);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn the_count_is_that_of_the_changes_of_execution_id() {
    let functions = Functions::with(&[("WORKER_LIFE_MS", "1000"), ("WORKER_BOOT_MS", "60")]);
    let sidecar = in_front_of(&functions.url()).rules("slow: [{ match: \"**\", after: 50ms }]").start().await;
    let changes = until_changed(&sidecar, &get(ECHO), 4).await;
    sidecar.until_series(&count("echo"), f64::from(changes)).await;
    sidecar.until_series(r#"edge_sidecar_cold_start_duration_seconds_count{function="echo"}"#, f64::from(changes)).await;
    sidecar.until_series(r#"edge_sidecar_cold_start_duration_seconds_bucket{function="echo",le="0.05"}"#, 0.0).await;
    assert_eq!(functions.starts("echo").await, u64::from(changes) + 1, "the first isolate may have been there before");
    let metrics = sidecar.metrics().await;
    let echo = &metrics["handlers"]["echo"];
    assert_eq!((&echo["loaded"], echo["coldStarts"].as_u64()), (&true.into(), Some(changes.into())));
    assert!(echo["loadTimeMs"].as_f64() >= Some(50.0) && metrics["metrics"]["coldStart"]["p50Ms"].as_f64() >= Some(50.0), "{echo}");
    let cold = |event: &str| sidecar.lines().iter().filter(|l| l["event"] == event && l["upstream"]["cold"] == true).count();
    let written = async || ((cold("slow"), cold("cold_start")) == (changes as usize, changes as usize)).then_some(());
    until("a slow line and a line of its own for each", written).await;
    assert!(sidecar.lines().iter().any(|l| l["event"] == "request" && l["upstream"]["cold"] == false));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_seen_on_each_way_to_a_function() {
    let functions = Functions::with(&[("WORKER_BOOT_MS", "20")]);
    let sidecar = in_front_of(&functions.url()).rules(RULES).start().await;
    let profile = |n: u32| get(&format!("/functions/v1/profile?n={n}")).header("authorization", "Bearer x");
    let webhook = |n: u32| post("/functions/v1/wa-webhook-core", message(&format!("wamid.{n}")));
    let ways: [(&str, &dyn Fn(u32) -> Request); 4] = [
        ("echo", &|_| get(ECHO)),
        ("app-config", &|_| post("/functions/v1/app-config", "{}")),
        ("profile", &profile),
        ("wa-webhook-core", &webhook),
    ];
    for (function, request) in ways {
        sidecar.send(request(0)).await;
        for n in 1..=2 {
            functions.retire(function).await;
            sidecar.send(request(n)).await;
            sidecar.until_series(&count(function), f64::from(n)).await;
        }
        sidecar.send(request(3)).await;
        sidecar.until_series(&count(function), 2.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_field_it_is_guessed_after_idleness() {
    let (clock, gate) = (Clock::manual(), Gate::new());
    gate.open();
    let waits = gate.clone();
    let origin = Origin::start(move |_| Reply::new(200, &[("connection", "close")], "ok").behind(&waits)).await;
    let sidecar = in_front_of(&origin.url()).clock(&clock).start().await;
    for (n, (idle, takes, cold)) in [(0, 4, 0), (31, 5, 0), (29, 400, 0), (31, 400, 1), (1, 400, 1)].into_iter().enumerate() {
        clock.advance(Duration::from_secs(idle));
        gate.shut();
        let answer = async {
            origin.until(n + 1).await;
            clock.advance(Duration::from_millis(takes));
            gate.open();
        };
        let (answer, ()) = tokio::join!(sidecar.get("/f"), answer);
        assert_eq!(answer.status, 200);
        until("it is recorded", async || (sidecar.lines().len() > n).then_some(())).await;
        assert_eq!(sidecar.metrics().await["handlers"]["f"]["coldStarts"], cold, "{idle} s idle, {takes} ms");
    }
}
