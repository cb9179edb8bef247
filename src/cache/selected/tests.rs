use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use proptest::prelude::*;

use super::super::control::Directives;
use super::super::policy::{Facts, Storable};
use super::super::vary::Selecting;
use super::*;
use crate::clock::Clock;

const MODIFIED: &str = "Sat, 01 Jan 2022 00:00:00 GMT";

fn stored(status: u16, fields: &[(&str, &str)]) -> Entry {
    let received = Clock::manual().now();
    let date = date::parse(b"Sun, 02 Jan 2022 00:00:00 GMT");
    let facts =
        Facts { status, directives: Directives::default(), initial_age: Duration::ZERO, received, date, token_left: None, softened: None };
    let storable = Storable { facts, selecting: Selecting::default() };
    let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    Entry::new("r".into(), storable, &HeaderMap::new(), fields, &[Bytes::from_static(b"0123456789")])
}

fn request(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    map
}

fn of(entry: &Entry, lines: &[(&'static str, &str)]) -> Selected {
    selected(entry, &request(lines), true)
}

#[test]
fn entity_tags_are_compared_weakly_in_lists() {
    let entry = stored(200, &[("ETag", "\"a,b\""), ("Last-Modified", MODIFIED)]);
    for tags in ["\"a,b\"", "W/\"a,b\"", "\"x\", \"a,b\"", "\"x\",W/\"a,b\" , \"y\"", "*", " * ", ", \"a,b\""] {
        assert_eq!(of(&entry, &[("if-none-match", tags)]), Selected::NotModified, "{tags}");
    }
    for tags in ["\"a\"", "\"b\"", "a,b", "\"a,b", "w/\"a,b\"", "\"A,B\"", "", "\"x\", \"y"] {
        assert_eq!(
            of(&entry, &[("if-none-match", tags), ("if-modified-since", MODIFIED)]),
            Selected::Whole,
            "{tags}: it wins over the date"
        );
    }
    assert_eq!(of(&entry, &[("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")]), Selected::NotModified, "every line counts");
    assert_eq!(of(&stored(404, &[("ETag", "\"a\"")]), &[("if-none-match", "\"a\"")]), Selected::Whole, "only 2xx");
    assert_eq!(of(&stored(200, &[]), &[("if-none-match", "\"a\"")]), Selected::Whole);
    assert_eq!(of(&stored(200, &[("ETag", "W/\"a\"")]), &[("if-none-match", "\"a\"")]), Selected::NotModified);
}

#[test]
fn dates_are_compared_with_last_modified_else_date() {
    let entry = stored(200, &[("Last-Modified", MODIFIED)]);
    assert_eq!(of(&entry, &[("if-modified-since", MODIFIED)]), Selected::NotModified);
    assert_eq!(of(&entry, &[("if-modified-since", "Saturday, 01-Jan-22 00:00:01 GMT")]), Selected::NotModified);
    assert_eq!(of(&entry, &[("if-modified-since", "Fri, 31 Dec 2021 23:59:59 GMT")]), Selected::Whole);
    assert_eq!(of(&entry, &[("if-modified-since", "yesterday")]), Selected::Whole);
    assert_eq!(of(&entry, &[("if-modified-since", MODIFIED), ("if-modified-since", MODIFIED)]), Selected::Whole);
    let undated = stored(200, &[]);
    assert_eq!(of(&undated, &[("if-modified-since", MODIFIED)]), Selected::Whole);
    assert_eq!(of(&undated, &[("if-modified-since", "Sun, 02 Jan 2022 00:00:00 GMT")]), Selected::NotModified);
    assert_eq!(of(&stored(200, &[("Last-Modified", "x")]), &[("if-modified-since", MODIFIED)]), Selected::Whole);
}

#[test]
fn one_range_of_bytes_is_cut_out() {
    let entry = stored(200, &[("ETag", "\"a\""), ("Last-Modified", MODIFIED)]);
    for (range, expected) in [
        ("bytes=0-0", Selected::Part(0..1)),
        ("Bytes=2-4", Selected::Part(2..5)),
        ("bytes=8-", Selected::Part(8..10)),
        ("bytes=8-99999999999999999999999", Selected::Part(8..10)),
        ("bytes=-3", Selected::Part(7..10)),
        ("bytes=-99", Selected::Part(0..10)),
        ("bytes=10-", Selected::Unsatisfiable),
        ("bytes=99999999999999999999999-", Selected::Unsatisfiable),
        ("bytes=-0", Selected::Unsatisfiable),
        ("bytes=4-2", Selected::Whole),
        ("bytes=0-1,3-4", Selected::Whole),
        ("bytes=-", Selected::Whole),
        ("bytes=+1-2", Selected::Whole),
        ("bytes", Selected::Whole),
        ("items=0-1", Selected::Whole),
        ("0-1", Selected::Whole),
    ] {
        assert_eq!(of(&entry, &[("range", range)]), expected, "{range}");
        assert_eq!(selected(&entry, &request(&[("range", range)]), false), Selected::Whole, "HEAD ignores it");
    }
    assert_eq!(of(&stored(404, &[]), &[("range", "bytes=0-1")]), Selected::Whole);
    assert_eq!(of(&entry, &[("range", "bytes=0-1"), ("range", "bytes=0-1")]), Selected::Whole);
    assert_eq!(of(&entry, &[("range", "bytes=0-1"), ("if-none-match", "\"a\"")]), Selected::NotModified);
}

#[test]
fn a_range_of_another_version_is_the_whole() {
    let strong = stored(200, &[("ETag", "\"a\""), ("Last-Modified", MODIFIED)]);
    let weak = stored(200, &[("ETag", "W/\"a\"")]);
    let ranged = |entry: &Entry, validator: &str| of(entry, &[("range", "bytes=0-1"), ("if-range", validator)]) == Selected::Part(0..2);
    assert!(ranged(&strong, "\"a\"") && ranged(&strong, MODIFIED));
    for other in ["\"b\"", "W/\"a\"", "Sat, 01 Jan 2022 00:00:01 GMT", "Saturday, 01-Jan-22 00:00:00 GMT", "a", ""] {
        assert!(!ranged(&strong, other), "{other}");
    }
    assert!(!ranged(&weak, "W/\"a\"") && !ranged(&weak, "\"a\""), "weak tags do not do for parts");
}

#[test]
fn what_describes_the_content_goes_with_it() {
    for (selected, dropped) in [
        (Selected::Whole, &[][..]),
        (Selected::NotModified, &["Content-Type", "content-length", "Content-Encoding"][..]),
        (Selected::Part(0..1), &["content-length"][..]),
        (Selected::Unsatisfiable, &["Content-Type", "content-length", "Content-Encoding"][..]),
    ] {
        let fields = ["ETag", "Content-Type", "content-length", "Content-Encoding", "Content-Location", "Vary", "Date"];
        let missing: Vec<_> = fields.into_iter().filter(|name| !selected.keeps(name)).collect();
        assert_eq!(missing, dropped, "{selected:?}");
    }
}

proptest! {
    #[test]
    fn a_part_is_never_outside_the_body(range in "(bytes=)?[0-9,-]{0,8}", tags: Vec<u8>) {
        let mut headers = request(&[("range", &range)]);
        if let Ok(tags) = HeaderValue::from_bytes(&tags) {
            headers.append(IF_NONE_MATCH, tags);
        }
        if let Selected::Part(part) = selected(&stored(200, &[("ETag", "\"a\"")]), &headers, true) {
            prop_assert!(part.start < part.end && part.end <= 10);
        }
    }
}
