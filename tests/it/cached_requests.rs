//! Which requests are looked up, which are forwarded as they are, and what a caller's own wishes change.

use crate::cached::{HIT, PUBLIC, STORED, numbered, still, told};
use crate::support::client::{Request, get, post, request};
use crate::support::origin::{Origin, Reply, Step};

/// Requests on a cached route that are sent on as they are, and why.
fn bypassed() -> Vec<(Request, &'static str)> {
    vec![
        (post("/config/x", "body"), "fwd=method"),
        (request("DELETE", "/config/x"), "fwd=method"),
        (get("/config/x").with_body("fat"), "fwd=bypass; detail=body"),
        (get("/config/x").header("range", "bytes=0-1"), "fwd=bypass; detail=range"),
        (get("/config/x").header("x-http-method-override", "DELETE"), "fwd=bypass; detail=override"),
        (get("/config/x").header("X-HTTP-Method", "DELETE"), "fwd=bypass; detail=override"),
        (get("/config/x").header("x-method-override", "DELETE"), "fwd=bypass; detail=override"),
        (get("/config/x").header("x-original-url", "/admin"), "fwd=bypass; detail=override"),
        (get("/config/x").header("x-rewrite-url", "/admin"), "fwd=bypass; detail=override"),
        (get("/config/x").header("connection", "accept-language"), "fwd=bypass; detail=override"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_may_see_differently_is_forwarded_and_not_stored() {
    let origin = numbered(&[]).await;
    let sidecar = still(&origin, PUBLIC).await;
    for (i, (request, status)) in bypassed().into_iter().enumerate() {
        for turn in 0..2 {
            let answer = sidecar.send(request.clone()).await;
            assert_eq!((told(&answer), answer.text()), (("BYPASS", status), (2 * i + turn).to_string()));
        }
    }
    let seen = origin.seen();
    assert_eq!((seen[0].method(), seen[0].message.text().as_str()), ("POST", "body"));
    assert_eq!((seen[4].method(), seen[4].message.text().as_str()), ("GET", "fat"));
    assert_eq!((seen[6].header("range"), seen[8].header("x-http-method-override")), ("bytes=0-1", "DELETE"));
    // none of them left anything behind
    assert_eq!(told(&sidecar.get("/config/x").await), STORED);
    sidecar.until_series(r#"edge_sidecar_cache_bypass_total{reason="override",rule="config"}"#, 12.0).await;
    sidecar.until_series(r#"edge_sidecar_cache_bypass_total{reason="method",rule="config"}"#, 4.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_cache_control_can_ask_for_less_but_force_nothing() {
    let origin = numbered(&[]).await;
    let sidecar = still(&origin, PUBLIC).await;
    let only = get("/config").header("cache-control", "only-if-cached");
    let nothing = sidecar.send(only.clone()).await;
    assert_eq!((nothing.status, told(&nothing)), (504, ("MISS", "detail=only_if_cached")));
    assert_eq!((nothing.json()["error"].as_str(), origin.count()), (Some("only_if_cached"), 0));
    let no_store = get("/config").header("cache-control", "no-store");
    for call in ["0", "1"] {
        let answer = sidecar.send(no_store.clone()).await;
        assert_eq!((told(&answer), answer.text().as_str()), (("BYPASS", "fwd=bypass; detail=request_no_store"), call));
    }
    assert_eq!((told(&sidecar.get("/config").await), origin.count()), (STORED, 3));
    for (name, value) in
        [("cache-control", "no-cache"), ("cache-control", "max-age=0"), ("cache-control", "min-fresh=900"), ("pragma", "no-cache")]
    {
        let answer = sidecar.send(get("/config").header(name, value)).await;
        assert_eq!((told(&answer), answer.text().as_str()), (HIT, "2"), "{name}: {value}");
    }
    // something fresh is there now
    assert_eq!((told(&sidecar.send(only).await), told(&sidecar.send(no_store).await)), (HIT, HIT));
    assert_eq!(origin.count(), 3);
    sidecar.until_series(r#"edge_sidecar_cache_bypass_total{reason="only_if_cached",rule="config"}"#, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_on_a_miss_are_not_sent_and_the_whole_answer_comes() {
    let origin = numbered(&[("ETag", "\"a\""), ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")]).await;
    let sidecar = still(&origin, PUBLIC).await;
    let conditions = ["if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range"];
    for (i, name) in conditions.into_iter().enumerate() {
        let answer = sidecar.send(get(&format!("/config/{name}")).header(name, "\"a\"")).await;
        assert_eq!((answer.status, told(&answer), answer.text()), (200, STORED, i.to_string()), "{name}");
    }
    assert!(origin.seen().iter().all(|seen| conditions.iter().all(|name| seen.message.header(name).is_none())));
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_from_a_stored_get_and_stores_nothing_itself() {
    let origin = Origin::start(|seen| {
        let head = "HTTP/1.1 200 OK\r\nX-Kept: 1\r\nContent-Length: 5\r\n\r\n";
        Reply::raw(if seen.method() == "HEAD" { head.to_owned() } else { format!("{head}hello") })
    })
    .await;
    let sidecar = still(&origin, PUBLIC).await;
    let mut connection = sidecar.connect().await;
    for calls in [1, 2] {
        let head = connection.send(&request("HEAD", "/config")).await;
        assert_eq!((head.status, told(&head), head.header("content-length")), (200, ("BYPASS", "fwd=method"), "5"));
        assert_eq!(origin.count(), calls);
    }
    let stored = connection.send(&get("/config")).await;
    assert_eq!((told(&stored), stored.text().as_str(), origin.count()), (STORED, "hello", 3));
    let head = connection.send(&request("HEAD", "/config")).await;
    assert_eq!((told(&head), head.header("content-length"), head.header("x-kept")), (HIT, "5", "1"));
    let whole = connection.send(&get("/config")).await;
    assert_eq!((told(&whole), whole.text().as_str(), origin.count()), (HIT, "hello", 3), "the connection is in step");
    let methods: Vec<_> = origin.seen().iter().map(|s| s.method().to_owned()).collect();
    assert_eq!(methods, ["HEAD", "HEAD", "GET"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_exclusions_and_other_routes_are_not_looked_at() {
    let rules = format!("{PUBLIC}  exclude:\n    - \"**/login\"\n    - {{ name: handshake, match: {{ query: hub.challenge }} }}\n");
    let origin = numbered(&[("Cache-Control", "max-age=60")]).await;
    let sidecar = still(&origin, &rules).await;
    let untouched = [request("OPTIONS", "/config"), get("/config/login"), get("/config?hub.challenge=1"), get("/profile")];
    for (i, request) in untouched.into_iter().flat_map(|r| [r.clone(), r]).enumerate() {
        let answer = sidecar.send(request).await;
        assert_eq!((answer.status, answer.text()), (200, i.to_string()));
        assert!(!answer.has("x-cache") && !answer.has("cache-status") && !answer.has("age"));
    }
    assert_eq!(sidecar.series(r#"edge_sidecar_rule_matches_total{rule="config"}"#).await.to_bits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_callers_get_whole_answers_in_their_own_framing() {
    let origin =
        Origin::start(|_| Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")).await;
    let sidecar = still(&origin, PUBLIC).await;
    for (x_cache, length) in [("MISS", false), ("HIT", true)] {
        let answer = sidecar.send(get("/config").http10()).await;
        assert_eq!((answer.header("x-cache"), answer.text().as_str(), answer.has("content-length")), (x_cache, "abcde", length));
        assert!(!answer.has("transfer-encoding") && answer.message.whole);
    }
    let modern = sidecar.get("/config").await;
    assert_eq!((told(&modern), modern.text().as_str(), modern.header("content-length")), (HIT, "abcde", "5"));
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn early_hints_are_neither_merged_nor_stored() {
    let origin = Origin::start(|_| {
        Reply::raw("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Hint: 1\r\n\r\n")
            .then(Step::Write(b"HTTP/1.1 200 OK\r\nX-Final: 1\r\nContent-Length: 2\r\n\r\nok".to_vec()))
    })
    .await;
    let sidecar = still(&origin, PUBLIC).await;
    for expected in [STORED, HIT] {
        let answer = sidecar.get("/config").await;
        assert_eq!((answer.status, told(&answer), answer.text().as_str(), answer.header("x-final")), (200, expected, "ok", "1"));
        assert!(!answer.has("link") && !answer.has("x-hint"));
    }
    assert_eq!(origin.count(), 1);
}
