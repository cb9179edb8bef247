//! Pass-through: what no rule claims is streamed by Pingora itself (uploads, SSE, WebSocket). Here are the slot, the connection's numbers,
//! the retry of a refused connection, and the record of the call.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, ErrorType, HttpPeer, Result};
use pingora::protocols::Digest;
use pingora::proxy::Session;
use pingora::upstreams::peer::Peer;
use tokio::time::sleep;

use super::ctx::Ctx;
use super::heads::{self, Purpose};
use super::respond;
use super::service::Edge;
use super::unsafe_method::Changes;
use super::way;
use crate::flow::Cause;
use crate::telemetry::record::{Exchanged, Phases};

/// Slowest pace, in bytes a second, at which a streamed body may go on past `limits.body_timeout`.
const SLOWEST: u64 = 16 << 10;

/// Chooses the server and takes a connection slot; after a refused connection, waits the backoff first.
///
/// # Errors
/// No address, or no slot in time.
pub async fn peer(edge: &Edge, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
    let way = &edge.way;
    if let Some(pause) = ctx.pass.pause.take() {
        sleep(pause).await;
    }
    if ctx.pass.slot.is_none() {
        ctx.pass.slot = way.slot().await;
    }
    if ctx.pass.slot.is_none() {
        return Error::e_explain(ErrorType::HTTPStatus(503), "all connections are in use");
    }
    let Some(peer) = way.peer() else { return Error::e_explain(ErrorType::ConnectError, "the server's name does not resolve") };
    ctx.pass.attempts += 1;
    ctx.pass.began.get_or_insert_with(|| way.clock.now());
    ctx.pass.peer = Some(Arc::clone(&peer));
    let mut peer = (*peer).clone();
    way::shrink(&mut peer, edge.shared.room.is_short());
    Ok(Box::new(peer))
}

/// Decides whether a connection that did not come about is tried again: nothing was sent, so any method may be.
#[must_use]
pub fn not_connected(edge: &Edge, ctx: &mut Ctx, mut error: Box<Error>) -> Box<Error> {
    edge.way.counters.failed();
    let cause = match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Cause::ConnectTimeout,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert => Cause::Tls,
        _ => Cause::Refused,
    };
    ctx.pass.pause = edge.way.config.retries.next(cause, ctx.pass.attempts);
    if ctx.pass.pause.is_some() {
        edge.way.counters.retried();
    }
    error.set_retry(ctx.pass.pause.is_some());
    error
}

/// A connection is there.
pub fn connected(edge: &Edge, ctx: &mut Ctx, reused: bool, digest: Option<&Digest>) {
    ctx.pass.borrowed = None; // of an attempt before: a kept connection that the other side had closed
    ctx.pass.borrowed = Some(edge.way.counters.borrow(reused));
    let timing = digest.and_then(|d| d.timing_digest.first()).and_then(Option::as_ref);
    ctx.story.upstream = Some(Exchanged {
        upstream: Arc::clone(&edge.way.name),
        address: ctx.pass.peer.as_ref().and_then(|p| p.address().as_inet().copied()),
        status: 0,
        connect: timing.filter(|_| !reused).map(|t| t.establishment_duration.unwrap_or_default()),
        first_byte: Duration::ZERO,
        total: Duration::ZERO,
        reused,
        retries: ctx.pass.attempts.saturating_sub(1),
        phases: Phases::default(),
    });
}

/// The request's head for the function.
///
/// # Errors
/// A field that cannot be sent.
pub fn request(edge: &Edge, session: &Session, ctx: &Ctx, head: &mut RequestHeader) -> Result<()> {
    let request = session.req_header();
    heads::restore(head, request)?;
    heads::tell(head, request, &edge.way, &edge.caller(session, ctx), Purpose::Call)
}

/// A piece of the request's body came. All of it must be there within `limits.body_timeout`, and within the time that it takes at
/// 16 KiB a second: a long upload may go on, a trickle may not.
///
/// # Errors
/// 408: it takes too long.
pub fn body(edge: &Edge, session: &mut Session, ctx: &Ctx, last: bool) -> Result<()> {
    if last {
        return Ok(());
    }
    let read = Duration::from_millis(session.body_bytes_read() as u64 * 1000 / SLOWEST);
    let elapsed = edge.shared.clock.now().saturating_duration_since(ctx.started);
    match (edge.shared.limits.body_timeout + read).checked_sub(elapsed) {
        Some(left) if left > Duration::ZERO => {
            session.set_read_timeout(Some(left));
            Ok(())
        }
        _ => Err(Error::explain(ErrorType::HTTPStatus(408), "the body takes too long").into_down()),
    }
}

/// The answer's head for the caller: connection fields stripped, ours put on.
///
/// # Errors
/// A field that cannot be sent.
pub fn response(edge: &Edge, session: &mut Session, ctx: &mut Ctx, head: &mut ResponseHeader) -> Result<()> {
    if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    let elapsed = elapsed(edge, ctx);
    if let Some(upstream) = &mut ctx.story.upstream {
        upstream.status = head.status.as_u16();
        upstream.first_byte = elapsed;
        upstream.phases = Phases::of(&head.headers);
    }
    // nobody asked for it (those who may go through `tunnel`): the caller's connection would be handed over to whatever comes next on it
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::explain(ErrorType::InvalidHTTPHeader, "a switch of protocols that nobody asked for").into_up());
    }
    let request = session.req_header();
    if let Some(changes) = Changes::of(request) {
        changes.settle(&edge.shared, head.status, &head.headers);
    }
    heads::caller_head(head, &request.method, request.version, &ctx.marks)?;
    respond::close_while_draining(session, &ctx.marks);
    Ok(())
}

/// The call has ended: its length goes into the record, its connection and slot are given back.
pub fn ended(edge: &Edge, ctx: &mut Ctx) {
    let elapsed = elapsed(edge, ctx);
    if ctx.pass.began.is_some()
        && let Some(upstream) = &mut ctx.story.upstream
    {
        upstream.total = elapsed;
        if upstream.status == 0 {
            upstream.first_byte = elapsed;
        }
    }
    ctx.pass.borrowed = None;
    ctx.pass.slot = None;
}

fn elapsed(edge: &Edge, ctx: &Ctx) -> Duration {
    ctx.pass.began.map_or(Duration::ZERO, |began| edge.way.clock.now().saturating_duration_since(began))
}
