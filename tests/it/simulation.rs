//! What a way to deduplicate costs, in messages: ten thousand through each of the ways that products have, on the same dice, and
//! through the shipped `flow::webhook::admit`, `flow::send` and memory store. Hours of messages pass in seconds (paused time).
//!
//! `cargo test --test it simulation -- --nocapture` prints the table.

mod world;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edge_sidecar::dedup::Settings;
use edge_sidecar::dedup::key::{KeyHasher, Keys, Scope};
use edge_sidecar::flow::Downstream;
use edge_sidecar::flow::send::{End, send};
use edge_sidecar::flow::webhook::{Admission, admit};
use edge_sidecar::store::claims::{Claim, Claimed, Claims, Mode, Wish};
use edge_sidecar::store::memory::Memory;
use http::StatusCode;

use world::{Caller, Function, Gateway, Sums, Time, send_all};

const MESSAGES: usize = 10_000;
const DAY: Duration = Duration::from_hours(24);

/// Parts that every gateway has.
#[derive(Clone)]
struct Parts {
    function: Function,
    time: Time,
    keys: Arc<Vec<Keys>>,
    store: Arc<Memory>,
    marks: Arc<Mutex<HashSet<usize>>>,
    window: Duration,
}

impl Parts {
    fn new(window: Duration) -> Self {
        let hasher = KeyHasher::new(&Scope { upstream: "functions", function: "wa-webhook-core" }, "whatsapp");
        let key = |message: usize| {
            let mut hasher = hasher.clone();
            hasher.part(Some(&message.to_be_bytes()));
            Keys::from(vec![hasher.finish()])
        };
        Self {
            function: Function::new(MESSAGES),
            time: Time::start(),
            keys: Arc::new((0..MESSAGES).map(key).collect()),
            store: Memory::new(2 * MESSAGES),
            marks: Arc::default(),
            window,
        }
    }

    /// Forwards, as `proxy::webhook` does: the claim is settled at the head.
    async fn forward(&self, message: usize, mut caller: Caller, claim: Option<Claim>) -> u16 {
        let (mut heard, time) = (0, self.time.clone());
        let settle = |status: http::StatusCode, _: &http::HeaderMap| {
            heard = status.as_u16();
            if let (200..=299, Some(claim)) = (status.as_u16(), claim) {
                claim.accept(time.clock().now());
            }
        };
        let sent = send(&self.function, message, &mut caller, settle).await;
        if let End::NoAnswer(_) = sent.end {
            reply(&mut caller, 502).await;
        }
        heard
    }

    async fn claim(&self, message: usize) -> Claimed {
        let wish = Wish { keys: &self.keys[message], window: self.window, mode: Mode::Wait, now: self.time.clock().now(), waited: None };
        self.store.claim(&wish).await
    }

    /// The shipped way.
    async fn wait(&self, message: usize, mut caller: Caller) {
        let settings = Settings { window: self.window, ..Settings::default() };
        match admit(&*self.store, self.time.clock(), &settings, &self.keys[message], false).await.admission {
            Admission::Forward(claim) => _ = self.forward(message, caller, Some(claim)).await,
            Admission::Duplicate { .. } | Admission::Joined { .. } => reply(&mut caller, 200).await,
            Admission::TimedOut | Admission::Crowded => reply(&mut caller, 503).await,
        }
    }
}

async fn reply(caller: &mut Caller, status: u16) {
    let _ = caller.head(StatusCode::from_u16(status).expect("a status")).await;
}

/// The ways to deduplicate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strategy {
    None,
    MarkFirst,
    MarkAfter,
    AnswerInFlight,
    RefuseInFlight,
    WaitAborted,
    Shipped,
}

#[derive(Clone)]
struct By(Strategy, Parts);

impl Gateway for By {
    fn aborts(&self) -> bool {
        self.0 == Strategy::WaitAborted
    }

    async fn answer(self, message: usize, mut caller: Caller) {
        let Self(strategy, parts) = self;
        let marks = || parts.marks.lock().expect("no panic while held");
        match strategy {
            Strategy::None => _ = parts.forward(message, caller, None).await,
            Strategy::MarkFirst => {
                let new = marks().insert(message);
                if new { _ = parts.forward(message, caller, None).await } else { reply(&mut caller, 200).await }
            }
            Strategy::MarkAfter => {
                let known = marks().contains(&message);
                if known {
                    reply(&mut caller, 200).await;
                } else if parts.forward(message, caller, None).await == 200 {
                    marks().insert(message);
                }
            }
            Strategy::AnswerInFlight | Strategy::RefuseInFlight => match parts.claim(message).await {
                Claimed::Owned(claim) => _ = parts.forward(message, caller, Some(claim)).await,
                Claimed::Duplicate { .. } => reply(&mut caller, 200).await,
                _ => reply(&mut caller, if strategy == Strategy::AnswerInFlight { 200 } else { 503 }).await,
            },
            Strategy::WaitAborted | Strategy::Shipped => parts.wait(message, caller).await,
        }
    }
}

/// Runs one strategy over its own hours.
fn run(strategy: Strategy, window: Duration) -> Sums {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let parts = Parts::new(window);
        let ledger = Arc::clone(&parts.function.0);
        send_all(&By(strategy, parts), &ledger).await;
        ledger.sums()
    })
}

#[test]
fn of_ten_thousand_messages_none_is_lost_and_each_is_taken_once() {
    let seconds = Duration::from_secs(30);
    let rows: [(&str, Sums); 8] = [
        ("no deduplication", run(Strategy::None, DAY)),
        ("mark first, never release", run(Strategy::MarkFirst, DAY)),
        ("mark after success only", run(Strategy::MarkAfter, DAY)),
        ("lock, 200 while in flight", run(Strategy::AnswerInFlight, DAY)),
        ("lock, 503 while in flight", run(Strategy::RefuseInFlight, seconds)),
        ("lock and wait, the call aborted with its client, 30 s", run(Strategy::WaitAborted, seconds)),
        ("shipped, window 30 s", run(Strategy::Shipped, seconds)),
        ("shipped, window 24 h", run(Strategy::Shipped, DAY)),
    ];
    eprintln!("| strategy | acknowledged but lost | accepted more than once | exactly once | requests | runs |");
    eprintln!("|---|---|---|---|---|---|");
    for (name, sums) in &rows {
        eprintln!("| {name} | {} | {} | {} | {} | {} |", sums.lost, sums.twice, sums.once, sums.requests, sums.runs);
    }
    let [none, first, after, answer, refuse, aborted, short, day] = rows.map(|(_, sums)| sums);
    for shipped in [short, day] {
        assert_eq!((shipped.lost, shipped.early), (0, 0), "{shipped:?}");
        assert_eq!(shipped.once + shipped.twice, MESSAGES, "every message arrives: {shipped:?}");
    }
    assert_eq!((day.twice, day.once), (0, MESSAGES), "within the window, each of them once: {day:?}");
    assert!(short.twice > 0, "after it, late repeats are new: {short:?}");
    // the dice are worth something only if the ways that lose and double do so here
    assert!(first.lost > 500 && answer.lost > 50, "{first:?} {answer:?}");
    assert!(none.twice > after.twice && after.twice > aborted.twice && aborted.twice > short.twice, "{none:?} {after:?} {aborted:?}");
    assert!(refuse.lost == 0 && refuse.requests > short.requests, "waiting spares the sender its repeats: {refuse:?} {short:?}");
}
