//! Rules files: what good ones mean, and what is said about bad ones.

use std::time::Duration;

use http::{HeaderMap, Method};

use super::super::presets::{Preset, builtin};
use super::{good, problems};
use crate::cache::{Scope, Ttl};
use crate::dedup::WhileFirstRuns;
use crate::rules::path::Path;
use crate::rules::{Facts, Matcher};

fn matches(matcher: &Matcher, method: &Method, path: &str, query: Option<&str>) -> bool {
    let function = crate::rules::function::name(path, "/functions/v1/");
    let headers = HeaderMap::new();
    let (listener, upstream, host) = ("functions", "functions", "api.example");
    matcher.check(&Facts { listener, upstream, method, host, path: Path::new(path), query, function, headers: &headers }).is_ok()
}

#[test]
fn defaults_are_those_of_the_interface() {
    let rules = good(
        "version: 1\ncache: { include: [{ name: a, match: \"/a\", ttl: 0s }] }\n\
         dedup: { include: [{ name: b, match: { method: POST }, id: whatsapp }] }\n",
    );
    let cache = &rules.cache.include[0].settings;
    assert_eq!((cache.scope, &cache.ttl), (Scope::Anonymous, &Ttl::Usual(Duration::ZERO)));
    let dedup = &rules.dedup.include[0].settings;
    let expected = (Duration::from_secs(30), WhileFirstRuns::Wait, Duration::from_secs(4));
    assert_eq!((dedup.window, dedup.while_first_runs, dedup.wait_timeout), expected);
    assert_eq!(rules.health, crate::upstream::health::Settings::default());
}

#[test]
fn values_are_taken_over() {
    let rules = good(
        "version: 1\ncache:\n  include:\n    - name: a\n      match: '/a'\n      ttl: { 200: 5m, 404: 15s }\n      scope: per_caller\n\
         dedup:\n  include:\n    - { name: b, match: { function: b }, id: whatsapp, window: 7d, while_first_runs: forward }\n    - { name: c, match: { method: POST }, id: whatsapp, window: 7d, wait_timeout: 1m30s }\n\
         slow:\n  - { match: { function: ocr }, after: 10s }\n  - { match: \"**\", after: 1s }\n\
         health: { error_rate: { degraded: 1%, unhealthy: null }, min_requests: 7, window: 2m }\n",
    );
    let ttl = &rules.cache.include[0].settings.ttl;
    assert_eq!((ttl.of(200), ttl.of(404), ttl.of(203)), (Some(Duration::from_mins(5)), Some(Duration::from_secs(15)), None));
    let dedup = &rules.dedup.include[1].settings;
    assert_eq!(
        (dedup.window, rules.dedup.include[0].settings.while_first_runs, dedup.wait_timeout),
        (super::super::dedup_rule::MAX_WINDOW, WhileFirstRuns::Forward, Duration::from_secs(90))
    );
    assert_eq!(rules.slow.iter().map(|s| s.after.as_secs()).collect::<Vec<_>>(), [10, 1]);
    assert!((rules.health.error_rate.degraded.expect("given") - 0.01).abs() < 1e-9);
    assert_eq!((rules.health.error_rate.unhealthy, rules.health.min_requests, rules.health.window.as_secs()), (None, 7, 120));
    assert_eq!(rules.health.average_latency, crate::upstream::health::Settings::default().average_latency);
}

#[test]
fn each_form_of_match() {
    let rules = good(
        "version: 1\ncache:\n  exclude:\n    - \"**/login\"\n    - { name: x, match: { function: \"wa-*\", query: hub.challenge } }\n\
         \x20   - { name: y, match: { query: { lang: \"e*\", empty: \"\" }, method: [GET, HEAD] } }\n\
         \x20   - { name: no, match: { function: no } }\n    - { name: off, match: { function: off, host: API.example } }\n",
    );
    let [login, handshake, lang, no, off] = rules.cache.exclude.iter().map(|e| &e.matcher).collect::<Vec<_>>()[..] else { panic!("five") };
    assert_eq!(&*rules.cache.exclude[0].name, "**/login");
    assert!(matches(login, &Method::GET, "/x/login", None) && !matches(login, &Method::GET, "/x/logins", None));
    assert!(
        matches(handshake, &Method::GET, "/functions/v1/wa-core", Some("hub.challenge=1"))
            && !matches(handshake, &Method::GET, "/wa-core", None)
    );
    assert!(matches(lang, &Method::HEAD, "/", Some("lang=en&empty=")) && !matches(lang, &Method::HEAD, "/", Some("lang=en&empty=1")));
    assert!(!matches(lang, &Method::POST, "/", Some("lang=en&empty")) && !matches(lang, &Method::GET, "/", Some("lang=en")));
    assert!(matches(no, &Method::GET, "/functions/v1/no", None) && matches(off, &Method::GET, "/off", None));
}

#[test]
fn the_presets_are_clean_and_mean_what_they_say() {
    assert!(good(builtin(None)).cache.include.is_empty());
    let rules = good(builtin(Some(Preset::WhatsApp)));
    let (cache, dedup) = (&rules.cache.include[0], &rules.dedup.include[0]);
    assert_eq!(
        (&*cache.name, cache.settings.scope, &*dedup.name, dedup.settings.window.as_secs()),
        ("health", Scope::Public, "whatsapp", 86_400)
    );
    assert!(matches(&cache.matcher, &Method::GET, "/functions/v1/x/health", None));
    assert!(matches(&dedup.matcher, &Method::POST, "/functions/v1/wa-webhook-core", None));
    assert_eq!("whatsapp".parse(), Ok(Preset::WhatsApp));
    assert!("whatsap".parse::<Preset>().is_err());
}

#[test]
fn what_is_missing_or_out_of_place_is_named() {
    let rule = |list: &str, entry: &str| format!("version: 1\n{list}:\n  include:\n    - {entry}\n");
    for (text, expected) in [
        (rule("cache", "{ name: a, match: \"/a\" }"), vec!["missing-key 4:7"]),
        (rule("cache", "{ name: a, ttl: 1s }"), vec!["missing-key 4:7"]),
        (rule("cache", "{ match: \"/a\", ttl: 1s, name: }"), vec!["empty-value 4:35"]),
        (rule("cache", "{ name: a, match: \"/a\", ttl: 1s, key: {} }"), vec!["unknown-key 4:40"]),
        (rule("cache", "just-a-name"), vec!["wrong-type 4:7"]),
        (rule("dedup", "{ name: a, match: \"/a\" }"), vec!["missing-key 4:7"]),
        (rule("dedup", "{ name: a, match: \"/a\", id: whatsapp, window: 0s }"), vec!["out-of-range 4:53"]),
        (rule("dedup", "{ name: a, match: \"/a\", id: [] }"), vec!["empty-value 4:35"]),
        (rule("dedup", "{ name: a, match: { path: \"/a\", query: a=b }, id: whatsapp }"), vec!["bad-value 4:46"]),
        (rule("cache", "{ name: a, match: \"/a\\nb\", ttl: 1s }"), vec!["bad-value 4:25"]),
        (rule("cache", "{ name: \"a\u{A0}\", match: \"/a\", ttl: 1s }"), vec!["bad-name 4:15"]),
        ("version: 1\ncache:\n".to_owned(), vec!["empty-value 2:6"]),
        ("version: 1\ncache: { exclude: null }\n".to_owned(), vec!["empty-value 2:19"]),
        ("version: one\nslow: {}\n".to_owned(), vec!["bad-version 1:10", "wrong-type 2:7"]),
        ("version:\n".to_owned(), vec!["empty-value 1:8"]),
        ("- version: 1\n".to_owned(), vec!["wrong-type 1:1"]),
        ("version\n".to_owned(), vec!["wrong-type 1:1"]),
        ("version: 1\nwarm: []\nsign: []\n".to_owned(), vec!["unknown-key 2:1", "unknown-key 3:1"]),
    ] {
        assert_eq!(problems(&text), expected, "{text}");
    }
}

#[test]
fn a_name_is_used_once_in_the_whole_file() {
    let text = "version: 1\ncache:\n  exclude: [{ name: a, match: \"/x\" }]\n  include: [{ name: b, match: \"/y\", ttl: 1s }]\n\
                dedup:\n  exclude: [{ name: b, match: \"/x\" }]\n  include: [{ name: a, match: \"/y\", id: whatsapp }]\n";
    assert_eq!(problems(text), ["duplicate 6:21", "duplicate 7:21"]);
}

#[test]
fn ids_are_presets_places_or_lists_and_presets_bring_their_answer() {
    use crate::dedup::source::{Preset, Step};
    use crate::dedup::{IdSource, source::Place};
    let settings = |rest: &str| {
        let rules = good(&format!("version: 1\ndedup: {{ include: [{{ name: b, match: {{ method: POST }}, {rest} }}] }}\n"));
        rules.dedup.include[0].settings.clone()
    };
    for preset in Preset::ALL {
        let settings = settings(&format!("id: {}", preset.as_str()));
        assert_eq!((settings.id, settings.duplicate_response), (preset.source(), preset.duplicate_response()), "{preset:?}");
    }
    let IdSource::FirstOf(sources) = settings("id: [{ json: \"a[].id\", with: [kind] }, { header: X-Event }, slack]").id else {
        panic!("a list");
    };
    let place = |at: usize| if let IdSource::Field(field) = &sources[at] { Some(field.place.clone()) } else { None };
    let Some(Place::Json { path, with }) = place(0) else { panic!("a path") };
    assert_eq!((path.steps().len(), path.steps().last(), with), (3, Some(&Step::Member("id".into())), vec!["kind".to_owned()]));
    assert_eq!(place(1), Some(Place::Header("x-event".parse().expect("a name"))));
    let response = settings("id: [{ form: a }, twilio], duplicate_response: { status: 299 }").duplicate_response;
    assert_eq!((response.status, response.content_type.as_str(), &*response.body), (299, "text/xml", &b"<Response/>"[..]));
    assert_eq!(settings("id: stripe, duplicate_response: { body: \"\" }").duplicate_response.body.len(), 0);
}
