//! Why the sidecar answers in the function's place: the one table from what went wrong to outcome, status, code and text.

use bytes::Bytes;
use pingora::prelude::{Error, ErrorSource, ErrorType};

use crate::flow::Cause;
use crate::telemetry::record::{Outcome, RefusedReason, ShedReason};

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
    /// Its signature is none of those that its rule accepts.
    Signature,
    /// Its signature cannot be checked: `memory.bodies` has no room for its body.
    BodyRoom,
    /// `Cache-Control: only-if-cached`, and nothing usable is stored.
    OnlyIfCached,
    /// The request cannot be understood.
    BadRequest,
    /// Its head is refused before it is read on.
    Head(RefusedReason),
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
            Self::BodyTimeout => (408, "body_timeout", "the request body did not arrive in time", None),
            Self::WaitTimeout => {
                (503, "wait_timeout", "an earlier copy of this message is still being processed; try again shortly", Some(1))
            }
            Self::Crowded => (503, "waiters", "too many copies of this request wait already; try again shortly", Some(1)),
            Self::Signature => (401, "bad_signature", "the signature of this request is missing, wrong or too old", None),
            Self::BodyRoom => (503, "bodies", "there is no room for this body to check its signature; try again shortly", Some(1)),
            Self::OnlyIfCached => (504, "only_if_cached", "no stored answer, and the request allows no other", None),
            Self::BadRequest => (400, "bad_request", "the request cannot be understood", None),
            Self::Head(reason) => {
                let (status, text) = head_row(reason);
                (status, reason.as_str(), text, None)
            }
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

    /// The status.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().0
    }

    /// Seconds of `Retry-After`.
    #[must_use]
    pub const fn retry_after(self) -> Option<u32> {
        self.row().3
    }

    /// The body of the answer. `id` is made or checked by us, and needs no escape.
    #[must_use]
    pub fn body(self, id: &str) -> Bytes {
        let (_, code, message, _) = self.row();
        format!(r#"{{"error":"{code}","message":"{message}","requestId":"{id}"}}"#).into()
    }

    /// The limit behind a refusal for load.
    #[must_use]
    pub const fn shed(self) -> Option<ShedReason> {
        match self {
            Self::InFlight => Some(ShedReason::InFlight),
            Self::InFlightFunction => Some(ShedReason::FunctionInFlight),
            Self::Crowded => Some(ShedReason::Waiters),
            Self::WaitTimeout => Some(ShedReason::WaitTimeout),
            Self::BodyRoom => Some(ShedReason::Bodies),
            Self::Upstream(Cause::Busy) => Some(ShedReason::UpstreamBusy),
            _ => None,
        }
    }

    /// The reason behind a refusal for what the request is.
    #[must_use]
    pub const fn refused(self) -> Option<RefusedReason> {
        match self {
            Self::BodyTooLarge => Some(RefusedReason::BodyTooLarge),
            Self::BodyTimeout => Some(RefusedReason::BodyTimeout),
            Self::Signature => Some(RefusedReason::Signature),
            Self::OnlyIfCached => Some(RefusedReason::OnlyIfCached),
            Self::BadRequest => Some(RefusedReason::Other),
            Self::Head(reason) => Some(reason),
            _ => None,
        }
    }

    /// What it is called in records.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        if self.shed().is_some() {
            Outcome::Shed
        } else if self.refused().is_some() {
            Outcome::Refused
        } else {
            Outcome::Failed
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

/// Status and sentence of what is refused at its head.
const fn head_row(reason: RefusedReason) -> (u16, &'static str) {
    use RefusedReason as R;
    match reason {
        R::RequestLine => (400, "the request line is not of HTTP/1.1"),
        R::Version => (400, "only HTTP/1.1 and HTTP/1.0 are spoken here"),
        R::Method => (405, "this method is not served"),
        R::Target => (400, "the target must be a path, without control characters, backslashes or a fragment"),
        R::TargetTooLarge => (431, "the target is longer than 8 KiB"),
        R::LineEnding => (400, "a line of the head does not end in CRLF"),
        R::FieldName => (400, "the name of a field is malformed, or its line is folded"),
        R::FieldValue => (400, "the value of a field holds control characters"),
        R::Host => (400, "there must be one Host, a name or address with at most a port"),
        R::ContentLength => (400, "there must be at most one Content-Length, of digits"),
        R::TransferEncoding => (400, "Transfer-Encoding must be chunked, on one line, without Content-Length, in HTTP/1.1"),
        R::HeaderTooLarge => (431, "the head is larger than limits.header"),
        R::LargeHeads => (431, "the head is larger than 4 KiB, and too many such heads are being read; try again shortly"),
        R::TooManyHeaders => (431, "the head has more fields than limits.headers"),
        R::HeaderTimeout => (408, "the head did not arrive within limits.header_timeout"),
        R::HeaderCut => (400, "the connection ended inside the head"),
        R::BodyTooLarge | R::BodyTimeout | R::Signature | R::OnlyIfCached | R::Other => (400, "the request cannot be understood"),
    }
}

/// What an error of a phase means to the caller.
#[must_use]
pub fn classify(error: &Error) -> Refusal {
    use ErrorType as E;
    match (error.etype(), error.esource()) {
        (E::HTTPStatus(413), _) => Refusal::BodyTooLarge,
        (E::HTTPStatus(408), _) | (E::ReadTimedout, ErrorSource::Downstream) => Refusal::BodyTimeout,
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
