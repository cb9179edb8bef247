use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::cache::{Entry, Scope, Ttl};
use crate::clock::Clock;

const MINUTE: Duration = Duration::from_mins(1);

fn fields(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), HeaderValue::from_str(value).expect("a value"));
    }
    map
}

fn usual(ttl: Duration) -> Settings {
    Settings::new(Ttl::Usual(ttl), Scope::Public)
}

fn judge_with(settings: &Settings, request: &[(&str, &str)], status: u16, answer: &[(&str, &str)]) -> Result<Storable, NotStored> {
    let clock = Clock::manual();
    let headers = fields(answer);
    let answer = Answer { status, headers: &headers, delay: Duration::ZERO, now: clock.now(), wall: clock.wall() };
    storable(settings, &fields(request), &answer, 1000)
}

fn verdict(status: u16, answer: &[(&str, &str)]) -> Option<NotStored> {
    judge_with(&usual(MINUTE), &[], status, answer).err()
}

#[test]
fn statuses() {
    let stated = [("cache-control", "max-age=60")];
    for status in 100..=599 {
        let expected = match status {
            200 | 203 | 204 | 301 | 308 => (None, None),
            300 | 404 | 410 => (Some(NotStored::NoFreshness), None),
            302 | 303 | 307 | 405 | 414 | 501 => (Some(NotStored::Status), None),
            _ => (Some(NotStored::Status), Some(NotStored::Status)),
        };
        assert_eq!((verdict(status, &[]), verdict(status, &stated)), expected, "{status}");
    }
    let by_status = Settings::new(Ttl::ByStatus(vec![(404, MINUTE), (500, MINUTE), (302, MINUTE)]), Scope::Public);
    let judged = |status| judge_with(&by_status, &[], status, &[]).err();
    assert_eq!(judged(404), None);
    assert_eq!([judged(200), judged(500), judged(302)], [Some(NotStored::NoFreshness), Some(NotStored::Status), Some(NotStored::Status)]);
}

#[test]
fn reasons_in_their_order() {
    let lines = [
        ("cache-control", "no-store"),
        ("cache-control", "private"),
        ("set-cookie", "a=b"),
        ("vary", "*"),
        ("vary", "a, b, c, d, e, f, g, h, i"),
        ("content-length", "1001"),
        ("cache-control", "max-age=0"),
    ];
    let reasons = [
        NotStored::NoStore,
        NotStored::Private,
        NotStored::SetCookie,
        NotStored::VaryStar,
        NotStored::VaryCap,
        NotStored::TooLarge,
        NotStored::NoFreshness,
    ];
    for (at, reason) in reasons.into_iter().enumerate() {
        assert_eq!(verdict(200, &lines[at..]), Some(reason));
    }
    assert_eq!(verdict(500, &lines), Some(NotStored::Status));
    assert_eq!(verdict(200, &[("content-length", "1000")]), None);
    let asked = judge_with(&usual(MINUTE), &[("cache-control", "no-store")], 200, &[("set-cookie", "a=b")]).err();
    assert_eq!(asked, Some(NotStored::RequestNoStore));
}

#[test]
fn must_understand_lifts_no_store_for_a_known_status() {
    let lines = [("cache-control", "no-store, must-understand, max-age=60")];
    assert_eq!(verdict(200, &lines), None);
    assert_eq!(verdict(299, &lines), Some(NotStored::Status));
}

#[test]
fn credentials_under_public_are_the_authors_word() {
    assert!(judge_with(&usual(MINUTE), &[("authorization", "Bearer a")], 200, &[]).is_ok());
}

#[test]
fn lifetimes_follow_the_rule_of_the_moment() {
    let facts = |answer: &[(&str, &str)]| judge_with(&usual(MINUTE), &[], 200, answer).expect("storable").facts;
    let plain = facts(&[]);
    assert_eq!(lifetime(&plain, &usual(MINUTE)), MINUTE);
    assert_eq!(lifetime(&plain, &usual(2 * MINUTE)), 2 * MINUTE, "a longer ttl acts on what is stored");
    assert_eq!(lifetime(&plain, &usual(Duration::ZERO)), Duration::ZERO);
    let other = Settings::new(Ttl::ByStatus(vec![(404, MINUTE)]), Scope::Public);
    assert_eq!(lifetime(&plain, &other), Duration::ZERO, "no ttl for this status any more");
    assert_eq!(lifetime(&facts(&[("cache-control", "max-age=5")]), &usual(MINUTE)), Duration::from_secs(5), "its own comes first");
    for broken in ["max-age=0x", "max-age=-1", "s-maxage=", "no-cache", "max-age=60, no-cache"] {
        assert_eq!(verdict(200, &[("cache-control", broken)]), Some(NotStored::NoFreshness), "{broken}");
    }
    assert_eq!(verdict(200, &[("expires", "0")]), Some(NotStored::NoFreshness));
}

#[test]
fn age_on_arrival() {
    let clock = Clock::manual();
    // a whole second, so that a date reads back exactly
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let age = |age: &str, date_back: i64, delay: u64| {
        let shift = Duration::from_secs(date_back.unsigned_abs());
        let date = httpdate::fmt_http_date(if date_back < 0 { wall + shift } else { wall - shift });
        let headers = fields(&[("age", age), ("date", &date)]);
        initial_age(&Answer { status: 200, headers: &headers, delay: Duration::from_secs(delay), now: clock.now(), wall }).as_secs()
    };
    assert_eq!(age("", 0, 0), 0);
    assert_eq!(age("", 30, 0), 30, "by its date");
    assert_eq!(age("", 1, 0), 0, "one second is the resolution of a date");
    assert_eq!(age("", -30, 0), 0, "a date ahead is not a negative age");
    assert_eq!(age("40", 30, 2), 42);
    assert_eq!(age("20", 30, 2), 30);
    assert_eq!(age("x", 0, 3), 3);
    let old = [("age", "60")];
    assert_eq!(verdict(200, &old), Some(NotStored::NoFreshness), "used up on arrival");
    assert_eq!(verdict(200, &[("age", "59")]), None);
}

#[test]
fn fresh_until_its_age_reaches_its_lifetime() {
    let clock = Clock::manual();
    let headers = fields(&[("age", "10")]);
    let answer = Answer { status: 200, headers: &headers, delay: Duration::ZERO, now: clock.now(), wall: clock.wall() };
    let storable = storable(&usual(MINUTE), &HeaderMap::new(), &answer, 0).expect("storable");
    let entry = Entry::new("r".into(), storable, &headers, [], &[]);
    let judged = |settings: &Settings| freshness(&entry, settings, clock.now());
    let seconds = Duration::from_secs;
    assert_eq!(judged(&usual(MINUTE)), Freshness::Fresh { age: seconds(10), left: seconds(50) });
    clock.advance(seconds(49));
    assert_eq!(judged(&usual(MINUTE)), Freshness::Fresh { age: seconds(59), left: seconds(1) });
    clock.advance(seconds(1));
    let expired = |age, since| Freshness::Expired { age: seconds(age), since: seconds(since), meanwhile: false, on_error: false };
    assert_eq!(judged(&usual(MINUTE)), expired(60, 0));
    assert_eq!(judged(&usual(2 * MINUTE)), Freshness::Fresh { age: seconds(60), left: seconds(60) }, "after a reload");
    clock.advance(seconds(5));
    assert_eq!(judged(&usual(MINUTE)), expired(65, 5));
}

/// Up to which second after its freshness an answer may be given, meanwhile and on error.
fn windows_of(answer: &[(&str, &str)]) -> (u64, u64) {
    let clock = Clock::manual();
    let settings = Settings { while_revalidate: Duration::from_secs(7), if_error: Duration::from_secs(9), ..usual(MINUTE) };
    let headers = fields(&[answer, &[("etag", "\"a\"")]].concat());
    let answer = Answer { status: 200, headers: &headers, delay: Duration::ZERO, now: clock.now(), wall: clock.wall() };
    let entry = Entry::new("r".into(), storable(&settings, &HeaderMap::new(), &answer, 0).expect("storable"), &headers, [], &[]);
    clock.advance(lifetime(entry.facts(), &settings));
    let (mut meanwhile, mut on_error) = (0, 0);
    for second in 0..40 {
        if let Freshness::Expired { meanwhile: m, on_error: e, .. } =
            freshness(&entry, &settings, clock.now() + Duration::from_secs(second))
        {
            meanwhile = if m { second } else { meanwhile };
            on_error = if e { second } else { on_error };
        }
    }
    (meanwhile, on_error)
}

#[test]
fn how_long_an_answer_may_be_given_once_it_is_not_fresh() {
    for (said, expected) in [
        ("max-age=5", (7, 9)),
        ("max-age=5, stale-while-revalidate=20", (20, 9)),
        ("max-age=5, stale-if-error=20", (7, 20)),
        ("max-age=5, stale-while-revalidate=0", (0, 9)),
        ("max-age=5, stale-if-error=x", (7, 0)),
        ("s-maxage=5", (0, 0)),
        ("s-maxage=5, stale-while-revalidate=20", (20, 0)),
        ("max-age=5, must-revalidate, stale-if-error=20", (0, 0)),
        ("max-age=5, proxy-revalidate", (0, 0)),
        ("no-cache, stale-while-revalidate=20", (0, 0)),
    ] {
        assert_eq!(windows_of(&[("cache-control", said)]), expected, "{said}");
    }
    assert_eq!(windows_of(&[("cdn-cache-control", "max-age=5, stale-if-error=3"), ("cache-control", "no-store")]), (7, 3));
}

#[test]
fn a_soft_purge_ends_freshness_and_begins_the_windows() {
    let clock = Clock::manual();
    let settings = Settings { while_revalidate: Duration::from_secs(7), ..usual(MINUTE) };
    let headers = HeaderMap::new();
    let answer = Answer { status: 200, headers: &headers, delay: Duration::ZERO, now: clock.now(), wall: clock.wall() };
    let entry = Entry::new("r".into(), storable(&settings, &headers, &answer, 0).expect("storable"), &headers, [], &[]);
    clock.advance(Duration::from_secs(10));
    let softened = entry.softened(clock.now());
    clock.advance(Duration::from_secs(7));
    assert!(matches!(freshness(&entry, &settings, clock.now()), Freshness::Fresh { .. }));
    let judged = |clock: &Clock| freshness(&softened, &settings, clock.now());
    let (age, since) = (Duration::from_secs(17), Duration::from_secs(7));
    assert_eq!(judged(&clock), Freshness::Expired { age, since, meanwhile: true, on_error: false });
    clock.advance(Duration::from_secs(1));
    assert!(matches!(judged(&clock), Freshness::Expired { meanwhile: false, .. }));
}

#[test]
fn a_token_that_is_over_ends_the_windows_too() {
    let clock = Clock::manual();
    let settings = Settings { if_error: MINUTE, ..Settings::new(Ttl::Usual(MINUTE), Scope::PerCaller) };
    let facts = Facts {
        status: 200,
        directives: Directives::default(),
        initial_age: Duration::ZERO,
        received: clock.now(),
        date: None,
        token_left: Some(70),
        softened: None,
    };
    let storable = Storable { facts, selecting: Selecting::default() };
    let entry = Entry::new("r".into(), storable, &HeaderMap::new(), [], &[]);
    let on_error = |seconds| match freshness(&entry, &settings, clock.now() + Duration::from_secs(seconds)) {
        Freshness::Expired { on_error, .. } => Some(on_error),
        Freshness::Fresh { .. } => None,
    };
    assert_eq!([59, 60, 69, 70].map(on_error), [None, Some(true), Some(true), Some(false)]);
}

/// Directives that do not forbid storing, some malformed. `must-understand` is left out: it lifts `no-store`.
fn harmless() -> impl Strategy<Value = String> {
    prop_oneof![
        "(max-age|s-maxage)=([0-9]{1,4}|\"[0-9]{1,4}\"|[0-9]x)",
        Just("public".to_owned()),
        Just("x=\"a, b\"".to_owned()),
        Just("x=\"a".to_owned()),
        "[a-z]{1,5}(=[a-z']{0,4})?",
    ]
}

/// Each letter in a case of its own.
fn any_case(text: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(any::<bool>(), text.len())
        .prop_map(move |upper| text.chars().zip(upper).map(|(c, up)| if up { c.to_ascii_uppercase() } else { c }).collect())
}

fn forbidding() -> impl Strategy<Value = (String, String)> {
    let directive = prop::sample::select(vec!["no-store", "private", "private=\"x-a, x-b\"", "no-store=1", "private ", "no-store; a=b"]);
    prop_oneof![
        directive.prop_flat_map(any_case).prop_map(|d| ("cache-control".to_owned(), d)),
        (any_case("set-cookie"), "[a-z]=[a-z]{0,3}"),
        Just(("vary".to_owned(), "*".to_owned())),
    ]
}

/// The directives of `cache-control` over a number of lines, as `breaks` says.
fn lines(directives: &[String], breaks: u32) -> Vec<(String, String)> {
    let mut lines: Vec<String> = Vec::new();
    for (at, directive) in directives.iter().enumerate() {
        match lines.last_mut() {
            Some(line) if breaks >> at & 1 == 0 => *line = format!("{line}, {directive}"),
            _ => lines.push(directive.clone()),
        }
    }
    lines.into_iter().map(|line| ("Cache-Control".to_owned(), line)).collect()
}

fn stored_for(answer: &[(String, String)]) -> Duration {
    let settings = usual(MINUTE);
    let answer: Vec<(&str, &str)> = answer.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    judge_with(&settings, &[], 200, &answer).map_or(Duration::ZERO, |s| lifetime(&s.facts, &settings))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn what_forbids_storing_is_seen_anywhere(
        mut directives in prop::collection::vec(harmless(), 0..5), (name, value) in forbidding(), at: prop::sample::Index, breaks: u32,
        vary in "(accept|x-a|)",
    ) {
        let mut answer = vec![("vary".to_owned(), vary.clone())];
        if name == "cache-control" {
            directives.insert(at.index(directives.len() + 1), value);
        } else if name == "vary" {
            answer = vec![("vary".to_owned(), format!("{vary}, {value}"))];
        } else {
            answer.push((name, value));
        }
        answer.extend(lines(&directives, breaks));
        let answer: Vec<(&str, &str)> = answer.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        for scope in [Scope::Public, Scope::PerCaller, Scope::Anonymous] {
            let settings = Settings::new(Ttl::Usual(MINUTE), scope);
            prop_assert!(judge_with(&settings, &[], 200, &answer).is_err(), "{:?}", answer);
        }
    }

    #[test]
    fn a_restrictive_directive_never_lengthens_a_lifetime(
        mut directives in prop::collection::vec(harmless(), 0..5), at: prop::sample::Index, breaks: u32,
        restrictive in prop::sample::select(vec![
            "no-store", "no-cache", "private", "max-age=0", "s-maxage=0", "max-age=x", "must-revalidate", "no-cache=\"x-a\"", "MAX-AGE=-1",
        ]),
    ) {
        let before = stored_for(&lines(&directives, breaks));
        directives.insert(at.index(directives.len() + 1), restrictive.to_owned());
        prop_assert!(stored_for(&lines(&directives, breaks)) <= before);
        // the same number again, or a smaller one, as well
        if let Some(repeated) = directives.iter().find(|d| d.contains('=')).cloned() {
            let before = stored_for(&lines(&directives, 0));
            directives.push(repeated);
            prop_assert!(stored_for(&lines(&directives, 0)) <= before);
        }
    }

    #[test]
    fn any_head_is_judged(status: u16, lines in prop::collection::vec((0_usize..8, prop::collection::vec(32_u8..=255, 0..24)), 0..8)) {
        const NAMES: [&str; 8] = ["cache-control", "vary", "age", "date", "expires", "content-length", "cdn-cache-control", "connection"];
        let mut headers = HeaderMap::new();
        for (name, value) in &lines {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(NAMES[*name], value);
            }
        }
        let clock = Clock::manual();
        let answer = Answer { status, headers: &headers, delay: Duration::ZERO, now: clock.now(), wall: clock.wall() };
        if let Ok(storable) = storable(&usual(MINUTE), &headers, &answer, 1000) {
            prop_assert!(!lifetime(&storable.facts, &usual(MINUTE)).is_zero());
        }
    }
}
