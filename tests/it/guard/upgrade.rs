//! Switching protocols: WebSocket where the listener allows it, and nothing else.

use std::time::Duration;

use edge_sidecar::proxy::drain::Stop;

use super::raw;
use crate::support::client::{Connection, Request, get, request};
use crate::support::origin::{Gate, Origin, Reply, Step};
use crate::support::routes::RULES;
use crate::support::sidecar::{Sidecar, in_front_of};

const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, X-Hop\r\nUpgrade: websocket\r\nX-Hop: 1\r\nSec-WebSocket-Accept: ok\r\n\r\n";

fn handshake(target: &str) -> Request {
    let asked = get(target).header("Connection", "Upgrade").header("Upgrade", "websocket");
    asked.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").header("Sec-WebSocket-Version", "13")
}

/// After the switch the origin still reads heads, and answers chunks: bytes like any others to the sidecar.
async fn chat(change: impl FnOnce(&mut edge_sidecar::config::Sidecar)) -> (Origin, Sidecar) {
    let origin = Origin::start(|seen| match (seen.method(), seen.header("upgrade")) {
        ("GET", "websocket") => Reply::raw(SWITCHED),
        ("PING", _) => Reply::raw("4\r\npong\r\n"),
        _ => Reply::ok("plain"),
    })
    .await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(change).start().await;
    (origin, sidecar)
}

async fn ping(connection: &mut Connection) {
    connection.write_raw(b"PING / HTTP/1.1\r\n\r\n").await;
    assert_eq!(connection.read_chunk().await, Some(b"pong".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_outlives_every_time_limit_of_requests_and_is_counted() {
    let short = Duration::from_millis(100);
    let (_origin, sidecar) = chat(|s| {
        (s.limits.body_timeout, s.limits.idle_timeout, s.limits.header_timeout) = (short, short, short);
        (s.upstreams[0].first_byte, s.upstreams[0].between_bytes) = (short, short);
    })
    .await;
    let mut connection = sidecar.connect().await;
    connection.write(&handshake("/plain/socket").header("x-request-id", "socket")).await;
    let switched = connection.read_head().await;
    assert_eq!((switched.status, switched.header("x-request-id"), switched.has("x-hop")), (101, "socket", false));
    ping(&mut connection).await;
    tokio::time::sleep(short * 4).await; // silence is what is tested
    ping(&mut connection).await;
    assert_eq!(sidecar.metrics().await["clientPool"]["functions"]["inUse"], 1);
    connection.close();
    let line = sidecar.line("request", "socket").await;
    assert_eq!((&line["status"], &line["outcome"]), (&101.into(), &"forwarded".into()), "{line}");
    assert_eq!((&line["bytes_in"], &line["bytes_out"], &line["slow"]), (&38.into(), &18.into(), &false.into()), "{line}");
    assert!(line["duration_ms"].as_f64() >= Some(400.0), "{line}");
    sidecar.until_series(r#"edge_sidecar_requests_total{code="101",function="other",outcome="forwarded"}"#, 1.0).await;
    sidecar.until_series(r#"edge_sidecar_upstream_connections{upstream="functions",state="in_use"}"#, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_switched_is_a_request_like_any_other() {
    let upgrade = |r: Request, protocol: &str| r.header("Connection", "Upgrade, HTTP2-Settings").header("Upgrade", protocol);
    let cases = [
        (true, upgrade(get("/plain"), "h2c").header("HTTP2-Settings", "AAMAAABkAAQAAP__")),
        (true, upgrade(get("/plain"), "websocket, h2c")),
        (true, upgrade(get("/plain"), "foo")),
        (true, upgrade(request("POST", "/plain"), "websocket").header("content-length", "0")),
        (true, upgrade(get("/plain").http10(), "websocket")),
        (true, get("/plain").header("Upgrade", "websocket")),
        (false, handshake("/plain")),
        (false, handshake("/profile")),
    ];
    for (n, (allowed, asked)) in cases.into_iter().enumerate() {
        let (origin, sidecar) = chat(|s| s.listeners[0].websocket = allowed).await;
        let mut connection = sidecar.connect().await;
        let answer = connection.send(&asked).await;
        assert_eq!((answer.status, answer.text().as_str(), answer.header("connection")), (200, "plain", "close"), "case {n}");
        assert!(connection.is_closed().await, "case {n}");
        let seen = origin.seen().pop().expect("it was asked");
        assert_eq!((seen.header("upgrade"), seen.header("http2-settings")), ("", ""), "case {n}");
        assert!(!seen.header("connection").to_ascii_lowercase().contains("upgrade"), "case {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_never_answered_by_the_cache_nor_kept_in_it() {
    let (origin, sidecar) = chat(|_| ()).await;
    for mark in ["MISS", "HIT"] {
        assert_eq!(sidecar.get("/profile/socket").await.header("x-cache"), mark);
    }
    let mut connection = sidecar.connect().await;
    connection.write(&handshake("/profile/socket")).await;
    let switched = connection.read_head().await;
    assert_eq!((switched.status, switched.header("x-cache")), (101, "BYPASS"));
    ping(&mut connection).await;
    assert_eq!(sidecar.get("/profile/socket").await.header("x-cache"), "HIT");
    assert_eq!(origin.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_declined_or_fails_is_answered_and_ends_the_connection() {
    let declined = [
        (Reply::new(426, &[("X-Kept", "yes")], "no"), 426),
        (Reply::ok("plain"), 200),
        (Reply::raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n"), 502),
        (Reply::raw("HTTP/1.1 101 Switching Protocols\r\n\r\n"), 502),
        (Reply::raw("nonsense\r\n\r\n"), 502),
        (Reply::empty().then(Step::Close), 502),
    ];
    for (n, (reply, status)) in declined.into_iter().enumerate() {
        let origin = Origin::start(move |seen| if seen.target() == "/victim" { Reply::ok("") } else { reply.clone() }).await;
        let sidecar = in_front_of(&origin.url()).start().await;
        let mut connection = sidecar.connect().await;
        let answer = connection.send(&handshake("/plain")).await;
        assert_eq!((answer.status, answer.header("connection")), (status, "close"), "case {n}");
        // bytes meant for the other protocol are not taken for a request (RFC 9931)
        let _ = connection.try_write(b"GET /smuggled HTTP/1.1\r\nHost: f\r\n\r\n").await;
        assert!(connection.is_closed().await, "case {n}");
        super::assert_others_are_served(&sidecar).await;
        assert!(origin.seen().iter().all(|seen| seen.target() != "/smuggled"), "case {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_ahead_of_an_agreement_are_no_request_and_no_conversation() {
    let (origin, sidecar) = chat(|_| ()).await;
    let head = "GET /plain HTTP/1.1\r\nHost: f\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
    let (mut connection, answer) = raw(&sidecar, format!("{head}GET /smuggled HTTP/1.1\r\nHost: f\r\n\r\n").as_bytes()).await;
    assert_eq!((answer.status, answer.text().as_str(), answer.header("connection")), (200, "plain", "close"));
    assert!(connection.is_closed().await);
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn much_both_ways_at_once_is_carried_whole() {
    const MUCH: usize = 8 << 20;
    let origin = Origin::start(|seen| match seen.method() {
        // as early as can be: the first bytes come with the head
        "GET" => Reply::raw([SWITCHED.as_bytes(), format!("{MUCH:x}\r\n").as_bytes(), &vec![b'y'; MUCH], b"\r\n"].concat()),
        _ => Reply::raw(format!("1\r\n{}\r\n", u8::from(seen.message.body.len() == MUCH))),
    })
    .await;
    let sidecar = in_front_of(&origin.url()).start().await;
    let mut connection = sidecar.connect().await;
    connection.write(&handshake("/plain")).await;
    assert_eq!(connection.read_head().await.status, 101);
    connection.write_raw(format!("PUT / HTTP/1.1\r\nContent-Length: {MUCH}\r\n\r\n").as_bytes()).await;
    let read = connection.write_and_read_chunk(&vec![b'x'; MUCH]).await;
    assert_eq!(read.map(|chunk| chunk.len()), Some(MUCH));
    assert_eq!(connection.read_chunk().await, Some(b"1".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_ends_with_either_side_and_at_the_drains_limit() {
    for by_drain in [false, true] {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |_| Reply::raw(SWITCHED).then(Step::Wait(held.clone())).then(Step::Close)).await;
        let sidecar = in_front_of(&origin.url()).with(|s| s.drain.timeout = Duration::from_millis(300)).start().await;
        let mut connection = sidecar.connect().await;
        connection.write(&handshake("/plain")).await;
        assert_eq!(connection.read_head().await.status, 101);
        if by_drain {
            sidecar.stop(Stop::Announced).await;
        } else {
            gate.open();
        }
        assert!(connection.is_closed().await, "by the drain {by_drain}, else by the function");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_stops_reading_is_let_go() {
    let origin = Origin::start(|_| Reply::raw([SWITCHED.as_bytes(), &vec![b'y'; 32 << 20]].concat())).await;
    let sidecar = in_front_of(&origin.url()).with(|s| s.limits.write_timeout = Duration::from_millis(500)).start().await;
    let mut connection = sidecar.connect().await;
    connection.write(&handshake("/plain").header("x-request-id", "stuck")).await;
    assert_eq!(connection.read_head().await.status, 101);
    assert_eq!(sidecar.line("request", "stuck").await["status"], 101);
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    sidecar.until_series(r#"edge_sidecar_upstream_connections{upstream="functions",state="in_use"}"#, 0.0).await;
}
