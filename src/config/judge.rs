//! The one judge of configuration: bytes in, a ready value or every problem out. `check`, start, reload and the admin's dry
//! run are its callers, so a file that one accepts is accepted by all.

use std::path::Path;

use super::budget;
use super::decode::Decoder;
use super::diagnostics::{self, Problem};
use super::grammar::{Map, RULES, SIDECAR};
use super::host::Host;
use super::overrides::Overrides;
use super::secrets::without_secrets;
use super::sidecar::Sidecar;
use super::spanned::{self, Kind, Node};
use super::verify_rule::Secrets;
use super::{rules, secrets, sidecar_file};
use crate::engine::{RuleSet, Site};

/// A judgement.
#[derive(Clone, Debug)]
pub struct Judgement<T> {
    /// The ready value; `None` if any problem is an error.
    pub value: Option<T>,
    /// Errors and warnings, in the order of the file.
    pub problems: Vec<Problem>,
    /// The text that the problems point into.
    pub source: String,
}

impl<T> Judgement<T> {
    fn new(value: Option<T>, mut problems: Vec<Problem>, source: String) -> Self {
        problems.sort_by_key(|p| (p.line, p.column));
        for problem in &mut problems {
            problem.message = without_secrets(&problem.message);
            problem.help = problem.help.take().map(|help| without_secrets(&help));
        }
        let good = !problems.iter().any(Problem::is_error);
        Self { value: value.filter(|_| good), problems, source }
    }

    /// The problems as a person reads them.
    #[must_use]
    pub fn render(&self, file: &str, colour: bool) -> String {
        diagnostics::render(&self.problems, file, &self.source, colour)
    }
}

/// Judges a rules file for a sidecar with one listener, as it is without a sidecar file, without a look at the secrets that it names.
#[must_use]
pub fn judge_rules(bytes: &[u8]) -> Judgement<RuleSet> {
    judge_rules_at(bytes, &[Site::default()], Secrets::Unread)
}

/// Judges a rules file for a sidecar with these listeners.
#[must_use]
pub fn judge_rules_at(bytes: &[u8], sites: &[Site], wanted: Secrets) -> Judgement<RuleSet> {
    let (root, mut d, source) = open(bytes);
    d.secrets = wanted;
    d.sites = sites.to_vec();
    let value = root.map(|root| {
        let rules = rules::decode(&mut d, &root, sites);
        secrets::refuse(&mut d, &root);
        rules
    });
    Judgement::new(value, d.problems, source)
}

/// Judges a sidecar file, with what flags and environment put on top of it.
#[must_use]
pub fn judge_sidecar(bytes: &[u8], overrides: &Overrides, host: &Host) -> Judgement<Sidecar> {
    let (root, mut d, source) = open(bytes);
    let value = root.map(|root| {
        let mut sidecar = sidecar_file::decode(&mut d, &root, host);
        secrets::refuse(&mut d, &root);
        overrides.apply(&mut d, &mut sidecar);
        budget::check(&mut d, Some(&root), &sidecar, host.memory_limit);
        sidecar
    });
    Judgement::new(value, d.problems, source)
}

/// Judges flags and environment alone: `run --upstream URL` without a file.
#[must_use]
pub fn judge_overrides(overrides: &Overrides, host: &Host) -> Judgement<Sidecar> {
    let mut d = Decoder::default();
    let mut sidecar = Sidecar { rules: None, ..sidecar_file::defaults(host) };
    overrides.apply(&mut d, &mut sidecar);
    budget::check(&mut d, None, &sidecar, host.memory_limit);
    Judgement::new(Some(sidecar), d.problems, String::new())
}

/// Text and nodes of a file, as far as it can be read.
fn open(bytes: &[u8]) -> (Option<Node>, Decoder, String) {
    let (text, problem) = spanned::text(bytes);
    if let Some(problem) = problem {
        return (None, Decoder { problems: vec![problem], ..Decoder::default() }, text);
    }
    let (root, problems) = spanned::parse(&text);
    (root, Decoder { problems, ..Decoder::default() }, text)
}

/// The two kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// What is cached, deduplicated, slow.
    Rules,
    /// What the process is made of.
    Sidecar,
}

impl FileKind {
    /// The word of the kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Sidecar => "sidecar",
        }
    }

    /// Tells a file's kind by its keys, else by its name.
    #[must_use]
    pub fn of(bytes: &[u8], path: &Path) -> Self {
        let (text, _) = spanned::text(bytes);
        let keys: Vec<String> = match spanned::parse(&text).0.map(|root| root.kind) {
            Some(Kind::Mapping(entries)) => entries.into_iter().map(|(key, _)| key.text).collect(),
            _ => Vec::new(),
        };
        let count = |known: &Map, other: &Map| keys.iter().filter(|k| known.key(k).is_some() && other.key(k).is_none()).count();
        let (rules, sidecar) = (count(&RULES, &SIDECAR), count(&SIDECAR, &RULES));
        let named = path.file_name().is_some_and(|name| name.to_string_lossy().contains("sidecar"));
        let sidecar = if rules == sidecar { named } else { sidecar > rules };
        if sidecar { Self::Sidecar } else { Self::Rules }
    }
}
