//! Whose answer may be given to whom: scopes, the key, and what of one caller never reaches an answer that others get.

use std::collections::HashSet;

use crate::cached::{HIT, PUBLIC, STORED, numbered, still, told};
use crate::support::client::{Request, get};
use crate::support::origin::{Origin, Reply};

const PER_CALLER: &str = r#"
cache:
  include:
    - { name: profile, match: { function: "profile*" }, ttl: 5m, scope: per_caller }
"#;

const ANONYMOUS: &str = r#"
cache:
  include:
    - { name: state, match: { function: "state*" }, ttl: 5m }
"#;

/// Each request has an answer of its own: none gets that of another, each gets its own again.
async fn each_its_own(rules: &str, requests: &[Request]) {
    let origin = numbered(&[("Access-Control-Allow-Origin", "*")]).await;
    let sidecar = still(&origin, rules).await;
    for (i, request) in requests.iter().enumerate() {
        let answer = sidecar.send(request.clone()).await;
        assert_eq!((told(&answer), answer.text()), (STORED, i.to_string()), "{request:?}");
    }
    for (i, request) in requests.iter().enumerate() {
        let answer = sidecar.send(request.clone()).await;
        assert_eq!((told(&answer), answer.text()), (HIT, i.to_string()), "{request:?}");
    }
    assert_eq!(origin.count(), requests.len());
}

fn with(target: &str, fields: &[(&str, &str)]) -> Request {
    fields.iter().fold(get(target), |request, (name, value)| request.header(name, value))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_callers_answer_never_reaches_another() {
    let callers: [&[(&str, &str)]; 16] = [
        &[],
        &[("authorization", "Bearer a")],
        &[("authorization", "Bearer b")],
        &[("authorization", "bearer a")],
        &[("authorization", "")],
        &[("apikey", "Bearer a")],
        &[("cookie", "Bearer a")],
        &[("apikey", "")],
        &[("cookie", "s=1")],
        &[("cookie", "s=2")],
        &[("authorization", "a"), ("apikey", "bc")],
        &[("authorization", "ab"), ("apikey", "c")],
        &[("authorization", "abc")],
        &[("authorization", "a"), ("cookie", "bc")],
        &[("cookie", "a"), ("cookie", "b")],
        &[("cookie", "a, b")],
    ];
    each_its_own(PER_CALLER, &callers.map(|fields| with("/profile", fields))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_known_by_credentials_only_and_the_function_sees_them() {
    let origin = numbered(&[]).await;
    let sidecar = still(&origin, PER_CALLER).await;
    let one = [("authorization", "Bearer a"), ("apikey", "k"), ("cookie", "s=1")];
    for (other, value) in [("user-agent", "x"), ("x-client-info", "y"), ("accept-language", "fr"), ("x-forwarded-for", "9.9.9.9")] {
        assert_eq!(sidecar.send(with("/profile", &one).header(other, value)).await.text(), "0", "{other}");
    }
    // the order of fields says nothing
    let turned = [one[2], one[1], one[0]];
    assert_eq!(told(&sidecar.send(with("/profile", &turned)).await), HIT);
    let seen = &origin.seen()[0];
    assert!(one.iter().all(|(name, value)| seen.message.all(name) == [*value]));
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_anonymous_a_request_with_credentials_is_forwarded() {
    let origin = numbered(&[]).await;
    let sidecar = still(&origin, ANONYMOUS).await;
    assert_eq!(told(&sidecar.get("/state").await), STORED);
    for (i, name) in ["Authorization", "apikey", "Cookie"].into_iter().enumerate() {
        let answer = sidecar.send(get("/state").header(name, "a")).await;
        assert_eq!((told(&answer), answer.text()), (("BYPASS", "fwd=bypass; detail=credentials"), (i + 1).to_string()), "{name}");
        assert_eq!(origin.seen()[i + 1].header(name), "a");
    }
    let anonymous = sidecar.get("/state").await;
    assert_eq!((told(&anonymous), anonymous.text().as_str(), origin.count()), (HIT, "0", 4));
    sidecar.until_series(r#"edge_sidecar_cache_bypass_total{reason="credentials",rule="state"}"#, 3.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_public_all_share_and_no_cookie_shapes_the_answer() {
    let origin = numbered(&[]).await;
    let sidecar = still(&origin, PUBLIC).await;
    let first = with("/config", &[("authorization", "Bearer a"), ("apikey", "k"), ("cookie", "s=1")]);
    assert_eq!(told(&sidecar.send(first).await), STORED);
    let seen = &origin.seen()[0];
    assert!(seen.message.header("cookie").is_none());
    assert_eq!((seen.header("authorization"), seen.header("apikey")), ("Bearer a", "k"), "the rule's author vouches for these");
    for other in [with("/config", &[]), with("/config", &[("cookie", "s=2")]), with("/config", &[("authorization", "Bearer b")])] {
        let answer = sidecar.send(other).await;
        assert_eq!((told(&answer), answer.text().as_str()), (HIT, "0"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_spellings_of_a_query_share_an_answer() {
    let spellings = [
        "",
        "?",
        "?a=1",
        "?a=1&b=2",
        "?b=2&a=1",
        "?a=1;b=2",
        "?A=1",
        "?a=1&a=1",
        "?a=",
        "?a",
        "?a=1&",
        "?&a=1",
        "?a=x+y",
        "?a=x%20y",
        "?a=%31",
        "?a=x%2by",
        "?a=x%2By",
        "?a[]=1",
        "?a%5B%5D=1",
        "?utm_source=x",
    ];
    each_its_own(PUBLIC, &spellings.map(|query| get(&format!("/config{query}")))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_paths_or_hosts_share_an_answer() {
    let rules = PUBLIC.replace(r#"function: "config*""#, r#"path: "**""#);
    let paths = [
        "/config",
        "/config/",
        "/Config",
        "/config/a",
        "/config/a%2Fb",
        "/config/a/b",
        "/config;x=1",
        "/config.css",
        "/config/a.js",
        "/config%3F",
        "/config%01",
    ];
    let hosts = ["functions.local:80", "functions.local:8080", "other.test", "functions.local."];
    let requests: Vec<_> = paths.map(get).into_iter().chain(hosts.map(|host| get("/config").header("host", host))).collect();
    each_its_own(&rules, &requests).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_of_host_and_of_escapes_says_nothing() {
    let origin = numbered(&[]).await;
    let sidecar = still(&origin, PUBLIC).await;
    for (target, host) in [("/config/a%2Fb", "functions.local"), ("/config/a%2fb", "FUNCTIONS.local")] {
        assert_eq!(sidecar.send(get(target).header("host", host)).await.text(), "0", "{target} {host}");
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_path_is_forwarded_as_it_came_and_not_stored() {
    let odd =
        ["/config/../config", "/config/./a", "//config", "/config//a", "/%63onfig", "/x/%2e%2e/config", "/config/%2e/a", "/config/a/.."];
    let origin = numbered(&[]).await;
    let sidecar = still(&origin, PUBLIC).await;
    for (i, target) in odd.iter().enumerate() {
        for turn in 0..2 {
            let answer = sidecar.get(target).await;
            assert_eq!((told(&answer), answer.text()), (("BYPASS", "fwd=bypass; detail=odd_path"), (2 * i + turn).to_string()), "{target}");
        }
        assert_eq!(origin.seen()[2 * i].target(), *target);
    }
    // what is ambiguous is refused: a target that is no path, another host than that of Host, bytes that are no text, two hosts
    let absolute = ["http://evil.test/config", "http://functions.local/config", "https://functions.local/config", "/config/\\a"];
    let mut refused: Vec<_> = absolute.map(|target| format!("GET {target} HTTP/1.1\r\nHost: functions.local\r\n\r\n").into_bytes()).into();
    refused.push(b"GET /config?a=\x80 HTTP/1.1\r\nHost: functions.local\r\n\r\n".to_vec());
    refused.push(b"GET /config HTTP/1.1\r\nHost: functions.local\r\nHost: evil.test\r\n\r\n".to_vec());
    for request in refused {
        let mut connection = sidecar.connect().await;
        connection.write_raw(&request).await;
        assert_eq!(connection.read(&get("/")).await.status, 400, "{}", String::from_utf8_lossy(&request));
    }
    assert_eq!(told(&sidecar.get("/config").await), STORED, "none of them left anything behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excluded_path_is_excluded_in_every_spelling() {
    let rules = PUBLIC.replace("  include:", "  exclude: [\"**/private/**\"]\n  include:");
    let origin = numbered(&[]).await;
    let sidecar = still(&origin, &rules).await;
    for target in ["/config/private/a", "/config/%70rivate/a", "/config/x/../private/a", "/config//private/a", "/config/./private/a"] {
        for _ in 0..2 {
            assert_ne!(sidecar.get(target).await.header("x-cache"), "HIT", "{target}");
        }
    }
    assert_eq!(origin.count(), 10);
    assert_eq!(sidecar.metrics().await["cache"]["config"]["size"], 0);
}

/// Fields by which a caller could shape an answer that others get.
const UNKEYED: [&str; 18] = [
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Scheme",
    "Forwarded",
    "X-Real-IP",
    "X-Host",
    "X-Original-Host",
    "X-Original-Method",
    "X-Rewrite-Path",
    "Front-End-Https",
    "Via",
    "TE",
    "Proxy-Authorization",
    "Keep-Alive",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_key_does_not_reach_the_function() {
    // the function gives back all it sees: what poison would do
    let origin = Origin::start(|seen| Reply::ok(format!("{:?}", seen.message.headers).to_lowercase())).await;
    for trusted in [false, true] {
        let network = edge_sidecar::config::sidecar::Network { address: [127, 0, 0, 1].into(), bits: 8 };
        let sidecar = crate::support::sidecar::in_front_of(&origin.url()).rules(PUBLIC);
        let sidecar = sidecar.with(|s| s.trusted_proxies = if trusted { vec![network] } else { Vec::new() }).start().await;
        // what a trusted peer says of the request is in the key (cached_keyed.rs)
        let keyed =
            |name: &str| trusted && ["x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix"].contains(&&*name.to_lowercase());
        for name in UNKEYED.into_iter().filter(|name| !keyed(name)) {
            let target = format!("/config/{name}");
            let poisoned = sidecar.send(get(&target).header(name, "evil.test")).await;
            assert!(poisoned.status == 200 && !poisoned.text().contains("evil"), "{name} (trusted: {trusted}): {}", poisoned.text());
            let victim = sidecar.get(&target).await;
            assert_eq!((victim.header("x-cache"), victim.text()), ("HIT", poisoned.text()), "{name}");
        }
    }
    let seen = origin.seen();
    assert_eq!((seen[0].header("x-forwarded-host"), seen[0].header("host")), ("functions.local", "functions.local"));
    let names: HashSet<_> = seen.iter().flat_map(|s| s.message.headers.iter().map(|(n, _)| n.to_lowercase())).collect();
    let expected = ["host", "x-forwarded-host", "x-forwarded-proto", "x-request-id", "traceparent"].map(str::to_owned);
    assert_eq!(names, HashSet::from(expected), "nothing of the caller's address either");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_ending_makes_a_private_page_public() {
    let origin = numbered(&[("Cache-Control", "private")]).await;
    let sidecar = still(&origin, &format!("{ANONYMOUS}{}", PER_CALLER.trim_start().trim_start_matches("cache:\n  include:\n"))).await;
    for target in ["/profile/a.css", "/profile/a.js?x=.png", "/state/account;a.css", "/state/account%09.css", "/state/a%3F.css"] {
        for cookie in ["victim", "attacker"] {
            let answer = sidecar.send(get(target).header("cookie", cookie)).await;
            assert_ne!(answer.header("x-cache"), "HIT", "{target}");
        }
    }
    assert_eq!(origin.count(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_in_lines_or_metrics() {
    let origin = numbered(&[]).await;
    let sidecar = still(&origin, PER_CALLER).await;
    let request = with("/profile?token=canary1", &[("authorization", "canary2"), ("apikey", "canary3"), ("cookie", "canary4")]);
    for id in ["miss", "hit"] {
        sidecar.send(request.clone().header("x-request-id", id)).await;
        let line = sidecar.line("request", id).await;
        assert_eq!((&line["outcome"], &line["path"]), (&id.into(), &"/profile".into()));
    }
    let all = format!("{:?}{}{}", sidecar.lines(), sidecar.metrics().await, sidecar.prometheus().await);
    assert!(!all.contains("canary"), "{all}");
}
