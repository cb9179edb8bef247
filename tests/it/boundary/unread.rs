//! Bodies that nobody wants: the sidecar answers by itself, and what it has not read must never become a request (CVE-2025-4366). The
//! answer comes, then the rest is drained within limits or the connection closes.

use std::time::Duration;

use super::bench::Bench;
use super::caller::{Caller, Delivery, Heard};
use super::case::{SMUGGLED, chunked, expand, length};
use super::origin::Arrival;
use super::verdict::{Observed, Targets};
use crate::support::client;
use crate::support::routes::message;
use crate::support::sidecar::in_front_of;
use crate::support::until;

const RULES: &str = r#"
dedup:
  include:
    - { name: whatsapp, match: { function: "wa-webhook*", method: POST }, id: whatsapp, window: 24h }
cache:
  include:
    - { name: profile, match: { function: "profile*" }, ttl: 5m, scope: public }
"#;

/// Most that a body may have here; the large bodies are larger.
const BODY_LIMIT: u64 = 100_000;

/// A request with a body that is not wanted.
struct Unread {
    name: &'static str,
    /// Its way.
    way: &'static str,
    /// Sent, and answered, before.
    before: Option<&'static [u8]>,
    /// Request line and fields, all but the framing ones.
    head: &'static [u8],
    /// The statuses of its answer.
    statuses: &'static [u16],
}

/// Each is sent with every body of [`bodies`].
const UNREAD: &[Unread] = &[
    Unread {
        name: "a hit",
        way: "/profile",
        before: Some(b"GET $T HTTP/1.1\r\n"),
        head: b"GET $T HTTP/1.1\r\n",
        statuses: &[200, 400, 413],
    },
    Unread {
        name: "a hit for HEAD",
        way: "/profile",
        before: Some(b"GET $T HTTP/1.1\r\n"),
        head: b"HEAD $T HTTP/1.1\r\n",
        statuses: &[200, 400, 413],
    },
    Unread {
        name: "a hit that is not modified",
        way: "/profile",
        before: Some(b"GET $T HTTP/1.1\r\n"),
        head: b"GET $T HTTP/1.1\r\nIf-None-Match: \"e\"\r\n",
        statuses: &[200, 304, 400, 413],
    },
    Unread {
        name: "nothing stored, and nothing else wanted",
        way: "/profile",
        before: None,
        head: b"GET $T HTTP/1.1\r\nCache-Control: only-if-cached\r\n",
        statuses: &[200, 400, 413, 504],
    },
    Unread {
        name: "a webhook that may be too large",
        way: "/wa-webhook-core",
        before: None,
        head: b"POST $T HTTP/1.1\r\n",
        statuses: &[200, 413],
    },
    Unread { name: "an upload that may be too large", way: "/plain", before: None, head: b"POST $T HTTP/1.1\r\n", statuses: &[200, 413] },
    Unread { name: "TRACE", way: "/plain", before: None, head: b"TRACE $T HTTP/1.1\r\n", statuses: &[400, 405] },
    Unread { name: "CONNECT", way: "/plain", before: None, head: b"CONNECT a.test:80 HTTP/1.1\r\n", statuses: &[400, 405] },
    Unread { name: "a bad Host", way: "/plain", before: None, head: b"POST $T HTTP/1.1\r\nHost: b.test\r\n", statuses: &[400] },
    Unread { name: "a bad target", way: "/plain", before: None, head: b"POST plain HTTP/1.1\r\n", statuses: &[400] },
    Unread { name: "a busy function", way: "/held", before: None, head: b"POST $T HTTP/1.1\r\n", statuses: &[503, 413] },
];

/// Framing field and body: small enough to be drained, and larger than any limit; all of requests that nobody means.
fn bodies() -> [(&'static str, Vec<u8>, Vec<u8>); 4] {
    let large = SMUGGLED.repeat(5_000);
    let chunks = || b"Transfer-Encoding: chunked".to_vec();
    [
        ("small", length(SMUGGLED), SMUGGLED.to_vec()),
        ("large", length(&large), large.clone()),
        ("small, in chunks", chunks(), chunked(SMUGGLED)),
        ("large, in chunks", chunks(), chunked(&large)),
    ]
}

/// Nothing of the body became a request, the answer is one of those that may be, and both callers got their own.
fn judge(seen: &Observed, statuses: &[u16]) -> Result<(), String> {
    let status = match &seen.heard[0] {
        Heard::Answer(answer) => answer.status(),
        other => return Err(format!("heard {other:?}")),
    };
    let own = |heard: &Heard, target: &str| matches!(heard, Heard::Answer(a) if a.body == format!("GET {target} 0").as_bytes());
    let Targets { smuggled, next, victim, .. } = &seen.targets;
    let stray = |a: &&Arrival| match a {
        Arrival::Request(request) => request.start[1] == *smuggled,
        Arrival::Malformed(..) => true,
        Arrival::Cut => false,
    };
    match () {
        () if !statuses.contains(&status) => Err(format!("answered {status}")),
        () if seen.arrivals.iter().any(|a| stray(&a)) => Err("the body became a request".into()),
        () if !own(&seen.victim, victim) => Err(format!("the victim heard {:?}", seen.victim)),
        () if !matches!(&seen.next, None | Some(Heard::Closed)) && !seen.next.as_ref().is_some_and(|heard| own(heard, next)) => {
            Err(format!("the next request heard {:?}", seen.next))
        }
        () if !matches!(seen.rest, Heard::Closed) => Err(format!("at last {:?}", seen.rest)),
        () => Ok(()),
    }
}

async fn send(bench: &mut Bench, one: &Unread, framing: &[u8], body: &[u8]) -> Observed {
    let targets = bench.targets(one.way);
    let fill = |bytes: &[u8]| expand(bytes, &targets.meant, &targets.smuggled);
    let address = bench.sidecar.address;
    if let Some(before) = one.before {
        let mut caller = Caller::open(address).await;
        caller.send(&fill(&[before, b"Host: a.test\r\n\r\n"].concat()), Delivery::Whole).await;
        assert!(matches!(caller.hear("GET").await, Heard::Answer(a) if a.status() == 200));
        bench.origin.take();
    }
    let mut caller = Caller::open(address).await;
    let head = [one.head, b"Host: a.test\r\n", framing, b"\r\n\r\n"].concat();
    caller.send(&fill(&[&head[..], body].concat()), Delivery::Whole).await;
    let method = if one.head.starts_with(b"HEAD") { "HEAD" } else { "GET" };
    bench.observe(&mut caller, targets, method, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_reads_never_becomes_a_request() {
    let limits = |s: &mut edge_sidecar::config::Sidecar| (s.limits.body, s.limits.in_flight_per_function) = (BODY_LIMIT, 2);
    let mut bench = Bench::start(RULES, limits).await;
    // the function `held` is busy from here on
    let mut busy = [Caller::open(bench.sidecar.address).await, Caller::open(bench.sidecar.address).await];
    for caller in &mut busy {
        caller.send(b"GET /held/first HTTP/1.1\r\nHost: a.test\r\n\r\n", Delivery::Whole).await;
    }
    until("the function is busy", async || (bench.origin.requests() == 2).then_some(())).await;
    bench.origin.take();
    let mut wrongs = Vec::new();
    for one in UNREAD {
        for (name, framing, body) in bodies() {
            let seen = send(&mut bench, one, &framing, &body).await;
            if let Err(why) = judge(&seen, one.statuses) {
                let mut got = format!("{:?}", seen.arrivals);
                got.truncate(600);
                wrongs.push(format!("{}, {name}: {why}\n  function got {got}", one.name));
            }
        }
    }
    bench.gate.open();
    for caller in &mut busy {
        assert!(matches!(caller.hear("GET").await, Heard::Answer(a) if a.status() == 200));
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_behind_a_duplicate_is_answered_in_its_turn_or_dropped() {
    let mut bench = Bench::start(RULES, |_| ()).await;
    let body = message("twice").into_bytes();
    for (name, framing, body) in
        [("length", length(&body), body.clone()), ("chunks", b"Transfer-Encoding: chunked".to_vec(), chunked(&body))]
    {
        for repeat in 0..3 {
            let targets = bench.targets("/wa-webhook-core");
            let mut caller = Caller::open(bench.sidecar.address).await;
            let head = [b"POST /wa-webhook-core HTTP/1.1\r\nHost: a.test\r\n", &framing[..], b"\r\n\r\n"].concat();
            let bytes = expand(&[&head[..], &body, SMUGGLED].concat(), "", &targets.smuggled);
            caller.send(&bytes, Delivery::Whole).await;
            let seen = bench.observe(&mut caller, targets.clone(), "GET", 1).await;
            let Heard::Answer(first) = &seen.heard[0] else { panic!("{name} {repeat}: {seen:?}") };
            let duplicate = first.body == br#"{"success":true,"duplicate":true}"#;
            assert_eq!(duplicate, name == "chunks" || repeat > 0, "{name} {repeat}: {first:?}");
            let second = seen.arrivals.iter().filter(|a| matches!(a, Arrival::Request(r) if r.start[1] == targets.smuggled)).count();
            match seen.heard.get(1) {
                None | Some(Heard::Closed) => assert_eq!(second, 0, "{name} {repeat}"),
                Some(Heard::Answer(answer)) => {
                    assert_eq!((&*answer.body, second), (format!("GET {} 0", targets.smuggled).as_bytes(), 1), "{name} {repeat}");
                }
                other => panic!("{name} {repeat}: {other:?}"),
            }
            assert!(seen.arrivals.iter().all(|a| matches!(a, Arrival::Request(_))), "{name} {repeat}: {:?}", seen.arrivals);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_costs_its_connection() {
    let mut bench = Bench::start(RULES, |s| s.limits.body_timeout = Duration::from_millis(300)).await;
    for head in [&b"POST $T HTTP/1.1\r\n"[..], b"POST $T HTTP/1.1\r\nExpect: 100-continue\r\n"] {
        for framing in [&b"Content-Length: 1000\r\n\r\n"[..], b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n"] {
            let targets = bench.targets("/wa-webhook-core");
            let mut caller = Caller::open(bench.sidecar.address).await;
            let bytes = [head, b"Host: a.test\r\n", framing, SMUGGLED].concat();
            caller.send(&expand(&bytes, &targets.meant, &targets.smuggled), Delivery::Whole).await;
            let seen = bench.observe(&mut caller, targets, "GET", 0).await;
            judge(&seen, &[400, 408]).unwrap_or_else(|why| panic!("{}: {why}", bytes.escape_ascii()));
            assert!(!matches!(seen.next, Some(Heard::Answer(_))), "what follows belongs to the body: {seen:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_for_functions_that_are_down_never_becomes_a_request() {
    let dead = crate::support::free_port();
    let sidecar = in_front_of(&format!("http://127.0.0.1:{dead}")).rules(RULES).with(|s| s.upstreams[0].retries.attempts = 1).start().await;
    for way in ["/plain", "/profile", "/wa-webhook-core"] {
        for (name, framing, body) in bodies().into_iter().filter(|(name, ..)| name.starts_with("small")) {
            let mut caller = Caller::open(sidecar.address).await;
            let head = [b"POST $T HTTP/1.1\r\nHost: a.test\r\n", &framing[..], b"\r\n\r\n"].concat();
            caller.send(&expand(&[&head[..], &body].concat(), way, "/smuggled/00000"), Delivery::Whole).await;
            assert!(matches!(caller.hear("GET").await, Heard::Answer(a) if a.status() == 502), "{way}, {name}");
            caller.end().await;
            let rest = caller.hear("GET").await;
            assert!(matches!(rest, Heard::Closed), "{way}, {name}: one answer, not one for what is in the body: {rest:?}");
        }
    }
    let clean = client::send(sidecar.address, &client::get("/plain")).await;
    assert_eq!(clean.json()["error"], "connect_failed");
}
