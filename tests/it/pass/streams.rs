//! Answers that come piece by piece, and those that break off.

use crate::support::client::{Request, get, post};
use crate::support::origin::{Gate, Origin, Reply, Step};
use crate::support::routes::{RULES, each, message};
use crate::support::sidecar::in_front_of;

fn event(n: usize) -> Vec<u8> {
    format!("data: {n}\n\n").into_bytes()
}

/// Three events, each behind a gate of its own; the head comes at once.
fn events(gates: &[Gate; 3], chunked: bool) -> Reply {
    let framing = if chunked { "Transfer-Encoding: chunked\r\n" } else { "" };
    let mut reply = Reply::raw(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n"));
    for (n, gate) in gates.iter().enumerate() {
        let event = event(n);
        let piece = if chunked { [format!("{:x}\r\n", event.len()).as_bytes(), &event, b"\r\n"].concat() } else { event };
        reply = reply.then(Step::Wait(gate.clone())).then(Step::Write(piece));
    }
    if chunked { reply.then(Step::Write(b"0\r\n\r\n".to_vec())) } else { reply.then(Step::Close) }
}

fn stream_requests() -> [(&'static str, Request); 4] {
    let accept = |request: Request| request.header("accept", "text/event-stream").header("accept-encoding", "gzip, br");
    [
        ("plain GET", accept(get("/stream/a"))),
        ("plain POST", accept(post("/stream/a", r#"{"prompt":"hi"}"#))),
        ("cached GET", accept(get("/profile/stream"))),
        ("webhook", accept(post("/wa-webhook-core", message("stream")))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_one_by_one_as_the_function_sends_them() {
    for chunked in [true, false] {
        for (kind, request) in stream_requests() {
            let gates: [Gate; 3] = std::array::from_fn(|_| Gate::new());
            let scripted = gates.clone();
            let origin = Origin::start(move |_| events(&scripted, chunked)).await;
            let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
            let mut connection = sidecar.connect().await;
            connection.write(&request).await;
            let answer = connection.read_head().await;
            assert_eq!(
                (answer.status, answer.header("content-type"), answer.has("content-encoding")),
                (200, "text/event-stream", false),
                "{kind}"
            );
            for (n, gate) in gates.iter().enumerate() {
                gate.open();
                assert_eq!(connection.read_chunk().await, Some(event(n)), "{kind}, chunked {chunked}");
            }
            assert_eq!(connection.read_chunk().await, Some(Vec::new()), "{kind}: its end is seen");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_on_a_cached_route_is_nobody_elses() {
    let gates: [Gate; 3] = std::array::from_fn(|_| Gate::new());
    let scripted = gates.clone();
    let origin = Origin::start(move |_| events(&scripted, true)).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    let [mut first, mut second] = [sidecar.connect().await, sidecar.connect().await];
    for connection in [&mut first, &mut second] {
        connection.write(&get("/profile/stream")).await;
        assert_eq!(connection.read_head().await.status, 200, "the second does not wait for the end of the first");
    }
    gates.iter().for_each(Gate::open);
    for connection in [&mut first, &mut second] {
        for n in 0..3 {
            assert_eq!(connection.read_chunk().await, Some(event(n)));
        }
    }
    let third = sidecar.get("/profile/stream").await;
    assert_ne!(third.header("x-cache"), "HIT");
    assert_eq!(origin.count(), 3, "nothing was kept");
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ok\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_carries_bytes_both_ways_after_a_pause() {
    // after the switch the origin still reads heads and the client chunks: bytes like any others to the sidecar
    let origin = Origin::start(|seen| Reply::raw(if seen.method() == "GET" { SWITCHED } else { "4\r\npong\r\n" })).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for target in ["/plain/socket", "/profile/socket"] {
        let mut connection = sidecar.connect().await;
        let upgrade = get(target).header("Connection", "keep-alive, Upgrade").header("Upgrade", "websocket");
        connection.write(&upgrade.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").header("Sec-WebSocket-Version", "13")).await;
        let switched = connection.read_head().await;
        assert_eq!(
            (switched.status, switched.header("upgrade"), switched.header("sec-websocket-accept")),
            (101, "websocket", "ok"),
            "{target}"
        );
        let seen = origin.seen().pop().expect("it was asked");
        assert_eq!((seen.header("upgrade"), seen.header("sec-websocket-version")), ("websocket", "13"), "{target}");
        assert!(seen.header("connection").to_ascii_lowercase().contains("upgrade"), "{target}");
        for _ in 0..2 {
            sidecar.metrics().await; // the pause
            connection.write_raw(b"PING / HTTP/1.1\r\n\r\n").await;
            assert_eq!(connection.read_chunk().await, Some(b"pong".to_vec()), "{target}");
        }
        connection.close();
        sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
        sidecar.until_series(r#"edge_sidecar_upstream_connections{upstream="functions",state="in_use"}"#, 0.0).await;
    }
    assert_eq!(origin.count(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_seen_as_broken() {
    let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n";
    let replies = [
        Reply::ok("x".repeat(1000)).cut(10),
        Reply::raw(whole).cut(5),
        Reply::raw(whole).cut(7),
        Reply::ok("x".repeat(100_000)).cut(1).then(Step::Reset),
    ];
    for (n, reply) in replies.into_iter().enumerate() {
        let origin = Origin::start(move |_| reply.clone()).await;
        let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
        for round in 0..2 {
            // a webhook whose 200 came is accepted at its head, whatever becomes of the body: its copy would be a duplicate
            for (kind, request) in each(&format!("cut{n}")).into_iter().filter(|(kind, _)| round == 0 || *kind != "webhook") {
                let answer = sidecar.send(request.header("x-request-id", &format!("r{round}-{}", kind.replace(' ', "-")))).await;
                assert_eq!((answer.status, answer.message.whole), (200, false), "{kind}, reply {n}");
                assert_ne!(answer.header("x-cache"), "HIT");
                let line = sidecar.line("request", answer.header("x-request-id")).await;
                assert_eq!(line["error"], "response_cut", "{kind}, reply {n}: {line}");
            }
        }
    }
}
