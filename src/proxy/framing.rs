//! Judges the raw head of a request before anything repairs it. What two readers could frame in two ways is refused (RFC 9112 2.2, 3, 5,
//! 6), as is a target that is no path. Pure: bytes in, verdict out.
//!
//! The parser is the one Pingora uses, in the same version, so what is judged here is what Pingora will see.

use std::mem::MaybeUninit;

use httparse::{Error, Header, Request, Status};
use memchr::{memchr, memchr_iter};

use crate::telemetry::record::RefusedReason as Reason;

/// Longest target (RFC 9112 3 asks for 8,000 bytes at least).
pub const TARGET: usize = 8 << 10;
/// Most fields that Pingora reads.
pub const FIELDS: usize = 256;
/// Longest method.
const METHOD: usize = 32;

/// Limits of a head.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes, from the request line to the empty line.
    pub bytes: usize,
    /// Most fields, at most [`FIELDS`].
    pub fields: usize,
}

/// What a head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Not all of it is there.
    Incomplete,
    /// Framed in one way only.
    Fine(Fine),
    /// Not to be read on.
    Refused(Reason),
}

/// A head that may be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fine {
    /// Its bytes.
    pub len: usize,
    /// Whether its connection must end with its answer: where it ends is in doubt (a chunked body), it asked for another protocol whose
    /// bytes may follow before anybody agreed (RFC 9931), or more came than it announced.
    pub closes: bool,
}

/// Judges the bytes that came so far.
#[must_use]
pub fn judge(bytes: &[u8], limits: &Limits) -> Head {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut request = Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(bytes, &mut fields[..limits.fields.min(FIELDS)]) {
        Ok(Status::Complete(len)) if len <= limits.bytes => len,
        Ok(Status::Partial) if bytes.len() < limits.bytes => return Head::Incomplete,
        Ok(_) => return Head::Refused(Reason::HeaderTooLarge),
        Err(error) => return Head::Refused(reason(error)),
    };
    let framing = check_lines(&bytes[..len]).and_then(|()| check_request_line(&request)).and_then(|()| framing(&request));
    match framing {
        Ok(Framing { length, ends_here }) => {
            let more_came = length.is_none_or(|n| (bytes.len() - len) as u64 > n);
            Head::Fine(Fine { len, closes: ends_here || more_came })
        }
        Err(reason) => Head::Refused(reason),
    }
}

/// Method and path of a head, as far as they can be told, for records. The path is without its query.
#[must_use]
pub fn request_line(bytes: &[u8]) -> Option<(&str, &str)> {
    let line = bytes.trim_ascii_start().split(|b| matches!(b, b'\r' | b'\n')).next()?;
    let mut words = line.split(|b| *b == b' ').filter_map(|word| std::str::from_utf8(word).ok());
    let (method, target) = (words.next()?, words.next()?);
    let known = method.len() <= METHOD && method.bytes().all(|b| b.is_ascii_alphabetic()) && target.starts_with('/');
    known.then_some((method, target.split(['?', '#']).next()?))
}

const fn reason(error: Error) -> Reason {
    match error {
        Error::TooManyHeaders => Reason::TooManyHeaders,
        Error::Version => Reason::Version,
        Error::HeaderName => Reason::FieldName,
        Error::HeaderValue => Reason::FieldValue,
        Error::NewLine => Reason::LineEnding,
        Error::Token | Error::Status => Reason::RequestLine,
    }
}

/// The parser takes a bare LF for the end of a line, which not everybody does; a CR without LF it refuses itself.
fn check_lines(head: &[u8]) -> Result<(), Reason> {
    if memchr_iter(b'\n', head).all(|at| head[..at].ends_with(b"\r")) { Ok(()) } else { Err(Reason::LineEnding) }
}

fn check_request_line(request: &Request<'_, '_>) -> Result<(), Reason> {
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default().as_bytes());
    // CONNECT makes a tunnel, TRACE tells what others added to the request
    if matches!(method, "CONNECT" | "TRACE") || method.len() > METHOD {
        return Err(Reason::Method);
    }
    if target.len() > TARGET {
        return Err(Reason::TargetTooLarge);
    }
    let odd = |b: &u8| !b.is_ascii_graphic() || matches!(b, b'#' | b'\\' | b'<' | b'>');
    let hidden = |code: &[u8]| code == b"%00" || code.eq_ignore_ascii_case(b"%0a") || code.eq_ignore_ascii_case(b"%0d");
    let (path, query) = target.split_at(target.iter().position(|b| *b == b'?').unwrap_or(target.len()));
    let origin = path.starts_with(b"/") || (target == b"*" && method == "OPTIONS");
    // in a path they make two names of one; in a query they are what the line breaks of a text become
    let control = memchr(b'%', path).is_some() && path.windows(3).any(hidden);
    // signs that Pingora takes in one of the two only, and would refuse without a word to anybody else
    let misplaced = path.contains(&b'`') || query.contains(&b'"');
    if origin && !control && !misplaced && !target.iter().any(odd) { Ok(()) } else { Err(Reason::Target) }
}

/// Where a request ends.
struct Framing {
    /// Bytes of its body; `None` for a chunked one.
    length: Option<u64>,
    /// Whether nothing may follow it.
    ends_here: bool,
}

fn framing(request: &Request<'_, '_>) -> Result<Framing, Reason> {
    let old = request.version == Some(0);
    let (mut hosts, mut lengths, mut codings, mut upgrade) = (0, 0, 0, false);
    let (mut host, mut length, mut chunked) = (true, None, false);
    for Header { name, value } in request.headers.iter() {
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => (hosts, host) = (hosts + 1, host && is_host(value)),
            7 => upgrade |= name.eq_ignore_ascii_case("upgrade"),
            14 if name.eq_ignore_ascii_case("content-length") => (lengths, length) = (lengths + 1, digits(value)),
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                (codings, chunked) = (codings + 1, value.eq_ignore_ascii_case(b"chunked"));
            }
            _ => {}
        }
    }
    if codings > 1 || (codings == 1 && (!chunked || old || lengths > 0)) {
        return Err(Reason::TransferEncoding);
    }
    if lengths > 1 || (lengths == 1 && length.is_none()) {
        return Err(Reason::ContentLength);
    }
    if hosts > 1 || !host || (hosts == 0 && !old) {
        return Err(Reason::Host);
    }
    let length = if chunked { None } else { Some(length.unwrap_or(0)) };
    Ok(Framing { length, ends_here: chunked || upgrade })
}

/// Digits and nothing else, within 63 bits: no sign, no list.
fn digits(value: &[u8]) -> Option<u64> {
    let all = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number: u64 = std::str::from_utf8(value).ok().filter(|_| all)?.parse().ok()?;
    (i64::try_from(number).is_ok()).then_some(number)
}

/// A name or address, and a port where there is one (RFC 9110 7.2): nothing that a path, a list or a user could hide in.
fn is_host(value: &[u8]) -> bool {
    let (name, port) = match value {
        [b'[', rest @ ..] => match rest.iter().position(|b| *b == b']') {
            Some(end) => {
                let (address, after) = (&rest[..end], &rest[end + 1..]);
                let fine = address.contains(&b':') && address.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
                return fine && (after.is_empty() || after.strip_prefix(b":").is_some_and(is_port));
            }
            None => return false,
        },
        _ => match value.iter().position(|b| *b == b':') {
            Some(at) => (&value[..at], Some(&value[at + 1..])),
            None => (value, None),
        },
    };
    let fine = !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    fine && port.is_none_or(is_port)
}

fn is_port(digits: &[u8]) -> bool {
    (1..=5).contains(&digits.len()) && self::digits(digits).is_some_and(|n| n <= 65_535)
}

#[cfg(test)]
mod tests;
