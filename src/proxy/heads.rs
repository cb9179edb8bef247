//! What happens to heads on their way: fields of one connection only are removed (RFC 9110 7.6.1), the caller's address is told, and the
//! answer is marked with what the sidecar did.

use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::Result;

use super::ctx::{CACHE_STATUS, Marks, X_REQUEST_ID};
use super::way::Way;
use crate::cache::status;
use crate::config::sidecar::Network;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields of one connection only.
const HOP_BY_HOP: [HeaderName; 9] =
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Fields that a nomination cannot remove. (Pingora refuses one of `Host` or `X-Forwarded-*`, and frames the body itself.)
const RESTORED: [HeaderName; 4] = [AUTHORIZATION, HeaderName::from_static("apikey"), COOKIE, CONTENT_TYPE];

/// The caller's side of a request: what the function is told about it.
pub struct Caller<'a> {
    /// Address of the peer, if it has one.
    pub ip: Option<IpAddr>,
    /// Peers whose own `X-Forwarded-*` are kept.
    pub trusted: &'a [Network],
    /// The request's id.
    pub request_id: &'a str,
    /// `traceparent`, the caller's or a new one.
    pub traceparent: &'a str,
}

/// Which request fields leave besides those of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// One caller's own call.
    Call,
    /// A fetch whose answer others may get: nothing of the caller that is not in the key (cache.md 0.6).
    Fetch,
}

/// How long a body is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// All of it is at hand.
    Known(usize),
    /// It is still being read.
    Unknown,
}

/// The upstream's head of a request for the exchange.
///
/// # Errors
/// A field value that cannot be sent; none that a caller can cause is known.
pub fn exchange_head(request: &RequestHeader, length: Length, way: &Way, caller: &Caller<'_>, purpose: Purpose) -> Result<RequestHeader> {
    let mut head = request.clone();
    let has_body =
        !matches!(length, Length::Known(0)) || head.headers.contains_key(CONTENT_LENGTH) || head.headers.contains_key(TRANSFER_ENCODING);
    strip_connection(&request.headers, |name| {
        head.remove_header(name);
    });
    head.remove_header(&EXPECT);
    match length {
        Length::Known(length) if has_body => head.insert_header(CONTENT_LENGTH, length)?,
        Length::Known(_) => {}
        Length::Unknown => head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?,
    }
    head.set_version(Version::HTTP_11);
    tell(&mut head, request, way, caller, purpose)?;
    Ok(head)
}

/// Puts back what Pingora removed because `Connection` nominated it, where that decides about the caller or the message.
///
/// # Errors
/// As [`exchange_head`].
pub fn restore(head: &mut RequestHeader, request: &RequestHeader) -> Result<()> {
    if !request.headers.contains_key(CONNECTION) {
        return Ok(());
    }
    for name in RESTORED.iter().filter(|n| !head.headers.contains_key(*n)).collect::<Vec<_>>() {
        for value in request.headers.get_all(name) {
            head.append_header(name, value)?;
        }
    }
    Ok(())
}

/// Tells the function who asks, and removes what callers must not say (`strip_request_headers`, forged `X-Forwarded-*`).
///
/// # Errors
/// As [`exchange_head`].
pub fn tell(head: &mut RequestHeader, request: &RequestHeader, way: &Way, caller: &Caller<'_>, purpose: Purpose) -> Result<()> {
    for name in &way.config.strip_request_headers {
        head.remove_header(name);
    }
    let look_alikes: Vec<HeaderName> =
        head.headers.keys().filter(|n| is_look_alike(n, &way.config.strip_request_headers)).cloned().collect();
    for name in &look_alikes {
        head.remove_header(name);
    }
    let trusted = purpose == Purpose::Call && caller.ip.is_some_and(|ip| caller.trusted.iter().any(|n| contains(n, ip)));
    // a proxy may write the chain in several lines; all of them are one list (RFC 9110 5.3)
    let before = request.headers.get_all("x-forwarded-for").iter().filter(|_| trusted).filter_map(|v| v.to_str().ok());
    if !trusted {
        let forged: Vec<HeaderName> = head.headers.keys().filter(|n| is_forwarding(n)).cloned().collect();
        for name in &forged {
            head.remove_header(name);
        }
    }
    if let (Some(ip), Purpose::Call) = (caller.ip, purpose) {
        let chain: Vec<String> = before.map(str::to_owned).chain([ip.to_string()]).collect();
        head.insert_header("X-Forwarded-For", chain.join(", "))?;
    }
    if let Some(host) = request.headers.get(HOST)
        && !(trusted && head.headers.contains_key("x-forwarded-host"))
    {
        head.insert_header("X-Forwarded-Host", host.clone())?;
    }
    if !(trusted && head.headers.contains_key("x-forwarded-proto")) {
        head.insert_header("X-Forwarded-Proto", HeaderValue::from_static("http"))?;
    }
    // HTTP/1.0 may leave it out; what the function gets is HTTP/1.1, which may not (RFC 9112 3.2)
    if let Some(host) = way.host_override(head.headers.contains_key(HOST)) {
        head.insert_header("Host", host)?;
    }
    // what belongs to another trace would be taken for this one's (W3C Trace Context 3.4)
    if request.headers.get("traceparent").is_none_or(|given| given != caller.traceparent) {
        head.remove_header("tracestate");
    }
    head.insert_header(X_REQUEST_ID, caller.request_id)?;
    head.insert_header("traceparent", caller.traceparent)
}

/// The caller's head of a function's answer: this connection's framing, our marks.
///
/// # Errors
/// As [`exchange_head`].
pub fn caller_head(head: &mut ResponseHeader, method: &Method, version: Version, marks: &Marks) -> Result<()> {
    let mut names = Vec::new();
    strip_connection(&head.headers, |name| names.push(name.clone()));
    for name in &names {
        head.remove_header(name);
    }
    head.set_version(Version::HTTP_11);
    // Pingora takes equal lengths for one; who gets them must not have to choose (RFC 9112 6.3)
    if let Some(length) = one_length(&head.headers) {
        head.insert_header(CONTENT_LENGTH, length)?;
    }
    let bodyless = *method == Method::HEAD || matches!(head.status.as_u16(), 204 | 304);
    if !bodyless && !head.headers.contains_key(CONTENT_LENGTH) && version == Version::HTTP_11 {
        head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    mark(head, marks)
}

/// Puts our marks on an answer, in place of any that claim to be ours.
///
/// # Errors
/// As [`exchange_head`].
pub fn mark(head: &mut ResponseHeader, marks: &Marks) -> Result<()> {
    let foreign: Vec<HeaderName> = head.headers.keys().filter(|n| n.as_str().starts_with("x-cache")).cloned().collect();
    for name in &foreign {
        head.remove_header(name);
    }
    head.remove_header("x-dedup");
    let others = status::before_ours(head.headers.get_all(CACHE_STATUS).iter().map(HeaderValue::as_bytes));
    let mut marked = Ok(());
    marks.fields(&others, |name, value| {
        if marked.is_ok() {
            marked = head.insert_header(name, value.to_string());
        }
    });
    marked
}

/// Names every field that belongs to the connection: the fixed ones and those `Connection` nominates. A nomination cannot remove what
/// decides about the caller or the message (hardening.md 27).
pub fn strip_connection(headers: &HeaderMap, mut remove: impl FnMut(&HeaderName)) {
    for value in headers.get_all(CONNECTION) {
        for name in value.as_bytes().split(|b| *b == b',') {
            if let Ok(name) = HeaderName::from_bytes(name.trim_ascii())
                && !is_protected(&name)
            {
                remove(&name);
            }
        }
    }
    for name in HOP_BY_HOP.iter().filter(|n| headers.contains_key(*n)) {
        remove(name);
    }
}

/// The one length that several lines, or a list, repeat; `None` where there is one already, or none.
fn one_length(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let first = values.next()?.as_bytes();
    let one = first.split(|b| *b == b',').next()?.trim_ascii();
    (values.next().is_some() || one.len() < first.len()).then(|| HeaderValue::from_bytes(one).ok())?
}

fn is_protected(name: &HeaderName) -> bool {
    matches!(name.as_str(), "authorization" | "apikey" | "cookie" | "host" | "content-length" | "content-type") || is_forwarding(name)
}

/// Fields that tell of a caller behind the peer.
fn is_forwarding(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-") || matches!(name.as_str(), "forwarded" | "x-real-ip")
}

/// A field that is another one to a reader who takes `_` for `-`, as whoever makes variables of fields does (RFC 3875 4.1.18): one that
/// frames the message, tells of a caller, or must not come from outside.
fn is_look_alike(name: &HeaderName, stripped: &[HeaderName]) -> bool {
    if !name.as_str().contains('_') {
        return false;
    }
    let Ok(read) = HeaderName::try_from(name.as_str().replace('_', "-")) else { return false };
    HOP_BY_HOP.contains(&read) || is_protected(&read) || read == X_REQUEST_ID || stripped.contains(&read)
}

fn contains(network: &Network, ip: IpAddr) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        let shift = width.saturating_sub(u32::from(network.bits));
        shift >= 128 || a >> shift == b >> shift
    };
    match (network.address, ip.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_own() {
        let network = |text: &str, bits| Network { address: text.parse().expect("an address"), bits };
        for (net, ip, inside) in [
            (network("10.0.0.0", 8), "10.255.1.1", true),
            (network("10.0.0.0", 8), "11.0.0.1", false),
            (network("192.168.1.7", 32), "192.168.1.7", true),
            (network("192.168.1.7", 32), "192.168.1.6", false),
            (network("0.0.0.0", 0), "8.8.8.8", true),
            (network("::", 0), "::1", true),
            (network("fd00::", 8), "fd12::1", true),
            (network("10.0.0.0", 8), "::ffff:10.0.0.1", true),
            (network("10.0.0.0", 8), "fd12::1", false),
        ] {
            assert_eq!(contains(&net, ip.parse().expect("an address")), inside, "{net:?} {ip}");
        }
    }

    #[test]
    fn look_alikes_are_told_from_other_fields() {
        let stripped = [HeaderName::from_static("x-wa-internal-forward")];
        for (name, expected) in [
            ("content_length", true),
            ("transfer_encoding", true),
            ("x_forwarded_for", true),
            ("x-forwarded_host", true),
            ("proxy_connection", true),
            ("x_wa-internal_forward", true),
            ("x_request_id", true),
            ("content-length", false),
            ("x_tenant", false),
            ("x-wa-internal-forward", false),
        ] {
            assert_eq!(is_look_alike(&HeaderName::from_static(name), &stripped), expected, "{name}");
        }
    }

    #[test]
    fn a_nomination_cannot_remove_what_decides() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("close, Authorization, x-custom, X-Forwarded-For"));
        let mut names = Vec::new();
        strip_connection(&headers, |n| names.push(n.as_str().to_owned()));
        assert_eq!(names, ["close", "x-custom", "connection"]);
    }
}
