//! `check`: judges files as start and reload would, and prints what it found.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config::diagnostics::{Code, Problem, Span, render};
use crate::config::{FileKind, Host, Overrides, Sidecar, budget, judge_rules_at, judge_sidecar};
use crate::engine::{RuleSet, Site};

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    Human,
    /// One JSON array, an object a file.
    Json,
}

/// What was found in one file.
struct Report {
    kind: FileKind,
    problems: Vec<Problem>,
    rendered: String,
    /// One line for a person, and the lines of a table.
    summary: Vec<String>,
    /// The same for a program.
    details: Value,
}

/// Checks each file; true if none has an error.
///
/// # Errors
/// The output cannot be written.
pub fn check(files: &[PathBuf], format: Format, out: &mut impl Write, colour: bool) -> io::Result<bool> {
    let host = Host::detect();
    let reports: Vec<(&PathBuf, Report)> = files.iter().map(|file| (file, examine(file, &host, colour))).collect();
    match format {
        Format::Human => {
            for (file, report) in &reports {
                human(file, report, out)?;
            }
        }
        Format::Json => {
            let all: Vec<Value> = reports.iter().map(|(file, report)| json_of(file, report)).collect();
            serde_json::to_writer_pretty(&mut *out, &all)?;
            writeln!(out)?;
        }
    }
    Ok(reports.iter().all(|(_, report)| report.is_good()))
}

impl Report {
    fn is_good(&self) -> bool {
        !self.problems.iter().any(Problem::is_error)
    }
}

fn examine(file: &Path, host: &Host, colour: bool) -> Report {
    let name = file.display().to_string();
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            let problem = Problem::error(Code::Unreadable, Span::NOWHERE, format!("the file cannot be read: {error}"));
            let rendered = render(std::slice::from_ref(&problem), &name, "", colour);
            let kind = FileKind::of(b"", file);
            return Report { kind, problems: vec![problem], rendered, summary: Vec::new(), details: Value::Null };
        }
    };
    match FileKind::of(&bytes, file) {
        FileKind::Rules => {
            let judgement = judge_rules_at(&bytes, &sites_beside(file, host));
            let rendered = judgement.render(&name, colour);
            let (summary, details) = judgement.value.as_ref().map(about_rules).unwrap_or_default();
            Report { kind: FileKind::Rules, problems: judgement.problems, rendered, summary, details }
        }
        FileKind::Sidecar => {
            let judgement = judge_sidecar(&bytes, &Overrides::default(), host);
            let rendered = judgement.render(&name, colour);
            let (summary, details) = judgement.value.as_ref().map(about_sidecar).unwrap_or_default();
            Report { kind: FileKind::Sidecar, problems: judgement.problems, rendered, summary, details }
        }
    }
}

/// Where requests come in, by the `sidecar.yaml` beside a rules file; without a good one, as without any.
pub(super) fn sites_beside(rules: &Path, host: &Host) -> Vec<Site> {
    let sidecar = fs::read(rules.with_file_name("sidecar.yaml")).ok();
    let sidecar = sidecar.and_then(|bytes| judge_sidecar(&bytes, &Overrides::default(), host).value);
    sidecar.map_or_else(|| vec![Site::default()], |sidecar| sidecar.sites())
}

fn about_rules(rules: &RuleSet) -> (Vec<String>, Value) {
    let (cache, dedup) = (rules.cache.include.len(), rules.dedup.include.len());
    let (exclusions, slow) = (rules.cache.exclude.len() + rules.dedup.exclude.len(), rules.slow.len());
    let line = format!("rules: {cache} cache, {dedup} dedup, {slow} slow, {exclusions} exclusions");
    (vec![line], json!({ "cache": cache, "dedup": dedup, "slow": slow, "exclusions": exclusions }))
}

fn about_sidecar(sidecar: &Sidecar) -> (Vec<String>, Value) {
    let mut lines = vec![format!("listeners: {}, upstreams: {}", sidecar.listeners.len(), sidecar.upstreams.len())];
    lines.extend(budget::table(sidecar));
    let memory = json!({ "parts": budget::parts(sidecar), "sum": budget::sum(sidecar), "budget": sidecar.memory.budget });
    (lines, json!({ "listeners": sidecar.listeners.len(), "upstreams": sidecar.upstreams.len(), "memory": memory }))
}

fn human(file: &Path, report: &Report, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{}", report.rendered)?;
    let errors = report.problems.iter().filter(|p| p.is_error()).count();
    match errors {
        0 => write!(out, "{}: ok", file.display())?,
        1 => write!(out, "{}: 1 error", file.display())?,
        n => write!(out, "{}: {n} errors", file.display())?,
    }
    match report.summary.split_first() {
        Some((first, rest)) => {
            writeln!(out, " ({first})")?;
            rest.iter().try_for_each(|line| writeln!(out, "  {line}"))
        }
        None => writeln!(out),
    }
}

fn json_of(file: &Path, report: &Report) -> Value {
    json!({
        "file": file.display().to_string(),
        "kind": report.kind.as_str(),
        "valid": report.is_good(),
        "diagnostics": report.problems,
        "details": report.details,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(files: &[(&str, &str)], format: Format) -> (bool, String) {
        let dir = tempfile::tempdir().expect("a folder");
        let paths: Vec<PathBuf> = files.iter().map(|(name, _)| dir.path().join(name)).collect();
        for (path, (_, text)) in paths.iter().zip(files) {
            fs::write(path, text).expect("written");
        }
        let mut out = Vec::new();
        let good = check(&paths, format, &mut out, false).expect("a vector takes all");
        (good, String::from_utf8(out).expect("text").replace(&format!("{}/", dir.path().display()), ""))
    }

    #[test]
    fn good_files_are_summed_up() {
        let sidecar = "version: 1\nupstreams: [{ name: functions, servers: [\"http://127.0.0.1:9000\"] }]\n";
        let (good, out) = run(&[("a.yaml", "version: 1\nslow: [{ match: \"**\", after: 1s }]\n"), ("b.yaml", sidecar)], Format::Human);
        assert!(good, "{out}");
        assert!(
            out.starts_with("a.yaml: ok (rules: 0 cache, 0 dedup, 1 slow, 0 exclusions)\nb.yaml: ok (listeners: 1, upstreams: 1)\n"),
            "{out}"
        );
        assert!(out.contains("budget                112.0 MiB"), "{out}");
    }

    #[test]
    fn bad_files_are_explained_and_the_rest_checked() {
        let (good, out) = run(&[("a.yaml", "version: 1\nslo: []\n"), ("b.yaml", "version: 1\n")], Format::Human);
        assert!(!good);
        assert!(out.contains("a.yaml:2:1") && out.contains("a.yaml: 1 error\n") && out.contains("b.yaml: ok"), "{out}");
    }

    #[test]
    fn json_has_one_object_a_file() {
        let (good, out) = run(&[("sidecar.yaml", "version: 1\nslo: []\n"), ("b.yaml", "version: 1\n")], Format::Json);
        let json: Value = serde_json::from_str(&out).expect("JSON");
        assert!(!good);
        assert_eq!((&json[0]["kind"], &json[0]["valid"], &json[1]["valid"]), (&"sidecar".into(), &false.into(), &true.into()));
        assert_eq!(json[0]["diagnostics"][0]["line"], 2);
    }

    #[test]
    fn a_file_that_is_not_there_is_a_problem() {
        let mut out = Vec::new();
        assert!(!check(&["/nowhere/rules.yaml".into()], Format::Human, &mut out, false).expect("written"));
        assert!(String::from_utf8_lossy(&out).contains("cannot be read"));
    }
}
