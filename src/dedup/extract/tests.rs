//! The extractor against bodies as the sender writes them (`tests/fixtures/whatsapp`) and against odd ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::dedup::EventKey;

const SCOPE: Scope<'_> = Scope { upstream: "functions", function: "wa-webhook" };

/// The events in a body; the head is of no account here.
fn events(scope: &Scope<'_>, body: &[Bytes]) -> Result<Extracted, SkipReason> {
    extract(&IdSource::WhatsApp, scope, &Delivery { target: "/", headers: &HeaderMap::new(), body })
}

fn read(body: &[u8]) -> Result<Extracted, SkipReason> {
    events(&SCOPE, &[Bytes::copy_from_slice(body)])
}

/// The key of an event, from its parts in words.
fn key(parts: &[Option<&[u8]>]) -> EventKey {
    let mut hasher = KeyHasher::new(&SCOPE, "whatsapp");
    for part in parts {
        hasher.part(*part);
    }
    hasher.finish()
}

/// A body with one change; `members` are those of its `value` besides the metadata.
fn body(members: &str) -> Vec<u8> {
    format!(r#"{{"entry":[{{"changes":[{{"value":{{"metadata":{{"phone_number_id":"7"}},{members}}},"field":"messages"}}]}}]}}"#).into()
}

/// What [`body`] gives for messages with these ids and the type `text`.
fn texts(ids: &[&[u8]], idless: bool) -> Extracted {
    let of = |id: &&[u8]| key(&[Some(b"messages"), Some(b"7"), Some(b"messages"), Some(*id), Some(b"text")]);
    Extracted { keys: ids.iter().map(of).collect::<Vec<_>>().into(), idless }
}

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/whatsapp").join(name);
    std::fs::read(&path).expect("a fixture")
}

/// (file, its events in words, whether it holds something without an id)
fn manifest() -> Vec<(String, Vec<Value>, bool)> {
    let entries: Vec<Value> = serde_json::from_slice(&fixture("manifest.json")).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a file name").to_owned();
    entries.iter().map(|e| (text(&e["file"]), e["events"].as_array().expect("a list").clone(), e["idless"] == true)).collect()
}

/// The key of an event of the manifest. Its eighth part is a fingerprint in hex.
fn listed(event: &Value) -> EventKey {
    let parts: Vec<Option<Vec<u8>>> = (0..event.as_array().expect("a list").len())
        .map(|at| match (at, event[at].as_str()) {
            (7, Some(hex)) => Some(u128::from_str_radix(hex, 16).expect("hex").to_be_bytes().to_vec()),
            (_, text) => text.map(|text| text.as_bytes().to_vec()),
        })
        .collect();
    key(&parts.iter().map(Option::as_deref).collect::<Vec<_>>())
}

#[test]
fn fixtures_yield_the_events_of_their_manifest() {
    for (file, events, idless) in manifest() {
        let expected = match &events[..] {
            [] => Err(SkipReason::NoId),
            some => Ok(Extracted { keys: some.iter().map(listed).collect::<Vec<_>>().into(), idless }),
        };
        assert_eq!(read(&fixture(&file)), expected, "{file}");
    }
}

#[test]
fn events_share_a_key_exactly_if_they_are_one() {
    let mut keys: BTreeMap<String, BTreeSet<EventKey>> = BTreeMap::new();
    for (file, events, _) in manifest() {
        if let [one] = &events[..] {
            keys.entry(one.to_string()).or_default().extend(read(&fixture(&file)).expect("an event").keys.iter());
        }
    }
    assert!(keys.len() >= 15 && keys.values().all(|spellings| spellings.len() == 1), "every spelling of an event has one key");
    assert_eq!(keys.values().flatten().collect::<BTreeSet<_>>().len(), keys.len(), "no two events have the same");
    let plain = read(&fixture("plain.json"));
    assert!(plain.is_ok() && plain == read(&fixture("pretty.json")) && plain == read(&fixture("escaped.json")));
    let elsewhere = events(&Scope { function: "other", ..SCOPE }, &[fixture("plain.json").into()]);
    assert_ne!(plain, elsewhere, "the same webhook at another function");
}

#[test]
fn what_is_no_id_leaves_the_item_without_one() {
    let bad = ["null", "\"\"", "\" \\t\\u00a0\"", "true", "{}", "[\"A\"]", "1.0", "-1", "1e3", "1234567890123456"];
    let long = format!("\"{}\"", "x".repeat(513));
    for id in bad.into_iter().chain([&*long]) {
        let members = format!(r#""messages":[{{"id":"B","type":"text"}},{{"id":{id},"type":"text"}},{{"type":"text"}}]"#);
        assert_eq!(read(&body(&members)), Ok(texts(&[b"B"], true)), "{id}");
        assert_eq!(read(&body(&format!(r#""messages":[{{"id":{id}}}]"#))), Err(SkipReason::NoId), "{id}");
    }
    assert_eq!(
        read(&body(r#""messages":[{"id":123456789012345,"type":"text"},{"id":"A","type":"text"}]"#)),
        Ok(texts(&[b"123456789012345", b"A"], false))
    );
    assert!(read(&body(&format!(r#""messages":[{{"id":"{}"}}]"#, "x".repeat(512)))).is_ok_and(|found| !found.idless));
}

#[test]
fn odd_surroundings_never_hide_an_event_nor_an_item_without_one() {
    let message = r#"{"id":"A","type":"text"}"#;
    let (value, odd) = (format!(r#""messages":[{message}]"#), r#"{"id":"B","type":["text"]}"#);
    let entry = String::from_utf8(body(&value)).expect("UTF-8");
    let neutral = [
        format!(r#""contacts":[{{}}],"messaging_product":"x","new":"scalar","errors":[],"more":{{}},{value}"#),
        format!(r#""statuses":[],"calls":[],{value}"#),
        format!(r#""messages":[{message},{message}]"#),
    ];
    for members in &neutral {
        assert_eq!(read(&body(members)), Ok(texts(&[b"A"], false)), "{members}");
    }
    let idless = [
        format!(r#""messages":[{message},null,1,"x",[]]"#),
        format!(r#""messages":[{message},{odd}]"#),
        format!(r#"{value},"statuses":null"#),
        format!(r#"{value},"statuses":{{"id":"B"}}"#),
        format!(r#"{value},"errors":[{{}}]"#),
        format!(r#"{value},"brand_new":{{"id":"B"}}"#),
        format!(r#"{value},"statuses":[{{"id":"B","recipient_participant_id":"1","participant_recipient_id":"2"}}]"#),
    ];
    for members in &idless {
        assert_eq!(read(&body(members)), Ok(texts(&[b"A"], true)), "{members}");
    }
    let none = r#"{} 1 null {"changes":null} {"changes":[]} {"changes":[{"value":"x","field":"messages"}]} {"messaging":[{}]}"#;
    for change in [r#"{"field":"x","value":{"event":"scalar"}}"#, r#"{"value":{"messages":[]}}"#, "{}", "null"] {
        let changes = entry.replacen(r#""changes":["#, &format!(r#""changes":[{change},"#), 1);
        assert_eq!(read(changes.as_bytes()), Ok(texts(&[b"A"], true)), "{change}");
    }
    for other in none.split(' ') {
        assert_eq!(read(entry.replacen('[', &format!("[{other},"), 1).as_bytes()), Ok(texts(&[b"A"], true)), "{other}");
    }
    assert_eq!(read(entry.replacen('{', r#"{"more":[1],"#, 1).as_bytes()), Ok(texts(&[b"A"], true)));
    for (from, to) in [(r#""field":"messages""#, r#""field":[]"#), (r#""7""#, "{}"), (r#"{"phone_number_id":"7"}"#, r#""7""#)] {
        assert_eq!(read(entry.replace(from, to).as_bytes()), Err(SkipReason::NoId), "{to}");
    }
}

#[test]
fn the_last_of_equal_names_counts() {
    let message = |id: &str| format!(r#"{{"id":"Z","type":"x","id":"{id}","type":"text"}}"#);
    let value = format!(r#""messages":[{}],"metadata":{{"phone_number_id":"9"}},"messages":[{}]"#, message("Y"), message("A"));
    let value = format!(r#"{value},"metadata":{{"phone_number_id":"8","phone_number_id":"7"}}"#);
    let change = format!(r#"{{"field":"calls","value":{{"messages":[{0}]}},"field":"messages","value":{{{value}}}}}"#, message("X"));
    let entry = format!(r#"{{"changes":[{{"field":"messages","value":{{"messages":[{}]}}}}],"changes":[{change}]}}"#, message("W"));
    let whole = format!(r#"{{"entry":[{},{entry}],"\u0065ntry":[{entry}]}}"#, entry.replace(r#""id":"A""#, r#""id":"V""#));
    assert_eq!(read(whole.as_bytes()), Ok(texts(&[b"A"], false)));
    let none =
        [r#""messages":[{"id":"A"}],"messages":[]"#, r#""messages":[{"id":"A"}],"messages":1"#, r#""messages":[{"id":"A","id":null}]"#];
    for value in [r#""x""#, "{}", r#"{"contacts":[]}"#] {
        let whole = format!(r#"{{"entry":[{{"changes":[{{"value":{{"messages":[{{"id":"A"}}]}},"value":{value}}}]}}]}}"#);
        assert_eq!(read(whole.as_bytes()), Err(SkipReason::NoId), "{value}");
    }
    for members in none {
        assert_eq!(read(&body(members)), Err(SkipReason::NoId), "{members}");
    }
    let statuses = r#""statuses":[{"id":"A"}],"messages":[{"id":"A","type":"text"}],"statuses":[]"#;
    assert_eq!(read(&body(statuses)), Ok(texts(&[b"A"], false)), "only the list of that name is taken back");
}

#[test]
fn texts_are_what_javascript_makes_of_them() {
    let with = |id: &[u8]| body(r#""messages":[{"id":"@","type":"text"}]"#).split(|byte| *byte == b'@').collect::<Vec<_>>().join(id);
    assert_eq!(read(&[b"\xEF\xBB\xBF", &with(b"A")[..]].concat()), Ok(texts(&[b"A"], false)));
    assert_eq!(read(&with(b"\\ud83d")), Ok(texts(&[b"\xED\xA0\xBD"], false)));
    assert_eq!(read(&with(b"\xE2\x82")), Ok(texts(&["\u{FFFD}".as_bytes()], false)));
    assert_ne!(read(&with(b"\\ud83d")), read(&with(b"\\ud83e")), "lone surrogates are different texts");
    assert_eq!(read(&with(b"\xF0\x9F\x98\x80")), read(&with(b"\\uD83D\\uDE00")));
    let (null, absent) = (body(r#""statuses":[{"id":"A","type":null}]"#), body(r#""statuses":[{"id":"A"}]"#));
    assert_eq!(read(&null), read(&absent));
    assert_ne!(read(&absent), read(&body(r#""statuses":[{"id":"A","type":""}]"#)));
}

#[test]
fn a_message_and_a_status_of_one_id_are_two_events() {
    let both = read(&body(r#""statuses":[{"id":"A"}],"messages":[{"id":"A","type":"text"}]"#)).expect("two events");
    let apart =
        [r#""statuses":[{"id":"A"}]"#, r#""messages":[{"id":"A","type":"text"}]"#].map(|members| read(&body(members)).expect("one"));
    assert_eq!(both.keys, apart.iter().flat_map(|found| found.keys.iter().copied()).collect::<Vec<_>>().into());
}

#[test]
fn a_body_may_come_in_any_chunks() {
    let whole = fixture("batch_two_numbers.json");
    for size in [1, 7, 100, whole.len()] {
        let chunks: Vec<Bytes> = whole.chunks(size).map(Bytes::copy_from_slice).collect();
        assert_eq!(events(&SCOPE, &chunks), read(&whole));
    }
    assert_eq!(events(&SCOPE, &[]), Err(SkipReason::Unparsable));
}

#[test]
fn a_reason_is_given_for_every_body_without_events() {
    for text in ["", "{", "{}x", "{\"entry\":[}", "id=1", "\u{feff}\u{feff}{}", "{\"entry\":[]}]"] {
        assert_eq!(read(text.as_bytes()), Err(SkipReason::Unparsable), "{text}");
    }
    for text in ["{}", "[]", "1", "{\"entry\":[]}", "{\"entry\":{}}", "{\"entry\":[{\"id\":\"A\"}]}", "{\"id\":\"A\"}"] {
        assert_eq!(read(text.as_bytes()), Err(SkipReason::NoId), "{text}");
    }
    let list = |count: usize| (0..count).map(|id| format!(r#"{{"id":{id}}}"#)).collect::<Vec<_>>().join(",");
    let many = |count| body(&format!(r#""messages":[{}]"#, list(count)));
    assert_eq!(read(&many(MAX_KEYS)).map(|found| found.keys.len()), Ok(MAX_KEYS));
    assert_eq!(read(&many(MAX_KEYS + 1)), Err(SkipReason::TooManyIds));
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).is_err(), "no event comes out of noise");
    }

    /// What cannot be read is never guessed: a body cut short or followed by more has no events.
    #[test]
    fn a_torn_body_has_no_events(file in 0..23_usize, cut in any::<prop::sample::Index>(), extra in "[^ \t\r\n]") {
        let whole = fixture(&manifest()[file].0);
        prop_assert_eq!(read(&whole[..cut.index(whole.len())]), Err(SkipReason::Unparsable));
        prop_assert_eq!(read(&[&whole, extra.as_bytes()].concat()), Err(SkipReason::Unparsable));
    }
}
