//! `trace` and `purge`: one message, by its id. The id goes to the sidecar and nowhere else.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};

use super::client::DoorArgs;
use super::life::{ended, print, refused};

/// `trace`: exit code 0 if anything is known, 1 if nothing is.
#[must_use]
pub fn trace(door: &DoorArgs, id: &str) -> ExitCode {
    ended(traced(door, id))
}

/// `purge`: exit code 0, also where there was nothing to forget.
#[must_use]
pub fn purge(door: &DoorArgs, id: &str) -> ExitCode {
    ended(purged(door, id))
}

fn traced(door: &DoorArgs, id: &str) -> Result<bool> {
    let answer = door.ask("GET", &format!("/trace?id={}", encode(id)))?;
    let (200, Some(events)) = (answer.status, answer.body["events"].as_array()) else { return refused(&answer) };
    print(door, &answer, &lives(events, answer.body["since"].as_str()))?;
    Ok(!events.is_empty())
}

fn purged(door: &DoorArgs, id: &str) -> Result<bool> {
    let answer = door.tell("POST", "/dedup/purge", Some(&json!({ "message": id })))?;
    let (200, Some(purged)) = (answer.status, answer.body["purged"].as_u64()) else { return refused(&answer) };
    let text = match purged {
        0 => "nothing to forget: no event with this id is known as accepted".to_owned(),
        1 => "forgot 1 event: its next copy is forwarded".to_owned(),
        n => format!("forgot {n} events: the next copy of each is forwarded"),
    };
    print(door, &answer, &text)?;
    Ok(true)
}

/// The lives as lines of text.
fn lives(events: &[Value], since: Option<&str>) -> String {
    if events.is_empty() {
        return since
            .map_or("nothing is known of it".to_owned(), |since| format!("nothing is known of it; steps before {since} are forgotten"));
    }
    let mut text = String::new();
    for event in events {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let state = event["accepted"].as_str().map_or("not known as accepted".to_owned(), |at| format!("accepted {at}"));
        let _ = writeln!(text, "event {}: {state}", word(&event["event"]));
        for step in event["steps"].as_array().into_iter().flatten() {
            let _ =
                writeln!(text, "  {}  copy {:<6} {}", word(&step["at"]), step["copy"].as_u64().unwrap_or_default(), word(&step["what"]));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// Percent-encodes what is not sure to mean itself in a query.
fn encode(id: &str) -> String {
    let mut text = String::new();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_encoded_and_lives_are_lines() {
        assert_eq!(encode("wamid.A+b/c=é&"), "wamid.A%2Bb%2Fc%3D%C3%A9%26");
        let event = json!({ "event": "0a", "accepted": null, "steps": [{ "at": "T1", "what": "forwarded", "copy": 3 }] });
        let known = json!({ "event": "0b", "accepted": "T0", "steps": [] });
        let text = lives(&[event, known], None);
        assert_eq!(text, "event 0a: not known as accepted\n  T1  copy 3      forwarded\nevent 0b: accepted T0");
        assert_eq!(lives(&[], Some("T")), "nothing is known of it; steps before T are forgotten");
    }
}
