//! What the documents tell people to write is tried here.

use std::path::Path;

use edge_sidecar::clock::Clock;
use edge_sidecar::config::Live;

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The fenced blocks of a language that hold a whole file.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).filter(|block| block.starts_with("version:")).collect()
}

#[test]
fn rules_in_the_documents_are_good_and_their_tests_pass() {
    for (file, least) in [("docs/migration.md", 2), ("README.md", 1)] {
        let text = read(file);
        let blocks = blocks(&text, "yaml");
        assert!(blocks.len() >= least, "{file} has {} rules files", blocks.len());
        for block in blocks {
            let live = Live::start("rules.yaml", block.as_bytes(), Clock::system().wall());
            assert!(live.is_ok(), "{file}: {}", live.err().map_or_else(String::new, |j| j.render("rules.yaml", false)));
        }
    }
}

#[test]
fn metrics_that_the_documents_name_exist() {
    let known = read("tests/golden/metrics.txt");
    let names: Vec<&str> = known.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let prefix = "edge_sidecar_";
    for file in ["docs/metrics.md", "docs/migration.md", "docs/kubernetes.md", "README.md"] {
        let text = read(file);
        for (at, _) in text.match_indices(prefix) {
            let name: &str = text[at..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
            assert!(name == prefix || names.contains(&family) || names.contains(&name), "{file} names {name}, which is not exported");
        }
    }
}
