//! The grammar, the decoder and the schema know the same keys, words and defaults; a validator for JSON Schema, which knows nothing of the
//! decoder, judges by the schema.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use super::super::diagnostics::Code;
use super::super::grammar::{Default, Map, Value};
use super::super::schema::{json as as_json, schema_text};
use super::super::{FileKind, builtin, presets, spanned};
use super::samples::{flow, judged, keys, places, sample, with, with_key, without};
use super::{ASKED, host};

const KINDS: [FileKind; 2] = [FileKind::Rules, FileKind::Sidecar];

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Where the schema of a kind is kept.
fn kept(kind: FileKind) -> PathBuf {
    project("config").join(kind.schema_file())
}

/// What a validator says of documents by the schema that is kept: whether each is valid, and the keys that are unknown in it.
fn validate(kind: FileKind, documents: &[Json]) -> Vec<(bool, Vec<String>)> {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", project(".tools/kubernetes")).arg("-B").arg(project("tests/schema.py")).arg(kept(kind));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3: scripts/setup.sh test");
    let mut input = child.stdin.take().expect("piped");
    let lines = documents.iter().fold(String::new(), |lines, document| lines + &document.to_string() + "\n");
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads all");
    let text = String::from_utf8(output.stdout).expect("text");
    let verdict = |line: &str| {
        let found: Json = serde_json::from_str(line).expect("JSON");
        let unknown = found["unknown"].as_array().expect("a list").iter().map(|key| key.as_str().expect("text").to_owned());
        (found["valid"] == true, unknown.collect())
    };
    let verdicts: Vec<_> = text.lines().map(verdict).collect();
    assert_eq!(verdicts.len(), documents.len(), "the validator (jsonschema for Python) comes with scripts/setup.sh test");
    verdicts
}

fn document(bytes: &[u8]) -> Option<Json> {
    let (text, _) = spanned::text(bytes);
    spanned::parse(&text).0.map(|root| as_json(&root))
}

/// Every mapping of a grammar.
pub fn maps(map: &'static Map) -> Vec<&'static Map> {
    fn of(value: &'static Value, found: &mut Vec<&'static Map>) {
        match value {
            Value::Map(map) if found.iter().all(|other| other.name != map.name) => {
                found.push(map);
                map.keys.iter().for_each(|key| of(&key.value, found));
            }
            Value::List(item)
            | Value::Filled(item)
            | Value::Entries(_, item)
            | Value::FilledEntries(_, item)
            | Value::EntriesOf(_, item) => of(item, found),
            Value::Any(values) => values.iter().for_each(|value| of(value, found)),
            _ => {}
        }
    }
    let mut found = vec![map];
    map.keys.iter().for_each(|key| of(&key.value, &mut found));
    found
}

#[test]
fn the_schemas_that_are_kept_are_current() {
    for kind in KINDS {
        let text = schema_text(kind);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(kept(kind), &text).expect("writable");
        }
        let found = fs::read_to_string(kept(kind)).unwrap_or_default();
        assert!(found == text, "{} is not current: UPDATE_GOLDEN=1 cargo test --lib", kept(kind).display());
    }
}

#[test]
fn the_decoder_looks_for_every_key_of_the_grammar() {
    for kind in KINDS {
        let document = sample(kind);
        assert_eq!(super::list(&judged(kind, &document).1), Vec::<String>::new(), "{document:#}");
        let keys: BTreeSet<(&str, String)> =
            maps(kind.grammar()).iter().flat_map(|map| map.keys.iter().map(|key| (map.name, key.name.to_owned()))).collect();
        let asked = ASKED.with_borrow(Clone::clone);
        assert_eq!(keys.difference(&asked).collect::<Vec<_>>(), Vec::<&(&str, String)>::new(), "in the grammar, but never looked for");
    }
}

#[test]
fn defaults_are_as_written() {
    for kind in KINDS {
        let (document, mut seen) = (sample(kind), 0);
        for (place, key) in keys(kind) {
            let Default::Is(text) = key.default else { continue };
            let absent = judged(kind, &without(&document, &place)).0.unwrap_or_else(|| panic!("{place} cannot be left out"));
            let (given, problems) = judged(kind, &with(&document, &place, &flow(text)));
            assert_eq!(given, Some(absent), "{place}: {text} {problems:?}");
            seen += 1;
        }
        assert!(seen >= 10, "{seen}");
    }
}

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

/// What cannot be told by form; of a glob, that its brackets are closed.
const MEANING: [Code; 8] =
    [Code::BadGlob, Code::OutOfRange, Code::Unreachable, Code::Duplicate, Code::UnknownName, Code::Budget, Code::TestFailed, Code::Secret];

/// Values to put anywhere.
fn pool() -> Vec<Json> {
    // a number in quotes is one for the decoder alone
    let texts = "x 5s 1.5h 5x -1s 0s 64MiB 64M .5KiB 5% 101% yes GET get /a/* a/b [ ** 127.0.0.1:80 host:80 10.0.0.0/8 http://a https://a/b \
                 ftp://a ./s NAME a[].b \u{e9}";
    let mut pool: Vec<Json> = texts.split(' ').chain(["", "a b"]).map(|text| json!(text)).collect();
    pool.extend([json!(0), json!(1), json!(5), json!(250), json!(2_000_000), json!(-1), json!(1.5), json!(true), Json::Null]);
    pool.extend([json!([]), json!({}), json!(["x"]), json!(["GET"]), json!([5]), json!({ "x": "y" })]);
    pool.extend([json!({ "200": "5s" }), json!({ "header": "x" })]);
    pool
}

#[test]
fn schema_and_decoder_agree_on_every_change_of_a_file() {
    for kind in KINDS {
        let document = sample(kind);
        let (mut said, mut changed) = (vec![String::new()], vec![document.clone()]);
        let mut change = |what: String, document: Json| {
            said.push(what);
            changed.push(document);
        };
        for section in document.as_object().expect("a mapping").keys() {
            // the other sections, and what is the same in all of them, are left out: they only take time
            let of_section = |place: &str| place.split('/').nth(1) == Some(section) && (section == "cache" || !place.contains("/match/"));
            let document = json!({ "version": 1, section: document[section] });
            for place in places(&document).iter().filter(|place| of_section(place)) {
                change(format!("without {place}"), without(&document, place));
                for value in pool() {
                    change(format!("{place} = {value}"), with(&document, place, &value));
                }
                if let Some(document) = with_key(&document, place, "zz") {
                    change(format!("zz in {place}"), document);
                }
            }
            change(format!("zz beside {section}"), with_key(&document, "", "zz").expect("a mapping"));
        }
        let verdicts = validate(kind, &changed);
        assert!(changed.len() > 1_000, "{}", changed.len());
        let (mut accepted, mut wrong) = (0, BTreeSet::new());
        for ((document, (valid, _)), change) in changed.iter().zip(verdicts).zip(said) {
            let (value, problems) = judged(kind, document);
            accepted += usize::from(value.is_some());
            if value.is_some() && !valid {
                wrong.insert(format!("refused by the schema alone: {change}"));
            } else if valid {
                let by_form = problems.iter().filter(|p| p.is_error() && !MEANING.contains(&p.code));
                wrong.extend(by_form.map(|p| format!("refused by the decoder alone: {} {}: {change}", p.code.as_str(), p.message)));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(accepted > 100 && accepted < changed.len() - 500, "{accepted} of {}", changed.len());
    }
}

/// Shipped files.
const RULES: [&str; 2] = ["config/rules.yaml", "deploy/kubernetes/base/rules.yaml"];
const SIDECARS: [&str; 4] = [
    "config/sidecar.yaml",
    "deploy/kubernetes/base/sidecar.yaml",
    "deploy/kubernetes/overlays/hosted/sidecar.yaml",
    "deploy/kubernetes/overlays/job/sidecar.yaml",
];

#[test]
fn shipped_files_name_their_schema_for_editors() {
    for (kind, files) in [(FileKind::Rules, &RULES[..]), (FileKind::Sidecar, &SIDECARS)] {
        for file in files {
            let text = fs::read_to_string(project(file)).expect("shipped");
            let named = text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
            let named = project(file).with_file_name(named.unwrap_or_else(|| panic!("{file} names no schema in its first line")));
            assert_eq!(fs::canonicalize(&named).ok(), fs::canonicalize(kept(kind)).ok(), "{file} names {}", named.display());
        }
    }
}

#[test]
fn shipped_files_and_examples_are_valid() {
    let read = |path: &str| document(&fs::read(project(path)).expect("shipped")).expect("YAML");
    let mut rules = RULES.map(read).to_vec();
    rules.extend([None, Some(presets::Preset::WhatsApp)].map(|preset| document(builtin(preset).as_bytes()).expect("YAML")));
    let sidecars = SIDECARS.map(read).to_vec();
    for (kind, documents) in [(FileKind::Rules, rules), (FileKind::Sidecar, sidecars)] {
        for (document, (valid, _)) in documents.iter().zip(validate(kind, &documents)) {
            assert!(valid, "{document:#}");
        }
        let full = sample(kind);
        for (place, key) in keys(kind) {
            let one = with(&full, &place, &flow(key.example));
            let problems = judged(kind, &one).1;
            assert!(problems.iter().all(|p| !p.is_error() || MEANING.contains(&p.code)), "the example of {place}: {problems:?}");
        }
    }
}

#[test]
fn unknown_keys_of_broken_files_are_unknown_to_the_schema() {
    let mut seen = 0;
    for entry in fs::read_dir(project("tests/golden/diagnostics")).expect("part of the project") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        let bytes = fs::read(&path).expect("readable");
        let Some(document) = document(&bytes) else { continue };
        let kind = FileKind::of(&bytes, &path);
        let problems = match kind {
            FileKind::Rules => super::judge_rules(&bytes).problems,
            FileKind::Sidecar => super::judge_sidecar(&bytes, &super::Overrides::default(), &host()).problems,
        };
        let text = spanned::text(&bytes).0;
        let unknown: Vec<String> = problems
            .iter()
            .filter(|p| p.code == Code::UnknownKey)
            .map(|p| text[p.span.start..p.span.end].trim_matches(['"', '\'']).to_owned())
            .collect();
        if unknown.is_empty() {
            continue;
        }
        let (valid, found) = validate(kind, &[document]).remove(0);
        for key in unknown {
            assert!(!valid && found.contains(&key), "{}: {key} is not in {found:?}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen}");
}
