//! What a caller has been handed, and what the store holds by then.

use std::future::pending;
use std::time::Duration;

use super::*;
use crate::cache::request::Request;
use crate::cache::{CallerSecret, Scope, Settings, Ttl};
use crate::rules::Matcher;
use crate::store::responses::Found;
use crate::telemetry::record::Phases;

/// A function's answer that never says that it is over.
struct Endless {
    headers: HeaderMap,
    pieces: Vec<Bytes>,
}

impl Answer for Endless {
    type Head = ();

    fn head(&self) -> (StatusCode, &HeaderMap) {
        (StatusCode::OK, &self.headers)
    }

    fn take_head(&mut self) {}

    async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        if self.pieces.is_empty() { pending().await } else { Ok(Some(self.pieces.remove(0))) }
    }

    fn exchanged(&self) -> Exchanged {
        Exchanged {
            upstream: "u".into(),
            address: None,
            status: 200,
            connect: None,
            first_byte: Duration::ZERO,
            total: Duration::ZERO,
            reused: false,
            retries: 0,
            phases: Phases::default(),
        }
    }

    async fn drain(self) {}
}

struct Function;

impl Upstream for Function {
    type Call = Endless;
    type Answer = Endless;

    async fn open(&self, call: Endless) -> Result<Endless, Failure> {
        Ok(call)
    }
}

fn fill(shelf: &Shelf, length: &'static str, pieces: &[&'static str]) -> (Fill<Function>, CacheKey) {
    let none = HeaderMap::new();
    let request = Request {
        method: &http::Method::GET,
        host: "h",
        path: "/p",
        odd_path: false,
        query: None,
        headers: &none,
        has_body: false,
        upstream: "u",
    };
    let key = CacheKey::new("r", Scope::Public, &request, &CallerSecret::new([7; 16]));
    let settings = Settings::new(Ttl::Usual(Duration::from_mins(1)), Scope::Public);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_LENGTH, http::HeaderValue::from_static(length));
    let call = Endless { headers, pieces: pieces.iter().map(|p| Bytes::from_static(p.as_bytes())).collect() };
    let rule = Arc::new(Rule { name: "r".into(), matcher: Matcher::default(), settings });
    let begun = shelf.responses.begin();
    let (upstream, shelf, request) = (Function, shelf.clone(), HeaderMap::new());
    let fill = Fill { upstream, call, shelf, key: key.clone(), rule, request, begun, lead: None, stale: None };
    (fill, key)
}

#[tokio::test]
async fn the_last_piece_is_handed_on_only_when_the_answer_is_stored() {
    for (length, pieces) in [("0", &[][..]), ("5", &["hello"]), ("5", &["he", "llo"])] {
        let clock = Clock::manual();
        let responses = Arc::new(Responses::new(1 << 20, 1 << 10));
        let shelf = Shelf { responses, bodies: Budget::new(1 << 20), max_object: 1 << 10, clock };
        let (fill, key) = fill(&shelf, length, pieces);
        let mut reader = fill.spawn();
        // head and pieces, but never an end
        for _ in 0..=pieces.len() {
            assert!(matches!(reader.recv().await, Some(Part::Head(..) | Part::Data(..))));
        }
        let found = shelf.responses.lookup(&key, &HeaderMap::new(), shelf.clock.now());
        let Found::Entry { entry, .. } = found else { panic!("not stored: {length} {pieces:?}") };
        assert_eq!((entry.body(), shelf.bodies.used()), (&Bytes::from(pieces.concat()), 0));
    }
}
