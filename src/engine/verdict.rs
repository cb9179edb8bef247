//! `verdict`: whether the answer to a fetch may be kept, judged at its head.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};

use crate::cache::policy::{self, Answer, Storable};
use crate::cache::{NotStored, Settings};

/// Judges the head of an answer. `request` are the caller's fields, `max_object` the largest body kept, in bytes.
///
/// # Errors
/// Why it is not kept. A body that ends with its connection is none to keep: its end cannot be told from a cut (RFC 9112 8). Nor is a
/// stream of events, which may never end: whoever waited for it would see nothing.
pub fn verdict(settings: &Settings, request: &HeaderMap, answer: &Answer<'_>, max_object: u64) -> Result<Storable, NotStored> {
    let storable = policy::storable(settings, request, answer, max_object)?;
    let framed = answer.headers.contains_key(CONTENT_LENGTH) || answer.headers.contains_key(TRANSFER_ENCODING);
    if (framed && !is_event_stream(answer.headers)) || answer.status == 204 { Ok(storable) } else { Err(NotStored::Incomplete) }
}

/// `text/event-stream` without a length.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|v| v.as_bytes().split(|b| *b == b';').next()).unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream") && !headers.contains_key(CONTENT_LENGTH)
}
