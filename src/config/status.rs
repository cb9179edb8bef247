//! What there is to say about the rules in force: figures for metrics, the state for `/config`, and which rules an edit changed.

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::diagnostics::Problem;
use super::difference::Difference;
use super::restart::Found;
use crate::engine::{Rule, RuleSet, Section};

/// Figures of the reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Generation in force.
    pub generation: u64,
    /// Accepted reloads; the start is none.
    pub successes: u64,
    /// Refused reloads.
    pub failures: u64,
    /// When the rules in force were accepted.
    pub last_success: SystemTime,
    /// Whether the last text offered is in force.
    pub last_reload_successful: bool,
    /// Whether the file holds another text than the one in force, or is gone.
    pub file_differs: bool,
    /// Whether the sidecar file says other than what runs.
    pub restart_needed: bool,
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// In force.
    Accepted,
    /// The last good rules stay.
    Refused,
}

impl Outcome {
    /// The closed word of the outcome.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
        }
    }
}

/// What asked for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The file changed.
    File,
    /// `reload`, or SIGHUP.
    Command,
    /// `rollback`.
    Rollback,
}

/// One reload.
#[derive(Clone, Debug, Serialize)]
pub struct Reload {
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub at: SystemTime,
    /// What asked for it.
    pub cause: Cause,
    /// How it ended.
    pub outcome: Outcome,
    /// The generation in force after it.
    pub generation: u64,
    /// What was found.
    pub diagnostics: Vec<Problem>,
    /// The rules it changed.
    pub changed: Vec<String>,
    /// The same in words.
    pub difference: Difference,
}

impl Reload {
    /// One that changed nothing.
    #[must_use]
    pub fn accepted(at: SystemTime, cause: Cause, generation: u64) -> Self {
        let (diagnostics, changed, difference) = (Vec::new(), Vec::new(), Difference::default());
        Self { at, cause, outcome: Outcome::Accepted, generation, diagnostics, changed, difference }
    }
}

/// The state of the rules, for `/config`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// 1 at the start, one more with each accepted reload.
    pub generation: u64,
    /// First 12 hex digits of the text's SHA-256.
    pub hash: String,
    /// Since when it is in force.
    #[serde(serialize_with = "rfc3339")]
    pub since: SystemTime,
    /// Whether the file holds another text, or is gone.
    pub file_differs: bool,
    /// The last reload, if there was one.
    pub last_reload: Option<Reload>,
    /// What the sidecar file says beside what runs, where there is one.
    pub sidecar: Option<Found>,
    /// The running text.
    pub text: String,
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    // a time before 1970 has no such form, and a clock set so is not worth a failed answer
    let time = (*time).max(SystemTime::UNIX_EPOCH);
    serializer.collect_str(&humantime::format_rfc3339(time))
}

/// Names of the rules added, removed or changed, then the words of sections that changed otherwise. Sorted, each once.
#[must_use]
pub fn changed(old: &RuleSet, new: &RuleSet) -> Vec<String> {
    let mut names = Vec::new();
    section(&mut names, "cache", &old.cache, &new.cache);
    section(&mut names, "dedup", &old.dedup, &new.dedup);
    let slow = |rules: &RuleSet| rules.slow.iter().map(|rule| (rule.matcher.clone(), rule.after)).collect::<Vec<_>>();
    if slow(old) != slow(new) {
        names.push("slow".to_owned());
    }
    if old.health != new.health {
        names.push("health".to_owned());
    }
    names.sort();
    names.dedup();
    names
}

fn section<S: PartialEq>(names: &mut Vec<String>, word: &str, old: &Section<S>, new: &Section<S>) {
    let exclusions = |s: &Section<S>| s.exclude.iter().map(|e| (Arc::clone(&e.name), e.matcher.clone())).collect::<Vec<_>>();
    if exclusions(old) != exclusions(new) {
        names.push(format!("{word}.exclude"));
    }
    let same = |a: &Rule<S>, b: &Rule<S>| a.name == b.name && a.matcher == b.matcher && a.settings == b.settings;
    let lacking = |from: &Section<S>, rule: &Rule<S>| !from.include.iter().any(|other| same(other, rule));
    let before = names.len();
    names.extend(new.include.iter().filter(|rule| lacking(old, rule)).map(|rule| rule.name.to_string()));
    names.extend(old.include.iter().filter(|rule| lacking(new, rule)).map(|rule| rule.name.to_string()));
    let order = |s: &Section<S>| s.include.iter().map(|rule| Arc::clone(&rule.name)).collect::<Vec<_>>();
    if names.len() == before && order(old) != order(new) {
        names.push(format!("{word}.include"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge_rules;
    use super::*;

    #[test]
    fn each_kind_of_change_is_named() {
        let rules = |text: &str| judge_rules(format!("version: 1\n{text}").as_bytes()).value.expect("good rules");
        let a = "{ name: a, match: \"/a\", ttl: 1s }";
        let b = "{ name: b, match: \"/b\", ttl: 1s }";
        let cache = |list: &str| format!("cache: {{ include: [{list}] }}\n");
        for (old, new, expected) in [
            (String::new(), cache(a), vec!["a"]),
            (cache(a), String::new(), vec!["a"]),
            (cache(a), cache("{ name: a, match: \"/a\", ttl: 2s }"), vec!["a"]),
            (cache(a), cache(&format!("{a}, {b}")), vec!["b"]),
            (cache(&format!("{b}, {a}")), cache(&format!("{a}, {b}")), vec!["cache.include"]),
            (cache(a), format!("# a comment\n{}", cache(a)), vec![]),
            (String::new(), "cache: { exclude: [\"/x\"] }\n".to_owned(), vec!["cache.exclude"]),
            (String::new(), "slow: [{ match: \"**\", after: 2s }]\nhealth: { min_requests: 5 }\n".to_owned(), vec!["health", "slow"]),
        ] {
            assert_eq!(changed(&rules(&old), &rules(&new)), expected, "{old} -> {new}");
        }
    }
}
