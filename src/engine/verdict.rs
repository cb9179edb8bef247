//! `verdict`: whether the answer to a fetch may be kept, judged at its head.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

use crate::cache::policy::{self, Answer, Storable};
use crate::cache::{NotStored, Settings};

/// Judges the head of an answer. `request` are the caller's fields, `max_object` the largest body kept, in bytes.
///
/// # Errors
/// Why it is not kept. A body that ends with its connection is none to keep: its end cannot be told from a cut (RFC 9112 8).
pub fn verdict(settings: &Settings, request: &HeaderMap, answer: &Answer<'_>, max_object: u64) -> Result<Storable, NotStored> {
    let storable = policy::storable(settings, request, answer, max_object)?;
    let framed = answer.headers.contains_key(CONTENT_LENGTH) || answer.headers.contains_key(TRANSFER_ENCODING);
    if framed || answer.status == 204 { Ok(storable) } else { Err(NotStored::Incomplete) }
}
