//! A request's body, read whole before anything is decided on it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use pingora::prelude::Result;
use pingora::proxy::Session;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::refusal::Refusal;
use crate::flow::budget::{Budget, Share};

/// A body, or why there is none.
pub enum Body {
    /// All of it, and what it takes of the budget.
    Whole(Vec<Bytes>, Share),
    /// The budget has no room; nothing was read, so it can still be streamed.
    NoRoom,
    /// The budget had room for this much of a body without a length; the rest can still be streamed, by [`pump`].
    Begun(Vec<Bytes>, Share),
    /// It breaks a limit.
    Refused(Refusal),
}

/// The next piece; `None` at the proper end. Where a chunk's last line break comes by itself, Pingora's reader tells of a piece without
/// bytes, which written on would be the last chunk: the body would be cut and look whole.
async fn next(session: &mut Session) -> Result<Option<Bytes>> {
    loop {
        let piece = session.read_request_body().await.map_err(pingora::Error::into_down)?;
        if piece.as_ref().is_none_or(|bytes| !bytes.is_empty()) {
            return Ok(piece);
        }
    }
}

/// Reads the body. One without a length takes room as it comes.
///
/// # Errors
/// The caller left before its body was complete.
pub async fn read(session: &mut Session, limit: u64, time: Duration, budget: &Budget) -> Result<Body> {
    let length = session.get_header(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if length.is_some_and(|n| n > limit) {
        return Ok(Body::Refused(Refusal::BodyTooLarge));
    }
    let Some(share) = budget.take(length.unwrap_or_default()) else { return Ok(Body::NoRoom) };
    match timeout(time, collect(session, limit, share, length.is_some())).await {
        Ok(body) => body,
        Err(_) => Ok(Body::Refused(Refusal::BodyTimeout)),
    }
}

async fn collect(session: &mut Session, limit: u64, mut share: Share, reserved: bool) -> Result<Body> {
    if session.get_header(EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        // Pingora takes any head written before the body's end for an early answer and would close: tell it that this one is none
        session.set_close_on_response_before_downstream_finish(false);
        session.write_continue_response().await?;
        session.set_close_on_response_before_downstream_finish(true);
    }
    let (mut chunks, mut total) = (Vec::new(), 0);
    while let Some(chunk) = next(session).await? {
        total += chunk.len() as u64;
        if total > limit {
            return Ok(Body::Refused(Refusal::BodyTooLarge));
        }
        let room = reserved || share.grow(chunk.len() as u64);
        chunks.push(chunk);
        if !room {
            return Ok(Body::Begun(chunks, share));
        }
    }
    Ok(Body::Whole(chunks, share))
}

/// Hands on what is left of a body as it is read, at most `left` bytes.
///
/// # Errors
/// The caller left; `Ok(Some(_))`: the body breaks a limit. In both cases `to` is closed without the end of the body.
pub async fn pump(session: &mut Session, mut left: u64, time: Duration, to: mpsc::Sender<Option<Bytes>>) -> Result<Option<Refusal>> {
    let hand_on = async {
        while let Some(chunk) = next(session).await? {
            let Some(rest) = left.checked_sub(chunk.len() as u64) else { return Ok(Some(Refusal::BodyTooLarge)) };
            left = rest;
            if to.send(Some(chunk)).await.is_err() {
                return Ok(None); // the function has answered, or is gone: its side tells
            }
        }
        let _ = to.send(None).await;
        Ok(None)
    };
    timeout(time, hand_on).await.unwrap_or(Ok(Some(Refusal::BodyTimeout)))
}
