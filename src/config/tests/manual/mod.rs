//! `docs/rules.md`: written from the grammar and the codes, and true to both. `UPDATE_GOLDEN=1` writes it anew.

mod codes;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::super::diagnostics::Code;
use super::super::grammar::{Default, Key, Needs, Value};
use super::super::{FileKind, Overrides, Secrets, judge_rules_at, judge_sidecar};
use crate::engine::Site;
use codes::Example;

const INTRODUCTION: &str = "\
# Rules and settings
Every key of `rules.yaml` and `sidecar.yaml`, and every problem that `edge-sidecar check` can find in them. Written from the table of keys
that the program itself reads by: `UPDATE_GOLDEN=1 cargo test --lib`.

Durations carry a unit (`ms`, `s`, `m`, `h`, `d`), sizes too (`KiB`, `MiB`, `GiB`), shares a `%`. Globs go in quotes. Unknown keys, keys
given twice and values that make no sense are errors, all of them reported in one run; a file with an error changes nothing.

Contents: [rules.yaml](#rulesyaml) · [sidecar.yaml](#sidecaryaml) · [what is said about a file](#what-is-said-about-a-file)
";

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for kind in [FileKind::Rules, FileKind::Sidecar] {
        let all = super::schema::maps(kind.grammar());
        for (at, map) in all.iter().enumerate() {
            let _ = write!(page, "\n{} {}\n{}\n", if at == 0 { "##" } else { "###" }, map.name, map.about);
            let _ = match map.needs {
                Needs::None => Ok(()),
                Needs::Any(keys) if keys.len() == map.keys.len() => writeln!(page, "At least one key is needed."),
                Needs::Any(keys) => writeln!(page, "At least one of {} is needed.", quoted(keys)),
                Needs::One(keys) => writeln!(page, "Exactly one of {} is needed.", quoted(keys)),
            };
            map.keys.iter().for_each(|key| entry(&mut page, key));
        }
    }
    page.push_str("\n## What is said about a file\n");
    page.push_str("Each problem has a code, which stays the same; programs get it as `code`, with its `anchor` on this page.\n");
    for (code, about) in Code::ALL {
        section(&mut page, *code, about.trim());
    }
    page
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn entry(page: &mut String, key: &Key) {
    let without = match key.default {
        Default::Required => "required".to_owned(),
        Default::Is(text) => format!("default `{text}`"),
        Default::Words(text) => format!("without it: {text}"),
    };
    let _ = write!(page, "\n**`{}`** · {} · {without}  \n{}", key.name, kind(&key.value), key.about);
    if !key.trap.is_empty() {
        let _ = write!(page, "  \n*Trap:* {}", key.trap);
    }
    let _ = write!(page, "\n```yaml\n{}: {}\n```\n", key.name, key.example);
}

fn kind(value: &Value) -> String {
    match value {
        Value::Version => "`1`".to_owned(),
        Value::Null => "`null`".to_owned(),
        Value::Text(form) => form.name.to_owned(),
        Value::Word(words) if words.len() > 1 => format!("one of {}", quoted(words)),
        Value::Word(words) => quoted(words),
        Value::Whole(min, max) => format!("whole number from {min} to {max}"),
        Value::Map(map) => format!("[{}](#{})", map.name, anchor(map.name)),
        Value::List(item) => format!("list of {}", kind(item)),
        Value::Filled(item) => format!("list of {}, not empty", kind(item)),
        Value::Entries(form, item) | Value::FilledEntries(form, item) => format!("mapping of {} to {}", form.name, kind(item)),
        Value::EntriesOf(words, item) => format!("mapping of {} to {}", quoted(words), kind(item)),
        Value::Any(values) => values.iter().fold(String::new(), |said, value| match value {
            Value::List(item) | Value::Filled(item) if said == kind(item) => said + ", or a list of these",
            _ if said.is_empty() => kind(value),
            _ => format!("{said}, or {}", kind(value)),
        }),
    }
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).collect::<String>();
    kept.replace(' ', "-")
}

/// The section of a code: its example is judged here, and must have the problem.
fn section(page: &mut String, code: Code, about: &str) {
    let advice = codes::of(code);
    let _ = write!(page, "\n### {}\n{about} {}\n", code.as_str(), advice.what_to_do);
    let (shown, bytes, name) = match &advice.example {
        Example::Rules(text) => (*text, text.as_bytes(), "rules.yaml"),
        Example::Sidecar(text) => (*text, text.as_bytes(), "sidecar.yaml"),
        Example::Shown(shown, bytes) => (*shown, bytes.as_slice(), "rules.yaml"),
        Example::None => return,
    };
    let (said, problems) = if name == "rules.yaml" {
        let judgement = judge_rules_at(bytes, &[Site::default()], Secrets::Needed);
        (judgement.render(name, false), judgement.problems)
    } else {
        let judgement = judge_sidecar(bytes, &Overrides::default(), &super::host());
        (judgement.render(name, false), judgement.problems)
    };
    assert!(problems.iter().all(|p| p.code == code) && !problems.is_empty(), "the example of {}: {said}", code.as_str());
    let _ = write!(page, "```yaml\n{shown}```\n```text\n{}\n```\n", said.trim_end());
}

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md")
}

#[test]
fn the_page_is_current() {
    let text = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path(), &text).expect("writable");
    }
    let found = fs::read_to_string(path()).unwrap_or_default();
    assert!(found == text, "docs/rules.md is not current: UPDATE_GOLDEN=1 cargo test --lib");
}

#[test]
fn every_anchor_leads_to_one_heading_and_every_code_has_one() {
    let text = page();
    let mut headings = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        if let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) {
            let heading = anchor(heading.trim_start_matches('#').trim());
            assert!(headings.insert(heading.clone()), "two headings #{heading}");
        }
    }
    for link in text.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap_or_default()) {
        assert!(headings.contains(link), "#{link} leads nowhere");
    }
    for (code, _) in Code::ALL {
        let printed = code.anchor();
        let place = printed.strip_prefix("docs/rules.md#").expect("on this page");
        assert!(headings.contains(place), "{printed} leads nowhere");
        let json = serde_json::to_value(super::Problem::error(*code, super::super::diagnostics::Span::START, "x")).expect("plain data");
        assert_eq!((json["code"].as_str(), json["anchor"].as_str()), (Some(code.as_str()), Some(printed.as_str())));
    }
}

#[test]
fn links_of_other_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = page();
    for file in ["README.md", "SECURITY.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "docs/kubernetes.md"] {
        let other = fs::read_to_string(root.join(file)).expect("part of the project");
        for link in other.split("rules.md#").skip(1).map(|rest| rest.split([')', '`', ' ']).next().unwrap_or_default()) {
            let known = text.lines().any(|line| line.starts_with('#') && anchor(line.trim_start_matches('#').trim()) == link);
            assert!(known, "{file}: rules.md#{link} leads nowhere");
        }
    }
}
