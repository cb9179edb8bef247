//! The caller, as the place an answer is written to.

use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorType};
use pingora::proxy::Session;

use super::ctx::Marks;
use super::{heads, respond};
use crate::flow::{Downstream, Gone};

/// Writes a function's answer to the caller, marked.
pub struct Client<'a> {
    /// The caller's session.
    pub session: &'a mut Session,
    /// What the answer is marked with.
    pub marks: &'a Marks,
}

impl Downstream for Client<'_> {
    type Head = Box<ResponseHeader>;

    async fn head(&mut self, mut head: Self::Head) -> Result<(), Gone> {
        let request = self.session.req_header();
        heads::caller_head(&mut head, &request.method, request.version, self.marks).map_err(|_| Gone::Left)?;
        respond::write_head(self.session, self.marks, head).await.map_err(|e| gone(&e))
    }

    async fn data(&mut self, data: Bytes) -> Result<(), Gone> {
        self.session.write_response_body(Some(data), false).await.map_err(|e| gone(&e))
    }
}

fn gone(error: &Error) -> Gone {
    if *error.etype() == ErrorType::WriteTimedout { Gone::Stuck } else { Gone::Left }
}

/// The error of a phase whose caller cannot be reached any more.
#[must_use]
pub fn unreachable(gone: Gone) -> Box<Error> {
    match gone {
        Gone::Left => Error::explain(ErrorType::WriteError, "the caller left").into_down(),
        Gone::Stuck => Error::explain(ErrorType::WriteTimedout, "the caller stopped reading").into_down(),
    }
}
