//! Pass-through: what no rule claims, and what must hold on every kind of route: targets, bodies, statuses, versions.

mod heads;
mod streams;

use crate::support::client::{Connection, get, post, request};
use crate::support::origin::{Origin, Reply, Step};
use crate::support::routes::{RULES, each};
use crate::support::sha256;
use crate::support::sidecar::in_front_of;
use crate::support::wire::Buffer;

/// Spellings of a path, all different resources for a function that looks closely.
const TARGETS: [&str; 19] = [
    "/a%2Fb",
    "/a%2fb",
    "/a/b",
    "/a;b=1",
    "/a+b",
    "/a%20b",
    "/a?",
    "//a",
    "/./a",
    "/x/../a",
    "/%61",
    "/%7Ea",
    "/~a",
    "/%252F",
    "/%E2%82%AC",
    "/%e2%82%ac",
    "/a%3Fb%23c",
    "/@:$&'()*,=!",
    "/",
];

/// Spellings of a query, none of which may answer for another.
const QUERIES: [&str; 18] = [
    "",
    "?",
    "?a",
    "?a=",
    "?a=1",
    "?a=1+2",
    "?a=1%202",
    "?a=1%2B2",
    "?a=1%2b2",
    "?a=1&a=2",
    "?a=2&a=1",
    "?a=1&",
    "?&a=1",
    "?a=1;b=2",
    "?a=b?c",
    "?a=%E2%82%AC",
    "?phone=eq.+250788000000&order=id.desc",
    "?a[]=1&b={x}",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_target_arrives_byte_for_byte() {
    let origin = Origin::start(|seen| Reply::ok(seen.target())).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for (method, function) in [("GET", "/plain"), ("GET", "/profile"), ("POST", "/wa-webhook-core"), ("DELETE", "/functions/v1/plain")] {
        for spelling in TARGETS {
            let target = format!("{function}{spelling}");
            // a caller of its own for each, or the cache would (rightly) answer `%2f` with what it keeps for `%2F`
            let request = request(method, &target).header("content-length", "0").header("authorization", &target);
            assert_eq!(sidecar.send(request).await.text(), target, "{method}");
        }
    }
    assert_eq!(origin.count(), 4 * TARGETS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_arrives_as_written_and_has_its_own_entry() {
    let origin = Origin::start(|seen| Reply::ok(seen.target())).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for (route, mark) in [("/plain/x", ["", ""]), ("/profile/x", ["MISS", "HIT"])] {
        for (round, mark) in mark.into_iter().enumerate() {
            for query in QUERIES {
                let target = format!("{route}{query}");
                let answer = sidecar.get(&target).await;
                assert_eq!((answer.text(), answer.header("x-cache")), (target, mark), "round {round}");
            }
        }
    }
    assert_eq!(origin.count(), 3 * QUERIES.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_goes_to_the_function_each_time_and_comes_back_untouched() {
    let allow = [
        ("Access-Control-Allow-Origin", "https://app.test"),
        ("Access-Control-Allow-Headers", "authorization, apikey"),
        ("Vary", "Origin"),
    ];
    let origin = Origin::start(move |_| Reply::new(204, &allow, "")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    let asked = [
        ("Origin", "https://app.test"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization, apikey"),
    ];
    for target in ["/plain", "/profile", "/wa-webhook-core"] {
        for _ in 0..2 {
            let preflight = asked.iter().fold(request("OPTIONS", target), |r, (name, value)| r.header(name, value));
            let answer = sidecar.send(preflight).await;
            assert_eq!(answer.status, 204, "{target}");
            for (name, value) in allow {
                assert_eq!(answer.header(name), value, "{target}");
            }
            let seen = origin.seen().pop().expect("it was asked");
            assert_eq!((seen.method(), seen.target()), ("OPTIONS", target));
            for (name, value) in asked {
                assert_eq!(seen.header(name), value, "{target}");
            }
        }
    }
    assert_eq!(origin.count(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_above_every_limit_of_memory_is_streamed() {
    let origin = Origin::start(|seen| Reply::ok(sha256(&seen.message.body))).await;
    let small = |s: &mut edge_sidecar::config::Sidecar| (s.limits.body, s.memory.bodies) = (1024, 1024);
    let sidecar = in_front_of(&origin.url()).with(small).start().await;
    let body: Vec<u8> = (0..9_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let upload = post("/ocr-documents", body.clone());
    for upload in [upload.clone(), upload.clone().chunked(), upload.clone().expecting(), upload.chunked().expecting()] {
        let answer = sidecar.send(upload).await;
        assert_eq!((answer.status, answer.text()), (200, sha256(&body)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_pass_as_they_are_and_the_connection_stays_in_step() {
    let origin = Origin::start(|seen| match seen.header("want").parse().expect("a status") {
        200 if seen.method() == "HEAD" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        status => Reply::new(status, &[("X-Kept", "yes")], if matches!(status, 204 | 304) { "" } else { "said" }),
    })
    .await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for status in [200_u16, 201, 204, 301, 304, 400, 401, 404, 409, 429, 500, 503, 504, 546] {
        let mut connection = sidecar.connect().await;
        for (kind, request) in each(&format!("s{status}")) {
            // the sidecar asks without conditions: a 304 answers nobody's question (cache.md 6)
            if (kind, status) == ("cached GET", 304) {
                assert_eq!(sidecar.send(request.header("want", "304")).await.status, 502);
                continue;
            }
            let answer = connection.send(&request.header("want", &status.to_string())).await;
            let body = if matches!(status, 204 | 304) { "" } else { "said" };
            assert_eq!((answer.status, answer.text().as_str(), answer.header("x-kept")), (status, body, "yes"), "{kind}");
            assert!(answer.message.whole, "{kind} {status}");
        }
        for target in ["/plain/head", "/profile/head"] {
            let answer = connection.send(&request("HEAD", target).header("want", "200")).await;
            assert_eq!((answer.status, answer.header("content-length")), (200, "1234"), "{target}");
        }
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_gets_no_chunks_and_a_whole_body() {
    let origin = Origin::start(|_| Reply::raw(CHUNKED)).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for (kind, request) in each("old") {
        let answer = sidecar.send(request.http10()).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "onetwo"), "{kind}");
        assert!(!answer.has("transfer-encoding"), "{kind}");
    }
    let mut connection = sidecar.connect().await;
    for _ in 0..2 {
        let answer = connection.send(&get("/profile/old").http10().header("connection", "keep-alive")).await;
        assert_eq!((answer.text().as_str(), answer.header("x-cache"), answer.header("content-length")), ("onetwo", "HIT", "6"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn early_hints_do_not_hang_nor_merge_nor_stay() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::start(move |_| Reply::raw(hints)).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for (kind, request) in each("hints") {
        let answer = sidecar.send(request).await;
        assert_eq!((answer.status, answer.text().as_str(), answer.has("link")), (200, "ok", false), "{kind}");
    }
    let answer = sidecar.get("/profile/hints").await;
    assert_eq!((answer.header("x-cache"), answer.has("link")), ("HIT", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_gets_no_early_hints() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::start(move |_| Reply::raw(hints)).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for target in ["/plain", "/profile"] {
        let mut stream = tokio::net::TcpStream::connect(sidecar.address).await.expect("it listens");
        let head = format!("GET {target} HTTP/1.0\r\nHost: a\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.expect("taken");
        let first = Buffer::default().head(&mut stream).await.expect("readable").expect("a head");
        assert_eq!(first.start.1, "200", "{target}: 1xx is unknown to HTTP/1.0 (RFC 9110 15.2)");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_closes_does_not_close_its_callers_connection() {
    let origin = Origin::start(|_| Reply::new(200, &[("Connection", "close")], "bye").then(Step::Close)).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    let mut connection = sidecar.connect().await;
    for (kind, request) in each("close") {
        let answer = connection.send(&request).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "bye"), "{kind}");
        assert_ne!(answer.header("connection"), "close", "{kind}");
    }
    sidecar.until_series(r#"edge_sidecar_upstream_connections{upstream="functions",state="in_use"}"#, 0.0).await;
    let pool = &sidecar.metrics().await["clientPool"]["functions"];
    assert_eq!((&pool["size"], &pool["created"], &pool["reused"]), (&0.into(), &4.into(), &0.into()), "{pool}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_with_its_connection_arrives_whole() {
    let origin = Origin::start(|_| Reply::raw("HTTP/1.1 200 OK\r\n\r\nall of it").then(Step::Close)).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    let mut connection = Connection::open(sidecar.address).await;
    for (kind, request) in each("framed") {
        let answer = connection.send(&request).await;
        assert_eq!(
            (answer.text().as_str(), answer.header("transfer-encoding"), answer.message.whole),
            ("all of it", "chunked", true),
            "{kind}"
        );
    }
}
