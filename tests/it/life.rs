//! Life of the process: what keeps it from starting, signals, the clean end.

use std::time::Duration;

use edge_sidecar::proxy::drain::Stop;

use crate::support::client::{Connection, get, post, send};
use crate::support::command::{Process, command, rename_over};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::in_front_of;
use crate::support::{free_port, until};

const RULES: &str = r#"
dedup:
  include:
    - { name: whatsapp, match: { function: "wa-webhook*", method: POST }, id: whatsapp }
cache:
  include:
    - { name: profile, match: { function: "profile*", method: GET }, ttl: 5m }
"#;

fn message(id: usize) -> String {
    format!(
        r#"{{"entry":[{{"changes":[{{"value":{{"metadata":{{"phone_number_id":"7"}},"messages":[{{"id":"m{id}","type":"text"}}]}},"field":"messages"}}]}}]}}"#
    )
}

/// An origin that holds everything back until the gate opens.
async fn held(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |seen| Reply::ok(seen.target()).behind(&gate)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn on_term_twenty_requests_in_flight_get_their_answers_and_the_exit_is_clean() {
    let gate = Gate::new();
    let origin = held(&gate).await;
    let rules = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(rules.path(), format!("version: 1\n{RULES}")).expect("writable");
    let mut process = Process::start(&origin.url(), &["--rules", &rules.path().display().to_string()]).await;
    let address = process.address;
    // all three kinds of way: streamed, deduplicated, cached
    let requests = (0..20).map(|n| match n % 3 {
        0 => get(&format!("/plain/{n}")),
        1 => post("/wa-webhook-core", message(n)),
        _ => get(&format!("/profile/{n}")),
    });
    let flights: Vec<_> = requests.map(|r| tokio::spawn(async move { send(address, &r).await })).collect();
    origin.until(20).await;
    process.signal("TERM");
    let admin = process.admin;
    until("not ready", async || {
        let answer = send(admin, &get("/readyz").header("connection", "close")).await;
        (answer.status == 503 && answer.text().contains("draining")).then_some(())
    })
    .await;
    // still accepting for `drain.announce`, and telling callers not to come back on this connection
    let mut late = Connection::open(address).await;
    late.write(&get("/plain/late")).await;
    origin.until(21).await;
    gate.open();
    for flight in flights {
        assert_eq!(flight.await.expect("no panic").status, 200);
    }
    let late = late.read(&get("/plain/late")).await;
    assert_eq!((late.status, late.header("connection")), (200, "close"));
    assert_eq!(process.ended().await.code(), Some(0));
    let lines = process.lines();
    assert_eq!(lines.iter().filter(|l| l.contains(r#""event":"request""#)).count(), 21, "every request has its line");
    assert!(lines.iter().any(|l| l.contains(r#""event":"drain""#)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_whose_caller_has_left_is_finished_before_the_end() {
    let gate = Gate::new();
    let origin = held(&gate).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    let mut client = sidecar.connect().await;
    client.write(&post("/wa-webhook-core", message(1))).await;
    origin.until(1).await;
    client.reset();
    sidecar.stop(Stop::Announced).await;
    until("draining", async || {
        let answer = send(sidecar.admin, &get("/readyz").header("connection", "close")).await;
        (answer.status == 503).then_some(())
    })
    .await;
    gate.open();
    let lines = {
        let live = &sidecar;
        until("the request has ended", async || live.lines().into_iter().find(|l| l["event"] == "request")).await
    };
    assert_eq!(lines["upstream"]["status"], 200, "the function was heard: {lines}");
    sidecar.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let gate = Gate::new();
    let origin = held(&gate).await;
    let mut process = Process::start(&origin.url(), &[]).await;
    let mut client = Connection::open(process.address).await;
    client.write(&get("/never")).await;
    origin.until(1).await;
    process.signal("TERM");
    until("draining", async || process.lines().iter().any(|l| l.contains(r#""event":"drain""#)).then_some(())).await;
    process.signal("TERM");
    process.ended().await;
    assert!(client.is_closed().await, "the request in flight was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_needs_no_announcement_and_a_hang_up_ends_nothing() {
    let gate = Gate::new();
    let origin = held(&gate).await;
    let mut process = Process::start(&origin.url(), &[]).await;
    let address = process.address;
    let flight = tokio::spawn(async move { send(address, &get("/a")).await });
    origin.until(1).await;
    process.signal("HUP");
    gate.open();
    assert_eq!(flight.await.expect("no panic").status, 200);
    assert_eq!(send(address, &get("/b")).await.status, 200, "alive after SIGHUP");
    process.signal("INT");
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_hang_up_kept_connections_go_on_and_rules_still_reload() {
    let origin = Origin::start(|seen| Reply::ok(seen.target())).await;
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.yaml");
    std::fs::write(&rules, "version: 1\n").expect("writable");
    let process = Process::start(&origin.url(), &["--rules", &rules.display().to_string()]).await;
    let mut kept = Connection::open(process.address).await;
    for _ in 0..3 {
        assert_eq!(kept.send(&get("/profile/a")).await.text(), "/profile/a", "on the same connection");
        process.signal("HUP");
    }
    rename_over(&rules, &format!("version: 1\n{RULES}"));
    until("the new rules are in force", async || send(process.address, &get("/profile/a")).await.has("x-cache").then_some(())).await;
    assert_eq!(kept.send(&get("/profile/a")).await.header("x-cache"), "HIT", "and the connection goes on");
}

#[test]
fn roots_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, roots) = (folder.path().join("sidecar.yaml"), folder.path().join("roots.pem"));
    let socket = folder.path().join("admin.sock");
    let yaml = format!(
        "version: 1\nrules: null\nupstreams:\n  - {{ name: functions, servers: [\"https://127.0.0.1:9\"], ca_file: {} }}\nadmin: {{ address: 127.0.0.1:{}, socket: {} }}\nlisteners:\n  - {{ name: functions, address: 127.0.0.1:{}, upstream: functions }}\n",
        roots.display(),
        free_port(),
        socket.display(),
        free_port()
    );
    std::fs::write(&file, yaml).expect("writable");
    for (content, complaint) in [(None, "cannot read"), (Some("no certificate"), "holds no certificate")] {
        if let Some(content) = content {
            std::fs::write(&roots, content).expect("writable");
        }
        let output = command(&["run", "--config", &file.display().to_string()]).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(complaint) && text.contains("roots.pem") && !text.contains("panicked"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_drains_limit_what_runs_is_cut() {
    let gate = Gate::new();
    let origin = held(&gate).await;
    let short = |s: &mut edge_sidecar::config::Sidecar| s.drain.timeout = Duration::from_millis(50);
    let sidecar = in_front_of(&origin.url()).with(short).start().await;
    let mut client = sidecar.connect().await;
    client.write(&get("/never")).await;
    origin.until(1).await;
    sidecar.stop(Stop::Announced).await;
    assert!(client.is_closed().await);
    sidecar.ended().await;
}
