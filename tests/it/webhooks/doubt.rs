//! On any doubt the request goes to the function, as often as it comes.

use super::{CORE, RULES, message, sidecar, status, verdict, webhook};
use crate::support::client::{Request, get, post, request};
use crate::support::origin::{Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};

/// Sends a request three times and asserts that the function saw it each time, with its body as it is.
async fn assert_always_forwarded(sidecar: &Sidecar, origin: &Origin, request: Request, body: &[u8], word: &str) {
    for round in 0..3 {
        let before = origin.count();
        let answer = sidecar.send(request.clone()).await;
        assert_eq!(verdict(&answer), (200, word), "round {round} of {request:?}");
        assert!(!answer.has("x-duplicate"));
        assert_eq!(origin.count(), before + 1, "round {round} of {request:?}");
        assert_eq!(origin.seen()[before].message.body, body, "round {round}");
    }
}

fn thrice<T>(sent: &[T]) -> f64 {
    f64::from(u32::try_from(sent.len() * 3).expect("a few"))
}

fn skipped(reason: &str) -> String {
    format!(r#"edge_sidecar_dedup_skipped_total{{reason="{reason}",rule="whatsapp"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_id() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let blank = [r#""id":"""#, r#""id":null"#, r#""id":{}"#, r#""id":["wamid.a"]"#, r#""id":true"#, r#""no":"id""#];
    let items = blank.map(|id| message("wamid.a").replace(r#""id":"wamid.a""#, id));
    let others = ["{}", "[]", "null", "7", r#""text""#, r#"{"entry":[]}"#, r#"{"entry":[{"changes":[{"value":{}}]}]}"#, r#"{"id":"x"}"#];
    let bodies = items.into_iter().chain(others.map(str::to_owned)).collect::<Vec<_>>();
    for body in &bodies {
        assert_always_forwarded(&sidecar, &origin, webhook(body.clone()), body.as_bytes(), "SKIPPED; reason=no_id").await;
    }
    sidecar.until_series(&skipped("no_id"), thrice(&bodies)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unparsable() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let whole = message("wamid.a");
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let bodies: Vec<Vec<u8>> = vec![
        whole[..whole.len() - 1].into(),
        format!("{whole}x").into(),
        format!("{whole}{whole}").into(),
        whole.replace(':', "=").into(),
        "Body=hello&From=whatsapp%3A2".into(),
        vec![0x1f, 0x8b, 0x08, 0x00],
        Vec::new(),
        deep.into(),
    ];
    for body in &bodies {
        assert_always_forwarded(&sidecar, &origin, webhook(body.clone()), body, "SKIPPED; reason=unparsable").await;
    }
    sidecar.until_series(&skipped("unparsable"), thrice(&bodies)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encoded() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    for coding in ["gzip", "br", "identity"] {
        let body = message("wamid.a");
        let request = webhook(body.clone()).header("Content-Encoding", coding);
        assert_always_forwarded(&sidecar, &origin, request, body.as_bytes(), "SKIPPED; reason=encoded").await;
        assert_eq!(origin.seen().pop().expect("just seen").header("content-encoding"), coding);
    }
    sidecar.until_series(&skipped("encoded"), 9.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_path() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    assert_eq!(verdict(&sidecar.send(webhook(message("wamid.a"))).await), (200, "NEW"));
    let targets = [
        "/x/../wa-webhook-core",
        "//wa-webhook-core",
        "/./wa-webhook-core",
        "/wa%2Dwebhook-core",
        "/functions/v1//wa-webhook-core",
        "/wa-webhook-core/.",
    ];
    for target in targets {
        let body = message("wamid.a");
        assert_always_forwarded(&sidecar, &origin, post(target, body.clone()), body.as_bytes(), "SKIPPED; reason=odd_path").await;
        assert_eq!(origin.seen().pop().expect("just seen").target(), target, "the raw path is forwarded");
    }
    sidecar.until_series(&skipped("odd_path"), thrice(&targets)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_and_other_methods_are_left_alone() {
    let rules = RULES.replace(", method: POST", "");
    for rules in [RULES, &rules] {
        let origin = Origin::start(|seen| {
            let challenge = seen.target().split("hub.challenge=").nth(1).unwrap_or_default().to_owned();
            Reply::new(if seen.method() == "OPTIONS" { 204 } else { 200 }, &[("Access-Control-Allow-Origin", "*")], challenge)
        })
        .await;
        let sidecar = in_front_of(&origin.url()).rules(rules).start().await;
        let target = "/wa-webhook-core?hub.mode=subscribe&hub.verify_token=secret&hub.challenge=1158201444";
        for round in 1..=2 {
            let answer = sidecar.send(get(target)).await;
            assert_eq!((answer.status, answer.text().as_str(), answer.has("x-dedup")), (200, "1158201444", false));
            assert!(!answer.has("x-cache"));
            let preflight = request("OPTIONS", CORE).header("Origin", "https://a").header("Access-Control-Request-Method", "POST");
            let answer = sidecar.send(preflight).await;
            assert_eq!((answer.status, answer.header("access-control-allow-origin"), answer.has("x-dedup")), (204, "*", false));
            assert_eq!(origin.seen().pop().expect("just seen").header("access-control-request-method"), "POST");
            assert_eq!(origin.count(), round * 2);
        }
        assert_eq!(origin.seen()[0].target(), target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_is_left_alone() {
    // the origin of these tests sends a body with every answer that has a length, which no HEAD may have
    let origin = Origin::start(|_| Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")).await;
    let sidecar = sidecar(&origin).await;
    for round in 1..=2 {
        let answer = sidecar.send(request("HEAD", CORE)).await;
        assert_eq!((answer.status, answer.header("content-length"), answer.has("x-dedup")), (200, "5", false));
        assert_eq!((origin.count(), origin.seen()[0].method()), (round, "HEAD"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_rule_names_or_one_excludes_is_not_looked_at() {
    let excluded = format!(r#"{RULES}  exclude: ["/wa-webhook-core/raw", {{ name: replay, match: {{ header: {{ x-replay: "*" }} }} }}]"#);
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(&excluded).start().await;
    let body = message("wamid.a");
    assert_eq!(verdict(&sidecar.send(webhook(body.clone())).await), (200, "NEW"));
    for request in [
        post("/wa-webhook-core/raw", body.clone()),
        webhook(body.clone()).header("X-Replay", "1"),
        post("/profile", body.clone()),
        request("PUT", CORE).header("Content-Length", "0"),
    ] {
        for _ in 0..2 {
            let before = origin.count();
            let answer = sidecar.send(request.clone()).await;
            assert_eq!((answer.status, answer.has("x-dedup"), origin.count()), (200, false, before + 1), "{request:?}");
        }
    }
    assert_eq!(verdict(&sidecar.send(webhook(body)).await), (200, "DUPLICATE"));
    let matched = r#"edge_sidecar_rule_matches_total{rule="whatsapp"}"#;
    sidecar.until_series(matched, 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubtful_request_changes_nothing_for_the_sure_ones() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let encoded = webhook(message("wamid.a")).header("Content-Encoding", "gzip");
    assert_eq!(verdict(&sidecar.send(encoded).await), (200, "SKIPPED; reason=encoded"));
    assert_eq!(verdict(&sidecar.send(post("//wa-webhook-core", message("wamid.a"))).await), (200, "SKIPPED; reason=odd_path"));
    assert_eq!(verdict(&sidecar.send(webhook(message("wamid.a"))).await), (200, "NEW"));
    assert_eq!(verdict(&sidecar.send(webhook(status("wamid.a", "read"))).await), (200, "NEW"));
    assert_eq!(origin.count(), 4);
}
