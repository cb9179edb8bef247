//! Which events a body carries. Whatever is not understood for sure is no event: the request is then forwarded.

mod field;
mod fingerprint;
mod item;
mod json;
mod text;
mod whatsapp;

#[cfg(test)]
mod field_tests;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;

use super::SkipReason;
use super::key::{KeyHasher, Keys, Scope};
use super::source::{Field, IdSource, Place, Step};

/// More items than this in one body are not told apart; batches hold a thousand at most, except those of a history.
pub const MAX_KEYS: usize = 2_000;

/// The events of a body: one at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extracted {
    /// A key for each event that has an id.
    pub keys: Keys,
    /// The body also holds something without an id. It must reach the function whatever was accepted before.
    pub idless: bool,
}

/// What ids are looked for in.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Path and query, as sent. A part of the keys of all forms but `whatsapp`: an id may count from one for each address, as Telegram's
    /// does for each bot, and a repeat comes to the address of the first copy.
    pub target: &'a str,
    /// The fields of its head.
    pub headers: &'a HeaderMap,
    /// Its body, in the chunks it arrived in.
    pub body: &'a [Bytes],
}

/// Finds the events of a delivery. A body of a single chunk is not copied.
///
/// # Errors
/// Says why nothing can be told about the events; the request is then to be forwarded as it is.
pub fn extract(source: &IdSource, scope: &Scope<'_>, delivery: &Delivery<'_>) -> Result<Extracted, SkipReason> {
    match source {
        IdSource::WhatsApp => whatsapp::read(&joined(delivery.body), &KeyHasher::new(scope, "whatsapp")),
        IdSource::Field(field) => find(field, scope, delivery),
        IdSource::FirstOf(sources) => {
            let mut outcome = Err(SkipReason::NoId);
            for source in sources {
                outcome = extract(source, scope, delivery);
                if matches!(outcome, Ok(_) | Err(SkipReason::TooManyIds)) {
                    break;
                }
            }
            outcome
        }
    }
}

fn find(field: &Field, scope: &Scope<'_>, delivery: &Delivery<'_>) -> Result<Extracted, SkipReason> {
    let mut keys = KeyHasher::new(scope, &field.profile);
    keys.part(Some(delivery.target.as_bytes()));
    let mut place = |parts: &[&str]| parts.iter().for_each(|part| keys.part(Some(part.as_bytes())));
    match &field.place {
        Place::Json { path, with } => {
            place(&["json"]);
            for step in path.steps() {
                match step {
                    Step::Member(name) => place(&["member", name]),
                    Step::Each => place(&["each"]),
                }
            }
            for name in with {
                place(&["with", name]);
            }
            field::json(&joined(delivery.body), path.steps(), with, &keys)
        }
        Place::Header(name) => {
            place(&["header", name.as_str()]);
            field::header(delivery.headers, name, &keys)
        }
        Place::Form(name) => {
            place(&["form", name]);
            field::form(delivery.headers, &joined(delivery.body), name, &keys)
        }
    }
}

fn joined(body: &[Bytes]) -> Cow<'_, [u8]> {
    match body {
        [one] => Cow::Borrowed(one),
        chunks => Cow::Owned(chunks.concat()),
    }
}
