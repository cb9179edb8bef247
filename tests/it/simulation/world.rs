//! The two ends of the simulation under paused time: senders that repeat, run into their time-out and come back late, and a function
//! that fails, is slow, and runs on when its caller has left. Both play dice of their own, the same in every run.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use edge_sidecar::clock::Clock;
use edge_sidecar::flow::{Answer, Cause, Downstream, Failure, Gone, Upstream};
use edge_sidecar::telemetry::record::{Exchanged, Phases};
use http::{HeaderMap, StatusCode};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// When a sender stops listening.
pub const SENDER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often one copy is sent before its sender gives up on it; Meta goes on for days.
const ATTEMPTS: u64 = 30;

/// The dice of one throw: what it is about, and which throw it is.
fn dice(about: &str, message: usize, throw: usize) -> StdRng {
    let mut seed = [0; 32];
    seed[..about.len()].copy_from_slice(about.as_bytes());
    seed[16..24].copy_from_slice(&message.to_be_bytes());
    seed[24..].copy_from_slice(&throw.to_be_bytes());
    StdRng::from_seed(seed)
}

fn within(dice: &mut StdRng, from: u64, to: u64) -> Duration {
    Duration::from_millis(dice.random_range(from..to))
}

/// The time of the shipped code, which a harness moves: brought up to tokio's before each use.
#[derive(Clone)]
pub struct Time {
    clock: Clock,
    start: Instant,
    moved: Arc<Mutex<Duration>>,
}

impl Time {
    /// Begins now.
    pub fn start() -> Self {
        Self { clock: Clock::manual(), start: Instant::now(), moved: Arc::default() }
    }

    /// The clock, at the present.
    pub fn clock(&self) -> &Clock {
        let mut moved = self.moved.lock().expect("no panic while held");
        let elapsed = self.start.elapsed();
        self.clock.advance(elapsed.saturating_sub(*moved));
        *moved = elapsed;
        &self.clock
    }
}

/// What happened to each message.
pub struct Ledger {
    runs: Vec<AtomicUsize>,
    accepted: Vec<AtomicUsize>,
    acknowledged: Vec<AtomicUsize>,
    early: AtomicUsize,
    requests: AtomicUsize,
}

/// The sums of a ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// The sender was told 200, and the function never took it.
    pub lost: usize,
    /// The function took it more than once.
    pub twice: usize,
    /// The function took it once.
    pub once: usize,
    /// Told 200 before the function took it.
    pub early: usize,
    /// Requests of senders.
    pub requests: usize,
    /// Runs of the function.
    pub runs: usize,
}

impl Ledger {
    fn new(messages: usize) -> Self {
        let zeros = || (0..messages).map(|_| AtomicUsize::new(0)).collect();
        Self { runs: zeros(), accepted: zeros(), acknowledged: zeros(), early: AtomicUsize::new(0), requests: AtomicUsize::new(0) }
    }

    /// Adds up.
    pub fn sums(&self) -> Sums {
        let count = |what: &dyn Fn(usize, usize) -> bool| {
            self.accepted.iter().zip(&self.acknowledged).filter(|(a, b)| what(a.load(Relaxed), b.load(Relaxed))).count()
        };
        Sums {
            lost: count(&|accepted, acknowledged| accepted == 0 && acknowledged > 0),
            twice: count(&|accepted, _| accepted > 1),
            once: count(&|accepted, acknowledged| accepted == 1 && acknowledged > 0),
            early: self.early.load(Relaxed),
            requests: self.requests.load(Relaxed),
            runs: self.runs.iter().map(|n| n.load(Relaxed)).sum(),
        }
    }
}

/// The function: one run in ten fails, one in fifty takes 6 to 12 s.
#[derive(Clone)]
pub struct Function(pub Arc<Ledger>);

impl Function {
    /// One that has not run yet.
    pub fn new(messages: usize) -> Self {
        Self(Arc::new(Ledger::new(messages)))
    }
}

impl Upstream for Function {
    type Call = usize;
    type Answer = Reply;

    async fn open(&self, message: usize) -> Result<Reply, Failure> {
        let (ledger, (tell, told)) = (Arc::clone(&self.0), oneshot::channel());
        let mut dice = dice("function", message, ledger.runs[message].fetch_add(1, Relaxed));
        let fails = dice.random_bool(0.1);
        let takes = if dice.random_bool(0.02) { within(&mut dice, 6_000, 12_000) } else { within(&mut dice, 50, 500) };
        // a task of its own: a function that was called runs to its end, whoever hangs up
        tokio::spawn(async move {
            sleep(takes).await;
            if !fails {
                ledger.accepted[message].fetch_add(1, Relaxed);
            }
            let _ = tell.send(if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK });
        });
        let status = told.await.map_err(|_| Failure { cause: Cause::Lost, exchanged: None })?;
        Ok(Reply(status, HeaderMap::new()))
    }
}

/// The function's answer: a status.
pub struct Reply(StatusCode, HeaderMap);

impl Answer for Reply {
    type Head = StatusCode;

    fn head(&self) -> (StatusCode, &HeaderMap) {
        (self.0, &self.1)
    }

    fn take_head(&mut self) -> StatusCode {
        self.0
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        Ok(None)
    }

    fn exchanged(&self) -> Exchanged {
        Exchanged {
            upstream: "functions".into(),
            address: None,
            status: self.0.as_u16(),
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

/// The sender's end of a request.
pub struct Caller(Option<oneshot::Sender<u16>>);

impl Downstream for Caller {
    type Head = StatusCode;

    async fn head(&mut self, head: StatusCode) -> Result<(), Gone> {
        self.0.take().expect("one head").send(head.as_u16()).map_err(|_| Gone::Left)
    }

    async fn data(&mut self, _: Bytes) -> Result<(), Gone> {
        Ok(())
    }
}

/// What stands between sender and function: answers one copy of a message.
pub trait Gateway: Clone + Send + 'static {
    /// Whether a sender that leaves takes the call with it.
    fn aborts(&self) -> bool;
    /// Answers.
    fn answer(self, message: usize, caller: Caller) -> impl Future<Output = ()> + Send;
}

/// Sends every message, in one to five copies, one in fifty of them once more much later.
pub async fn send_all<G: Gateway>(gateway: &G, ledger: &Arc<Ledger>) {
    let mut deliveries = Vec::new();
    for message in 0..ledger.runs.len() {
        let mut dice = dice("sender", message, 0);
        let first = within(&mut dice, 0, 300_000);
        let copies = dice.random_range(1..=5);
        let mut starts: Vec<_> = (0..copies).map(|copy| first + within(&mut dice, 0, 1 + copy * 1_000)).collect();
        if dice.random_bool(0.02) {
            starts.push(first + within(&mut dice, 120_000, 6 * 3_600_000));
        }
        deliveries.extend(starts.into_iter().map(|start| tokio::spawn(deliver(gateway.clone(), Arc::clone(ledger), message, start))));
    }
    for delivery in deliveries {
        delivery.await.expect("a sender does not panic");
    }
}

/// One copy: again at once, then ever more rarely, until a copy of the message was told 200.
async fn deliver<G: Gateway>(gateway: G, ledger: Arc<Ledger>, message: usize, start: Duration) {
    sleep(start).await;
    for attempt in 1..=ATTEMPTS {
        ledger.requests.fetch_add(1, Relaxed);
        let (tell, told) = oneshot::channel();
        let call = tokio::spawn(gateway.clone().answer(message, Caller(Some(tell))));
        let status = tokio::time::timeout(SENDER_TIMEOUT, told).await;
        if let Ok(Ok(200)) = status {
            ledger.early.fetch_add(usize::from(ledger.accepted[message].load(Relaxed) == 0), Relaxed);
            ledger.acknowledged[message].fetch_add(1, Relaxed);
            return;
        }
        if gateway.aborts() {
            call.abort();
        }
        sleep(Duration::from_millis(20 + 250 * attempt * attempt)).await;
        if ledger.acknowledged[message].load(Relaxed) > 0 {
            return;
        }
    }
}
