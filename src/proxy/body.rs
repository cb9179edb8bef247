//! A request's body, read whole before anything is decided on it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use pingora::prelude::Result;
use pingora::proxy::Session;
use tokio::time::timeout;

use super::respond::Refusal;
use crate::flow::budget::{Budget, Share};

/// A body, or why there is none.
pub enum Body {
    /// All of it, and what it takes of the budget.
    Whole(Vec<Bytes>, Share),
    /// The budget has no room; nothing was read, so it can still be streamed.
    NoRoom,
    /// It breaks a limit.
    Refused(Refusal),
}

/// Reads the body. One without a length takes room for the largest that is allowed, and gives back what it did not need.
///
/// # Errors
/// The caller left before its body was complete.
pub async fn read(session: &mut Session, limit: u64, time: Duration, budget: &Budget) -> Result<Body> {
    let length = session.get_header(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if length.is_some_and(|n| n > limit) {
        return Ok(Body::Refused(Refusal::BodyTooLarge));
    }
    let Some(mut share) = budget.take(length.unwrap_or(limit)) else { return Ok(Body::NoRoom) };
    match timeout(time, collect(session, limit)).await {
        Err(_) => Ok(Body::Refused(Refusal::BodyTimeout)),
        Ok(Err(e)) => Err(e),
        Ok(Ok(None)) => Ok(Body::Refused(Refusal::BodyTooLarge)),
        Ok(Ok(Some(chunks))) => {
            share.shrink_to(chunks.iter().map(|c| c.len() as u64).sum());
            Ok(Body::Whole(chunks, share))
        }
    }
}

/// `None`: over the limit.
async fn collect(session: &mut Session, limit: u64) -> Result<Option<Vec<Bytes>>> {
    if session.get_header(EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        // Pingora takes any head written before the body's end for an early answer and would close: tell it that this one is none
        session.set_close_on_response_before_downstream_finish(false);
        session.write_continue_response().await?;
        session.set_close_on_response_before_downstream_finish(true);
    }
    let (mut chunks, mut total) = (Vec::new(), 0);
    while let Some(chunk) = session.read_request_body().await.map_err(pingora::Error::into_down)? {
        total += chunk.len() as u64;
        if total > limit {
            return Ok(None);
        }
        chunks.push(chunk);
    }
    Ok(Some(chunks))
}
