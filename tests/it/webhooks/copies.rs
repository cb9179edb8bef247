//! Copies of one message: suppressed only once the function has taken it, forwarded again wherever it has not.

use std::time::Duration;

use super::{RULES, assert_repeat, begin, end, in_turn, message, requests, sidecar, verdict, webhook};
use crate::support::client::post;
use crate::support::free_port;
use crate::support::origin::{Gate, Origin, Reply, Step};
use crate::support::sidecar::in_front_of;

/// Answers that are none of success: the function did not take the message.
fn refusals() -> Vec<(u16, Reply)> {
    let plain = [500, 503, 429, 408, 404, 400, 401].map(|status| (status, Reply::new(status, &[("X-Why", "no")], "not taken")));
    let moved = [302, 307].map(|status| (status, Reply::new(status, &[("Location", "/elsewhere"), ("X-Why", "no")], "not taken")));
    plain.into_iter().chain(moved).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_in_flight_is_joined_and_a_later_one_is_a_duplicate() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::new(201, &[("X-Own", "1")], r#"{"ok":1}"#).behind(&held)).await;
    let sidecar = sidecar(&origin).await;
    let first = begin(&sidecar, webhook(message("wamid.a")));
    origin.until(1).await;
    let second = begin(&sidecar, webhook(message("wamid.a")).header("X-Request-Id", "second"));
    sidecar.until_series("edge_sidecar_dedup_waiting", 1.0).await;
    gate.open();
    let (first, second) = (end(first).await, end(second).await);
    assert_eq!((verdict(&first), first.text().as_str(), first.header("x-own")), ((201, "NEW"), r#"{"ok":1}"#, "1"));
    assert!(!first.has("x-duplicate"));
    assert_repeat(&second, "JOINED");
    assert_eq!(second.header("x-request-id"), "second");
    assert_repeat(&sidecar.send(webhook(message("wamid.a"))).await, "DUPLICATE");
    assert_eq!(origin.count(), 1);
    sidecar.until_series("edge_sidecar_dedup_waiting", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_2xx_is_an_acceptance() {
    for status in [200, 201, 202, 204, 206, 299] {
        let origin = Origin::start(move |_| Reply::new(status, &[], "")).await;
        let sidecar = sidecar(&origin).await;
        let answer = sidecar.send(webhook(message("wamid.a"))).await;
        assert_eq!(verdict(&answer), (status, "NEW"));
        assert_repeat(&sidecar.send(webhook(message("wamid.a"))).await, "DUPLICATE");
        assert_eq!(origin.count(), 1, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_not_taken_is_forwarded_again() {
    for (status, reply) in refusals() {
        let origin = Origin::start(in_turn(vec![reply])).await;
        let sidecar = sidecar(&origin).await;
        let first = sidecar.send(webhook(message("wamid.a"))).await;
        assert_eq!((verdict(&first), first.text().as_str(), first.header("x-why")), ((status, "NEW"), "not taken", "no"));
        assert_eq!(verdict(&sidecar.send(webhook(message("wamid.a"))).await), (200, "NEW"), "after {status}");
        assert_repeat(&sidecar.send(webhook(message("wamid.a"))).await, "DUPLICATE");
        assert_eq!(origin.count(), 2, "after {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_waited_for_a_failure_takes_its_place() {
    for (status, reply) in refusals() {
        let gates = [Gate::new(), Gate::new()];
        let origin = Origin::start(in_turn(vec![reply.behind(&gates[0]), Reply::ok("taken").behind(&gates[1])])).await;
        let sidecar = sidecar(&origin).await;
        let first = begin(&sidecar, webhook(message("wamid.a")));
        origin.until(1).await;
        let copies = [(); 2].map(|()| begin(&sidecar, webhook(message("wamid.a"))));
        sidecar.until_series("edge_sidecar_dedup_waiting", 2.0).await;
        gates[0].open();
        assert_eq!(end(first).await.status, status);
        origin.until(2).await;
        sidecar.until_series("edge_sidecar_dedup_waiting", 1.0).await;
        gates[1].open();
        let mut words = Vec::new();
        for copy in copies {
            let answer = end(copy).await;
            words.push(format!("{} {}", answer.header("x-dedup"), answer.text()));
        }
        words.sort_unstable();
        assert_eq!(words, [format!("JOINED {}", super::DUPLICATE), "NEW taken".to_owned()], "after {status}");
        assert_eq!(origin.count(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_before_the_head_gives_the_message_free() {
    for (kind, reply) in [
        ("reset", Reply::empty().then(Step::Reset)),
        ("closed", Reply::empty().then(Step::Close)),
        ("half a head", Reply::raw("HTTP/1.1 200 OK\r\nContent-Le").then(Step::Close)),
        ("half a head, reset", Reply::raw("HTTP/1.1 200 OK\r\nContent-Le").then(Step::Reset)),
        ("no HTTP", Reply::raw("nonsense\r\n\r\n").then(Step::Close)),
        ("only an interim answer", Reply::raw("HTTP/1.1 103 Early Hints\r\n\r\n").then(Step::Close)),
        ("another protocol", Reply::raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").then(Step::Close)),
    ] {
        let origin = Origin::start(in_turn(vec![reply])).await;
        let sidecar = sidecar(&origin).await;
        let first = sidecar.send(webhook(message("wamid.a")).header("X-Request-Id", "first")).await;
        assert_eq!((first.status, first.json()["requestId"].as_str()), (502, Some("first")), "{kind}: {}", first.text());
        assert_eq!(verdict(&sidecar.send(webhook(message("wamid.a"))).await), (200, "NEW"), "after {kind}");
        assert_eq!(origin.count(), 2, "nothing repeated by the sidecar itself: {kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_not_there_or_silent_gives_the_message_free() {
    let port = free_port();
    let absent = in_front_of(&format!("http://127.0.0.1:{port}")).rules(RULES).with(|s| s.upstreams[0].retries.attempts = 1);
    let sidecar = absent.start().await;
    let first = sidecar.send(webhook(message("wamid.a"))).await;
    assert_eq!((first.status, first.json()["error"].as_str()), (502, Some("connect_failed")));
    let origin = Origin::on(port, None, |_| Reply::ok("{}")).await;
    assert_eq!(verdict(&sidecar.send(webhook(message("wamid.a"))).await), (200, "NEW"));
    assert_eq!(origin.count(), 1);

    let silent = Origin::start(in_turn(vec![Reply::ok("late").behind(&Gate::new())])).await;
    let short = in_front_of(&silent.url()).rules(RULES).with(|s| s.upstreams[0].first_byte = Duration::from_millis(50));
    let sidecar = short.start().await;
    let first = sidecar.send(webhook(message("wamid.a"))).await;
    assert_eq!((first.status, first.json()["error"].as_str()), (504, Some("first_byte_timeout")));
    assert_eq!(verdict(&sidecar.send(webhook(message("wamid.a"))).await), (200, "NEW"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_answer_that_breaks_off_is_seen_broken_and_not_repeated() {
    let chunked = Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    for (kind, reply) in [
        ("a length not reached", Reply::ok("0123456789").cut(4)),
        ("reset within a length", Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234").then(Step::Reset)),
        ("no last chunk", chunked.clone().then(Step::Close)),
        ("reset between chunks", chunked.then(Step::Reset)),
    ] {
        let origin = Origin::start(in_turn(vec![reply])).await;
        let sidecar = sidecar(&origin).await;
        let first = sidecar.send(webhook(message("wamid.a")).header("X-Request-Id", "first")).await;
        assert_eq!((verdict(&first), first.message.whole), ((200, "NEW"), false), "{kind}: {:?}", first.message);
        assert_eq!(sidecar.line("request", "first").await["error"], "response_cut", "{kind}");
        assert_repeat(&sidecar.send(webhook(message("wamid.a"))).await, "DUPLICATE");
        assert_eq!(origin.count(), 1, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_functions_are_told_apart_and_one_is_known_by_all_its_paths() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    for (target, word) in [
        ("/wa-webhook-core", "NEW"),
        ("/wa-webhook-audit", "NEW"),
        ("/functions/v1/wa-webhook-core", "DUPLICATE"),
        ("/wa-webhook-core/sub?retry=1", "DUPLICATE"),
        ("/functions/v1/wa-webhook-audit", "DUPLICATE"),
        ("/wa-webhook", "NEW"),
    ] {
        assert_eq!(verdict(&sidecar.send(post(target, message("wamid.a"))).await), (200, word), "{target}");
    }
    assert_eq!(origin.count(), 3);
    sidecar.until_series(&requests("new"), 3.0).await;
}
