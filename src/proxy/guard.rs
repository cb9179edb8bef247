//! Stands before Pingora on every connection: a place among `limits.connections`, and for each request a whole, well-framed head within
//! size, number and time. Pingora has none of these limits, and repairs some heads that it had better refuse.
//!
//! The bytes read here go to Pingora's session as what was read ahead of it, so that nothing is copied or read twice; the stream comes
//! back when the request is answered and its connection may go on.

use std::net::SocketAddr;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::listeners::{L4BufferSettings, ListenerConfig, TcpSocketOptions};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{Stream, TcpKeepalive};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Shared;
use super::caller::Caller;
use super::framing::{self, Fine, Head};
use super::gate::Gate;
use super::ids;
use super::refusal::Refusal;
use super::respond::{self, LINGER_BYTES, LINGER_TIME};
use super::service::Edge;
use crate::config::sidecar::Limits;
use crate::flow::budget::{Budget, Share};
use crate::telemetry::record::{Finished, RefusedReason, ShedReason, Source};

/// First room for a head, in bytes: enough for nearly all.
const ROOM: usize = 4096;

/// A connection that has been idle for so long makes room for a newcomer. Not sooner: a flood of newcomers would push out those who are
/// about to ask.
const SETTLED: Duration = Duration::from_secs(1);
/// When the kernel asks a silent caller whether it is still there.
const PROBE_AFTER: Duration = Duration::from_mins(1);
/// How often it asks, until it gets an answer.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How many times in vain.
const PROBES: usize = 3;
/// The application of one listener.
pub struct Guard {
    /// What answers the requests.
    pub proxy: Arc<HttpProxy<Edge>>,
    /// What all listeners share.
    pub shared: Arc<Shared>,
    /// The places for connections.
    pub gate: Arc<Gate>,
}

/// A head that may be read by Pingora, with what came after it.
struct Admitted {
    bytes: BytesMut,
    head: Fine,
    /// What it takes of the room for large heads, until it is answered.
    share: Option<Share>,
}

/// What the guard tells [`Edge`] of a request: after a head that ends its connection, more had come.
pub struct Ahead;

/// Why a connection goes no further.
enum End {
    /// Nothing of a request came.
    Idle,
    /// What came is refused.
    Refused(RefusedReason, BytesMut),
}

#[async_trait]
impl ServerApp for Guard {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        if self.shared.shut.load(Relaxed) {
            return None;
        }
        let Some(_place) = self.gate.enter().await else {
            self.shared.metrics.shed(ShedReason::Connections);
            return None;
        };
        let mut stream = Caller::watch(stream, Arc::clone(&self.shared.room), Arc::clone(&self.shared.stalls));
        loop {
            match self.head(&mut stream).await {
                Continue(Admitted { bytes, head, share: _share }) => {
                    let mut session = ServerSession::new_http1(stream);
                    if head.closes {
                        // the one word on keep-alive that Pingora does not take back when it reads the head
                        session.set_keepalive_reuses_remaining(Some(0));
                        if bytes.len() > head.len {
                            session.set_connection_user_context(Some(Box::new(Ahead)));
                        }
                    }
                    session.set_pipelined_prefix(bytes);
                    (stream, _) = self.proxy.process_new_http(session, shutdown).await?.consume();
                }
                Break(End::Idle) => {
                    let _ = stream.shutdown().await;
                    return None;
                }
                // boxed: every idle connection holds the space of what its future may come to hold
                Break(End::Refused(reason, head)) => {
                    Box::pin(self.refuse(stream, reason, head)).await;
                    return None;
                }
            }
        }
    }

    async fn cleanup(&self) {
        self.gate.close();
        self.proxy.http_cleanup().await;
    }
}

impl Guard {
    /// The next head of a connection.
    async fn head(&self, stream: &mut Stream) -> ControlFlow<End, Admitted> {
        let limits = &self.shared.limits;
        let mut bytes = BytesMut::with_capacity(ROOM);
        let settled = SETTLED.min(limits.idle_timeout);
        let first = match timeout(settled, stream.read_buf(&mut bytes)).await {
            Ok(read) => read.is_ok_and(|n| n > 0),
            Err(_) => self.settled(stream, &mut bytes, limits.idle_timeout.saturating_sub(settled)).await,
        };
        if !first {
            return Break(End::Idle);
        }
        let mut share = None;
        let judged = match self.judge(&bytes) {
            Some(judged) => judged,
            None => {
                timeout(limits.header_timeout, self.rest(stream, &mut bytes, &mut share)).await.unwrap_or(Err(RefusedReason::HeaderTimeout))
            }
        };
        match judged {
            Ok(head) => Continue(Admitted { bytes, head, share }),
            Err(reason) => Break(End::Refused(reason, bytes)),
        }
    }

    /// Waits on for the first bytes of a head, now in a place that others may be given. False: none came.
    async fn settled(&self, stream: &mut Stream, bytes: &mut BytesMut, time: Duration) -> bool {
        tokio::select! {
            biased;
            read = timeout(time, stream.read_buf(bytes)) => matches!(read, Ok(Ok(1..))),
            room = self.gate.wanted() => {
                if room {
                    self.shared.metrics.shed(ShedReason::Connections);
                }
                false
            }
        }
    }

    /// Reads on until there is a verdict.
    async fn rest(&self, stream: &mut Stream, bytes: &mut BytesMut, share: &mut Option<Share>) -> Result<Fine, RefusedReason> {
        loop {
            let known = bytes.len();
            if bytes.capacity() == known {
                if !grow(share, &self.shared.heads, known as u64) {
                    return Err(RefusedReason::LargeHeads);
                }
                bytes.reserve(known);
            }
            if !matches!(stream.read_buf(bytes).await, Ok(1..)) {
                return Err(RefusedReason::HeaderCut);
            }
            // only the end of a line can complete a head: bytes that trickle in are not judged one by one
            let news = bytes[known..].contains(&b'\n') || bytes.len() >= self.shared.limits.header;
            if let Some(judged) = news.then(|| self.judge(bytes)).flatten() {
                return judged;
            }
        }
    }

    fn judge(&self, bytes: &[u8]) -> Option<Result<Fine, RefusedReason>> {
        let limits = &self.shared.limits;
        match framing::judge(bytes, &framing::Limits { bytes: limits.header, fields: limits.headers }) {
            Head::Incomplete => None,
            Head::Fine(head) => Some(Ok(head)),
            Head::Refused(reason) => Some(Err(reason)),
        }
    }

    /// Tells the caller why, and records it like any other request.
    async fn refuse(&self, stream: Stream, reason: RefusedReason, bytes: BytesMut) {
        let refused = self.shared.clock.now();
        let (id, refusal) = (ids::new(), Refusal::Head(reason));
        let mut session = ServerSession::new_http1(stream);
        let answered = matches!(timeout(LINGER_TIME, respond::unread(&mut session, refusal, &id)).await, Ok(Ok(())));
        let (method, path) = framing::request_line(&bytes).unwrap_or_default();
        self.shared.metrics.refused(reason);
        self.shared.metrics.record(&Finished {
            request_id: &id,
            trace_id: None,
            method,
            path,
            function: "",
            status: if answered { refusal.status() } else { 0 },
            outcome: refusal.outcome(),
            source: Source::Sidecar,
            reason: None,
            error: Some(reason.as_str()),
            age: None,
            cache: None,
            dedup: None,
            upstream: None,
            duration: self.shared.clock.now().saturating_duration_since(refused),
            slow_after: Duration::MAX,
            bytes_in: 0,
            bytes_out: 0,
            generation: self.shared.live.load().generation,
        });
        drop(bytes);
        if let (ServerSession::H1(session), true) = (session, answered) {
            let _ = timeout(LINGER_TIME, linger(session.into_inner())).await;
        }
    }
}

/// Takes more of the room for large heads; false where there is none.
fn grow(share: &mut Option<Share>, heads: &Budget, by: u64) -> bool {
    if let Some(share) = share {
        return share.grow(by);
    }
    *share = heads.take(by);
    share.is_some()
}

/// Closes our side, and reads what is still under way: a connection that is closed with bytes unread is reset, and the answer lost.
async fn linger(mut stream: Stream) {
    let _ = AsyncWriteExt::shutdown(&mut stream).await;
    let (mut bytes, mut read) = (BytesMut::with_capacity(ROOM), 0);
    while let Ok(n @ 1..) = stream.read_buf(&mut bytes).await {
        read += n;
        if read > LINGER_BYTES {
            return;
        }
        bytes.clear();
    }
}

/// A listener's socket: unbuffered, as the guard and the reader of bodies have buffers of their own; a caller that vanished, or that takes
/// nothing of what was written, is let go by the kernel where no time limit of ours runs.
#[must_use]
pub fn endpoint(address: SocketAddr, limits: &Limits) -> ListenerConfig {
    let keepalive = TcpKeepalive {
        idle: PROBE_AFTER,
        interval: PROBE_EVERY,
        count: PROBES,
        #[cfg(target_os = "linux")]
        user_timeout: limits.write_timeout,
    };
    let mut options = TcpSocketOptions::default();
    options.tcp_keepalive = Some(keepalive);
    ListenerConfig::tcp(address.to_string()).tcp_socket_options(options).l4_buffer(L4BufferSettings { read: Some(0), write: None })
}
