//! The window: from acceptance, fixed, judged by the rules of the day.

use std::time::Duration;

use edge_sidecar::clock::Clock;
use edge_sidecar::config::Offer;

use super::{RULES, assert_repeat, batch, begin, end, in_turn, message, verdict, webhook};
use crate::support::client::Answer;
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};

const SECOND: Duration = Duration::from_secs(1);

async fn on(clock: &Clock, window: &str, origin: &Origin) -> Sidecar {
    in_front_of(&origin.url()).rules(&with_window(window)).clock(clock).start().await
}

fn with_window(window: &str) -> String {
    RULES.replace("window: 24h", window)
}

/// Puts other rules in force.
fn offer(sidecar: &Sidecar, clock: &Clock, rules: &str) {
    let offer = sidecar.live.offer(format!("version: 1\n{rules}").as_bytes(), clock.wall());
    assert!(matches!(offer, Offer::Accepted { .. }), "{offer:?}");
}

async fn copy(sidecar: &Sidecar) -> Answer {
    sidecar.send(webhook(message("wamid.a"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_known_until_the_window_ends_and_new_from_then_on() {
    for (written, window) in [("window: 24h", 86_400), ("window: 5m", 300), ("wait_timeout: 4s", 30)] {
        let (clock, origin) = (Clock::manual(), Origin::start(|_| Reply::ok("{}")).await);
        let sidecar = on(&clock, written, &origin).await;
        assert_eq!(verdict(&copy(&sidecar).await), (200, "NEW"));
        clock.advance(SECOND * (window - 1));
        assert_repeat(&copy(&sidecar).await, "DUPLICATE");
        clock.advance(SECOND);
        assert_eq!(verdict(&copy(&sidecar).await), (200, "NEW"), "{written}");
        clock.advance(SECOND * (window - 1));
        assert_repeat(&copy(&sidecar).await, "DUPLICATE");
        assert_eq!(origin.count(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_do_not_make_the_window_longer() {
    let (clock, origin) = (Clock::manual(), Origin::start(|_| Reply::ok("{}")).await);
    let sidecar = on(&clock, "window: 30s", &origin).await;
    let mut words = Vec::new();
    for _ in 0..7 {
        words.push(copy(&sidecar).await.header("x-dedup").to_owned());
        clock.advance(SECOND * 10);
    }
    assert_eq!(words, ["NEW", "DUPLICATE", "DUPLICATE", "NEW", "DUPLICATE", "DUPLICATE", "NEW"]);
    assert_eq!(origin.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_event_that_goes_along_in_a_batch_keeps_its_own_window() {
    let (clock, origin) = (Clock::manual(), Origin::start(|_| Reply::ok("{}")).await);
    let sidecar = on(&clock, "window: 30s", &origin).await;
    assert_eq!(verdict(&copy(&sidecar).await), (200, "NEW"));
    clock.advance(SECOND * 20);
    assert_eq!(verdict(&sidecar.send(webhook(batch(&["wamid.a", "wamid.b"]))).await), (200, "PARTIAL"));
    clock.advance(SECOND * 10);
    assert_eq!(verdict(&copy(&sidecar).await), (200, "NEW"));
    assert_repeat(&sidecar.send(webhook(message("wamid.b"))).await, "DUPLICATE");
    assert_eq!(origin.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_begins_when_the_function_has_taken_the_message() {
    let (clock, gate) = (Clock::manual(), Gate::new());
    let origin = Origin::start(in_turn(vec![Reply::ok("{}").behind(&gate)])).await;
    let sidecar = on(&clock, "window: 30s", &origin).await;
    let first = begin(&sidecar, webhook(message("wamid.a")));
    origin.until(1).await;
    clock.advance(SECOND * 120);
    gate.open();
    assert_eq!(verdict(&end(first).await), (200, "NEW"));
    clock.advance(SECOND * 29);
    let known = sidecar.send(webhook(message("wamid.a")).header("X-Request-Id", "known")).await;
    assert_repeat(&known, "DUPLICATE");
    assert_eq!(sidecar.line("request", "known").await["age_s"], 29);
    clock.advance(SECOND);
    assert_eq!(verdict(&copy(&sidecar).await), (200, "NEW"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_window_acts_at_once_on_what_is_known() {
    let (clock, origin) = (Clock::manual(), Origin::start(|_| Reply::ok("{}")).await);
    let sidecar = on(&clock, "window: 24h", &origin).await;
    assert_eq!(verdict(&copy(&sidecar).await), (200, "NEW"));
    clock.advance(SECOND * 60);
    assert_repeat(&copy(&sidecar).await, "DUPLICATE");
    offer(&sidecar, &clock, &with_window("window: 30s"));
    assert_eq!(verdict(&copy(&sidecar).await), (200, "NEW"));
    assert_repeat(&copy(&sidecar).await, "DUPLICATE");
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_window_acts_at_once_on_what_is_known() {
    let (clock, origin) = (Clock::manual(), Origin::start(|_| Reply::ok("{}")).await);
    let sidecar = on(&clock, "window: 30s", &origin).await;
    assert_eq!(verdict(&copy(&sidecar).await), (200, "NEW"));
    clock.advance(SECOND * 20);
    offer(&sidecar, &clock, &with_window("window: 24h"));
    clock.advance(SECOND * 60);
    assert_repeat(&copy(&sidecar).await, "DUPLICATE");
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_taken_away_and_given_back_or_renamed_keep_what_is_known() {
    let (clock, gate) = (Clock::manual(), Gate::new());
    let origin = Origin::start(in_turn(vec![Reply::ok("{}").behind(&gate)])).await;
    let sidecar = on(&clock, "window: 24h", &origin).await;
    let first = begin(&sidecar, webhook(message("wamid.a")));
    origin.until(1).await;
    offer(&sidecar, &clock, "dedup: {}\n");
    gate.open();
    assert_eq!(verdict(&end(first).await), (200, "NEW"), "a request ends on the rules it began with");
    let passed = copy(&sidecar).await;
    assert_eq!((passed.status, passed.has("x-dedup"), origin.count()), (200, false, 2));
    offer(&sidecar, &clock, &RULES.replace("name: whatsapp", "name: other"));
    assert_repeat(&copy(&sidecar).await, "DUPLICATE");
    assert_eq!(origin.count(), 2);
}
