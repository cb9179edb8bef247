//! A rolling restart with the kubelet's signals in the kubelet's order, under load: per Pod the `preStop` hook (`edge-sidecar drain`), SIGTERM at
//! once (plain container) or after the functions (native sidecar), SIGKILL at the end of the grace period. Meanwhile 5,000 messages and more
//! come from senders that try again, half of which hear late of who has gone.
//!
//! Lost: a sender was told 200 and no function ran. Refused: an attempt that began before the end of the announcement and was not answered
//! with 200. Doubled: a message that ran more often than it was sent to different Pods, which is the most that memory stores promise.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use edge_sidecar::clock::Clock;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::client::{Connection, Request, get, post, send};
use crate::support::command::{Process, output};
use crate::support::origin::{Gate, Origin, Reply, Seen};
use crate::support::until;

const MESSAGES: u64 = 5_000;
const SENDERS: usize = 24;
/// Of one sender, between two messages.
const PAUSE: Duration = Duration::from_millis(10);
const ANNOUNCE: Duration = Duration::from_secs(2);
/// After this the news of a Pod's end has reached the senders that hear of it in time.
const NEWS: Duration = Duration::from_secs(1);
/// Of the functions' own end in a native sidecar's Pod.
const FUNCTIONS: Duration = Duration::from_secs(3);
/// `announce` + `timeout` + 2 s.
const GRACE: Duration = Duration::from_secs(9);

const SETTINGS: &str = "version: 1\nlisteners: [{ name: functions, address: \"127.0.0.1:1\", upstream: functions }]\n\
                        upstreams: [{ name: functions, servers: [\"http://127.0.0.1:1\"], function_prefix: / }]\n\
                        drain: { announce: 2s, timeout: 5s }\nrules: null\n";

/// The Pods as the senders know them, and what happened.
struct World {
    clock: Clock,
    /// Who is sent to: by senders that hear in time, and by those that hear late.
    known: [Mutex<Vec<(usize, SocketAddr)>>; 2],
    /// When the hook of a Pod began.
    ending: Mutex<HashMap<usize, Instant>>,
    /// Attempts without a 200: the Pod, when it began, the status.
    failed: Mutex<Vec<(usize, Instant, u16)>>,
    /// Runs of each message, counted by the function.
    runs: Mutex<HashMap<String, usize>>,
    next: AtomicU64,
    rolled: AtomicBool,
}

impl World {
    /// A Pod of a message's attempt; the next attempt goes to another.
    fn pod(&self, late: bool, attempt: u64) -> (usize, SocketAddr) {
        let known = self.known[usize::from(late)].lock().expect("no panic while held");
        known[usize::try_from(attempt).expect("small") % known.len()]
    }

    fn add(&self, number: usize, process: &Process) {
        self.known.iter().for_each(|k| k.lock().expect("no panic while held").push((number, process.address)));
    }

    fn remove(&self, number: usize, late: bool) {
        self.known[usize::from(late)].lock().expect("no panic while held").retain(|(n, _)| *n != number);
    }

    /// One attempt; every second sender keeps its connection until it is told that it closes.
    async fn attempt(&self, pod: (usize, SocketAddr), kept: &mut Option<(usize, Connection)>, request: &Request) -> u16 {
        let began = self.clock.now();
        let open = match kept.take().filter(|(number, _)| *number == pod.0) {
            Some((_, connection)) => Ok(connection),
            None => Connection::try_open(pod.1).await,
        };
        let mut status = 0;
        if let Ok(mut connection) = open {
            let answer = connection.try_send(request).await;
            status = answer.status;
            if status == 200 && answer.header("connection") != "close" {
                *kept = Some((pod.0, connection));
            }
        }
        if status != 200 {
            self.failed.lock().expect("no panic while held").push((pod.0, began, status));
        }
        status
    }

    /// Sends until all is rolled and `MESSAGES` are sent. Each message until it is told 200; every tenth then once more, as its sender had
    /// not heard it. Gives the Pods that each message was sent to.
    async fn sender(self: Arc<Self>, number: usize) -> HashMap<String, HashSet<usize>> {
        let (late, keeps, mut sent, mut kept) = (number.is_multiple_of(2), number % 4 < 2, HashMap::new(), None);
        loop {
            let message = self.next.fetch_add(1, SeqCst);
            if message >= MESSAGES && self.rolled.load(SeqCst) {
                return sent;
            }
            let pods: &mut HashSet<usize> = sent.entry(message.to_string()).or_default();
            let mut request = webhook(message);
            if !keeps {
                request = request.header("connection", "close");
            }
            let (mut attempt, mut told) = (message, 0);
            while told < 1 + u64::from(message.is_multiple_of(10)) {
                let pod = self.pod(late, attempt);
                pods.insert(pod.0);
                told += u64::from(self.attempt(pod, &mut kept, &request).await == 200);
                attempt += 1;
                assert!(attempt < message + 100, "message {message} is refused for ever");
                sleep(PAUSE).await;
            }
        }
    }
}

fn webhook(number: u64) -> Request {
    let message = format!(r#"{{"from":"2","id":"wamid.{number}","timestamp":"1","text":{{"body":"hi"}},"type":"text"}}"#);
    let value = format!(r#"{{"metadata":{{"phone_number_id":"7"}},"messages":[{message}]}}"#);
    let body =
        format!(r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"value":{value},"field":"messages"}}]}}]}}"#);
    post("/wa-webhook-core", body).header("content-type", "application/json")
}

/// The function: notes each run; every fourth takes its time.
async fn function(world: &Arc<World>) -> Origin {
    let world = Arc::clone(world);
    let script = move |seen: &Seen| {
        let text = seen.message.text();
        let id: String =
            text.split_once("wamid.").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect()).unwrap_or_default();
        let slow = id.parse::<u64>().is_ok_and(|n| n.is_multiple_of(4));
        *world.runs.lock().expect("no panic while held").entry(id).or_default() += 1;
        if !slow {
            return Reply::ok("{}");
        }
        let gate = Gate::new();
        let opens = gate.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(80)).await;
            opens.open();
        });
        Reply::ok("{}").behind(&gate)
    };
    Origin::start(script).await
}

/// Ends a Pod as the kubelet does.
async fn end(world: &World, number: usize, mut process: Process, native: bool) {
    let began = world.clock.now();
    world.ending.lock().expect("no panic while held").insert(number, began);
    let socket = process.socket.display().to_string();
    let hook = tokio::task::spawn_blocking(move || output(&["drain", "--socket", &socket])).await.expect("no panic");
    assert!(hook.status.success(), "preStop: {}", String::from_utf8_lossy(&hook.stderr));
    if !native {
        process.signal("TERM");
    }
    let unready = get("/readyz").header("connection", "close");
    assert_eq!(send(process.admin, &unready).await.status, 503, "not ready from the hook on");
    let at = async |after: Duration| sleep((began + after).saturating_duration_since(world.clock.now())).await;
    at(NEWS).await;
    world.remove(number, false);
    at(ANNOUNCE + Duration::from_millis(500)).await;
    world.remove(number, true);
    if native {
        at(FUNCTIONS).await;
        process.signal("TERM");
    }
    let code = tokio::time::timeout((began + GRACE).saturating_duration_since(world.clock.now()), process.ended()).await;
    if code.is_err() {
        process.signal("KILL");
    }
    assert_eq!(code.ok().and_then(|status| status.code()), Some(0), "ended by itself within the grace period");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_nothing_and_refuses_nobody_while_it_is_announced() {
    let world = Arc::new(World {
        clock: Clock::system(),
        known: Default::default(),
        ending: Mutex::default(),
        failed: Mutex::default(),
        runs: Mutex::default(),
        next: AtomicU64::new(0),
        rolled: AtomicBool::new(false),
    });
    let (origin, folder) = (function(&world).await, tempfile::tempdir().expect("a folder"));
    let settings = folder.path().join("sidecar.yaml").display().to_string();
    std::fs::write(&settings, SETTINGS).expect("writable");
    let (url, args) = (origin.url(), ["--config", settings.as_str(), "--preset", "whatsapp", "--log-level", "error"]);
    let mut pods = Vec::new();
    for number in 0..2 {
        pods.push(Process::start(&url, &args).await);
        world.add(number, &pods[number]);
    }
    let mut senders = JoinSet::new();
    (0..SENDERS).for_each(|number| drop(senders.spawn(Arc::clone(&world).sender(number))));
    for (number, native) in [(0, false), (1, true)] {
        let sent = world.next.load(SeqCst);
        until("load on all Pods", async || (world.next.load(SeqCst) > sent + 200).then_some(())).await;
        let fresh = Process::start(&url, &args).await;
        world.add(number + 2, &fresh);
        pods.push(fresh);
        end(&world, number, pods.remove(0), native).await;
    }
    world.rolled.store(true, SeqCst);
    let sent: HashMap<String, HashSet<usize>> = senders.join_all().await.into_iter().flatten().collect();

    let (runs, ending) = (world.runs.lock().expect("no panic while held"), world.ending.lock().expect("no panic while held"));
    let failed = world.failed.lock().expect("no panic while held");
    let refused: Vec<_> = failed.iter().filter(|(pod, began, _)| ending.get(pod).is_none_or(|from| *began < *from + ANNOUNCE)).collect();
    let lost: Vec<_> = sent.keys().filter(|id| !runs.contains_key(*id)).collect();
    let doubled: Vec<_> = sent.iter().filter(|(id, pods)| runs.get(*id).is_some_and(|n| *n > pods.len())).collect();
    let again = runs.values().filter(|n| **n > 1).count();
    eprintln!(
        "{} messages: lost {}, refused during the announcement {}, turned away after it and sent again {}, run by both Pods that they were \
         sent to {again}, more than that {}",
        sent.len(),
        lost.len(),
        refused.len(),
        failed.len() - refused.len(),
        doubled.len()
    );
    assert_eq!((lost.len(), refused.len(), doubled.len()), (0, 0, 0), "{lost:?} {refused:?} {doubled:?}");
    assert!(sent.len() as u64 >= MESSAGES && failed.iter().any(|(_, _, status)| *status == 0), "those that heard late were turned away");
    assert!(again > 0, "copies of one message reached two Pods");
}
