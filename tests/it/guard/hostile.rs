//! Many callers at once who mean no good, and what is left for the others. The floods are small; the large ones were measured by hand.

use std::time::Duration;

use super::{assert_others_are_served, refused};
use crate::support::client::{Connection, get, post, send};
use crate::support::command::{Process, with_files};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::in_front_of;
use crate::support::{free_port, until};

const SHED: &str = r#"edge_sidecar_requests_shed_total{reason="connections"}"#;
const HALF: &[u8] = b"GET / HTTP/1.1\r\nHost: f\r\nX-Slow: ";
const MIB: f64 = 1024.0 * 1024.0;

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_are_closed_and_counted_and_the_admin_doors_answer() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |seen| if seen.target() == "/held" { Reply::ok("").behind(&held) } else { Reply::ok("") }).await;
    let sidecar = in_front_of(&origin.url()).with(|s| (s.limits.connections, s.limits.in_flight) = (4, 2)).start().await;
    let mut all = [sidecar.connect().await, sidecar.connect().await, sidecar.connect().await, sidecar.connect().await];
    let [first, second, third, fourth] = &mut all;
    for connection in [&mut *first, &mut *second] {
        connection.write(&get("/held")).await;
    }
    origin.until(2).await;
    assert_eq!(third.send(&get("/plain")).await.status, 503, "requests in flight are at their limit");
    for connection in [&mut *third, &mut *fourth] {
        connection.write_raw(HALF).await;
    }
    let before = sidecar.series(SHED).await;
    for n in 1..=3 {
        assert!(sidecar.connect().await.is_closed().await);
        sidecar.until_series(SHED, before + f64::from(n)).await;
    }
    for door in ["/health", "/livez", "/readyz", "/metrics"] {
        assert_eq!(send(sidecar.admin, &get(door).header("connection", "close")).await.status, 200, "{door}");
    }
    gate.open();
    for connection in [first, second] {
        assert_eq!(connection.read(&get("/")).await.status, 200, "who was in stays in");
    }
    all.into_iter().for_each(Connection::close);
    until("served again", async || (send(sidecar.address, &get("/again")).await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_been_idle_for_a_while_makes_room_the_longest_first() {
    let origin = Origin::start(|_| Reply::ok("")).await;
    let sidecar = in_front_of(&origin.url()).with(|s| s.limits.connections = 2).start().await;
    let [mut first, mut second] = [sidecar.connect().await, sidecar.connect().await];
    for connection in [&mut first, &mut second] {
        assert_eq!(connection.send(&get("/kept")).await.status, 200);
        tokio::time::sleep(Duration::from_millis(100)).await; // who was idle first is what is tested
    }
    let mut newcomers = Vec::new();
    for n in 0..2 {
        // refused until one of the two has been idle for a second
        let answered = async || {
            let mut newcomer = sidecar.connect().await;
            newcomer.write(&get("/newcomer")).await;
            (newcomer.read(&get("/")).await.status == 200).then_some(newcomer)
        };
        newcomers.push(until("a place", answered).await);
        if n == 0 {
            assert!(first.is_closed().await, "idle for longest");
        } else {
            assert!(second.is_closed().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_and_huge_heads_take_little_memory_and_give_it_back() {
    const MANY: usize = 300;
    let origin = Origin::start(|_| Reply::ok("")).await;
    let process = Process::start(&origin.url(), &["--log-level", "error"]).await;
    assert_eq!(send(process.address, &get("/warm")).await.status, 200);
    let start = process.metric("memory.rssBytes").await;
    let huge = [HALF, &vec![b'y'; 900 << 10]].concat();
    for (head, refusal) in [([HALF, &vec![b'y'; 30 << 10]].concat(), "header_timeout"), (huge, "header_too_large")] {
        let mut all = Vec::new();
        for _ in 0..MANY {
            let mut connection = Connection::open(process.address).await;
            let _ = connection.try_write_some(&head).await;
            all.push(connection);
        }
        let peak = process.metric("memory.rssBytes").await;
        assert!((peak - start) / 1024.0 / f64::from(u32::try_from(MANY).expect("few")) <= 64.0, "{refusal}: {} MiB", (peak - start) / MIB);
        assert_eq!(send(process.address, &get("/clean")).await.status, 200);
        assert_eq!(send(process.admin, &get("/health").header("connection", "close")).await.status, 200);
        // each is answered at its deadline or at its size, while it is still connected
        let cut = async || process.series(&refused(refusal)).await + process.series(&refused("large_heads")).await;
        until("all are cut", async || (cut().await >= 300.0).then_some(())).await;
        for mut connection in all {
            assert!(connection.has_answer(Duration::from_secs(10)).await);
        }
        let back = async || (process.metric("memory.rssBytes").await < start + 30.0 * MIB).then_some(());
        until("memory comes back", back).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn few_files_mean_few_callers_but_neither_spinning_nor_silence() {
    let origin = Origin::start(|_| Reply::ok("")).await;
    let process = Process::start_with_files(256, &origin.url(), &[]).await;
    let told = |l: &String| l.contains("few files") && l.contains(r#""connections":78"#);
    until("a line about it", async || process.lines().iter().any(told).then_some(())).await;
    let mut all = Vec::new();
    for _ in 0..400 {
        let mut connection = Connection::open(process.address).await;
        let _ = connection.try_write_some(HALF).await;
        all.push(connection);
    }
    until("most are turned away", async || (process.series(SHED).await >= 300.0).then_some(())).await;
    let before = process.series("process_cpu_seconds_total").await;
    let start = std::time::Duration::from_secs(1);
    tokio::time::sleep(start).await; // idleness is what is tested
    assert!(process.series("process_cpu_seconds_total").await - before < 0.5);
    assert!(process.series("process_open_fds").await < 256.0);
    assert_eq!(send(process.admin, &get("/health").header("connection", "close")).await.status, 200);
    drop(all);
    until("served again", async || (send(process.address, &get("/clean")).await.status == 200).then_some(())).await;
}

#[test]
fn more_connections_than_files_are_an_error_at_the_start_that_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sidecar.yaml");
    let (listen, admin, socket) = (free_port(), free_port(), folder.path().join("admin.sock"));
    let yaml = format!(
        "version: 1\nrules: null\nmemory: {{ budget: 200MiB }}\nlimits: {{ connections: 1000 }}\nadmin: {{ address: \"127.0.0.1:{admin}\", socket: {} }}\nlisteners:\n  - {{ name: f, address: \"127.0.0.1:{listen}\", upstream: functions }}\n",
        socket.display()
    );
    std::fs::write(&file, yaml).expect("writable");
    let output = with_files(500).args(["run", "--config", &file.display().to_string()]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["limits.connections is 1000", "only 500 files", "for 200 connections", "ulimit -n", "2100"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refused_requests_moves_no_other_figure() {
    let origin = Origin::start(|_| Reply::ok("")).await;
    let sidecar = in_front_of(&origin.url()).start().await;
    for _ in 0..200 {
        let mut connection = sidecar.connect().await;
        connection.write_raw(b"GET / HTTP/9.9\r\n\r\n").await;
        assert_eq!(connection.read_head().await.status, 400);
    }
    sidecar.until_series(&refused("bad_version"), 200.0).await;
    let health = send(sidecar.admin, &get("/health").header("connection", "close")).await;
    assert_eq!((health.status, &health.json()["status"]), (200, &"healthy".into()));
    assert_eq!(sidecar.send(post("/plain", "x")).await.status, 200);
    assert_others_are_served(&sidecar).await;
}
