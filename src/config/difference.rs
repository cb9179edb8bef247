//! What an edit of the rules changes, in words: rules added, removed and changed key by key, and what of it a person should look at twice.
//!
//! Keys are compared as written, so that a new key needs nothing here; which rules changed at all is told by their ready form, so that
//! `60s` for `1m` is no change.

use serde::Serialize;

use super::node::{Kind, Node};
use super::{spanned, status};
use crate::cache::{self, Scope};
use crate::dedup::{self, WhileFirstRuns};
use crate::engine::expect::span;
use crate::engine::{Effect, Rule, RuleSet, Section};

/// A difference; empty where nothing changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// One sentence a change.
    pub changes: Vec<String>,
    /// What may share an answer that was not shared, or forward a message twice.
    pub risks: Vec<String>,
    /// What it would have meant for the last requests, where those are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

impl Difference {
    /// From rules and their text to others. Both texts have been judged.
    #[must_use]
    pub fn of(old: (&RuleSet, &str), new: (&RuleSet, &str)) -> Self {
        let changed = status::changed(old.0, new.0);
        let (before, after) = (spanned::parse(old.1).0, spanned::parse(new.1).0);
        let mut lines = Vec::new();
        for part in ["cache", "dedup"] {
            let (before, after) = (entries(before.as_ref(), part, "include"), entries(after.as_ref(), part, "include"));
            rules(&mut lines, part, &before, &after, &changed);
            if changed.contains(&format!("{part}.include")) {
                lines.push(format!("{part}.include: the rules stand in another order"));
            }
        }
        for path in ["cache.exclude", "dedup.exclude", "slow", "health"].iter().filter(|p| changed.iter().any(|c| c == **p)) {
            let (part, list) = path.split_once('.').unwrap_or((path, ""));
            lists(&mut lines, path, &entries(before.as_ref(), part, list), &entries(after.as_ref(), part, list));
        }
        let mut risks = Vec::new();
        sharing(&mut risks, &old.0.cache, &new.0.cache);
        repeats(&mut risks, &old.0.dedup, &new.0.dedup);
        Self { changes: lines, risks, effect: None }
    }
}

/// The entries of a list, or the keys of a mapping as entries of their own.
fn entries(root: Option<&Node>, part: &str, list: &str) -> Vec<(String, Node)> {
    let node = root.and_then(|root| root.get(part)).and_then(|node| if list.is_empty() { Some(node) } else { node.get(list) });
    match node.map(|node| &node.kind) {
        Some(Kind::Sequence(items)) => items.iter().map(|item| (name(item), item.clone())).collect(),
        Some(Kind::Mapping(entries)) => entries.iter().map(|(key, value)| (key.text.clone(), value.clone())).collect(),
        _ => Vec::new(),
    }
}

fn name(node: &Node) -> String {
    node.get("name").and_then(Node::scalar).map_or_else(|| written(node), str::to_owned)
}

/// A value on one line.
fn written(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar { text, .. } => text.clone(),
        Kind::Sequence(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Kind::Mapping(entries) => {
            let pairs: Vec<String> = entries.iter().map(|(key, value)| format!("{}: {}", key.text, written(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Kind::Refused => String::new(),
    }
}

fn rules(out: &mut Vec<String>, part: &str, before: &[(String, Node)], after: &[(String, Node)], changed: &[String]) {
    let find = |list: &[(String, Node)], name: &str| list.iter().find(|(n, _)| n == name).map(|(_, node)| node.clone());
    for (name, node) in before {
        if find(after, name).is_none() {
            out.push(format!("{part} rule {name}: removed, was {}", written(node)));
        }
    }
    for (name, node) in after {
        match find(before, name) {
            None => out.push(format!("{part} rule {name}: added, {}", written(node))),
            Some(old) if changed.contains(name) => keys(out, &format!("{part} rule {name}"), &old, node),
            Some(_) => {}
        }
    }
}

fn keys(out: &mut Vec<String>, title: &str, old: &Node, new: &Node) {
    let pairs = |node: &Node| match &node.kind {
        Kind::Mapping(entries) => entries.iter().map(|(key, value)| (key.text.clone(), written(value))).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    let (old, new) = (pairs(old), pairs(new));
    let of = |list: &[(String, String)], key: &str| list.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    let mut all: Vec<&String> = old.iter().map(|(key, _)| key).collect();
    all.extend(new.iter().map(|(key, _)| key).filter(|key| of(&old, key).is_none()));
    for key in all {
        let (from, to) = (of(&old, key), of(&new, key));
        if from != to {
            let show = |value: Option<String>| value.unwrap_or_else(|| "the default".to_owned());
            out.push(format!("{title}: {key} from {} to {}", show(from), show(to)));
        }
    }
}

fn lists(out: &mut Vec<String>, path: &str, before: &[(String, Node)], after: &[(String, Node)]) {
    let texts = |list: &[(String, Node)]| list.iter().map(|(name, node)| (name.clone(), written(node))).collect::<Vec<_>>();
    let (before, after) = (texts(before), texts(after));
    let show = |(name, text): &(String, String)| if name == text { text.clone() } else { format!("{name} {text}") };
    out.extend(before.iter().filter(|e| !after.contains(e)).map(|e| format!("{path}: removed {}", show(e))));
    out.extend(after.iter().filter(|e| !before.contains(e)).map(|e| format!("{path}: added {}", show(e))));
}

fn named<'s, S>(section: &'s Section<S>, name: &str) -> Option<&'s Rule<S>> {
    section.include.iter().find(|rule| *rule.name == *name).map(AsRef::as_ref)
}

/// What may give an answer to callers that did not get it before.
fn sharing(out: &mut Vec<String>, old: &Section<cache::Settings>, new: &Section<cache::Settings>) {
    for rule in new.include.iter().filter(|rule| rule.settings.scope == Scope::Public) {
        let name = &rule.name;
        match named(old, name) {
            None => out.push(format!("{name} gives one caller's answer to all others, signed in or not (scope public)")),
            Some(before) if before.settings.scope != Scope::Public => {
                let scope = before.settings.scope.as_str();
                out.push(format!("{name} gives one caller's answer to all others, signed in or not (scope {scope} became public)"));
            }
            Some(before) if before.matcher != rule.matcher => {
                out.push(format!("{name} shares answers with all callers (scope public), and matches other requests than before"));
            }
            Some(_) => {}
        }
    }
    let gone = old.exclude.iter().filter(|e| !new.exclude.iter().any(|other| other.matcher == e.matcher));
    out.extend(gone.map(|e| format!("what {} kept out of the cache may be cached now", e.name)));
}

/// What may forward a message again that was taken.
fn repeats(out: &mut Vec<String>, old: &Section<dedup::Settings>, new: &Section<dedup::Settings>) {
    for rule in &old.include {
        let name = &rule.name;
        let Some(now) = named(new, name) else {
            out.push(format!("{name} is gone: repeats of its messages reach the function"));
            continue;
        };
        let (a, b) = (&rule.settings, &now.settings);
        if a.verify.is_some() && b.verify.is_none() {
            out.push(format!("{name} lets unsigned messages through: whoever knows an id can keep the message with it from the function"));
        }
        if b.window < a.window {
            out.push(format!(
                "{name} forgets messages after {} instead of {}: later repeats reach the function",
                span(b.window),
                span(a.window)
            ));
        }
        if a.id != b.id {
            out.push(format!("{name} looks for ids elsewhere: messages that were taken are not known under them"));
        }
        if a.while_first_runs != b.while_first_runs && b.while_first_runs == WhileFirstRuns::Forward {
            out.push(format!("{name} forwards copies while the first one runs"));
        }
        if rule.matcher != now.matcher {
            out.push(format!("{name} matches other requests than before: repeats it no longer matches reach the function"));
        }
    }
    let added = new.exclude.iter().filter(|e| !old.exclude.iter().any(|other| other.matcher == e.matcher));
    out.extend(added.map(|e| format!("what {} matches is not deduplicated any more", e.name)));
}

#[cfg(test)]
mod tests {
    use super::super::judge_rules;
    use super::*;

    fn between(old: &str, new: &str) -> Difference {
        let rules = |text: &str| judge_rules(text.as_bytes()).value.expect("good rules");
        Difference::of((&rules(old), old), (&rules(new), new))
    }

    const OLD: &str = "version: 1\ncache:\n  exclude: [\"**/login\", \"**/me\"]\n  include:\n    - { name: profile, match: { function: \"profile*\" }, ttl: 5m, scope: per_caller }\n    - { name: config, match: \"/c\", ttl: 60s }\ndedup:\n  include:\n    - { name: whatsapp, match: { function: \"wa*\" }, id: whatsapp, window: 24h }\n    - { name: stripe, match: { function: pay }, id: stripe }\n    - { name: signed, match: \"/s\", id: stripe, verify: { scheme: stripe, secret_env: S } }\n";

    #[test]
    fn each_change_is_a_sentence_and_what_is_dangerous_is_said() {
        let new = "version: 1\ncache:\n  exclude: [\"**/login\"]\n  include:\n    - { name: profile, match: { function: \"profile*\" }, ttl: 5m, scope: public }\n    - { name: config, match: \"/c\", ttl: 1m }\n    - { name: state, match: \"/s\", ttl: 1s }\ndedup:\n  exclude: [\"/wa-x\"]\n  include:\n    - { name: whatsapp, match: { function: \"wa*\" }, id: whatsapp, while_first_runs: forward }\n    - { name: signed, match: \"/s\", id: stripe }\nslow: [{ match: \"**\", after: 2s }]\n";
        let found = between(OLD, new);
        assert_eq!(
            found.changes,
            [
                "cache rule profile: scope from per_caller to public",
                "cache rule state: added, {name: state, match: /s, ttl: 1s}",
                "dedup rule stripe: removed, was {name: stripe, match: {function: pay}, id: stripe}",
                "dedup rule whatsapp: window from 24h to the default",
                "dedup rule whatsapp: while_first_runs from the default to forward",
                "dedup rule signed: verify from {scheme: stripe, secret_env: S} to the default",
                "cache.exclude: removed **/me",
                "dedup.exclude: added /wa-x",
                "slow: added {match: **, after: 2s}",
            ]
        );
        assert_eq!(
            found.risks,
            [
                "profile gives one caller's answer to all others, signed in or not (scope per_caller became public)",
                "what **/me kept out of the cache may be cached now",
                "whatsapp forgets messages after 30s instead of 1d: later repeats reach the function",
                "whatsapp forwards copies while the first one runs",
                "stripe is gone: repeats of its messages reach the function",
                "signed lets unsigned messages through: whoever knows an id can keep the message with it from the function",
                "what /wa-x matches is not deduplicated any more",
            ]
        );
    }

    #[test]
    fn the_same_rules_written_otherwise_are_no_difference() {
        assert_eq!(between(OLD, &format!("# said\n{}", OLD.replace("60s", "1m"))), Difference::default());
    }
}
