//! Limits of what runs at once: who comes too many is told so at once, the others are served, and nothing leaks.

use std::time::Duration;

use super::{assert_nothing_held, assert_refused, call};
use crate::support::client::{Connection, get};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::routes::{RULES, each};
use crate::support::sidecar::{Sidecar, in_front_of};

/// An origin that holds the answers to requests whose target has `held` in it.
async fn holding(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |seen| if seen.target().contains("held") { Reply::ok("held").behind(&gate) } else { Reply::ok("{}") }).await
}

async fn assert_shed(sidecar: &Sidecar, kind: &str, request: crate::support::client::Request, code: &str) {
    let answer = sidecar.send(request).await;
    assert_refused(kind, &answer, 503, code);
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|s| s >= 1), "{kind}");
    let line = sidecar.line("request", answer.header("x-request-id")).await;
    assert_eq!((&line["outcome"], &line["error"]), (&"shed".into(), &code.into()), "{kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_connection_in_use_a_call_waits_the_connect_time_and_is_503() {
    let gate = Gate::new();
    let origin = holding(&gate).await;
    let few = |s: &mut edge_sidecar::config::Sidecar| (s.upstreams[0].max_in_use, s.upstreams[0].connect) = (2, Duration::from_millis(100));
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(few).start().await;
    let held = [get("/plain/held"), get("/profile/held")].map(|request| tokio::spawn(call(&sidecar, request)));
    origin.until(2).await;
    for (kind, request) in each("busy") {
        assert_shed(&sidecar, kind, request, "upstream_busy").await;
    }
    sidecar.until_series(r#"edge_sidecar_requests_shed_total{reason="upstream_busy"}"#, 4.0).await;
    gate.open();
    for call in held {
        assert_eq!(call.await.expect("no panic").text(), "held");
    }
    for (kind, request) in each("free") {
        assert_eq!(sidecar.send(request).await.status, 200, "{kind}");
    }
    assert_eq!(origin.count(), 6, "those refused did not reach it");
    assert_nothing_held(&sidecar).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_a_connection_gets_the_next_one() {
    let gate = Gate::new();
    let origin = holding(&gate).await;
    let one = |s: &mut edge_sidecar::config::Sidecar| (s.upstreams[0].max_in_use, s.upstreams[0].connect) = (1, Duration::from_secs(20));
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(one).start().await;
    let held = tokio::spawn(call(&sidecar, get("/profile/held")));
    origin.until(1).await;
    let waiting = each("next").map(|(kind, request)| (kind, tokio::spawn(call(&sidecar, request))));
    sidecar.until_series("edge_sidecar_requests_in_flight", 5.0).await;
    assert_eq!(origin.count(), 1, "only one at a time");
    gate.open();
    for (kind, call) in waiting {
        assert_eq!(call.await.expect("no panic").status, 200, "{kind}");
    }
    assert_eq!(held.await.expect("no panic").status, 200);
    assert_nothing_held(&sidecar).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_limit_in_flight_every_further_request_is_shed() {
    let gate = Gate::new();
    let origin = holding(&gate).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(|s| s.limits.in_flight = 2).start().await;
    let held = [get("/plain/held"), get("/profile/held")].map(|request| tokio::spawn(call(&sidecar, request)));
    origin.until(2).await;
    for (kind, request) in each("many") {
        assert_shed(&sidecar, kind, request, "in_flight").await;
    }
    gate.open();
    for call in held {
        assert_eq!(call.await.expect("no panic").status, 200);
    }
    assert_nothing_held(&sidecar).await;
    for (kind, request) in each("after") {
        assert_eq!(sidecar.send(request).await.status, 200, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_at_its_own_limit_holds_up_no_other() {
    let gate = Gate::new();
    let origin = holding(&gate).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(|s| s.limits.in_flight_per_function = 1).start().await;
    let held = tokio::spawn(call(&sidecar, get("/functions/v1/plain/held")));
    origin.until(1).await;
    for (kind, request) in each("other") {
        if kind.starts_with("plain") {
            assert_shed(&sidecar, kind, request, "in_flight_per_function").await;
        } else {
            assert_eq!(sidecar.send(request).await.status, 200, "{kind}");
        }
    }
    gate.open();
    assert_eq!(held.await.expect("no panic").status, 200);
    assert_nothing_held(&sidecar).await;
    assert_eq!(sidecar.get("/plain/free").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_leave_hold_nothing() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::ok("x".repeat(100_000)).behind(&held)).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    let mut callers = Vec::new();
    for n in 0..52 {
        let (_, request) = each(&format!("left{n}")).into_iter().nth(n % 4).expect("four kinds");
        let mut caller = Connection::open(sidecar.address).await;
        caller.write(&request).await;
        callers.push(caller);
    }
    origin.until(52).await;
    for (n, caller) in callers.into_iter().enumerate() {
        if n % 8 < 4 { caller.close() } else { caller.reset() }
    }
    gate.open();
    assert_nothing_held(&sidecar).await;
    // as many as before still fit, and a message whose caller left was processed once and for all
    let webhook = each("left3").into_iter().nth(3).expect("four kinds").1;
    assert_eq!(sidecar.send(webhook).await.header("x-dedup"), "DUPLICATE");
    let pool = sidecar.metrics().await["clientPool"]["functions"].clone();
    assert_eq!((&pool["inUse"], &pool["size"]), (&0.into(), &pool["idle"]), "{pool}");
    assert!(pool["idle"].as_u64() <= Some(10), "{pool}");
    assert_eq!(origin.count(), 52);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_hangs_leaves_connections_to_the_others() {
    let gate = Gate::new();
    let origin = holding(&gate).await;
    let some = |s: &mut edge_sidecar::config::Sidecar| (s.upstreams[0].max_in_use, s.upstreams[0].connect) = (16, Duration::from_secs(20));
    let sidecar = in_front_of(&origin.url()).rules(RULES).with(some).start().await;
    let held: Vec<_> = (0..40).map(|n| tokio::spawn(call(&sidecar, get(&format!("/hung/held/{n}"))))).collect();
    origin.until(12).await;
    // over its share a function is refused at once, and does not stand in the queue before the others
    sidecar.until_series(r#"edge_sidecar_requests_shed_total{reason="upstream_busy"}"#, 28.0).await;
    for (kind, request) in each("other") {
        assert_eq!(sidecar.send(request).await.status, 200, "{kind}");
    }
    gate.open();
    let mut served = 0;
    for call in held {
        served += usize::from(call.await.expect("no panic").status == 200);
    }
    assert_eq!((served, origin.count()), (12, 16));
    assert_nothing_held(&sidecar).await;
}
