//! The table of hostile answers.

use crate::support::origin::{Gate, Reply, Step};

/// What a caller may see of a hostile answer.
#[derive(Clone, Copy, Debug)]
pub enum May {
    /// 502 or 504 of the sidecar's own.
    Gateway,
    /// An answer that does not come to its end, visibly.
    Cut,
    /// This answer, whole.
    Whole(u16, &'static str),
}

/// One hostile answer.
#[derive(Clone)]
pub struct Hostile {
    /// Its name.
    pub name: &'static str,
    /// What the function writes.
    pub reply: Reply,
    /// What the caller may see.
    pub may: &'static [May],
    /// Opened once the caller has its answer.
    pub behind: Option<Gate>,
}

const GOOD: May = May::Whole(200, "good");
const WHOLE: &[May] = &[GOOD];
const GATEWAY: &[May] = &[May::Gateway];
const CUT: &[May] = &[May::Cut];
const BROKEN: &[May] = &[May::Cut, May::Gateway];
const WHOLE_OR_GATEWAY: &[May] = &[GOOD, May::Gateway];
const ANY: &[May] = &[GOOD, May::Cut, May::Gateway];

/// Answers behind whose end more comes; the connection stays open.
const BEHIND: &[(&str, &str, &[May])] = &[
    ("bytes behind a length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodpoison", WHOLE),
    ("bytes behind the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\npoison", WHOLE),
    ("an answer behind a length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood$P", WHOLE),
    ("three answers behind a length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood$P$P$P", WHOLE),
    ("an answer behind the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n$P", WHOLE),
    ("an answer behind a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\nX: y\r\n\r\n$P", WHOLE),
    ("an answer behind nothing", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n$P", &[May::Whole(200, "")]),
    ("an answer behind 204", "HTTP/1.1 204 No Content\r\n\r\n$P", &[May::Whole(204, "")]),
    ("a body of 204", "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison", &[May::Whole(204, ""), May::Gateway]),
    (
        "chunks of 204",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n",
        &[May::Whole(204, ""), May::Gateway],
    ),
    ("a body of 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison", &[May::Whole(304, ""), May::Gateway]),
    ("an answer behind 304", "HTTP/1.1 304 Not Modified\r\n\r\n$P", &[May::Whole(304, ""), May::Gateway]),
    ("an informational answer behind", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 100 Continue\r\n\r\n", WHOLE),
    ("an empty line behind", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood\r\n", WHOLE),
];

/// Answers whose length is in doubt; the connection closes behind them.
const LENGTHS: &[(&str, &str, &[May])] = &[
    (
        "length and chunks",
        "HTTP/1.1 200 OK\r\nContent-Length: 14\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
        WHOLE_OR_GATEWAY,
    ),
    (
        "chunks and a length of 0",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
        WHOLE_OR_GATEWAY,
    ),
    ("two lengths, equal", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\ngood", WHOLE_OR_GATEWAY),
    ("a list of lengths, equal", "HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\n\r\ngood", WHOLE_OR_GATEWAY),
    ("two lengths, different", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 10\r\n\r\ngoodpoison", GATEWAY),
    ("a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 4, 10\r\n\r\ngoodpoison", GATEWAY),
    ("a length with minus", "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\ngood", GATEWAY),
    ("a length with plus", "HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\ngood", GATEWAY),
    ("a length of letters", "HTTP/1.1 200 OK\r\nContent-Length: four\r\n\r\ngood", GATEWAY),
    ("a length of 2^64 and 4", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551620\r\n\r\ngood", BROKEN),
    ("a length that is a lie", "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\ngood", BROKEN),
    ("a coding unknown", "HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\ngood", ANY),
    ("two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n", ANY),
    (
        "chunked twice",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
        WHOLE_OR_GATEWAY,
    ),
    ("chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n", ANY),
    ("no length", "HTTP/1.1 200 OK\r\n\r\ngood", WHOLE),
    ("half a body", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngo", BROKEN),
    ("no body", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", BROKEN),
    ("half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngo", BROKEN),
    ("no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n", BROKEN),
    ("half a last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n", BROKEN),
    ("half a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\nX: y\r\n", BROKEN),
    ("a chunk size of letters", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\ngood\r\n0\r\n\r\n", BROKEN),
    // httparse takes the empty line for the last chunk (actix/actix-web#4239); what follows goes down with the connection
    ("a chunk without a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n\r\n6\r\npoison\r\n0\r\n\r\n", ANY),
    ("a chunk size with minus", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\ngood\r\n0\r\n\r\n", BROKEN),
    ("a chunk size that overflows", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000004\r\ngood\r\n0\r\n\r\n", BROKEN),
    ("a chunk larger than its size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ngood\r\n0\r\n\r\n", BROKEN),
    ("a chunk without its line end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood0\r\n\r\n", BROKEN),
];

/// Heads that are none, or that hide something; the connection closes behind them.
const HEADS: &[(&str, &str, &[May])] = &[
    ("nothing", "", GATEWAY),
    ("half a head", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", GATEWAY),
    ("another protocol", "SSH-2.0-OpenSSH_9.6\r\n\r\n", GATEWAY),
    ("frames of HTTP/2", "\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64\r\n\r\n", GATEWAY),
    ("HTTP/0.9", "<html>good</html>\r\n\r\n", GATEWAY),
    ("a request", "GET /poison HTTP/1.1\r\nHost: a.test\r\n\r\n", GATEWAY),
    ("HTTP/3.0", "HTTP/3.0 200 OK\r\nContent-Length: 4\r\n\r\ngood", GATEWAY),
    ("a status of letters", "HTTP/1.1 two OK\r\nContent-Length: 4\r\n\r\ngood", GATEWAY),
    ("a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 4\r\n\r\ngood", GATEWAY),
    ("a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 4\r\n\r\ngood", GATEWAY),
    ("a status below 100", "HTTP/1.1 099 OK\r\nContent-Length: 4\r\n\r\ngood", GATEWAY),
    ("no reason", "HTTP/1.1 200\r\nContent-Length: 4\r\n\r\ngood", WHOLE),
    ("an empty line before", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood", WHOLE_OR_GATEWAY),
    ("a NUL in a value", "HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 4\r\n\r\ngood", GATEWAY),
    ("an escape in a value", "HTTP/1.1 200 OK\r\nX-A: \x1b[31m\r\nContent-Length: 4\r\n\r\ngood", GATEWAY),
    ("a bare CR in a value", "HTTP/1.1 200 OK\r\nX-A: a\rSet-Cookie: poison=1\r\nContent-Length: 4\r\n\r\ngood", GATEWAY),
    ("a bare LF between fields", "HTTP/1.1 200 OK\r\nX-A: a\nX-B: b\r\nContent-Length: 4\r\n\r\ngood", WHOLE_OR_GATEWAY),
    ("a folded field", "HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 4\r\n\r\ngood", WHOLE_OR_GATEWAY),
    ("a field without a colon", "HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 4\r\n\r\ngood", WHOLE_OR_GATEWAY),
    ("a space before the colon", "HTTP/1.1 200 OK\r\nX-A : a\r\nContent-Length: 4\r\n\r\ngood", WHOLE_OR_GATEWAY),
    ("a length with a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\ngood", ANY),
    ("a field without a name", "HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 4\r\n\r\ngood", GATEWAY),
    ("a length nominated for removal", "HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 4\r\n\r\ngood", WHOLE_OR_GATEWAY),
    (
        "chunks nominated for removal",
        "HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
        WHOLE_OR_GATEWAY,
    ),
    ("an informational answer with a body", "HTTP/1.1 103 Early Hints\r\nContent-Length: 6\r\n\r\npoison$G", GATEWAY),
    ("an informational answer, then nothing", "HTTP/1.1 100 Continue\r\n\r\n", GATEWAY),
    (
        "informational answers of all kinds",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n$G",
        WHOLE,
    ),
    ("a switch that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n$P", GATEWAY),
    ("a switch to HTTP/2", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n$P", GATEWAY),
];

/// All of them.
pub fn all() -> Vec<Hostile> {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";
    let bytes = |text: &str| text.replace("$P", poison).replace("$G", good);
    let open = |(name, text, may): &(&'static str, &str, &'static [May])| hostile(name, Reply::raw(bytes(text)), may);
    let close = |(name, text, may): &(&'static str, &str, &'static [May])| hostile(name, Reply::raw(bytes(text)).then(Step::Close), may);
    let head = |fields: &str| Reply::raw(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\ngood")).then(Step::Close);
    let fields = |n: usize| (0..n).map(|n| format!("X-{n}: y\r\n")).collect::<Vec<_>>().concat();
    let later = |name, gate: Gate, bytes: &str| Hostile {
        behind: Some(gate.clone()),
        ..hostile(name, Reply::raw(good).then(Step::Wait(gate)).then(Step::Write(bytes.into())), WHOLE)
    };
    let mut all: Vec<Hostile> = BEHIND.iter().map(open).collect();
    all.extend(LENGTHS.iter().chain(HEADS).map(close));
    all.extend([
        hostile("a body that breaks off", Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngo").then(Step::Reset), BROKEN),
        hostile("a reset", Reply::empty().then(Step::Reset), GATEWAY),
        hostile(
            "a thousand informational answers",
            Reply::raw(format!("{}{good}", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000))),
            WHOLE_OR_GATEWAY,
        ),
        hostile("300 fields", head(&fields(300)), GATEWAY),
        hostile("10,000 fields", head(&fields(10_000)), GATEWAY),
        hostile("a head of 2 MB", head(&format!("X-A: {}\r\n", "y".repeat(2_000_000))), GATEWAY),
        hostile("a head without end", Reply::raw(format!("HTTP/1.1 200 OK\r\nX-A: {}", "y".repeat(3_000_000))).then(Step::Close), GATEWAY),
        later("an answer later, on the idle connection", Gate::new(), poison),
        later("bytes later, on the idle connection", Gate::new(), "poison"),
    ]);
    all
}

/// Answers that stop instead of breaking off: cut by the limits on time.
pub fn stalls() -> Vec<Hostile> {
    let never = Gate::new();
    let stall = |name, bytes: &str, may| hostile(name, Reply::raw(bytes).then(Step::Wait(never.clone())), may);
    vec![
        stall("no byte", "", GATEWAY),
        stall("half a status line", "HTTP/1.1 20", GATEWAY),
        stall("half a head", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", GATEWAY),
        stall("only informational answers", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n", GATEWAY),
        stall("no body", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", CUT),
        stall("half a body", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngo", CUT),
        stall("half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngo", CUT),
        stall("no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n", CUT),
        stall("half a last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n", CUT),
    ]
}

fn hostile(name: &'static str, reply: Reply, may: &'static [May]) -> Hostile {
    Hostile { name, reply, may, behind: None }
}
