//! Bodies of webhooks. What is found depends neither on the chunks a body comes in nor on its spelling, a part of a body never counts
//! as a whole one, and no event is overlooked: two other readers of JSON see the same.

mod model;
mod spelling;

use bytes::Bytes;
use edge_sidecar::dedup::extract::MAX_KEYS;
use edge_sidecar::dedup::key::Scope;
use edge_sidecar::dedup::{Delivery, Extracted, IdSource, SkipReason, extract};
use http::HeaderMap;
use serde::de::IgnoredAny;

const SCOPE: Scope<'_> = Scope { upstream: "functions", function: "wa-webhook" };
/// The deepest nesting that is read.
const MAX_DEPTH: usize = 128;
/// `{"id":1}`
const SMALLEST_EVENT: usize = 8;

type Found = Result<Extracted, SkipReason>;

/// Checks one body.
pub fn check(body: &[u8]) {
    let found = read(body);
    let seed = body.iter().fold(body.len(), |seed, byte| seed.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    bounded(&found, body.len());
    chunks_make_no_difference(&found, body, seed);
    as_another_reader_sees_it(&found, body);
    a_part_has_no_events(&found, body, seed);
    more_members(&found, body);
    assert_eq!(read(&spelling::with_space(body, seed)), found, "white space outside of strings");
    if found != Err(SkipReason::Unparsable) {
        assert_eq!(read(&spelling::with_escapes(body)), found, "escaped letters");
    }
    model::check(&SCOPE, body, &found);
}

fn read(body: &[u8]) -> Found {
    find(&SCOPE, &[Bytes::copy_from_slice(body)])
}

fn find(scope: &Scope<'_>, body: &[Bytes]) -> Found {
    extract(&IdSource::WhatsApp, scope, &Delivery { target: "/wa-webhook", headers: &HeaderMap::new(), body })
}

fn bounded(found: &Found, length: usize) {
    let Ok(found) = found else { return };
    assert!(!found.keys.is_empty() && found.keys.len() <= MAX_KEYS && found.keys.len() * SMALLEST_EVENT <= length);
    assert!(found.keys.iter().zip(found.keys.iter().skip(1)).all(|(a, b)| a < b), "sorted, each once");
}

fn chunks_make_no_difference(found: &Found, body: &[u8], seed: usize) {
    let chunks: Vec<Bytes> = body.chunks(seed % 37 + 1).map(Bytes::copy_from_slice).collect();
    assert_eq!(find(&SCOPE, &chunks), *found);
    let elsewhere = find(&Scope { function: "other", ..SCOPE }, &chunks);
    match (&elsewhere, found) {
        (Ok(elsewhere), Ok(found)) => {
            assert!(elsewhere.keys.len() == found.keys.len() && elsewhere.idless == found.idless);
            assert!(elsewhere.keys.iter().all(|key| !found.keys.iter().any(|own| own == key)), "two functions share no event");
        }
        _ => assert_eq!(elsewhere, *found),
    }
}

/// A body that is cut, or goes on after its end, is never read.
fn a_part_has_no_events(found: &Found, body: &[u8], seed: usize) {
    if found.is_ok() {
        let whole = body.trim_ascii_end();
        assert_eq!(read(&whole[..seed % whole.len()]), Err(SkipReason::Unparsable), "cut");
        assert_eq!(read(&[whole, b"0"].concat()), Err(SkipReason::Unparsable), "with more behind it");
    }
}

/// What else stands beside the events of a body never hides them, and is itself never taken for nothing.
fn more_members(found: &Found, body: &[u8]) {
    let Ok(found) = found else { return };
    let (start, end) = (body.iter().position(|b| *b == b'{').expect("an object"), body.trim_ascii_end().len() - 1);
    let before = |member: &str| [&body[..=start], member.as_bytes(), b",", &body[start + 1..]].concat();
    let behind = |member: &str| [&body[..end], b",", member.as_bytes(), b"}"].concat();
    let nested = |depth: usize| behind(&format!(r#""new":{}{}"#, "[".repeat(depth), "]".repeat(depth)));
    let same = Ok(found.clone());
    assert_eq!(read(&before(r#""entry":[]"#)), same, "the last of two counts");
    assert_eq!(read(&behind(r#""new":[]"#)), same);
    let idless = Ok(Extracted { idless: true, ..found.clone() });
    assert_eq!(read(&behind(r#""new":[{}]"#)), idless);
    assert_eq!(read(&before(r#""new":{"id":"A"}"#)), idless);
    assert_eq!((read(&nested(MAX_DEPTH - 1)), read(&nested(MAX_DEPTH))), (idless, Err(SkipReason::Unparsable)), "nesting");
    assert_eq!(read(&behind(r#""entry":[]"#)), Err(SkipReason::NoId), "the last of two counts");
}

/// What is JSON to serde is JSON here, and nothing else is. (serde checks skipped strings as little as `JSON.parse` does.)
fn as_another_reader_sees_it(found: &Found, body: &[u8]) {
    if *found == Err(SkipReason::TooManyIds) {
        return; // Not read to its end.
    }
    let text = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let valid = serde_json::from_slice::<IgnoredAny>(text).is_ok() && spelling::depth(text) <= MAX_DEPTH;
    assert_eq!(*found != Err(SkipReason::Unparsable), valid);
}
