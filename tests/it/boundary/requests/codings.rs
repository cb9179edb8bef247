//! Transfer-Encoding (RFC 9112 6.1, 6.3): `chunked`, once, alone, in HTTP/1.1.

use crate::boundary::case::{Case, SMUGGLED, chunked, length, post, raw};

/// Beside `hello` in chunks: to be refused.
const REFUSED: &[(&str, &[u8])] = &[
    ("with a length behind", b"Transfer-Encoding: chunked\r\nContent-Length: 15"),
    ("with a length before", b"Content-Length: 15\r\nTransfer-Encoding: chunked"),
    ("with a length of 0", b"Content-Length: 0\r\nTransfer-Encoding: chunked"),
    ("with a length, far apart", b"Content-Length: 15\r\nX-A: 1\r\nX-B: 2\r\nTransfer-Encoding: chunked"),
    ("with a length, lower case", b"content-length: 15\r\ntransfer-encoding: chunked"),
    ("with a length, upper case", b"TRANSFER-ENCODING: CHUNKED\r\nCONTENT-LENGTH: 15"),
    ("with two lengths", b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\nContent-Length: 15"),
    ("unknown, with a length", b"Content-Length: 15\r\nTransfer-Encoding: cow"),
    ("empty, with a length", b"Content-Length: 15\r\nTransfer-Encoding:"),
    ("twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    ("then identity", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    ("after identity", b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
    ("after a cow", b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked"),
    ("then a cow", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow"),
    ("then nothing", b"Transfer-Encoding: chunked\r\nTransfer-Encoding:"),
    ("listed twice", b"Transfer-Encoding: chunked, chunked"),
    ("listed before identity", b"Transfer-Encoding: chunked, identity"),
    ("listed after identity", b"Transfer-Encoding: identity, chunked"),
    ("listed after gzip", b"Transfer-Encoding: gzip, chunked"),
    ("listed before gzip", b"Transfer-Encoding: chunked,gzip"),
    ("listed with an empty member", b"Transfer-Encoding: ,chunked"),
    ("listed before an empty member", b"Transfer-Encoding: chunked,"),
    ("identity", b"Transfer-Encoding: identity"),
    ("gzip", b"Transfer-Encoding: gzip"),
    ("no value", b"Transfer-Encoding:"),
    ("a letter before", b"Transfer-Encoding: xchunked"),
    ("a letter behind", b"Transfer-Encoding: chunkedx"),
    ("cut short", b"Transfer-Encoding: chunk"),
    ("split", b"Transfer-Encoding: chun ked"),
    ("a parameter", b"Transfer-Encoding: chunked;q=1"),
    ("quoted", b"Transfer-Encoding: \"chunked\""),
    ("in single quotes", b"Transfer-Encoding: 'chunked'"),
    ("in brackets", b"Transfer-Encoding: [chunked]"),
    ("a vertical tab before", b"Transfer-Encoding: \x0bchunked"),
    ("a vertical tab behind", b"Transfer-Encoding: chunked\x0b"),
    ("a form feed before", b"Transfer-Encoding:\x0cchunked"),
    ("a NUL behind", b"Transfer-Encoding: chunked\x00"),
    ("a backspace behind", b"Transfer-Encoding: chunked\x08"),
    ("a no-break space before", b"Transfer-Encoding: \xa0chunked"),
    ("a long s", "Transfer-Encoding: chun\u{212a}ed".as_bytes()),
    ("a bare CR before", b"Transfer-Encoding:\rchunked"),
    ("a bare CR behind", b"Transfer-Encoding: chunked\r\r\nX: y"),
    ("folded before", b"Transfer-Encoding:\r\n chunked"),
    ("folded behind", b"Transfer-Encoding: chunked\r\n , identity"),
    ("folded with a tab", b"Transfer-Encoding:\r\n\tchunked"),
    ("space before the colon", b"Transfer-Encoding : chunked"),
    ("tab before the colon", b"Transfer-Encoding\t: chunked"),
    ("a vertical tab before the colon", b"Transfer-Encoding\x0b: chunked"),
    ("a NUL before the name", b"\x00Transfer-Encoding: chunked"),
    ("a NUL in the name", b"Transfer\x00-Encoding: chunked"),
    ("a space before the name", b"X: y\r\n Transfer-Encoding: chunked"),
    ("no colon", b"Transfer-Encoding chunked"),
    ("behind a bare CR", b"X: y\rTransfer-Encoding: chunked"),
];

/// Beside `hello` in chunks: to be passed on.
const ARRIVES: &[(&str, &[u8])] = &[
    ("as it should be", b"Transfer-Encoding: chunked"),
    ("capital", b"Transfer-Encoding: Chunked"),
    ("upper case", b"TRANSFER-ENCODING: CHUNKED"),
    ("no space", b"transfer-encoding:chunked"),
    ("a tab before", b"Transfer-Encoding:\tchunked"),
    ("white space behind", b"Transfer-Encoding: chunked \t"),
    ("with TE and Trailer", b"Transfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Sum"),
];

/// Beside `hello` in chunks: passed on, or refused.
const MAY_ARRIVE: &[(&str, &[u8])] = &[
    ("beside a look-alike", b"Transfer-Encoding: chunked\r\nTransfer_Encoding: identity"),
    ("beside a look-alike of the length", b"Transfer-Encoding: chunked\r\nContent_Length: 3"),
    ("nominated for removal", b"Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding"),
];

/// Fields that only look like one, beside a length of the whole body: passed on with it, or refused.
const LOOK_ALIKES: &[(&str, &[u8])] = &[
    ("underscore", b"Transfer_Encoding: chunked"),
    ("another field's", b"Content-Encoding: chunked"),
    ("with a prefix", b"X-Transfer-Encoding: chunked"),
    ("plural", b"Transfer-Encodings: chunked"),
    ("TE", b"TE: chunked"),
];

pub fn cases() -> Vec<Case> {
    let body = chunked(b"hello");
    let mut cases: Vec<Case> = REFUSED.iter().map(|(name, fields)| post(name, fields, &body)).collect();
    cases.extend(ARRIVES.iter().map(|(name, fields)| post(name, fields, &body).arrives("POST", b"hello")));
    cases.extend(MAY_ARRIVE.iter().map(|(name, fields)| post(name, fields, &body).may_arrive("POST", b"hello")));
    // what the two readings of a message disagree about: a request behind the last chunk, within the length
    let hidden = [b"0\r\n\r\n", SMUGGLED].concat();
    cases.extend(LOOK_ALIKES.iter().map(|(name, fields)| {
        let fields = [&length(&hidden)[..], b"\r\n", fields].concat();
        let case = post(name, &fields, &hidden);
        if *name == "underscore" { case.may_arrive("POST", &hidden) } else { case.arrives("POST", &hidden) }
    }));
    let both = |first: &[u8], second: &[u8]| [first, b"\r\n", second].concat();
    let old = |fields: &[u8]| [b"POST $T HTTP/1.0\r\nHost: a.test\r\n", fields, b"\r\n\r\n", &body[..]].concat();
    cases.extend([
        post("hidden from who reads chunks", &both(&length(&hidden), b"Transfer-Encoding: chunked"), &hidden),
        post("hidden from who reads the length", b"Content-Length: 4\r\nTransfer-Encoding: chunked", &chunked(SMUGGLED)),
        post("hidden by a coding unknown", &both(&length(&hidden), b"Transfer-Encoding: xchunked"), &hidden),
        post("hidden by a space", &both(&length(&hidden), b"Transfer-Encoding : chunked"), &hidden),
        post("hidden by a bare LF", &both(&length(&hidden), b"X: y\nTransfer-Encoding: chunked"), &hidden),
        post("hidden by a bare CR", &both(&length(&hidden), b"X: y\rTransfer-Encoding: chunked"), &hidden),
        post("hidden by a fold", &both(&length(&hidden), b"Transfer-Encoding:\r\n chunked"), &hidden),
        raw("in HTTP/1.0", old(b"Transfer-Encoding: chunked")).may_arrive("POST", b"hello"),
        raw("in HTTP/1.0, kept alive", old(b"Connection: keep-alive\r\nTransfer-Encoding: chunked")).may_arrive("POST", b"hello"),
        raw("in HTTP/1.0, twice", old(b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked")),
        raw("in HTTP/1.0, with a length", old(b"Content-Length: 15\r\nTransfer-Encoding: chunked")),
    ]);
    cases
}
