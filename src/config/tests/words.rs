//! Words of the grammar are those of the decoder, and those that other programs read as booleans are none of them.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::grammar::Value;
use super::super::{FileKind, Overrides, Problem, judge_rules, judge_sidecar};
use super::host;
use super::samples::{judged, keys, sample, with};
use super::schema::{KINDS, MEANING};

#[test]
fn words_are_those_of_the_decoder() {
    let mut seen = 0;
    for kind in KINDS {
        let document = sample(kind);
        for (place, key) in keys(kind) {
            let Some(words) = words(&key.value) else { continue };
            for word in &words {
                let problems = judged(kind, &with(&document, &place, &json!(word))).1;
                assert!(problems.iter().all(|p| !p.is_error() || MEANING.contains(&p.code)), "{place}: {word} {problems:?}");
            }
            let problems = judged(kind, &with(&document, &place, &json!("quaggazebra"))).1;
            let help = problems.iter().find_map(|p| p.help.as_ref()?.strip_prefix("one of: ").map(str::to_owned));
            let Some(help) = help else { continue };
            let offered: BTreeSet<&str> = help.split(", ").collect();
            assert_eq!(offered, words.iter().copied().collect(), "{place}");
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen}");
}

fn words(value: &Value) -> Option<Vec<&'static str>> {
    match value {
        Value::Word(words) => Some(words.to_vec()),
        Value::Any(values) => {
            let direct = values.iter().filter(|value| matches!(value, Value::Word(_))).filter_map(words);
            Some(direct.flatten().collect()).filter(|words: &Vec<_>| !words.is_empty())
        }
        _ => None,
    }
}

#[test]
fn words_that_others_read_as_booleans_are_refused_where_a_choice_is_wanted() {
    let mut seen = 0;
    for kind in KINDS {
        let document = sample(kind);
        for (place, key) in keys(kind) {
            let choice = matches!(key.value, Value::Word(_) | Value::Whole(..) | Value::Version | Value::Map(_) | Value::List(_));
            for word in ["yes", "no", "on", "off", "y", "N", "true", "false"].iter().filter(|_| choice) {
                let text = with(&document, &place, &json!("PLACE")).to_string().replace("\"PLACE\"", word);
                let problems = match kind {
                    FileKind::Rules => judge_rules(text.as_bytes()).problems,
                    FileKind::Sidecar => judge_sidecar(text.as_bytes(), &Overrides::default(), &host()).problems,
                };
                assert!(problems.iter().any(Problem::is_error), "{place}: {word}");
                seen += 1;
            }
        }
    }
    assert!(seen > 300, "{seen}");
}
