//! A stored answer on its way to a caller: the bytes of its head as they are, the few fields of the moment, the body. It keeps the
//! `Date` it was stored with, so that date and age add up; Pingora would put its own on it. Where a connection carries more than one
//! request at once there is no place to put such bytes, and Pingora writes the head.

use std::fmt::{Arguments, Write};

use bytes::{BufMut, Bytes, BytesMut};
use http::Method;
use http::header::CONTENT_LENGTH;
use pingora::http::ResponseHeader;
use pingora::prelude::Result;
use pingora::proxy::Session;

use super::caller::Caller;
use super::ctx::{CACHE_STATUS, Ctx, Marks};
use super::respond;
use crate::cache::Entry;
use crate::cache::selected::{Selected, selected};

/// Room for the fields of the moment, in bytes.
const MOMENT: usize = 320;

/// What a request gets of a stored answer.
struct Part<'a> {
    entry: &'a Entry,
    selected: Selected,
    status: http::StatusCode,
    body: Bytes,
}

/// Writes what the request asks for of a stored answer. To HEAD without its body, with the length of the whole.
///
/// # Errors
/// The caller has left.
pub async fn stored(session: &mut Session, ctx: &Ctx, entry: &Entry) -> Result<bool> {
    write(session, &ctx.marks, entry).await.map(|()| true)
}

async fn write(session: &mut Session, marks: &Marks, entry: &Entry) -> Result<()> {
    let part = Part::of(session, entry);
    respond::close_while_draining(session, marks);
    let goes_on = goes_on(session);
    if let Some(caller) = Caller::of(session) {
        caller.replace_head(part.bytes(marks, goes_on));
        // what Pingora goes by: how much body follows
        let mut head = ResponseHeader::build_no_case(part.status, Some(4))?;
        head.insert_header(CONTENT_LENGTH, part.body.len())?;
        let written = session.as_downstream_mut().write_response_header(head.into()).await;
        if let Some(caller) = Caller::of(session) {
            caller.keep_head();
        }
        written?;
    } else {
        session.as_downstream_mut().write_response_header(part.head(marks)?.into()).await?;
    }
    session.as_downstream_mut().write_response_body(part.body, true).await
}

/// Whether the connection is kept, as Pingora will judge it.
fn goes_on(session: &mut Session) -> bool {
    session.is_body_done() && session.get_keepalive().is_some() && session.get_keepalive_reuses_remaining() != Some(0)
}

impl<'a> Part<'a> {
    fn of(session: &Session, entry: &'a Entry) -> Self {
        let request = session.req_header();
        let is_head = request.method == Method::HEAD;
        let selected = selected(entry, &request.headers, !is_head);
        let status = http::StatusCode::from_u16(selected.status(entry.status())).unwrap_or_default();
        let body = match &selected {
            Selected::Whole if !is_head && entry.status() != 204 => entry.body().clone(),
            Selected::Part(range) => entry.body().slice(range.clone()),
            Selected::Whole | Selected::NotModified | Selected::Unsatisfiable => Bytes::new(),
        };
        Self { entry, selected, status, body }
    }

    /// The stored fields that this part has. `Cache-Status` goes with ours.
    fn kept(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entry.headers().filter(|(name, _)| self.selected.keeps(name) && *name != CACHE_STATUS)
    }

    /// The fields of the moment: which part it is, and our marks.
    fn ours(&self, marks: &Marks, mut put: impl FnMut(&'static str, Arguments<'_>)) {
        let whole = self.entry.body().len();
        match &self.selected {
            Selected::Whole | Selected::NotModified => {}
            Selected::Part(range) => put("Content-Range", format_args!("bytes {}-{}/{whole}", range.start, range.end - 1)),
            Selected::Unsatisfiable => put("Content-Range", format_args!("bytes */{whole}")),
        }
        if matches!(self.selected, Selected::Part(_) | Selected::Unsatisfiable) {
            put("Content-Length", format_args!("{}", self.body.len()));
        }
        let others = self.entry.head_and_status().1.map(|others| format!("{others}, "));
        marks.fields(others.as_deref().unwrap_or_default(), put);
    }

    /// The whole head, to its empty line.
    fn bytes(&self, marks: &Marks, goes_on: bool) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.entry.head().len() + MOMENT + marks.request_id.len());
        line(&mut bytes, format_args!("HTTP/1.1 {} {}", self.status.as_str(), self.status.canonical_reason().unwrap_or_default()));
        if self.selected == Selected::Whole {
            bytes.put_slice(self.entry.head_and_status().0);
        } else {
            for (name, value) in self.kept() {
                for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
                    bytes.put_slice(piece);
                }
            }
        }
        self.ours(marks, |name, value| line(&mut bytes, format_args!("{name}: {value}")));
        line(&mut bytes, format_args!("Connection: {}\r\n", if goes_on { "keep-alive" } else { "close" }));
        bytes.freeze()
    }

    /// The same head for Pingora to write.
    fn head(&self, marks: &Marks) -> Result<ResponseHeader> {
        let mut head = ResponseHeader::build(self.status, Some(16))?;
        for (name, value) in self.kept() {
            head.append_header(name.to_owned(), value)?;
        }
        let mut put = Ok(());
        self.ours(marks, |name, value| {
            if put.is_ok() {
                put = head.insert_header(name, value.to_string());
            }
        });
        put.map(|()| head)
    }
}

/// Writes a line; bytes take all that is written to them.
fn line(bytes: &mut BytesMut, text: Arguments<'_>) {
    let _ = bytes.write_fmt(text);
    bytes.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
