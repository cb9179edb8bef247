//! Memory: a sum that does not fit is refused before the start, and a crowd of large bodies stays below what the platform gives.

use std::collections::BTreeMap;
use std::fs;

use crate::signals_traffic::spawn;
use crate::support::client::{Request, get, post, send};
use crate::support::command::{Process, output};
use crate::support::origin::{Gate, Origin, Reply};

/// What the platform gives a container, and what the defaults must stay below.
pub const CONTAINER: u64 = 128 << 20;
const CROWD: usize = 64;
const LARGE: usize = 3_000_000;

/// The most memory that the process ever had, in bytes.
pub fn peak(process: &Process) -> u64 {
    peak_of(process.child.id())
}

/// The same of any process.
pub fn peak_of(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("the kernel tells");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// A webhook of 3 MB with one message; any two differ in every block of 8 bytes.
pub fn webhook(n: usize) -> Vec<u8> {
    let text = format!("{n:07} ").repeat(LARGE / 8);
    let message = format!(r#"{{"id":"m{n:02}","type":"text","text":{{"body":"{text}"}}}}"#);
    let value = format!(r#"{{"metadata":{{"phone_number_id":"7"}},"messages":[{message}]}}"#);
    format!(r#"{{"entry":[{{"changes":[{{"value":{value},"field":"messages"}}]}}]}}"#).into_bytes()
}

/// Sends the crowd, all of it under way at once, to a sidecar with its defaults; how many answers had which mark of deduplication.
async fn crowd(request: impl Fn(Vec<u8>) -> Request) -> BTreeMap<String, usize> {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::ok("{}").behind(&held)).await;
    let process = Process::start(&origin.url(), &["--preset", "whatsapp"]).await;
    let flights: Vec<_> = (0..CROWD).map(|n| spawn(process.address, request(webhook(n)))).collect();
    // the function has them all, and has answered none
    origin.until(CROWD).await;
    gate.open();
    let mut marks = BTreeMap::new();
    for flight in flights {
        let answer = flight.await.expect("no panic");
        assert_eq!(answer.status, 200);
        *marks.entry(answer.header("x-dedup").to_owned()).or_default() += 1;
    }
    let peak = peak(&process);
    assert!(peak <= CONTAINER, "{} MiB", peak >> 20);
    let mut arrived: Vec<Vec<u8>> = origin.seen().into_iter().map(|seen| seen.message.body).collect();
    arrived.sort_unstable();
    assert_eq!(arrived.len(), CROWD);
    for (n, body) in arrived.iter().enumerate() {
        let sent = webhook(n);
        let same = body.iter().zip(&sent).take_while(|(a, b)| a == b).count();
        let there = String::from_utf8_lossy(&body[same.min(body.len())..(same + 64).min(body.len())]).into_owned();
        assert!(
            *body == sent,
            "the body of {n} is not whole, or came twice: {} of {}, the first {same} equal, then {there}",
            body.len(),
            sent.len()
        );
    }
    let skipped = marks.get("SKIPPED; reason=body_budget").copied().unwrap_or_default();
    let text = send(process.admin, &get("/metrics?format=prometheus").header("connection", "close")).await.text();
    let line = format!("\nedge_sidecar_dedup_skipped_total{{reason=\"body_budget\",rule=\"whatsapp\"}} {skipped}\n");
    assert!(text.contains(&line) && text.contains("\nedge_sidecar_memory_bytes{kind=\"bodies\"} 0\n"), "{text}");
    marks
}

#[tokio::test(flavor = "multi_thread")]
async fn large_webhooks_at_once_stay_below_the_containers_limit_and_arrive_whole() {
    let target = "/functions/v1/wa-webhook-core";
    // the budget of 16 MiB holds five at a time; of those without a length none may get all it needs
    for (framing, least, marks) in
        [("length", 5, crowd(|body| post(target, body)).await), ("chunks", 0, crowd(|body| post(target, body).chunked()).await)]
    {
        let (new, skipped) = (marks.get("NEW").copied().unwrap_or(0), marks.get("SKIPPED; reason=body_budget").copied().unwrap_or(0));
        assert!(new >= least && new + skipped == CROWD, "{framing}: {marks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_uploads_at_once_stay_below_it_too() {
    for framing in [|r: Request| r, Request::chunked] {
        let marks = crowd(|body| framing(post("/functions/v1/ocr-documents", body))).await;
        assert_eq!(marks, BTreeMap::from([(String::new(), CROWD)]));
    }
}

#[test]
fn a_sum_that_does_not_fit_keeps_it_from_starting() {
    let run = output(&["run", "--upstream", "http://127.0.0.1:9", "--memory-budget", "90MiB"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sidecar.yaml");
    fs::write(&file, "version: 1\nmemory: { budget: 90MiB }\n").expect("writable");
    let check = output(&["check", &file.display().to_string()]);
    for (output, said, code) in [(&run, &run.stderr, 78), (&check, &check.stdout, 1)] {
        let said = String::from_utf8_lossy(said);
        assert_eq!(output.status.code(), Some(code), "{said}");
        for part in ["over-budget", "more than the budget of 90.0 MiB", "cache 32.0 MiB", "bodies in flight 16.0 MiB", "accepted messages"]
        {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
    }
}
