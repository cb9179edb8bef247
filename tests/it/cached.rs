//! The response cache: what a caller is told, and how long an answer is fresh.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use edge_sidecar::clock::Clock;

use crate::support::client::{Answer, get};
use crate::support::origin::{Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::until;

/// A rule for everything below `/config`, shared by all callers for five minutes.
pub const PUBLIC: &str = r#"
cache:
  include:
    - { name: config, match: { function: "config*" }, ttl: 5m, scope: public }
"#;

/// A sidecar whose clock stands still, so that ages are exact.
pub async fn still(origin: &Origin, rules: &str) -> Sidecar {
    in_front_of(&origin.url()).rules(rules).clock(&Clock::manual()).start().await
}

/// An origin whose answers are numbered from 0: a body tells which call it came from.
pub async fn numbered(fields: &'static [(&'static str, &'static str)]) -> Origin {
    let next = AtomicUsize::new(0);
    Origin::start(move |_| Reply::new(200, fields, next.fetch_add(1, SeqCst).to_string())).await
}

/// `X-Cache`, and `Cache-Status` without our name.
pub fn told(answer: &Answer) -> (&str, &str) {
    let status = answer.header("cache-status");
    (answer.header("x-cache"), status.strip_prefix("edge-sidecar; ").unwrap_or(status))
}

/// What a stored answer says of itself on the way in.
pub const STORED: (&str, &str) = ("MISS", "fwd=uri-miss; fwd-status=200; stored");
/// A hit within the second of its fetch, by a rule of five minutes.
pub const HIT: (&str, &str) = ("HIT", "hit; ttl=300");

/// Fetched anew after an expired answer, which the sweeper may have removed already.
pub fn assert_fetched_anew(answer: &Answer) {
    let (x_cache, status) = told(answer);
    assert!(x_cache == "MISS" && ["fwd=stale; fwd-status=200; stored", STORED.1].contains(&status), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_tells_its_age_until_it_expires() {
    let (origin, clock) = (numbered(&[("Content-Type", "text/plain"), ("X-Of-Function", "kept")]).await, Clock::manual());
    let sidecar = in_front_of(&origin.url()).rules(PUBLIC).clock(&clock).start().await;
    let first = sidecar.get("/config").await;
    assert_eq!((told(&first), first.text().as_str()), (STORED, "0"));
    assert!(!first.has("age") && !first.has("x-cache-age"));
    for (step, age, left) in [(0, "0", "hit; ttl=300"), (30, "30", "hit; ttl=270"), (269, "299", "hit; ttl=1")] {
        clock.advance(Duration::from_secs(step));
        let hit = sidecar.send(get("/config").header("x-request-id", &format!("age-{age}"))).await;
        assert_eq!((told(&hit), hit.text().as_str()), (("HIT", left), "0"));
        assert_eq!((hit.message.all("age"), hit.message.all("x-cache-age")), (vec![age], vec![age]));
        assert_eq!((hit.header("content-type"), hit.header("x-of-function")), ("text/plain", "kept"));
        let line = sidecar.line("request", &format!("age-{age}")).await;
        assert_eq!((&line["outcome"], line["age_s"].to_string().as_str(), &line["rule"]), (&"hit".into(), age, &"config".into()));
    }
    clock.advance(Duration::from_secs(1));
    let again = sidecar.get("/config").await;
    assert_fetched_anew(&again);
    assert_eq!(again.text(), "1");
    assert_eq!(sidecar.get("/config").await.text(), "1");
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_stored_before_its_caller_can_ask_again() {
    let origin = Origin::start(|seen| match seen.target().len() % 3 {
        0 => Reply::ok("x"),
        1 => Reply::ok(""),
        _ => Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
    })
    .await;
    let sidecar = still(&origin, PUBLIC).await;
    let mut connection = sidecar.connect().await;
    for i in 0..150 {
        let request = get(&format!("/config/{}", "a".repeat(i)));
        assert_eq!((told(&connection.send(&request).await), told(&connection.send(&request).await)), (STORED, HIT), "{i}");
    }
}

/// Fields of an answer, and the seconds it is fresh for under a rule of five minutes.
const OWN_FRESHNESS: [(&str, &str, u64); 12] = [
    ("Cache-Control", "max-age=10", 10),
    ("Cache-Control", "max-age=5, s-maxage=20", 20),
    ("Cache-Control", "S-MaxAge=20", 20),
    ("Cache-Control", "max-age=600", 600),
    ("Cache-Control", "max-age=10, max-age=20", 10),
    ("Cache-Control", "max-age=10x", 0),
    ("Cache-Control", "max-age=0", 0),
    ("Cache-Control", "no-cache", 0),
    ("Cache-Control", "public", 300),
    ("CDN-Cache-Control", "max-age=40", 40),
    ("Pragma", "no-cache", 0),
    ("Expires", "0", 0),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_functions_own_freshness_wins() {
    let (clock, next) = (Clock::manual(), AtomicUsize::new(0));
    let origin = Origin::start(move |seen| {
        let (name, value, _) = OWN_FRESHNESS[seen.target()["/config/".len()..].parse::<usize>().expect("a row")];
        Reply::new(200, &[(name, value)], next.fetch_add(1, SeqCst).to_string())
    })
    .await;
    let sidecar = in_front_of(&origin.url()).rules(PUBLIC).clock(&clock).start().await;
    for (row, (name, value, seconds)) in OWN_FRESHNESS.into_iter().enumerate() {
        let path = format!("/config/{row}");
        let first = sidecar.get(&path).await;
        if seconds == 0 {
            assert_eq!(told(&first), ("MISS", "fwd=uri-miss; fwd-status=200; detail=no_freshness"), "{name}: {value}");
            continue;
        }
        clock.advance(Duration::from_secs(seconds - 1));
        let fresh = sidecar.get(&path).await;
        assert_eq!((told(&fresh), fresh.text()), (("HIT", "hit; ttl=1"), first.text()), "{name}: {value}");
        clock.advance(Duration::from_secs(1));
        let stale = sidecar.get(&path).await;
        assert_fetched_anew(&stale);
        assert_ne!(stale.text(), first.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expires_counts_from_the_functions_date() {
    let clock = Clock::manual();
    let wall = clock.clone();
    let origin = Origin::start(move |_| {
        let date = |t: SystemTime| httpdate::fmt_http_date(t);
        Reply::new(200, &[("Date", &date(wall.wall())), ("Expires", &date(wall.wall() + Duration::from_secs(20)))], "x")
    })
    .await;
    let sidecar = in_front_of(&origin.url()).rules(PUBLIC).clock(&clock).start().await;
    assert_eq!(told(&sidecar.get("/config").await), STORED);
    assert_eq!(told(&sidecar.get("/config").await), ("HIT", "hit; ttl=20"));
    clock.advance(Duration::from_secs(20));
    assert_fetched_anew(&sidecar.get("/config").await);
    // told apart from what was never stored, unless the sweeper came first
    until("an expired answer that is not swept yet", async || {
        clock.advance(Duration::from_secs(20));
        let answer = sidecar.get("/config").await;
        assert_fetched_anew(&answer);
        (told(&answer).1 == "fwd=stale; fwd-status=200; stored").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_claims_in_our_name_is_replaced() {
    let spoof = [
        ("X-Cache", "SPOOF"),
        ("X-Cache-Age", "7"),
        ("x-cache-hits", "9"),
        ("Age", "100"),
        ("Cache-Status", "inner; hit"),
        ("Cache-Status", "edge-sidecar; hit; ttl=9"),
        ("X-Dedup", "NEW"),
    ];
    let origin = Origin::start(move |_| Reply::new(200, &spoof, "x")).await;
    let sidecar = still(&origin, PUBLIC).await;
    let status = "inner; hit, edge-sidecar; ";
    for (x_cache, detail, age) in [("MISS", "fwd=uri-miss; fwd-status=200; stored", vec![]), ("HIT", "hit; ttl=200", vec!["100"])] {
        let answer = sidecar.get("/config").await;
        assert_eq!(answer.message.all("x-cache"), [x_cache]);
        assert_eq!(answer.message.all("cache-status"), [format!("{status}{detail}")]);
        assert_eq!(answer.message.all("x-cache-age"), age, "time at the function's own cache counts");
        assert!(!answer.has("x-cache-hits") && !answer.has("x-dedup"));
    }
    assert_eq!(sidecar.get("/config").await.message.all("age"), ["100"]);
    // the same on a route that no rule matches
    let plain = sidecar.get("/other").await;
    assert!(!plain.has("x-cache") && !plain.has("x-cache-age") && !plain.has("x-dedup"));
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_one_connection_are_not_stored() {
    let fields = [
        ("Connection", "x-once, keep-alive"),
        ("X-Once", "1"),
        ("Keep-Alive", "timeout=9"),
        ("Proxy-Authenticate", "Basic"),
        ("X-Kept", "1"),
    ];
    let origin = Origin::start(move |_| Reply::new(200, &fields, "x")).await;
    let sidecar = still(&origin, PUBLIC).await;
    for expected in ["MISS", "HIT"] {
        let answer = sidecar.get("/config").await;
        assert_eq!((answer.header("x-cache"), answer.header("x-kept")), (expected, "1"));
        for name in ["x-once", "proxy-authenticate"] {
            assert!(!answer.has(name), "{expected}: {name}");
        }
        assert!(!answer.message.all("keep-alive").contains(&"timeout=9"), "{expected}");
    }
}
