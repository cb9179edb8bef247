//! The presets and the forms they are made of, on bodies and heads as the senders make them and on odd ones.

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::dedup::key::{BareId, EventKey};
use crate::dedup::source::{JsonPath, Preset};

const SCOPE: Scope<'_> = Scope { upstream: "functions", function: "hook" };
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

/// Fields of a head.
type Head<'a> = &'a [(&'a str, &'a str)];
/// A sender, a copy, and what is said of it.
type Case<'a, T> = (Preset, Head<'a>, &'a str, T);
type Found = Result<Extracted, SkipReason>;

fn find_in(source: &IdSource, fields: &[(&str, &str)], body: &[u8]) -> Found {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.parse::<HeaderName>().expect("a name"), value.parse::<HeaderValue>().expect("a value"));
    }
    let (front, back) = body.split_at(body.len() / 2);
    let body = [Bytes::copy_from_slice(front), Bytes::copy_from_slice(back)];
    extract(source, &SCOPE, &Delivery { target: "/hook?a=1", headers: &headers, body: &body })
}

fn sent(preset: Preset, fields: &[(&str, &str)], body: &str) -> Found {
    find_in(&preset.source(), fields, body.as_bytes())
}

fn json(path: &str, body: &[u8]) -> Found {
    let place = Place::Json { path: path.parse::<JsonPath>().expect("a path"), with: Vec::new() };
    find_in(&IdSource::Field(Field { profile: "custom".into(), place }), &[], body)
}

/// How many events, and whether there is more without an id.
fn count(found: &Found) -> Result<(usize, bool), SkipReason> {
    found.as_ref().map(|found| (found.keys.len(), found.idless)).map_err(|reason| *reason)
}

#[test]
fn each_sender_has_one_key_for_a_repeat_and_another_for_the_next_event() {
    let messenger =
        |message: &str| format!(r#"{{"object":"page","entry":[{{"id":"1","messaging":[{{"sender":{{"id":"2"}},{message}}}]}}]}}"#);
    let (mid, echo) = (messenger(r#""message":{"mid":"m1"}"#), messenger(r#""message":{"mid":"m1","is_echo":true}"#));
    let deleted = messenger(r#""message":{"mid":"m1","is_deleted":true}"#);
    let cases: [(Preset, Head<'_>, &str, Head<'_>, &str); 11] = [
        (Preset::Stripe, &[], r#"{"id":"evt_1","object":"event"}"#, &[], r#"{"id":"evt_2","object":"event"}"#),
        (Preset::GitHub, &[("x-github-delivery", "a")], "{}", &[("x-github-delivery", "b")], "{}"),
        (Preset::Shopify, &[("x-shopify-webhook-id", "a")], "{}", &[("x-shopify-webhook-id", "b")], "{}"),
        (Preset::Slack, &[], r#"{"authorizations":[{}],"event_id":"Ev1"}"#, &[], r#"{"event_id":"Ev2"}"#),
        (Preset::Twilio, &[FORM], "Body=a+b&MessageSid=SM1", &[FORM], "Body=a+b&MessageSid=SM2"),
        (
            Preset::Twilio,
            &[FORM, ("i-twilio-idempotency-token", "1")],
            "MessageSid=S",
            &[FORM, ("i-twilio-idempotency-token", "2")],
            "MessageSid=S",
        ),
        (Preset::Telegram, &[], r#"{"update_id":10,"message":{}}"#, &[], r#"{"update_id":11,"message":{}}"#),
        (Preset::StandardWebhooks, &[("webhook-id", "msg_1")], "", &[("webhook-id", "msg_2")], ""),
        (Preset::StandardWebhooks, &[("svix-id", "msg_1")], "", &[("webhook-id", "msg_1")], ""),
        (Preset::Messenger, &[], &mid, &[], &echo),
        (Preset::Messenger, &[], &echo, &[], &deleted),
    ];
    for (preset, fields, body, other_fields, other) in cases {
        let found = sent(preset, fields, body);
        assert_eq!(count(&found), Ok((1, false)), "{preset:?} {body}");
        assert_eq!(found, sent(preset, fields, body), "{preset:?}: a repeat");
        let next = sent(preset, other_fields, other);
        assert_eq!(count(&next), Ok((1, false)), "{preset:?} {other}");
        assert_ne!(found, next, "{preset:?}: another event");
    }
}

#[test]
fn what_has_no_id_is_passed() {
    let cases: [Case<'_, SkipReason>; 12] = [
        (Preset::Slack, &[], r#"{"type":"url_verification","challenge":"c"}"#, SkipReason::NoId),
        (Preset::Stripe, &[], r#"{"id":" "}"#, SkipReason::NoId),
        (Preset::Stripe, &[], r#"{"id":{"id":"a"}}"#, SkipReason::NoId),
        (Preset::Stripe, &[], r#"[{"id":"a"}]"#, SkipReason::NoId),
        (Preset::Stripe, &[], r#"{"id":"a"} x"#, SkipReason::Unparsable),
        (Preset::Telegram, &[], r#"{"update_id":1.5}"#, SkipReason::NoId),
        (Preset::GitHub, &[], "{}", SkipReason::NoId),
        (Preset::GitHub, &[("x-github-delivery", "a"), ("x-github-delivery", "b")], "{}", SkipReason::NoId),
        (Preset::Twilio, &[], "MessageSid=SM1", SkipReason::Unparsable),
        (Preset::Twilio, &[FORM], "MessageSid=&Body=x", SkipReason::NoId),
        (Preset::Twilio, &[FORM], "MessageSid=a&MessageSid=b", SkipReason::NoId),
        (Preset::Messenger, &[], r#"{"entry":[{"messaging":[{"read":{"watermark":1}}]}]}"#, SkipReason::NoId),
    ];
    for (preset, fields, body, reason) in cases {
        assert_eq!(sent(preset, fields, body), Err(reason), "{preset:?} {body}");
    }
    let long = "x".repeat(600);
    assert_eq!(sent(Preset::GitHub, &[("x-github-delivery", &long)], ""), Err(SkipReason::NoId));
    assert_eq!(sent(Preset::Stripe, &[], &format!(r#"{{"id":"{long}"}}"#)), Err(SkipReason::NoId));
}

#[test]
fn an_element_without_an_id_makes_the_body_be_forwarded() {
    let cases = [
        (r#"{"a":[{"id":"1"},{"id":2}]}"#, Ok((2, false))),
        (r#"{"a":[{"id":"1"},{"id":"1"}]}"#, Ok((1, false))),
        (r#"{"a":[{"id":"1"},{"x":"2"}]}"#, Ok((1, true))),
        (r#"{"a":[{"id":"1"},null]}"#, Ok((1, true))),
        (r#"{"a":[{"id":"1"},{"id":1e3}]}"#, Ok((1, true))),
        (r#"{"a":[{"id":"1","id":null}]}"#, Err(SkipReason::NoId)),
        (r#"{"a":[{"id":"1"}],"a":[{"id":"2"},{"id":"3"}]}"#, Ok((2, false))),
        (r#"{"a":[{"id":"1"}],"a":7}"#, Err(SkipReason::NoId)),
        (r#"{"a":{"id":"1"}}"#, Err(SkipReason::NoId)),
    ];
    for (body, expected) in cases {
        assert_eq!(count(&json("a[].id", body.as_bytes())), expected, "{body}");
    }
    let many = |n: usize| format!("[{}]", (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(","));
    assert_eq!(count(&json("[]", many(MAX_KEYS).as_bytes())), Ok((MAX_KEYS, false)));
    assert_eq!(json("[]", many(MAX_KEYS + 1).as_bytes()), Err(SkipReason::TooManyIds));
}

#[test]
fn forms_are_decoded_as_browsers_do() {
    let form = |body: &str| sent(Preset::Twilio, &[FORM], body);
    assert_eq!(form("Message%53id=a%2Bb%20c"), form("x&MessageSid=a%2bb+c&y=%"));
    assert_ne!(form("MessageSid=a+b"), form("MessageSid=a%2Bb"));
    assert_eq!(form("MessageSid=%zz%4"), form("MessageSid=%25zz%254"), "a stray % is itself");
    assert_eq!(form("MessageSid=a&MessageSid=a"), form("MessageSid=a"));
}

#[test]
fn the_address_is_part_of_the_key() {
    let update = [Bytes::from_static(br#"{"update_id":1}"#)];
    let at = |target| extract(&Preset::Telegram.source(), &SCOPE, &Delivery { target, headers: &HeaderMap::new(), body: &update });
    assert_ne!(at("/hook?bot=1"), at("/hook?bot=2"), "each bot counts for itself");
    assert_eq!(at("/hook?bot=1"), at("/hook?bot=1"));
}

proptest! {
    #[test]
    fn distinct_events_never_share_a_key(a in ("[ -~]{0,12}", 0..4_usize, any::<bool>()), b in ("[ -~]{0,12}", 0..4_usize, any::<bool>())) {
        let places = ["id", "x.id", "[].id", "x[].id"];
        let of = |(id, place, echo): &(String, usize, bool)| {
            let id = serde_json::to_string(id).expect("text");
            let holder = format!(r#"{{"id":{id},"echo":{echo}}}"#);
            let body = [holder.clone(), format!(r#"{{"x":{holder}}}"#), format!("[{holder}]"), format!(r#"{{"x":[{holder}]}}"#)];
            let place = (places[*place], &body[*place]);
            let path = place.0.parse::<JsonPath>().expect("a path");
            let place_of = Place::Json { path, with: vec!["echo".to_owned()] };
            find_in(&IdSource::Field(Field { profile: "custom".into(), place: place_of }), &[], place.1.as_bytes())
        };
        let (first, second) = (of(&a), of(&b));
        if first.is_ok() && second.is_ok() {
            prop_assert_eq!(first == second, a == b);
        }
        prop_assert_eq!(first.is_ok(), !a.0.trim().is_empty());
    }

    #[test]
    fn any_bytes_get_an_answer_in_every_form(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for preset in Preset::ALL {
            let _ = find_in(&preset.source(), &[FORM], &bytes);
        }
        let _ = json("[][].a[]", &bytes);
    }
}

#[test]
fn every_form_gives_the_id_by_which_an_operator_finds_the_event() {
    let cases: [(Preset, Head<'_>, &str, &str); 5] = [
        (Preset::Stripe, &[], r#"{"id":"evt_1"}"#, "evt_1"),
        (Preset::Telegram, &[], r#"{"update_id":10}"#, "10"),
        (Preset::Messenger, &[], r#"{"entry":[{"messaging":[{"message":{"mid":"m1","is_echo":true}}]}]}"#, "m1"),
        (Preset::GitHub, &[("x-github-delivery", "a-b")], "{}", "a-b"),
        (Preset::Twilio, &[FORM], "MessageSid=SM%31", "SM1"),
    ];
    for (preset, fields, body, id) in cases {
        let found = sent(preset, fields, body).expect("an id");
        assert_eq!(found.keys.iter().map(EventKey::id).collect::<Vec<_>>(), [BareId::of(id.as_bytes())], "{preset:?}");
    }
}
