use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};

use super::*;
use crate::cache::policy::{Answer, storable};
use crate::cache::request::Request;
use crate::cache::{CallerSecret, Scope, Settings, Ttl};
use crate::clock::Clock;

mod model;

const SETTINGS: Settings = Settings::new(Ttl::Usual(Duration::from_mins(1)), Scope::PerCaller);

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    map
}

fn key(rule: &str, path: &str, request: &HeaderMap) -> CacheKey {
    let request =
        Request { method: &Method::GET, host: "h", path, odd_path: false, query: None, headers: request, has_body: false, upstream: "u" };
    CacheKey::new(rule, SETTINGS.scope, &request, &CallerSecret::new([1; 16]))
}

fn entry(clock: &Clock, rule: &str, request: &HeaderMap, answer: &HeaderMap, body: &[u8]) -> Entry {
    let head = Answer { status: 200, headers: answer, delay: Duration::ZERO, now: clock.now(), wall: clock.wall() };
    let storable = storable(&SETTINGS, request, &head, u64::MAX).expect("storable");
    let fields = answer.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    Entry::new(rule.into(), storable, answer, fields, &[Bytes::copy_from_slice(body)])
}

fn body(found: &Found) -> Option<&[u8]> {
    match found {
        Found::Entry { entry, .. } => Some(entry.body()),
        _ => None,
    }
}

#[test]
fn a_callers_answer_is_not_anothers() {
    let (clock, store) = (Clock::manual(), Responses::new(1 << 20, 1 << 10));
    let (a, b, api) = (headers(&[("authorization", "a")]), headers(&[("authorization", "b")]), headers(&[("apikey", "a")]));
    let stored = store.insert(&key("r", "/p", &a), entry(&clock, "r", &a, &HeaderMap::new(), b"of a"), &store.begin()).expect("stored");
    assert_eq!(body(&store.lookup(&key("r", "/p", &a), &a, clock.now())), Some(&stored.body()[..]));
    for other in [&b, &api, &HeaderMap::new()] {
        assert!(matches!(store.lookup(&key("r", "/p", other), other, clock.now()), Found::Nothing));
    }
}

#[test]
fn variants_by_selecting_fields() {
    let (clock, store) = (Clock::manual(), Responses::new(1 << 20, 1 << 10));
    let answer = headers(&[("vary", "accept-language")]);
    let language = |value: &str| headers(&[("accept-language", value)]);
    let key = key("r", "/p", &HeaderMap::new());
    for text in ["en", "fr", "en"] {
        store.insert(&key, entry(&clock, "r", &language(text), &answer, text.as_bytes()), &store.begin()).expect("stored");
    }
    assert_eq!(store.totals().entries, 2);
    assert_eq!(store.totals().evicted[Evicted::Replaced as usize].1, 1);
    for text in ["en", "fr"] {
        assert_eq!(body(&store.lookup(&key, &language(text), clock.now())), Some(text.as_bytes()));
    }
    let flight = |text: &str| match store.lookup(&key, &language(text), clock.now()) {
        Found::NoVariant { flight } => Some(flight),
        _ => None,
    };
    assert!(flight("de").is_some() && flight("de") == flight("DE") && flight("de") != flight("it") && flight("de") != Some(key.clone()));
}

#[test]
fn the_least_recently_used_variant_goes() {
    let (clock, store) = (Clock::manual(), Responses::new(1 << 20, 1 << 10));
    let answer = headers(&[("vary", "x-a")]);
    let key = key("r", "/p", &HeaderMap::new());
    let request = |n: usize| headers(&[("x-a", &n.to_string())]);
    for n in 0..40 {
        store.insert(&key, entry(&clock, "r", &request(n), &answer, b""), &store.begin()).expect("stored");
        assert!(body(&store.lookup(&key, &request(0), clock.now())).is_some(), "asked for all the time: {n}");
        assert!(body(&store.lookup(&key, &request(n), clock.now())).is_some(), "the newest: {n}");
    }
    assert_eq!((store.totals().entries, store.totals().evicted[Evicted::VaryCap as usize].1), (16, 24));
}

#[test]
fn a_pass_marker_ends_by_time_or_by_an_insert() {
    let (clock, store) = (Clock::manual(), Responses::new(1 << 20, 1 << 10));
    let (none, key) = (HeaderMap::new(), key("r", "/p", &HeaderMap::new()));
    let ten = Duration::from_secs(10);
    store.mark_pass(&key, &"r".into(), clock.now() + ten);
    assert!(matches!(store.lookup(&key, &none, clock.now()), Found::Pass));
    assert_eq!((store.totals().entries, store.totals().bytes), (0, key.len() as u64 + 200));
    clock.advance(ten);
    assert!(matches!(store.lookup(&key, &none, clock.now()), Found::Nothing));
    store.sweep(clock.now(), |_| false);
    assert_eq!(store.totals().bytes, 0);
    store.insert(&key, entry(&clock, "r", &none, &none, b"x"), &store.begin()).expect("stored");
    store.mark_pass(&key, &"r".into(), clock.now() + ten);
    assert!(matches!(store.lookup(&key, &none, clock.now()), Found::Entry { passing: true, .. }), "what is stored stays");
    store.insert(&key, entry(&clock, "r", &none, &none, b"y"), &store.begin()).expect("stored");
    assert!(matches!(store.lookup(&key, &none, clock.now()), Found::Entry { passing: false, .. }));
    store.remove(&key);
    assert!(matches!(store.lookup(&key, &none, clock.now()), Found::Nothing));
    assert_eq!(store.totals().bytes, 0);
}

#[test]
fn large_objects_fit_or_are_refused() {
    let (clock, none) = (Clock::manual(), HeaderMap::new());
    let key = key("r", "/p", &none);
    for (capacity, max_object, shards) in [(32 << 20, 1 << 20, 4), (64 << 20, 1 << 20, 8), (1 << 20, 1 << 20, 1), (0, 1 << 20, 1)] {
        let store = Responses::new(capacity, max_object);
        assert_eq!(store.slots.num_shards(), shards, "{capacity}");
        let insert = |len: u64| {
            store.insert(&key, entry(&clock, "r", &none, &none, &vec![0; usize::try_from(len).unwrap_or(0)]), &store.begin()).err()
        };
        assert_eq!(insert(max_object + 1), Some(NotStored::TooLarge));
        assert_eq!(insert(max_object).is_none(), shards > 1, "{capacity}");
        assert_eq!(insert(capacity / 4), Some(NotStored::TooLarge), "{capacity}");
    }
    Responses::new(0, 1).mark_pass(&key, &"r".into(), clock.now() + Duration::from_secs(1));
}

#[test]
fn the_books_are_exact_after_many_threads() {
    let (clock, store) = (Clock::manual(), Responses::new(256 << 10, 1 << 10));
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (clock, store) = (&clock, &store);
            scope.spawn(move || {
                for n in 0..400 {
                    let (none, rule) = (HeaderMap::new(), ["r0", "r1"][thread % 2]);
                    let key = key(rule, &format!("/{}", n % 150), &none);
                    let _ = store.insert(&key, entry(clock, rule, &none, &none, &vec![0; n]), &store.begin());
                    let _ = store.lookup(&key, &none, clock.now());
                    if n % 50 == thread {
                        store.sweep(clock.now(), |entry| entry.body().len() % 7 == 0);
                    }
                }
            });
        }
    });
    let (totals, usage) = (store.totals(), store.usage());
    assert!(totals.bytes > 0 && totals.bytes <= totals.capacity);
    assert_eq!(usage.iter().map(|(_, u)| u.bytes).sum::<u64>(), totals.bytes);
    assert_eq!(usage.iter().map(|(_, u)| u.entries + u.evictions).sum::<u64>(), 1600, "each insert is there or counted as gone");
}
