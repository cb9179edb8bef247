//! `reload`, `rollback` and the difference that `check --against` prints: the rules of a running sidecar.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::Value;

use super::client::DoorArgs;
use super::life::{ended, print, refused};

/// `reload`: reads the file now. Exit code 1 if it is refused.
#[must_use]
pub fn reload(door: &DoorArgs) -> ExitCode {
    ended(changed(door, "/reload"))
}

/// `rollback`: goes back one generation.
#[must_use]
pub fn rollback(door: &DoorArgs) -> ExitCode {
    ended(changed(door, "/rollback"))
}

fn changed(door: &DoorArgs, target: &str) -> Result<bool> {
    let answer = door.ask("POST", target)?;
    let (200, Some(outcome), Some(generation)) = (answer.status, answer.body["outcome"].as_str(), answer.body["generation"].as_u64())
    else {
        return refused(&answer);
    };
    let text = match outcome {
        "accepted" => format!("generation {generation} is in force\n{}", words(&answer.body["difference"])),
        _ => format!("nothing to do: generation {generation} is in force and the file holds its rules"),
    };
    print(door, &answer, text.trim_end())?;
    Ok(true)
}

/// What the running rules say to a text: their difference to it.
///
/// # Errors
/// Nobody answers, or the running sidecar refuses the text.
pub fn against_live(door: &DoorArgs, text: &str) -> Result<Value> {
    let answer = door.send("POST", "/config/check", Some(("application/yaml", text)))?;
    match (answer.status, &answer.body["difference"]) {
        (200, Value::Object(_)) => Ok(answer.body["difference"].clone()),
        (422, _) => {
            let first = answer.body["diagnostics"][0]["message"].as_str().unwrap_or_default();
            bail!("the running sidecar refuses it: {first}");
        }
        _ => refused(&answer).map(|_| Value::Null),
    }
}

/// A difference as lines.
#[must_use]
pub fn words(difference: &Value) -> String {
    let lines = |key: &str| difference[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
    let (changes, risks) = (lines("changes"), lines("risks"));
    let mut text = String::new();
    if changes.is_empty() && risks.is_empty() {
        text.push_str("  no difference\n");
    }
    for line in changes {
        let _ = writeln!(text, "  {line}");
    }
    for line in risks {
        let _ = writeln!(text, "  look twice: {line}");
    }
    effect(&mut text, &difference["effect"]);
    text
}

/// What a difference would have meant for the last requests.
fn effect(text: &mut String, effect: &Value) {
    let (Some(requests), Some(otherwise), Some(unknown)) =
        (effect["requests"].as_u64(), effect["otherwise"].as_u64(), effect["unknown"].as_u64())
    else {
        return;
    };
    let _ = writeln!(text, "  of the last {requests} requests {otherwise} would be decided otherwise");
    for (key, title) in [("risks", "look twice: "), ("how", "")] {
        for line in effect[key].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let _ = writeln!(text, "    {title}{line}");
        }
    }
    if unknown > 0 {
        let _ = writeln!(text, "    of {unknown} nothing can be said: what the rules look at was not kept of them");
    }
}
