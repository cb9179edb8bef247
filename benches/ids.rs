//! A million ids: what they take in memory, and what a claim with its acceptance, a repeat, a purge and a trace take in time.
//! `cargo bench --bench ids`.
#![allow(missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use edge_sidecar::clock::Clock;
use edge_sidecar::dedup::key::{KeyHasher, Keys, Scope};
use edge_sidecar::store::claims::{Claimed, Claims, Mode, Wish};
use edge_sidecar::store::memory::Memory;
use edge_sidecar::telemetry::process::Process;
use tokio::runtime::Builder;

const IDS: usize = 1_000_000;
const DAY: Duration = Duration::from_hours(24);

fn keys(from: usize, count: usize) -> Keys {
    let shared = KeyHasher::new(&Scope { upstream: "functions", function: "wa-webhook" }, "whatsapp");
    let key = |number: usize| {
        let mut hasher = shared.clone();
        hasher.id(format!("wamid.{number}").as_bytes());
        hasher.finish()
    };
    (from..from + count).map(key).collect::<Vec<_>>().into()
}

#[allow(clippy::cast_precision_loss, reason = "figures to read")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn main() -> io::Result<()> {
    let (clock, mut out) = (Clock::system(), io::stdout().lock());
    let runtime = Builder::new_current_thread().build()?;
    let rss = || Process::read().rss_bytes;
    let (before, store) = (rss(), Memory::new(IDS));
    let claim = |keys: &Keys| runtime.block_on(store.claim(&Wish { keys, window: DAY, mode: Mode::Wait, now: clock.now(), waited: None }));
    let mut took: Vec<Duration> = Vec::new();
    let mut timed = |what: &mut dyn FnMut()| {
        let start: Instant = clock.now();
        what();
        took.push(clock.now() - start);
    };
    for number in 0..IDS {
        let keys = keys(number, 1);
        timed(&mut || match claim(&keys) {
            Claimed::Owned(claim) => drop(black_box(claim.accept(clock.now()))),
            other => unreachable!("a fresh id, not {other:?}"),
        });
    }
    let (after, numbers) = (rss(), store.numbers());
    let own = u64::try_from(took.capacity() * size_of::<Duration>()).unwrap_or(u64::MAX);
    writeln!(out, "{} ids: {:.1} MiB set aside", numbers.entries, mib(numbers.bytes as u64))?;
    writeln!(out, "resident: {:.1} MiB more than before", mib(after.saturating_sub(before + own)))?;
    took.sort_unstable();
    let mean = took.iter().sum::<Duration>() / u32::try_from(took.len()).unwrap_or(u32::MAX);
    writeln!(out, "claim and accept: mean {mean:?}, p50 {:?}, p99 {:?}, most {:?}", took[IDS / 2], took[IDS / 100 * 99], took[IDS - 1])?;
    let one = |what: &str, work: &mut dyn FnMut(), out: &mut dyn Write| {
        let start = clock.now();
        work();
        writeln!(out, "{what}: {:?}", clock.now() - start)
    };
    let batch = keys(IDS, 1_000);
    one("claim of a batch of 1,000, new", &mut || drop(black_box(claim(&batch))), &mut out)?;
    let known = keys(IDS - 1_000, 1_000);
    one("the same, all known", &mut || drop(black_box(claim(&known))), &mut out)?;
    one("trace", &mut || drop(black_box(store.trace(b"wamid.7"))), &mut out)?;
    one("purge", &mut || assert_eq!(black_box(store.purge(b"wamid.7")), 1), &mut out)
}
