//! The events of a WhatsApp Cloud API webhook: `entry[].changes[].{value, field}`, in any order of the names.
//!
//! Messages, echoes, statuses and calls have an id. Whatever else arrives (errors, account updates, history, shapes not known here)
//! is an item without one, and a body that holds such an item must always reach the function.

use super::fingerprint::fingerprint;
use super::item::{Item, Kind, Part};
use super::json::Reader;
use super::{Extracted, MAX_KEYS};
use crate::dedup::SkipReason;
use crate::dedup::key::{EventKey, KeyHasher};

type Read<T> = Result<T, SkipReason>;

/// Reads a whole body. `keys` has been given the scope and the profile.
pub fn read(body: &[u8], keys: &KeyHasher) -> Read<Extracted> {
    let mut walk = Walk { keys, events: Vec::new(), items: Vec::new(), idless: false };
    let mut reader = Reader::new(body);
    if reader.peek()? == b'{' {
        walk.root(&mut reader)?;
    } else {
        reader.skip()?;
    }
    reader.end()?;
    if walk.events.is_empty() { Err(SkipReason::NoId) } else { Ok(Extracted { keys: walk.events.into(), idless: walk.idless }) }
}

/// A name that occurs twice in one object counts as JavaScript has it, the last time: what the first one gave is taken back.
/// `idless` never is, as it only ever makes a body be forwarded.
struct Walk<'a, 'k> {
    keys: &'k KeyHasher,
    events: Vec<EventKey>,
    /// The items of the change being read: the parts of their keys that stand outside of them may come later.
    items: Vec<Item<'a>>,
    idless: bool,
}

impl<'a> Walk<'a, '_> {
    fn root(&mut self, reader: &mut Reader<'a>) -> Read<()> {
        reader.object(|reader, name| match &*name.decode() {
            b"entry" => {
                self.events.clear();
                self.each(reader, Self::entry)
            }
            _ => self.unknown(reader),
        })
    }

    fn entry(&mut self, reader: &mut Reader<'a>) -> Read<()> {
        let before = self.events.len();
        reader.object(|reader, name| match &*name.decode() {
            b"changes" => {
                self.events.truncate(before);
                self.each(reader, Self::change)
            }
            _ => self.unknown(reader),
        })?;
        self.idless |= self.events.len() == before;
        Ok(())
    }

    fn change(&mut self, reader: &mut Reader<'a>) -> Read<()> {
        let (mut field, mut number) = (Part::Absent, Part::Absent);
        self.items.clear();
        reader.object(|reader, name| match &*name.decode() {
            b"field" => Part::read(reader).map(|part| field = part),
            b"value" => {
                self.items.clear();
                self.value(reader).map(|part| number = part)
            }
            _ => self.unknown(reader),
        })?;
        self.settle(field, number);
        Ok(())
    }

    /// Reads the `value` of a change into `items` and returns its `phone_number_id`.
    fn value(&mut self, reader: &mut Reader<'a>) -> Read<Part<'a>> {
        let mut number = Part::Absent;
        if reader.peek()? != b'{' {
            reader.skip()?; // No items, so the change counts as one without an id.
            return Ok(number);
        }
        reader.object(|reader, name| {
            let name = name.decode();
            if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.list().as_bytes() == &*name) {
                self.items.retain(|item| item.kind != kind);
                return self.each(reader, |walk, reader| walk.item(reader, kind));
            }
            match &*name {
                b"metadata" => phone_number_id(reader).map(|part| number = part),
                b"contacts" => reader.skip(),
                _ => self.unknown(reader),
            }
        })?;
        Ok(number)
    }

    fn item(&mut self, reader: &mut Reader<'a>, kind: Kind) -> Read<()> {
        if self.events.len() + self.items.len() >= MAX_KEYS {
            return Err(SkipReason::TooManyIds);
        }
        let mut item = Item::new(kind);
        reader.object(|reader, name| {
            let name = name.decode();
            if let Some(at) = kind.marks().iter().position(|mark| mark.as_bytes() == &*name) {
                return Part::read(reader).map(|part| item.marks[at] = part);
            }
            match &*name {
                b"id" => Part::read(reader).map(|part| item.id = part),
                b"payment" if kind == Kind::Status => fingerprint(reader).map(|print| item.payment = Some(print)),
                _ => reader.skip(),
            }
        })?;
        self.items.push(item);
        Ok(())
    }

    /// Turns the items of a change into events, now that all parts of their keys are known.
    fn settle(&mut self, field: Part<'a>, number: Part<'a>) {
        self.idless |= self.items.is_empty();
        let mut shared: Option<(Kind, KeyHasher)> = None;
        for item in std::mem::take(&mut self.items) {
            if shared.as_ref().is_none_or(|(kind, _)| *kind != item.kind) {
                let mut hasher = self.keys.clone();
                if !(field.add(&mut hasher) && number.add(&mut hasher)) {
                    self.idless = true;
                    return;
                }
                hasher.part(Some(item.kind.list().as_bytes()));
                shared = Some((item.kind, hasher));
            }
            match shared.as_ref().and_then(|(_, hasher)| item.key(hasher.clone())) {
                Some(key) => self.events.push(key),
                None => self.idless = true,
            }
        }
    }

    /// Reads an array of objects; anything else in its place is an item without an id.
    fn each(&mut self, reader: &mut Reader<'a>, mut object: impl FnMut(&mut Self, &mut Reader<'a>) -> Read<()>) -> Read<()> {
        if reader.peek()? != b'[' {
            self.idless = true;
            return reader.skip();
        }
        reader.array(|reader| {
            if reader.peek()? == b'{' {
                object(self, reader)
            } else {
                self.idless = true;
                reader.skip()
            }
        })
    }

    /// A member that is not known here: a list or an object with anything in it may be an event.
    fn unknown(&mut self, reader: &mut Reader<'a>) -> Read<()> {
        let mut content = |reader: &mut Reader<'a>| {
            self.idless = true;
            reader.skip()
        };
        match reader.peek()? {
            b'[' => reader.array(content),
            b'{' => reader.object(|reader, _| content(reader)),
            _ => reader.skip(),
        }
    }
}

fn phone_number_id<'a>(reader: &mut Reader<'a>) -> Read<Part<'a>> {
    let mut number = Part::Absent;
    if reader.peek()? != b'{' {
        return Part::read(reader).map(|part| if let Part::Absent = part { part } else { Part::Odd });
    }
    reader.object(|reader, name| match &*name.decode() {
        b"phone_number_id" => Part::read(reader).map(|part| number = part),
        _ => reader.skip(),
    })?;
    Ok(number)
}
