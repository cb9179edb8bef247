use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

/// No UTF-8 at its end.
const BODY: &[u8] = b"{\"text\":\"caf\xc3\xa9 \xf0\x9f\x98\x80\"}\xff";
const NOW: u64 = 1_700_000_000;

type Example = (Scheme, &'static str, &'static [u8], &'static [(&'static str, &'static str)], u64);

/// Scheme, secret, body, fields, time: the vendors' own published examples, then ours, made with another implementation of HMAC.
#[rustfmt::skip]
const SIGNED: [Example; 9] = [
    (Scheme::GitHub, "It's a Secret to Everybody", b"Hello, World!",
     &[("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")], NOW),
    (Scheme::StandardWebhooks, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b"{\"test\": 2432232314}",
     &[("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"), ("webhook-timestamp", "1614265330"),
       ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")], 1_614_265_330),
    (Scheme::Slack, "8f742231b10e8888abcd99yyyzzz85a5",
     b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
     &[("x-slack-request-timestamp", "1531420618"),
       ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503")], 1_531_420_618),
    (Scheme::Meta, "app-secret", BODY,
     &[("x-hub-signature-256", "sha256=cd54ad36798627b22279f8b2f2613cade14c3414cbec8ed226b29b5011145cd1")], NOW),
    (Scheme::Stripe, "whsec_stripe", BODY,
     &[("stripe-signature", "t=1700000000,v1=0017a3c5b145eaf0024f3218fd3e687104045bff41c1e78ff7dea7ecb6514fdf,v0=00")], NOW),
    (Scheme::Slack, "signing-secret", BODY,
     &[("x-slack-request-timestamp", "1700000000"),
       ("x-slack-signature", "v0=d97b5051d98aa14a54aefd3b385c8f89c78fbe466c26ae91e0725ea8c140c1b9")], NOW),
    (Scheme::StandardWebhooks, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", BODY,
     &[("svix-id", "msg_1"), ("svix-timestamp", "1700000000"), ("svix-signature", "v1a,AAAA v1,dwLxs/cq68tHAy6cMbY8IMKzowB9WCNDAYe/pKem8CM=")], NOW),
    (Scheme::Shopify, "shop-secret", BODY,
     &[("x-shopify-hmac-sha256", "7VZ13XotozybdpG7tCZREK05bUR0GBKk70yIbjCkwnA=")], NOW),
    (Scheme::Telegram, "bot_token-1", BODY, &[("x-telegram-bot-api-secret-token", "bot_token-1")], NOW),
];

fn fields(fields: &[(&str, &str)]) -> HeaderMap {
    let field =
        |(name, value): &(&str, &str)| (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_str(value).expect("a value"));
    fields.iter().map(field).collect()
}

fn verify(scheme: Scheme, secrets: &[&str]) -> Verify {
    Verify { scheme, secrets: secrets.iter().map(|s| Secret::new(scheme, s.as_bytes()).expect("a secret")).collect() }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn chunks(body: &[u8], size: usize) -> Vec<Bytes> {
    body.chunks(size).map(Bytes::copy_from_slice).collect()
}

#[test]
fn what_the_vendors_sign_is_accepted_and_nothing_else_is() {
    for (scheme, secret, body, signed, now) in SIGNED {
        let (rule, headers, name) = (verify(scheme, &[secret]), fields(signed), scheme.as_str());
        assert!(rule.accepts(&headers, &chunks(body, 7), at(now)), "{name}");
        assert!(rule.accepts(&headers, &chunks(body, body.len()), at(now)), "{name}: whatever the chunks");
        let other = if scheme == Scheme::StandardWebhooks { "whsec_AAAA" } else { "other" };
        // an old secret, a new one and a third, in any order
        for secrets in [[secret, other, other], [other, secret, other], [other, other, secret]] {
            assert!(verify(scheme, &secrets).accepts(&headers, &chunks(body, 7), at(now)), "{name}: rotated");
        }
        assert!(!verify(scheme, &[other]).accepts(&headers, &chunks(body, 7), at(now)), "{name}: another secret");
        assert!(!verify(scheme, &[]).accepts(&headers, &chunks(body, 7), at(now)), "{name}: no secret");
        assert!(!rule.accepts(&HeaderMap::new(), &chunks(body, 7), at(now)), "{name}: no signature");
        for (field, value) in signed {
            let mut twice = headers.clone();
            twice.append(field.parse::<HeaderName>().expect("a name"), HeaderValue::from_str(value).expect("a value"));
            assert!(!rule.accepts(&twice, &chunks(body, 7), at(now)), "{name}: {field} twice");
            let mut without = headers.clone();
            without.remove(*field);
            assert!(!rule.accepts(&without, &chunks(body, 7), at(now)), "{name}: without {field}");
        }
        let signs_body = scheme != Scheme::Telegram;
        assert_eq!(rule.accepts(&headers, &chunks(&[body, b" "].concat(), 7), at(now)), !signs_body, "{name}: another body");
        let timed = matches!(scheme, Scheme::Stripe | Scheme::Slack | Scheme::StandardWebhooks);
        for (moved, off) in [(now + 300, false), (now - 300, false), (now + 301, timed), (now - 301, timed)] {
            assert_eq!(rule.accepts(&headers, &chunks(body, 7), at(moved)), !off, "{name}: {moved} for {now}");
        }
    }
}

#[test]
fn secrets_are_read_without_their_line_break_and_never_shown() {
    for scheme in Scheme::ALL {
        let secret = Secret::new(scheme, b" whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\r\n").expect("a secret");
        assert_eq!(secret, Secret::new(scheme, b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret"));
        assert_eq!(
            format!("{:?}", Verify { scheme, secrets: vec![secret] }),
            format!("Verify {{ scheme: {scheme:?}, secrets: [Secret(…)] }}")
        );
        assert_eq!(Secret::new(scheme, b" \n"), Err("is empty"));
    }
    assert!(Secret::new(Scheme::StandardWebhooks, b"whsec_no base64!").is_err_and(|why| !why.contains("no base64!")));
}

#[test]
fn signatures_that_are_none_are_none() {
    let meta = verify(Scheme::Meta, &["app-secret"]);
    let good = "cd54ad36798627b22279f8b2f2613cade14c3414cbec8ed226b29b5011145cd1";
    for (value, accepted) in [
        (format!("sha256={good}"), true),
        (format!("sha256={}", good.to_uppercase()), true),
        (good.to_owned(), false),
        (format!("sha1={good}"), false),
        (format!("sha256={}", &good[..62]), false),
        (format!("sha256={good}00"), false),
        (format!("sha256= {good}"), false),
        ("sha256=".to_owned(), false),
        (format!("sha256=+{}", &good[1..]), false),
    ] {
        let headers = fields(&[("x-hub-signature-256", &value)]);
        assert_eq!(meta.accepts(&headers, &chunks(BODY, 99), at(NOW)), accepted, "{value}");
    }
    let stripe = verify(Scheme::Stripe, &["whsec_stripe"]);
    let good = "v1=0017a3c5b145eaf0024f3218fd3e687104045bff41c1e78ff7dea7ecb6514fdf";
    for (value, accepted) in [
        (format!("t=1700000000, v1=00, {good}"), true),
        (format!("{good},t=1700000000"), true),
        (format!("t=1700000000,t=1700000000,{good}"), false),
        (format!("t=+1700000000,{good}"), false),
        (format!("t=,{good}"), false),
        (good.to_owned(), false),
        ("t=1700000000".to_owned(), false),
        (format!("t=1700000000,v0={}", &good[3..]), false),
        (format!("t=1700000000{},{good}", ",v1=".to_owned() + &"0".repeat(64)), true),
        (format!("t=1700000000{},{good}", (",v1=".to_owned() + &"0".repeat(64)).repeat(MAX_SIGNATURES)), false),
    ] {
        let headers = fields(&[("stripe-signature", &value)]);
        assert_eq!(stripe.accepts(&headers, &chunks(BODY, 99), at(NOW)), accepted, "{value}");
    }
}

proptest! {
    /// Whatever bit of body, signature or signed fields is another, it is refused.
    #[test]
    fn no_bit_may_differ(case in 0..SIGNED.len(), part in any::<prop::sample::Index>(), at_byte in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (scheme, secret, body, signed, now) = SIGNED[case];
        let (mut body, mut signed) = (body.to_vec(), signed.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>());
        let which = part.index(signed.len() + 1);
        if which == signed.len() {
            prop_assume!(scheme != Scheme::Telegram);
            let at = at_byte.index(body.len());
            body[at] ^= 1 << bit;
        } else {
            let value = &mut signed[which].1;
            let at = at_byte.index(value.len());
            let mut bytes = value.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            // the same in the other letter case, parts that are not looked at
            prop_assume!(!(bytes.eq_ignore_ascii_case(value.as_bytes()) && matches!(scheme, Scheme::Meta | Scheme::GitHub | Scheme::Slack | Scheme::Stripe)));
            prop_assume!(!value[at..].starts_with("v0=") && !value.ends_with("v0=00") | (at < value.len() - 5));
            prop_assume!(!(value.starts_with("v1a,") && at < 8));
            let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
            prop_assume!(HeaderValue::from_str(&text).is_ok());
            *value = text;
        }
        let headers = fields(&signed.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>());
        prop_assert!(!verify(scheme, &[secret]).accepts(&headers, &chunks(&body, 16), at(now)));
    }

    /// Whatever bit of the key is another, it is refused.
    #[test]
    fn no_bit_of_the_secret_may_differ(case in 0..SIGNED.len(), at_byte in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (scheme, secret, body, signed, now) = SIGNED[case];
        let Secret(mut key) = Secret::new(scheme, secret.as_bytes()).expect("a secret");
        let at_byte = at_byte.index(key.len());
        let rule = |key: &[u8]| Verify { scheme, secrets: vec![Secret(key.into())] };
        prop_assert!(rule(&key).accepts(&fields(signed), &chunks(body, 16), at(now)));
        key[at_byte] ^= 1 << bit;
        prop_assert!(!rule(&key).accepts(&fields(signed), &chunks(body, 16), at(now)));
    }

    /// Among up to eight, each serves, wherever it stands.
    #[test]
    fn each_of_several_secrets_serves(case in 0..SIGNED.len(), others in prop::collection::vec(any::<[u8; 24]>(), 0..8), place in any::<prop::sample::Index>()) {
        let (scheme, secret, body, signed, now) = SIGNED[case];
        let mut secrets: Vec<Secret> = others.iter().map(|key| Secret(key[..].into())).collect();
        let accepts = |secrets: &[Secret]| Verify { scheme, secrets: secrets.to_vec() }.accepts(&fields(signed), &chunks(body, 16), at(now));
        prop_assert!(!accepts(&secrets));
        secrets.insert(place.index(secrets.len() + 1), Secret::new(scheme, secret.as_bytes()).expect("a secret"));
        prop_assert!(accepts(&secrets));
    }

    /// Nothing that anybody sends makes it fail otherwise than by a no.
    #[test]
    fn any_fields_are_answered(scheme in 0..7_usize, values in prop::collection::vec("[ -~]{0,40}|(t=|v0=|sha256=|v1,)?[0-9a-f]{64}|1700000000", 3), body in any::<Vec<u8>>()) {
        let names = ["stripe-signature", "x-slack-signature", "x-slack-request-timestamp", "webhook-signature", "webhook-timestamp", "webhook-id", "x-hub-signature-256", "x-shopify-hmac-sha256", "x-telegram-bot-api-secret-token"];
        let pairs: Vec<(&str, &str)> = names.iter().copied().zip(values.iter().map(String::as_str).cycle()).collect();
        prop_assert!(!verify(Scheme::ALL[scheme], &["whsec_AAAA"]).accepts(&fields(&pairs), &chunks(&body, 3), at(NOW)));
    }
}
