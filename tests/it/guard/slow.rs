//! Callers that take their time: with a head, a body, an answer, or with nothing at all.

use std::time::Duration;

use edge_sidecar::config::Sidecar as Settings;
use tokio::task::JoinSet;

use super::{assert_others_are_served, assert_refused, refused};
use crate::support::client::{Connection, get, post};
use crate::support::origin::{Origin, Reply};
use crate::support::routes::{RULES, each};
use crate::support::sidecar::{Builder, Sidecar, in_front_of};
use crate::support::until;

const SHORT: Duration = Duration::from_millis(150);

async fn start(change: impl FnOnce(&mut Settings)) -> (Origin, Sidecar) {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = before(&origin, change).start().await;
    (origin, sidecar)
}

fn before(origin: &Origin, change: impl FnOnce(&mut Settings)) -> Builder {
    in_front_of(&origin.url()).rules(RULES).with(change)
}

/// Sends byte after byte until the other side has had enough, and reads what it says.
async fn dribble(connection: &mut Connection, bytes: &[u8]) -> crate::support::client::Answer {
    for byte in bytes.iter().cycle() {
        if !connection.try_write(&[*byte]).await || connection.has_answer(Duration::from_millis(20)).await {
            break;
        }
    }
    connection.read(&get("/")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_must_be_there_in_time_on_each_request_of_a_connection() {
    let (origin, sidecar) = start(|s| s.limits.header_timeout = SHORT).await;
    for kept in [false, true] {
        for stopped in [true, false] {
            let mut connection = sidecar.connect().await;
            if kept {
                assert_eq!(connection.send(&get("/plain")).await.status, 200);
            }
            connection.write_raw(b"GET /secret?token=1 HTTP/1.1\r\nHost: f\r\nX-Slow: ").await;
            let answer = if stopped { connection.read(&get("/")).await } else { dribble(&mut connection, b"y").await };
            assert_refused(&mut connection, &answer, 408, "header_timeout").await;
            let line = sidecar.line("request", answer.header("x-request-id")).await;
            assert_eq!((line["method"].as_str(), line["path"].as_str()), (Some("GET"), Some("/secret")), "as far as it is known: {line}");
        }
    }
    sidecar.until_series(&refused("header_timeout"), 4.0).await;
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_cut_short_is_told_so_and_counted() {
    let (_origin, sidecar) = start(|_| ()).await;
    let mut connection = sidecar.connect().await;
    connection.write_raw(b"GET / HTTP/1.1\r\nHost: f\r\n").await;
    connection.half_close().await;
    let answer = connection.read(&get("/")).await;
    assert_refused(&mut connection, &answer, 400, "header_cut").await;
    sidecar.connect().await.close();
    sidecar.until_series(&refused("header_cut"), 1.0).await;
    sidecar.until_series(r#"edge_sidecar_requests_total{code="400",function="other",outcome="refused"}"#, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_without_a_word() {
    let (_origin, sidecar) = start(|s| s.limits.idle_timeout = SHORT).await;
    let mut fresh = sidecar.connect().await;
    assert!(fresh.is_closed().await);
    let mut kept = sidecar.connect().await;
    for (kind, request) in each("idle") {
        assert_eq!(kept.send(&request).await.status, 200, "{kind}");
    }
    assert!(kept.is_closed().await);
    sidecar.until_series(r#"edge_sidecar_requests_total{code="200",function="plain",outcome="forwarded"}"#, 2.0).await;
    assert_eq!(sidecar.metrics().await["metrics"]["requests"]["total"], 4, "no request, no record");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_must_be_there_in_time_however_it_trickles() {
    let (origin, sidecar) = start(|s| s.limits.body_timeout = SHORT).await;
    let mut all = JoinSet::new();
    for path in ["/plain", "/wa-webhook-core", "/profile"] {
        for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
            for stopped in [true, false] {
                let mut connection = sidecar.connect().await;
                all.spawn(async move {
                    connection.write_raw(format!("POST {path} HTTP/1.1\r\nHost: f\r\n{framing}\r\n\r\n").as_bytes()).await;
                    let answer = if stopped { connection.read(&get("/")).await } else { dribble(&mut connection, b"1\r\nx\r\n").await };
                    assert_refused(&mut connection, &answer, 408, "body_timeout").await;
                });
            }
        }
    }
    all.join_all().await;
    sidecar.until_series(&refused("body_timeout"), 12.0).await;
    assert_eq!(origin.count(), 0);
    sidecar.until_series(r#"edge_sidecar_upstream_connections{upstream="functions",state="in_use"}"#, 0.0).await;
    assert_others_are_served(&sidecar).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_upload_may_go_on_while_it_is_not_a_trickle() {
    let origin = Origin::start(|seen| Reply::ok(seen.message.body.len().to_string())).await;
    let sidecar = before(&origin, |s| s.limits.body_timeout = SHORT).start().await;
    let mut connection = sidecar.connect().await;
    connection.write_raw(b"POST /plain HTTP/1.1\r\nHost: f\r\nContent-Length: 1000000\r\n\r\n").await;
    for _ in 0..10 {
        connection.write_raw(&vec![b'x'; 100_000]).await;
        tokio::time::sleep(SHORT / 3).await; // the pace is what is tested
    }
    assert_eq!(connection.read(&post("/", "")).await.text(), "1000000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_read_its_answer_is_let_go() {
    let origin = Origin::start(|_| Reply::ok(vec![b'x'; 32 << 20])).await;
    let sidecar = before(&origin, |s| s.limits.write_timeout = Duration::from_millis(500)).start().await;
    for (kind, request) in each("unread") {
        let mut connection = sidecar.connect().await;
        connection.write(&request.header("x-request-id", "unread")).await;
        let line = until("the line of it", async || sidecar.lines().into_iter().find(|l| l["request_id"] == "unread")).await;
        assert_eq!((&line["status"], &line["error"]), (&200.into(), &"write_timeout".into()), "{kind}: {line}");
        assert!(!connection.read(&get("/")).await.message.whole, "{kind}");
        sidecar.forget_lines();
    }
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    sidecar.until_series(r#"edge_sidecar_upstream_connections{upstream="functions",state="in_use"}"#, 0.0).await;
    assert_others_are_not_held_up(&sidecar).await;
}

/// A caller that reads gets the whole of it.
async fn assert_others_are_not_held_up(sidecar: &Sidecar) {
    let answer = sidecar.get("/plain").await;
    assert_eq!((answer.status, answer.message.whole, answer.message.body.len()), (200, true, 32 << 20));
}
