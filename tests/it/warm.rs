//! Warm-up: what is called when, what it is told about, and what callers no longer meet.

use std::time::Duration;

use edge_sidecar::proxy::drain::Stop;

use crate::support::client::{Request, get, post, send, through_socket};
use crate::support::command::output;
use crate::support::functions::Functions;
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::until;

async fn admin(sidecar: &Sidecar, request: Request) -> (u16, serde_json::Value) {
    let answer = through_socket(&sidecar.socket, &request).await;
    (answer.status, answer.json())
}

async fn ready(sidecar: &Sidecar) -> serde_json::Value {
    send(sidecar.admin, &get("/readyz").header("connection", "close")).await.json()
}

fn paths(origin: &Origin) -> Vec<String> {
    origin.seen().iter().map(|seen| seen.target().to_owned()).collect()
}

fn warmups(name: &str, result: &str) -> String {
    format!(r#"edge_sidecar_warmups_total{{name="{name}",result="{result}"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_when_the_steps_at_the_start_are_over_or_timed_out() {
    let (gate, waits) = (Gate::new(), Gate::new());
    let (opens, hangs) = (gate.clone(), waits.clone());
    let origin = Origin::start(move |seen| Reply::ok("{}").behind(if seen.target().contains("hung") { &hangs } else { &opens })).await;
    let rules = "warm:\n  - { name: core, functions: [a, b], on_start: true }\n  - { name: more, functions: [hung], path: /x?y=1, on_start: true, timeout: 200ms }\n";
    let sidecar = in_front_of(&origin.url()).rules(rules).start().await;
    origin.until(2).await;
    let found = ready(&sidecar).await;
    assert_eq!((found["ready"].clone(), found["reasons"].clone()), (false.into(), serde_json::json!(["warmup"])));
    gate.open();
    until("it is ready", async || (ready(&sidecar).await["ready"] == true).then_some(())).await;
    let mut seen = paths(&origin);
    seen[..2].sort();
    assert_eq!(seen, ["/functions/v1/a/health", "/functions/v1/b/health", "/functions/v1/hung/x?y=1"]);
    assert!(origin.seen()[0].header("user-agent").starts_with("edge-sidecar/") && !origin.seen()[0].header("x-request-id").is_empty());
    let (status, report) = admin(&sidecar, get("/warmup")).await;
    let steps = &report["steps"];
    assert_eq!((status, &report["started"], &steps[0]["name"], &steps[0]["success"]), (200, &true.into(), &"core".into(), &true.into()));
    assert_eq!((&steps[0]["functions"][1]["name"], &steps[0]["functions"][1]["occasion"]), (&"b".into(), &"start".into()));
    assert!(steps[0]["durationMs"].as_f64() > Some(0.0), "{report}");
    assert_eq!((&steps[1]["success"], &steps[1]["error"]), (&false.into(), &"timeout".into()));
    sidecar.until_series(&warmups("core", "warm"), 2.0).await;
    sidecar.until_series(&warmups("more", "failed"), 1.0).await;
    assert_eq!(sidecar.metrics().await["metrics"]["requests"]["total"], 0, "no request of a caller");
    waits.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_though_a_function_is_not_there() {
    let origin = Origin::start(|_| Reply::new(500, &[], "{}")).await;
    let sidecar = in_front_of(&origin.url()).rules("warm: [{ name: core, functions: [a], on_start: true }]\n").start().await;
    until("it is ready", async || (ready(&sidecar).await["ready"] == true).then_some(())).await;
    assert_eq!(admin(&sidecar, get("/warmup")).await.1["steps"][0]["error"], "status 500");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_of_one_function_calls_others() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules("warm: [{ name: next, functions: [x, y], after_first: core }]\n").start().await;
    for path in ["/other", "/core/a", "/core/b"] {
        assert_eq!(sidecar.get(path).await.status, 200);
    }
    sidecar.until_series(&warmups("next", "warm"), 2.0).await;
    let seen = paths(&origin);
    assert_eq!(seen.iter().filter(|p| p.ends_with("/health")).count(), 2, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_goes_on_until_the_drain_and_rules_change_it() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let hung = Gate::new();
    let sidecar = in_front_of(&origin.url()).rules("warm: [{ name: core, functions: [a], every: 1s }]\n").start().await;
    sidecar.until_series(&warmups("core", "warm"), 2.0).await;
    let offered =
        sidecar.live.offer(b"version: 1\nwarm: [{ name: other, functions: [b], every: 1s }]\n", std::time::SystemTime::UNIX_EPOCH);
    assert!(matches!(offered, edge_sidecar::config::Offer::Accepted { .. }));
    sidecar.until_series(&warmups("other", "warm"), 1.0).await;
    let held = hung.clone();
    drop(origin);
    let origin = Origin::start(move |_| Reply::ok("{}").behind(&held)).await;
    let draining = in_front_of(&origin.url()).rules("warm: [{ name: core, functions: [a], every: 1s }]\n").start().await;
    let ((), running) = tokio::join!(origin.until(1), draining.connect());
    draining.stop(Stop::Announced).await;
    drop(running);
    draining.ended().await; // though the call under way never ends
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_do_not_meet_what_warm_up_has_met() {
    let functions = Functions::with(&[("WORKER_BOOT_MS", "30")]);
    let sidecar =
        in_front_of(&functions.url()).rules("warm: [{ name: core, functions: [echo, app-config], on_start: true }]\n").start().await;
    until("it is ready", async || (ready(&sidecar).await["ready"] == true).then_some(())).await;
    assert_eq!((functions.starts("echo").await, functions.starts("app-config").await), (1, 1));
    let socket = sidecar.socket.to_str().expect("plain").to_owned();
    functions.retire("echo").await;
    let printed = tokio::task::spawn_blocking(move || output(&["warmup", "--socket", &socket])).await.expect("no panic");
    let text = String::from_utf8(printed.stdout).expect("text");
    let line = |function: &str| text.lines().find(|l| l.contains(function)).unwrap_or_default().to_owned();
    assert!(printed.status.success() && line("echo").ends_with("started") && line("app-config").ends_with("warm"), "{text}");
    let before = sidecar.get("/functions/v1/echo").await;
    assert_eq!((before.status, functions.starts("echo").await), (200, 2));
    sidecar.until_series(&warmups("core", "cold"), 1.0).await;
    sidecar.until_series(r#"edge_sidecar_requests_total{code="200",function="echo",outcome="forwarded"}"#, 1.0).await;
    sidecar.until_series(r#"edge_sidecar_cold_starts_total{function="echo"}"#, 0.0).await;
    let echo = sidecar.metrics().await["handlers"]["echo"].clone();
    assert!(echo["loaded"] == true && echo["loadTimeMs"].as_f64() >= Some(25.0), "{echo}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_is_taken_while_draining() {
    let (gate, waits) = (Gate::new(), Gate::new());
    let held = waits.clone();
    let origin = Origin::start(move |_| Reply::ok("{}").behind(&held)).await;
    let rules = "warm: [{ name: core, functions: [a], after_first: nobody }]\n";
    let sidecar = in_front_of(&origin.url()).with(|s| s.drain.announce = Duration::from_secs(5)).rules(rules).start().await;
    assert_eq!(admin(&sidecar, post("/drain", "")).await.0, 202);
    let (status, answer) = admin(&sidecar, post("/warmup", "")).await;
    assert_eq!((status, &answer["error"], origin.count()), (409, &"draining".into(), 0));
    gate.open();
    waits.open();
}

/// Two minutes of steady traffic in front of workers that retire every 5 s, without warm-up and with it:
/// `cargo test --test it -- --ignored --nocapture steady_traffic`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes six minutes; prints figures"]
async fn steady_traffic() {
    eprintln!("{:<10} {:>8} {:>10} {:>10} {:>8} {:>8}", "warm-up", "gap ms", "requests", "cold", "waited", "p99 ms");
    for (warm, gap) in [("", 25), ("4s", 25), ("", 400), ("4s", 400)] {
        let functions = Functions::with(&[("WORKER_LIFE_MS", "10000"), ("WORKER_BOOT_MS", "80")]);
        let rules = if warm.is_empty() {
            String::new()
        } else {
            format!("warm: [{{ name: w, functions: [echo], on_start: true, every: {warm} }}]\n")
        };
        let sidecar = in_front_of(&functions.url()).rules(&rules).start().await;
        until("ready", async || (ready(&sidecar).await["ready"] == true).then_some(())).await;
        let (clock, mut client) = (edge_sidecar::clock::Clock::system(), sidecar.connect().await);
        let (mut times, begin) = (Vec::new(), clock.now());
        while clock.now() < begin + Duration::from_secs(90) {
            let sent = clock.now();
            assert_eq!(client.send(&get("/functions/v1/echo")).await.status, 200);
            times.push(clock.now() - sent);
            tokio::time::sleep(Duration::from_millis(gap)).await;
        }
        times.sort();
        let waited = times.iter().filter(|t| **t > Duration::from_millis(40)).count();
        let (p99, cold) = (times[times.len() * 99 / 100], sidecar.metrics().await["handlers"]["echo"]["coldStarts"].clone());
        eprintln!(
            "{:<10} {gap:>8} {:>10} {cold:>10} {waited:>8} {:>8.1}",
            if warm.is_empty() { "none" } else { warm },
            times.len(),
            p99.as_secs_f64() * 1e3
        );
        eprintln!("  {}", admin(&sidecar, get("/warmup")).await.1["steps"][0]["functions"]);
    }
}
