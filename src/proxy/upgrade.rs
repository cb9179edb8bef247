//! Switching protocols: a WebSocket handshake passes where the listener allows it, nothing else does.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::Result;
use pingora::proxy::Session;

use super::ctx::Marks;
use super::heads::{self, Caller, Length, Purpose};
use super::way::Way;

/// Whether the request is a handshake that may be passed (`allowed`); if not, `Upgrade` is removed. Without the field it is a request
/// like any other (RFC 9110 7.8); what its caller sends ahead of an agreement is not read, as the guard lets its connection end
/// (RFC 9931).
#[must_use]
pub fn settle(session: &mut Session, allowed: bool) -> bool {
    let head = session.req_header();
    if !head.headers.contains_key(UPGRADE) {
        return false;
    }
    let handshake = head.method == Method::GET && head.version == Version::HTTP_11 && is_handshake(&head.headers);
    if !(allowed && handshake) {
        session.req_header_mut().remove_header(&UPGRADE);
    }
    allowed && handshake
}

/// RFC 6455 4.1, without a body.
fn is_handshake(headers: &HeaderMap) -> bool {
    let mut asked = headers.get_all(UPGRADE).iter();
    let websocket = asked.next().is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket")) && asked.next().is_none();
    let tokens = headers.get_all(CONNECTION).iter().flat_map(|v| v.as_bytes().split(|b| *b == b','));
    let nominated = tokens.into_iter().any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    let body = headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|v| v != "0");
    websocket && nominated && !body
}

/// The upstream's head of a WebSocket handshake.
///
/// # Errors
/// As [`heads::exchange_head`].
pub fn handshake_head(request: &RequestHeader, way: &Way, caller: &Caller<'_>) -> Result<RequestHeader> {
    let mut head = heads::exchange_head(request, Length::Known(0), way, caller, Purpose::Call)?;
    head.remove_header(&CONTENT_LENGTH);
    head.insert_header(CONNECTION, HeaderValue::from_static("Upgrade"))?;
    head.insert_header(UPGRADE, HeaderValue::from_static("websocket"))?;
    Ok(head)
}

/// The caller's head of a switch to WebSocket; false where the function switches to something else.
///
/// # Errors
/// As [`heads::exchange_head`].
pub fn switched_head(head: &mut ResponseHeader, marks: &Marks) -> Result<bool> {
    if !head.headers.get(UPGRADE).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Ok(false);
    }
    let mut names = vec![CONTENT_LENGTH];
    heads::strip_connection(&head.headers, |name| names.push(name.clone()));
    for name in &names {
        head.remove_header(name);
    }
    head.set_version(Version::HTTP_11);
    head.insert_header(CONNECTION, HeaderValue::from_static("Upgrade"))?;
    head.insert_header(UPGRADE, HeaderValue::from_static("websocket"))?;
    heads::mark(head, marks)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_and_what_only_looks_like_one() {
        for (fields, expected) in [
            (&[("upgrade", "websocket"), ("connection", "Upgrade")][..], true),
            (&[("upgrade", "WebSocket"), ("connection", "keep-alive , UPGRADE"), ("content-length", "0")], true),
            (&[("upgrade", "websocket"), ("connection", "keep-alive"), ("connection", "upgrade")], true),
            (&[("upgrade", "websocket")], false),
            (&[("upgrade", "websocket"), ("connection", "upgraded")], false),
            (&[("upgrade", "websocket, h2c"), ("connection", "upgrade")], false),
            (&[("upgrade", "websocket"), ("upgrade", "h2c"), ("connection", "upgrade")], false),
            (&[("upgrade", "h2c"), ("connection", "upgrade, http2-settings")], false),
            (&[("upgrade", "websocket"), ("connection", "upgrade"), ("content-length", "5")], false),
            (&[("upgrade", "websocket"), ("connection", "upgrade"), ("transfer-encoding", "chunked")], false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().expect("a value"));
            }
            assert_eq!(is_handshake(&headers), expected, "{fields:?}");
        }
    }
}
