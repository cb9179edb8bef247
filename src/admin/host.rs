//! Which `Host` the open door answers to.
//!
//! A web page can point a name of its own at this address (DNS rebinding), and its visitor's browser then takes the admin door for a part
//! of that page. The name such a page needs is one that anybody can register; those below are not.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::Response;

use super::{AdminState, error};
use crate::telemetry::DoorRefusal;

/// Endings of names that public DNS does not hand out: RFC 6761 and 6762, ICANN's private `internal`, the inside of a cluster.
const ENDINGS: [&str; 5] = [".localhost", ".local", ".internal", ".svc", ".cluster.local"];

const MESSAGE: &str = "Host must be an IP address, a name without dots (such as localhost), or end in .localhost, .local, .internal, .svc or \
                       .cluster.local: a name that anyone can register could be a web page's";

/// Lets a request through whose `Host` no web page can have.
pub(super) async fn require_local(State(state): State<Arc<AdminState>>, request: Request, next: Next) -> Response {
    if is_for_us(request.version(), request.uri(), request.headers()) {
        return next.run(request).await;
    }
    state.metrics.door_refused(DoorRefusal::BadHost);
    error(StatusCode::BAD_REQUEST, "bad_host", MESSAGE)
}

/// The socket, once it is forwarded to a port (`ssh -L`), is within reach of any page in that browser. A browser says who asks
/// (`Sec-Fetch-Site`, Fetch Metadata): only the live page itself, and the person who typed the address, may.
pub(super) async fn require_own_page(request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site");
    let own =
        site.is_none_or(|site| (site == "same-origin" || site == "none") && is_for_us(request.version(), request.uri(), request.headers()));
    if own { next.run(request).await } else { error(StatusCode::FORBIDDEN, "foreign_page", "a web page of another site may not ask here") }
}

/// Exactly one `Host`, and a local one; HTTP/1.0 may leave it out (RFC 9112 3.2). An authority in the target counts as well.
fn is_for_us(version: Version, target: &Uri, headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(header::HOST).iter();
    let host = match (fields.next(), fields.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => host.to_str().is_ok_and(is_local),
        (Some(_), Some(_)) => false,
    };
    host && target.authority().is_none_or(|authority| is_local(authority.as_str()))
}

/// Whether `host`, with or without a port, is an address or a name that nobody outside can have.
fn is_local(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest
            .split_once(']')
            .is_some_and(|(address, port)| address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || is_port(port)));
    }
    let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let spelt = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    let local = !name.contains('.') || name.parse::<IpAddr>().is_ok() || ENDINGS.iter().any(|ending| name.ends_with(ending));
    spelt && local && (port.is_empty() || is_port(port))
}

/// `:` and a number; the number may be missing (RFC 3986 3.2.3).
fn is_port(text: &str) -> bool {
    text.strip_prefix(':')
        .is_some_and(|digits| digits.is_empty() || (digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_page_cannot_have() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9901",
            "10.1.2.3:80",
            "[::1]",
            "[::1]:9901",
            "[fd00::7]:9901",
            "localhost",
            "LOCALHOST:9901",
            "localhost.",
            "sidecar",
            "edge_sidecar:9901",
            "app.localhost",
            "node-7.local:9901",
            "metrics.edge.svc",
            "metrics.edge.svc.cluster.local",
            "ip-10-0-0-1.eu-west-1.compute.internal:9901",
            "localhost:",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            ":9901",
            ".",
            "..",
            "example.com",
            "example.com:9901",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "127.0.0.1.nip.io",
            "evil.example",
            "evillocal.example.",
            "x.locals",
            "local.com",
            "[::1",
            "[::1]x",
            "[localhost]",
            "[::1]:x",
            "::1",
            "localhost:x",
            "localhost:99999",
            "localhost:9901:9901",
            "a@localhost",
            "example.com@localhost",
            "localhost/x",
            "localhost x",
            "loc\u{e4}lhost",
            "example.com,localhost",
            "1.2.3.4.5",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn one_host_and_every_authority() {
        let ask = |version: Version, target: &str, hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().expect("a field value"));
            }
            is_for_us(version, &target.parse().expect("a target"), &headers)
        };
        assert!(ask(Version::HTTP_10, "/metrics", &[]) && !ask(Version::HTTP_11, "/metrics", &[]));
        assert!(ask(Version::HTTP_11, "/metrics", &["localhost"]) && !ask(Version::HTTP_10, "/metrics", &["example.com"]));
        assert!(!ask(Version::HTTP_11, "/metrics", &["localhost", "localhost"]), "two are none");
        assert!(ask(Version::HTTP_11, "http://localhost:9901/metrics", &["localhost"]));
        assert!(!ask(Version::HTTP_11, "http://example.com/metrics", &["localhost"]));
    }
}
