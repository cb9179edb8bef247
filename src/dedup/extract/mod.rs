//! Which events a body carries. Whatever is not understood for sure is no event: the request is then forwarded.

mod fingerprint;
mod item;
mod json;
mod text;
mod whatsapp;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;

use super::key::{KeyHasher, Keys, Scope};
use super::{IdSource, SkipReason};

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

/// Finds the events of a body, which is given in the chunks it arrived in. A single chunk is not copied.
///
/// # Errors
/// Says why nothing can be told about the events; the request is then to be forwarded as it is.
pub fn extract(source: IdSource, scope: &Scope<'_>, body: &[Bytes]) -> Result<Extracted, SkipReason> {
    let body: Cow<'_, [u8]> = match body {
        [one] => Cow::Borrowed(one),
        chunks => Cow::Owned(chunks.concat()),
    };
    match source {
        IdSource::WhatsApp => whatsapp::read(&body, &KeyHasher::new(scope, "whatsapp")),
    }
}
