//! `drain` and `probe`: the commands of the life cycle, as hooks and probes of a Pod run them.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::Value;

use super::client::{Answer, DoorArgs};

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Probe {
    /// Whether the process answers
    Live,
    /// Whether it may get traffic
    Ready,
}

/// `drain`: begins the clean end and comes back at once.
#[must_use]
pub fn drain(door: &DoorArgs) -> ExitCode {
    ended(drained(door))
}

/// `probe`: exit code 0 if it is, 1 if it is not or nobody answers.
#[must_use]
pub fn probe(door: &DoorArgs, probe: Probe) -> ExitCode {
    ended(probed(door, probe))
}

pub(super) fn ended(result: Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("edge-sidecar: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn drained(door: &DoorArgs) -> Result<bool> {
    let answer = door.ask("POST", "/drain")?;
    let (202, Some(running)) = (answer.status, answer.body["running"].as_u64()) else { return refused(&answer) };
    let requests = if running == 1 { "1 request runs".to_owned() } else { format!("{running} requests run") };
    print(door, &answer, &format!("draining: {requests}"))?;
    Ok(true)
}

fn probed(door: &DoorArgs, probe: Probe) -> Result<bool> {
    let (target, key, yes, no) = match probe {
        Probe::Live => ("/livez", "live", "live", "not live"),
        Probe::Ready => ("/readyz", "ready", "ready", "not ready"),
    };
    let answer = door.ask("GET", target)?;
    let Some(good) = answer.body[key].as_bool() else { return refused(&answer) };
    let reasons: Vec<&str> = answer.body["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let text = if good { yes.to_owned() } else { format!("{no}: {}", reasons.join(", ")) };
    print(door, &answer, &text)?;
    Ok(good && answer.status == 200)
}

pub(super) fn print(door: &DoorArgs, answer: &Answer, text: &str) -> Result<()> {
    let json = answer.body.to_string();
    writeln!(io::stdout(), "{}", if door.json { &json } else { text }).context("cannot print")
}

/// The door's own words on why it did not do it.
pub(super) fn refused(answer: &Answer) -> Result<bool> {
    let message = answer.body["message"].as_str().unwrap_or("this is no answer of an admin door");
    bail!("{} {message}", answer.status)
}
