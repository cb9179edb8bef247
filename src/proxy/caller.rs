//! The connection of a caller, as Pingora is given it: while little memory is left, it is read in small pieces, and if it gets stuck it may
//! have to make room (see [`super::stalls`]). A hit puts its head through its slot ([`super::slot`]).

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest, UniqueID, UniqueIDType,
};
use pingora::proxy::Session;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::room::Room;
use super::slot::Slot;
use super::stalls::{Stall, Stalls};

/// Bytes read at once while memory is short.
const SMALL: usize = 4 << 10;

/// A caller's connection.
pub struct Caller {
    stream: Stream,
    room: Arc<Room>,
    stalls: Arc<Stalls>,
    /// Set while what was written is not taken.
    stall: Option<Stall>,
    /// Of a lock only as who fills it has no exclusive access; it is never waited for.
    slot: Mutex<Slot>,
}

impl Caller {
    /// Watches over a connection.
    #[must_use]
    pub fn watch(stream: Stream, room: Arc<Room>, stalls: Arc<Stalls>) -> Stream {
        Box::new(Self { stream, room, stalls, stall: None, slot: Mutex::default() })
    }

    /// The connection itself: what is carried over it from now on is bounded elsewhere.
    #[must_use]
    pub fn release(stream: Stream) -> Option<Stream> {
        stream.into_any().downcast::<Self>().ok().map(|caller| caller.stream)
    }

    /// The caller of a session; `None` where none is watched over, or its connection carries more than one request at once.
    #[must_use]
    pub fn of(session: &Session) -> Option<&Self> {
        (**session.as_downstream().stream()?).as_any().downcast_ref()
    }

    /// Has `head` written in place of the head that is written next.
    pub fn replace_head(&self, head: Bytes) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Slot::Filled(head);
    }

    /// Ends [`Self::replace_head`] where no head was written.
    pub fn keep_head(&self) {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).take_back();
    }

    /// A write that could not go on: it waits, or fails where others need the room.
    fn written<T>(&mut self, cx: &Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stall = None;
            return result;
        }
        let stall = self.stall.get_or_insert_with(|| self.stalls.enter(cx.waker()));
        if stall.waits(cx.waker()) { Poll::Pending } else { Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())) }
    }
}

impl AsyncRead for Caller {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.room.is_short() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let mut bytes = [0; SMALL];
        let room = SMALL.min(buf.remaining());
        let mut piece = ReadBuf::new(&mut bytes[..room]);
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut piece);
        buf.put_slice(piece.filled());
        read
    }
}

impl AsyncWrite for Caller {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, slot, .. } = &mut *self;
        let result = slot.get_mut().unwrap_or_else(PoisonError::into_inner).poll_write(stream, cx, bytes);
        self.written(cx, result)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Self { stream, slot, .. } = &mut *self;
        let slot = slot.get_mut().unwrap_or_else(PoisonError::into_inner);
        let result = match bytes.iter().find(|part| !part.is_empty()) {
            Some(first) if !slot.is_empty() => slot.poll_write(stream, cx, first),
            _ => Pin::new(stream).poll_write_vectored(cx, bytes),
        };
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, slot, .. } = &mut *self;
        let result = slot.get_mut().unwrap_or_else(PoisonError::into_inner).poll_flush(stream, cx);
        self.written(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Caller {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.stream).await;
    }
}

#[async_trait]
impl Peek for Caller {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(buf).await
    }
}

impl UniqueID for Caller {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Caller {}

impl GetTimingDigest for Caller {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> std::time::Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> std::time::Duration {
        self.stream.get_write_pending_time()
    }
}

impl GetProxyDigest for Caller {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Caller {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}
