//! The corpora of the fuzz targets (`fuzz/corpus`), replayed without the fuzzer, and fixtures that are inputs of a target as they are.

#[path = "../../fuzz/invariants/mod.rs"]
mod invariants;

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use invariants::TARGETS;

/// Most files and bytes of all corpora: they are in every clone, and each test run reads them.
const MAX_FILES: usize = 200;
const MAX_BYTES: usize = 300_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).expect("a readable folder");
    entries.map(|entry| entry.expect("a readable entry").path()).filter(|path| path.is_file()).collect()
}

fn replay(target: &str, paths: &[PathBuf]) {
    let (_, check) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    for path in paths {
        let input = fs::read(path).expect("a readable file");
        assert!(catch_unwind(|| check(&input)).is_ok(), "{target}: the invariant above does not hold for {}", path.display());
    }
}

#[test]
fn every_invariant_holds_for_every_corpus() {
    for (target, _) in TARGETS {
        let inputs = files(&format!("fuzz/corpus/{target}"));
        assert!(inputs.len() >= 10, "the corpus of {target} is lost");
        replay(target, &inputs);
    }
}

#[test]
fn and_for_fixtures() {
    replay("events", &files("tests/fixtures/whatsapp"));
    replay("rules", &files("config"));
    replay("rules", &files("tests/golden/diagnostics"));
}

#[test]
fn corpora_are_small() {
    let inputs: Vec<PathBuf> = TARGETS.iter().flat_map(|(target, _)| files(&format!("fuzz/corpus/{target}"))).collect();
    let bytes: u64 = inputs.iter().map(|path| path.metadata().expect("a file").len()).sum();
    assert!(inputs.len() <= MAX_FILES && bytes <= MAX_BYTES as u64, "{} files, {bytes} bytes: scripts/fuzz.sh keep", inputs.len());
}

#[test]
fn every_target_is_one_the_fuzzer_runs() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("a manifest");
    for (target, _) in TARGETS {
        let main = fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{target}.rs"))).expect("a binary");
        assert!(main.contains(&format!("invariants::{target}::check(data)")), "{main}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
    }
    assert_eq!(files("fuzz/fuzz_targets").len(), TARGETS.len());
    assert_eq!(files("fuzz/dictionaries").len(), TARGETS.len());
}

/// Name and version of each package.
fn locked(file: &str) -> BTreeSet<(String, String)> {
    let text = fs::read_to_string(root().join(file)).expect("a lock file");
    let value = |line: Option<&str>| line.and_then(|line| line.split('"').nth(1)).unwrap_or_default().to_owned();
    text.split("[[package]]").skip(1).map(|package| (value(package.lines().nth(1)), value(package.lines().nth(2)))).collect()
}

#[test]
fn the_fuzzer_links_the_versions_that_the_project_links() {
    let own = ["arbitrary", "edge-sidecar-fuzz", "libfuzzer-sys"];
    let (project, fuzz) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"));
    let others: Vec<_> = fuzz.difference(&project).filter(|(name, _)| !own.contains(&name.as_str())).collect();
    assert!(fuzz.len() > 20, "{fuzz:?}");
    assert!(others.is_empty(), "{others:?}: cp Cargo.lock fuzz/ && cargo metadata --manifest-path fuzz/Cargo.toml >/dev/null");
}
