//! The sum of all memory the process may take, against `memory.budget` and the limit of its control group.

use super::decode::Decoder;
use super::diagnostics::{Code, Span};
use super::sidecar::Sidecar;
use super::spanned::Node;
use crate::engine::recent;

/// Program, threads, allocator, metrics, running rules, in bytes: measured 14 MiB idle, ids (a line of their own) included.
const BASE: u64 = 18 << 20;
/// One connection of a caller, idle or with a head under way (measured: 18 KiB).
const CONNECTION: u64 = 19 << 10;
/// One request at work, besides its connection: head and buffers on both sides, the function's connection (measured: 26 KiB).
pub const REQUEST: u64 = 27 << 10;
/// What heads may take, all together, beyond the 4 KiB that each has from the start.
pub const LARGE_HEADS: u64 = 4 << 20;

/// One line of the sum.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Part {
    /// What takes it.
    pub name: &'static str,
    /// Most bytes it takes.
    pub bytes: u64,
}

/// What each part may take at most.
#[must_use]
pub fn parts(sidecar: &Sidecar) -> [Part; 8] {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let connections = sidecar.limits.connections;
    [
        Part { name: "program", bytes: BASE },
        Part { name: "cache", bytes: sidecar.memory.cache },
        Part { name: "bodies in flight", bytes: sidecar.memory.bodies },
        Part { name: "accepted messages", bytes: messages(count(sidecar.dedup_max_entries)) },
        Part { name: "connections", bytes: count(connections).saturating_mul(CONNECTION) },
        Part { name: "requests in flight", bytes: count(sidecar.limits.in_flight.min(connections)).saturating_mul(REQUEST) },
        Part { name: "large heads", bytes: LARGE_HEADS },
        Part { name: "recent requests", bytes: recent::BYTES as u64 },
    ]
}

/// What a store of `entries` accepted messages sets aside, as `tests/it/ids.rs` checks: 25 bytes each, an index of at least twice as many places
/// of 5 bytes, ghosts of 4; and of what happened lately, 52 bytes for every fourth, 65,536 times at most.
#[must_use]
pub fn messages(entries: u64) -> u64 {
    let places = entries.saturating_mul(2).saturating_add(16).checked_next_power_of_two().unwrap_or(u64::MAX);
    let steps = (entries / 4).clamp(1 << 10, 1 << 16);
    [entries.saturating_mul(29), places.saturating_mul(5), steps * 52, 4 << 10].into_iter().fold(0, u64::saturating_add)
}

/// What is left of the budget beside the parts that count as taken at all times: all but stored answers, bodies and requests.
#[must_use]
pub fn free(sidecar: &Sidecar) -> u64 {
    let [program, _, _, messages, connections, _, heads, recent] = parts(sidecar).map(|part| part.bytes);
    [program, messages, connections, heads, recent].into_iter().fold(sidecar.memory.budget, u64::saturating_sub)
}

/// The whole sum, in bytes.
#[must_use]
pub fn sum(sidecar: &Sidecar) -> u64 {
    parts(sidecar).iter().fold(0, |sum, part| sum.saturating_add(part.bytes))
}

/// The sum as lines of text.
#[must_use]
pub fn table(sidecar: &Sidecar) -> Vec<String> {
    let line = |name: &str, bytes: u64| format!("{name:<20} {:>10}", show(bytes));
    let mut lines: Vec<String> = parts(sidecar).iter().map(|part| line(part.name, part.bytes)).collect();
    lines.push(line("sum", sum(sidecar)));
    lines.push(line("budget", sidecar.memory.budget));
    lines
}

/// A size in MiB, with one decimal.
fn show(bytes: u64) -> String {
    let tenths = u128::from(bytes) * 10 / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// Checks the sum and that the parts fit each other; points at the key that says so, if one does.
pub fn check(d: &mut Decoder, root: Option<&Node>, sidecar: &Sidecar, memory_limit: Option<u64>) {
    let place = |section: &str, key: &str| {
        let section = root.and_then(|root| root.get(section));
        section.and_then(|s| s.get(key)).or(section).or(root).map_or(Span::NOWHERE, |node| node.span)
    };
    let memory = &sidecar.memory;
    let total = sum(sidecar);
    if total > memory.budget {
        let message = format!("the parts need {}, more than the budget of {}", show(total), show(memory.budget));
        let lines: Vec<String> = parts(sidecar).iter().map(|p| format!("{} {}", p.name, show(p.bytes))).collect();
        d.error(Code::Budget, place("memory", "budget"), message, lines.join(", "));
    }
    if let Some(limit) = memory_limit.filter(|limit| total > *limit) {
        let message = format!("the parts need {}, more than the {} this container has", show(total), show(limit));
        d.error(Code::Budget, place("memory", "budget"), message, "raise the container's memory limit, or lower `memory`");
    }
    if memory.max_object > memory.cache / 4 {
        let message = format!("one stored answer may take {}, more than a quarter of the cache", show(memory.max_object));
        d.error(Code::OutOfRange, place("memory", "max_object"), message, format!("at most {}", show(memory.cache / 4)));
    }
    if sidecar.limits.body > memory.bodies {
        let message = format!("one body may take {}, more than all bodies together", show(sidecar.limits.body));
        d.error(Code::OutOfRange, place("limits", "body"), message, format!("at most `memory.bodies`, {}", show(memory.bodies)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::host::Host;
    use super::super::sidecar_file::defaults;
    use super::*;

    fn codes(sidecar: &Sidecar, limit: Option<u64>) -> Vec<Code> {
        let mut d = Decoder::default();
        check(&mut d, None, sidecar, limit);
        d.problems.iter().map(|p| p.code).collect()
    }

    #[test]
    fn the_defaults_fit() {
        let sidecar = defaults(&Host::default());
        assert_eq!(codes(&sidecar, None), []);
        assert_eq!(codes(&sidecar, Some(sum(&sidecar))), []);
        assert_eq!(table(&sidecar)[8].split_whitespace().collect::<Vec<_>>(), ["sum", "111.3", "MiB"]);
    }

    #[test]
    fn each_check_bites() {
        let base = defaults(&Host::default());
        assert_eq!(codes(&base, Some(sum(&base) - 1)), [Code::Budget]);
        let with = |change: fn(&mut Sidecar)| {
            let mut sidecar = base.clone();
            change(&mut sidecar);
            codes(&sidecar, None)
        };
        assert_eq!(with(|s| s.memory.cache = 48 << 20), [Code::Budget]);
        assert_eq!(with(|s| s.dedup_max_entries = 2_000_000), [Code::Budget]);
        assert_eq!(with(|s| s.limits.in_flight = 100_000), [Code::Budget]);
        assert_eq!(with(|s| s.memory.max_object = (8 << 20) + 1), [Code::OutOfRange]);
        assert_eq!(with(|s| s.limits.body = (16 << 20) + 1), [Code::OutOfRange]);
        assert_eq!(with(|s| s.dedup_max_entries = usize::MAX), [Code::Budget]);
    }
}
