//! The shipped code under paused time, against workers that retire as the runtime's do.

use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::*;
use crate::flow::{Cause, Failure};
use crate::telemetry::record::Exchanged;
use crate::upstream::cold::Sign;
use crate::upstream::timing::Phases;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn now() -> Instant {
    Deadline::now().into_std()
}

/// Functions whose workers live for `life` and take `boot` to start. `absent` is refused, `hung` never answers, `failing` answers 500.
struct World {
    life: Duration,
    boot: Duration,
    workers: Mutex<BTreeMap<String, (Instant, u32)>>,
    calls: Mutex<Vec<String>>,
    starts: Starts,
    steps: Vec<Arc<Step>>,
    draining: AtomicBool,
    ended: Mutex<Vec<(String, Outcome)>>,
}

struct Answered(StatusCode, HeaderMap, bool);

impl Answer for Answered {
    type Head = ();
    fn head(&self) -> (StatusCode, &HeaderMap) {
        (self.0, &self.1)
    }
    fn take_head(&mut self) {}
    async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        Ok(None)
    }
    fn exchanged(&self) -> Exchanged {
        let (address, status, connect, reused, retries) = (None, 200, None, true, 0);
        let (first_byte, total) = (Duration::ZERO, Duration::ZERO);
        Exchanged {
            upstream: "u".into(),
            address,
            status,
            connect,
            first_byte,
            total,
            reused,
            retries,
            cold: self.2,
            phases: Phases::default(),
        }
    }
    async fn drain(self) {}
}

impl Upstream for Arc<World> {
    type Call = String;
    type Answer = Answered;

    async fn open(&self, function: String) -> Result<Answered, Failure> {
        self.calls.lock().expect("whole").push(function.clone());
        match &*function {
            "absent" => return Err(Failure { cause: Cause::Refused, exchanged: None }),
            "hung" => std::future::pending().await,
            "failing" => return Ok(Answered(StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new(), false)),
            _ => {}
        }
        let sent = now();
        let (born, number) = {
            let mut workers = self.workers.lock().expect("whole");
            let worker = workers.entry(function.clone()).or_insert((sent, 0));
            if sent >= worker.0 + self.life {
                *worker = (sent, worker.1 + 1);
            }
            *worker
        };
        tokio::time::sleep_until((born + self.boot).into()).await;
        let id = number.to_string();
        let sign = Sign { execution_id: Some(id.as_bytes()), status: 200, reused: true, sent, answered: now() };
        Ok(Answered(StatusCode::OK, HeaderMap::new(), self.starts.judge(&function, &sign)))
    }
}

impl Host for Arc<World> {
    type Upstream = Self;
    fn upstream(&self) -> &Self {
        self
    }
    fn call(&self, function: &str, _path: &str) -> String {
        function.to_owned()
    }
    fn steps(&self) -> (u64, Vec<Arc<Step>>) {
        (1, self.steps.clone())
    }
    fn starts(&self) -> &Starts {
        &self.starts
    }
    fn may_call(&self) -> bool {
        !self.draining.load(Relaxed)
    }
    fn now(&self) -> Instant {
        now()
    }
    fn ended(&self, _step: &str, function: &str, outcome: Outcome, _took: Duration) {
        self.ended.lock().expect("whole").push((function.to_owned(), outcome));
    }
}

fn step(name: &str, functions: &[&str]) -> Step {
    let functions = functions.iter().map(|f| (*f).into()).collect();
    Step { name: name.into(), functions, path: "/health".into(), on_start: false, every: None, after_first: None, timeout: ms(5_000) }
}

fn world(life: Duration, steps: Vec<Step>) -> Arc<World> {
    Arc::new(World {
        life,
        boot: ms(80),
        workers: Mutex::default(),
        calls: Mutex::default(),
        starts: Starts::default(),
        steps: steps.into_iter().map(Arc::new).collect(),
        draining: AtomicBool::default(),
        ended: Mutex::default(),
    })
}

/// Starts it, once `reached` is over.
fn run(world: &Arc<World>, reached: impl Future<Output = ()> + Send + 'static) -> (Arc<WarmUp>, tokio::task::JoinHandle<()>) {
    let (warm, host) = (Arc::new(WarmUp::new(&world.steps)), Arc::clone(world));
    let task = tokio::spawn({
        let warm = Arc::clone(&warm);
        async move { warm.run(&host, reached).await }
    });
    (warm, task)
}

#[tokio::test(start_paused = true)]
async fn steps_at_the_start_come_in_order_and_hold_it_up_no_longer_than_their_time() {
    let start = |step: Step| Step { on_start: true, ..step };
    let world = world(ms(60_000), vec![start(step("a", &["one", "hung", "absent"])), start(step("b", &["failing", "two"]))]);
    let (warm, _task) = run(&world, sleep(ms(1_000)));
    sleep(ms(900)).await;
    assert!(!warm.has_started() && world.calls.lock().expect("whole").is_empty(), "not before the functions were reached");
    sleep(ms(4_900)).await;
    assert!(!warm.has_started(), "one of the first step hangs");
    sleep(ms(1_000)).await;
    assert!(warm.has_started());
    assert_eq!(*world.calls.lock().expect("whole"), ["one", "hung", "absent", "failing", "two"]);
    let errors: Vec<_> = warm.report().into_iter().flat_map(|r| r.calls).map(|(f, c)| (f.to_string(), c.expect("called").error)).collect();
    let error = |f: &str, e: Option<&str>| (f.to_owned(), e.map(str::to_owned));
    let absent = error("absent", Some("connect_failed"));
    assert_eq!(
        errors,
        [error("one", None), error("hung", Some("timeout")), absent, error("failing", Some("status 500")), error("two", None)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_calls_under_way_and_allows_no_more() {
    let world = world(ms(60_000), vec![Step { on_start: true, every: Some(ms(1_000)), ..step("a", &["hung"]) }]);
    let (warm, task) = run(&world, std::future::ready(()));
    sleep(ms(100)).await;
    world.draining.store(true, Relaxed);
    task.await.expect("it ends by itself");
    assert_eq!(world.calls.lock().expect("whole").len(), 1);
    assert!(warm.has_started() && world.ended.lock().expect("whole").is_empty() && !warm.command().await);
}

#[tokio::test(start_paused = true)]
async fn the_first_request_of_one_function_warms_others_once_and_a_command_warms_all() {
    let world = world(ms(60_000), vec![Step { after_first: Some("core".into()), ..step("later", &["x", "y"]) }, step("more", &["z"])]);
    let (warm, _task) = run(&world, std::future::ready(()));
    sleep(ms(200)).await;
    for _ in 0..3 {
        warm.arrived("other");
        warm.arrived("core");
        sleep(ms(200)).await;
    }
    assert_eq!(*world.calls.lock().expect("whole"), ["x", "y"]);
    assert!(warm.command().await);
    assert_eq!(*world.calls.lock().expect("whole"), ["x", "y", "x", "y", "z"]);
    assert!(warm.report().iter().flat_map(|r| &r.calls).all(|(_, c)| c.as_ref().is_some_and(|c| c.occasion == Occasion::Command)));
}

/// Cold starts that callers meet within ten minutes, one asking every `gap`, and how many workers there were; after a minute of learning.
async fn met(every: Option<u64>, gap: u64) -> (usize, usize) {
    let step = Step { on_start: true, every: every.map(ms), ..step("core", &["f"]) };
    let world = world(ms(5_000), vec![step]);
    let (_warm, task) = run(&world, std::future::ready(()));
    let (mut learnt, begin) = (None, now());
    let mut cold = 0;
    while now() < begin + Duration::from_mins(11) {
        sleep(ms(gap)).await;
        cold += usize::from(world.open("f".to_owned()).await.is_ok_and(|answer| answer.2));
        if now() > begin + Duration::from_mins(1) {
            learnt.get_or_insert((cold, world.workers.lock().expect("whole")["f"].1));
        }
    }
    task.abort();
    let (before, workers) = learnt.expect("more than a minute");
    (cold - before, (world.workers.lock().expect("whole")["f"].1 - workers) as usize)
}

#[tokio::test(start_paused = true)]
async fn calls_where_a_worker_ends_take_cold_starts_from_callers() {
    // a period that outlives the workers hides next to nothing
    let (cold, workers) = met(None, 730).await;
    assert!(cold == workers && workers > 100);
    let (cold, workers) = met(Some(20_000), 730).await;
    assert!(cold * 10 > workers * 8, "{cold} of {workers}");
    // within a life the end is foreseen: what is left are callers who come between the end and the call, or while it waits for the start
    for gap in [730, 1_310, 2_900] {
        let (cold, workers) = met(Some(4_000), gap).await;
        assert!(workers > 100 && cold * 8 < workers, "{cold} of {workers}, one request every {gap} ms");
    }
}
