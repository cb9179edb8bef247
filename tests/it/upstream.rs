//! The way to the functions when it is blocked, slow or broken: what the caller is told, what is tried again, and what never is.

mod limits;
mod pool;

use std::time::Duration;

use edge_sidecar::config::Sidecar as Settings;
use edge_sidecar::upstream::retry;

use crate::support::client::{Answer, Request, request, send};
use crate::support::free_port;
use crate::support::origin::{Gate, Origin, Reply, Step};
use crate::support::routes::{RULES, each};
use crate::support::sidecar::{Sidecar, in_front_of};

/// Another try after 10 ms, `attempts` in all.
fn tries(attempts: u32) -> impl FnOnce(&mut Settings) {
    move |s| s.upstreams[0].retries = retry::Settings { attempts, backoff: Duration::from_millis(10) }
}

/// Times short enough to run out in a test.
fn impatient(s: &mut Settings) {
    (s.upstreams[0].first_byte, s.upstreams[0].between_bytes) = (Duration::from_millis(300), Duration::from_millis(300));
}

/// The shape of every refusal (interface.md 3).
fn assert_refused(kind: &str, answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.header("content-type")), (status, "application/json"), "{kind}: {}", answer.text());
    let body = answer.json();
    assert_eq!(body["error"], code, "{kind}");
    assert!(body["message"].as_str().is_some_and(|m| m.len() > 10), "{kind}: {body}");
    assert_eq!(body["requestId"], answer.header("x-request-id"), "{kind}");
    assert_eq!(answer.has("retry-after"), status == 503, "{kind}");
}

async fn assert_nothing_held(sidecar: &Sidecar) {
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    sidecar.until_series(r#"edge_sidecar_upstream_connections{upstream="functions",state="in_use"}"#, 0.0).await;
}

const RETRIES: &str = r#"edge_sidecar_upstream_retries_total{upstream="functions",reason="connect"}"#;
const FAILED: &str = r#"edge_sidecar_upstream_connects_total{upstream="functions",result="failed"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_is_tried_again_and_then_502() {
    let sidecar = in_front_of(&format!("http://127.0.0.1:{}", free_port())).rules(RULES).with(tries(3)).start().await;
    for (n, (kind, request)) in (1..).zip(each("refused")) {
        let answer = sidecar.send(request).await;
        assert_refused(kind, &answer, 502, "connect_failed");
        sidecar.until_series(RETRIES, f64::from(2 * n)).await;
        sidecar.until_series(FAILED, f64::from(3 * n)).await;
        let line = sidecar.line("request", answer.header("x-request-id")).await;
        assert_eq!((&line["error"], &line["outcome"]), (&"connect_failed".into(), &"failed".into()), "{kind}");
    }
    assert_nothing_held(&sidecar).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_is_refused_without_a_body() {
    let sidecar = in_front_of(&format!("http://127.0.0.1:{}", free_port())).rules(RULES).with(tries(1)).start().await;
    for target in ["/plain", "/profile"] {
        let mut connection = sidecar.connect().await;
        connection.write(&request("HEAD", target).header("connection", "close")).await;
        let answer = connection.read_head().await;
        assert_eq!((answer.status, answer.header("content-type")), (502, "application/json"), "{target}");
        assert!(connection.is_closed().await, "{target}: not one byte of a body");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_start_late_are_waited_for() {
    let port = free_port();
    let sidecar = in_front_of(&format!("http://127.0.0.1:{port}")).rules(RULES).with(tries(2_000)).start().await;
    let calls = each("late").map(|(kind, request)| (kind, tokio::spawn(call(&sidecar, request))));
    let failures =
        crate::support::until("every way has failed at least once", async || (sidecar.series(RETRIES).await >= 8.0).then_some(()));
    failures.await;
    let origin = Origin::on(port, None, |seen| Reply::ok(seen.method())).await;
    for (kind, call) in calls {
        let answer = call.await.expect("no panic");
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
        let line = sidecar.line("request", answer.header("x-request-id")).await;
        assert!(line["upstream"]["retries"].as_u64() >= Some(1), "{kind}: {line}");
    }
    assert_eq!(origin.count(), 4, "each ran once");
    assert_nothing_held(&sidecar).await;
}

fn call(sidecar: &Sidecar, request: Request) -> impl Future<Output = Answer> + use<> {
    let address = sidecar.address;
    async move { send(address, &request).await }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_does_not_answer_in_time_is_504() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::ok("late").behind(&held)).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(impatient).start().await;
    for round in 1..=2 {
        // the second time as well: a message whose call failed is not a known one, and nothing was stored
        for (kind, request) in each("slow") {
            let answer = sidecar.send(request).await;
            assert_refused(kind, &answer, 504, "first_byte_timeout");
            assert!(!["DUPLICATE", "JOINED"].contains(&answer.header("x-dedup")), "{kind}");
        }
        assert_eq!(origin.count(), 4 * round, "asked once by each: a call that may have run is not repeated");
    }
    assert_nothing_held(&sidecar).await;
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stalls_is_cut() {
    let starts =
        ["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"];
    for start in starts {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |_| Reply::raw(start).then(Step::Wait(held.clone()))).await;
        let sidecar = in_front_of(&origin.url()).rules(RULES).with(impatient).start().await;
        for (kind, request) in each("stall") {
            let answer = sidecar.send(request).await;
            assert_eq!((answer.status, answer.text().as_str(), answer.message.whole), (200, "half", false), "{kind}");
            let line = sidecar.line("request", answer.header("x-request-id")).await;
            assert_eq!(line["error"], "between_bytes_timeout", "{kind}: {line}");
        }
        assert_nothing_held(&sidecar).await;
        gate.open();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_may_have_run_is_never_repeated() {
    let garbage =
        [&b"HTTP/1.1 2OO OK\r\n\r\n"[..], b"\x16\x03\x01\x00\x00", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nBad Name\r\n\r\n"];
    let broken = garbage.map(|bytes| ("bad_response", Reply::raw(bytes).then(Step::Close)));
    let unasked = Reply::raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n").then(Step::Close);
    let lost = [Reply::empty().then(Step::Close), Reply::empty().then(Step::Reset), Reply::raw("HTTP/1.1 200 OK\r\nX-").then(Step::Close)];
    for (code, reply) in lost.map(|reply| ("connection_lost", reply)).into_iter().chain(broken).chain([("bad_response", unasked)]) {
        let scripted = reply.clone();
        let origin = Origin::start(move |_| scripted.clone()).await;
        let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
        for (n, (kind, request)) in (1..).zip(each("broken")) {
            assert_refused(&format!("{kind}, {reply:?}"), &sidecar.send(request).await, 502, code);
            assert_eq!(origin.count(), n, "{kind}: {reply:?}");
        }
        assert_nothing_held(&sidecar).await;
    }
}
