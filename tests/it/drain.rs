//! The clean end by command: `POST /drain` and `edge-sidecar drain` begin what SIGTERM begins, and signals that follow join it.

use std::time::Duration;

use edge_sidecar::proxy::drain::Stop;
use serde_json::json;

use crate::signals_traffic::spawn;
use crate::support::client::{Answer, get, post, send, through_socket};
use crate::support::command::{Process, command};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::in_front_of;
use crate::support::{routes, until};

/// An origin that holds everything back until the gate opens.
async fn held(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |seen| Reply::ok(seen.target()).behind(&gate)).await
}

/// A process that announces its end for no longer than it must.
async fn process(origin: &Origin) -> Process {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "version: 1\nrules: null\ndrain: { announce: 0s, timeout: 25s }\n").expect("writable");
    Process::start(&origin.url(), &["--config", &file.path().display().to_string()]).await
}

/// Sends a request that the origin holds, and waits until it is there.
async fn in_flight(process: &Process, origin: &Origin) -> tokio::task::JoinHandle<Answer> {
    let flight = spawn(process.address, get("/held"));
    origin.until(1).await;
    flight
}

async fn until_line(process: &Process, part: &str) {
    until(part, async || process.lines().iter().any(|l| l.contains(part)).then_some(())).await;
}

fn drain(process: &Process, further: &[&str]) -> (Option<i32>, String) {
    let socket = process.socket.display().to_string();
    let output = command(&[&["drain", "--socket", &socket], further].concat()).output().expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_begins_the_end_and_a_second_one_says_so_too() {
    let gate = Gate::new();
    let (origin, folder) = (held(&gate).await, tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("token");
    std::fs::write(&file, "t0ken").expect("writable");
    let sidecar = in_front_of(&origin.url()).with(|s| s.admin.token_file = Some(file)).start().await;
    let flight = spawn(sidecar.address, get("/held"));
    origin.until(1).await;
    let asked = post("/drain", "").header("authorization", "Bearer t0ken").header("connection", "close");
    for answer in [through_socket(&sidecar.socket, &post("/drain", "")).await, send(sidecar.admin, &asked).await] {
        assert_eq!((answer.status, answer.header("content-type"), answer.header("cache-control")), (202, "application/json", "no-store"));
        assert_eq!(answer.json(), json!({ "draining": true, "running": 1 }));
        // at once, not only when the drain's own task has looked
        let ready = send(sidecar.admin, &get("/readyz").header("connection", "close")).await;
        assert_eq!((ready.status, ready.json()), (503, json!({ "ready": false, "reasons": ["draining"] })));
    }
    gate.open();
    let answer = flight.await.expect("no panic");
    assert_eq!((answer.status, answer.header("connection")), (200, "close"), "what ran is finished");
    sidecar.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_flight_on_any_way_is_answered_and_its_connection_closed() {
    let gate = Gate::new();
    let origin = held(&gate).await;
    let sidecar = in_front_of(&origin.url()).rules(routes::RULES).start().await;
    let flights: Vec<_> = routes::each("1").into_iter().map(|(kind, request)| (kind, spawn(sidecar.address, request))).collect();
    origin.until(flights.len()).await;
    assert_eq!(through_socket(&sidecar.socket, &post("/drain", "")).await.json()["running"], flights.len());
    gate.open();
    for (kind, flight) in flights {
        let answer = flight.await.expect("no panic");
        assert_eq!((answer.status, answer.header("connection")), (200, "close"), "{kind}");
    }
    sidecar.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_sidecar_itself_close_their_connections_too() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(routes::RULES).with(|s| s.drain.announce = Duration::from_mins(10)).start().await;
    for drained in [false, true] {
        for (kind, request) in routes::each("1").into_iter().skip(2) {
            let answer = sidecar.send(request).await;
            let (state, fresh) =
                (answer.header("connection").to_ascii_lowercase(), answer.has("x-duplicate") || answer.header("x-cache") == "HIT");
            assert_eq!((answer.status, state == "close", fresh), (200, drained, drained), "{kind}");
        }
        through_socket(&sidecar.socket, &post("/drain", "")).await;
    }
    sidecar.stop(Stop::Announced).await;
    sidecar.stop(Stop::Now).await;
    sidecar.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_answer_arrives_although_nothing_keeps_the_process() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let mut process = process(&origin).await;
    assert_eq!(drain(&process, &["--json"]), (Some(0), "{\"draining\":true,\"running\":0}\n".to_owned()));
    assert_eq!(process.ended().await.code(), Some(0));
    assert_eq!(drain(&process, &[]).0, Some(1), "nobody is there any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signal_after_a_command_joins_its_drain_as_a_pods_hook_needs() {
    let gate = Gate::new();
    let origin = held(&gate).await;
    let mut process = process(&origin).await;
    let flight = in_flight(&process, &origin).await;
    assert_eq!(drain(&process, &[]), (Some(0), "draining: 1 request runs\n".to_owned()));
    process.signal("TERM");
    until_line(&process, "a signal joins the drain").await;
    let socket = process.socket.display().to_string();
    let probe = command(&["probe", "ready", "--socket", &socket]).output().expect("it runs");
    assert_eq!((probe.status.code(), &*String::from_utf8_lossy(&probe.stdout)), (Some(1), "not ready: draining\n"), "it still runs");
    gate.open();
    assert_eq!(flight.await.expect("no panic").status, 200, "the request in flight was not cut");
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_signal_after_a_command_ends_it_at_once() {
    let gate = Gate::new();
    let origin = held(&gate).await;
    let mut process = process(&origin).await;
    let flight = in_flight(&process, &origin).await;
    assert_eq!(drain(&process, &[]).0, Some(0));
    process.signal("TERM");
    until_line(&process, "a signal joins the drain").await;
    process.signal("TERM");
    process.ended().await;
    assert_eq!(flight.await.expect("no panic").status, 0, "the request in flight was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_after_a_signal_cut_nothing() {
    let gate = Gate::new();
    let origin = held(&gate).await;
    let mut process = process(&origin).await;
    let flight = in_flight(&process, &origin).await;
    process.signal("TERM");
    until_line(&process, r#""event":"drain""#).await;
    for _ in 0..3 {
        assert_eq!(drain(&process, &[]), (Some(0), "draining: 1 request runs\n".to_owned()));
    }
    gate.open();
    assert_eq!(flight.await.expect("no panic").status, 200);
    assert_eq!(process.ended().await.code(), Some(0));
}
