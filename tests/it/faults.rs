//! Two thousand messages through the real binary, to a function that fails in every way a function can, from senders that hang up in
//! every way a sender can, while the rules are replaced five times a second.
//!
//! Lost: a sender was told 200 before the function had taken the message. Doubled: the function took it again although the sidecar had
//! heard of the first time; where the function's own answer was lost, nobody can know, and the message is rather sent once more.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::signals_faults::adds_up;
use crate::signals_traffic::Exposition;
use crate::support::client::{Connection, Request, get, post, send};
use crate::support::command::{Process, rename_over};
use crate::support::origin::{Gate, Origin, Reply, Seen, Step};
use crate::support::until;

const MESSAGES: u64 = 2_000;
const SENDERS: usize = 24;
/// What the sidecar waits for a function's answer, and a sender for the sidecar's.
const FIRST_BYTE: &str = "2s";
const SENDER_TIMEOUT: Duration = Duration::from_secs(6);

const RULES: &str = r#"version: 1
dedup:
  include:
    - { name: whatsapp, match: { function: "wa-webhook*", method: POST }, id: whatsapp, window: 24h, wait_timeout: 1s }
"#;

/// How a call to the function ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Fate {
    Taken,
    TakenSlowly,
    TakenThenReset,
    TakenThenClosed,
    TakenThenCutHead,
    TakenThenSilent,
    Refused,
    Busy,
    Redirected,
    Reset,
    Closed,
    Silent,
}

impl Fate {
    /// 64 of 100 calls are taken; every other fate has its share.
    fn of(dice: &mut StdRng) -> Self {
        match dice.random_range(0..100) {
            0..58 => Self::Taken,
            58..64 => Self::TakenSlowly,
            64..67 => Self::TakenThenReset,
            67..70 => Self::TakenThenClosed,
            70..72 => Self::TakenThenCutHead,
            72 => Self::TakenThenSilent,
            73..81 => Self::Refused,
            81..85 => Self::Busy,
            85..87 => Self::Redirected,
            87..93 => Self::Reset,
            93..99 => Self::Closed,
            _ => Self::Silent,
        }
    }

    /// Whether the function took the message, and whether its answer says so.
    fn taken(self) -> (bool, bool) {
        match self {
            Self::Taken | Self::TakenSlowly => (true, true),
            Self::TakenThenReset | Self::TakenThenClosed | Self::TakenThenCutHead | Self::TakenThenSilent => (true, false),
            Self::Refused | Self::Busy | Self::Redirected | Self::Reset | Self::Closed | Self::Silent => (false, false),
        }
    }

    fn reply(self) -> Reply {
        match self {
            Self::Taken => Reply::ok("{}"),
            Self::TakenSlowly => {
                let gate = Gate::new();
                let opens = gate.clone();
                tokio::spawn(async move {
                    sleep(Duration::from_millis(60)).await;
                    opens.open();
                });
                Reply::ok("{}").behind(&gate)
            }
            Self::TakenThenReset | Self::Reset => Reply::empty().then(Step::Reset),
            Self::TakenThenClosed | Self::Closed => Reply::empty().then(Step::Close),
            Self::TakenThenCutHead => Reply::raw("HTTP/1.1 200 OK\r\nContent-Le").then(Step::Close),
            Self::TakenThenSilent | Self::Silent => Reply::ok("{}").behind(&Gate::new()),
            Self::Refused => Reply::new(500, &[], "no"),
            Self::Busy => Reply::new(429, &[("Retry-After", "1")], "later"),
            Self::Redirected => Reply::new(307, &[("Location", "/elsewhere")], ""),
        }
    }
}

/// What the function did with one message.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    runs: usize,
    /// Taken, and the answer said so.
    told: usize,
    /// Taken, but the answer was lost.
    untold: usize,
    /// Bodies that were not the sender's, byte for byte.
    altered: usize,
}

type Fates = Arc<Mutex<HashMap<Fate, usize>>>;
type Ledger = Arc<Mutex<HashMap<String, Taken>>>;

/// The function: a fate for each run of each message, the same in every test run.
async fn function(ledger: &Ledger, fates: &Fates) -> Origin {
    let (ledger, fates) = (Arc::clone(ledger), Arc::clone(fates));
    let script = move |seen: &Seen| {
        let id = id_in(&seen.message.text());
        let number: u64 = id.parse().expect("an id is a number");
        let mut ledger = ledger.lock().expect("no panic while held");
        let taken = ledger.entry(id).or_default();
        let fate = Fate::of(&mut StdRng::seed_from_u64(number * 1_000 + taken.runs as u64));
        let (took, told) = fate.taken();
        taken.runs += 1;
        taken.altered += usize::from(seen.message.body != body(number).as_bytes());
        taken.told += usize::from(told);
        taken.untold += usize::from(took && !told);
        *fates.lock().expect("no panic while held").entry(fate).or_default() += 1;
        fate.reply()
    };
    Origin::start(script).await
}

fn id_in(body: &str) -> String {
    body.split_once("wamid.").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect()).unwrap_or_default()
}

/// The body of a message, escapes and all.
fn body(number: u64) -> String {
    let message = format!(r#"{{"from":"2","id":"wamid.{number}","timestamp":"1","text":{{"body":"hi \ud83d\ude00 \/"}},"type":"text"}}"#);
    let value = format!(r#"{{"metadata":{{"phone_number_id":"7"}},"messages":[{message}]}}"#);
    format!(r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"value":{value},"field":"messages"}}]}}]}}"#)
}

fn webhook(number: u64) -> Request {
    post("/wa-webhook-core", body(number)).header("Content-Type", "application/json").header("Connection", "close")
}

/// What the senders saw.
#[derive(Debug, Default)]
struct Senders {
    requests: AtomicUsize,
    left: AtomicUsize,
    broken: AtomicUsize,
    lost: AtomicUsize,
    unanswered: AtomicUsize,
}

impl Senders {
    /// Sends one message until it is told 200: one to three copies at once, some of which hang up.
    async fn deliver(self: Arc<Self>, address: SocketAddr, number: u64, ledger: &Ledger) {
        let mut dice = StdRng::seed_from_u64(number);
        let copies = dice.random_range(1..=3);
        for _ in 0..40 {
            let mut sent = JoinSet::new();
            for _ in 0..copies {
                let (leaves, after) = (dice.random_range(0..8), Duration::from_millis(dice.random_range(0..90)));
                sent.spawn(Arc::clone(&self).copy(address, number, leaves, after));
            }
            let told = sent.join_all().await;
            if told.contains(&200) {
                let taken = ledger.lock().expect("no panic while held").get(&number.to_string()).copied().unwrap_or_default();
                self.lost.fetch_add(usize::from(taken.told + taken.untold == 0), SeqCst);
                return;
            }
            sleep(Duration::from_millis(dice.random_range(1..30))).await;
        }
        self.unanswered.fetch_add(1, SeqCst);
    }

    /// One copy, and the status it was answered with; 0: it left, or none came.
    async fn copy(self: Arc<Self>, address: SocketAddr, number: u64, leaves: usize, after: Duration) -> u16 {
        self.requests.fetch_add(1, SeqCst);
        if leaves > 1 {
            return match timeout(SENDER_TIMEOUT, send(address, &webhook(number))).await {
                Ok(answer) if answer.message.whole => answer.status,
                _ => {
                    self.broken.fetch_add(1, SeqCst);
                    0
                }
            };
        }
        self.left.fetch_add(1, SeqCst);
        let mut connection = Connection::open(address).await;
        connection.write(&webhook(number)).await;
        sleep(after).await;
        if leaves == 0 {
            connection.close();
        } else {
            connection.reset();
        }
        0
    }
}

/// What must hold in the end, and the line that tells it.
async fn judge(sidecar: &Process, senders: &Senders, ledger: &Ledger, fates: &Fates) {
    let ledger = ledger.lock().expect("no panic while held").clone();
    let count = |what: fn(&Taken) -> bool| ledger.values().filter(|taken| what(taken)).count();
    let (doubled, unheard) = (count(|t| t.told > 1), count(|t| t.told + t.untold > 1));
    let runs: usize = ledger.values().map(|t| t.runs).sum();
    let metrics = until("nothing runs", async || {
        let text = send(sidecar.admin, &get("/metrics").header("Accept", "text/plain").header("Connection", "close")).await.text();
        let all = Exposition::read(&text);
        (all.sum("requests_in_flight", &[]) + all.sum("upstream_connections", &[("state", "in_use")]) < 0.5).then_some(text)
    })
    .await;
    let calls = adds_up(&metrics).sum("upstream_duration_seconds_count", &[]);
    assert!((calls - f64::from(u32::try_from(runs).expect("few"))).abs() < 0.5, "{calls} calls are counted, {runs} were made");
    let generation = metrics.lines().find_map(|l| l.strip_prefix("edge_sidecar_config_generation ")).unwrap_or("0");
    eprintln!(
        "{MESSAGES} messages, {runs} runs of the function, {senders:?}, rules {generation} times: lost {}, doubled {doubled}, taken again \
         after a lost answer {unheard}",
        senders.lost.load(SeqCst)
    );
    let fates = fates.lock().expect("no panic while held").clone();
    assert_eq!(fates.len(), 12, "every fate has struck: {fates:?}");
    assert!(generation.parse::<u64>().expect("a number") > 10, "the rules were replaced all the while");
    assert_eq!((senders.lost.load(SeqCst), senders.unanswered.load(SeqCst)), (0, 0), "{senders:?}");
    assert_eq!(count(|t| t.told + t.untold > 0) as u64, MESSAGES, "every message was taken");
    assert_eq!(count(|t| t.altered > 0), 0, "bodies arrive as they were sent");
    let twice: Vec<_> = ledger.iter().filter(|(_, t)| t.told > 1).collect();
    assert!(twice.is_empty(), "taken twice though the first answer was heard: {twice:?}");
    assert!(unheard > 0, "a function whose answer is lost gets the message again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_thousand_messages_through_faults_none_is_lost() {
    let (ledger, fates) = (Ledger::default(), Fates::default());
    let origin = function(&ledger, &fates).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (rules, settings) = (folder.path().join("rules.yaml"), folder.path().join("sidecar.yaml"));
    std::fs::write(&rules, RULES).expect("writable");
    let upstream = format!("  - name: functions\n    servers: [\"{}\"]\n    timeouts: {{ first_byte: {FIRST_BYTE} }}\n", origin.url());
    std::fs::write(&settings, format!("version: 1\nupstreams:\n{upstream}rules: rules.yaml\n")).expect("writable");
    let sidecar = Process::start(&origin.url(), &["--config", &settings.display().to_string()]).await;

    let editor = tokio::spawn(async move {
        for edit in 0.. {
            rename_over(&rules, &RULES.replace("24h", if edit % 2 == 0 { "12h" } else { "24h" }));
            sleep(Duration::from_millis(200)).await;
        }
    });
    let (senders, next) = (Arc::new(Senders::default()), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..SENDERS {
        let (senders, next, ledger, address) = (Arc::clone(&senders), Arc::clone(&next), Arc::clone(&ledger), sidecar.address);
        tasks.spawn(async move {
            while let Some(number) = Some(next.fetch_add(1, SeqCst)).filter(|n| *n < MESSAGES) {
                Arc::clone(&senders).deliver(address, number, &ledger).await;
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.expect("a sender does not panic");
    }
    editor.abort();
    judge(&sidecar, &senders, &ledger, &fates).await;
}
