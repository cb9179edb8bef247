//! One test for every published weakness of the proxy we build on, and of the parts it is made of, by name. They stay for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::bench::Bench;
use super::caller::{Caller, Delivery, Heard};
use super::grammar::Message;
use super::origin::Arrival;
use crate::support::client::{get, request};
use crate::support::origin::{Gate, Origin, Reply, Step};
use crate::support::routes::RULES;
use crate::support::sidecar::in_front_of;
use crate::support::until;

/// Sends bytes on one connection; what the caller hears until it closes, at most `answers`, and what arrived.
async fn send(bytes: &str, answers: usize) -> (Vec<Heard>, Vec<Arrival>) {
    let bench = Bench::start(RULES, |_| ()).await;
    let mut caller = Caller::open(bench.sidecar.address).await;
    caller.send(bytes.as_bytes(), Delivery::Whole).await;
    let mut heard = Vec::new();
    while heard.len() < answers && !matches!(heard.last(), Some(Heard::Closed)) {
        heard.push(caller.hear("GET").await);
    }
    (heard, bench.origin.take())
}

fn status(heard: &Heard) -> u16 {
    if let Heard::Answer(answer) = heard { answer.status() } else { 0 }
}

fn targets(arrivals: &[Arrival]) -> Vec<&str> {
    arrivals.iter().map(|a| if let Arrival::Request(Message { start: [_, target, _], .. }) = a { target } else { "malformed" }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2025_4366_the_body_of_a_request_that_is_answered_from_the_cache_is_no_request() {
    let bench = Bench::start(RULES, |_| ()).await;
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let body = format!("Content-Length: {}\r\n\r\n{hidden}", hidden.len());
    let mut first = Caller::open(bench.sidecar.address).await;
    first.send(b"GET /profile/a HTTP/1.1\r\nHost: a.test\r\n\r\n", Delivery::Whole).await;
    assert_eq!(status(&first.hear("GET").await), 200);
    for method in ["GET", "HEAD"] {
        let mut caller = Caller::open(bench.sidecar.address).await;
        caller.send(format!("{method} /profile/a HTTP/1.1\r\nHost: a.test\r\n{body}").as_bytes(), Delivery::Whole).await;
        caller.hear(method).await;
        caller.send(b"GET /plain/next HTTP/1.1\r\nHost: a.test\r\n\r\n", Delivery::Whole).await;
        match caller.hear("GET").await {
            Heard::Closed => {}
            Heard::Answer(answer) => assert_eq!(answer.body, b"GET /plain/next 0", "{method}"),
            other => panic!("{method}: {other:?}"),
        }
    }
    assert!(!targets(&bench.origin.take()).contains(&"/smuggled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_2833_bytes_behind_an_upgrade_wait_for_the_functions_consent() {
    let upgrade = "GET /plain/a HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let premature = "GET /admin/secret HTTP/1.1\r\nHost: a.test\r\n\r\n";
    // a function that declines: what follows is a request like any other, with the caller's address told, or is dropped
    let (heard, arrivals) = send(&format!("{upgrade}{premature}"), 2).await;
    assert_eq!(status(&heard[0]), 200);
    for arrival in &arrivals {
        let Arrival::Request(request) = arrival else { panic!("{arrivals:?}") };
        assert_eq!(request.all("x-forwarded-for"), ["127.0.0.1"], "{arrivals:?}");
    }
    // a function that thinks about it hears nothing more before it has answered
    let (thinking, gate) = (Arc::new(AtomicUsize::new(0)), Gate::new());
    let (count, held) = (Arc::clone(&thinking), gate.clone());
    let origin = Origin::start(move |_| {
        count.fetch_add(1, SeqCst);
        Reply::raw("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").behind(&held).then(Step::Close)
    })
    .await;
    let sidecar = in_front_of(&origin.url()).start().await;
    let mut caller = Caller::open(sidecar.address).await;
    caller.send(upgrade.as_bytes(), Delivery::Whole).await;
    until("the function was asked", async || (thinking.load(SeqCst) == 1).then_some(())).await;
    caller.send(premature.as_bytes(), Delivery::Whole).await;
    gate.open();
    let heard = caller.hear("GET").await;
    assert!(matches!(status(&heard), 403 | 0), "{heard:?}");
    for seen in origin.seen().iter().skip(1) {
        assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1", "passed on as it came: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_2835_http_1_0_with_several_codings_is_refused() {
    for codings in
        ["identity\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: identity", "identity, chunked", "chunked, chunked"]
    {
        let body = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
        let length = body.len();
        for fields in [format!("Transfer-Encoding: {codings}"), format!("Content-Length: {length}\r\nTransfer-Encoding: {codings}")] {
            let start = format!("POST /plain HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n{fields}\r\n\r\n");
            let (heard, arrivals) = send(&format!("{start}{body}"), 2).await;
            assert_eq!((status(&heard[0]), targets(&arrivals).len()), (400, 0), "{fields}: {arrivals:?}");
            assert!(matches!(heard[1], Heard::Closed), "{fields}: {heard:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_2836_every_host_and_every_url_has_its_own_entry() {
    let origin = Origin::start(|seen| Reply::ok(format!("{} {}", seen.header("x-forwarded-host"), seen.target()))).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for round in ["MISS", "HIT"] {
        for host in ["a.test", "b.test", "a.test:8080", "a.tes"] {
            for target in ["/profile/a", "/profile/b", "/profile/a?b", "/profile/a?b=1", "/profile/a/b", "/profilea"] {
                let answer = sidecar.send(get(target).header("Host", host)).await;
                assert_eq!((answer.text(), answer.header("x-cache")), (format!("{host} {target}"), round));
            }
        }
    }
    assert_eq!(origin.count(), 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn rustsec_2025_0070_the_data_port_does_not_speak_http_2() {
    let settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let preface = format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{settings}");
    let upgrade =
        "GET /plain/a HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let (heard, arrivals) = send(&preface, 2).await;
    assert!(matches!(status(&heard[0]), 400..=499 | 505 | 0), "{heard:?}");
    assert!(matches!(heard.last(), Some(Heard::Closed)) && arrivals.is_empty(), "{heard:?} {arrivals:?}");
    let (heard, arrivals) = send(upgrade, 1).await;
    assert_eq!((status(&heard[0]), targets(&arrivals)), (200, vec!["/plain/a"]), "answered in HTTP/1.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn pingora_945_length_and_chunks_are_refused_though_pingora_takes_the_chunks() {
    for fields in ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"] {
        let (heard, arrivals) = send(&format!("POST /plain HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\n0\r\n\r\n"), 2).await;
        assert_eq!((status(&heard[0]), arrivals.len()), (400, 0), "{fields}: {arrivals:?}");
        assert!(matches!(heard[1], Heard::Closed), "{fields}: {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn actix_4239_what_follows_a_chunk_without_a_size_is_no_request() {
    let bench = Bench::start(RULES, |s| s.limits.body_timeout = Duration::from_millis(300)).await;
    for size in ["", ";", " ", "\t", ";x=y", " ;"] {
        let mut caller = Caller::open(bench.sidecar.address).await;
        let start = "POST /wa-webhook-core HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        caller.send(format!("{start}{size}\r\n").as_bytes(), Delivery::Whole).await;
        // where the body is taken for ended it is answered, and these bytes come in its wake
        let heard = caller.hear("POST").await;
        assert!(matches!(status(&heard), 200 | 400 | 408), "{size:?}: {heard:?}");
        caller.send(b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n", Delivery::Whole).await;
        let heard = caller.hear("GET").await;
        assert!(matches!(heard, Heard::Closed), "{size:?}: {heard:?}");
        assert!(!targets(&bench.origin.take()).contains(&"/smuggled"), "{size:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pingora_447_a_head_that_does_not_end_is_cut_also_behind_another_request() {
    let bench = Bench::start(RULES, |s| s.limits.header_timeout = Duration::from_millis(300)).await;
    for before in ["", "GET /plain HTTP/1.1\r\nHost: a.test\r\n\r\n"] {
        let mut caller = Caller::open(bench.sidecar.address).await;
        caller.send(before.as_bytes(), Delivery::Whole).await;
        if !before.is_empty() {
            assert_eq!(status(&caller.hear("GET").await), 200);
        }
        bench.origin.take();
        caller.send(b"GET /plain HTTP/1.1\r\nHost: a.test\r\nX-", Delivery::Whole).await;
        let heard = caller.hear("GET").await;
        assert!(status(&heard) == 408 || matches!(heard, Heard::Closed), "{before:?}: {heard:?}");
        assert!(bench.origin.take().is_empty());
    }
}

/// The versions that mended what is not ours to mend.
#[test]
fn no_crate_is_older_than_the_one_that_mended_it() {
    let lock = include_str!("../../../Cargo.lock");
    for (name, least, why) in [
        ("pingora-core", [0, 8, 0], "CVE-2025-4366, CVE-2026-2833, CVE-2026-2835"),
        ("pingora-cache", [0, 8, 0], "CVE-2026-2836"),
        ("pingora-proxy", [0, 8, 0], "CVE-2026-2833"),
        ("h2", [0, 4, 16], "RUSTSEC-2025-0070, RUSTSEC-2026-0258"),
    ] {
        let of_name = lock.split("[[package]]").filter(|p| p.contains(&format!("\nname = \"{name}\"\n")));
        let versions: Vec<Vec<u64>> = of_name
            .map(|p| p.split("version = \"").nth(1).and_then(|v| v.split('"').next()).expect("each has a version"))
            .map(|v| v.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect())
            .collect();
        assert!(!versions.is_empty(), "{name} is gone: so can its line here");
        assert!(versions.iter().all(|v| v[..] >= least[..]), "{name} {versions:?}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_on_the_data_port_is_a_method_like_any_other() {
    let origin = Origin::start(|seen| Reply::ok(seen.method())).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    assert_eq!(sidecar.get("/profile/a").await.header("x-cache"), "MISS");
    assert_eq!(sidecar.send(request("PURGE", "/profile/a").header("content-length", "0")).await.text(), "PURGE");
    assert_eq!(origin.count(), 2, "it went to the function");
}
