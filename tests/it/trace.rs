//! `edge-sidecar trace` and `purge`: the life of one message through the real command and the socket, and a replay that is let through.

use serde_json::{Value, json};

use crate::repeats::webhook;
use crate::signals_traffic::spawn;
use crate::support::client::{Request, get, post, send, through_socket};
use crate::support::command::{Process, command};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};

/// As real ids are: base64, with all of its signs.
const ID: &str = "wamid.HBgL+MTY/NQ==";

fn run(process: &Process, arguments: &[&str]) -> (Option<i32>, String) {
    let socket = process.socket.display().to_string();
    let output = command(&[arguments, &["--socket", &socket]].concat()).output().expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn purge(id: &str) -> Request {
    post("/dedup/purge", json!({ "message": id }).to_string()).header("Content-Type", "application/json")
}

async fn trace(sidecar: &Sidecar, id: &str) -> Value {
    let id = id.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    through_socket(&sidecar.socket, &get(&format!("/trace?id={id}"))).await.json()
}

/// What happened to the first event of an answer, and to which copy.
fn steps(trace: &Value) -> Vec<(String, u64)> {
    let steps = trace["events"][0]["steps"].as_array().expect("steps").iter();
    steps.map(|step| (step["what"].as_str().expect("a word").to_owned(), step["copy"].as_u64().expect("a number"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_tells_copies_attempts_outcomes_and_who_waited() {
    let gates = [Gate::new(), Gate::new()];
    let replies = [Reply::new(500, &[], "").behind(&gates[0]), Reply::ok("{}").behind(&gates[1])];
    let origin = Origin::start(move |seen| replies[usize::from(seen.header("x-request-id") != "first")].clone()).await;
    let sidecar = in_front_of(&origin.url()).rules(crate::repeats::PATIENT).start().await;
    assert_eq!(trace(&sidecar, ID).await, json!({ "events": [], "since": null }));
    let copy = |name: &str| spawn(sidecar.address, webhook(&[ID, "other"]).header("X-Request-Id", name));
    let first = copy("first");
    origin.until(1).await;
    let second = copy("second");
    sidecar.until_series("edge_sidecar_dedup_waiting", 1.0).await;
    let third = copy("third");
    sidecar.until_series("edge_sidecar_dedup_waiting", 2.0).await;
    gates[0].open();
    origin.until(2).await;
    gates[1].open();
    for copy in [first, second, third] {
        copy.await.expect("no panic");
    }
    sidecar.send(webhook(&[ID])).await;
    let traced = trace(&sidecar, ID).await;
    let life =
        [("forwarded", 1), ("waits", 2), ("waits", 3), ("failed", 1), ("forwarded", 2), ("accepted", 2), ("answered", 3), ("answered", 4)];
    assert_eq!(steps(&traced), life.map(|(what, copy)| (what.to_owned(), copy)));
    let event = &traced["events"][0];
    assert!(event["event"].as_str().is_some_and(|e| e.len() == 8 && e.bytes().all(|b| b.is_ascii_hexdigit())));
    assert!(event["accepted"].as_str().is_some_and(|at| at.ends_with('Z')), "{traced}");
    assert!(traced["since"].as_str() <= event["steps"][0]["at"].as_str());
    assert!(!traced.to_string().contains("wamid"), "no id is given back");
    assert_eq!(trace(&sidecar, "wamid.HBgL").await["events"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_lets_a_replay_through_and_leaves_what_runs_alone() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin =
        Origin::start(move |seen| if seen.header("x-held") == "1" { Reply::ok("{}").behind(&held) } else { Reply::ok("{}") }).await;
    let sidecar = in_front_of(&origin.url()).rules(crate::repeats::PATIENT).start().await;
    let purged = async |id: &str| through_socket(&sidecar.socket, &purge(id)).await.json()["purged"].as_u64();
    let word = async |ids: &[&str]| sidecar.send(webhook(ids)).await.header("x-dedup").to_owned();
    assert_eq!(word(&[ID, "other"]).await, "NEW");
    assert_eq!((purged("unknown").await, word(&[ID]).await), (Some(0), "DUPLICATE".to_owned()));
    assert_eq!(purged(ID).await, Some(1));
    assert_eq!((word(&["other"]).await, word(&[ID]).await), ("DUPLICATE".to_owned(), "NEW".to_owned()));
    assert_eq!(word(&[ID]).await, "DUPLICATE", "and the replay counts again");
    // a replay is no repeat that was missed
    sidecar.until_series(r#"edge_sidecar_dedup_missed_total{rule="whatsapp"}"#, 0.0).await;

    let running = spawn(sidecar.address, webhook(&["running"]).header("X-Held", "1"));
    origin.until(3).await;
    assert_eq!(purged("running").await, Some(0));
    let copy = spawn(sidecar.address, webhook(&["running"]));
    sidecar.until_series("edge_sidecar_dedup_waiting", 1.0).await;
    gate.open();
    assert_eq!(running.await.expect("no panic").header("x-dedup"), "NEW");
    assert_eq!(copy.await.expect("no panic").header("x-dedup"), "JOINED");
    assert_eq!(origin.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_speak_to_the_socket() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let process = Process::start(&origin.url(), &["--preset", "whatsapp"]).await;
    assert_eq!(run(&process, &["trace", ID]), (Some(1), "nothing is known of it\n".to_owned()));
    for _ in 0..2 {
        send(process.address, &webhook(&[ID])).await;
    }
    let (code, text) = run(&process, &["trace", ID]);
    let words: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!((code, &words[1..]), (Some(0), &["forwarded", "accepted", "answered"][..]), "{text}");
    assert!(text.starts_with("event ") && text.contains(": accepted 2"), "{text}");
    let (_, json) = run(&process, &["trace", ID, "--json"]);
    assert!(serde_json::from_str::<Value>(&json).is_ok_and(|v| v["events"][0]["steps"].as_array().is_some_and(|s| s.len() == 3)), "{json}");
    assert_eq!(run(&process, &["purge", "--message", ID]), (Some(0), "forgot 1 event: its next copy is forwarded\n".to_owned()));
    let nothing = "nothing to forget: no event with this id is known as accepted\n";
    assert_eq!(run(&process, &["purge", "--message", ID]), (Some(0), nothing.to_owned()));
    assert_eq!(send(process.address, &webhook(&[ID])).await.header("x-dedup"), "NEW");
    assert!(process.lines().iter().all(|line| !line.contains("wamid")), "no id in the log");
}
