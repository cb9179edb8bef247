//! The router over real sockets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock::Clock;
use crate::telemetry::Finished;
use crate::telemetry::readings::tests_support::readings;
use crate::telemetry::record::tests_support::finished;

struct Admin {
    address: std::net::SocketAddr,
    metrics: Arc<Metrics>,
    draining: Arc<AtomicBool>,
}

struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_str(&self.body).expect("JSON")
    }
}

impl Admin {
    async fn start(door: Door, token: Option<&str>) -> Self {
        let metrics = Arc::new(Metrics::new(Box::new(readings), Clock::manual(), None));
        let draining = Arc::new(AtomicBool::new(false));
        let (flag, begun) = (Arc::clone(&draining), Arc::clone(&draining));
        let state = AdminState {
            metrics: Arc::clone(&metrics),
            live: Arc::new(Live::start("rules.yaml", b"version: 1\n", Clock::manual().wall()).expect("good rules")),
            clock: Clock::manual(),
            explain: Box::new(|site, question| json!({ "listener": site.listener, "target": question.target() })),
            ready: Box::new(move || Ready { missing: flag.load(Relaxed).then_some("draining").into_iter().collect() }),
            warmup: Box::new(|| json!({ "started": true, "steps": [] })),
            warm: Box::new(|| Box::pin(async { None })),
            trace: Box::new(|id| Traced { events: Vec::new(), since: Some(id.to_owned()) }),
            cache: Box::new(|| json!({ "entries": 0 })),
            purge_cache: Box::new(|_, manner| 1 + manner as u64),
            purge: Box::new(str::len),
            drain: Box::new(move || usize::from(!begun.swap(true, Relaxed))),
            token: token.and_then(Token::from_file_text),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, router(Arc::new(state), door)).await });
        Self { address, metrics, draining }
    }

    async fn send(&self, request: &str, fields: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("listening");
        let head = format!("{request} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n{fields}\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head[9..12].parse().expect("a status");
        let fields = head.lines().skip(1).filter_map(|l| l.split_once(": ")).map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()));
        Answer { status, headers: fields.collect(), body: body.to_owned() }
    }
}

#[tokio::test]
async fn metrics_come_in_the_form_asked_for() {
    let admin = Admin::start(Door::Open, None).await;
    let json = admin.send("GET /metrics", "").await;
    assert_eq!((json.status, json.json()["clientPool"]["functions"]["reuseRate"].clone()), (200, json!(0.75)));
    let scraper =
        "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\nAccept-Encoding: gzip\r\n";
    for (request, fields) in [("GET /metrics?format=prometheus", "Accept: application/json\r\n"), ("GET /metrics", scraper)] {
        let text = admin.send(request, fields).await;
        assert_eq!(text.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        assert!(text.body.starts_with("# HELP edge_sidecar_") && !text.headers.contains_key("content-encoding"));
        assert_eq!((&*text.headers["vary"], &*text.headers["cache-control"]), ("accept", "no-store"));
    }
    let forced = admin.send("GET /metrics?format=json", scraper).await;
    assert!(forced.json().is_object());
    assert_eq!(admin.send("GET /metrics?format=xml", "").await.json()["error"], "bad_request");
}

#[tokio::test]
async fn head_has_the_head_of_get_and_no_body() {
    let admin = Admin::start(Door::Trusted, None).await;
    for path in ["/metrics?format=prometheus", "/health", "/livez", "/readyz", "/config"] {
        let (get, head) = (admin.send(&format!("GET {path}"), "").await, admin.send(&format!("HEAD {path}"), "").await);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(head.headers["content-type"], get.headers["content-type"]);
        assert_eq!(get.headers["content-length"], get.body.len().to_string());
        assert!(head.headers["content-length"].parse::<usize>().is_ok_and(|n| n > 0));
    }
}

#[tokio::test]
async fn sums_are_open_and_the_rest_is_not() {
    let admin = Admin::start(Door::Open, None).await;
    for path in ["/metrics", "/health", "/livez", "/readyz"] {
        assert_eq!(admin.send(&format!("GET {path}"), "").await.status, 200, "{path}");
    }
    let refused = admin.send("GET /config", "Authorization: Bearer anything\r\n").await;
    assert_eq!((refused.status, refused.json()["error"].clone()), (401, json!("unauthorized")));
    assert!(refused.headers["www-authenticate"].starts_with("Bearer") && refused.body.contains("socket"));

    let admin = Admin::start(Door::Open, Some("s3cret\n")).await;
    assert_eq!(admin.send("GET /config", "").await.status, 401);
    assert_eq!(admin.send("GET /config", "Authorization: Bearer s3cres\r\n").await.status, 401);
    assert_eq!(admin.send("GET /config", "Authorization: Bearer s3cret\r\n").await.json()["generation"], 1);

    let socket = Admin::start(Door::Trusted, None).await;
    assert_eq!(socket.send("GET /config", "").await.json()["generation"], 1);
}

#[tokio::test]
async fn a_drain_needs_trust_and_is_accepted_again() {
    let post = "Content-Length: 0\r\n";
    let admin = Admin::start(Door::Open, Some("s3cret")).await;
    assert_eq!(admin.send("POST /drain", post).await.status, 401);
    let trusted = format!("Authorization: Bearer s3cret\r\n{post}");
    assert_eq!(admin.send("POST /drain", &format!("Host: two.example\r\n{trusted}")).await.json()["error"], "bad_host");
    assert_eq!(admin.send("GET /drain", &trusted).await.status, 405);
    assert!(!admin.draining.load(Relaxed), "none of these began it");
    for running in [1, 0] {
        let answer = admin.send("POST /drain", &trusted).await;
        assert_eq!((answer.status, answer.json()), (202, json!({ "draining": true, "running": running })));
    }
    let text = admin.metrics.prometheus();
    for reason in ["bad_host", "unauthorized"] {
        assert!(text.contains(&format!("edge_sidecar_admin_refused_total{{reason=\"{reason}\"}} 1\n")), "{reason}");
    }
}

#[tokio::test]
async fn a_message_is_traced_and_purged_by_those_who_are_trusted() {
    let admin = Admin::start(Door::Open, Some("s3cret")).await;
    let trusted = "Authorization: Bearer s3cret\r\n";
    let body = |text: &str| format!("{trusted}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    assert_eq!(admin.send("GET /trace?id=a", "").await.status, 401);
    assert_eq!(admin.send("POST /dedup/purge", "Content-Length: 0\r\n").await.status, 401);
    let traced = admin.send("GET /trace?id=wamid.a%2Bb%3D", trusted).await;
    assert_eq!(traced.json(), json!({ "events": [], "since": "wamid.a+b=" }));
    assert_eq!(admin.send("POST /dedup/purge", &body(r#"{"message":"wamid.a"}"#)).await.json(), json!({ "purged": 7 }));
    for target in ["/trace", "/trace?id=", "/trace?ID=a"] {
        assert_eq!(admin.send(&format!("GET {target}"), trusted).await.status, 400, "{target}");
    }
    for text in ["", "{}", r#"{"message":""}"#, r#"{"message":7}"#, r#"{"message":"a","all":true}"#] {
        let answer = admin.send("POST /dedup/purge", &body(text)).await;
        assert_eq!((answer.status, answer.json()["error"].clone()), (400, json!("bad_request")), "{text}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_what_there_is() {
    let admin = Admin::start(Door::Open, None).await;
    let lost = admin.send("GET /metric", "").await;
    assert_eq!((lost.status, lost.json()["endpoints"][0].clone()), (404, json!("GET /")));
    let post = admin.send("POST /metrics", "Content-Length: 0\r\n").await;
    assert_eq!((post.status, post.json()["error"].clone(), &*post.headers["allow"]), (405, json!("method_not_allowed"), "GET,HEAD"));
}

#[tokio::test]
async fn health_judges_and_readiness_follows_the_drain() {
    let admin = Admin::start(Door::Open, None).await;
    let fresh = admin.send("GET /health", "").await.json();
    assert_eq!(fresh["status"], "healthy");
    assert_eq!(fresh["indicators"][0]["name"], "error_rate");
    (0..20).for_each(|_| admin.metrics.record(&Finished { status: 502, ..finished() }));
    let bad = admin.send("GET /health", "").await;
    let indicator = &bad.json()["indicators"][0];
    assert_eq!(
        (bad.status, indicator["ok"].clone(), indicator["value"].clone(), indicator["limit"].clone()),
        (503, json!(false), json!(1.0), json!(0.1))
    );
    assert!(indicator["since"].as_str().is_some_and(|s| s.ends_with('Z')));

    assert_eq!(admin.send("GET /readyz", "").await.json(), json!({ "ready": true, "reasons": [] }));
    admin.draining.store(true, Relaxed);
    let draining = admin.send("GET /readyz", "").await;
    assert_eq!((draining.status, draining.json()["reasons"][0].clone()), (503, json!("draining")));
    assert_eq!(admin.send("GET /livez", "").await.status, 200);
}
