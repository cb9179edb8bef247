//! From Pingora's request head to the facts rules look at.

use pingora::http::RequestHeader;

use super::service::Edge;
use crate::rules::path::Path;
use crate::rules::{Facts, function};

/// What a request's head says, in the form that [`Facts`] borrows from.
pub struct Owned {
    host: String,
    function: String,
}

impl Owned {
    /// Reads the parts that need a form of their own.
    #[must_use]
    pub fn new(head: &RequestHeader, prefix: &str) -> Self {
        let host = head.headers.get(http::header::HOST).map(|v| String::from_utf8_lossy(v.as_bytes()).to_ascii_lowercase());
        let path = Path::new(head.uri.path());
        Self { host: host.unwrap_or_default(), function: function::name(path.as_str(), prefix).to_owned() }
    }

    /// The name of the function.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.function
    }

    /// The facts. `trusted` as in [`Facts`].
    #[must_use]
    pub fn facts<'a>(&'a self, head: &'a RequestHeader, edge: &'a Edge, trusted: bool) -> Facts<'a> {
        Facts {
            listener: &edge.listener,
            upstream: &edge.way.name,
            method: &head.method,
            host: &self.host,
            path: if is_plain(head) { Path::new(head.uri.path()) } else { Path::of_odd_target(head.uri.path()) },
            query: head.uri.query(),
            function: &self.function,
            headers: &head.headers,
            trusted,
        }
    }
}

/// Whether the target is path and query and no more. In absolute-form the function also sees a scheme, which no key holds.
fn is_plain(head: &RequestHeader) -> bool {
    head.uri.path_and_query().is_some_and(|p| p.as_str().as_bytes() == head.raw_path())
}
