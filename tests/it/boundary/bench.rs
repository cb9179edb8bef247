//! Runs cases against a sidecar in front of the strict origin, one after another, and adds up what became of them.

use std::fmt::Write as _;

use super::caller::{Caller, Delivery, Heard, is_last};
use super::case::{Case, expand};
use super::origin::Strict;
use super::verdict::{Observed, Outcome, Targets, Wrong, judge};
use crate::support::origin::Gate;
use crate::support::routes::RULES;
use crate::support::sidecar::{Sidecar, in_front_of};

/// The ways to a function, each with the deliveries tried on it: streamed, whole body first, look-up first.
const WAYS: [(&str, &[Delivery]); 3] = [
    ("/plain", &[Delivery::Whole, Delivery::Lines, Delivery::Bytes]),
    ("/wa-webhook-core", &[Delivery::Whole, Delivery::Lines]),
    ("/profile", &[Delivery::Whole]),
];

/// The sum of many runs.
#[derive(Debug, Default)]
pub struct Sum {
    /// Cases.
    pub cases: usize,
    /// Runs: each case on every way, in several deliveries.
    pub runs: usize,
    /// Runs by outcome.
    pub outcomes: Vec<Outcome>,
    /// All that is wrong.
    pub wrongs: Vec<(Wrong, String)>,
}

impl Sum {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.runs += other.runs;
        self.outcomes.extend(other.outcomes);
        self.wrongs.extend(other.wrongs);
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.iter().filter(|o| **o == outcome).count()
    }

    fn wrong(&self, wrong: Wrong) -> usize {
        self.wrongs.iter().filter(|(w, _)| *w == wrong).count()
    }

    /// The line that says it all.
    pub fn line(&self) -> String {
        let [refused, closed, forwarded, lenient] =
            [Outcome::Refused, Outcome::Closed, Outcome::Forwarded, Outcome::Lenient].map(|o| self.count(o));
        let [desync, harmful, overblock] = [Wrong::Desync, Wrong::Unsafe, Wrong::Overblock].map(|w| self.wrong(w));
        format!(
            "{} cases, {} runs: refused {refused}, closed {closed}, forwarded {forwarded}, lenient {lenient}, desync {desync}, unsafe {harmful}, overblock {overblock}",
            self.cases, self.runs
        )
    }

    /// Fails with everything that is wrong.
    pub fn check(&self) {
        let list = self.wrongs.iter().fold(String::new(), |mut list, (wrong, text)| {
            let _ = writeln!(list, "{wrong:?}: {text}");
            list
        });
        assert!(self.wrongs.is_empty(), "{list}{}", self.line());
    }
}

/// A sidecar in front of a strict origin.
pub struct Bench {
    /// What is behind it.
    pub origin: Strict,
    /// The sidecar.
    pub sidecar: Sidecar,
    /// Requests for `/held…` wait here.
    pub gate: Gate,
    runs: usize,
}

impl Bench {
    /// Starts both.
    pub async fn start(rules: &str, change: impl FnOnce(&mut edge_sidecar::config::Sidecar)) -> Self {
        let gate = Gate::new();
        let origin = Strict::start(&gate).await;
        let sidecar = in_front_of(&origin.url()).rules(rules).with(change).start().await;
        Self { origin, sidecar, gate, runs: 0 }
    }

    /// The targets of a new run.
    pub fn targets(&mut self, way: &str) -> Targets {
        self.runs += 1;
        let target = |way: &str| format!("{way}/{:05}", self.runs);
        Targets { meant: target(way), smuggled: target("/smuggled"), next: target("/next"), victim: target("/victim") }
    }

    async fn play(&mut self, case: &Case, way: &str, delivery: Delivery) -> Observed {
        let targets = self.targets(way);
        let mut caller = Caller::open(self.sidecar.address).await;
        caller.send(&expand(&case.bytes, &targets.meant, &targets.smuggled), delivery).await;
        if case.ends {
            caller.end().await;
        }
        let method = if case.bytes.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
        let mut seen = self.observe(&mut caller, targets, method, usize::from(case.pipelined)).await;
        seen.kept = self.ask(&seen.targets.meant).await;
        self.origin.take();
        seen
    }

    /// Another caller's GET.
    async fn ask(&self, target: &str) -> Heard {
        let mut caller = Caller::open(self.sidecar.address).await;
        caller.send(&plain_get(target), Delivery::Whole).await;
        caller.hear("GET").await
    }

    /// Hears what there is to hear on a connection on which `1 + more` requests were sent, and sends the victim's.
    pub async fn observe(&mut self, caller: &mut Caller, targets: Targets, method: &str, more: usize) -> Observed {
        let goes_on = |heard: &[Heard]| matches!(heard.last(), Some(Heard::Answer(answer)) if !is_last(answer));
        let mut heard = vec![caller.hear(method).await];
        for _ in 0..more {
            if goes_on(&heard) {
                heard.push(caller.hear("GET").await);
            }
        }
        let next = if goes_on(&heard) {
            caller.send(&plain_get(&targets.next), Delivery::Whole).await;
            Some(caller.hear("GET").await)
        } else {
            None
        };
        if next.is_some() {
            caller.end().await;
        }
        let rest = caller.hear("GET").await;
        let victim = self.ask(&targets.victim).await;
        Observed { targets, heard, next, rest, victim, arrivals: self.origin.take(), kept: Heard::Closed }
    }
}

fn plain_get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n").into_bytes()
}

/// Runs all cases of a class on a sidecar of their own.
pub async fn run(class: &'static str, cases: Vec<Case>) -> Sum {
    let mut bench = Bench::start(RULES, |_| ()).await;
    let mut sum = Sum { cases: cases.len(), ..Sum::default() };
    for case in &cases {
        for (way, deliveries) in WAYS {
            for delivery in deliveries {
                let seen = bench.play(case, way, *delivery).await;
                sum.runs += 1;
                match judge(case, &seen) {
                    Ok(outcome) => sum.outcomes.push(outcome),
                    Err((wrong, why)) => sum.wrongs.push((wrong, report(class, case, (way, *delivery), &seen, &why))),
                }
            }
        }
    }
    let late = bench.origin.take();
    if !late.is_empty() {
        sum.wrongs.push((Wrong::Desync, format!("{class}: came too late to belong to a case: {late:?}")));
    }
    for series in ["edge_sidecar_requests_in_flight", r#"edge_sidecar_upstream_connections{state="in_use",upstream="functions"}"#] {
        bench.sidecar.until_series(series, 0.0).await;
    }
    sum
}

fn report(class: &str, case: &Case, (way, delivery): (&str, Delivery), seen: &Observed, why: &str) -> String {
    let cut = |text: String| text.chars().take(600).collect::<String>();
    let heard = format!("{:?}, next {:?}, at last {:?}, the victim {:?}", seen.heard, seen.next, seen.rest, seen.victim);
    let (sent, got) = (cut(case.bytes.escape_ascii().to_string()), cut(format!("{:?}", seen.arrivals)));
    format!("{class}: {} ({way}, {delivery:?}): {why}\n  sent  {sent}\n  heard {}\n  function got {got}", case.name, cut(heard))
}
