//! Equal misses at the same time: one call to the function, whatever becomes of the caller it was made for.

use edge_sidecar::clock::Clock;
use tokio::task::JoinHandle;

use crate::cached::{HIT, PUBLIC, STORED, still, told};
use crate::support::client::{Answer, Connection, Request, get, send};
use crate::support::origin::{Gate, Origin, Reply, Step};
use crate::support::sidecar::{Sidecar, in_front_of};

/// What a caller is told who waited for the fetch of another.
pub const COLLAPSED: (&str, &str) = ("MISS", "fwd=uri-miss; collapsed");

/// Sends a request from a task of its own.
pub fn begin(sidecar: &Sidecar, request: Request) -> JoinHandle<Answer> {
    let address = sidecar.address;
    tokio::spawn(async move { send(address, &request).await })
}

/// Waits until `n` requests wait for the fetch of another.
pub async fn until_waiting(sidecar: &Sidecar, n: u32) {
    sidecar.until_series("edge_sidecar_cache_waiting", n.into()).await;
}

/// A caller whose request has reached the function, and `n` more who wait for the same answer.
pub async fn leader_and_waiters(sidecar: &Sidecar, origin: &Origin, n: u32) -> (Connection, Vec<JoinHandle<Answer>>) {
    let mut leader = sidecar.connect().await;
    leader.write(&get("/config")).await;
    origin.until(1).await;
    let waiters = (0..n).map(|_| begin(sidecar, get("/config"))).collect();
    until_waiting(sidecar, n).await;
    (leader, waiters)
}

/// The answers of tasks.
pub async fn all(tasks: Vec<JoinHandle<Answer>>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("no panic"));
    }
    answers
}

/// `n` equal answers that another caller's fetch brought.
fn assert_collapsed(answers: &[Answer], n: usize, body: &str) {
    assert_eq!(answers.len(), n);
    for answer in answers {
        assert_eq!((answer.status, told(answer), answer.text().as_str()), (200, COLLAPSED, body));
        assert!(answer.message.whole && !answer.has("age"));
    }
}

/// A head and half of a body, the other half behind a gate. In chunks: a body with a length may be sent on in larger pieces.
pub fn in_halves(fields: &str, gate: &Gate) -> Reply {
    let first = format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    Reply::raw(first).then(Step::Wait(gate.clone())).then(Step::Write(b"5\r\nother\r\n0\r\n\r\n".to_vec()))
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_equal_misses_are_one_call() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::ok("once").behind(&held)).await;
    let sidecar = still(&origin, PUBLIC).await;
    let (mut leader, waiters) = leader_and_waiters(&sidecar, &origin, 39).await;
    gate.open();
    let first = leader.read(&get("/config")).await;
    assert_eq!((told(&first), first.text().as_str()), (STORED, "once"));
    assert_collapsed(&all(waiters).await, 39, "once");
    assert_eq!((told(&sidecar.get("/config").await), origin.count()), (HIT, 1));
    for (result, n) in [("coalesced", 39.0), ("miss", 1.0), ("hit", 1.0)] {
        sidecar.until_series(&format!(r#"edge_sidecar_cache_lookups_total{{result="{result}",rule="config"}}"#), n).await;
    }
    let rate = sidecar.metrics().await["cache"]["config"]["hitRate"].as_f64().expect("a number");
    assert!((rate - 40.0 / 41.0).abs() < 1e-9, "{rate}");
}

/// Waiters are told by event: this prints how long after the leader the last of them has its answer (5 ms and less, where others leave
/// the machine alone).
#[tokio::test(flavor = "multi_thread")]
async fn waiters_are_answered_when_the_leader_is() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::ok("once").behind(&held)).await;
    let sidecar = still(&origin, PUBLIC).await;
    let clock = Clock::system();
    let timed = |mut connection: Connection| {
        let clock = clock.clone();
        tokio::spawn(async move { (connection.read(&get("/config")).await.text(), clock.now()) })
    };
    let (leader, _) = leader_and_waiters(&sidecar, &origin, 0).await;
    let mut waiters = Vec::new();
    for _ in 0..39 {
        let mut waiter = sidecar.connect().await;
        waiter.write(&get("/config")).await;
        waiters.push(timed(waiter));
    }
    until_waiting(&sidecar, 39).await;
    let leader = timed(leader);
    gate.open();
    let (_, first) = leader.await.expect("no panic");
    let mut last = first;
    for waiter in waiters {
        let (text, at) = waiter.await.expect("no panic");
        assert_eq!(text, "once");
        last = last.max(at);
    }
    assert_eq!(origin.count(), 1);
    eprintln!("of 39 waiters the last has its answer {:?} after the leader", last - first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_leaves_before_the_answer_takes_nothing_from_the_others() {
    for leave in [Connection::close, Connection::reset] {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |_| Reply::ok("once").behind(&held)).await;
        let sidecar = still(&origin, PUBLIC).await;
        let (leader, waiters) = leader_and_waiters(&sidecar, &origin, 39).await;
        leave(leader);
        gate.open();
        assert_collapsed(&all(waiters).await, 39, "once");
        assert_eq!((told(&sidecar.get("/config").await), origin.count()), (HIT, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_leaves_in_mid_body_takes_nothing_from_the_others() {
    for leave in [Connection::close, Connection::reset] {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |_| in_halves("", &held)).await;
        let sidecar = still(&origin, PUBLIC).await;
        let (mut leader, waiters) = leader_and_waiters(&sidecar, &origin, 39).await;
        assert_eq!(told(&leader.read_head().await), STORED);
        assert_eq!(leader.read_chunk().await.as_deref(), Some(b"first".as_slice()));
        leave(leader);
        gate.open();
        assert_collapsed(&all(waiters).await, 39, "firstother");
        assert_eq!((told(&sidecar.get("/config").await), origin.count()), (HIT, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_only_caller_that_leaves_leaves_the_answer_behind() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::ok("once").behind(&held)).await;
    let sidecar = still(&origin, PUBLIC).await;
    let (leader, _) = leader_and_waiters(&sidecar, &origin, 0).await;
    leader.reset();
    gate.open();
    sidecar.until_series(r#"edge_sidecar_cache_entries{rule="config"}"#, 1.0).await;
    assert_eq!((told(&sidecar.get("/config").await), origin.count()), (HIT, 1));
}

/// A body far above what sockets buffer.
const LARGE: usize = 12 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_reads_nothing_holds_nobody() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::ok(vec![b'x'; LARGE]).behind(&held)).await;
    let large = in_front_of(&origin.url()).rules(PUBLIC).with(|s| {
        (s.memory.max_object, s.memory.cache, s.memory.bodies) = (16 << 20, 128 << 20, 16 << 20);
    });
    let sidecar = large.start().await;
    let (mut leader, waiters) = leader_and_waiters(&sidecar, &origin, 3).await;
    gate.open();
    for answer in all(waiters).await {
        assert_eq!((told(&answer), answer.message.body.len()), (COLLAPSED, LARGE));
    }
    assert_eq!((sidecar.get("/config").await.header("x-cache"), origin.count()), ("HIT", 1));
    let late = leader.read(&get("/config")).await;
    assert_eq!((told(&late), late.message.body.len(), late.message.whole), (STORED, LARGE, true));
    assert_eq!(sidecar.metrics().await["memory"]["bodyBytes"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn different_callers_never_share_a_flight() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |seen| Reply::ok(seen.header("authorization")).behind(&held)).await;
    let sidecar = still(&origin, &PUBLIC.replace("scope: public", "scope: per_caller")).await;
    let callers: Vec<_> = ["a", "b", "c"].map(|who| begin(&sidecar, get("/config").header("authorization", who))).into();
    // all three are at the function while none has an answer
    origin.until(3).await;
    gate.open();
    let bodies: Vec<_> = all(callers).await.iter().map(|a| (a.header("x-cache").to_owned(), a.text())).collect();
    assert_eq!(bodies, ["a", "b", "c"].map(|who| ("MISS".to_owned(), who.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_known_to_differ_do_not_wait_for_one_another() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |seen| {
        let language = seen.header("accept-language");
        let reply = Reply::new(200, &[("Vary", "Accept-Language"), ("Access-Control-Allow-Origin", "*")], language);
        if language == "en" { reply } else { reply.behind(&held) }
    })
    .await;
    let sidecar = still(&origin, PUBLIC).await;
    let asking = |language: &str| get("/config").header("accept-language", language);
    assert_eq!(told(&sidecar.send(asking("en")).await), STORED);
    let others: Vec<_> = ["fr", "de", "fr", "de"].map(|language| begin(&sidecar, asking(language))).into();
    origin.until(3).await;
    until_waiting(&sidecar, 2).await;
    assert_eq!(sidecar.send(asking("en")).await.text(), "en", "a stored variant waits for nobody");
    gate.open();
    let answers = all(others).await;
    for (answer, language) in answers.iter().zip(["fr", "de", "fr", "de"]) {
        assert_eq!((answer.status, answer.text().as_str()), (200, language));
        assert!(told(answer).1.starts_with("fwd=vary-miss"), "{:?}", told(answer));
    }
    assert_eq!(answers.iter().filter(|a| told(a).1 == "fwd=vary-miss; collapsed").count(), 2);
    assert_eq!(origin.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiters_whose_variant_it_was_not_ask_again() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin =
        Origin::start(move |seen| Reply::new(200, &[("Vary", "Accept-Language")], seen.header("accept-language")).behind(&held)).await;
    let sidecar = still(&origin, PUBLIC).await;
    // nothing is known of the key: all wait for the first
    let (mut leader, _) = leader_and_waiters(&sidecar, &origin, 0).await;
    let waiters: Vec<_> = ["fr", "de", "fr"].map(|language| begin(&sidecar, get("/config").header("accept-language", language))).into();
    until_waiting(&sidecar, 3).await;
    assert_eq!(origin.count(), 1);
    gate.open();
    assert_eq!(leader.read(&get("/config")).await.text(), "");
    let texts: Vec<_> = all(waiters).await.iter().map(Answer::text).collect();
    assert_eq!(texts, ["fr", "de", "fr"]);
    assert_eq!(origin.count(), 3, "one call a variant");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_waiters_are_sent_away() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::ok("once").behind(&held)).await;
    let sidecar = in_front_of(&origin.url()).rules(PUBLIC).with(|s| s.limits.in_flight = 8).start().await;
    let (mut leader, waiters) = leader_and_waiters(&sidecar, &origin, 4).await;
    let away = sidecar.get("/config").await;
    assert_eq!((away.status, away.header("retry-after"), away.header("x-cache")), (503, "1", "MISS"));
    assert_eq!(away.json()["error"], "waiters");
    // another key is not concerned
    let other = begin(&sidecar, get("/config/other"));
    origin.until(2).await;
    gate.open();
    assert_eq!(leader.read(&get("/config")).await.status, 200);
    assert_collapsed(&all(waiters).await, 4, "once");
    assert_eq!(other.await.expect("no panic").status, 200);
    sidecar.until_series(r#"edge_sidecar_requests_shed_total{reason="waiters"}"#, 1.0).await;
}
