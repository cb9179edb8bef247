//! Text of any kind: no panic, and nothing half accepted.

use std::time::Duration;

use proptest::prelude::*;

use super::super::settle::{Placed, QUIET, Read, Settle, Step};
use super::super::{Live, Offer, Overrides, judge_rules, judge_sidecar};
use super::host;
use crate::clock::Clock;

const RULES: &str = include_str!("../../../config/rules.yaml");
const SIDECAR: &str = include_str!("../../../config/sidecar.yaml");

#[test]
fn shipped_files_are_clean() {
    let rules = judge_rules(RULES.as_bytes());
    assert_eq!(rules.render("rules.yaml", false), "");
    let rules = rules.value.expect("clean");
    let names: Vec<&str> = rules.cache.include.iter().map(|r| &*r.name).chain(rules.dedup.include.iter().map(|r| &*r.name)).collect();
    assert_eq!(names, ["health", "profile", "state", "config", "whatsapp"]);
    let sidecar = judge_sidecar(SIDECAR.as_bytes(), &Overrides::default(), &host());
    assert_eq!(sidecar.render("sidecar.yaml", false), "");
    assert_eq!(sidecar.value.expect("clean"), super::super::sidecar_file::defaults(&host()), "the file shows the defaults");
}

#[test]
fn byte_order_mark_and_line_ends_change_nothing() {
    let plain = judge_rules(RULES.as_bytes()).value.expect("clean");
    for text in [format!("\u{FEFF}{RULES}"), RULES.replace('\n', "\r\n"), format!("\u{FEFF}{}", RULES.replace('\n', "\r\n"))] {
        let same = judge_rules(text.as_bytes()).value.expect("clean");
        assert_eq!(format!("{plain:?}"), format!("{same:?}"));
    }
    let sidecar = judge_sidecar(SIDECAR.replace('\n', "\r\n").as_bytes(), &Overrides::default(), &host());
    assert_eq!(sidecar.value, Some(super::super::sidecar_file::defaults(&host())));
}

#[test]
fn no_beginning_of_a_file_panics_or_is_taken_for_the_whole() {
    let clock = Clock::manual();
    for end in 0..RULES.len() {
        let cut = &RULES.as_bytes()[..end];
        let _ = judge_rules(cut).render("rules.yaml", end % 2 == 0);
        let mut settle = Settle::default();
        for _ in 0..4 {
            let step = settle.look(Read::Text { bytes: cut, placed: Placed::Closed }, RULES.as_bytes(), clock.now());
            assert_ne!(step, Step::Offer, "{end}");
            clock.advance(QUIET + Duration::from_millis(1));
        }
    }
    for end in 0..SIDECAR.len() {
        let _ = judge_sidecar(&SIDECAR.as_bytes()[..end], &Overrides::default(), &host()).render("sidecar.yaml", false);
    }
}

fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("version: 1\n".to_owned()),
        Just("cache:\n".to_owned()),
        Just("  include:\n".to_owned()),
        Just("dedup: {".to_owned()),
        Just("    - { name: a, match: ".to_owned()),
        "[ \\-]{0,6}(name|match|ttl|scope|id|window|<<|&a|\\*a|\\?|!t): ?",
        "[\\[\\]{}:,#&*!|>'\"%@`\u{A0}\u{201C}\\r\\n -]{1,6}",
        "\\PC{0,8}",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = judge_rules(&bytes).render("f", true);
        let _ = judge_sidecar(&bytes, &Overrides::default(), &host()).render("f", false);
    }

    #[test]
    fn any_yaml_like_text_is_judged_and_all_or_nothing(text in yaml_like()) {
        let judgement = judge_rules(text.as_bytes());
        let _ = judgement.render("f", false);
        for problem in &judgement.problems {
            prop_assert!(problem.span.start <= problem.span.end && problem.span.end <= judgement.source.len());
        }
        let live = Live::start("f", b"version: 1\n", std::time::SystemTime::UNIX_EPOCH).expect("good rules");
        let offer = live.offer(text.as_bytes(), std::time::SystemTime::UNIX_EPOCH);
        match offer {
            Offer::Unchanged | Offer::Held => prop_assert_eq!(text.as_str(), "version: 1\n"),
            Offer::Accepted { .. } => prop_assert_eq!(&*live.load().text, text.as_str()),
            Offer::Refused { problems, .. } => {
                prop_assert!(problems.iter().any(super::super::Problem::is_error));
                prop_assert_eq!(&*live.load().text, "version: 1\n");
            }
        }
    }

    #[test]
    fn a_shipped_file_with_one_byte_changed_is_judged(at in 0..RULES.len(), byte: u8) {
        let mut bytes = RULES.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = judge_rules(&bytes).render("f", false);
    }
}
