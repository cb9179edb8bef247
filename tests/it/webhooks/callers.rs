//! Senders that leave: what the function was given, it finishes; what it was not given whole, it never sees.

use super::{CORE, assert_repeat, begin, end, in_turn, message, requests, sidecar, verdict, webhook};
use crate::support::client::{Connection, post};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::Sidecar;

type Leave = fn(Connection);

/// Ways to leave that send nothing more.
const LEAVINGS: [(&str, Leave); 2] = [("FIN", Connection::close), ("RST", Connection::reset)];

async fn until_seen_off(sidecar: &Sidecar, id: &str) {
    let line = sidecar.line("request", id).await;
    assert!(line["error"] == "caller_gone" || line["status"] == 200, "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_leaves_while_the_function_works_loses_nothing() {
    for (kind, leave) in LEAVINGS {
        let gate = Gate::new();
        let origin = Origin::start(in_turn(vec![Reply::ok("done").behind(&gate)])).await;
        let sidecar = sidecar(&origin).await;
        let mut first = sidecar.connect().await;
        first.write(&webhook(message("wamid.a")).header("X-Request-Id", "first")).await;
        origin.until(1).await;
        leave(first);
        gate.open();
        until_seen_off(&sidecar, "first").await;
        assert_repeat(&sidecar.send(webhook(message("wamid.a"))).await, "DUPLICATE");
        sidecar.until_series(r#"edge_sidecar_upstream_connections{upstream="functions",state="idle"}"#, 1.0).await;
        assert_eq!(verdict(&sidecar.send(webhook(message("wamid.b"))).await), (200, "NEW"));
        assert_eq!(origin.count(), 2, "{kind}");
        // the function never saw a cut: its connection was read to the end of the answer, and serves the next message
        for (result, n) in [("new", 1.0), ("reused", 1.0)] {
            sidecar.until_series(&format!(r#"edge_sidecar_upstream_connects_total{{upstream="functions",result="{result}"}}"#), n).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_sent_while_the_first_senders_call_still_runs_joins_it() {
    for (kind, leave) in LEAVINGS {
        let gate = Gate::new();
        let origin = Origin::start(in_turn(vec![Reply::ok("done").behind(&gate)])).await;
        let sidecar = sidecar(&origin).await;
        let mut first = sidecar.connect().await;
        first.write(&webhook(message("wamid.a"))).await;
        origin.until(1).await;
        leave(first);
        let second = begin(&sidecar, webhook(message("wamid.a")));
        sidecar.until_series("edge_sidecar_dedup_waiting", 1.0).await;
        gate.open();
        assert_repeat(&end(second).await, "JOINED");
        assert_eq!(origin.count(), 1, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_closes_its_half_still_gets_the_answer() {
    let gate = Gate::new();
    let origin = Origin::start(in_turn(vec![Reply::ok("done").behind(&gate)])).await;
    let sidecar = sidecar(&origin).await;
    let (mut first, request) = (sidecar.connect().await, webhook(message("wamid.a")));
    first.write(&request).await;
    origin.until(1).await;
    first.half_close().await;
    gate.open();
    let answer = first.read(&request).await;
    assert_eq!((verdict(&answer), answer.text().as_str()), ((200, "NEW"), "done"));
    assert_repeat(&sidecar.send(webhook(message("wamid.a"))).await, "DUPLICATE");
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_heard_after_the_sender_left() {
    for (kind, leave) in LEAVINGS {
        let gate = Gate::new();
        let origin = Origin::start(in_turn(vec![Reply::new(500, &[], "failed").behind(&gate)])).await;
        let sidecar = sidecar(&origin).await;
        let mut first = sidecar.connect().await;
        first.write(&webhook(message("wamid.a"))).await;
        origin.until(1).await;
        leave(first);
        gate.open();
        sidecar.until_series(&requests("new"), 1.0).await;
        assert_eq!(verdict(&sidecar.send(webhook(message("wamid.a"))).await), (200, "NEW"), "{kind}");
        assert_eq!(origin.count(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_leaves_within_a_long_answer_was_served_all_the_same() {
    for (kind, leave) in LEAVINGS {
        let origin = Origin::start(in_turn(vec![Reply::ok(vec![b'x'; 8 << 20])])).await;
        let sidecar = sidecar(&origin).await;
        let mut first = sidecar.connect().await;
        first.write(&webhook(message("wamid.a")).header("X-Request-Id", "first")).await;
        assert_eq!(first.read_head().await.status, 200);
        leave(first);
        assert_eq!(sidecar.line("request", "first").await["error"], "caller_gone", "{kind}");
        assert_repeat(&sidecar.send(webhook(message("wamid.a"))).await, "DUPLICATE");
        assert_eq!(verdict(&sidecar.send(webhook(message("wamid.b"))).await), (200, "NEW"));
        assert_eq!(origin.count(), 2, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_sender_left_while_it_waited_still_counts() {
    for (kind, leave) in LEAVINGS {
        let gate = Gate::new();
        let origin = Origin::start(in_turn(vec![Reply::new(500, &[], "failed").behind(&gate)])).await;
        let sidecar = sidecar(&origin).await;
        let first = begin(&sidecar, webhook(message("wamid.a")));
        origin.until(1).await;
        let mut second = sidecar.connect().await;
        second.write(&webhook(message("wamid.a"))).await;
        sidecar.until_series("edge_sidecar_dedup_waiting", 1.0).await;
        leave(second);
        gate.open();
        assert_eq!(end(first).await.status, 500);
        // its body is whole, and nobody promised that another copy comes
        origin.until(2).await;
        sidecar.until_series(&requests("new"), 2.0).await;
        assert_repeat(&sidecar.send(webhook(message("wamid.a"))).await, "DUPLICATE");
        assert_eq!(origin.count(), 2, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_became_whole_is_neither_sent_nor_claimed() {
    let body = message("wamid.a");
    let half = &body[..body.len() / 2];
    let by_length = format!("POST {CORE} HTTP/1.1\r\nHost: f\r\nX-Request-Id: first\r\nContent-Length: {}\r\n\r\n{half}", body.len());
    let head = format!("POST {CORE} HTTP/1.1\r\nHost: f\r\nX-Request-Id: first\r\nTransfer-Encoding: chunked\r\n\r\n");
    let no_last_chunk = format!("{head}{:x}\r\n{body}\r\n", body.len());
    let half_a_chunk = format!("{head}{:x}\r\n{half}", body.len());
    for (kind, leave) in LEAVINGS {
        for sent in [&by_length, &no_last_chunk, &half_a_chunk] {
            let origin = Origin::start(|_| Reply::ok("{}")).await;
            let sidecar = sidecar(&origin).await;
            let mut first = sidecar.connect().await;
            first.write_raw(sent.as_bytes()).await;
            sidecar.until_series("edge_sidecar_requests_in_flight", 1.0).await;
            leave(first);
            let line = sidecar.line("request", "first").await;
            assert_eq!((&line["error"], &line["outcome"]), (&"caller_gone".into(), &"failed".into()), "{kind}: {line}");
            assert_eq!(origin.count(), 0, "{kind}: {sent}");
            assert_eq!(verdict(&sidecar.send(webhook(body.clone())).await), (200, "NEW"), "{kind}");
            assert_eq!(origin.count(), 1);
            sidecar.until_series(r#"edge_sidecar_memory_bytes{kind="bodies"}"#, 0.0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_does_not_read_holds_nobody() {
    let gate = Gate::new();
    let origin = Origin::start(in_turn(vec![Reply::ok(vec![b'x'; 32 << 20]).behind(&gate)])).await;
    let sidecar = sidecar(&origin).await;
    let (mut first, request) = (sidecar.connect().await, post(CORE, message("wamid.a")));
    first.write(&request).await;
    origin.until(1).await;
    let second = begin(&sidecar, webhook(message("wamid.a")));
    sidecar.until_series("edge_sidecar_dedup_waiting", 1.0).await;
    gate.open();
    assert_repeat(&end(second).await, "JOINED");
    let ended = sidecar.lines().into_iter().any(|line| line["event"] == "request" && line["outcome"] == "new");
    assert!(!ended, "the first is still being answered");
    let answer = first.read(&request).await;
    assert_eq!((verdict(&answer), answer.message.body.len(), answer.message.whole), ((200, "NEW"), 32 << 20, true));
}
