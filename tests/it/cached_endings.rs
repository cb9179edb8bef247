//! Flights that end without an answer to share: it is one caller's own, it never comes, or it breaks off.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use edge_sidecar::clock::Clock;

use crate::cached::{HIT, PUBLIC, STORED, still, told};
use crate::cached_flights::{COLLAPSED, all, begin, in_halves, leader_and_waiters};
use crate::support::client::{Answer, get};
use crate::support::origin::{Gate, Origin, Reply, Step};
use crate::support::sidecar::in_front_of;

const UNSTORABLE: (&str, &str) = ("BYPASS", "fwd=bypass; detail=unstorable");

/// Answers of one caller's own: each has its number, and ends behind a gate.
fn private(number: usize, gate: &Gate) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 6\r\n\r\n{number:03}");
    Reply::raw(head).then(Step::Wait(gate.clone())).then(Step::Write(b"end".to_vec()))
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_head_of_a_private_answer_all_go_alone_and_at_once() {
    let (heads, ends, next) = (Gate::new(), Gate::new(), AtomicUsize::new(0));
    let (held, end) = (heads.clone(), ends.clone());
    let origin = Origin::start(move |_| private(next.fetch_add(1, SeqCst), &end).behind(&held)).await;
    let sidecar = still(&origin, PUBLIC).await;
    let (mut leader, waiters) = leader_and_waiters(&sidecar, &origin, 39).await;
    assert_eq!(origin.count(), 1);
    heads.open();
    // every one is at the function before a single body has ended
    origin.until(40).await;
    // nor does one that comes now wait
    let late = begin(&sidecar, get("/config"));
    origin.until(41).await;
    ends.open();
    let mut answers = all(waiters).await;
    answers.push(leader.read(&get("/config")).await);
    for answer in &answers {
        let told = told(answer);
        assert_eq!((answer.status, told.0), (200, "MISS"));
        // those who go alone are told why before there is a status of their own
        assert!(["fwd=uri-miss; fwd-status=200; detail=private", "fwd=uri-miss; detail=private"].contains(&told.1), "{told:?}");
    }
    let late = late.await.expect("no panic");
    assert_eq!(told(&late), UNSTORABLE);
    let mut bodies: Vec<_> = answers.iter().chain([&late]).map(Answer::text).collect();
    bodies.sort();
    assert_eq!(bodies, (0..41).map(|n| format!("{n:03}end")).collect::<Vec<_>>(), "each has its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storable_answer_lifts_the_pass_marker_and_so_does_time() {
    let next = AtomicUsize::new(0);
    let origin = Origin::start(move |seen| match (seen.target(), next.fetch_add(1, SeqCst)) {
        ("/config/time", _) | (_, 0 | 1) => Reply::new(200, &[("Cache-Control", "private")], "private"),
        _ => Reply::ok("public"),
    })
    .await;
    let clock = Clock::manual();
    let sidecar = in_front_of(&origin.url()).rules(PUBLIC).clock(&clock).start().await;
    assert_eq!(told(&sidecar.get("/config").await).1, "fwd=uri-miss; fwd-status=200; detail=private");
    assert_eq!(told(&sidecar.get("/config").await), UNSTORABLE);
    let lifting = sidecar.get("/config").await;
    assert_eq!((told(&lifting), lifting.text().as_str()), (UNSTORABLE, "public"));
    assert_eq!((told(&sidecar.get("/config").await), origin.count()), (HIT, 3));
    let first = ("MISS", "fwd=uri-miss; fwd-status=200; detail=private");
    for (wait, expected) in [(0, first), (9, UNSTORABLE), (10, first)] {
        clock.advance(Duration::from_secs(wait));
        assert_eq!(told(&sidecar.get("/config/time").await), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_a_private_answer_stops_its_fetch() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| in_halves("Cache-Control: private\r\n", &held)).await;
    let sidecar = still(&origin, PUBLIC).await;
    let (mut leader, _) = leader_and_waiters(&sidecar, &origin, 0).await;
    assert_eq!(leader.read_head().await.status, 200);
    leader.reset();
    gate.open();
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    sidecar.until_series(r#"edge_sidecar_upstream_connections{state="in_use",upstream="functions"}"#, 0.0).await;
}

/// An origin whose first answer is `first`, behind a gate, and whose later ones are `later`.
async fn first_then(first: Reply, later: Reply) -> (Origin, Gate) {
    let (gate, next) = (Gate::new(), AtomicUsize::new(0));
    let first = first.behind(&gate);
    let origin = Origin::start(move |_| if next.fetch_add(1, SeqCst) == 0 { first.clone() } else { later.clone() }).await;
    (origin, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_fetch_one_of_those_who_wait_asks_once_more() {
    let (origin, gate) = first_then(Reply::empty().then(Step::Reset), Reply::ok("second")).await;
    let sidecar = still(&origin, PUBLIC).await;
    let (mut leader, waiters) = leader_and_waiters(&sidecar, &origin, 39).await;
    gate.open();
    let failed = leader.read(&get("/config")).await;
    assert_eq!((failed.status, failed.header("x-cache"), failed.json()["error"].as_str()), (502, "MISS", Some("connection_lost")));
    let answers = all(waiters).await;
    assert!(answers.iter().all(|a| a.status == 200 && a.text() == "second"));
    assert_eq!(answers.iter().filter(|a| told(a) == STORED).count(), 1);
    assert_eq!(answers.iter().filter(|a| told(a) == COLLAPSED).count(), 38);
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_two_failed_fetches_nobody_asks_a_third_time() {
    let (origin, gate) = first_then(Reply::empty().then(Step::Reset), Reply::empty().then(Step::Reset)).await;
    let sidecar = still(&origin, PUBLIC).await;
    let (mut leader, waiters) = leader_and_waiters(&sidecar, &origin, 39).await;
    gate.open();
    let mut answers = all(waiters).await;
    answers.push(leader.read(&get("/config")).await);
    for answer in answers {
        let (error, id) = (answer.json()["error"].clone(), answer.json()["requestId"].clone());
        assert_eq!((answer.status, error.as_str(), id.as_str()), (502, Some("connection_lost"), Some(answer.header("x-request-id"))));
        assert_eq!((told(&answer), answer.message.whole), (("MISS", "fwd=uri-miss; detail=incomplete"), true));
    }
    assert_eq!(origin.count(), 2);
    // a new request is a new attempt
    assert_eq!((sidecar.get("/config").await.status, origin.count()), (502, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_cut_in_mid_body_one_of_those_who_wait_asks_once_more() {
    let cut = || Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").then(Step::Close);
    for (later, status, body) in [(Reply::ok("second"), 200, "second"), (Reply::empty().then(Step::Close), 502, "")] {
        let (origin, gate) = first_then(cut(), later).await;
        let sidecar = still(&origin, PUBLIC).await;
        let (mut leader, waiters) = leader_and_waiters(&sidecar, &origin, 39).await;
        gate.open();
        let broken = leader.read(&get("/config")).await;
        assert_eq!((broken.status, broken.text().as_str(), broken.message.whole), (200, "first", false));
        for answer in all(waiters).await {
            assert_eq!((answer.status, answer.message.whole), (status, true));
            assert!(status == 502 || answer.text() == body);
        }
        assert_eq!(origin.count(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_body_turns_out_too_large_all_go_alone() {
    let text = |n: usize| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{n:x}\r\n{}\r\n", "x".repeat(n));
    let (start, end) = (Gate::new(), Gate::new());
    let (held, last) = (start.clone(), end.clone());
    let origin = Origin::start(move |_| {
        Reply::raw(text(2000)).behind(&held).then(Step::Wait(last.clone())).then(Step::Write(b"0\r\n\r\n".to_vec()))
    })
    .await;
    let sidecar = in_front_of(&origin.url()).rules(PUBLIC).with(|s| s.memory.max_object = 1000).start().await;
    let (mut leader, waiters) = leader_and_waiters(&sidecar, &origin, 9).await;
    start.open();
    origin.until(10).await;
    end.open();
    let mut answers = all(waiters).await;
    answers.push(leader.read(&get("/config")).await);
    assert!(answers.iter().all(|a| a.message.whole && a.message.body.len() == 2000));
    assert_eq!(origin.count(), 10);
    assert_eq!(sidecar.metrics().await["memory"]["bodyBytes"], 0);
}
