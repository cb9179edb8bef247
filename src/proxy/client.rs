//! The caller, as the place an answer is written to.

use bytes::Bytes;
use pingora::http::ResponseHeader;
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
        heads::caller_head(&mut head, &request.method, request.version, self.marks).map_err(|_| Gone)?;
        respond::head(self.session, self.marks, head).await.map_err(|_| Gone)
    }

    async fn data(&mut self, data: Bytes) -> Result<(), Gone> {
        self.session.write_response_body(Some(data), false).await.map_err(|_| Gone)
    }
}
