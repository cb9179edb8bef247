//! A request that nobody sent: what `explain` and the `tests:` of a rules file ask about.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderValue, Method};

use crate::rules::path::Path;
use crate::rules::{Facts, function};

/// Where a request comes in and goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The listener's name.
    pub listener: String,
    /// The name of the upstream behind it.
    pub upstream: String,
    /// The segment after it names the function.
    pub prefix: String,
}

impl Default for Site {
    /// As in a sidecar file that says nothing of it.
    fn default() -> Self {
        Self { listener: "functions".to_owned(), upstream: "functions".to_owned(), prefix: "/functions/v1/".to_owned() }
    }
}

/// A request to ask about.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its method.
    pub method: Method,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    target: PathAndQuery,
    host: String,
}

impl Question {
    /// A request for a path or a URL, with a body or without one. `Host` and `Content-Length` are as a client sends them, unless given.
    ///
    /// # Errors
    /// The target is neither a path nor a URL.
    pub fn new(method: Method, target: &str, mut headers: HeaderMap, body: Bytes) -> Result<Self, String> {
        let wrong = || format!("`{}` is neither a path that begins with `/` nor a URL", target.escape_debug());
        // a client keeps the fragment to itself
        let sent = target.split('#').next().unwrap_or_default();
        let uri: Uri = sent.parse().map_err(|_| wrong())?;
        if !sent.starts_with('/') && !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong());
        }
        if let Some(authority) = uri.authority()
            && !headers.contains_key(HOST)
        {
            let host = authority.as_str().rsplit('@').next().unwrap_or_default();
            headers.insert(HOST, host.parse().map_err(|_| wrong())?);
        }
        if !body.is_empty() && !headers.contains_key(CONTENT_LENGTH) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let host = headers.get(HOST).map(|v| String::from_utf8_lossy(v.as_bytes()).to_ascii_lowercase()).unwrap_or_default();
        let target = uri.into_parts().path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self { method, headers, body, target, host })
    }

    /// Path and query, as they would be sent.
    #[must_use]
    pub fn target(&self) -> &str {
        self.target.as_str()
    }

    /// What rules see of it at a site.
    #[must_use]
    pub fn facts<'a>(&'a self, site: &'a Site, function: &'a str) -> Facts<'a> {
        Facts {
            listener: &site.listener,
            upstream: &site.upstream,
            method: &self.method,
            host: &self.host,
            path: Path::new(self.target.path()),
            query: self.target.query(),
            function,
            headers: &self.headers,
            trusted: false,
        }
    }

    /// The function it names at a site.
    #[must_use]
    pub fn function(&self, site: &Site) -> String {
        function::name(Path::new(self.target.path()).as_str(), &site.prefix).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_urls_are_read_as_a_client_sends_them() {
        let ask = |target: &str| Question::new(Method::GET, target, HeaderMap::new(), Bytes::new());
        for (target, sent, host) in [
            ("/a?b=c#d", "/a?b=c", ""),
            ("http://Api.Example:8080/a", "/a", "api.example:8080"),
            ("https://user@api.example", "/", "api.example"),
        ] {
            let question = ask(target).expect("a request");
            assert_eq!((question.target(), question.host.as_str()), (sent, host), "{target}");
        }
        for target in ["", "a", "ftp://x/", "*", "/a b", "#/a"] {
            assert!(ask(target).is_err(), "{target}");
        }
        let posted = Question::new(Method::POST, "/a", HeaderMap::new(), Bytes::from_static(b"12")).expect("a request");
        assert_eq!(posted.headers[CONTENT_LENGTH], "2");
    }
}
