//! Rules that change all the while: 100 swaps of a ConfigMap and 50 other reloads during 20,000 requests to a real process. None fails, and each
//! is decided by one generation: what two rules of it do, what the duplicate's answer says, and what the log says of it agree.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use edge_sidecar::clock::Clock;
use serde_json::Value;

use crate::support::client::{Connection, get, post, send};
use crate::support::command::{Process, rename_over};
use crate::support::origin::{Origin, Reply};
use crate::support::{configmap, until};

const REQUESTS: usize = 20_000;
const CALLERS: usize = 4;

/// The rules of a text: a repeat of an event is answered with its number, and each second one also has a cache rule that claims the request.
fn rules(number: usize) -> String {
    let cache = format!("cache: {{ include: [{{ name: c{number}, match: {{ function: hook }}, ttl: 5m }}] }}\n");
    format!(
        "version: 1\n{}dedup:\n  include:\n    - {{ name: d{number}, match: {{ function: hook }}, id: {{ json: id }}, window: 24h, \
         duplicate_response: {{ status: 200, content_type: text/plain, body: \"{number}\" }} }}\n",
        if has_cache(number) { &cache } else { "" }
    )
}

fn has_cache(number: usize) -> bool {
    number.is_multiple_of(2)
}

/// What all callers share.
#[derive(Default)]
struct Load {
    /// The newest rules that an answer came from.
    newest: AtomicUsize,
    sent: AtomicUsize,
    done: AtomicBool,
}

/// Sends repeats of an accepted event, and now and then a request that goes to the function. Gives the rules that answered each.
async fn caller(load: Arc<Load>, mut connection: Connection, caller: usize) -> HashMap<String, usize> {
    let (mut answered, mut last) = (HashMap::new(), 0);
    while !load.done.load(SeqCst) || load.sent.load(SeqCst) < REQUESTS {
        let sent = load.sent.fetch_add(1, SeqCst);
        if sent.is_multiple_of(20) {
            assert_eq!(connection.send(&get("/other")).await.status, 200);
            continue;
        }
        let id = format!("load-{caller}-{sent}");
        let answer = connection.send(&post("/hook", "{\"id\":\"known\"}").header("x-request-id", &id)).await;
        assert_eq!((answer.status, answer.header("x-dedup")), (200, "DUPLICATE"), "{id}: {}", answer.text());
        let number: usize = answer.text().parse().expect("the number of the rules");
        assert_eq!(answer.has("x-cache"), has_cache(number), "{id}: two rules of generation {number} disagree");
        assert!(number >= last, "{id}: back from {last} to {number}");
        last = number;
        load.newest.fetch_max(number, SeqCst);
        answered.insert(id, number);
    }
    answered
}

/// Puts the rules of a number in place, in one of the ways that count.
fn change(process: &Process, folder: &Path, number: usize) -> &'static str {
    let file = folder.join("rules.yaml");
    if number <= 100 {
        configmap::swap(folder, &rules(number));
        return "swapped";
    }
    match number % 5 {
        0 | 1 => {
            rename_over(&file, &rules(number));
            "renamed over"
        }
        2 | 3 => {
            fs::write(&file, rules(number)).expect("written");
            process.signal("HUP");
            "written, then SIGHUP"
        }
        _ => {
            fs::write(&file, rules(number)).expect("written");
            "written in place"
        }
    }
}

/// Waits for an answer by the rules of each number, and gives how long each way took at most.
async fn change_all(load: &Load, process: &Process, folder: &Path) -> HashMap<&'static str, Duration> {
    let (clock, mut longest) = (Clock::system(), HashMap::<_, Duration>::new());
    for number in 1..=150 {
        let began = clock.now();
        let way = change(process, folder, number);
        until("an answer by the new rules", async || (load.newest.load(SeqCst) >= number).then_some(())).await;
        let took = longest.entry(way).or_default();
        *took = clock.now().duration_since(began).max(*took);
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_swaps_and_fifty_reloads_during_twenty_thousand_requests() {
    let folder = tempfile::tempdir().expect("a folder");
    configmap::swap(folder.path(), &rules(0));
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let file = folder.path().join("rules.yaml").display().to_string();
    let process = Process::start(&origin.url(), &["--rules", &file]).await;
    let first = send(process.address, &post("/hook", "{\"id\":\"known\"}").header("connection", "close")).await;
    assert_eq!((first.header("x-dedup"), first.has("x-cache")), ("NEW", true));

    let load = Arc::<Load>::default();
    let mut callers = Vec::new();
    for number in 0..CALLERS {
        callers.push(tokio::spawn(caller(Arc::clone(&load), Connection::open(process.address).await, number)));
    }
    let longest = change_all(&load, &process, folder.path()).await;
    load.done.store(true, SeqCst);
    let mut answered = HashMap::new();
    for caller in callers {
        answered.extend(caller.await.expect("no request failed"));
    }
    let sent = load.sent.load(SeqCst);
    for (way, took) in longest {
        eprintln!("{way}: in force, and an answer by it, after {took:?} at most");
    }
    assert!(sent >= REQUESTS);
    for (name, value) in [("generation", 151.0), ("reloads_total{result=\"success\"}", 150.0), ("reloads_total{result=\"failure\"}", 0.0)] {
        let found = process.series(&format!("edge_sidecar_config_{name}")).await;
        assert!((found - value).abs() < 0.5, "{name} is {found}");
    }
    let generations: std::collections::BTreeSet<_> = answered.values().collect();
    eprintln!("{sent} requests, {} of them by {} generations, none failed", answered.len(), generations.len());
    agree_with_the_log(&process, &answered).await;
}

/// Each request's line names the generation and the rule that its answer came from.
async fn agree_with_the_log(process: &Process, answered: &HashMap<String, usize>) {
    let lines = async || {
        let lines = process.lines();
        (lines.iter().filter(|line| line.contains("\"load-")).count() >= answered.len()).then_some(lines)
    };
    let mut seen = 0;
    for line in until("a line of each request", lines).await.iter().filter(|line| line.contains("\"load-")) {
        let line: Value = serde_json::from_str(line).expect("a JSON line");
        let number = answered[line["request_id"].as_str().expect("an id")];
        let rule = line["rule"].as_str().expect("a rule");
        assert!(line["gen"] == number + 1 && rule[1..] == number.to_string(), "answered by {number}: {line}");
        seen += 1;
    }
    assert_eq!(seen, answered.len());
}
