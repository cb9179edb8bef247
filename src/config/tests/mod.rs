//! Tests of the whole room: shipped files, broken files with what is said about them, arbitrary text, a watched file.

mod decoding;
mod golden;
mod manual;
mod prefixes;
mod recent;
mod restart;
mod robust;
mod samples;
mod schema;
mod secrecy;
mod sidecars;
mod structure;
mod values;
mod watching;

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::grammar::Map;
use super::*;
use crate::engine::RuleSet;

/// The rules of a text without problems, not even warnings.
fn good(text: &str) -> RuleSet {
    let judgement = judge_rules(text.as_bytes());
    assert_eq!(judgement.render("rules.yaml", false), "", "{text}");
    judgement.value.expect("no problem")
}

/// `code line:column` of each problem of a rules text.
fn problems(text: impl AsRef<[u8]>) -> Vec<String> {
    list(&judge_rules(text.as_ref()).problems)
}

fn list(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|p| format!("{} {}:{}", p.code.as_str(), p.line, p.column)).collect()
}

/// A machine without limits.
fn host() -> Host {
    Host { root: true, temp_dir: "/tmp".into(), ..Host::default() }
}

thread_local! {
    static ASKED: RefCell<BTreeSet<(&'static str, String)>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes that the decoder looked for a key.
pub fn asked(map: &Map, key: &str) {
    ASKED.with_borrow_mut(|asked| asked.insert((map.name, key.to_owned())));
}
