//! Connections to the functions: kept, counted exactly over both ways, and none used that the other side has closed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use super::{assert_nothing_held, call};
use crate::support::client::{get, send};
use crate::support::origin::{Gate, Origin, Reply, Step};
use crate::support::routes::{RULES, each};
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::until;

/// Waits for the first contact, which opens a connection of its own: how many the origin had accepted by then.
async fn contacted(origin: &Origin, sidecar: &Sidecar) -> usize {
    let ready = async || (send(sidecar.admin, &get("/readyz").header("connection", "close")).await.status == 200).then_some(());
    until("the sidecar is ready", ready).await;
    origin.connections()
}

async fn pool(sidecar: &Sidecar) -> serde_json::Value {
    sidecar.metrics().await["clientPool"]["functions"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_a_row_share_their_connections_and_every_one_is_counted() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    let before = contacted(&origin, &sidecar).await;
    let mut connection = sidecar.connect().await;
    for n in 0..50 {
        let (kind, request) = each(&format!("row{n}")).into_iter().nth(n % 4).expect("four kinds");
        assert_eq!(connection.send(&request).await.status, 200, "{kind}");
    }
    assert_nothing_held(&sidecar).await;
    let pool = pool(&sidecar).await;
    let number = |key: &str| pool[key].as_u64().expect("a number");
    let opened = u64::try_from(origin.connections() - before).expect("a few");
    assert_eq!((number("created"), number("created") + number("reused"), number("totalUses")), (opened, 50, 50), "{pool}");
    // one for each way; now and then Pingora's pool loses one to a race of its own and opens another
    assert_eq!((number("size"), number("idle"), number("inUse")), (2, 2, 0), "{pool}");
    assert!((2..25).contains(&opened), "{pool}");
    let rate = pool["reuseRate"].as_f64().expect("a number");
    assert!((rate * 50.0 - (50.0 - f64::from(u32::try_from(opened).expect("a few")))).abs() < 1e-9, "{pool}");
    assert_eq!(origin.count(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_calls_at_once_use_thirty_connections_and_leave_max_idle_a_way() {
    // each of the two ways has a pool, so together they may keep twice as many
    for (only, most) in [(Some(0), 10), (Some(2), 10), (None, 20)] {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |_| Reply::ok("{}").behind(&held)).await;
        let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
        let before = contacted(&origin, &sidecar).await;
        let calls: Vec<_> = (0..30)
            .map(|n| each(&format!("burst{n}")).into_iter().nth(only.unwrap_or(n % 4)).expect("four kinds").1)
            .map(|request| tokio::spawn(call(&sidecar, request)))
            .collect();
        origin.until(30).await;
        sidecar.until_series(r#"edge_sidecar_upstream_connections{upstream="functions",state="in_use"}"#, 30.0).await;
        assert_eq!(pool(&sidecar).await["inUse"], 30);
        assert_eq!(origin.connections() - before, 30);
        gate.open();
        for call in calls {
            assert_eq!(call.await.expect("no panic").status, 200);
        }
        assert_nothing_held(&sidecar).await;
        let settled = async || {
            let pool = pool(&sidecar).await;
            let [size, idle, created] = ["size", "idle", "created"].map(|key| pool[key].as_u64().expect("a number"));
            (size == idle && idle <= most && created == 30).then_some(idle)
        };
        let idle = until("the others are closed", settled).await;
        assert!(idle >= most / 2, "some are kept: {idle}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_functions_closed_is_not_used_again() {
    let origin = Origin::start(|_| Reply::ok("{}").then(Step::Close)).await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for round in 0..3 {
        for (kind, request) in each(&format!("closed{round}")) {
            assert_eq!(sidecar.send(request).await.status, 200, "{kind}");
            // the pool notices by itself
            sidecar.until_series(r#"edge_sidecar_upstream_connections{upstream="functions",state="idle"}"#, 0.0).await;
        }
    }
    assert_nothing_held(&sidecar).await;
    let pool = pool(&sidecar).await;
    assert_eq!((&pool["created"], &pool["reused"], &pool["size"]), (&12.into(), &0.into(), &0.into()), "{pool}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_connection_that_dies_under_a_get_is_replaced_and_under_a_post_is_502() {
    // each connection serves one request, reads the next, and dies: the function may have run
    for (kind, expected) in [("plain GET", 200), ("cached GET", 200), ("plain POST", 502), ("webhook", 502)] {
        let (used, died) = (Mutex::new(HashSet::new()), Arc::<AtomicUsize>::default());
        let deaths = Arc::clone(&died);
        let origin = Origin::start(move |seen| {
            let fresh = used.lock().expect("no panic while held").insert(seen.connection);
            if fresh {
                return Reply::ok("{}");
            }
            deaths.fetch_add(1, SeqCst);
            Reply::empty().then(Step::Close)
        })
        .await;
        let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
        let mut connection = sidecar.connect().await;
        // the second one as a rule: Pingora's pool now and then opens another connection all the same
        for sent in 1.. {
            let (_, request) = each(&format!("kept{sent}")).into_iter().find(|(k, _)| *k == kind).expect("one of four");
            let answer = connection.send(&request).await;
            assert_nothing_held(&sidecar).await;
            let dead = died.load(SeqCst);
            assert_eq!(answer.status, if dead == 0 { 200 } else { expected }, "{kind}: {}", answer.text());
            assert_eq!(origin.count(), sent + if expected == 200 { dead } else { 0 }, "{kind}: asked again only if that does no harm");
            if dead > 0 {
                break;
            }
        }
    }
}
