//! Bytes that arrive for a request. Only a head that every reader frames in the same way is fine, wherever it is cut on its way and
//! whatever follows it: a second reading, line by line and by the letter of RFC 9112, agrees.

use edge_sidecar::proxy::framing::{FIELDS, Fine, Head, Limits, TARGET, judge, request_line};

/// The default limits, and others that a short head can reach.
const LIMITS: Limits = Limits { bytes: 32 << 10, fields: 100 };
const TIGHT: Limits = Limits { bytes: 96, fields: 4 };

/// Checks the verdict of one stream of bytes.
pub fn check(bytes: &[u8]) {
    if let Some((method, path)) = request_line(bytes) {
        assert!(method.bytes().all(|b| b.is_ascii_alphabetic()) && path.starts_with('/') && !path.contains(['?', '\r', '\n', ' ']));
    }
    match judge(bytes, &LIMITS) {
        Head::Fine(Fine { len, closes }) => {
            let head = bytes.get(..len).expect("within what came");
            assert!(len <= LIMITS.bytes && head.ends_with(b"\r\n\r\n"));
            let read = Reading::of(head);
            assert!(read.fields <= LIMITS.fields.min(FIELDS));
            let follows = u64::try_from(bytes.len() - len).expect("a number of bytes");
            assert_eq!(closes, read.length.is_none_or(|length| follows > length) || read.upgrade, "what may follow");
            comes_in_pieces(bytes, len);
            ambiguous(head);
        }
        Head::Incomplete => assert!(bytes.len() < LIMITS.bytes, "an end to waiting"),
        Head::Refused(reason) => assert!(!reason.as_str().is_empty()),
    }
    if let Head::Fine(Fine { len, closes }) = judge(bytes, &TIGHT) {
        assert!(len <= TIGHT.bytes && judge(bytes, &LIMITS) == Head::Fine(Fine { len, closes }), "a wider limit refuses nothing more");
    }
}

/// The verdict waits for the whole head, and what comes behind it does not change it.
fn comes_in_pieces(bytes: &[u8], len: usize) {
    let step = len / 40 + 1;
    for end in (0..len).step_by(step).chain(len.saturating_sub(4)..len) {
        assert_eq!(judge(&bytes[..end], &LIMITS), Head::Incomplete, "cut at {end}");
    }
    for more in [&b"0"[..], b"\r\n", b"GET / HTTP/1.1\r\nHost: b\r\n\r\n", b"\0"] {
        let verdict = judge(&[&bytes[..len], more].concat(), &LIMITS);
        assert!(matches!(verdict, Head::Fine(Fine { len: same, .. }) if same == len), "{verdict:?}");
    }
}

/// Lines that no head may hold, and text that no target may.
const LINES: [&str; 12] = [
    "Content-Length: 1\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\ncontent-length: 1",
    "Content-Length: 1\r\nContent-Length: 1",
    "Content-Length: +1",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked",
    "Host: a\r\nHost: a",
    "Host : a",
    " folded: a",
    "X: a\nY: b",
    "X: a\rY: b",
    "X: a\0b",
];
const TARGETS: [&str; 12] = ["%00", "%0d", "%0D", "%0A", "#", "\\", " ", "\t", "\u{7f}", "<", ">", "`"];

/// A fine head is refused once it says one thing more that readers disagree about.
fn ambiguous(head: &[u8]) {
    let refused = |at: usize, text: &str| {
        let more = [&head[..at], text.as_bytes(), &head[at..]].concat();
        assert!(matches!(judge(&more, &LIMITS), Head::Refused(_)), "{text:?} at {at}");
    };
    for line in LINES {
        refused(head.len() - 2, &format!("{line}\r\n"));
    }
    let target = head.iter().position(|b| *b == b'/').expect("in the version at least");
    for text in TARGETS {
        refused(target + 1, text);
    }
}

/// What a strict reader makes of a head. It panics where there is nothing to make of it.
struct Reading {
    fields: usize,
    /// Length of the body; `None` for a chunked one.
    length: Option<u64>,
    upgrade: bool,
}

impl Reading {
    fn of(head: &[u8]) -> Self {
        assert!(head.iter().all(|b| !matches!(b, 0..=8 | 11 | 12 | 14..=31 | 127)), "a control byte");
        let text: String = head.iter().map(|b| char::from(*b)).collect();
        let mut lines = text.split("\r\n").skip_while(|line| line.is_empty());
        let old = request(lines.next().expect("a request line"));
        let fields: Vec<(String, &str)> = lines.take_while(|line| !line.is_empty()).map(field).collect();
        let values = |name: &str| fields.iter().filter(|(n, _)| n == name).map(|(_, value)| *value).collect::<Vec<_>>();
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
        let length = match (&lengths[..], &codings[..]) {
            ([], []) => Some(0),
            ([length], []) => {
                assert!(length.bytes().all(|b| b.is_ascii_digit()), "{length}");
                Some(length.parse().expect("a length in digits"))
            }
            ([], [coding]) => {
                assert!(coding.eq_ignore_ascii_case("chunked") && !old, "{coding}");
                None
            }
            _ => panic!("framed twice: {lengths:?} {codings:?}"),
        };
        match &values("host")[..] {
            [] => assert!(old, "no host"),
            [host] => assert!(!host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)), "{host}"),
            more => panic!("{more:?}"),
        }
        Self { fields: fields.len(), length, upgrade: !values("upgrade").is_empty() }
    }
}

/// Checks a request line; true for HTTP/1.0.
fn request(line: &str) -> bool {
    let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("not three words: {line:?}") };
    assert!(is_token(method) && !["CONNECT", "TRACE"].contains(&method), "{method}");
    assert!(target.starts_with('/') || (target == "*" && method == "OPTIONS"), "{target}");
    assert!(target.len() <= TARGET && target.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'\\' | b'<' | b'>')), "{target}");
    // in a query they are what the line breaks of a text become
    let path = target.split('?').next().unwrap_or_default().to_ascii_lowercase();
    assert!(!["%00", "%0a", "%0d"].iter().any(|code| path.contains(code)), "{target}");
    assert!(["HTTP/1.0", "HTTP/1.1"].contains(&version), "{version}");
    version == "HTTP/1.0"
}

/// Name in lower case, and value.
fn field(line: &str) -> (String, &str) {
    assert!(!line.contains(['\r', '\n']), "{line:?}");
    let (name, value) = line.split_once(':').expect("a field");
    assert!(is_token(name), "{name:?}");
    (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
