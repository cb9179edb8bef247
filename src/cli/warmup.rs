//! `warmup`: has a running sidecar call every function that its rules want warm, now.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::client::DoorArgs;
use super::life::{ended, print, refused};

/// Longest wait for all steps: 20 of 5 minutes each.
const PATIENCE: Duration = Duration::from_mins(100);

/// `warmup`: exit code 1 if a function did not answer well.
#[must_use]
pub fn warmup(door: &DoorArgs) -> ExitCode {
    ended(warmed(door))
}

fn warmed(door: &DoorArgs) -> Result<bool> {
    let answer = door.ask_within(PATIENCE, "POST", "/warmup")?;
    let (200, Some(steps)) = (answer.status, answer.body["steps"].as_array()) else { return refused(&answer) };
    let functions = || steps.iter().flat_map(|step| step["functions"].as_array().into_iter().flatten().map(move |f| (step, f)));
    let mut text = String::new();
    for (step, function) in functions() {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let state = match (function["success"].as_bool(), function["cold"].as_bool()) {
            (Some(true), Some(true)) => "started".to_owned(),
            (Some(true), _) => "warm".to_owned(),
            _ => format!("failed: {}", word(&function["error"])),
        };
        let (step, function, ms) = (word(&step["name"]), word(&function["name"]), function["durationMs"].as_f64().unwrap_or_default());
        let _ = writeln!(text, "{step:<20} {function:<30} {ms:>9.1} ms  {state}");
    }
    if text.is_empty() {
        text.push_str("the rules name no function to be kept warm");
    }
    print(door, &answer, text.trim_end())?;
    Ok(functions().all(|(_, function)| function["success"] == true))
}
