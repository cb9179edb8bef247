//! The last requests: what is kept of them decides as they did, and what an edit would have meant for them is said in words.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::good;
use crate::cache::CallerSecret;
use crate::engine::recent::{REQUESTS, Recalled};
use crate::engine::{Effect, Plan, Question, Recent, Site, Watched, plan};

const FIELDS: [(&str, &str); 14] = [
    ("authorization", "Bearer of-somebody"),
    ("apikey", "of-somebody"),
    ("cookie", "a=b"),
    ("x-http-method-override", "PUT"),
    ("connection", "accept-language"),
    ("cache-control", "only-if-cached"),
    ("cache-control", "no-store"),
    ("range", "bytes=0-1,3-4"),
    ("content-encoding", "gzip"),
    ("content-length", "0"),
    ("content-length", "12"),
    ("upgrade", "websocket"),
    ("x-tenant", "acme-1"),
    ("x-other", "secret-value"),
];

const RULES: &str = r#"
version: 1
cache:
  exclude:
    - { name: challenge, match: { query: hub.challenge } }
  include:
    - { name: tenant, match: { header: { x-tenant: "acme-*" }, path: "**/b" }, ttl: 5m, scope: per_caller }
    - { name: lang, match: { query: { lang: "e*" } }, ttl: 5m }
    - { name: rest, match: { function: "p*" }, ttl: 5m, scope: public }
dedup:
  include:
    - { name: events, match: { function: "p*", header: { x-other: "*" } }, id: stripe }
"#;

fn questions() -> impl Strategy<Value = Question> {
    let methods = select(vec![Method::GET, Method::HEAD, Method::POST]);
    let targets = select(vec![
        "/functions/v1/profile",
        "/functions/v1/profile/b?lang=en&token=hidden-one",
        "/profile?lang=de&lang=en",
        "/a//b?",
        "/other?hub.challenge=hidden-two&x",
        "/%70rofile/b?lang",
    ]);
    (methods, targets, subsequence(FIELDS.to_vec(), 0..6)).prop_map(|(method, target, fields)| {
        let headers = fields.into_iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Question::new(method, target, headers.collect(), Bytes::new()).expect("a request")
    })
}

/// Notes a request, and recalls it for rules that look at `later`.
fn kept(question: &Question, watched: &Watched, later: &Watched) -> Option<Recalled> {
    let (recent, site) = (Recent::default(), Site::default());
    let function = question.function(&site);
    recent.note(&question.facts(&site, &function), watched);
    recent.recall(later).pop().expect("one request")
}

proptest! {
    #[test]
    fn what_is_kept_decides_as_the_request_did(question in questions()) {
        let (rules, site, secret) = (good(RULES), Site::default(), CallerSecret::new([1; 16]));
        let watched = Watched::of(&rules);
        let recalled = kept(&question, &watched, &watched).expect("all that the rules look at is kept");
        let function = question.function(&site);
        let words = |plan: Plan| format!("{:?} {:?} {:?}", plan.dedup, plan.slow_after, plan.cache.rule().map(|_| plan.cache.clone()));
        // a key tells more than was kept: only its length is shown, and that of the query differs
        let strip = |text: String| text.split("CacheKey(").map(|part| part.split_once(" bytes)").map_or(part, |(_, rest)| rest)).collect::<String>();
        let now = plan(&rules, &question.facts(&site, &function), &secret);
        let then = recalled.with_facts(std::slice::from_ref(&site), |facts| plan(&rules, facts, &secret)).expect("its listener is there");
        prop_assert_eq!(strip(words(now)), strip(words(then)));
    }
}

#[test]
fn what_was_not_kept_is_not_guessed() {
    let headers = || FIELDS.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
    let question = Question::new(Method::GET, "/profile?lang=en&q=1", headers(), Bytes::new()).expect("a request");
    let looking = |part: &str| Watched::of(&good(&format!("version: 1\ncache: {{ exclude: [{{ name: a, match: {{ {part} }} }}] }}\n")));
    let nothing = Watched::default();
    for (part, told) in [
        ("header: { x-other: \"s*\" }", false),
        ("header: { x-other: \"**\" }", true),
        ("header: { x-absent: \"s*\" }", true),
        ("header: { range: \"b*\" }", true),
        ("query: { q: \"1\" }", false),
        ("query: q", true),
        ("query: { absent: \"1\" }", true),
    ] {
        assert_eq!(kept(&question, &nothing, &looking(part)).is_some(), told, "{part}");
    }
    let signed = looking("header: { authorization: \"Bearer*\" }");
    assert!(kept(&question, &signed, &signed).is_none(), "a credential is not kept, whoever looks at it");
    let other = looking("header: { x-other: \"s*\" }, query: { q: \"1\" }");
    assert!(kept(&question, &other, &other.clone().and(looking("query: q"))).is_some());
}

#[test]
fn the_oldest_makes_room_and_one_that_is_too_long_is_counted() {
    let (recent, site) = (Recent::default(), Site::default());
    let mut headers = HeaderMap::new();
    for at in 0..130 {
        headers.insert(HeaderName::from_bytes(format!("x-{at}").as_bytes()).expect("a name"), HeaderValue::from_static("v"));
    }
    let long = Question::new(Method::GET, "/a", headers, Bytes::new()).expect("a request");
    recent.note(&long.facts(&site, "a"), &Watched::default());
    assert!(recent.recall(&Watched::default())[0].is_none());
    let short = Question::new(Method::GET, "/a", HeaderMap::new(), Bytes::new()).expect("a request");
    for _ in 0..REQUESTS {
        recent.note(&short.facts(&site, "a"), &Watched::default());
    }
    assert_eq!((recent.len(), recent.recall(&Watched::default()).iter().flatten().count()), (REQUESTS, REQUESTS));
}

const NOW: &str = "version: 1
cache:
  include:
    - { name: profile, match: { function: \"profile*\" }, ttl: 5m, scope: per_caller }
    - { name: config, match: { function: config }, ttl: 1m }
dedup:
  include:
    - { name: whatsapp, match: { function: \"wa*\" }, id: whatsapp, window: 24h }
";

/// Method, target and fields.
type Asked<'a> = (&'a str, &'a str, &'a [(&'static str, &'static str)]);

fn effect(old: &str, new: &str, requests: &[Asked<'_>]) -> Effect {
    let (recent, site, old) = (Recent::default(), Site::default(), good(old));
    for (method, target, fields) in requests {
        let headers = fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let question = Question::new(method.parse().expect("a method"), target, headers.collect(), Bytes::new()).expect("a request");
        let function = question.function(&site);
        recent.note(&question.facts(&site, &function), &Watched::of(&old));
    }
    Effect::of(&recent, &[site], &old, &good(new))
}

const BY: [(&str, &str); 1] = [("authorization", "Bearer a")];

#[test]
fn what_an_edit_would_have_meant_is_said_in_words() {
    let requests: [Asked<'_>; 6] = [
        ("GET", "/profile-get", &BY),
        ("GET", "/profile-get/a", &BY),
        ("GET", "/profile-get", &[]),
        ("POST", "/wa-in", &[]),
        ("GET", "/config", &[]),
        ("GET", "/other", &[]),
    ];
    assert_eq!(effect(NOW, NOW, &requests), Effect { requests: 6, ..Effect::default() });
    assert_eq!(effect(NOW, "version: 1\n", &[]), Effect::default());

    let shared = effect(NOW, &NOW.replace("per_caller", "public"), &requests);
    assert_eq!((shared.otherwise, shared.unknown), (3, 0));
    let now = "cached for each caller by itself under `profile` (5m) now";
    assert_eq!(shared.risks, [format!("2 of 6: {now}, shared between callers, signed in or not, under `profile` (5m) then")]);
    assert_eq!(shared.how, [format!("1 of 6: {now}, shared between callers under `profile` (5m) then")]);

    let gone = effect(NOW, NOW.split("dedup").next().expect("a part"), &requests);
    assert_eq!(gone.risks, ["1 of 6: deduplicated for 1d under `whatsapp` (copies wait 4s) now, not deduplicated then"]);
    assert_eq!((gone.otherwise, gone.how.len()), (1, 0));

    // each in its own part, counted once
    let both =
        format!("{}slow: [{{ match: /config, after: 2s }}]\n", NOW.replace("ttl: 1m", "ttl: 2m, statuses: any").replace("24h", "1h"));
    let both = effect(NOW, &both, &requests);
    assert_eq!((both.otherwise, both.risks.len()), (2, 1));
    assert_eq!(
        both.how,
        [
            "1 of 6: shared between callers without credentials under `config` (1m) now, shared between callers without credentials under `config` (2m, errors too) then",
            "1 of 6: slow after 1s now, slow after 2s then",
        ]
    );
}

#[test]
fn each_way_to_forward_more_is_a_risk_and_what_was_not_kept_is_counted() {
    let post: [Asked<'_>; 1] = [("POST", "/wa-in", &[("x-tenant", "a")])];
    let risks = |new: &str| effect(NOW, new, &post).risks;
    for (new, word) in [
        (NOW.replace("24h", "1h"), "deduplicated for 1h"),
        (NOW.replace("window", "while_first_runs: forward, window"), "copies are forwarded"),
        (NOW.replace("id: whatsapp", "id: stripe"), "by other ids"),
        (
            NOW.replace("include:\n    - { name: whatsapp", "exclude: [\"**/wa-in\"]\n  include:\n    - { name: whatsapp"),
            "not deduplicated then",
        ),
    ] {
        let risks = risks(&new);
        assert!(risks.len() == 1 && risks[0].contains(word), "{word}: {risks:?}");
    }
    assert!(risks(&NOW.replace("24h", "25h")).is_empty());
    let unknown = effect(NOW, &NOW.replace("\"wa*\"", "\"wa*\", header: { x-tenant: \"b*\" }"), &post);
    assert_eq!((unknown.requests, unknown.otherwise, unknown.unknown), (1, 0, 1));
}

#[test]
fn kinds_are_bounded() {
    let targets: Vec<String> = (0..30).map(|at| format!("/f{at}")).collect();
    let requests: Vec<Asked<'_>> = targets.iter().map(|target| ("GET", target.as_str(), &[][..])).collect();
    let rule = |at: usize| format!("    - {{ name: r{at}, match: {{ function: f{at} }}, ttl: 1m }}\n");
    let new = format!("version: 1\ncache:\n  include:\n{}", (0..30).map(rule).collect::<String>());
    let found = effect("version: 1\n", &new, &requests);
    assert_eq!((found.otherwise, found.how.len(), found.how[20].as_str()), (30, 21, "and 10 other kinds"));
}
