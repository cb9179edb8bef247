//! One line of the log: JSON written by hand, because a serialiser takes six times as long.
//!
//! A line never holds a query, a body, a credential, a phone number or a raw message id: the first three never come here,
//! [`push_masked`] takes the others out of paths. Lines are pure ASCII without control characters, so nothing that a caller
//! sends can forge a line or steer a terminal.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::escape::{push_escaped, push_masked};
use super::record::{DedupRecord, Exchanged, Finished};
use crate::config::sidecar::Level;

/// Longest path in a line, in bytes as received.
const LONGEST_PATH: usize = 512;
/// Longest of the other texts a caller chooses.
const LONGEST_WORD: usize = 128;
/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request was answered.
    Request,
    /// It took longer than its slow rule allows.
    Slow,
}

/// Texts that many lines share: the date down to the second, and the address called last.
#[derive(Debug, Default)]
pub struct Shared {
    second: u64,
    date: String,
    address: Option<SocketAddr>,
    address_text: String,
}

impl Shared {
    fn push_date(&mut self, out: &mut Vec<u8>, wall: SystemTime) {
        let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() || self.date.is_empty() {
            self.second = since.as_secs();
            self.date = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(self.second)).to_string();
        }
        out.extend_from_slice(self.date.trim_end_matches('Z').as_bytes());
        push_decimals(out, since.subsec_millis());
        out.push(b'Z');
    }

    fn address(&mut self, address: SocketAddr) -> &str {
        if self.address != Some(address) {
            (self.address, self.address_text) = (Some(address), address.to_string());
        }
        &self.address_text
    }
}

/// `,"name":`, made at compile time: one copy a field.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// How important a request is.
#[must_use]
pub fn level(done: &Finished<'_>, event: Event) -> Level {
    match event {
        Event::Slow => Level::Warn,
        Event::Request if done.status >= 500 => Level::Error,
        Event::Request => Level::Info,
    }
}

/// Appends one line, fields in the order of interface.md 6; a field without a value is left out. A slow line has `spent` and `phases` too,
/// behind `upstream`.
pub fn push(out: &mut Vec<u8>, shared: &mut Shared, wall: SystemTime, event: Event, done: &Finished<'_>) {
    out.extend_from_slice(b"{\"ts\":\"");
    shared.push_date(out, wall);
    out.extend_from_slice(match level(done, event) {
        Level::Error => b"\",\"level\":\"error\"",
        Level::Warn => b"\",\"level\":\"warn\"",
        Level::Info | Level::Debug => b"\",\"level\":\"info\"",
    });
    out.extend_from_slice(if event == Event::Slow { b",\"event\":\"slow\"" } else { b",\"event\":\"request\"" });
    text(out, key!("request_id"), done.request_id);
    optional(out, key!("trace_id"), done.trace_id);
    text(out, key!("method"), done.method);
    out.extend_from_slice(key!("path").as_bytes());
    push_masked(out, cut(done.path.split(['?', '#']).next().unwrap_or_default(), LONGEST_PATH));
    out.extend_from_slice(key!("function").as_bytes());
    push_masked(out, cut(done.function, LONGEST_WORD));
    number(out, key!("status"), done.status.into());
    text(out, key!("outcome"), done.outcome.as_str());
    optional(out, key!("rule"), done.cache.map(|c| c.rule).or(done.dedup.map(|d| d.rule)));
    let reason = done.reason.or(done.cache.and_then(|c| c.bypass.or(c.not_stored))).or(done.dedup.and_then(|d| d.skipped));
    optional(out, key!("reason"), reason);
    if let Some(age) = done.age {
        number(out, key!("age_s"), age.as_secs());
    }
    if let Some(dedup) = &done.dedup {
        push_dedup(out, dedup);
    }
    millis(out, key!("duration_ms"), done.duration);
    if let Some(call) = done.upstream {
        push_upstream(out, shared, call);
    }
    if event == Event::Slow {
        push_spent(out, done);
    }
    number(out, key!("bytes_in"), done.bytes_in);
    number(out, key!("bytes_out"), done.bytes_out);
    flag(out, key!("slow"), done.is_slow());
    optional(out, key!("error"), done.error);
    number(out, key!("gen"), done.generation);
    out.extend_from_slice(b"}\n");
}

fn push_dedup(out: &mut Vec<u8>, dedup: &DedupRecord<'_>) {
    number(out, ",\"dedup\":{\"ids\":", dedup.ids.into());
    number(out, key!("new"), dedup.new.into());
    number(out, key!("repeated"), dedup.repeated.into());
    millis(out, key!("waited_ms"), dedup.waited);
    out.push(b'}');
}

fn push_upstream(out: &mut Vec<u8>, shared: &mut Shared, call: &Exchanged) {
    out.extend_from_slice(b",\"upstream\":{");
    if let Some(address) = call.address {
        out.extend_from_slice(b"\"addr\":\"");
        out.extend_from_slice(shared.address(address).as_bytes());
        out.extend_from_slice(b"\",");
    }
    number(out, "\"status\":", call.status.into());
    if let Some(connect) = call.connect {
        millis(out, key!("connect_ms"), connect);
    }
    millis(out, key!("first_byte_ms"), call.first_byte);
    flag(out, key!("reused"), call.reused);
    number(out, key!("retries"), call.retries.into());
    out.push(b'}');
}

/// Where the time of a slow request went, and what the function says of its part.
fn push_spent(out: &mut Vec<u8>, done: &Finished<'_>) {
    let spent = done.spent();
    millis(out, ",\"spent\":{\"waited_ms\":", spent.waited);
    millis(out, key!("connect_ms"), spent.connect);
    millis(out, key!("function_ms"), spent.function);
    millis(out, key!("answer_ms"), spent.answer);
    millis(out, key!("rest_ms"), spent.rest);
    out.push(b'}');
    let phases = done.upstream.map_or(&[][..], |call| &call.phases);
    for (i, phase) in phases.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b",\"phases\":{" } else { b"," });
        push_masked(out, &phase.name);
        millis(out, ":", phase.time);
    }
    if !phases.is_empty() {
        out.push(b'}');
    }
}

fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    push_escaped(out, cut(value, LONGEST_WORD));
    out.push(b'"');
}

fn optional(out: &mut Vec<u8>, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        text(out, key, value);
    }
}

fn flag(out: &mut Vec<u8>, key: &str, value: bool) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    out.extend_from_slice(key.as_bytes());
    push_number(out, value);
}

fn millis(out: &mut Vec<u8>, key: &str, value: Duration) {
    out.extend_from_slice(key.as_bytes());
    let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
    push_number(out, micros / 1000);
    push_decimals(out, u32::try_from(micros % 1000).unwrap_or_default());
}

fn push_number(out: &mut Vec<u8>, mut value: u64) {
    let (mut digits, mut at) = ([0_u8; 20], 20);
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
        if value == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

/// A point and three digits.
fn push_decimals(out: &mut Vec<u8>, thousandths: u32) {
    let digit = |n: u32| b'0' + u8::try_from(n % 10).unwrap_or_default();
    out.extend_from_slice(&[b'.', digit(thousandths / 100), digit(thousandths / 10), digit(thousandths)]);
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::super::record::tests_support::{exchanged, finished};
    use super::super::record::{CacheRecord, DedupResult, LookupResult, Outcome, Phases};
    use super::*;
    use http::{HeaderMap, HeaderName, HeaderValue};

    fn line(event: Event, done: &Finished<'_>) -> String {
        let (mut out, wall) = (Vec::new(), UNIX_EPOCH + Duration::from_millis(1_800_000_000_007));
        push(&mut out, &mut Shared::default(), wall, event, done);
        assert!(out.is_ascii() && out.iter().position(u8::is_ascii_control) == Some(out.len() - 1));
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn a_line_has_every_field_in_its_order() {
        let said =
            HeaderMap::from_iter([(HeaderName::from_static("server-timing"), HeaderValue::from_static("db;dur=5.3,u-250788123456;dur=1"))]);
        let call = Exchanged { connect: Some(Duration::from_micros(1500)), phases: Phases::of(&said), ..exchanged() };
        let done = Finished {
            duration: Duration::from_millis(20),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
            outcome: Outcome::Miss,
            cache: Some(CacheRecord {
                rule: "profile",
                result: LookupResult::Miss,
                bypass: None,
                not_stored: Some("set_cookie"),
                refreshed: None,
            }),
            dedup: Some(DedupRecord {
                rule: "whatsapp",
                result: DedupResult::New,
                skipped: None,
                ids: 3,
                new: 2,
                repeated: 1,
                repeats: crate::dedup::Repeats::default(),
                waited: Duration::from_millis(7),
            }),
            age: Some(Duration::from_millis(3900)),
            upstream: Some(&call),
            error: Some("response_cut"),
            slow_after: Duration::from_millis(5),
            ..finished()
        };
        let got = [Event::Request, Event::Slow].map(|event| line(event, &done));
        let start = concat!(
            r#""request_id":"req-1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","method":"GET","path":"/functions/v1/profile/me","function":"profile","#,
            r#""status":200,"outcome":"miss","rule":"profile","reason":"set_cookie","age_s":3,"dedup":{"ids":3,"new":2,"repeated":1,"waited_ms":7.000},"duration_ms":20.000,"#,
            r#""upstream":{"addr":"127.0.0.1:9000","status":200,"connect_ms":1.500,"first_byte_ms":8.000,"reused":true,"retries":0},"#,
        );
        let spent = concat!(
            r#""spent":{"waited_ms":7.000,"connect_ms":1.500,"function_ms":6.500,"answer_ms":2.000,"rest_ms":3.000},"#,
            r#""phases":{"db":5.300,"u-***":1.000},"#,
        );
        let end = concat!(r#""bytes_in":0,"bytes_out":40,"slow":true,"error":"response_cut","gen":1}"#, "\n");
        let head = |level: &str, event: &str| format!(r#"{{"ts":"2027-01-15T08:00:00.007Z","level":"{level}","event":"{event}",{start}"#);
        assert_eq!(got, [format!("{}{end}", head("info", "request")), format!("{}{spent}{end}", head("warn", "slow"))]);
    }
}
