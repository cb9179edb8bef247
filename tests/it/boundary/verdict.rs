//! What became of a case, and whether that is right.

use super::caller::{Heard, is_last};
use super::case::{Arrives, Case, May, expand};
use super::grammar::Message;
use super::origin::{Arrival, echo};

/// All that was seen of one run of a case.
#[derive(Debug)]
pub struct Observed {
    /// The targets of this run: the one that is meant, the one that is not, the request behind it, the victim's.
    pub targets: Targets,
    /// What the caller heard, in order.
    pub heard: Vec<Heard>,
    /// What it heard to the request behind it, on the same connection, if that was still open.
    pub next: Option<Heard>,
    /// What it heard at last.
    pub rest: Heard,
    /// What another caller heard to its own request.
    pub victim: Heard,
    /// What arrived at the function.
    pub arrivals: Vec<Arrival>,
    /// What another caller heard afterwards to a plain GET for the target that is meant: nothing else may be stored for it.
    pub kept: Heard,
}

/// The targets of one run.
#[derive(Clone, Debug)]
pub struct Targets {
    /// Of the request that is meant.
    pub meant: String,
    /// Of the one that is not.
    pub smuggled: String,
    /// Of the next one on the same connection.
    pub next: String,
    /// Of another caller.
    pub victim: String,
}

/// What became of it, where that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered with 4xx, and closed.
    Refused,
    /// Closed without a word.
    Closed,
    /// Arrived as it was meant.
    Forwarded,
    /// Arrived, though refusing would be strict.
    Lenient,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The parties no longer agree on where a message ends, or an answer went to another caller.
    Desync,
    /// What had to be refused arrived, or arrived as something else.
    Unsafe,
    /// A valid request was refused.
    Overblock,
}

/// Judges one run.
pub fn judge(case: &Case, seen: &Observed) -> Result<Outcome, (Wrong, String)> {
    let targets = &seen.targets;
    let desync = |why: String| Err((Wrong::Desync, why));
    if let Some(Arrival::Malformed(why, _)) = seen.arrivals.iter().find(|a| matches!(a, Arrival::Malformed(..))) {
        return desync(format!("the function got {why}"));
    }
    let requests: Vec<&Message> = seen.arrivals.iter().filter_map(|a| if let Arrival::Request(r) = a { Some(r) } else { None }).collect();
    for (name, target, heard) in [("victim", &targets.victim, Some(&seen.victim)), ("next", &targets.next, seen.next.as_ref())] {
        let arrived = requests.iter().filter(|r| r.start[1] == **target).count();
        match heard {
            Some(Heard::Answer(answer)) if answer.body == echo("GET", target, b"").as_bytes() && arrived == 1 => {}
            Some(Heard::Closed) | None if name == "next" && arrived == 0 => {}
            _ => return desync(format!("the {name} request arrived {arrived} times and was answered: {heard:?}")),
        }
    }
    if !matches!(&seen.kept, Heard::Answer(answer) if answer.body == echo("GET", &targets.meant, b"").as_bytes()) {
        return desync(format!("afterwards another caller heard {:?}", seen.kept));
    }
    match &seen.rest {
        Heard::Closed => {}
        Heard::Silence => return Err((Wrong::Unsafe, "the connection is left open".into())),
        other => return desync(format!("one answer too many: {other:?}")),
    }
    let own: Vec<&Message> = requests.into_iter().filter(|r| r.start[1] != targets.victim && r.start[1] != targets.next).collect();
    match own.split_first() {
        None => refused(case, seen),
        Some((first, more)) => forwarded(case, seen, first, more),
    }
}

fn refused(case: &Case, seen: &Observed) -> Result<Outcome, (Wrong, String)> {
    let outcome = match &seen.heard[0] {
        Heard::Closed => Outcome::Closed,
        Heard::Answer(answer) if !matches!(answer.status(), 400..=499 | 501 | 505) => {
            return Err((Wrong::Unsafe, format!("answered {} in the function's name", answer.status())));
        }
        Heard::Answer(_) if matches!(seen.next, Some(Heard::Answer(_))) => {
            return Err((Wrong::Unsafe, "the connection goes on after a refusal".into()));
        }
        Heard::Answer(answer) if !is_ours(answer) => return Err((Wrong::Unsafe, "refused in a form that is not ours".into())),
        Heard::Answer(_) => Outcome::Refused,
        Heard::Silence => return Err((Wrong::Unsafe, "neither answered nor closed".into())),
        Heard::Garbage(why, _) => return Err((Wrong::Desync, format!("the caller got {why}"))),
    };
    match case.may {
        May::Arrive(_) => Err((Wrong::Overblock, "a valid request is refused".into())),
        _ => Ok(outcome),
    }
}

/// The form of every error of the sidecar: says that it is the last, what is wrong, and which request it was.
fn is_ours(answer: &Message) -> bool {
    let parts = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default();
    is_last(answer) && ["error", "message", "requestId"].iter().all(|part| parts[part].as_str().is_some_and(|text| !text.is_empty()))
}

fn forwarded(case: &Case, seen: &Observed, first: &Message, more: &[&Message]) -> Result<Outcome, (Wrong, String)> {
    let targets = &seen.targets;
    match more {
        [] if matches!(seen.heard.get(1), Some(Heard::Answer(a)) if !matches!(a.status(), 400..=499)) => {
            return Err((Wrong::Desync, "the second request is answered, but did not arrive".into()));
        }
        [] => {}
        // passed on as a request of its own: the sidecar has told who asks
        [second] if case.pipelined && second.start[1] == targets.smuggled && !second.all("x-forwarded-for").is_empty() => {
            if !matches!(seen.heard.get(1), Some(Heard::Answer(a)) if a.body == echo("GET", &targets.smuggled, b"").as_bytes()) {
                return Err((Wrong::Desync, "the second request has no answer of its own".into()));
            }
        }
        _ => return Err((Wrong::Desync, "a request arrived that nobody meant".into())),
    }
    let (expected, outcome) = match &case.may {
        May::Refuse => return Err((Wrong::Unsafe, "arrived, and had to be refused".into())),
        May::Tolerate(expected) => (expected, Outcome::Lenient),
        May::Either(expected) | May::Arrive(expected) => (expected, Outcome::Forwarded),
    };
    if let Some(why) = difference(expected, targets, first) {
        return Err((Wrong::Unsafe, format!("arrived changed: {why}")));
    }
    let [method, target, _] = &first.start;
    match &seen.heard[0] {
        Heard::Answer(answer) if method == "HEAD" && answer.status() == 200 => {}
        Heard::Answer(answer) if answer.body == echo(method, target, &first.body).as_bytes() => {}
        Heard::Closed if case.ends => {}
        Heard::Closed => return Err((Wrong::Overblock, "arrived, and got no answer".into())),
        other => return Err((Wrong::Desync, format!("arrived, and was answered: {other:?}"))),
    }
    let chunked = case.bytes.to_ascii_lowercase().windows(20).any(|w| w == b"\r\ntransfer-encoding:");
    if chunked && matches!(seen.next, Some(Heard::Answer(_))) {
        return Err((Wrong::Unsafe, "the connection goes on after a chunked body".into()));
    }
    Ok(outcome)
}

fn difference(expected: &Arrives, targets: &Targets, seen: &Message) -> Option<String> {
    let filled = |bytes: &[u8]| expand(bytes, &targets.meant, &targets.smuggled);
    let [method, target, _] = &seen.start;
    let hop = ["transfer_encoding", "content_length", "te", "trailer", "keep-alive", "proxy-connection", "http2-settings"];
    if method != expected.method || target.as_bytes() != filled(&expected.target) {
        return Some(format!("{method} {target}"));
    }
    if seen.body != filled(&expected.body) {
        return Some(format!("body {:?}", seen.body.escape_ascii().to_string()));
    }
    if let Some(name) = expected.without.iter().chain(&hop).find(|n| !seen.all(n).is_empty()) {
        return Some(format!("it has {name}"));
    }
    let lacks = expected.with.iter().find(|(name, value)| !seen.all(name).contains(&value.as_str()));
    lacks.map(|(name, value)| format!("it lacks {name}: {value}"))
}
