//! `check`: judges files as start and reload would, and prints what it found.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::client::DoorArgs;
use super::rules;
use crate::config::diagnostics::{Code, Problem, Span, render};
use crate::config::{Difference, FileKind, Host, Overrides, Secrets, Sidecar, budget, judge_rules_at, judge_sidecar};
use crate::engine::{RuleSet, Site};

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person
    Human,
    /// One JSON array, an object a file
    Json,
    /// Workflow commands, which GitHub shows at the lines of a change
    Github,
}

/// What is wanted besides the problems.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// How it is printed.
    pub format: Format,
    /// Whether a warning is as bad as an error.
    pub deny_warnings: bool,
    /// What rules are compared with: a file, or `live`.
    pub against: Option<&'a str>,
    /// Where `live` is.
    pub door: &'a DoorArgs,
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
    /// What it would change.
    difference: Option<Value>,
    /// Whether it passes.
    good: bool,
}

/// Checks each file; true if none has an error, nor a warning where those are denied.
///
/// # Errors
/// The output cannot be written, or what is to be compared with cannot be had.
pub fn check(files: &[PathBuf], options: &Options<'_>, out: &mut impl Write, colour: bool) -> Result<bool> {
    let host = Host::detect();
    let mut reports: Vec<(&PathBuf, Report)> = files.iter().map(|file| (file, examine(file, &host, colour))).collect();
    for (file, report) in &mut reports {
        report.good = !report.problems.iter().any(|p| p.is_error() || options.deny_warnings);
        if let (Some(against), FileKind::Rules, true) = (options.against, report.kind, report.good) {
            report.difference = Some(compare(file, against, options.door)?);
        }
    }
    match options.format {
        Format::Human => reports.iter().try_for_each(|(file, report)| human(file, report, out))?,
        Format::Github => reports.iter().try_for_each(|(file, report)| github(file, report, out))?,
        Format::Json => {
            let all: Vec<Value> = reports.iter().map(|(file, report)| json_of(file, report)).collect();
            serde_json::to_writer_pretty(&mut *out, &all)?;
            writeln!(out)?;
        }
    }
    Ok(reports.iter().all(|(_, report)| report.good))
}

/// The difference of a good rules file to another one, or to the running rules.
fn compare(file: &Path, against: &str, door: &DoorArgs) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    if against == "live" {
        return rules::against_live(door, &text);
    }
    let host = Host::detect();
    let bytes = fs::read(against).with_context(|| format!("--against: cannot read {against}"))?;
    let old = judge_rules_at(&bytes, &sites_beside(Path::new(against), &host), Secrets::Unread);
    let new = judge_rules_at(text.as_bytes(), &sites_beside(file, &host), Secrets::Unread);
    let refused = || format!("--against: {against} is refused\n{}", old.render(against, false));
    let (old_rules, Some(new_rules)) = (old.value.as_ref().with_context(refused)?, new.value.as_ref()) else {
        bail!("{} changed while it was read", file.display());
    };
    Ok(serde_json::to_value(Difference::of((old_rules, &old.source), (new_rules, &new.source)))?)
}

fn examine(file: &Path, host: &Host, colour: bool) -> Report {
    let name = file.display().to_string();
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            let problem = Problem::error(Code::Unreadable, Span::NOWHERE, format!("the file cannot be read: {error}"))
                .help("correct the path, or let this user read it");
            let rendered = render(std::slice::from_ref(&problem), &name, "", colour);
            let kind = FileKind::of(b"", file);
            return Report {
                kind,
                problems: vec![problem],
                rendered,
                summary: Vec::new(),
                details: Value::Null,
                difference: None,
                good: false,
            };
        }
    };
    match FileKind::of(&bytes, file) {
        FileKind::Rules => {
            let judgement = judge_rules_at(&bytes, &sites_beside(file, host), Secrets::Wished);
            let rendered = judgement.render(&name, colour);
            let (summary, details) = judgement.value.as_ref().map(about_rules).unwrap_or_default();
            Report { kind: FileKind::Rules, problems: judgement.problems, rendered, summary, details, difference: None, good: false }
        }
        FileKind::Sidecar => {
            let judgement = judge_sidecar(&bytes, &Overrides::default(), host);
            let rendered = judgement.render(&name, colour);
            let (summary, details) = judgement.value.as_ref().map(about_sidecar).unwrap_or_default();
            Report { kind: FileKind::Sidecar, problems: judgement.problems, rendered, summary, details, difference: None, good: false }
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
            rest.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
        }
        None => writeln!(out)?,
    }
    report.difference.as_ref().map_or(Ok(()), |difference| write!(out, "{}", rules::words(difference)))
}

/// `::error file=…,line=…,col=…,title=CODE::MESSAGE`, a line a problem.
fn github(file: &Path, report: &Report, out: &mut impl Write) -> io::Result<()> {
    let escaped = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let name = escaped(&file.display().to_string()).replace(':', "%3A").replace(',', "%2C");
    for problem in &report.problems {
        let level = if problem.is_error() { "error" } else { "warning" };
        let place = if problem.line == 0 { String::new() } else { format!(",line={},col={}", problem.line, problem.column) };
        let help = problem.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        let text = escaped(&format!("{}{help} ({})", problem.message, problem.code.anchor()));
        writeln!(out, "::{level} file={name}{place},title={}::{text}", problem.code.as_str())?;
    }
    for (key, level) in [("/changes", "notice"), ("/risks", "warning"), ("/effect/how", "notice"), ("/effect/risks", "warning")] {
        let lines = report.difference.as_ref().and_then(|difference| difference.pointer(key)?.as_array());
        for line in lines.into_iter().flatten().filter_map(Value::as_str) {
            writeln!(out, "::{level} file={name}::{}", escaped(line))?;
        }
    }
    Ok(())
}

fn json_of(file: &Path, report: &Report) -> Value {
    json!({
        "file": file.display().to_string(),
        "kind": report.kind.as_str(),
        "valid": report.good,
        "diagnostics": report.problems,
        "details": report.details,
        "difference": report.difference,
    })
}

#[cfg(test)]
mod tests;
