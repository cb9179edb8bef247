//! A method that may change what it names: once the function has said that it went well, no stored answer shows the state before
//! (RFC 9111 4.4).

use http::header::{CONTENT_LOCATION, HOST, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use pingora::http::RequestHeader;

use super::Shared;
use crate::rules::path::Path;

/// What a request may change.
pub struct Changes {
    host: String,
    path: String,
    query: Option<String>,
}

impl Changes {
    /// Of a request as it came; `None` for a method that is safe (RFC 9110 9.2.1).
    #[must_use]
    pub fn of(request: &RequestHeader) -> Option<Self> {
        if [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(&request.method) {
            return None;
        }
        let host = request.headers.get(HOST).map(|v| String::from_utf8_lossy(v.as_bytes()).to_ascii_lowercase());
        let path = Path::new(request.uri.path()).as_str().to_owned();
        Some(Self { host: host.unwrap_or_default(), path, query: request.uri.query().map(str::to_owned) })
    }

    /// The function's answer is there: after success, what is stored of the resource goes, and of those that the answer names on the
    /// same host. Nobody joins a fetch any more that began before.
    pub fn settle(&self, shared: &Shared, status: StatusCode, answer: &HeaderMap) {
        if !status.is_success() && !status.is_redirection() {
            return;
        }
        self.drop_stored(shared, &self.path, self.query.as_deref());
        for name in [LOCATION, CONTENT_LOCATION] {
            for value in answer.get_all(name) {
                if let Some((path, query)) = value.to_str().ok().and_then(|value| self.resolve(value)) {
                    self.drop_stored(shared, Path::new(&path).as_str(), query);
                }
            }
        }
    }

    fn drop_stored(&self, shared: &Shared, path: &str, query: Option<&str>) {
        shared.responses.invalidate(&self.host, path, query);
        shared.flights.detach(|key| (key.host, key.path, key.query) == (&*self.host, path, query));
    }

    /// Path and query that a reference names, if it is on the same host (RFC 3986 5.2).
    fn resolve<'a>(&self, reference: &'a str) -> Option<(String, Option<&'a str>)> {
        let reference = reference.split('#').next().unwrap_or_default();
        let local = match reference.split_once("//") {
            Some(("" | "http:" | "https:", rest)) => {
                let (host, local) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                if !host.eq_ignore_ascii_case(&self.host) {
                    return None;
                }
                if local.starts_with('/') { local.to_owned() } else { format!("/{local}") }
            }
            _ if reference.starts_with('/') => reference.to_owned(),
            _ if reference.is_empty() || reference.split(['/', '?']).next()?.contains(':') => return None,
            _ if reference.starts_with('?') => format!("{}{reference}", self.path),
            _ => format!("{}/{reference}", self.path.rsplit_once('/').map_or("", |(folder, _)| folder)),
        };
        let query = reference.split_once('?').map(|(_, query)| query);
        Some((local.split('?').next().unwrap_or_default().to_owned(), query))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_the_same_host() {
        let changes = Changes { host: "h:1".into(), path: "/a/b".into(), query: None };
        for (reference, path, query) in [
            ("/x", "/x", None),
            ("/x?q=1#f", "/x", Some("q=1")),
            ("http://h:1/x?q", "/x", Some("q")),
            ("https://H:1?q", "/", Some("q")),
            ("//h:1/y", "/y", None),
            ("c", "/a/c", None),
            ("?z", "/a/b", Some("z")),
            ("x/y?z=//h", "/a/x/y", Some("z=//h")),
        ] {
            assert_eq!(changes.resolve(reference), Some((path.to_owned(), query)), "{reference}");
        }
        for other in ["http://h/x", "http://other/x", "//other/x", "mailto:x", "", "#f"] {
            assert_eq!(changes.resolve(other), None, "{other}");
        }
    }
}
