//! The clean end under load, as a rolling restart brings it: 200 requests a second on new connections, every tenth held by its function.
//! Nobody is refused while the end is announced, who is inside gets an answer, and a stream of newcomers does not put the end off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use edge_sidecar::clock::Clock;
use tokio::time::{MissedTickBehavior, interval};

use crate::support::client::{Connection, get, send};
use crate::support::command::Process;
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::until;

/// `drain.announce` by default.
const ANNOUNCE: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_while_it_is_announced_and_who_is_inside_is_answered() {
    let (gate, clock, refused) = (Gate::new(), Clock::system(), Arc::<AtomicBool>::default());
    let held = gate.clone();
    let origin = Origin::start(move |seen| if seen.target() == "/slow" { Reply::ok("").behind(&held) } else { Reply::ok("") }).await;
    let mut process = Process::start(&origin.url(), &["--log-level", "error"]).await;
    let (mut flights, mut term, mut tick) = (Vec::new(), None, interval(EVERY));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !refused.load(Relaxed) {
        tick.tick().await;
        let (address, refused) = (process.address, Arc::clone(&refused));
        let (target, began) = (if flights.len() % 10 == 0 { "/slow" } else { "/fast" }, clock.now());
        flights.push(tokio::spawn(async move {
            let status = match Connection::try_open(address).await {
                Ok(mut caller) => caller.send(&get(target)).await.status,
                Err(_) => 0,
            };
            refused.fetch_or(status != 200, Relaxed);
            (status, began)
        }));
        if flights.len() == 200 {
            process.signal("TERM");
            let sent = clock.now();
            let unready = async || (send(process.admin, &get("/readyz").header("connection", "close")).await.status == 503).then_some(());
            until("not ready", unready).await;
            eprintln!("/readyz said 503 {:.1} ms after SIGTERM", (clock.now() - sent).as_secs_f64() * 1000.0);
            term = Some(sent);
        }
    }
    let (term, all) = (term.expect("told to end before anybody was refused"), flights.len());
    gate.open();
    let mut turned_away = 0;
    for flight in flights {
        let (status, began) = flight.await.expect("no panic");
        turned_away += usize::from(status == 0);
        assert!(status == 200 || status == 0 && began >= term + ANNOUNCE, "{status}, {:?} after SIGTERM", began - term);
    }
    assert_eq!(process.ended().await.code(), Some(0));
    eprintln!("{all} requests, {turned_away} turned away after the announcement; ended {:?} after SIGTERM", clock.now() - term);
}
