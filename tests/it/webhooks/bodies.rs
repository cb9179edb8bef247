//! The function gets the bytes that the sender sent, however they were framed.

use super::{CORE, Change, RULES, message, sidecar, verdict, webhook};
use crate::support::client::{Request, post};
use crate::support::origin::{Origin, Reply};
use crate::support::sha256;
use crate::support::sidecar::in_front_of;

/// A message whose webhook has exactly `bytes` bytes.
fn sized(id: &str, bytes: usize) -> String {
    let missing = bytes - message(id).len();
    message(id).replacen("hi ", &format!("hi {}", "x".repeat(missing)), 1)
}

const FRAMINGS: [(&str, Change); 4] = [
    ("with its length", |r| r),
    ("chunked", Request::chunked),
    ("with its length, expecting", Request::expecting),
    ("chunked, expecting", |r| r.chunked().expecting()),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_size_and_framing_arrives_whole_over_one_connection_where_it_goes_on() {
    let origin = Origin::start(|seen| Reply::ok(sha256(&seen.message.body))).await;
    let sidecar = sidecar(&origin).await;
    let mut connection = sidecar.connect().await;
    for round in 0..4 {
        for size in [332, 100_000, 3_000_000] {
            for (framing, frame) in FRAMINGS {
                let body = sized(&format!("wamid.{round}-{size}-{}", framing.len()), size);
                assert_eq!(body.len(), size);
                let answer = connection.send(&frame(webhook(body.clone()))).await;
                assert_eq!(verdict(&answer), (200, "NEW"), "{size} {framing}: {}", answer.text());
                assert_eq!(answer.text(), sha256(body.as_bytes()), "{size} {framing}");
                let seen = origin.seen().pop().expect("just seen");
                assert_eq!(seen.header("content-length"), size.to_string(), "one length, no chunks: {framing}");
                assert_eq!((seen.header("transfer-encoding"), seen.header("expect")), ("", ""), "{framing}");
                let chunked = framing.contains("chunk");
                assert_eq!(answer.header("connection"), if chunked { "close" } else { "keep-alive" }, "{framing}");
                if chunked {
                    connection = sidecar.connect().await;
                }
            }
        }
    }
    assert_eq!(origin.count(), 48);
    sidecar.until_series(r#"edge_sidecar_memory_bytes{kind="bodies"}"#, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_are_known_whatever_their_framing() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let mut connection = sidecar.connect().await;
    let body = sized("wamid.a", 100_000);
    assert_eq!(verdict(&connection.send(&webhook(body.clone())).await), (200, "NEW"));
    for (framing, frame) in FRAMINGS {
        let answer = sidecar.send(frame(webhook(body.clone()))).await;
        assert_eq!(verdict(&answer), (200, "DUPLICATE"), "{framing}");
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_does_not_wait_for_the_interim_answer_is_served() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let mut connection = sidecar.connect().await;
    for id in ["wamid.a", "wamid.b"] {
        let body = message(id);
        let head = format!("POST {CORE} HTTP/1.1\r\nHost: f\r\nExpect: 100-Continue\r\nContent-Length: {}\r\n\r\n", body.len());
        connection.write_raw((head + &body).as_bytes()).await;
        let answer = connection.read(&post(CORE, "")).await;
        assert_eq!(verdict(&answer), (200, "NEW"), "{id}");
        assert_eq!(origin.seen().pop().expect("just seen").message.body, body.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_pieces_arrives_whole() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let (mut connection, body) = (sidecar.connect().await, message("wamid.a"));
    connection.write_raw(format!("POST {CORE} HTTP/1.1\r\nHost: f\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).await;
    for piece in body.as_bytes().chunks(7) {
        connection.write_raw(piece).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(verdict(&connection.read(&post(CORE, "")).await), (200, "NEW"));
    assert_eq!(origin.seen()[0].message.body, body.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_for_the_function_arrive_and_those_of_the_connection_do_not() {
    let origin = Origin::start(|_| Reply::new(200, &[("X-Answer", "a b"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], "{}")).await;
    let sidecar = sidecar(&origin).await;
    let request = webhook(message("wamid.a"))
        .header("X-Hub-Signature-256", "sha256=00ff")
        .header("User-Agent", "facebookexternalua")
        .header("Keep-Alive", "timeout=5")
        .header("X-Request-Id", "sender-1");
    let answer = sidecar.send(request).await;
    assert_eq!((answer.header("x-answer"), answer.message.all("set-cookie")), ("a b", vec!["a=1", "b=2"]));
    assert!(!answer.has("x-duplicate"));
    let seen = &origin.seen()[0];
    assert_eq!((seen.method(), seen.target(), seen.header("host")), ("POST", CORE, "functions.local"));
    assert_eq!((seen.header("x-hub-signature-256"), seen.header("user-agent")), ("sha256=00ff", "facebookexternalua"));
    assert_eq!((seen.header("x-request-id"), seen.header("x-forwarded-for"), seen.header("keep-alive")), ("sender-1", "127.0.0.1", ""));
    assert!(!seen.header("traceparent").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_it_a_body_is_streamed_and_arrives_whole() {
    let origin = Origin::start(|seen| Reply::ok(sha256(&seen.message.body))).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(|s| s.memory.bodies = 150_000).start().await;
    // one that is still being sent holds most of the room
    let body = sized("wamid.first", 100_000);
    let mut first = sidecar.connect().await;
    first.write_raw(format!("POST {CORE} HTTP/1.1\r\nHost: f\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).await;
    let held = r#"edge_sidecar_memory_bytes{kind="bodies"}"#;
    #[allow(clippy::cast_precision_loss, reason = "100,000 is exact")]
    sidecar.until_series(held, body.len() as f64).await;
    for (n, (framing, frame)) in FRAMINGS.into_iter().enumerate() {
        let body = sized("wamid.second", 100_000);
        let answer = sidecar.send(frame(webhook(body.clone()))).await;
        assert_eq!(verdict(&answer), (200, "SKIPPED; reason=body_budget"), "{framing}");
        assert_eq!(answer.text(), sha256(body.as_bytes()), "{framing}");
        assert_eq!(origin.count(), n + 1, "never answered in the function's place");
    }
    first.write_raw(body.as_bytes()).await;
    assert_eq!(verdict(&first.read(&post(CORE, "")).await), (200, "NEW"));
    sidecar.until_series(held, 0.0).await;
    assert_eq!(verdict(&sidecar.send(webhook(sized("wamid.second", 100_000))).await), (200, "NEW"), "the room is given back");
    let skipped = r#"edge_sidecar_dedup_skipped_total{reason="body_budget",rule="whatsapp"}"#;
    sidecar.until_series(skipped, 4.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_any_size_with_extensions_and_trailers_make_one_body() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let (mut connection, body) = (sidecar.connect().await, message("wamid.a"));
    let mut raw = format!("POST {CORE} HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for piece in body.as_bytes().chunks(13) {
        raw.extend(format!("{:X};a=b\r\n", piece.len()).bytes().chain(piece.iter().copied()).chain(*b"\r\n"));
    }
    raw.extend(*b"0\r\nX-Trailer: t\r\n\r\n");
    connection.write_raw(&raw).await;
    assert_eq!(verdict(&connection.read(&post(CORE, "")).await), (200, "NEW"));
    assert_eq!(origin.seen()[0].message.body, body.as_bytes());
    assert_eq!(verdict(&sidecar.send(webhook(body)).await), (200, "DUPLICATE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_sender_gets_an_answer_it_understands() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndone\r\n0\r\n\r\n";
    let origin = Origin::start(move |_| Reply::raw(chunked)).await;
    let sidecar = sidecar(&origin).await;
    let request = webhook(message("wamid.a")).http10();
    let first = sidecar.send(request.clone()).await;
    assert_eq!((verdict(&first), first.text().as_str(), first.has("transfer-encoding")), ((200, "NEW"), "done", false));
    super::assert_repeat(&sidecar.send(request).await, "DUPLICATE");
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_written_behind_another_is_dropped_in_the_open() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let mut connection = sidecar.connect().await;
    let head = |body: String| format!("POST {CORE} HTTP/1.1\r\nHost: f\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    connection.write_raw([head(message("wamid.a")), head(message("wamid.b"))].concat().as_bytes()).await;
    assert_eq!(verdict(&connection.read(&post(CORE, "")).await), (200, "NEW"));
    assert!(connection.is_closed().await, "the sender is told that nobody read the second");
    assert_eq!(verdict(&sidecar.send(webhook(message("wamid.b"))).await), (200, "NEW"));
    assert_eq!(origin.count(), 2);
}

/// Where a chunk's last line break comes by itself, Pingora's reader tells of a piece without bytes; written on, it would be the last chunk.
#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_body_in_the_smallest_pieces_does_not_end_early() {
    let origin = Origin::start(|seen| Reply::ok(sha256(&seen.message.body))).await;
    // no room: what was read of it and the rest are streamed
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(|s| s.memory.bodies = 16).start().await;
    for round in 0..10 {
        let (target, mark) = if round % 2 == 0 { (CORE, "SKIPPED; reason=body_budget") } else { ("/functions/v1/plain", "") };
        let body = message(&format!("wamid.{round}"));
        let mut raw = format!("POST {target} HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
        for piece in body.as_bytes().chunks(10) {
            raw.extend(format!("{:x}\r\n", piece.len()).bytes().chain(piece.iter().copied()).chain(*b"\r\n"));
        }
        raw.extend(b"0\r\n\r\n");
        let mut caller = sidecar.connect().await;
        for byte in raw {
            caller.write_raw(&[byte]).await;
            tokio::task::yield_now().await;
        }
        let answer = caller.read(&post(target, "")).await;
        assert_eq!(verdict(&answer), (200, mark));
        assert_eq!(answer.text(), sha256(body.as_bytes()), "round {round}: {} of {}", origin.seen()[round].message.body.len(), body.len());
    }
}
