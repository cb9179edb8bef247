//! `docs/metrics.md`, written from what is exported: names, types, labels and HELP of the text, the closed words, the keys of the JSON.

use std::fmt::Write as _;

use super::*;

/// Headings, and how the names below them begin.
const PARTS: [(&str, &[&str]); 7] = [
    ("Requests", &["request", "response", "proxy"]),
    ("Functions and the way to them", &["function", "upstream", "cold", "warm"]),
    ("Cache", &["cache"]),
    ("Deduplication", &["dedup"]),
    ("Rules, reloads, health", &["rule", "config", "health"]),
    ("The sidecar itself", &["admin", "log", "memory", "build"]),
    ("The process", &["process"]),
];

struct Metric<'a> {
    name: &'a str,
    kind: &'a str,
    help: &'a str,
    labels: Vec<&'a str>,
}

/// The metrics of a text, in its order.
fn metrics_of(text: &str) -> Vec<Metric<'_>> {
    let mut all: Vec<Metric<'_>> = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            all.push(Metric { name, kind: "", help, labels: Vec::new() });
        } else if let (Some(last), Some(kind)) = (all.last_mut(), line.strip_prefix("# TYPE ").and_then(|l| l.rsplit(' ').next())) {
            last.kind = kind;
        } else if let (Some(last), Some((_, labels))) = (all.last_mut(), line.split_once('{')) {
            let names = labels.split('"').step_by(2).map(|part| part.trim_matches([',', '=', '}', ' ']));
            last.labels = names.filter(|name| !name.is_empty() && name.parse::<f64>().is_err() && *name != "le").collect();
        }
    }
    all
}

fn table_of_metrics(text: &str) -> String {
    let all = metrics_of(text);
    let mut out = String::new();
    let mut told = 0;
    for (heading, starts) in PARTS {
        write!(out, "### {heading}\n| metric | type | labels | what |\n|---|---|---|---|\n").expect("a string takes all");
        for m in &all {
            let short = m.name.strip_prefix("edge_sidecar_").unwrap_or(m.name);
            if starts.iter().any(|start| short.starts_with(start)) {
                told += 1;
                writeln!(out, "| `{}` | {} | {} | {} |", m.name, m.kind, m.labels.join(", "), m.help).expect("a string takes all");
            }
        }
        out.push('\n');
    }
    assert_eq!(told, all.len(), "each metric belongs under one heading of PARTS");
    out
}

fn table_of_words() -> String {
    let mut out = "| label | word | what |\n|---|---|---|\n".to_owned();
    let mut add = |label: &str, words: Vec<(&str, String)>| {
        for (word, what) in words {
            writeln!(out, "| {label} | `{word}` | {what} |").expect("a string takes all");
        }
    };
    macro_rules! explained {
        ($label:literal, $words:ty) => {
            add($label, <$words>::ALL.iter().map(|w| (w.as_str(), w.about())).collect())
        };
    }
    explained!("`outcome`", Outcome);
    explained!("`source`", Source);
    explained!("`result` of look-ups", LookupResult);
    explained!("`result` of refreshes", RefreshResult);
    explained!("`result` of deduplication", DedupResult);
    explained!("`reason` of `requests_shed_total`", ShedReason);
    explained!("`reason` of `requests_refused_total`", RefusedReason);
    explained!("`reason` of `admin_refused_total`", DoorRefusal);
    // `edge-sidecar explain` says of a request why
    let lists: [(&str, Vec<&str>); 4] = [
        ("`reason` of `cache_bypass_total`", cache::Bypass::ALL.iter().map(|w| w.as_str()).collect()),
        ("`reason` of `cache_not_stored_total`", cache::NotStored::ALL.iter().map(|w| w.as_str()).collect()),
        ("`reason` of `dedup_skipped_total`", dedup::SkipReason::ALL.iter().map(|w| w.as_str()).collect()),
        ("`cause` of `dedup_repeats_total`", dedup::Cause::ALL.iter().map(|w| w.as_str()).collect()),
    ];
    for (label, words) in lists {
        writeln!(out, "| {label} | `{}` | |", words.join("` `")).expect("a string takes all");
    }
    out
}

fn list_of_keys(json: &Value) -> String {
    let mut keys = BTreeSet::new();
    paths(json, "", &mut keys);
    let names =
        [(".cache.", "RULE"), (".deduplication.", "RULE"), (".clientPool.", "UPSTREAM"), (".handlers.", "FUNCTION"), (".phases.", "PHASE")];
    let general = |key: &String| {
        names.iter().fold(key.clone(), |key, (before, name)| match key.split_once(before) {
            Some((start, rest)) if start.is_empty() || *before == ".phases." => {
                format!("{start}{before}{name}.{}", rest.split_once('.').map_or("", |(_, rest)| rest))
            }
            _ => key,
        })
    };
    let keys: BTreeSet<_> = keys.iter().map(general).collect();
    // an object a line, its keys behind it
    let mut objects: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for key in &keys {
        let (object, key) = key.split(' ').next().and_then(|key| key.rsplit_once('.')).expect("keys begin with a dot");
        objects.entry(object).or_default().push(key);
    }
    let line = |(object, keys): (&&str, &Vec<&str>)| {
        format!("| `{object}.` | {} |\n", keys.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(" "))
    };
    format!("| below | keys |\n|---|---|\n{}", objects.iter().map(line).collect::<String>())
}

#[test]
fn metrics_document_is_current() {
    let metrics = metrics();
    metrics.record(&Finished { upstream: Some(&super::phases::said("db;dur=5")), ..finished() });
    let json = serde_json::to_value(metrics.json()).expect("plain values");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let mut document = std::fs::read_to_string(&path).expect("docs/metrics.md");
    for (name, text) in [("metrics", table_of_metrics(&metrics.prometheus())), ("words", table_of_words()), ("json", list_of_keys(&json))] {
        let begin = format!("<!-- generated: {name} -->\n");
        let from = document.find(&begin).unwrap_or_else(|| unreachable!("docs/metrics.md has no {begin}")) + begin.len();
        let to = from + document[from..].find("<!-- end -->").expect("an end behind it");
        document.replace_range(from..to, &text);
    }
    golden("../../docs/metrics.md", &document);
}

#[test]
fn the_expressions_of_the_document_are_promql() {
    let document = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).expect("docs/metrics.md");
    let table = document.split("| question |").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a table of questions");
    let expressions = table.lines().skip(2).filter_map(|row| row.split('`').nth(1));
    let rules = expressions.enumerate().map(|(n, e)| format!("- {{ record: \"r:{n}\", expr: '{}' }}\n", e.replace("\\|", "|")));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("groups:\n- name: document\n  rules:\n{}", rules.collect::<String>().replace("- {", "  - {")))
        .expect("writable");
    let output = Command::new("promtool").args(["check", "rules"]).arg(file.path()).output().expect("promtool: apt-get install prometheus");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("8 rules found"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
