//! Cold starts, seen from outside, and what they tell about a worker's life (supabase.md 1).
//!
//! The runtime names the isolate that answered in `x-deno-execution-id`: an id that was not seen before is an isolate that has just been
//! started. Only the first id after our own start tells nothing, as its isolate may be old. Where answers carry no such field, a cold start
//! is guessed: the first answer on a new connection after [`IDLE`] without any, if it took more than twice the usual time.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The field that names the isolate.
pub const EXECUTION_ID: &str = "x-deno-execution-id";
/// Without an answer for so long, a function may have been put to rest.
pub const IDLE: Duration = Duration::from_secs(30);
/// Most functions that are followed; names are callers' words, so only those that answered well are.
pub const MOST: usize = 200;
/// Most isolates of one function that are told apart.
const ISOLATES: usize = 8;
/// An end known as exactly as this is not looked for any closer.
const EXACT: Duration = Duration::from_millis(10);
/// Lives that differ by no more are one life: timers of a busy machine are late.
const JITTER: Duration = Duration::from_millis(200);

/// What an answer tells of the isolate that gave it.
#[derive(Clone, Copy, Debug)]
pub struct Sign<'a> {
    /// Value of [`EXECUTION_ID`].
    pub execution_id: Option<&'a [u8]>,
    /// The answer's status.
    pub status: u16,
    /// Whether it came over a kept connection.
    pub reused: bool,
    /// When the request had a connection to go by.
    pub sent: Instant,
    /// When the answer's head was there.
    pub answered: Instant,
}

/// How long isolates of a function live, as far as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// One of this age still answered.
    pub at_least: Duration,
    /// One of this age had been replaced; `None` until that was seen of one whose start was seen too.
    pub at_most: Option<Duration>,
}

/// The isolates of all functions of one upstream.
#[derive(Debug, Default)]
pub struct Starts(Mutex<HashMap<Box<str>, Isolates>>);

#[derive(Clone, Copy, Debug)]
struct Isolate {
    id: u64,
    /// When the request was sent that started it; `None` if it may have been there before.
    born: Option<Instant>,
    /// When its first answer came.
    known: Instant,
    /// When the last request was sent that it answered.
    last: Instant,
}

#[derive(Debug, Default)]
struct Isolates {
    /// In the order they were first seen.
    known: Vec<Isolate>,
    life: Life,
    /// Whether an older isolate goes on beside the newest: then nobody can tell which one a new isolate replaces.
    parallel: bool,
    last_answer: Option<Instant>,
    usual: Option<Duration>,
}

impl Starts {
    /// Whether this answer came from an isolate that was started for it.
    pub fn judge(&self, function: &str, sign: &Sign<'_>) -> bool {
        let mut functions = self.lock();
        if let Some(isolates) = functions.get_mut(function) {
            return isolates.judge(sign);
        }
        if sign.status < 400 && functions.len() < MOST {
            functions.entry(function.into()).or_default().judge(sign);
        }
        false
    }

    /// How long the function's isolates live.
    #[must_use]
    pub fn life(&self, function: &str) -> Life {
        self.lock().get(function).map_or(Life::default(), |i| i.life)
    }

    /// When to look next whether the newest isolate has been replaced: in the middle of the time in which it will be, until that is known
    /// well, and at the end of it. `None` if nothing is known, or more than one isolate answers.
    #[must_use]
    pub fn look_at(&self, function: &str, after: Instant) -> Option<Instant> {
        self.lock().get(function).and_then(|i| i.look_at(after))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Isolates>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Isolates {
    fn judge(&mut self, sign: &Sign<'_>) -> bool {
        let took = sign.answered.saturating_duration_since(sign.sent);
        let idle = self.last_answer.is_some_and(|last| sign.sent.saturating_duration_since(last) >= IDLE);
        self.last_answer = self.last_answer.max(Some(sign.answered));
        let cold = match sign.execution_id {
            Some(id) => self.is_new(hash(id), sign),
            // an answer without the field, of a function whose answers have it, is not the isolate's
            None if !self.known.is_empty() => return false,
            None => idle && !sign.reused && self.usual.is_some_and(|usual| took > 2 * usual),
        };
        if !cold {
            self.usual = Some(self.usual.map_or(took, |usual| (usual * 7 + took) / 8));
        }
        cold
    }

    fn is_new(&mut self, id: u64, sign: &Sign<'_>) -> bool {
        let newest = self.known.len().saturating_sub(1);
        if let Some(at) = self.known.iter().position(|isolate| isolate.id == id) {
            self.parallel |= at < newest && sign.sent > self.known[newest].known;
            let isolate = &mut self.known[at];
            isolate.last = isolate.last.max(sign.sent);
            let age = isolate.born.map_or(Duration::ZERO, |born| isolate.last.saturating_duration_since(born));
            self.life.outlived(age);
            return false;
        }
        let first = self.known.is_empty();
        if let Some(Isolate { born: Some(born), last, .. }) = self.known.last()
            && !self.parallel
        {
            let age = |at: Instant| at.saturating_duration_since(*born);
            self.life.ended(age(*last), age(sign.sent));
        }
        if self.known.len() == ISOLATES {
            let oldest = (0..ISOLATES).min_by_key(|at| self.known[*at].last).unwrap_or_default();
            self.known.remove(oldest);
        }
        self.known.push(Isolate { id, born: (!first).then_some(sign.sent), known: sign.answered, last: sign.sent });
        !first
    }

    fn look_at(&self, after: Instant) -> Option<Instant> {
        let (born, end) = (self.known.last()?.born?, self.life.at_most?);
        if self.parallel {
            return None;
        }
        let middle = (end.saturating_sub(self.life.at_least) > EXACT).then(|| (self.life.at_least + end) / 2);
        [middle, Some(end)].into_iter().flatten().map(|age| born + age).find(|at| *at > after)
    }
}

impl Life {
    /// One of this age answered.
    fn outlived(&mut self, age: Duration) {
        self.at_least = self.at_least.max(age);
        if let Some(most) = self.at_most.filter(|most| *most < self.at_least) {
            // unless it is only jitter, others were ended early, by a limit or a deployment
            self.at_most = (self.at_least <= most + JITTER).then(|| self.at_least + EXACT);
        }
    }

    /// One that answered at one age had been replaced at another.
    fn ended(&mut self, answered: Duration, gone: Duration) {
        if gone < self.at_least {
            *self = Self { at_least: answered, at_most: Some(gone) }; // lives differ: the last one is the best guess
        } else {
            self.at_most = Some(self.at_most.map_or(gone, |most| most.min(gone)));
        }
    }
}

fn hash(id: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
