//! Answers the sidecar makes itself, and the one table from what went wrong to outcome, status, code and text.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorSource, ErrorType, Result};
use pingora::proxy::{FailToProxy, Session};

use super::ctx::{Ctx, Marks};
use super::heads;
use crate::flow::Cause;
use crate::telemetry::record::{Outcome, ShedReason, Source};

/// Why the sidecar answers in the function's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `limits.in_flight` reached.
    InFlight,
    /// `limits.in_flight_per_function` reached.
    InFlightFunction,
    /// The body is larger than `limits.body`.
    BodyTooLarge,
    /// The body did not arrive within `limits.body_timeout`.
    BodyTimeout,
    /// The copy of a webhook in flight took longer than `wait_timeout`.
    WaitTimeout,
    /// Too many copies of one webhook, or callers of one answer, wait already.
    Crowded,
    /// `Cache-Control: only-if-cached`, and nothing usable is stored.
    OnlyIfCached,
    /// The request cannot be understood.
    BadRequest,
    /// The function could not be called, or did not answer.
    Upstream(Cause),
    /// A fault of our own.
    Internal,
}

impl Refusal {
    /// Status, closed code, sentence for the caller, seconds of `Retry-After`.
    const fn row(self) -> (u16, &'static str, &'static str, Option<u32>) {
        match self {
            Self::InFlight => (503, "in_flight", "too many requests are in flight; try again shortly", Some(1)),
            Self::InFlightFunction => {
                (503, "in_flight_per_function", "too many requests to this function are in flight; try again shortly", Some(1))
            }
            Self::BodyTooLarge => (413, "body_too_large", "the request body is larger than limits.body", None),
            Self::BodyTimeout => (400, "body_timeout", "the request body did not arrive in time", None),
            Self::WaitTimeout => {
                (503, "wait_timeout", "an earlier copy of this message is still being processed; try again shortly", Some(1))
            }
            Self::Crowded => (503, "waiters", "too many copies of this request wait already; try again shortly", Some(1)),
            Self::OnlyIfCached => (504, "only_if_cached", "no stored answer, and the request allows no other", None),
            Self::BadRequest => (400, "bad_request", "the request cannot be understood", None),
            Self::Upstream(cause) => {
                let retry_after = if cause.status() == 503 { Some(1) } else { None };
                (cause.status(), cause.as_str(), upstream_text(cause), retry_after)
            }
            Self::Internal => (500, "internal", "the sidecar failed to handle this request", None),
        }
    }

    /// The closed code: in the body, the log and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().1
    }

    /// The limit behind a refusal for load.
    const fn shed(self) -> Option<ShedReason> {
        match self {
            Self::InFlight => Some(ShedReason::InFlight),
            Self::InFlightFunction => Some(ShedReason::FunctionInFlight),
            Self::Crowded => Some(ShedReason::Waiters),
            Self::WaitTimeout => Some(ShedReason::WaitTimeout),
            Self::Upstream(Cause::Busy) => Some(ShedReason::UpstreamBusy),
            _ => None,
        }
    }

    const fn outcome(self) -> Outcome {
        match self {
            _ if self.shed().is_some() => Outcome::Shed,
            Self::BodyTooLarge | Self::BodyTimeout | Self::BadRequest | Self::OnlyIfCached => Outcome::Refused,
            _ => Outcome::Failed,
        }
    }
}

const fn upstream_text(cause: Cause) -> &'static str {
    match cause {
        Cause::Busy => "all connections to the functions are in use; try again shortly",
        Cause::Refused => "no connection to the functions",
        Cause::ConnectTimeout => "no connection to the functions in time",
        Cause::Tls => "no secure connection to the functions",
        Cause::Lost => "the function closed the connection before it answered",
        Cause::FirstByte => "the function did not answer in time",
        Cause::BadHead => "the function's answer is not HTTP",
        Cause::Cut => "the function's answer broke off",
        Cause::Stalled => "the function stopped sending",
        Cause::Internal => "the call to the function failed",
    }
}

/// Answers with a refusal and notes it in the story.
///
/// # Errors
/// The caller has left.
pub async fn refuse(session: &mut Session, ctx: &mut Ctx, refusal: Refusal) -> Result<bool> {
    note(ctx, refusal);
    let (status, code, message, retry_after) = refusal.row();
    let id = &ctx.marks.request_id; // checked or made by us: needs no escape
    let body = format!(r#"{{"error":"{code}","message":"{message}","requestId":"{id}"}}"#);
    json(session, &ctx.marks, status, body.into(), retry_after).await
}

fn note(ctx: &mut Ctx, refusal: Refusal) {
    ctx.story.outcome = refusal.outcome();
    ctx.story.source = Source::Sidecar;
    ctx.story.error = Some(refusal.code());
    ctx.story.shed = refusal.shed();
}

/// Writes the head of an answer that does not go through Pingora's own proxying.
///
/// # Errors
/// The caller has left.
pub async fn head(session: &mut Session, marks: &Marks, head: Box<ResponseHeader>) -> Result<()> {
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
pub async fn json(session: &mut Session, marks: &Marks, status: u16, body: Bytes, retry_after: Option<u32>) -> Result<bool> {
    let mut head = ResponseHeader::build(status, Some(8))?;
    head.insert_header(CONTENT_TYPE, "application/json")?;
    head.insert_header(CONTENT_LENGTH, body.len())?;
    if let Some(seconds) = retry_after {
        head.insert_header(RETRY_AFTER, seconds)?;
    }
    heads::mark(&mut head, marks)?;
    if marks.dedup.is_some_and(|d| matches!(d, super::ctx::DedupMark::Duplicate | super::ctx::DedupMark::Joined)) {
        head.insert_header("X-Duplicate", "true")?;
    }
    let whole = session.req_header().method != http::Method::HEAD;
    self::head(session, marks, head.into()).await?;
    session.write_response_body(whole.then_some(body), true).await?;
    Ok(true)
}

/// The last stop of every error that a phase returned. Nothing is written after a head: it would complete a broken answer.
pub async fn fail(session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
    let started = session.response_written().is_some_and(|h| !h.status.is_informational());
    if *error.esource() == ErrorSource::Downstream && !matches!(error.etype(), ErrorType::InvalidHTTPHeader | ErrorType::HTTPStatus(_)) {
        ctx.story.error.get_or_insert("caller_gone");
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    let refusal = classify(error);
    if started {
        // the same error means another thing once the head has come
        let refusal = match refusal {
            Refusal::Upstream(Cause::Lost) => Refusal::Upstream(Cause::Cut),
            Refusal::Upstream(Cause::FirstByte) => Refusal::Upstream(Cause::Stalled),
            other => other,
        };
        ctx.story.error.get_or_insert(refusal.code());
    } else if refuse(session, ctx, refusal).await.is_err() {
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    FailToProxy { error_code: refusal.row().0, can_reuse_downstream: false }
}

fn classify(error: &Error) -> Refusal {
    use ErrorType as E;
    match (error.etype(), error.esource()) {
        (E::HTTPStatus(413), _) => Refusal::BodyTooLarge,
        (E::HTTPStatus(503), _) => Refusal::Upstream(Cause::Busy),
        (E::HTTPStatus(400..500), _) | (E::InvalidHTTPHeader, ErrorSource::Downstream) => Refusal::BadRequest,
        (E::ConnectTimedout | E::TLSHandshakeTimedout, _) => Refusal::Upstream(Cause::ConnectTimeout),
        (E::TLSHandshakeFailure | E::InvalidCert, _) => Refusal::Upstream(Cause::Tls),
        (E::ConnectRefused | E::ConnectNoRoute | E::ConnectError | E::ConnectProxyFailure | E::SocketError | E::BindError, _) => {
            Refusal::Upstream(Cause::Refused)
        }
        (E::ReadTimedout, ErrorSource::Upstream) => Refusal::Upstream(Cause::FirstByte),
        (E::WriteTimedout, ErrorSource::Upstream) => Refusal::Upstream(Cause::Stalled),
        (E::InvalidHTTPHeader, ErrorSource::Upstream) => Refusal::Upstream(Cause::BadHead),
        (_, ErrorSource::Upstream) => Refusal::Upstream(Cause::Lost),
        _ => Refusal::Internal,
    }
}
