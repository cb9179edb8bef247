//! The words said about broken files: `tests/golden/diagnostics/NAME.yaml` and what is printed, `NAME.txt`.
//! `UPDATE_GOLDEN=1` writes the texts anew; read the difference before it is committed.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{FileKind, Overrides, judge_rules, judge_sidecar};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/diagnostics")
}

#[test]
fn every_broken_file_is_explained_in_the_expected_words() {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder()).expect("the folder is part of the project").map(|e| e.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    assert!(files.len() >= 62, "only {} files", files.len());
    let found: Vec<(Option<String>, usize)> = files.iter().map(|path| compare(path)).collect();
    let wrong: Vec<&str> = found.iter().filter_map(|(wrong, _)| wrong.as_deref()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let several = found.iter().filter(|(_, faults)| *faults >= 3).count();
    assert!(several >= 20, "only {several} files have three faults or more, all of them reported");
}

/// What is said otherwise than expected, and how many problems there are.
fn compare(path: &Path) -> (Option<String>, usize) {
    let bytes = fs::read(path).expect("readable");
    let name = path.file_name().expect("a file").to_string_lossy();
    let (valid, said, problems) = match FileKind::of(&bytes, path) {
        FileKind::Rules => {
            let judgement = judge_rules(&bytes);
            (judgement.value.is_some(), judgement.render(&name, false), judgement.problems)
        }
        FileKind::Sidecar => {
            let judgement = judge_sidecar(&bytes, &Overrides::default(), &super::host());
            (judgement.value.is_some(), judgement.render(&name, false), judgement.problems)
        }
    };
    for problem in &problems {
        let silent = problem.message.is_empty() || problem.help.as_ref().is_none_or(String::is_empty);
        assert!(!silent, "{name}: it is not said what to do about {problem:?}");
        assert!(!problem.message.ends_with('.') && !problem.message.contains('\n'), "{name}: one sentence, {}", problem.message);
    }
    assert_eq!(valid, name.starts_with("warn-"), "{name}");
    let expected_path = path.with_extension("txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&expected_path, &said).expect("writable");
    }
    let expected = fs::read_to_string(&expected_path).unwrap_or_default();
    let wrong = (expected != said).then(|| format!("== {name}\n{}", difference(&expected, &said)));
    (wrong, problems.len())
}

/// Both texts line by line, `-` expected, `+` said.
fn difference(expected: &str, said: &str) -> String {
    let (left, right): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), said.lines().collect());
    let mut out = String::new();
    for at in 0..left.len().max(right.len()) {
        match (left.get(at), right.get(at)) {
            (a, b) if a == b => out.extend(["  ", a.unwrap_or(&""), "\n"]),
            (a, b) => {
                out.extend(a.iter().flat_map(|line| ["- ", line, "\n"]));
                out.extend(b.iter().flat_map(|line| ["+ ", line, "\n"]));
            }
        }
    }
    out
}
