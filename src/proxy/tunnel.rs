//! A WebSocket: the handshake goes through the exchange, then bytes are carried both ways as they come, until one side ends.
//!
//! Not left to Pingora's own proxying: there a function that agrees before the end of the (empty) request was noted has its connection
//! closed at once, and one that is silent for `timeouts.first_byte` too.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use http::StatusCode;
use pingora::prelude::Result;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::timeout;

use super::caller::Caller;
use super::client::Client;
use super::ctx::Ctx;
use super::exchange::Call;
use super::refusal::Refusal;
use super::respond;
use super::service::Edge;
use super::upgrade;
use super::webhook::finish;
use crate::flow::send::{DRAIN_TIME, relay};
use crate::flow::{Answer, Cause, Failure, Upstream};

/// Most bytes held of each direction.
const PIECE: usize = 8 << 10;

/// Answers a handshake: opens the function's side, and carries bytes once it agreed. Any other answer is passed on, and ends the
/// connection.
///
/// # Errors
/// The caller left, or the function's answer broke off.
pub async fn answer(edge: &Edge, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
    let head = upgrade::handshake_head(session.req_header(), &edge.way, &edge.caller(session, ctx))?;
    let mut open = match edge.way.open(Call::bodyless(head)).await {
        Ok(open) => open,
        Err(Failure { cause, exchanged }) => {
            ctx.story.upstream = exchanged;
            return respond::refuse(session, ctx, Refusal::Upstream(cause)).await;
        }
    };
    if open.head().0 != StatusCode::SWITCHING_PROTOCOLS {
        let sent = relay(Ok(open), &mut Client { session, marks: &ctx.marks }, |_, _| ()).await;
        return finish(session, ctx, sent).await;
    }
    let mut head = open.take_head();
    if !upgrade::switched_head(&mut head, &ctx.marks)? {
        ctx.story.upstream = Some(open.exchanged());
        return respond::refuse(session, ctx, Refusal::Upstream(Cause::BadHead)).await;
    }
    session.write_response_header(head, false).await?;
    let carried = Carried::default();
    if let (Some(caller), Some((early, function))) = (take(session), open.take_stream().await) {
        carry(caller, function, early, &carried).await;
    }
    ctx.story.upstream = Some(open.exchanged());
    ctx.story.bytes_in = carried.inward.load(Relaxed);
    ctx.story.switched = Some(carried.outward.load(Relaxed));
    Ok(true)
}

/// The caller's connection, out of the hands of Pingora: what it keeps is closed.
fn take(session: &mut Session) -> Option<Stream> {
    let closed = ServerSession::new_http1(Box::new(tokio::io::duplex(1).0));
    match std::mem::replace(&mut *session.downstream_session, closed) {
        ServerSession::H1(session) => Caller::release(session.into_inner()),
        _ => None,
    }
}

/// Bytes carried so far.
#[derive(Default)]
struct Carried {
    inward: AtomicU64,
    outward: AtomicU64,
}

/// Carries until one side ends; the other has a moment to say its last.
async fn carry(caller: Stream, function: Stream, early: Bytes, carried: &Carried) {
    let ((from_caller, mut to_caller), (from_function, to_function)) = (split(caller), split(function));
    if to_caller.write_all(&early).await.is_err() {
        return;
    }
    carried.outward.fetch_add(early.len() as u64, Relaxed);
    let (inward, outward) = (pour(from_caller, to_function, &carried.inward), pour(from_function, to_caller, &carried.outward));
    tokio::pin!(inward, outward);
    tokio::select! {
        () = &mut inward => { let _ = timeout(DRAIN_TIME, outward).await; }
        () = &mut outward => { let _ = timeout(DRAIN_TIME, inward).await; }
    }
}

/// One direction: each piece is sent on before the next is read.
async fn pour(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, count: &AtomicU64) {
    let mut piece = vec![0; PIECE];
    while let Ok(n @ 1..) = from.read(&mut piece).await {
        if to.write_all(&piece[..n]).await.is_err() || to.flush().await.is_err() {
            return;
        }
        count.fetch_add(n as u64, Relaxed);
    }
    let _ = to.shutdown().await;
}
