//! What a rule may say beyond lifetime and scope: whose word counts on freshness, and cookies that are nobody's.

use std::time::Duration;

use edge_sidecar::clock::Clock;

use crate::cached::{HIT, PUBLIC, STORED, assert_fetched_anew, numbered, still, told};
use crate::cached_flights::{all, begin, until_waiting};
use crate::support::client::get;
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::in_front_of;

fn with(option: &str) -> String {
    PUBLIC.replace("scope: public", &format!("scope: public, {option}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn override_keeps_for_the_rules_time_whatever_is_stated() {
    let clock = Clock::manual();
    let origin = Origin::start(|seen| match seen.target().rsplit('/').next().expect("a segment") {
        "short" => Reply::new(200, &[("Cache-Control", "max-age=1")], "x"),
        "long" => Reply::new(200, &[("Cache-Control", "s-maxage=9000")], "x"),
        "never" => Reply::new(200, &[("Cache-Control", "no-cache"), ("Expires", "0"), ("CDN-Cache-Control", "max-age=0")], "x"),
        forbidden => Reply::new(200, &[("Cache-Control", forbidden)], "x"),
    })
    .await;
    let sidecar = in_front_of(&origin.url()).rules(&with("origin_cache_control: override")).clock(&clock).start().await;
    for target in ["/config/short", "/config/long", "/config/never"] {
        assert_eq!((told(&sidecar.get(target).await), told(&sidecar.get(target).await)), (STORED, HIT), "{target}");
    }
    clock.advance(Duration::from_secs(299));
    assert_eq!(told(&sidecar.get("/config/short").await), ("HIT", "hit; ttl=1"));
    clock.advance(Duration::from_secs(1));
    assert_fetched_anew(&sidecar.get("/config/long").await);
    for (target, reason) in [("/config/private", "private"), ("/config/no-store", "no_store")] {
        assert_eq!(told(&sidecar.get(target).await).1, format!("fwd=uri-miss; fwd-status=200; detail={reason}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_to_override_acts_on_what_is_stored_and_back() {
    let origin = numbered(&[("Cache-Control", "max-age=60")]).await;
    let sidecar = still(&origin, &with("origin_cache_control: override")).await;
    assert_eq!((told(&sidecar.get("/config").await), told(&sidecar.get("/config").await)), (STORED, HIT));
    for (rules, expected) in [(PUBLIC.to_owned(), "hit; ttl=60"), (with("origin_cache_control: override"), "hit; ttl=300")] {
        sidecar.live.offer(format!("version: 1\n{rules}").as_bytes(), Clock::system().wall());
        assert_eq!(told(&sidecar.get("/config").await), ("HIT", expected));
    }
    assert_eq!(origin.count(), 1);
}

const COOKIES: [(&str, &str); 3] =
    [("Set-Cookie", "__cf_bm=mine; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT; HttpOnly"), ("set-cookie", "_ga=mine"), ("X-Kept", "1")];

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_is_nobodys_goes_to_who_caused_the_fetch_alone() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::new(200, &COOKIES, "x").behind(&held)).await;
    let sidecar = still(&origin, &with("ignore_set_cookie: [__cf_bm, _ga]")).await;
    let mut tasks = vec![begin(&sidecar, get("/config"))];
    origin.until(1).await;
    tasks.extend((0..4).map(|_| begin(&sidecar, get("/config"))));
    until_waiting(&sidecar, 4).await;
    gate.open();
    for (at, answer) in all(tasks).await.iter().enumerate() {
        assert_eq!((answer.message.all("set-cookie").len(), answer.header("x-kept")), (if at == 0 { 2 } else { 0 }, "1"), "{at}");
    }
    let hit = sidecar.get("/config").await;
    assert_eq!((told(&hit), hit.has("set-cookie"), hit.header("x-kept"), origin.count()), (HIT, false, "1", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_cookie_keeps_the_answer_out() {
    for other in ["session=1", "__CF_BM=1", "__cf_bm", "=", "__cf_bm=1, session=2"] {
        let origin = Origin::start(move |_| Reply::new(200, &[("Set-Cookie", "__cf_bm=1"), ("Set-Cookie", other)], "x")).await;
        let sidecar = still(&origin, &with("ignore_set_cookie: [__cf_bm]")).await;
        for expected in [("MISS", "fwd=uri-miss; fwd-status=200; detail=set_cookie"), ("BYPASS", "fwd=bypass; detail=unstorable")] {
            let answer = sidecar.get("/config").await;
            assert_eq!((told(&answer), answer.message.all("set-cookie")), (expected, vec!["__cf_bm=1", other]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_that_sets_one_is_given_with_it_and_kept_without() {
    let clock = Clock::manual();
    let origin = Origin::start(|seen| match seen.header("if-none-match") {
        "" => Reply::new(200, &[("ETag", "\"a\"")], "x"),
        _ => Reply::new(304, &[("Set-Cookie", "__cf_bm=mine")], ""),
    })
    .await;
    let sidecar = in_front_of(&origin.url()).rules(&with("ignore_set_cookie: [__cf_bm]")).clock(&clock).start().await;
    sidecar.get("/config").await;
    clock.advance(Duration::from_secs(301));
    let renewed = sidecar.get("/config").await;
    assert_eq!(told(&renewed), ("REVALIDATED", "fwd=stale; fwd-status=304; stored"));
    assert_eq!(renewed.message.all("set-cookie"), ["__cf_bm=mine"]);
    let hit = sidecar.get("/config").await;
    assert_eq!((told(&hit), hit.has("set-cookie"), origin.count()), (HIT, false, 2));
}
