//! A request, the answer to it and another request: `REQUEST blank line STATUS SCOPE and fields blank line REQUEST`. What an answer
//! forbids is never stored, whatever else it says; what is stored is well-formed and ends; a key is shared only by requests that are the same.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use edge_sidecar::cache::control::{Directives, structured};
use edge_sidecar::cache::policy::{Answer, Freshness, Storable, freshness, lifetime, storable};
use edge_sidecar::cache::request::{Lookup, Request as Asked, judge, strip_on_fetch};
use edge_sidecar::cache::status::{CacheStatus, Forward, before_ours};
use edge_sidecar::cache::{CacheKey, CallerSecret, Entry, NotStored, Scope, Settings, Ttl};
use edge_sidecar::clock::Clock;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::message::{Message, Request, parts};

const SECRET: CallerSecret = CallerSecret::new([7; 16]);
const CREDENTIALS: [&str; 3] = ["authorization", "apikey", "cookie"];
const MAX_OBJECT: u64 = 1 << 20;
/// No lifetime counts above this (RFC 9111 1.2.2).
const LONGEST: Duration = Duration::from_secs(1 << 31);
/// A moment that does not change, so that a finding can be repeated: dates in an input stay as far from it as they are.
const WALL: Duration = Duration::from_secs(1_800_000_001);

/// What one answer arrives as.
struct Exchange {
    settings: Settings,
    request: HeaderMap,
    status: u16,
    answer: HeaderMap,
    now: Instant,
}

/// Checks one input.
pub fn check(input: &[u8]) {
    let mut parts = parts(input, b"\n\n");
    let mut next = || parts.next().unwrap_or_default();
    let (first, answer, second) = (Request::read(next()), Message::read(next()), Request::read(next()));
    let scope = [Scope::PerCaller, Scope::Anonymous].into_iter().find(|scope| scope.as_str() == answer.word(1)).unwrap_or(Scope::Public);
    let exchange = Exchange {
        settings: Settings::new(Ttl::Usual(Duration::from_mins(5)), scope),
        request: first.headers.clone(),
        status: answer.word(0).parse().unwrap_or(200),
        answer: answer.headers,
        now: Clock::manual().now(),
    };
    keys(scope, &first, &second);
    if let Ok(found) = exchange.judge(&exchange.request, &exchange.answer) {
        exchange.forbidden();
        exchange.selected(&found, &first, &second);
        exchange.kept(found);
    }
    status_line(&exchange.answer);
}

impl Exchange {
    fn judge(&self, request: &HeaderMap, answer: &HeaderMap) -> Result<Storable, NotStored> {
        let wall = SystemTime::UNIX_EPOCH + WALL;
        let answer = Answer { status: self.status, headers: answer, delay: Duration::from_millis(20), now: self.now, wall };
        storable(&self.settings, request, &answer, MAX_OBJECT)
    }

    /// The answer may be stored; with one more line it must not.
    fn forbidden(&self) {
        let with = |lines: &[(&'static str, &'static str)]| {
            let mut answer = self.answer.clone();
            for (name, value) in lines {
                answer.append(*name, HeaderValue::from_static(value));
            }
            self.judge(&self.request, &answer).map(|found| found.facts.directives.must_understand)
        };
        // `CDN-Cache-Control` speaks alone where it can be read.
        let both = |value| with(&[("cache-control", value), ("cdn-cache-control", value)]);
        for value in ["private", "private, max-age=60", "no-cache", "no-cache, max-age=60"] {
            assert!(both(value).is_err(), "{value}");
        }
        // kept for what it allows once it is not fresh, or not at all
        let in_place = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("stale-"));
        assert!(both("s-maxage=0").is_err() || self.answer.values().any(in_place));
        for value in ["no-store", "no-store, max-age=60"] {
            assert!(!matches!(both(value), Ok(false)), "only `must-understand` lifts it");
        }
        for line in [("set-cookie", "a=b"), ("vary", "*"), ("vary", "accept, *")] {
            assert!(with(&[line]).is_err(), "{line:?}");
        }
        let mut request = self.request.clone();
        request.append("cache-control", HeaderValue::from_static("no-store"));
        assert_eq!(self.judge(&request, &self.answer).err(), Some(NotStored::RequestNoStore));
    }

    /// An answer is one to its own request, and two requests that it answers share the fetch.
    fn selected(&self, found: &Storable, first: &Request, second: &Request) {
        assert!(found.selecting.matches(&self.request));
        let key = CacheKey::new("rule", self.settings.scope, &asked(first), &SECRET);
        let flights = [first, second].map(|request| found.selecting.flight_key(&key, &request.headers));
        assert_eq!(found.selecting.matches(&second.headers), flights[0] == flights[1]);
        assert!(flights[0].len() >= key.len());
        let mut reversed = self.request.clone();
        if let (Some(value), 1) = (reversed.get_mut("accept-encoding"), self.request.get_all("accept-encoding").iter().count()) {
            let codings: Vec<&[u8]> = value.as_bytes().split(|b| *b == b',').rev().collect();
            *value = HeaderValue::from_bytes(&codings.join(&b","[..])).expect("the same bytes");
        }
        assert!(found.selecting.matches(&reversed), "the order of codings says nothing");
    }

    /// What is kept of it.
    fn kept(&self, found: Storable) {
        let fields = self.answer.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let entry = Entry::new("rule".into(), found, &self.answer, fields, &[Bytes::from_static(b"body")]);
        let lines = entry.head().split(|b| *b == b'\n').filter(|line| !line.is_empty()).count();
        assert_eq!(entry.headers().count(), lines, "every line is a field");
        for (name, value) in entry.headers() {
            assert!(HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_bytes(value).is_ok());
            assert!(!["set-cookie", "connection", "transfer-encoding", "age", "x-cache"].contains(&name), "{name}");
            assert!(name != "content-length" || value == b"4");
        }
        let lifetime = lifetime(entry.facts(), &self.settings);
        assert!(lifetime <= LONGEST);
        match freshness(&entry, &self.settings, self.now) {
            Freshness::Fresh { age, left } => assert!(age + left == lifetime && !left.is_zero()),
            Freshness::Expired { meanwhile, on_error, .. } => assert!(meanwhile || on_error, "stored, and of no use at that moment"),
        }
        let later = freshness(&entry, &self.settings, self.now + lifetime);
        assert!(matches!(later, Freshness::Expired { .. }), "it ends");
        let last = freshness(&entry, &self.settings, self.now + lifetime + LONGEST + Duration::from_secs(1));
        assert!(matches!(last, Freshness::Expired { meanwhile: false, on_error: false, .. }), "for good");
    }
}

/// Two requests share a key exactly if they are the same in all that counts.
fn keys(scope: Scope, first: &Request, second: &Request) {
    let settings = Settings::new(Ttl::Usual(Duration::from_mins(5)), scope);
    let [a, b] = [first, second].map(|request| CacheKey::new("rule", scope, &asked(request), &SECRET));
    assert_eq!(a == b, meaning(scope, first) == meaning(scope, second));
    assert_eq!(a, CacheKey::new("rule", scope, &asked(first), &SECRET));
    assert_ne!(a, CacheKey::new("rule-2", scope, &asked(first), &SECRET));
    for request in [first, second] {
        let known = CREDENTIALS.iter().any(|name| request.headers.contains_key(*name));
        if let Lookup::Find(_) = judge(&settings, &asked(request)) {
            assert!(!(known && scope == Scope::Anonymous) && [Method::GET, Method::HEAD].contains(&request.method));
        }
        let stripped: Vec<&str> = strip_on_fetch(scope, &request.headers).map(HeaderName::as_str).collect();
        assert!(!stripped.contains(&"authorization") && !stripped.contains(&"host"));
        assert!(!request.headers.contains_key("if-none-match") || stripped.contains(&"if-none-match"));
    }
}

fn asked(request: &Request) -> Asked<'_> {
    let facts = request.facts();
    Asked {
        method: &request.method,
        host: &request.host,
        path: &request.path,
        odd_path: facts.path.is_odd(),
        query: request.query.as_deref(),
        headers: &request.headers,
        has_body: facts.has_body(),
        upstream: "functions",
    }
}

/// All that counts in a key, side by side.
fn meaning(scope: Scope, request: &Request) -> (&str, &str, Option<&str>, Vec<Vec<&[u8]>>) {
    let values = |name: &&str| request.headers.get_all(*name).iter().map(HeaderValue::as_bytes).collect();
    let credentials = if scope == Scope::PerCaller { CREDENTIALS.iter().map(values).collect() } else { Vec::new() };
    (&request.host, &request.path, request.query.as_deref(), credentials)
}

/// Ours is the last member of `Cache-Status`, and the only one of our name.
fn status_line(answer: &HeaderMap) {
    let ours = CacheStatus::Fetched { forward: Forward::UriMiss, status: 200, stored: Ok(()) };
    let lines = answer.get_all("cache-status").iter().map(HeaderValue::as_bytes);
    let value = before_ours(lines) + &ours.to_string();
    let members = structured::list(value.as_bytes()).expect("a list");
    let own: Vec<usize> = (0..members.len()).filter(|at| members[*at].raw.starts_with(b"edge-sidecar;")).collect();
    assert_eq!(own, [members.len() - 1]);
    let read = |wall| Directives::of(answer, SystemTime::UNIX_EPOCH + wall);
    assert!(read(WALL).stated_lifetime().is_none_or(|lifetime| lifetime <= LONGEST));
    assert_eq!(read(WALL).no_store, read(Duration::ZERO).no_store);
}
