//! Answers the sidecar makes itself. One that refuses leaves no byte of its request to be taken for the next: the rest of the body is
//! read, if there is little, or the connection ends.

use std::time::Duration;

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, RETRY_AFTER};
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorSource, ErrorType, Result};
use pingora::protocols::http::ServerSession;
use pingora::proxy::{FailToProxy, Session};
use tokio::time::timeout;

use super::ctx::{Ctx, Marks};
use super::heads;
use super::refusal::{Refusal, classify};
use crate::dedup::DuplicateResponse;
use crate::flow::Cause;
use crate::telemetry::record::Source;

/// Most bytes that are read from a caller who was refused, so that it can read why.
pub const LINGER_BYTES: usize = 64 << 10;
/// Longest time for that.
pub const LINGER_TIME: Duration = Duration::from_secs(1);

/// Answers with a refusal and notes it in the story. The connection goes on only where the fault is not the caller's and nothing of
/// the request is left on it.
///
/// # Errors
/// The caller has left.
pub async fn refuse(session: &mut Session, ctx: &mut Ctx, refusal: Refusal) -> Result<bool> {
    let keep = refusal.status() >= 500 && drained(session).await;
    answer(session, ctx, refusal, keep).await
}

async fn answer(session: &mut Session, ctx: &mut Ctx, refusal: Refusal, keep: bool) -> Result<bool> {
    note(ctx, refusal);
    if !keep {
        session.set_keepalive(None);
    }
    let body = refusal.body(&ctx.marks.request_id);
    json(session, &ctx.marks, refusal.status(), body, refusal.retry_after()).await?;
    if !keep {
        drained(session).await; // else the connection is reset under the answer
    }
    Ok(true)
}

fn note(ctx: &mut Ctx, refusal: Refusal) {
    ctx.story.outcome = refusal.outcome();
    ctx.story.source = Source::Sidecar;
    ctx.story.error = Some(refusal.code());
    (ctx.story.shed, ctx.story.refused) = (refusal.shed(), refusal.refused());
}

/// Reads the rest of the request's body; false where it is too long, too slow, or waits for our word.
async fn drained(session: &mut Session) -> bool {
    let told = session.get_header(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(0_usize);
    if session.is_body_done() {
        return true;
    }
    if told > LINGER_BYTES && session.response_written().is_none() || session.get_header(EXPECT).is_some() {
        return false;
    }
    let read = async {
        let mut read = 0;
        while read <= LINGER_BYTES {
            match session.read_request_body().await {
                Ok(Some(data)) => read += data.len(),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
        false
    };
    timeout(LINGER_TIME, read).await.unwrap_or(false)
}

/// Writes the head of an answer that does not go through Pingora's own proxying.
///
/// # Errors
/// The caller has left.
pub async fn write_head(session: &mut Session, marks: &Marks, head: Box<ResponseHeader>) -> Result<()> {
    close_while_draining(session, marks);
    session.write_response_header(head, false).await
}

/// Looked at when the answer leaves: the clean end may have begun after its request came, and a kept connection would be cut by it.
pub fn close_while_draining(session: &mut Session, marks: &Marks) {
    if marks.draining.load(Relaxed) {
        session.set_keepalive(None);
    }
}

/// Answers with JSON made here.
///
/// # Errors
/// The caller has left.
async fn json(session: &mut Session, marks: &Marks, status: u16, body: Bytes, retry_after: Option<u32>) -> Result<bool> {
    let head = own_head(status, &body, retry_after)?;
    whole(session, marks, head, body).await
}

/// Answers a duplicate, as its rule says.
///
/// # Errors
/// The caller has left.
pub async fn duplicate(session: &mut Session, marks: &Marks, response: &DuplicateResponse) -> Result<bool> {
    let mut head = ResponseHeader::build(response.status, Some(8))?;
    head.insert_header(CONTENT_TYPE, response.content_type.as_str())?;
    if head.status != http::StatusCode::NO_CONTENT {
        head.insert_header(CONTENT_LENGTH, response.body.len())?; // RFC 9110 8.6: never with 204
    }
    head.insert_header("X-Duplicate", "true")?;
    whole(session, marks, head, response.body.clone()).await
}

async fn whole(session: &mut Session, marks: &Marks, mut head: ResponseHeader, body: Bytes) -> Result<bool> {
    heads::mark(&mut head, marks)?;
    let body = (session.req_header().method != http::Method::HEAD && !body.is_empty()).then_some(body);
    write_head(session, marks, head.into()).await?;
    session.write_response_body(body, true).await?;
    Ok(true)
}

/// Answers on a connection whose request was not read on; it is closed after that.
///
/// # Errors
/// The caller has left.
pub async fn unread(session: &mut ServerSession, refusal: Refusal, id: &str) -> Result<()> {
    let body = refusal.body(id);
    let mut head = own_head(refusal.status(), &body, refusal.retry_after())?;
    head.insert_header("X-Request-Id", id)?;
    if refusal.status() == 405 {
        head.insert_header(ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")?;
    }
    session.write_response_header(Box::new(head)).await?;
    session.write_response_body(body, true).await
}

fn own_head(status: u16, body: &Bytes, retry_after: Option<u32>) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build(status, Some(8))?;
    head.insert_header(CONTENT_TYPE, "application/json")?;
    head.insert_header(CONTENT_LENGTH, body.len())?;
    if let Some(seconds) = retry_after {
        head.insert_header(RETRY_AFTER, seconds)?;
    }
    Ok(head)
}

/// The last stop of every error that a phase returned. Nothing is written after a head: it would complete a broken answer.
pub async fn fail(session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
    let started = session.response_written().is_some_and(|h| !h.status.is_informational());
    let refusal = classify(error);
    if let Some(word) = lost(error, refusal) {
        ctx.story.error.get_or_insert(word);
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    if started {
        // the same error means another thing once the head has come
        let refusal = match refusal {
            Refusal::Upstream(Cause::Lost) => Refusal::Upstream(Cause::Cut),
            Refusal::Upstream(Cause::FirstByte) => Refusal::Upstream(Cause::Stalled),
            other => other,
        };
        ctx.story.error.get_or_insert(refusal.code());
    } else if answer(session, ctx, refusal, false).await.is_err() {
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    FailToProxy { error_code: refusal.status(), can_reuse_downstream: false }
}

/// What is told of a caller that cannot be answered any more: it left, or it did not take what was written.
fn lost(error: &Error, refusal: Refusal) -> Option<&'static str> {
    match (error.etype(), error.esource()) {
        (ErrorType::WriteTimedout, source) if *source != ErrorSource::Upstream => Some("write_timeout"),
        (ErrorType::InvalidHTTPHeader | ErrorType::HTTPStatus(_), _) => None,
        (_, ErrorSource::Downstream) if refusal != Refusal::BodyTimeout => Some("caller_gone"),
        _ => None,
    }
}
