//! What is never stored, whatever the rule says, and what is; variants by `Vary` and by what an answer shows.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::cached::{PUBLIC, STORED, numbered, still, told};
use crate::support::client::{Request, get};
use crate::support::origin::{Origin, Reply, Step};
use crate::support::sidecar::in_front_of;

/// Status and field of an answer, and why it is not stored.
const REFUSED: [(u16, &str, &str, &str); 26] = [
    (200, "Set-Cookie", "a=b", "set_cookie"),
    (200, "Cache-Control", "private", "private"),
    (200, "Cache-Control", "max-age=60, PRIVATE=\"x-a\"", "private"),
    (200, "Cache-Control", "no-store, max-age=60", "no_store"),
    (200, "Vary", "*", "vary_star"),
    (200, "Vary", "accept, *", "vary_star"),
    (206, "Cache-Control", "max-age=60", "status"),
    (400, "Cache-Control", "max-age=60", "status"),
    (401, "Cache-Control", "max-age=60", "status"),
    (403, "Cache-Control", "max-age=60", "status"),
    (404, "X-Plain", "1", "no_freshness"),
    (405, "X-Plain", "1", "status"),
    (407, "Cache-Control", "max-age=60", "status"),
    (410, "X-Plain", "1", "no_freshness"),
    (413, "Cache-Control", "max-age=60", "status"),
    (416, "Cache-Control", "max-age=60", "status"),
    (429, "Cache-Control", "max-age=60", "status"),
    (431, "Cache-Control", "max-age=60", "status"),
    (302, "Location", "/x", "status"),
    (500, "Cache-Control", "max-age=60", "status"),
    (501, "X-Plain", "1", "status"),
    (502, "Cache-Control", "max-age=60", "status"),
    (503, "Cache-Control", "max-age=60", "status"),
    (504, "Cache-Control", "max-age=60", "status"),
    (546, "Cache-Control", "max-age=60", "status"),
    (599, "Cache-Control", "max-age=60", "status"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_one_callers_or_an_error_is_never_stored() {
    let origin = Origin::start(|seen| {
        let (status, name, value, _) = REFUSED[seen.target()["/config/".len()..].parse::<usize>().expect("a row")];
        Reply::new(status, &[(name, value)], "x")
    })
    .await;
    let sidecar = still(&origin, PUBLIC).await;
    for (row, (status, name, value, reason)) in REFUSED.into_iter().enumerate() {
        let path = format!("/config/{row}");
        let first = sidecar.get(&path).await;
        let detail = format!("fwd=uri-miss; fwd-status={status}; detail={reason}");
        assert_eq!(
            (first.status, told(&first), first.header(name)),
            (status, ("MISS", detail.as_str()), value),
            "{status} {name}: {value}"
        );
        // the pass marker: nobody queues behind an answer that is not for him
        let second = sidecar.get(&path).await;
        assert_eq!((second.status, told(&second)), (status, ("BYPASS", "fwd=bypass; detail=unstorable")), "{status} {name}: {value}");
        assert_eq!((second.text().as_str(), origin.count()), ("x", 2 * (row + 1)));
    }
    for reason in ["set_cookie", "private", "no_store", "vary_star", "status", "no_freshness"] {
        let rows = u32::try_from(REFUSED.iter().filter(|row| row.3 == reason).count()).expect("few");
        let series = format!(r#"edge_sidecar_cache_not_stored_total{{reason="{reason}",rule="config"}}"#);
        sidecar.until_series(&series, (2 * rows).into()).await;
    }
    sidecar.until_series(r#"edge_sidecar_cache_bypass_total{reason="unstorable",rule="config"}"#, 26.0).await;
    assert_eq!(sidecar.metrics().await["cache"]["config"]["size"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_with_a_ttl_are_stored() {
    let rules = r#"
cache:
  include:
    - { name: map, match: { path: "/config/map/*" }, ttl: { 200: 5m, 404: 15s }, scope: public }
    - { name: bare, match: { path: "/config/bare/*" }, ttl: 5m, scope: public }
"#;
    let origin = Origin::start(|seen| {
        let status = seen.target().rsplit('/').next().and_then(|s| s.parse().ok()).expect("a status");
        Reply::new(status, if status == 302 { &[("Cache-Control", "max-age=9")] } else { &[] }, if status == 204 { "" } else { "x" })
    })
    .await;
    let sidecar = still(&origin, rules).await;
    for (path, ttl) in [
        ("map/404", Some(15)),
        ("map/200", Some(300)),
        ("map/204", None),
        ("bare/404", None),
        ("bare/200", Some(300)),
        ("bare/203", Some(300)),
        ("bare/204", Some(300)),
        ("bare/301", Some(300)),
        ("bare/302", Some(9)),
        ("bare/308", Some(300)),
    ] {
        let mut connection = sidecar.connect().await;
        let request = get(&format!("/config/{path}"));
        let (first, second) = (connection.send(&request).await, connection.send(&request).await);
        let expected = ttl.map_or(("BYPASS", "fwd=bypass; detail=unstorable".to_owned()), |ttl| ("HIT", format!("hit; ttl={ttl}")));
        assert_eq!(told(&second), (expected.0, expected.1.as_str()), "{path}");
        assert_eq!((first.status, first.text()), (second.status, second.text()), "{path}");
        assert!(first.status != 204 || !second.has("content-length") && !second.has("transfer-encoding"));
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_body_is_seen_as_cut_and_not_stored() {
    let cut = [format!("{HEAD}Content-Length: 10\r\n\r\nhello"), format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")];
    for (close, text) in [Step::Close, Step::Reset].into_iter().flat_map(|step| cut.clone().map(|text| (step.clone(), text))) {
        let (next, script) = (AtomicUsize::new(0), text.clone());
        let origin = Origin::start(move |_| match next.fetch_add(1, SeqCst) {
            0 => Reply::raw(script.clone()).then(close.clone()),
            _ => Reply::ok("whole"),
        })
        .await;
        let sidecar = still(&origin, PUBLIC).await;
        let broken = sidecar.get("/config").await;
        assert!(!broken.message.whole, "{text}");
        let whole = sidecar.get("/config").await;
        assert_eq!((told(&whole).0, whole.text().as_str(), origin.count()), ("MISS", "whole", 2), "{text}");
        assert_eq!(sidecar.get("/config").await.text(), "whole");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_with_its_connection_arrives_whole_but_is_not_stored() {
    let origin = Origin::start(|_| Reply::raw(format!("{HEAD}Connection: close\r\n\r\nhello")).then(Step::Close)).await;
    let sidecar = still(&origin, PUBLIC).await;
    for (expected, calls) in
        [(("MISS", "fwd=uri-miss; fwd-status=200; detail=incomplete"), 1), (("BYPASS", "fwd=bypass; detail=unstorable"), 2)]
    {
        let answer = sidecar.get("/config").await;
        assert_eq!((told(&answer), answer.text().as_str(), answer.message.whole, origin.count()), (expected, "hello", true, calls));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_max_object_streams_whole_but_is_not_stored() {
    let body = "x".repeat(100_001);
    let (with_length, chunked) =
        (Reply::ok(&body), format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    let origin = Origin::start(move |seen| match seen.target() {
        "/config/length" => with_length.clone(),
        "/config/chunked" => Reply::raw(chunked.clone()),
        _ => Reply::ok("x".repeat(100_000)),
    })
    .await;
    let sidecar = in_front_of(&origin.url()).rules(PUBLIC).with(|s| s.memory.max_object = 100_000).start().await;
    let announced = sidecar.get("/config/length").await;
    assert_eq!((told(&announced).1, announced.message.body.len()), ("fwd=uri-miss; fwd-status=200; detail=too_large", 100_001));
    // found out when the head is gone
    assert_eq!(sidecar.get("/config/chunked").await.message.body.len(), 100_001);
    sidecar.until_series(r#"edge_sidecar_cache_not_stored_total{reason="too_large",rule="config"}"#, 2.0).await;
    assert_eq!(sidecar.get("/config/chunked").await.message.body.len(), 100_001);
    assert_eq!(origin.count(), 3);
    for expected in ["MISS", "HIT"] {
        let fits = sidecar.get("/config/fits").await;
        assert_eq!((told(&fits).0, fits.message.body.len()), (expected, 100_000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_larger_than_the_room_for_bodies_is_streamed() {
    let origin = Origin::start(|_| Reply::ok("x".repeat(50_000))).await;
    let sidecar = in_front_of(&origin.url()).rules(PUBLIC).with(|s| s.memory.bodies = 10_000).start().await;
    for _ in 0..2 {
        assert_eq!(sidecar.get("/config").await.message.body.len(), 50_000);
    }
    assert_eq!(origin.count(), 2);
    sidecar.until_series(r#"edge_sidecar_cache_not_stored_total{reason="fill_budget",rule="config"}"#, 2.0).await;
    assert_eq!(sidecar.metrics().await["memory"]["bodyBytes"], 0);
}

/// Each request is a variant of its own: stored beside the others and told apart.
async fn variants(fields: &'static [(&'static str, &'static str)], requests: Vec<Request>) {
    let origin = numbered(fields).await;
    let sidecar = still(&origin, PUBLIC).await;
    for (i, request) in requests.iter().enumerate() {
        let answer = sidecar.send(request.clone()).await;
        let expected = if i == 0 { STORED } else { ("MISS", "fwd=vary-miss; fwd-status=200; stored") };
        assert_eq!((told(&answer), answer.text()), (expected, i.to_string()), "{fields:?} {request:?}");
    }
    for (i, request) in requests.iter().enumerate() {
        let answer = sidecar.send(request.clone()).await;
        assert_eq!((answer.header("x-cache"), answer.text()), ("HIT", i.to_string()), "{fields:?} {request:?}");
    }
    assert_eq!(origin.count(), requests.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_are_stored_side_by_side_and_told_apart() {
    let with = |name: &'static str, values: &[&str]| {
        let some = values.iter().map(|v| get("/config").header(name, v));
        std::iter::once(get("/config")).chain(some).collect::<Vec<_>>()
    };
    variants(&[("Vary", "Accept-Language")], with("accept-language", &["en", "fr", "fr, en;q=0.5", ""])).await;
    variants(&[("Vary", "accept"), ("Vary", "X-Tenant")], with("x-tenant", &["a", "b", "A"])).await;
    let origins = ["https://a.example", "https://b.example", "null"];
    variants(&[], with("origin", &origins)).await;
    variants(&[("Access-Control-Allow-Origin", "https://a.example")], with("origin", &origins)).await;
    let credentials = [("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Credentials", "true")];
    variants(Box::leak(Box::new(credentials)), with("origin", &origins)).await;
    variants(&[("Content-Encoding", "gzip")], with("accept-encoding", &["gzip", "br", "gzip, br"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_select_does_not_split() {
    type Alike = (&'static [(&'static str, &'static str)], &'static str, [&'static str; 3]);
    let alike: [Alike; 4] = [
        (&[("Access-Control-Allow-Origin", "*")], "origin", ["https://a.example", "https://b.example", "null"]),
        (&[], "accept-encoding", ["gzip", "br", "identity"]),
        (&[("Content-Encoding", "gzip")], "accept-encoding", ["gzip, br", "br;q=0.5 , GZIP", "br,gzip,identity"]),
        (&[("Vary", "Accept-Language")], "accept-language", ["en, fr", "FR,en", "fr , en"]),
    ];
    for (fields, name, values) in alike {
        let origin = numbered(fields).await;
        let sidecar = still(&origin, PUBLIC).await;
        for value in values {
            assert_eq!(sidecar.send(get("/config").header(name, value)).await.text(), "0", "{fields:?} {value}");
        }
        assert_eq!(origin.count(), 1);
    }
}
