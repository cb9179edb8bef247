//! Ids in a place that a rule names: a path into the JSON body, a field of the head, a field of a URL-encoded form.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName};

use super::item::{MAX_PART, Part};
use super::json::Reader;
use super::{Extracted, MAX_KEYS};
use crate::dedup::SkipReason;
use crate::dedup::key::{EventKey, KeyHasher};
use crate::dedup::source::Step;

type Read<T> = Result<T, SkipReason>;

/// The ids at the end of a path. Of every list on the way each element must yield one: an element that does not is something without
/// an id, and the body is then always forwarded. What the path does not pass is not looked at.
pub fn json(body: &[u8], steps: &[Step], with: &[String], keys: &KeyHasher) -> Read<Extracted> {
    let mut walk = Walk { keys, with, events: Vec::new(), idless: false };
    let mut reader = Reader::new(body);
    reader.peek()?;
    walk.value(&mut reader, steps)?;
    reader.end()?;
    if walk.events.is_empty() { Err(SkipReason::NoId) } else { Ok(Extracted { keys: walk.events.into(), idless: walk.idless }) }
}

/// A name that occurs twice in one object counts as JavaScript has it, the last time. `idless` is never taken back.
struct Walk<'k> {
    keys: &'k KeyHasher,
    with: &'k [String],
    events: Vec<EventKey>,
    idless: bool,
}

impl Walk<'_> {
    fn value(&mut self, reader: &mut Reader<'_>, steps: &[Step]) -> Read<()> {
        let Some((step, rest)) = steps.split_first() else {
            let id = Part::read(reader)?;
            return self.settle(&id, &[]);
        };
        match (step, reader.peek()?) {
            (Step::Each, b'[') => reader.array(|reader| {
                let before = self.events.len();
                self.value(reader, rest)?;
                self.idless |= self.events.len() == before;
                Ok(())
            }),
            (Step::Member(name), b'{') if rest.is_empty() => self.holder(reader, name),
            (Step::Member(member), b'{') => {
                let before = self.events.len();
                reader.object(|reader, name| {
                    if *name.decode() != *member.as_bytes() {
                        return reader.skip();
                    }
                    self.events.truncate(before);
                    self.value(reader, rest)
                })
            }
            _ => reader.skip(),
        }
    }

    /// The object that holds the id, and beside it what tells apart events that share it.
    fn holder(&mut self, reader: &mut Reader<'_>, id_name: &str) -> Read<()> {
        let mut id = Part::Absent;
        let mut marks = vec![Mark::Part(Part::Absent); self.with.len()];
        reader.object(|reader, name| {
            let name = name.decode();
            if *name == *id_name.as_bytes() {
                return Part::read(reader).map(|part| id = part);
            }
            match self.with.iter().position(|mark| *mark.as_bytes() == *name) {
                Some(at) => Mark::read(reader).map(|mark| marks[at] = mark),
                None => reader.skip(),
            }
        })?;
        self.settle(&id, &marks)
    }

    fn settle(&mut self, id: &Part<'_>, marks: &[Mark<'_>]) -> Read<()> {
        let mut hasher = self.keys.clone();
        if id.add_id(&mut hasher) && marks.iter().all(|mark| mark.add(&mut hasher)) {
            if self.events.len() >= MAX_KEYS {
                return Err(SkipReason::TooManyIds);
            }
            self.events.push(hasher.finish());
        }
        Ok(())
    }
}

/// The value of a member named by `with:`.
#[derive(Clone, Copy)]
enum Mark<'a> {
    Part(Part<'a>),
    Truth(&'a [u8]),
}

impl<'a> Mark<'a> {
    fn read(reader: &mut Reader<'a>) -> Read<Self> {
        match reader.peek()? {
            b't' | b'f' => reader.literal().map(Self::Truth),
            _ => Part::read(reader).map(Self::Part),
        }
    }

    fn add(&self, hasher: &mut KeyHasher) -> bool {
        // the kind in front: `true` is not the string "true"
        match self {
            Self::Part(part) => {
                hasher.part(Some(b"text"));
                part.add(hasher)
            }
            Self::Truth(word) => {
                hasher.part(Some(b"truth"));
                hasher.part(Some(word));
                true
            }
        }
    }
}

/// The id in a field of the head, which must be there once.
pub fn header(headers: &HeaderMap, name: &HeaderName, keys: &KeyHasher) -> Read<Extracted> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => one(value.as_bytes(), keys),
        _ => Err(SkipReason::NoId),
    }
}

/// The id in a field of a URL-encoded body. A field given twice with two values is no id: which one counts is the function's choice.
pub fn form(headers: &HeaderMap, body: &[u8], name: &str, keys: &KeyHasher) -> Read<Extracted> {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|value| value.split(';').next());
    if !media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")) {
        return Err(SkipReason::Unparsable);
    }
    let mut found: Option<Vec<u8>> = None;
    for pair in body.split(|byte| *byte == b'&') {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        if *decode(&pair[..at]) != *name.as_bytes() {
            continue;
        }
        let value = decode(pair.get(at + 1..).unwrap_or_default());
        if found.as_deref().is_some_and(|earlier| *earlier != *value) {
            return Err(SkipReason::NoId);
        }
        found = Some(value.into_owned());
    }
    one(found.as_deref().ok_or(SkipReason::NoId)?, keys)
}

fn one(id: &[u8], keys: &KeyHasher) -> Read<Extracted> {
    let id = id.trim_ascii();
    if id.is_empty() || id.len() > MAX_PART {
        return Err(SkipReason::NoId);
    }
    let mut hasher = keys.clone();
    hasher.id(id);
    Ok(Extracted { keys: vec![hasher.finish()].into(), idless: false })
}

/// Decodes `+` and `%XX`, as the WHATWG URL standard does for forms: a `%` without two digits stands for itself.
fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let value = digit(at + 1).zip(digit(at + 2)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        match (byte, value) {
            (b'%', Some(value)) => {
                out.push(value);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(*byte),
        }
        at += 1;
    }
    Cow::Owned(out)
}
