//! Offers, refusals, the way back.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::state::TEXTS;
use super::*;
use crate::clock::Clock;

const GOOD: &str = "version: 1\ncache:\n  include:\n    - { name: a, match: \"/a\", ttl: 1s }\n";
const BAD: &str = "version: 1\ncashe: {}\n";

fn accepted(offer: &Offer) -> Option<Vec<&str>> {
    if let Offer::Accepted { changed, .. } = offer { Some(changed.iter().map(String::as_str).collect()) } else { None }
}

#[test]
fn accepts_refuses_and_comes_back() {
    let clock = Clock::manual();
    let live = Live::start("rules.yaml", b"version: 1\n", clock.wall()).expect("good rules");
    let swaps = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&swaps);
    live.subscribe(move |snapshot| seen.store(snapshot.generation, Relaxed));
    assert_eq!(live.offer(b"version: 1\n", clock.wall()), Offer::Unchanged);
    let kept = live.load_full();
    clock.advance(Duration::from_secs(5));
    assert_eq!(accepted(&live.offer(GOOD.as_bytes(), clock.wall())), Some(vec!["a"]));
    assert_eq!((kept.generation, live.load().generation, swaps.load(Relaxed)), (1, 2, 2));
    let success = live.numbers().last_success;
    assert_eq!(success, clock.wall());

    clock.advance(Duration::from_secs(5));
    let offer = live.offer(BAD.as_bytes(), clock.wall());
    assert!(matches!(&offer, Offer::Refused { rendered, .. } if rendered.contains("rules.yaml:2:1")), "{offer:?}");
    let numbers = live.numbers();
    let state = (numbers.generation, numbers.successes, numbers.failures, numbers.last_reload_successful, numbers.file_differs);
    assert_eq!(state, (2, 1, 1, false, true));
    assert_eq!((&*live.load().text, numbers.last_success), (GOOD, success));

    assert_eq!(live.offer(GOOD.as_bytes(), clock.wall()), Offer::Unchanged);
    let numbers = live.numbers();
    assert_eq!((numbers.generation, numbers.last_reload_successful, numbers.file_differs), (2, true, false));
    assert_eq!(swaps.load(Relaxed), 2);
}

#[test]
fn a_bad_first_text_starts_nothing() {
    let judgement = Live::start("rules.yaml", BAD.as_bytes(), Clock::manual().wall()).expect_err("refused");
    assert_eq!(judgement.problems.len(), 1);
}

#[test]
fn a_test_that_fails_refuses_the_swap() {
    let now = SystemTime::UNIX_EPOCH;
    let live = Live::start("rules.yaml", GOOD.as_bytes(), now).expect("good rules");
    let with = |ttl: &str| format!("{GOOD}slow: [{{ match: /a, after: 2s }}]\ntests: [{{ request: GET /a, expect: {{ ttl: {ttl} }} }}]\n");
    let offer = live.offer(with("2s").as_bytes(), now);
    assert!(matches!(&offer, Offer::Refused { problems, .. } if problems[0].code.as_str() == "test-failed"), "{offer:?}");
    assert_eq!((live.load().generation, live.numbers().last_reload_successful), (1, false));
    assert_eq!(accepted(&live.offer(with("1s").as_bytes(), now)), Some(vec!["slow"]));
}

#[test]
fn the_status_is_plain_json() {
    let live = Live::start("rules.yaml", b"version: 1\n", SystemTime::UNIX_EPOCH).expect("good rules");
    live.offer(BAD.as_bytes(), SystemTime::UNIX_EPOCH + Duration::from_mins(1));
    let json = serde_json::to_value(live.status()).expect("plain data");
    assert_eq!(json["since"], "1970-01-01T00:00:00Z");
    assert_eq!((&json["generation"], &json["fileDiffers"]), (&1.into(), &true.into()));
    assert_eq!(json["lastReload"]["at"], "1970-01-01T00:01:00Z");
    assert_eq!(json["lastReload"]["outcome"], "refused");
    assert_eq!(json["lastReload"]["diagnostics"][0]["code"], "unknown-key");
    assert_eq!(json["lastReload"]["diagnostics"][0]["help"], "did you mean `cache`?");
    assert_eq!(json["hash"].as_str().map(str::len), Some(12));
}

#[test]
fn what_was_rolled_back_stays_out_until_the_file_changes_or_is_asked_for() {
    let now = SystemTime::UNIX_EPOCH;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    let (first, third) = ("version: 1\n", "version: 1\nslow: [{ match: /a, after: 2s }]\n");
    let live = Live::start("rules.yaml", first.as_bytes(), now).expect("good rules");
    assert_eq!((live.reload(now), live.rollback(now)), (Err(NoReload::NoFile), Err(NoReload::NoEarlier)));
    live.read_from(&file);
    assert_eq!(live.reload(now), Err(NoReload::Unreadable));
    std::fs::write(&file, GOOD).expect("written");

    assert!(matches!(live.reload(now), Ok(Offer::Accepted { generation: 2, .. })));
    assert!(matches!(live.rollback(now), Ok(Offer::Accepted { generation: 3, .. })));
    assert_eq!((&*live.load().text, live.numbers().file_differs), (first, true));
    assert_eq!(live.offer(GOOD.as_bytes(), now), Offer::Held);
    assert_eq!((live.load().generation, live.numbers().file_differs), (3, true));
    assert_eq!(live.rollback(now), Err(NoReload::NoEarlier));
    assert!(matches!(live.reload(now), Ok(Offer::Accepted { generation: 4, .. })));

    assert!(matches!(live.rollback(now), Ok(Offer::Accepted { generation: 5, .. })));
    assert_eq!(accepted(&live.offer(third.as_bytes(), now)), Some(vec!["slow"]));
    assert_eq!(accepted(&live.offer(GOOD.as_bytes(), now)), Some(vec!["a", "slow"]), "another text came between");
    let causes: Vec<Cause> = live.history().iter().map(|reload| reload.cause).collect();
    assert_eq!(causes[..3], [Cause::File, Cause::File, Cause::Rollback]);
}

#[test]
fn the_past_is_bounded() {
    let now = SystemTime::UNIX_EPOCH;
    let live = Live::start("rules.yaml", b"version: 1\n", now).expect("good rules");
    for at in 0..50 {
        let offer = live.offer(format!("version: 1\n# {at} {}\n", "x".repeat(200_000)).as_bytes(), now);
        assert!(matches!(offer, Offer::Accepted { .. }));
    }
    assert_eq!(live.history().len(), 20);
    let back = std::iter::from_fn(|| live.rollback(now).ok()).count();
    assert_eq!(back, TEXTS / 200_000);
}

/// A rule whose secret is in a file of the folder.
fn signed(folder: &Path, name: &str) -> String {
    let secret = folder.join(name).display().to_string();
    format!(
        "version: 1\ndedup:\n  include:\n    - {{ name: {name}, match: /a, id: stripe, verify: {{ scheme: stripe, secret_file: {secret} }} }}\n"
    )
}

#[test]
fn a_missing_secret_is_told_once_by_the_file_and_each_time_to_who_asks() {
    let now = SystemTime::UNIX_EPOCH;
    let folder = tempfile::tempdir().expect("a folder");
    let (file, secret) = (folder.path().join("rules.yaml"), folder.path().join("a"));
    std::fs::write(&file, signed(folder.path(), "a")).expect("written");
    let live = Live::start("rules.yaml", b"version: 1\n", now).expect("good rules");
    live.read_from(&file);
    let offer = || live.offer(signed(folder.path(), "a").as_bytes(), now);
    assert!(matches!(offer(), Offer::Refused { .. }));
    assert_eq!((offer(), live.lacks_secrets(), live.numbers().failures), (Offer::Unchanged, true, 1));
    assert!(matches!(live.reload(now), Ok(Offer::Refused { .. })));
    std::fs::write(&secret, "first").expect("written");
    assert_eq!((accepted(&offer()), live.lacks_secrets()), (Some(vec!["a"]), false));
    // the running text lacks it now: that is no difference of the file
    std::fs::remove_file(&secret).expect("it is there");
    assert!(matches!(offer(), Offer::Refused { .. }));
    assert!(matches!(live.reload(now), Ok(Offer::Refused { .. })));
    assert_eq!((offer(), live.numbers().file_differs, live.load().generation), (Offer::Unchanged, false, 2));
}

#[test]
fn secrets_are_refreshed_after_a_rollback_and_one_that_is_refused_changes_nothing() {
    let now = SystemTime::UNIX_EPOCH;
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, secret: &str| std::fs::write(folder.path().join(name), secret).expect("written");
    let (a, b) = (signed(folder.path(), "a"), signed(folder.path(), "b"));
    write("a", "first");
    write("b", "first");
    let live = Live::start("rules.yaml", a.as_bytes(), now).expect("good rules");
    live.offer(b.as_bytes(), now);
    live.offer(GOOD.as_bytes(), now);
    assert!(matches!(live.rollback(now), Ok(Offer::Accepted { generation: 4, .. })));
    assert_eq!((live.offer(GOOD.as_bytes(), now), live.refresh(now)), (Offer::Held, Offer::Unchanged));
    write("b", "second");
    assert_eq!(accepted(&live.refresh(now)), Some(vec!["b"]));
    std::fs::remove_file(folder.path().join("a")).expect("it is there");
    assert!(matches!(live.rollback(now), Ok(Offer::Refused { .. })));
    assert_eq!((live.offer(GOOD.as_bytes(), now), &*live.load().text), (Offer::Held, &*b));
    write("a", "third");
    assert!(matches!(live.rollback(now), Ok(Offer::Accepted { generation: 6, .. })));
    assert_eq!(&*live.load().text, a);
}
