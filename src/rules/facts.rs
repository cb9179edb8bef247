//! What rules may look at: the facts of one request, read once.

use http::{HeaderMap, Method};

use super::path::Path;

/// The facts of one request. All text is borrowed from the request's head.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Name of the listener that took the request.
    pub listener: &'a str,
    /// Name of the upstream it goes to.
    pub upstream: &'a str,
    /// Request method.
    pub method: &'a Method,
    /// `Host` in lower case, with its port; empty if absent.
    pub host: &'a str,
    /// The path as rules see it, and whether that differs from what was sent.
    pub path: Path<'a>,
    /// The query without `?`, byte-exact; `None` if the target has no `?`.
    pub query: Option<&'a str>,
    /// Name of the function, see [`super::function::name`].
    pub function: &'a str,
    /// Request header fields.
    pub headers: &'a HeaderMap,
    /// Whether its peer is one of `trusted_proxies`, whose `X-Forwarded-*` are kept.
    pub trusted: bool,
}

impl Facts<'_> {
    /// Whether the request announces a body: `Content-Length` above 0, or `Transfer-Encoding` (RFC 9112 6).
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.headers.contains_key(http::header::TRANSFER_ENCODING)
            || self.headers.get(http::header::CONTENT_LENGTH).is_some_and(|v| v.as_bytes() != b"0")
    }

    /// The `name=value` pairs of the query as written, undecoded; a name without `=` has the value "".
    pub fn query_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.unwrap_or_default().split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")))
    }
}
