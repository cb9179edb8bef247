//! Signatures through the whole way: what is signed reaches the function, what is not is 401 and claims nothing, and secrets change without
//! a restart ([`secrets`]). That each scheme is the vendor's is shown beside `dedup::signature`, with published examples.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edge_sidecar::clock::Clock;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tempfile::TempDir;

use crate::support::client::{Answer, Request, get, post, request};
use crate::support::origin::{Origin, Reply};
use crate::support::routes::message;
use crate::support::sidecar::{Sidecar, in_front_of};

mod secrets;

const SECRET: &str = "CANARY-of-signatures";
const REFUSED: &str = r#"edge_sidecar_requests_refused_total{reason="bad_signature"}"#;

fn hmac(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// A body signed as Meta does.
fn meta(request: Request, secret: &str, body: &[u8]) -> Request {
    request.header("X-Hub-Signature-256", &format!("sha256={}", hex(&hmac(secret.as_bytes(), &[body]))))
}

fn webhook(id: &str, secret: &str) -> Request {
    meta(post("/wa-webhook", message(id)), secret, message(id).as_bytes())
}

/// A watched rules file with one rule for Meta's webhooks, and its secret.
struct Signed {
    folder: TempDir,
    origin: Origin,
    sidecar: Sidecar,
}

impl Signed {
    fn rules(folder: &Path) -> String {
        let secret = folder.join("secret").display().to_string();
        format!(
            "version: 1\ndedup:\n  include:\n    - name: whatsapp\n      match: {{ function: \"wa-webhook*\" }}\n      id: whatsapp\n      window: 24h\n      verify: {{ scheme: meta, secret_file: {secret} }}\n"
        )
    }

    async fn start(change: impl FnOnce(&mut edge_sidecar::config::Sidecar)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("secret"), format!("{SECRET}\n")).expect("writable");
        let file = folder.path().join("rules.yaml");
        fs::write(&file, Self::rules(folder.path())).expect("writable");
        let origin = Origin::start(|seen| Reply::ok(&seen.message.body)).await;
        let sidecar = in_front_of(&origin.url()).watching(file).with(change).start().await;
        Self { folder, origin, sidecar }
    }
}

fn assert_unsigned(answer: &Answer, what: &str) {
    let seen = (answer.status, answer.header("content-type"), answer.json()["error"].clone(), answer.has("x-dedup"));
    assert_eq!(seen, (401, "application/json", "bad_signature".into(), false), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_claims_nothing_and_what_is_arrives_byte_for_byte() {
    let Signed { origin, sidecar, .. } = Signed::start(|_| ()).await;
    let body = message("wamid.1");
    let forged = [
        ("without a signature", post("/wa-webhook", body.clone())),
        ("another's secret", webhook("wamid.1", "other")),
        ("of another body", meta(post("/wa-webhook", body.clone()), SECRET, b"{}")),
        ("the same JSON written differently", meta(post("/wa-webhook", format!("{body} ")), SECRET, body.as_bytes())),
        ("twice", meta(webhook("wamid.1", SECRET), SECRET, body.as_bytes())),
        ("by another method", request("PUT", "/wa-webhook").with_body(body.clone())),
        ("without a body", post("/wa-webhook", "")),
    ];
    let all = forged.len();
    for (what, request) in forged {
        assert_unsigned(&sidecar.send(request).await, what);
    }
    assert_eq!(origin.count(), 0);
    let count = f64::from(u32::try_from(all).expect("few"));
    sidecar.until_series(REFUSED, count).await;
    sidecar.until_series(r#"edge_sidecar_dedup_requests_total{result="bad_signature",rule="whatsapp"}"#, count).await;
    sidecar.until_series(r#"edge_sidecar_requests_total{code="401",function="other",outcome="refused"}"#, count).await;
    // the forged copies suppressed nothing; the body need not be UTF-8
    for (mark, calls) in [("NEW", 1), ("DUPLICATE", 1)] {
        let answer = sidecar.send(webhook("wamid.1", SECRET)).await;
        assert_eq!((answer.status, answer.header("x-dedup"), origin.count()), (200, mark, calls));
    }
    let odd = [message("wamid.2").as_bytes(), b"\xff"].concat();
    let answer = sidecar.send(meta(post("/wa-webhook", odd.clone()), SECRET, &odd)).await;
    assert_eq!((answer.status, answer.header("x-dedup")), (200, "SKIPPED; reason=unparsable"));
    assert_eq!(origin.seen()[1].message.body, odd);
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_and_preflights_need_none() {
    let Signed { origin, sidecar, .. } = Signed::start(|_| ()).await;
    let handshake = "/wa-webhook?hub.mode=subscribe&hub.challenge=42&hub.verify_token=t";
    for request in [get(handshake), request("HEAD", handshake), request("OPTIONS", "/wa-webhook")] {
        assert_eq!(sidecar.send(request).await.status, 200);
    }
    assert_eq!((origin.count(), sidecar.series(REFUSED).await.to_bits()), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_past_it_however_the_request_is_made() {
    let Signed { origin, sidecar, .. } = Signed::start(|s| s.limits.body = 10_000).await;
    let body = message("wamid.1");
    let ways: [(&str, Request, &str); 6] = [
        ("chunked", post("/wa-webhook", body.clone()).chunked(), "NEW"),
        ("expecting", post("/wa-webhook", message("wamid.1")).expecting(), "DUPLICATE"),
        ("HTTP/1.0", post("/wa-webhook", message("wamid.1")).http10(), "DUPLICATE"),
        ("an odd path", post("/x/../wa-webhook", body.clone()), "SKIPPED; reason=odd_path"),
        ("encoded", post("/wa-webhook", body.clone()).header("Content-Encoding", "identity"), "SKIPPED; reason=encoded"),
        ("an odd path, chunked", post("//wa-webhook", body.clone()).chunked(), "SKIPPED; reason=odd_path"),
    ];
    for (way, unsigned, mark) in ways {
        let calls = origin.count();
        assert_unsigned(&sidecar.send(unsigned.clone()).await, way);
        assert_eq!(origin.count(), calls, "{way}");
        let answer = sidecar.send(meta(unsigned, SECRET, body.as_bytes())).await;
        assert_eq!((answer.status, answer.header("x-dedup")), (200, mark), "{way}");
        if mark != "DUPLICATE" {
            assert_eq!(origin.seen()[calls].message.body, body.as_bytes(), "{way}");
        }
    }
    let large = "x".repeat(20_000);
    for framing in [|r: Request| r, Request::chunked] {
        let answer = sidecar.send(framing(meta(post("/wa-webhook", large.clone()), SECRET, large.as_bytes()))).await;
        assert_eq!(answer.status, 413, "larger than what is read whole");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_the_body_the_sender_is_told_to_come_again() {
    let Signed { origin, sidecar, .. } = Signed::start(|s| s.memory.bodies = 16).await;
    for framing in [|r: Request| r, Request::chunked] {
        for request in [webhook("wamid.1", SECRET), meta(post("//wa-webhook", message("wamid.1")), SECRET, message("wamid.1").as_bytes())] {
            let answer = sidecar.send(framing(request)).await;
            assert_eq!((answer.status, answer.header("retry-after"), answer.has("x-dedup")), (503, "1", false));
            assert_eq!(answer.json()["error"], "bodies");
        }
    }
    assert_eq!(origin.count(), 0);
    sidecar.until_series(r#"edge_sidecar_requests_shed_total{reason="bodies"}"#, 4.0).await;
}

/// Scheme, secret, whether a time is signed, the signed fields.
type Case<'a> = (&'static str, &'a str, bool, Vec<(&'static str, String)>);

#[tokio::test(flavor = "multi_thread")]
async fn each_sender_is_heard_by_its_own_scheme_and_old_copies_are_not() {
    let clock = Clock::manual();
    let seconds = clock.wall().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let key = STANDARD.encode(SECRET);
    let body: &[u8] = br#"{"id":"evt_1","event_id":"Ev1","update_id":7}"#;
    let base64 = |parts: &[&[u8]]| STANDARD.encode(hmac(SECRET.as_bytes(), parts));
    let hexed = |parts: &[&[u8]]| hex(&hmac(SECRET.as_bytes(), parts));
    let id = ("webhook-id", "msg_1".to_owned());
    let cases: Vec<Case<'_>> = vec![
        ("github", SECRET, false, vec![("X-GitHub-Delivery", "1".into()), ("X-Hub-Signature-256", format!("sha256={}", hexed(&[body])))]),
        ("shopify", SECRET, false, vec![("X-Shopify-Webhook-Id", "1".into()), ("X-Shopify-Hmac-Sha256", base64(&[body]))]),
        ("telegram", SECRET, false, vec![("X-Telegram-Bot-Api-Secret-Token", SECRET.into())]),
        ("stripe", SECRET, true, vec![("Stripe-Signature", format!("t={seconds},v1={}", hexed(&[seconds.as_bytes(), b".", body])))]),
        (
            "slack",
            SECRET,
            true,
            vec![
                ("X-Slack-Request-Timestamp", seconds.clone()),
                ("X-Slack-Signature", format!("v0={}", hexed(&[b"v0:", seconds.as_bytes(), b":", body]))),
            ],
        ),
        (
            "standard-webhooks",
            &key,
            true,
            vec![
                id,
                ("webhook-timestamp", seconds.clone()),
                ("webhook-signature", format!("v1,{}", base64(&[b"msg_1.", seconds.as_bytes(), b".", body]))),
            ],
        ),
    ];
    let mut all = Vec::new();
    for (scheme, secret, timed, fields) in cases {
        let file = folder.path().join(scheme);
        fs::write(&file, secret).expect("writable");
        let origin = Origin::start(|_| Reply::ok("{}")).await;
        let rules = format!(
            "dedup:\n  include:\n    - {{ name: hook, match: {{ function: hook }}, id: {scheme}, verify: {{ scheme: {scheme}, secret_file: {} }} }}\n",
            file.display()
        );
        let sidecar = in_front_of(&origin.url()).rules(&rules).clock(&clock).start().await;
        let signed = fields.iter().fold(post("/hook", body), |request, (name, value)| request.header(name, value));
        assert_unsigned(&sidecar.send(post("/hook", body)).await, scheme);
        for mark in ["NEW", "DUPLICATE"] {
            let answer = sidecar.send(signed.clone()).await;
            assert_eq!((answer.status, answer.header("x-dedup")), (200, mark), "{scheme}");
        }
        assert_eq!(origin.seen()[0].message.body, body, "{scheme}");
        all.push((scheme, timed, sidecar, signed));
    }
    clock.advance(Duration::from_secs(301));
    for (scheme, timed, sidecar, signed) in all {
        let answer = sidecar.send(signed).await;
        assert_eq!(answer.status, if timed { 401 } else { 200 }, "{scheme}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_its_path_and_no_method_leads_past_it() {
    let Signed { origin, sidecar, .. } = Signed::start(|_| ()).await;
    let spellings = [
        "/wa%2Dwebhook",
        "/%77a-webhook",
        "/x/%2e%2e/wa-webhook",
        "/./wa-webhook",
        "//wa-webhook",
        "/wa-webhook/",
        "/wa-webhook%2F",
        "/wa-webhook;x",
        "/wa-webhook?hub.mode=subscribe&hub.challenge=1",
    ];
    for target in spellings {
        assert_unsigned(&sidecar.send(post(target, message("wamid.1"))).await, target);
    }
    for target in ["/x\\..\\wa-webhook", "\\wa-webhook", "/wa-webhook#x", "http://localhost/wa-webhook"] {
        assert_eq!(sidecar.send(post(target, message("wamid.1"))).await.status, 400, "{target}");
    }
    for method in ["post", "get", "PUT", "PATCH", "DELETE", "QUERY"] {
        assert_unsigned(&sidecar.send(request(method, "/wa-webhook").with_body(message("wamid.1"))).await, method);
    }
    assert_eq!(origin.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_not_called_skipped() {
    let Signed { sidecar, .. } = Signed::start(|s| s.limits.body = 1_000).await;
    let large = "x".repeat(2_000);
    let requests =
        [(413, meta(post("//wa-webhook", large.clone()), SECRET, large.as_bytes())), (401, post("//wa-webhook", message("wamid.1")))];
    for (status, request) in requests {
        let answer = sidecar.send(request).await;
        assert_eq!((answer.status, answer.has("x-dedup")), (status, false));
        let line = sidecar.line("request", answer.header("x-request-id")).await;
        assert_eq!((&line["outcome"], &line["reason"]), (&"refused".into(), &serde_json::Value::Null), "{line}");
    }
    sidecar.until_series(r#"edge_sidecar_requests_total{code="401",function="other",outcome="refused"}"#, 1.0).await;
    assert_eq!(sidecar.series(r#"edge_sidecar_dedup_skipped_total{reason="odd_path",rule="whatsapp"}"#).await.to_bits(), 0);
}
