//! The store of answers at its cap: what it takes in memory while a million small and 1,500 big answers pass through it, and how long
//! purges of 100,000 take, and look-ups meanwhile. Each part in a process of its own, or one would use what another left.
//! `cargo bench --bench answers`.
#![allow(missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::io::{self, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use edge_sidecar::cache::policy::{Answer, storable};
use edge_sidecar::cache::request::Request;
use edge_sidecar::cache::{CacheKey, CallerSecret, Entry, Scope, Settings, Ttl};
use edge_sidecar::clock::Clock;
use edge_sidecar::store::purge::Purge;
use edge_sidecar::store::responses::Responses;
use edge_sidecar::telemetry::process::Process;
use http::{HeaderMap, HeaderValue, Method};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const CAP: u64 = 64 << 20;
const MAX_OBJECT: u64 = 1 << 20;

/// What answers are made of.
struct Maker {
    clock: Clock,
    secret: CallerSecret,
    settings: Settings,
    head: HeaderMap,
    body: Bytes,
    rule: Arc<str>,
}

impl Maker {
    fn new() -> Self {
        let mut head = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("cache-control", "public, max-age=600"),
            ("access-control-allow-origin", "*"),
            ("x-served-by", "supabase-edge-runtime"),
        ] {
            head.insert(name, HeaderValue::from_static(value));
        }
        let settings = Settings::new(Ttl::Usual(Duration::from_mins(5)), Scope::PerCaller);
        let body = vec![b'x'; usize::try_from(MAX_OBJECT).unwrap_or(0)].into();
        Self { clock: Clock::system(), secret: CallerSecret::new([7; 16]), settings, head, body, rule: "profile".into() }
    }

    fn key(&self, function: &str, number: usize) -> CacheKey {
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer bench"))]);
        let path = format!("/functions/v1/{function}/{number}");
        let request = Request {
            method: &Method::GET,
            host: "api.example",
            path: &path,
            odd_path: false,
            query: Some("lang=en"),
            headers: &headers,
            has_body: false,
            upstream: "functions",
            trusted: false,
        };
        CacheKey::new(&self.rule, &self.settings, &request, &self.secret)
    }

    /// Stores an answer with so many bytes of body.
    fn store(&self, store: &Responses, key: &CacheKey, bytes: usize) {
        let answer = Answer { status: 200, headers: &self.head, delay: Duration::ZERO, now: self.clock.now(), wall: self.clock.wall() };
        let storable = storable(&self.settings, &HeaderMap::new(), &answer, MAX_OBJECT).expect("storable");
        let fields = self.head.iter().map(|(n, v)| (n.as_str().as_bytes(), v.as_bytes()));
        let entry = Entry::new(Arc::clone(&self.rule), storable, &self.head, fields, &[self.body.slice(..bytes)]);
        store.insert(key, entry, &store.begin()).expect("room");
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures to read")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// How long this thread has had a processor: others may be at work on the machine.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Answers pass through the store; resident memory is read all the while.
fn pass(what: &str, count: usize, size: impl Fn(usize) -> usize) -> io::Result<()> {
    let (maker, store) = (Maker::new(), Responses::new(CAP, MAX_OBJECT));
    let (before, mut most) = (Process::read().rss_bytes, 0);
    for number in 0..count {
        maker.store(&store, &maker.key("profile", number), size(number));
        assert!(store.bytes() <= CAP, "{} bytes are above the cap", store.bytes());
        if number % (count / 500) == 0 {
            most = most.max(Process::read().rss_bytes);
        }
    }
    std::thread::sleep(Duration::from_secs(2)); // the allocator gives back what it has kept for a second
    let settled = mib(Process::read().rss_bytes.saturating_sub(before)) / mib(CAP);
    let (grown, totals) = (most.saturating_sub(before), store.totals());
    let of_cap = mib(grown) / mib(CAP);
    let (held, cap) = (mib(totals.bytes), mib(CAP));
    writeln!(
        io::stdout(),
        "{what:<28} {:>7} held, {held:.1} of {cap:.0} MiB; resident {settled:.3}x the cap (<= 1.15x), {of_cap:.3}x at most",
        totals.entries,
    )
}

/// 100,000 answers, a tenth of them another function's.
fn purges() -> io::Result<()> {
    let (maker, store) = (Maker::new(), Arc::new(Responses::new(4 * CAP, MAX_OBJECT)));
    let key = |number: usize| maker.key(if number.is_multiple_of(10) { "other" } else { "profile" }, number);
    let function = |name: &str| Purge::Function(name.into(), vec![("functions".into(), "/functions/v1/".into())]);
    for (what, purge, expected) in [
        ("purge of one function", function("profile"), 90_000),
        ("purge of a rule", Purge::Rule("profile".into()), 100_000),
        ("purge of one of ten", function("other"), 10_000),
    ] {
        (0..100_000).for_each(|number| maker.store(&store, &key(number), 1024));
        let (stop, known, clock) = (Arc::new(AtomicBool::new(false)), key(10), maker.clock.clone());
        let reader = {
            let (stop, store) = (Arc::clone(&stop), Arc::clone(&store));
            std::thread::spawn(move || {
                let (none, mut slowest) = (HeaderMap::new(), Duration::ZERO);
                while !stop.load(Relaxed) {
                    let began = clock.now();
                    black_box(store.lookup(&known, &none, began));
                    slowest = slowest.max(clock.now() - began);
                    std::thread::yield_now();
                }
                slowest
            })
        };
        let began: Instant = maker.clock.now();
        let counted = store.count(&purge);
        let looked = maker.clock.now() - began;
        let (began, worked) = (maker.clock.now(), on_cpu());
        let removed = store.purge(&purge);
        let (took, worked) = (maker.clock.now() - began, on_cpu().saturating_sub(worked));
        assert_eq!((counted, removed), (expected, expected));
        stop.store(true, Relaxed);
        let slowest = reader.join().expect("no panic");
        writeln!(
            io::stdout(),
            "{what:<28} {removed:>7} of 100000: {took:.1?}, {worked:.1?} of it on a processor (<= 50 ms); dry run {looked:.1?}; slowest look-up {slowest:.1?}"
        )?;
        store.purge(&Purge::All);
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let part = std::env::args().find_map(|argument| argument.strip_prefix("part=").map(str::to_owned));
    match part.as_deref() {
        Some("small") => pass("1,000,000 of 64 B to 2 KB", 1_000_000, |number| 64 + number * 7919 % 2000),
        Some("tiny") => pass("1,000,000 of 56 B", 1_000_000, |_| 56),
        Some("big") => pass("1,500 of 64 KB to 1 MB", 1_500, |number| (64 << 10) + number * 7919 % (900 << 10)),
        Some("purges") => purges(),
        _ => ["small", "tiny", "big", "purges"].iter().try_for_each(|part| {
            let ended = Command::new(std::env::current_exe()?).arg(format!("part={part}")).status()?;
            if ended.success() { Ok(()) } else { Err(io::Error::other(format!("{part}: {ended}"))) }
        }),
    }
}
