//! The senders that are not WhatsApp: each preset from the first copy to the answer to a duplicate, and ids from a place a rule names.

use crate::support::client::{Request, post};
use crate::support::origin::{Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};

const JSON: &str = "application/json";
const USUAL: &str = r#"{"success":true,"duplicate":true}"#;
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// Fields of a head.
type Head<'a> = &'a [(&'a str, &'a str)];

/// A sidecar with one rule for the function `hook`.
async fn with_rule(origin: &Origin, rest: &str) -> Sidecar {
    let rules = format!("dedup:\n  include:\n    - {{ name: hook, match: {{ function: hook, method: POST }}, window: 24h, {rest} }}\n");
    in_front_of(&origin.url()).rules(&rules).start().await
}

fn hook(fields: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Request {
    fields.iter().fold(post("/hook", body), |request, (name, value)| request.header(name, value))
}

async fn accepting() -> Origin {
    Origin::start(|_| Reply::ok("{}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_preset_lets_one_copy_through_and_answers_the_next_as_its_sender_expects() {
    let messenger = r#"{"object":"page","entry":[{"id":"1","messaging":[{"message":{"mid":"m1","text":"😀"}}]}]}"#;
    let cases: [(&str, Head<'_>, &str, &str, &str); 9] = [
        ("stripe", &[], r#"{"id":"evt_1","type":"x"}"#, JSON, USUAL),
        ("github", &[("X-GitHub-Delivery", "72d3162e")], r#"{"zen":"."}"#, JSON, USUAL),
        ("shopify", &[("X-Shopify-Webhook-Id", "b54557e4")], "{}", JSON, USUAL),
        ("slack", &[], r#"{"type":"event_callback","event_id":"Ev1"}"#, "text/plain", ""),
        ("twilio", &[FORM], "MessageSid=SM1&Body=hi+there", "text/xml", "<Response/>"),
        ("twilio", &[FORM, ("I-Twilio-Idempotency-Token", "t1")], "MessageSid=SM2", "text/xml", "<Response/>"),
        ("telegram", &[], r#"{"update_id":77,"message":{}}"#, JSON, USUAL),
        ("standard-webhooks", &[("svix-id", "msg_1")], "not json", JSON, USUAL),
        ("messenger", &[], messenger, JSON, USUAL),
    ];
    for (preset, fields, body, media, answer) in cases {
        let origin = accepting().await;
        let sidecar = with_rule(&origin, &format!("id: {preset}")).await;
        let first = sidecar.send(hook(fields, body)).await;
        assert_eq!((first.status, first.header("x-dedup"), first.text().as_str()), (200, "NEW", "{}"), "{preset}");
        assert_eq!(origin.seen()[0].message.body, body.as_bytes(), "{preset}: byte for byte");
        let again = sidecar.send(hook(fields, body)).await;
        assert_eq!((again.status, again.header("x-dedup"), again.header("x-duplicate")), (200, "DUPLICATE", "true"), "{preset}");
        assert_eq!((again.header("content-type"), again.text().as_str()), (media, answer), "{preset}");
        assert_eq!(again.header("content-length"), answer.len().to_string(), "{preset}");
        assert_eq!(origin.count(), 1, "{preset}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_copy_is_not_held_against_the_next_whatever_the_form() {
    let origin = Origin::start(|_| Reply::new(500, &[], "{}")).await;
    let sidecar = with_rule(&origin, "id: github").await;
    for copy in 1..=3 {
        let answer = sidecar.send(hook(&[("X-GitHub-Delivery", "d")], "{}")).await;
        assert_eq!((answer.status, answer.header("x-dedup"), origin.count()), (500, "NEW", copy));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slacks_handshake_passes_each_time() {
    let origin = Origin::start(|_| Reply::ok("c")).await;
    let sidecar = with_rule(&origin, "id: slack").await;
    for copy in 1..=2 {
        let answer = sidecar.send(hook(&[], r#"{"type":"url_verification","challenge":"c"}"#)).await;
        assert_eq!((answer.text().as_str(), answer.header("x-dedup"), origin.count()), ("c", "SKIPPED; reason=no_id", copy));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_is_another_event_than_its_message() {
    let origin = accepting().await;
    let sidecar = with_rule(&origin, "id: messenger").await;
    for (count, mark) in ["", r#","is_echo":true"#, r#","is_deleted":true"#].into_iter().enumerate() {
        let body = format!(r#"{{"entry":[{{"messaging":[{{"message":{{"mid":"m1"{mark}}}}}]}}]}}"#);
        assert_eq!(sidecar.send(hook(&[], body.clone())).await.header("x-dedup"), "NEW", "{body}");
        assert_eq!(sidecar.send(hook(&[], body)).await.header("x-dedup"), "DUPLICATE");
        assert_eq!(origin.count(), count + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_names_its_own_places_and_the_first_that_yields_counts() {
    let origin = accepting().await;
    let id = r#"id: [{ header: X-Event }, { json: "items[].ref", with: [kind] }, { form: ref }]"#;
    let sidecar = with_rule(&origin, id).await;
    let both = r#"{"items":[{"ref":"a","kind":"x"},{"ref":"a","kind":"y"}]}"#;
    let partly = r#"{"items":[{"ref":"a","kind":"x"},{"kind":"y"}]}"#;
    let cases: [(Head<'_>, &str, &str); 8] = [
        (&[("X-Event", "1")], both, "NEW"),
        (&[("X-Event", "1")], "anything", "DUPLICATE"),
        (&[], both, "NEW"),
        (&[], both, "DUPLICATE"),
        (&[], r#"{"items":[{"ref":"a","kind":"z"}]}"#, "NEW"),
        (&[], partly, "PARTIAL"),
        (&[FORM], "ref=a", "NEW"),
        (&[FORM], "ref=a", "DUPLICATE"),
    ];
    for (fields, body, expected) in cases {
        assert_eq!(sidecar.send(hook(fields, body)).await.header("x-dedup"), expected, "{fields:?} {body}");
    }
    assert_eq!(origin.count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_says_what_a_duplicate_is_answered() {
    let origin = accepting().await;
    let response = "duplicate_response: { status: 202, content_type: text/html, body: \"<p>seen</p>\" }";
    let sidecar = with_rule(&origin, &format!("id: stripe, {response}")).await;
    let body = r#"{"id":"evt_1"}"#;
    sidecar.send(hook(&[], body)).await;
    let again = sidecar.send(hook(&[], body)).await;
    assert_eq!((again.status, again.header("content-type"), again.text().as_str()), (202, "text/html", "<p>seen</p>"));
    assert_eq!((again.header("x-dedup"), again.header("x-duplicate")), ("DUPLICATE", "true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_may_be_answered_without_content() {
    let origin = accepting().await;
    let sidecar = with_rule(&origin, "id: stripe, duplicate_response: { status: 204, body: \"\" }").await;
    let mut connection = sidecar.connect().await;
    for expected in [200, 204, 204] {
        let answer = connection.send(&hook(&[], r#"{"id":"evt_1"}"#)).await;
        assert_eq!((answer.status, answer.header("content-length").is_empty()), (expected, expected == 204));
    }
}
