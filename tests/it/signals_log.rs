//! The access log over a running sidecar: fields in their order, nothing secret, slow lines, ids.

use std::time::Duration;

use edge_sidecar::clock::Clock;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::signals_traffic::{functions, left, message, mixed, sidecar, spawn};
use crate::support::client::{Request, get, post};
use crate::support::origin::{Gate, Origin, Reply, Step};
use crate::support::sidecar::in_front_of;
use crate::support::until;

/// The fields of interface.md 6, in their order, and the two that only slow lines have.
const ORDER: &str = "ts level event request_id trace_id method path function status outcome rule reason age_s dedup duration_ms upstream spent phases bytes_in bytes_out slow error gen";
const DEDUP: &str = "ids new repeated waited_ms";
const UPSTREAM: &str = "addr status connect_ms first_byte_ms reused retries";

/// The keys of an object as they stand in the text.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Keys;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn keys(text: &str) -> Vec<String> {
    serde_json::from_str::<Keys>(text).unwrap_or_else(|e| panic!("{e}: {text}")).0
}

/// The text of an inner object, which holds no further one.
fn inner<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let rest = &line[line.find(&format!("\"{key}\":{{"))? + key.len() + 3..];
    Some(&rest[..=rest.find('}')?])
}

fn in_order(keys: &[String], order: &str, line: &str) {
    let mut known = order.split(' ');
    for key in keys {
        assert!(known.any(|k| k == key), "{key} is unknown, comes twice or too late: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_has_its_fields_in_the_documented_order() {
    let gate = Gate::new();
    let origin = functions(&gate).await;
    let sidecar = sidecar(&origin).start().await;
    left(&sidecar, &origin).await;
    let sent = mixed(&sidecar, &origin, &gate).await.total() + 1;
    let log = until("a line for each request", async || {
        let log = sidecar.raw_log();
        let lines = log.lines().filter(|l| l.contains(r#""event":"request""#)).count();
        (lines as u64 == sent).then_some(log)
    })
    .await;
    let mut seen = Vec::new();
    for line in log.lines() {
        let keys = keys(line);
        in_order(&keys, ORDER, line);
        for always in
            ["ts", "level", "event", "request_id", "trace_id", "method", "path", "function", "status", "outcome", "duration_ms", "gen"]
        {
            assert!(keys.iter().any(|k| k == always), "no {always}: {line}");
        }
        for (object, order) in [("dedup", DEDUP), ("upstream", UPSTREAM)] {
            if let Some(text) = inner(line, object) {
                in_order(&self::keys(text), order, line);
            }
        }
        seen.extend(keys);
    }
    for field in ORDER.split(' ').filter(|f| !["spent", "phases"].contains(f)) {
        assert!(seen.iter().any(|k| k == field), "no line had {field}");
    }
    let gone = log.lines().find(|l| l.contains(r#""status":0"#)).expect("a line of the caller that left");
    assert!(gone.contains(r#""outcome":"failed""#) && gone.contains(r#""error":"caller_gone""#), "{gone}");
}

const CANARY: &str = "c4n4ry";

/// Puts the canary wherever a caller may put a secret.
fn with_secrets(request: Request) -> Request {
    let secrets = [
        ("authorization", "Bearer c4n4ry"),
        ("apikey", "c4n4ry"),
        ("cookie", "session=c4n4ry"),
        ("x-api-key", "c4n4ry"),
        ("referer", "https://c4n4ry.test/?c4n4ry"),
        ("user-agent", "c4n4ry"),
        ("x-request-id", "c4n4ry not well formed"),
        ("traceparent", "00-c4n4ry"),
        ("x-forwarded-for", "c4n4ry"),
        ("host", "c4n4ry.test"),
    ];
    secrets.iter().fold(request, |r, (name, value)| r.header(name, value))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_reaches_the_log_or_the_metrics() {
    let origin = Origin::start(|seen| match seen.target() {
        t if t.starts_with("/lost") => Reply::empty().then(Step::Close),
        t if t.starts_with("/broken") => Reply::new(500, &[("set-cookie", "c4n4ry")], "c4n4ry"),
        _ => Reply::new(200, &[("x-secret", "c4n4ry")], "c4n4ry"),
    })
    .await;
    let sidecar = sidecar(&origin).start().await;
    let phone = "/profile/250788123456/m/wamid.SECRETHBgL?token=c4n4ry";
    let requests = [
        get("/echo?token=c4n4ry"),
        get(phone),
        get(phone),
        get("/app-config?c4n4ry"),
        get("/broken?c4n4ry=1"),
        get("/lost?a=c4n4ry"),
        post("/wa-webhook-core?c4n4ry", message(&["wamid.SECRETHBgL"])),
        post("/wa-webhook-core?c4n4ry", message(&["wamid.SECRETHBgL"])),
        post("/wa-webhook-core", format!("{CANARY} no JSON")),
        post("/wa-webhook-core", CANARY.repeat(1000)),
        post("/upload?c4n4ry", CANARY),
    ];
    let count = requests.len();
    for request in requests {
        sidecar.send(with_secrets(request)).await;
    }
    until("a line for each request", async || (sidecar.lines().len() == count).then_some(())).await;
    assert!(origin.seen().iter().all(|s| s.header("authorization").contains(CANARY)), "the function gets what was sent");
    let (log, text, json) = (sidecar.raw_log(), sidecar.prometheus().await, sidecar.metrics().await.to_string());
    for (what, said) in [("log", log), ("text", text), ("JSON", json)] {
        for secret in [CANARY, "250788123456", "SECRETHBgL"] {
            assert!(!said.contains(secret), "{secret} in the {what}:\n{said}");
        }
    }
    let line = sidecar.lines().into_iter().find(|l| l["outcome"] == "hit").expect("a hit");
    assert_eq!((&line["path"], &line["function"]), (&"/profile/***/m/wamid.***".into(), &"profile".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_past_its_slow_rule_has_a_line_of_its_own() {
    let (gate, clock) = (Gate::new(), Clock::manual());
    let origin = functions(&gate).await;
    let rules = "slow:\n  - { match: { function: held }, after: 5ms }\n  - { match: \"**\", after: 1h }\n";
    let sidecar = in_front_of(&origin.url()).rules(rules).clock(&clock).start().await;
    let held = spawn(sidecar.address, get("/held").header("x-request-id", "slow-1"));
    let other = spawn(sidecar.address, post("/other", "held").header("x-request-id", "other-1"));
    origin.until(2).await;
    clock.advance(Duration::from_millis(6));
    gate.open();
    for answer in [held, other] {
        assert_eq!(answer.await.expect("no panic").status, 200);
    }
    let slow = sidecar.line("slow", "slow-1").await;
    assert_eq!(
        (&slow["level"], &slow["slow"], &slow["duration_ms"], &slow["function"]),
        (&"warn".into(), &true.into(), &6.0.into(), &"held".into())
    );
    assert_eq!(sidecar.line("request", "slow-1").await["slow"], true);
    assert_eq!(sidecar.line("request", "other-1").await["slow"], false);
    assert_eq!(sidecar.lines().iter().filter(|l| l["event"] == "slow").count(), 1);
    sidecar.until_series("edge_sidecar_requests_slow_total{function=\"held\"}", 1.0).await;
    assert_eq!(sidecar.metrics().await["handlers"]["held"]["slow"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rule_a_request_is_slow_after_a_second() {
    for (millis, slow) in [(1000, false), (1001, true)] {
        let (gate, clock) = (Gate::new(), Clock::manual());
        let origin = functions(&gate).await;
        let sidecar = in_front_of(&origin.url()).clock(&clock).start().await;
        let held = spawn(sidecar.address, get("/held").header("x-request-id", "r"));
        origin.until(1).await;
        clock.advance(Duration::from_millis(millis));
        gate.open();
        assert_eq!(held.await.expect("no panic").status, 200);
        assert_eq!(sidecar.line("request", "r").await["slow"], slow, "{millis} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_id_of_the_answer_is_that_of_the_line_and_of_the_function() {
    let origin = functions(&Gate::new()).await;
    let sidecar = sidecar(&origin).start().await;
    let requests = [
        get("/echo"),
        get("/profile"),
        get("/profile"),
        post("/wa-webhook-core", message(&["1"])),
        post("/wa-webhook-core", message(&["1"])),
        post("/lost", "{}"),
    ];
    for (i, request) in requests.into_iter().enumerate() {
        for (given, kept) in [(Some(format!("mine-{i}.a_B")), true), (Some("not well formed".to_owned()), false), (None, false)] {
            let calls = origin.count();
            let request = given.iter().fold(request.clone(), |r, id| r.header("x-request-id", id));
            let answer = sidecar.send(request).await;
            let id = answer.header("x-request-id").to_owned();
            assert_eq!(given.as_ref() == Some(&id), kept, "{id}");
            assert!(kept || (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())), "{id}");
            let line: Value = sidecar.line("request", &id).await;
            assert_eq!(line["status"], answer.status);
            if let Some(seen) = origin.seen().get(calls) {
                assert_eq!(seen.header("x-request-id"), id);
                assert_eq!(seen.header("traceparent").split('-').nth(1), line["trace_id"].as_str());
            }
            if answer.status == 502 {
                assert_eq!(answer.json()["requestId"], id.as_str());
            }
        }
    }
}
