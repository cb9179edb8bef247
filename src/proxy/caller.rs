//! The connection of a caller, as Pingora is given it: while little memory is left, it is read in small pieces, and if it gets stuck it may
//! have to make room (see [`super::stalls`]).

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Shared;
use super::stalls::Stall;

/// Bytes read at once while memory is short.
const SMALL: usize = 4 << 10;

/// A caller's connection.
pub struct Caller {
    stream: Stream,
    shared: Arc<Shared>,
    /// Set while what was written is not taken.
    stall: Option<Stall>,
}

impl Caller {
    /// Watches over a connection.
    #[must_use]
    pub fn watch(stream: Stream, shared: Arc<Shared>) -> Stream {
        Box::new(Self { stream, shared, stall: None })
    }

    /// The connection itself: what is carried over it from now on is bounded elsewhere.
    #[must_use]
    pub fn release(stream: Stream) -> Option<Stream> {
        stream.into_any().downcast::<Self>().ok().map(|caller| caller.stream)
    }

    /// A write that could not go on: it waits, or fails where others need the room.
    fn written<T>(&mut self, cx: &Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stall = None;
            return result;
        }
        let shared = &self.shared;
        let stall = self.stall.get_or_insert_with(|| shared.stalls.enter(cx.waker()));
        if stall.waits(cx.waker()) { Poll::Pending } else { Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())) }
    }
}

impl AsyncRead for Caller {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.shared.room.is_short() {
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
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
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
