//! The exchange: one call to a function as owned values, which a caller can watch but not cancel (ARCHITECTURE.md, "two ways").

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::UPGRADE;
use http::{HeaderMap, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, ErrorType};
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::upstreams::peer::{HttpPeer, Peer};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{sleep, timeout, timeout_at};

use super::way::Way;
use crate::flow::budget::Share;
use crate::flow::{Answer, Cause, Failure, RunningGuard, Upstream};
use crate::telemetry::record::{Exchanged, Phases};
use crate::upstream::pool::Borrowed;

/// An owned request to a function.
pub struct Call {
    /// Its head, ready for the upstream.
    pub head: RequestHeader,
    /// Its body, as far as it is at hand. Let go of as it is sent: only what never began to be sent is tried again.
    pub body: Vec<Bytes>,
    /// What the body takes of `memory.bodies`, given back once it is sent.
    pub share: Option<Share>,
    /// The rest of a body that is still being read.
    pub rest: Option<Rest>,
}

/// Pieces of a body as they are read; `None` is its proper end. A channel that closes without one is a cut.
pub type Rest = mpsc::Receiver<Option<Bytes>>;

impl Call {
    /// A request without a body.
    #[must_use]
    pub const fn bodyless(head: RequestHeader) -> Self {
        Self { head, body: Vec::new(), share: None, rest: None }
    }
}

/// An answer of a function whose head is read.
pub struct Open {
    session: Option<HttpSession>,
    head: Option<Box<ResponseHeader>>,
    way: Arc<Way>,
    peer: Arc<HttpPeer>,
    borrowed: Option<Borrowed>,
    slot: Option<OwnedSemaphorePermit>,
    exchanged: Exchanged,
    started: Instant,
    ended: bool,
    flying: Option<RunningGuard>,
}

/// Most bytes of an answer that are read for the sake of its connection after its caller left.
const DRAIN_BYTES: usize = 1 << 20;

impl Upstream for Arc<Way> {
    type Call = Call;
    type Answer = Open;

    async fn open(&self, mut call: Call) -> Result<Open, Failure> {
        let flying = self.flying.enter();
        let started = self.clock.now();
        let mut made = 0;
        loop {
            made += 1;
            let mut failure = match attempt(self, &mut call, started).await {
                Ok(mut open) => {
                    open.exchanged.retries = made - 1;
                    open.flying = Some(flying);
                    return Ok(open);
                }
                Err(failure) => failure,
            };
            let reused = failure.exchanged.as_ref().is_some_and(|e| e.reused);
            let stale = self.config.retries.again_after_stale(failure.cause, reused, call.head.method.is_safe(), made);
            let pause = if stale { Some(Duration::ZERO) } else { self.config.retries.next(failure.cause, made) };
            let Some(pause) = pause else {
                if let Some(e) = &mut failure.exchanged {
                    e.retries = made - 1;
                }
                return Err(failure);
            };
            if stale {
                self.counters.stale();
            } else {
                self.counters.retried();
            }
            sleep(pause).await;
        }
    }
}

/// One attempt: slot, connection, request, final head.
async fn attempt(way: &Arc<Way>, call: &mut Call, started: Instant) -> Result<Open, Failure> {
    let bare = |cause| Failure { cause, exchanged: None };
    let peer = way.peer().ok_or_else(|| bare(Cause::Refused))?;
    let slot = way.slot().await.ok_or_else(|| bare(Cause::Busy))?;
    let connecting = way.clock.now();
    let (session, reused) = connect(way, &peer).await.map_err(|cause| {
        way.counters.failed();
        bare(cause)
    })?;
    let exchanged = Exchanged {
        upstream: Arc::clone(&way.name),
        address: peer.address().as_inet().copied(),
        status: 0,
        connect: (!reused).then(|| way.clock.now().saturating_duration_since(connecting)),
        first_byte: Duration::ZERO,
        total: Duration::ZERO,
        reused,
        retries: 0,
        phases: Phases::default(),
    };
    let mut open = Open {
        session: Some(session),
        head: None,
        way: Arc::clone(way),
        borrowed: Some(way.counters.borrow(reused)),
        slot: Some(slot),
        peer,
        exchanged,
        started,
        ended: false,
        flying: None,
    };
    match talk(open.session.as_mut().expect("set above"), way, call).await {
        Ok(head) => {
            open.exchanged.status = head.status.as_u16();
            open.exchanged.phases = Phases::of(&head.headers);
            open.exchanged.first_byte = way.clock.now().saturating_duration_since(started);
            open.head = Some(head);
            Ok(open)
        }
        Err(cause) => Err(Failure { cause, exchanged: Some(open.exchanged()) }),
    }
}

/// A kept connection, else a new one.
async fn connect(way: &Way, peer: &HttpPeer) -> Result<(HttpSession, bool), Cause> {
    if let Some(session) = way.connector.reused_http_session(peer).await {
        return Ok((session, true));
    }
    Box::pin(way.connector.get_http_session(peer)).await.map_err(|e| match e.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Cause::ConnectTimeout,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert => Cause::Tls,
        _ => Cause::Refused,
    })
}

/// Sends the request and reads heads until the final one; informational ones are not passed on (RFC 9110 15.2 allows it).
async fn talk(session: &mut HttpSession, way: &Way, call: &mut Call) -> Result<Box<ResponseHeader>, Cause> {
    session.write_timeout = Some(way.config.between_bytes);
    let sent = write(session, call).await;
    if sent.as_ref().is_err_and(|e| *e.etype() == ErrorType::WriteTimedout) {
        // it may have answered without reading: take what is there, but do not wait for more
        session.read_timeout = Some(Duration::from_millis(1));
    }
    let deadline = tokio::time::Instant::now() + way.config.first_byte;
    loop {
        match timeout_at(deadline, session.read_response()).await {
            Err(_) => return Err(Cause::FirstByte),
            Ok(Err(e)) => return Err(head_failure(sent.as_ref().err().unwrap_or(&e), &e)),
            Ok(Ok(_)) => {}
        }
        let head = session.resp_header().expect("just read");
        let switched = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if switched && !call.head.headers.contains_key(UPGRADE) {
            return Err(Cause::BadHead); // nobody asked for it
        }
        if switched || !head.status.is_informational() {
            let head = Box::new(head.clone());
            session.read_timeout = Some(way.config.between_bytes);
            return Ok(head);
        }
    }
}

async fn write(session: &mut HttpSession, call: &mut Call) -> Result<(), Box<Error>> {
    session.write_request_header(Box::new(call.head.clone())).await?;
    for chunk in std::mem::take(&mut call.body) {
        session.write_body(&chunk).await?;
    }
    call.share = None;
    if let Some(rest) = &mut call.rest {
        loop {
            match rest.recv().await {
                Some(Some(chunk)) => session.write_body(&chunk).await?,
                Some(None) => break,
                None => return Err(Error::explain(ErrorType::ConnectionClosed, "the caller left within its body")),
            };
        }
    }
    session.finish_body().await.map(drop)
}

fn head_failure(first: &Error, read: &Error) -> Cause {
    match (first.etype(), read.etype()) {
        (_, ErrorType::InvalidHTTPHeader) => Cause::BadHead,
        (ErrorType::WriteTimedout, _) => Cause::Stalled,
        (ErrorType::ReadTimedout, _) => Cause::FirstByte,
        _ => Cause::Lost,
    }
}

impl Open {
    /// Back to the pool, if there is room; the numbers first, so that nobody sees it both idle and in use.
    async fn release(&mut self) {
        self.end();
        if let Some(session) = self.session.take() {
            self.borrowed = None;
            if let Some(idle) = self.way.keeps_idle() {
                self.way.connector.release_http_session(session, &*self.peer, Some(idle)).await;
            }
        }
        self.slot = None;
    }

    /// The connection itself, after a switch of protocols, and what was read of it after the head. It is not pooled again.
    pub async fn take_stream(&mut self) -> Option<(Bytes, Stream)> {
        let mut session = self.session.take()?;
        // what came with the head is there at once
        let early = timeout(Duration::ZERO, session.read_body_bytes()).await;
        Some((early.ok().and_then(Result::ok).flatten().unwrap_or_default(), session.into_inner()))
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.exchanged.total = self.way.clock.now().saturating_duration_since(self.started);
        }
    }
}

impl Answer for Open {
    type Head = Box<ResponseHeader>;

    fn head(&self) -> (StatusCode, &HeaderMap) {
        let head = self.head.as_ref().expect("looked at before it is taken");
        (head.status, &head.headers)
    }

    fn take_head(&mut self) -> Self::Head {
        self.head.take().expect("taken once")
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        let Some(session) = self.session.as_mut() else { return Ok(None) };
        match session.read_body_bytes().await {
            Ok(data) => {
                // before the last piece is shown, or the caller's next request is faster than the pool
                if data.is_none() || session.is_body_done() {
                    self.release().await;
                }
                Ok(data)
            }
            Err(e) => {
                self.end();
                self.session = None;
                Err(if *e.etype() == ErrorType::ReadTimedout { Cause::Stalled } else { Cause::Cut })
            }
        }
    }

    fn exchanged(&self) -> Exchanged {
        let mut exchanged = self.exchanged.clone();
        if !self.ended {
            exchanged.total = self.way.clock.now().saturating_duration_since(self.started);
        }
        exchanged
    }

    async fn drain(mut self) {
        let mut read = 0;
        while let Ok(Some(data)) = self.next().await {
            read += data.len();
            if read > DRAIN_BYTES {
                return;
            }
        }
    }
}
