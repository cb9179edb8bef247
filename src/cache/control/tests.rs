use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::clock::Clock;

fn fields(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    map
}

fn read(lines: &[(&str, &str)]) -> Directives {
    Directives::of(&fields(lines), Clock::manual().wall())
}

fn lifetime(value: &str) -> Option<u64> {
    read(&[("cache-control", value)]).stated_lifetime().map(|d| d.as_secs())
}

#[test]
fn lifetimes() {
    for (value, expected) in [
        ("max-age=60", Some(60)),
        ("Max-Age=60", Some(60)),
        ("max-age=\"60\"", Some(60)),
        ("max-age = 60", Some(60)),
        ("max-age=060", Some(60)),
        ("max-age=60, max-age=30", Some(30)),
        ("max-age=10, s-maxage=60", Some(60)),
        ("max-age=99999999999999999999", Some(1 << 31)),
        ("max-age='60'", Some(0)),
        ("max-age=-1", Some(0)),
        ("max-age=1.5", Some(0)),
        ("max-age=0x10", Some(0)),
        ("max-age=60; private", Some(0)),
        ("max-age=", Some(0)),
        ("max-age", Some(0)),
        ("max-age=\"60", Some(0)),
        ("foo=\"max-age=60\"", None),
        ("foo=\"a, max-age=60\"", None),
        ("public", None),
        ("", None),
    ] {
        assert_eq!(lifetime(value), expected, "{value}");
    }
}

#[test]
fn flags() {
    assert!(read(&[("cache-control", "NO-STORE=1")]).no_store);
    assert!(read(&[("cache-control", "private=\"x-a, x-b\"")]).private);
    assert!(read(&[("cache-control", "private; max-age=60")]).private, "a slip for a comma");
    assert!(read(&[("cache-control", "a=\"b, no-store")]).no_store, "an open quote hides nothing");
    assert!(read(&[("cache-control", "a=\"b"), ("cache-control", "c\", private")]).private);
    assert!(read(&[("cache-control", "a=\"b, private=\"x-a\"")]).private, "nor is it closed by the next one's");
    assert!(!read(&[("cache-control", "a=\"b, no-store\"")]).no_store, "a closed one does");
    assert!(!read(&[("cache-control", "a=\"\\\", no-store\"")]).no_store);
    assert!(read(&[("pragma", "No-Cache")]).no_cache);
    assert!(!read(&[("pragma", "no-cache"), ("cache-control", "max-age=1")]).no_cache);
}

#[test]
fn no_cache_with_names_is_about_fields() {
    for (value, whole, names) in [
        ("no-cache", true, &[][..]),
        ("no-cache=\"Set-Thing, X-B\"", false, &["set-thing", "x-b"][..]),
        ("no-cache=\"\"", true, &[][..]),
        ("no-cache=x", true, &[][..]),
        ("no-cache=\"a\", no-cache", true, &["a"][..]),
    ] {
        let map = fields(&[("cache-control", value)]);
        assert_eq!(Directives::of(&map, SystemTime::UNIX_EPOCH).no_cache, whole, "{value}");
        assert_eq!(no_cache_fields(&map), names.iter().map(|n| n.as_bytes().to_vec()).collect::<Vec<_>>(), "{value}");
    }
}

#[test]
fn expires_counts_from_date() {
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    for (value, expected) in [("Sun, 06 Nov 1994 08:50:37 GMT", 60), ("0", 0), ("Sun, 06 Nov 1994 08:00:00 GMT", 0)] {
        let got = read(&[date, ("expires", value)]).stated_lifetime();
        assert_eq!(got, Some(Duration::from_secs(expected)), "{value}");
    }
    let twice = read(&[date, ("expires", "Sun, 06 Nov 2094 08:50:37 GMT"), ("expires", "Sun, 06 Nov 2094 08:50:37 GMT")]);
    assert_eq!(twice.stated_lifetime(), Some(Duration::ZERO), "two lines are no date");
    let wall = Clock::manual().wall();
    let later = httpdate::fmt_http_date(wall + Duration::from_mins(2));
    let no_date = Directives::of(&fields(&[("expires", &later)]), wall).stated_lifetime().expect("stated");
    assert!((119..=120).contains(&no_date.as_secs()), "the arrival stands in for Date: {no_date:?}");
    assert_eq!(read(&[date, ("expires", "0"), ("cache-control", "max-age=5")]).stated_lifetime(), Some(Duration::from_secs(5)));
}

#[test]
fn a_valid_targeted_field_speaks_alone() {
    let alone =
        read(&[("cdn-cache-control", "max-age=60"), ("cache-control", "no-store, max-age=1"), ("expires", "0"), ("pragma", "no-cache")]);
    assert_eq!(alone, Directives { max_age: Some(60), ..Directives::default() });
    assert!(read(&[("cdn-cache-control", "no-store"), ("cache-control", "max-age=60")]).no_store);
    assert!(!read(&[("cdn-cache-control", "max-age=1, private=?0")]).private);
    assert_eq!(read(&[("cdn-cache-control", "max-age=-1")]).stated_lifetime(), Some(Duration::ZERO));
    let two_lines = read(&[("cdn-cache-control", "max-age=60"), ("cdn-cache-control", "private")]);
    assert!(two_lines.private && two_lines.max_age == Some(60));
    for dropped in ["max-age=60, &&&&&", "max-age=\"60\"", "max-age=1.5", "Max-Age=60", ""] {
        let got = read(&[("cdn-cache-control", dropped), ("cache-control", "no-store")]);
        assert_eq!(got, Directives { no_store: true, ..Directives::default() }, "{dropped}");
    }
}

#[test]
fn ages() {
    for (value, expected) in [("7", 7), (" 7 , 9", 7), ("x, 9", 0), ("-7", 0), ("7.5", 0), ("99999999999", 1 << 31)] {
        assert_eq!(age_of(&fields(&[("age", value)])).as_secs(), expected, "{value}");
    }
    assert_eq!(age_of(&fields(&[("age", "3"), ("age", "9")])).as_secs(), 3, "the first line");
}

#[test]
fn wishes_of_a_request() {
    let wishes = Wishes::of(&fields(&[("cache-control", "max-age=0, No-Store"), ("cache-control", "only-if-cached")]));
    assert!(wishes.no_store && wishes.only_if_cached);
    let others = Wishes::of(&fields(&[("cache-control", "no-cache")]));
    assert!(!others.no_store && !others.only_if_cached);
}

proptest! {
    #[test]
    fn any_bytes_are_taken(values in prop::collection::vec(prop::collection::vec(32_u8..=255, 0..40), 0..6)) {
        let mut map = HeaderMap::new();
        for value in values.iter().filter_map(|v| HeaderValue::from_bytes(v).ok()) {
            for name in ["cache-control", "cdn-cache-control", "expires", "pragma", "age", "date"] {
                map.append(name, value.clone());
            }
        }
        let _ = (Directives::of(&map, SystemTime::UNIX_EPOCH), Wishes::of(&map), age_of(&map), no_cache_fields(&map));
    }

    #[test]
    fn splitting_loses_nothing_but_commas_and_blanks(line in "[a-c\", =\\\\]{0,30}") {
        let kept: usize = members(line.as_bytes()).iter().map(|m| m.len()).sum();
        let solid = line.bytes().filter(|b| !matches!(b, b',' | b' ')).count();
        prop_assert!(kept >= solid);
    }
}
