//! The extractor of WhatsApp events against the function's own eyes: Deno's `JSON.parse` on twenty thousand bodies that are odd in
//! every way a body can be. Each must give the same events or none: an event the function does not see might suppress a real one.
//!
//! `differential.js` returns the events as minimal bodies; the keys of those are what the body itself must have given.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use edge_sidecar::dedup::{Delivery, EventKey, Settings};
use edge_sidecar::engine::{Identified, identify};
use http::HeaderMap;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const BODIES: usize = 20_000;

/// What Deno found in one body.
#[derive(serde::Deserialize)]
struct Found {
    idless: bool,
    events: Vec<String>,
}

fn found_by_deno(bodies: &[Vec<u8>]) -> Vec<Option<Found>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let deno = std::env::var_os("DENO").map_or_else(|| root.join(".tools/deno"), Into::into);
    let script = root.join("tests/it/differential.js");
    let mut command = Command::new(deno);
    command.args(["run", "--quiet", "--no-prompt", "--no-config", "--no-lock", "--no-remote", "--no-npm"]).arg(script);
    command.env("DENO_NO_UPDATE_CHECK", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("Deno starts: run scripts/setup.sh test");
    let mut input = child.stdin.take().expect("piped");
    for body in bodies {
        let length = u32::try_from(body.len()).expect("a short body");
        input.write_all(&[&length.to_be_bytes(), &body[..]].concat()).expect("Deno reads");
    }
    drop(input);
    let output = child.wait_with_output().expect("Deno ends");
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The extractor's keys, and whether something has none.
fn extracted(body: &[u8]) -> Option<(Vec<EventKey>, bool)> {
    let delivery = Delivery { target: "/wa-webhook-core", headers: &HeaderMap::new(), body: &[Bytes::copy_from_slice(body)] };
    match identify(&Settings::default(), "functions", "wa-webhook-core", &delivery) {
        Identified::Events { keys, idless } => Some((keys.iter().copied().collect(), idless)),
        Identified::Skip(_) => None,
    }
}

#[test]
fn twenty_thousand_bodies_give_the_events_that_deno_sees_or_none() {
    let mut dice = Dice(StdRng::seed_from_u64(4));
    let bodies: Vec<_> = (0..BODIES).map(|_| dice.body()).collect();
    let found = found_by_deno(&bodies);
    assert_eq!(found.len(), BODIES, "an answer for each body");
    let (mut same, mut fewer, mut skipped, mut none, mut refused) = (0, 0, 0, 0, 0);
    let mut events: HashMap<EventKey, String> = HashMap::new();
    for (body, found) in bodies.iter().zip(found) {
        let text = body.escape_ascii();
        let Some((keys, idless)) = extracted(body) else {
            *match found {
                None => &mut refused,
                Some(found) if found.events.is_empty() => &mut none,
                Some(_) => &mut skipped,
            } += 1;
            continue;
        };
        let found = found.unwrap_or_else(|| panic!("events in what JSON.parse refuses: {text}"));
        let mut seen = Vec::new();
        for event in found.events {
            // what has no key by itself (an id of a megabyte, a field that is a list) has none in the body either
            if let Some((one, false)) = extracted(event.as_bytes()) {
                assert_eq!(one.len(), 1, "{event}");
                seen.push(one[0]);
                let known = events.entry(one[0]).or_insert_with(|| event.clone());
                assert_eq!(*known, event, "two events, one key");
            }
        }
        assert!(keys.iter().all(|key| seen.contains(key)), "an event that Deno does not see: {text}");
        assert!(idless || !found.idless, "something without an id is not told: {text}");
        let all = seen.iter().all(|key| keys.contains(key));
        assert!(idless || all, "an event is missed, and a repeat of the rest would suppress it: {text}");
        if all { same += 1 } else { fewer += 1 }
    }
    eprintln!(
        "{BODIES} bodies: {same} the same, {fewer} fewer and forwarded, {skipped} skipped, {none} without events, {refused} refused by both"
    );
    assert!(
        same > BODIES / 3 && fewer + skipped > BODIES / 40 && refused > BODIES / 20 && events.len() > 1_000,
        "{same} {refused} {}: the dice prove little",
        events.len()
    );
}

/// Writes bodies.
struct Dice(StdRng);

impl Dice {
    fn one_in(&mut self, n: u32) -> bool {
        self.0.random_range(0..n) == 0
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.0.random_range(0..all.len())]
    }

    /// A whole body, now and then broken.
    fn body(&mut self) -> Vec<u8> {
        let mut text = String::new();
        if self.one_in(20) {
            text.push_str(self.of(&["\u{feff}", " \n", "\u{feff}\u{feff}", "\u{a0}"]));
        }
        if self.one_in(30) {
            text.push_str(&self.odd());
        } else {
            let entries = self.list("entry", Self::entry);
            let mut members = vec!["\"object\":\"whatsapp_business_account\"".into(), entries];
            self.strange(&mut members);
            self.object(&members, &mut text);
        }
        let mut body = text.into_bytes();
        if self.one_in(12) && !body.is_empty() {
            let at = self.0.random_range(0..body.len());
            match self.0.random_range(0..4) {
                0 => body.truncate(at),
                1 => body[at] = self.0.random(),
                2 => body.insert(at, *b"\"\\,:{}[]\xff0".get(self.0.random_range(0..10_usize)).expect("in range")),
                _ => drop(body.remove(at)),
            }
        }
        body
    }

    fn entry(&mut self) -> String {
        let changes = self.list("changes", Self::change);
        let mut members = vec![format!("\"id\":{}", self.scalar()), changes];
        self.strange(&mut members);
        self.joined(&members)
    }

    fn change(&mut self) -> String {
        let field = if self.one_in(6) { self.odd() } else { self.of(&["\"messages\"", "\"calls\"", "\"mess\\u0061ges\"", "\"\""]).into() };
        let value = if self.one_in(15) { self.odd() } else { self.value() };
        let mut members = vec![format!("\"value\":{value}"), format!("\"field\":{field}")];
        self.strange(&mut members);
        self.joined(&members)
    }

    fn value(&mut self) -> String {
        let number = self.scalar();
        let metadata = if self.one_in(10) { self.odd() } else { format!("{{\"phone_number_id\":{number}}}") };
        let mut members = vec!["\"contacts\":[{\"wa_id\":\"1\"}]".into(), format!("\"metadata\":{metadata}")];
        for _ in 0..self.0.random_range(0..3) {
            let list = self.of(&["messages", "messages", "statuses", "message_echoes", "calls", "errors", "st\\u0061tuses"]);
            members.push(self.list(list, Self::item));
        }
        self.strange(&mut members);
        self.joined(&members)
    }

    fn item(&mut self) -> String {
        let id = self.scalar();
        let mut members = vec![format!("\"id\":{id}"), format!("\"timestamp\":{}", self.scalar())];
        for name in ["type", "status", "event", "recipient_participant_id", "participant_recipient_id"] {
            if self.one_in(2) {
                members.push(format!("\"{name}\":{}", self.scalar()));
            }
        }
        if self.one_in(4) {
            members.push(format!("\"payment\":{}", self.of(&["{\"t\":[1,null]}", "{\"t\":[1 ,\"\\u0061\"]}", "null", "\"x\"", "[]"])));
        }
        self.strange(&mut members);
        self.joined(&members)
    }

    /// A member whose value is a list of things, now and then something else.
    fn list(&mut self, name: &str, mut thing: impl FnMut(&mut Self) -> String) -> String {
        if self.one_in(25) {
            return format!("\"{name}\":{}", self.odd());
        }
        let things = (0..self.0.random_range(1..3)).map(|_| if self.one_in(25) { self.odd() } else { thing(self) });
        format!("\"{name}\":[{}]", things.collect::<Vec<_>>().join(","))
    }

    /// A string or a number, in one of its many spellings; few of each, so that events repeat.
    fn scalar(&mut self) -> String {
        if self.one_in(25) {
            return self.odd();
        }
        let plain = format!("\"wamid.{}\"", self.0.random_range(0..400));
        let other = self.of(&[
            "\"a\"",
            "\"\\u0061\"",
            "\"\\ud83d\\ude00\"",
            "\"\u{1f600}\"",
            "\"\\ud83d\"",
            "\"\\ude00\\ud83d\"",
            "7",
            "\"7\"",
            "70",
            "\"\\\"\"",
            "\"\\/\"",
            "\"/\"",
            "\"\\u00e9\"",
            "\"\u{e9}\"",
            "\"e\u{301}\"",
            "\"\u{fffd}\"",
            "123456789012345",
            "\"\\u0000\"",
            "\"a \"",
            "\"A\"",
        ]);
        if self.one_in(2) { plain } else { other.into() }
    }

    /// Anything but what is expected.
    fn odd(&mut self) -> String {
        let deep = self.0.random_range(1..200);
        match self.0.random_range(0..60) {
            0..4 => format!("{}{}", "[".repeat(deep), "]".repeat(deep)),
            4..8 => format!("\"{}\"", "x".repeat(self.0.random_range(500..530))),
            8 => self.of(&["\"\t\"", "01", "nul", "'a'", "\"\\x\"", "\"\\u12\"", "", "[1,]", "{\"a\":1,}", "NaN"]).into(),
            _ => self
                .of(&[
                    "null",
                    "true",
                    "{}",
                    "[]",
                    "\"\"",
                    "\" \"",
                    "\"\\u00a0\\ufeff\"",
                    "1e400",
                    "-0",
                    "0.1",
                    "1.0",
                    "12345678901234567890",
                    "1e3",
                    "-7",
                    "{\"id\":\"a\"}",
                    "[{\"id\":\"a\"}]",
                ])
                .into(),
        }
    }

    /// Members that nobody asked for: unknown ones, a second one of the same name, one that is a trap for JavaScript.
    fn strange(&mut self, members: &mut Vec<String>) {
        if self.one_in(8) {
            let name =
                self.of(&["id", "type", "field", "value", "entry", "messages", "__proto__", "constructor", "", "errors", "metadata"]);
            let value = if self.one_in(2) { self.odd() } else { self.scalar() };
            members.push(format!("\"{name}\":{value}"));
        }
        if self.one_in(15) && !members.is_empty() {
            let again = members[self.0.random_range(0..members.len())].clone();
            members.push(again);
        }
        if self.one_in(3) {
            members.rotate_left(1);
        }
    }

    fn joined(&mut self, members: &[String]) -> String {
        let mut text = String::new();
        self.object(members, &mut text);
        text
    }

    fn object(&mut self, members: &[String], into: &mut String) {
        let space = if self.one_in(4) { self.of(&[" ", "\n\t", "\r\n"]) } else { "" };
        let _ = write!(into, "{{{space}{}{space}}}", members.join(&format!("{space},{space}")));
    }
}
