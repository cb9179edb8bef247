//! Fields on their way: who asks, what callers must not say, what belongs to one connection only, and the ids of a request.

use edge_sidecar::config::sidecar::Network;

use crate::support::client::{get, send};
use crate::support::origin::{Origin, Reply, Seen};
use crate::support::routes::{RULES, each};
use crate::support::sidecar::{Sidecar, in_front_of};

async fn echo() -> (Origin, Sidecar) {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    (origin, sidecar)
}

/// Sends one request of each kind with these fields; gives what the function saw of it.
async fn sent(origin: &Origin, sidecar: &Sidecar, name: &str, fields: &[(&str, &str)]) -> Vec<(&'static str, Seen)> {
    let mut all = Vec::new();
    for (kind, request) in each(name) {
        let request = fields.iter().fold(request, |r, (name, value)| r.header(name, value));
        assert_eq!(sidecar.send(request).await.status, 200, "{kind}");
        all.push((kind, origin.seen().pop().expect("the function was asked")));
    }
    all
}

const FORGED: [(&str, &str); 9] = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("x-forwarded-for", "6.6.6.7"),
    ("X-FORWARDED-HOST", "evil.test"),
    ("X-Forwarded-Proto", "gopher"),
    ("x-Forwarded-Port", "666"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Forwarded-Ssl", "on"),
    ("Forwarded", "for=6.6.6.6;host=evil.test"),
    ("X-Real-IP", "6.6.6.6"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_word_about_who_asks_is_not_passed_on() {
    let (origin, sidecar) = echo().await;
    for (kind, seen) in sent(&origin, &sidecar, "forged", &FORGED).await {
        // one fetch answers many callers, so it names none
        let address: &[&str] = if kind == "cached GET" { &[] } else { &["127.0.0.1"] };
        assert_eq!(seen.message.all("x-forwarded-for"), address, "{kind}");
        assert_eq!(seen.message.all("x-forwarded-host"), ["functions.local"], "{kind}");
        assert_eq!(seen.message.all("x-forwarded-proto"), ["http"], "{kind}");
        // ids are random, and may hold any digits
        for (name, value) in
            seen.message.headers.iter().filter(|(n, _)| !["traceparent", "x-request-id"].contains(&&*n.to_ascii_lowercase()))
        {
            assert!(!["6.6.6", "evil", "gopher", "666"].iter().any(|forged| value.contains(forged)), "{kind} {name}: {value}");
            assert!(!["x-forwarded-ssl", "forwarded", "x-real-ip"].contains(&&*name.to_ascii_lowercase()), "{kind} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxys_word_is_kept_and_its_address_added() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let loopback = Network { address: "127.0.0.0".parse().expect("an address"), bits: 8 };
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(|s| s.trusted_proxies = vec![loopback]).start().await;
    let told = [
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-For", "198.51.100.2, 198.51.100.3"),
        ("X-Forwarded-Host", "shop.test"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=203.0.113.9"),
        ("X-Real-IP", "203.0.113.9"),
    ];
    for (kind, seen) in sent(&origin, &sidecar, "trusted", &told).await.into_iter().filter(|(kind, _)| *kind != "cached GET") {
        let chain = seen.message.all("x-forwarded-for");
        assert_eq!(chain, ["203.0.113.9, 198.51.100.2, 198.51.100.3, 127.0.0.1"], "{kind}");
        for (name, value) in &told[2..] {
            assert_eq!(seen.message.all(name), [*value], "{kind} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn named_request_fields_are_stripped_on_every_route() {
    let (origin, sidecar) = echo().await;
    let fields = [("X-WA-Internal-Forward", "true"), ("sb-api-key", "made"), ("Sb-Api-Key", "up"), ("apikey", "kept")];
    for (kind, seen) in sent(&origin, &sidecar, "strip", &fields).await {
        assert_eq!((seen.header("x-wa-internal-forward"), seen.header("sb-api-key"), seen.header("apikey")), ("", "", "kept"), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn request_fields_of_one_connection_go_no_further() {
    let (origin, sidecar) = echo().await;
    let fields = [
        ("Connection", "keep-alive, X-Hop, Keep-Alive"),
        ("X-Hop", "mine"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Trailer", "X-Sum"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eA=="),
        ("Upgrade", "h2c"),
        ("X-Kept", "yes"),
    ];
    for (kind, seen) in sent(&origin, &sidecar, "hop", &fields).await {
        let gone = ["x-hop", "keep-alive", "te", "trailer", "proxy-connection", "proxy-authorization", "upgrade"];
        for name in gone {
            assert_eq!(seen.header(name), "", "{kind} {name}");
        }
        assert!(!seen.header("connection").to_ascii_lowercase().contains("hop"), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nomination_cannot_remove_what_decides_about_the_caller() {
    let (origin, sidecar) = echo().await;
    let fields = [("Authorization", "Bearer a"), ("apikey", "k"), ("Cookie", "c=1"), ("Content-Type", "text/x"), ("X-Hop", "mine")];
    for (kind, request) in each("nominated") {
        let request = fields.iter().fold(request, |r, (name, value)| r.header(name, value));
        let answer = sidecar.send(request.header("Connection", "Authorization, apikey, cookie, Content-Type, X-Hop")).await;
        assert_eq!(answer.status, 200, "{kind}");
        let seen = origin.seen().pop().expect("the function was asked");
        for (name, value) in &fields[..4] {
            assert_eq!(seen.message.all(name), [*value], "{kind} {name}");
        }
        assert_eq!(seen.header("x-hop"), "", "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nomination_of_who_asks_is_refused_on_a_plain_route() {
    let (origin, sidecar) = echo().await;
    let answer = sidecar.send(get("/plain").header("Connection", "X-Forwarded-For")).await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &"bad_request".into()));
    assert_eq!(origin.count(), 0);
    sidecar.until_series(r#"edge_sidecar_upstream_connections{upstream="functions",state="in_use"}"#, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_fields_of_one_connection_go_no_further() {
    let fields = [
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "mine"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Trailer", "X-Sum"),
        ("Upgrade", "h2c"),
        ("X-Kept", "yes"),
        ("Server", "deno"),
    ];
    let origin = Origin::start(move |_| Reply::new(200, &fields, "{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for (kind, request) in each("hop").into_iter().chain([("cached GET", get("/profile/hop"))]) {
        let answer = sidecar.send(request).await;
        let gone = ["x-hop", "keep-alive", "proxy-authenticate", "trailer", "upgrade"];
        for name in gone {
            assert!(!answer.has(name), "{kind} {name}");
        }
        assert!(!answer.header("connection").to_ascii_lowercase().contains("hop"), "{kind}");
        assert_eq!((answer.header("x-kept"), answer.header("server")), ("yes", "deno"), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_well_formed_id_goes_along_and_another_is_replaced() {
    let (origin, sidecar) = echo().await;
    for (n, (given, kept)) in
        [("a.b_c-9", true), ("", false), ("no spaces", false), ("{}", false), (&*"x".repeat(129), false)].into_iter().enumerate()
    {
        for (kind, request) in each(&format!("id{n}")) {
            let answer = sidecar.send(request.header("X-Request-Id", given)).await;
            let id = answer.header("x-request-id").to_owned();
            assert_eq!(origin.seen().pop().expect("the function was asked").header("x-request-id"), id, "{kind}");
            assert_eq!(id == given, kept, "{kind}: {given} became {id}");
            assert!(kept || (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())), "{kind}: {id}");
            assert_eq!(sidecar.line("request", &id).await["status"], 200, "{kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_or_begins() {
    let (origin, sidecar) = echo().await;
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (kind, seen) in sent(&origin, &sidecar, "trace", &[("traceparent", given)]).await {
        assert_eq!(seen.message.all("traceparent"), [given], "{kind}");
    }
    let mut made = std::collections::HashSet::new();
    for (kind, seen) in sent(&origin, &sidecar, "made", &[("traceparent", "00-zz-1-01")]).await {
        let parent = seen.header("traceparent").to_owned();
        assert_eq!(parent.len(), given.len(), "{kind}: {parent}");
        assert!(made.insert(parent), "{kind}: a trace of its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_that_claim_to_be_ours_are_not_passed_on() {
    let claimed = [("X-Cache", "HIT"), ("X-Cache-Age", "9"), ("X-Dedup", "DUPLICATE"), ("X-Request-Id", "theirs")];
    let origin = Origin::start(move |_| Reply::new(200, &claimed, "{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    let marks = [("plain GET", "", ""), ("plain POST", "", ""), ("cached GET", "MISS", ""), ("webhook", "", "NEW")];
    for ((kind, request), (_, cache, dedup)) in each("marks").into_iter().zip(marks) {
        let answer = send(sidecar.address, &request.header("x-request-id", "ours")).await;
        assert_eq!((answer.header("x-cache"), answer.header("x-dedup"), answer.has("x-cache-age")), (cache, dedup, false), "{kind}");
        assert_eq!(answer.message.all("x-request-id"), ["ours"], "{kind}");
    }
}
