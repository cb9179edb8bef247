//! Heads and bodies that two readers could frame in two ways, and those that only look odd.

use super::{assert_others_are_served, assert_refused, raw, refused};
use crate::support::client::{get, post};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::routes::{RULES, each};
use crate::support::sidecar::in_front_of;

/// What is refused: the head without its last empty line, status, code.
const REFUSED: [(&str, u16, &str); 20] = [
    ("GET  /x HTTP/1.1\r\nHost: f\r\n", 400, "bad_request_line"),
    ("\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03\r\n", 400, "bad_request_line"),
    ("GET /a b HTTP/1.1\r\nHost: f\r\n", 400, "bad_version"),
    ("PRI * HTTP/2.0\r\n", 400, "bad_version"),
    ("CONNECT f:443 HTTP/1.1\r\nHost: f\r\n", 405, "method_not_allowed"),
    ("TRACE / HTTP/1.1\r\nHost: f\r\n", 405, "method_not_allowed"),
    ("GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n", 400, "bad_target"),
    ("GET /a%0d%0aX:y HTTP/1.1\r\nHost: f\r\n", 400, "bad_target"),
    ("GET / HTTP/1.1\r\nHost: f\n", 400, "bad_line_ending"),
    ("GET / HTTP/1.1\r\nHost : f\r\n", 400, "bad_field_name"),
    ("GET / HTTP/1.1\r\nHost: f\r\nX: a\r\n b\r\n", 400, "bad_field_name"),
    ("GET / HTTP/1.1\r\nHost: f\r\nX: a\0\r\n", 400, "bad_field_value"),
    ("GET / HTTP/1.1\r\n", 400, "bad_host"),
    ("GET / HTTP/1.1\r\nHost: f\r\nHost: g\r\n", 400, "bad_host"),
    ("GET / HTTP/1.1\r\nHost: f/x\r\n", 400, "bad_host"),
    ("POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 5\r\nContent-Length: 5\r\n", 400, "bad_content_length"),
    ("POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 5, 5\r\n", 400, "bad_content_length"),
    ("POST / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400, "bad_transfer_encoding"),
    ("POST / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: gzip, chunked\r\n", 400, "bad_transfer_encoding"),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", 400, "bad_transfer_encoding"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ambiguous_is_refused_counted_and_logged_and_the_function_never_sees_it() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for (head, status, code) in REFUSED {
        let before = sidecar.series(&refused(code)).await;
        // what follows would be a request of its own to whoever reads the head in another way
        let bytes = format!("{head}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: f\r\n\r\n");
        let (mut connection, answer) = raw(&sidecar, bytes.as_bytes()).await;
        assert_refused(&mut connection, &answer, status, code).await;
        assert_eq!(answer.has("allow"), status == 405, "{code}");
        sidecar.until_series(&refused(code), before + 1.0).await;
        let line = sidecar.line("request", answer.header("x-request-id")).await;
        assert_eq!((&line["outcome"], &line["error"], &line["status"]), (&"refused".into(), &code.into(), &status.into()), "{line}");
        assert!(!line["path"].as_str().unwrap_or_default().contains("smuggled"), "{line}");
    }
    assert_eq!(origin.count(), 0);
    assert_others_are_served(&sidecar).await;
    sidecar.until_series(r#"edge_sidecar_requests_total{code="405",function="other",outcome="refused"}"#, 2.0).await;
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics["metrics"]["requests"]["byOutcome"]["refused"], REFUSED.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_a_connection_is_judged() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for (kind, request) in each("kept") {
        let mut connection = sidecar.connect().await;
        assert_eq!(connection.send(&request).await.status, 200, "{kind}");
        connection.write_raw(b"POST / HTTP/1.1\r\nHost: f\r\nContent-Length: +1\r\n\r\n").await;
        let answer = connection.read(&get("/")).await;
        assert_refused(&mut connection, &answer, 400, "bad_content_length").await;
    }
    assert_eq!(origin.count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_any_pieces_arrive_whole_on_one_connection() {
    let origin = Origin::start(|seen| Reply::ok(&seen.message.body)).await;
    let sidecar = in_front_of(&origin.url()).start().await;
    let mut connection = sidecar.connect().await;
    let request =
        b"\r\nPOST /a?b=%20 HTTP/1.1\r\nhost:f\r\nX-Empty:\r\nX-Tab:\ta\tb \r\nX-Byte: \xe9\r\nContent-Length: 11\r\n\r\nhello world";
    for size in [1, 2, 7, 50, request.len()] {
        for piece in request.chunks(size) {
            connection.write_raw(piece).await;
        }
        let answer = connection.read(&get("/")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello world"), "pieces of {size}");
    }
    let seen = origin.seen().pop().expect("it was asked");
    assert_eq!((seen.target(), seen.header("x-tab"), seen.header("x-empty")), ("/a?b=%20", "a\tb", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_only_where_its_end_is_certain() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for (kind, request) in each("end") {
        let chunked = kind != "plain GET" && kind != "cached GET";
        let mut connection = sidecar.connect().await;
        assert_eq!(connection.send(&request).await.header("connection"), "keep-alive", "{kind}");
        let request = if chunked { request.chunked() } else { request.header("Upgrade", "h2c").header("Connection", "Upgrade") };
        let answer = connection.send(&request).await;
        assert_eq!((answer.status, answer.header("connection")), (200, "close"), "{kind}");
        assert!(connection.is_closed().await, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_a_request_are_not_taken_for_another() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: f\r\n\r\n";
    let heads = ["GET /profile HTTP/1.1\r\nHost: f\r\n\r\n", "POST /wa-webhook-core HTTP/1.1\r\nHost: f\r\nContent-Length: 2\r\n\r\n{}"];
    // a chunk size without a digit is 0 to the reader of bodies, and what follows no body any more
    let chunks = ["0\r\n\r\n", "\r\n\r\n", ";\r\n\r\n", " \r\n\r\n"].map(|end| {
        ["plain", "wa-webhook-core"].map(|path| format!("POST /{path} HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n{end}"))
    });
    for request in heads.iter().map(|h| (*h).to_owned()).chain(chunks.into_iter().flatten()) {
        let (mut connection, answer) = raw(&sidecar, format!("{request}{smuggled}").as_bytes()).await;
        assert!([200, 400].contains(&answer.status), "{request}: {}", answer.status);
        assert_eq!(answer.header("connection"), "close", "{request}");
        assert!(connection.is_closed().await, "{request}");
    }
    assert!(origin.seen().iter().all(|seen| seen.target() != "/smuggled"));
    assert_others_are_served(&sidecar).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_only_look_like_fields_of_framing_go_no_further() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    let names =
        ["Content_Length", "Transfer_Encoding", "X_Forwarded_For", "x_forwarded-proto", "X_WA_Internal_Forward", "Proxy_Connection"];
    for (kind, request) in each("underscores") {
        let request = names.iter().fold(request.header("X_Tenant", "kept"), |r, name| r.header(name, "7"));
        assert_eq!(sidecar.send(request).await.status, 200, "{kind}");
        let seen = origin.seen().pop().expect("it was asked");
        for name in names {
            assert_eq!(seen.header(name), "", "{kind} {name}");
        }
        assert_eq!(seen.header("x_tenant"), if kind == "cached GET" { seen.header("x_tenant") } else { "kept" }, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_is_read_no_further_than_little_and_its_caller_learns_why() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |seen| if seen.target() == "/held" { Reply::ok("").behind(&held) } else { Reply::ok("") }).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(|s| (s.limits.in_flight, s.limits.body) = (1, 1 << 20)).start().await;
    let too_large = post("/wa-webhook-core", vec![b' '; 3 << 20]);
    let mut connection = sidecar.connect().await;
    let answer = connection.send(&too_large).await;
    assert_refused(&mut connection, &answer, 413, "body_too_large").await;
    sidecar.until_series(&refused("body_too_large"), 1.0).await;

    let mut flight = sidecar.connect().await;
    flight.write(&get("/held")).await;
    origin.until(1).await;
    let mut connection = sidecar.connect().await;
    for _ in 0..2 {
        // little is read, and the connection goes on
        let answer = connection.send(&post("/plain", "x".repeat(1000))).await;
        assert_eq!((answer.status, &answer.json()["error"], answer.header("connection")), (503, &"in_flight".into(), "keep-alive"));
        assert_eq!(answer.header("retry-after"), "1");
    }
    let answer = connection.send(&post("/plain", vec![b'x'; 3 << 20])).await;
    assert_refused(&mut connection, &answer, 503, "in_flight").await;
    // who waits for our word before it sends its body is not waited for
    let mut connection = sidecar.connect().await;
    connection.write_raw(b"POST /plain HTTP/1.1\r\nHost: f\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    let answer = connection.read(&get("/")).await;
    assert_refused(&mut connection, &answer, 503, "in_flight").await;
    gate.open();
    assert_eq!(flight.read(&get("/")).await.status, 200);
}
