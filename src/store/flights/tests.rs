//! Who leads, who follows, and that one failure is never counted twice.

use super::*;
use crate::cache::request::Request;
use crate::cache::{CallerSecret, Scope, Settings, Ttl};

fn key() -> CacheKey {
    let headers = http::HeaderMap::new();
    let request = Request {
        method: &http::Method::GET,
        host: "h",
        path: "/p",
        odd_path: false,
        query: None,
        headers: &headers,
        has_body: false,
        upstream: "u",
        trusted: false,
    };
    CacheKey::new("r", &Settings::new(Ttl::Usual(std::time::Duration::ZERO), Scope::Public), &request, &CallerSecret::new([7; 16]))
}

fn join(flights: &Arc<Flights>) -> Result<Lead, Follower> {
    match flights.join(&key(), 40) {
        Role::Lead(lead) => Ok(lead),
        Role::Follow(follower) => Err(follower),
        Role::Crowded => panic!("far from forty"),
    }
}

fn led(flights: &Arc<Flights>) -> Lead {
    join(flights).expect("no flight runs")
}

fn followed(flights: &Arc<Flights>) -> Follower {
    join(flights).expect_err("a flight runs")
}

#[tokio::test]
async fn after_a_failure_one_follower_leads_and_its_word_is_for_all() {
    let flights = Arc::<Flights>::default();
    let (first, followers) = (led(&flights), [followed(&flights), followed(&flights), followed(&flights)]);
    first.failed(Cause::Lost);
    let late = followed(&flights);
    let [one, two, three] = followers;
    let Outcome::Lead(second) = one.outcome().await else { panic!("the flight is vacant") };
    // these wake only after it has failed as well: they do not lead a third time
    second.failed(Cause::Refused);
    for follower in [two, three, late] {
        assert!(matches!(follower.outcome().await, Outcome::Failed(Cause::Refused)));
    }
    assert!(flights.is_empty());
    drop(led(&flights));
}

#[tokio::test]
async fn a_failure_that_nobody_waited_for_leaves_nothing_behind() {
    let flights = Arc::<Flights>::default();
    led(&flights).failed(Cause::Lost);
    assert!(flights.is_empty());
    // nor does one whose followers left before they heard of it: who fetches for no caller would find it taken
    let (first, followers) = (led(&flights), [followed(&flights), followed(&flights)]);
    first.failed(Cause::Lost);
    assert!(flights.begin(&key()).is_none(), "they may still lead it");
    drop(followers);
    assert!(flights.is_empty());
    flights.begin(&key()).expect("no flight runs").pass(NotStored::Private);
    assert!(flights.is_empty());
}

#[tokio::test]
async fn a_leader_dropped_without_a_word_has_failed() {
    let flights = Arc::<Flights>::default();
    let (first, one, two) = (led(&flights), followed(&flights), followed(&flights));
    drop(first);
    let Outcome::Lead(second) = one.outcome().await else { panic!("the flight is vacant") };
    drop(second);
    assert!(matches!(two.outcome().await, Outcome::Failed(Cause::Internal)));
    assert!(flights.is_empty());
}

#[tokio::test]
async fn pass_is_for_all_and_no_more_than_allowed_wait() {
    let flights = Arc::<Flights>::default();
    let (lead, one) = (led(&flights), followed(&flights));
    assert!(matches!(flights.join(&key(), 1), Role::Crowded));
    lead.pass(NotStored::Private);
    assert!(matches!(one.outcome().await, Outcome::Pass(NotStored::Private)));
    assert!(flights.is_empty());
}
