//! The judge must see what it is there to see.

use super::*;

#[test]
fn what_is_no_http_is_seen() {
    let head = |fields: &str| format!("POST /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    for (bytes, why) in [
        (head("Content-Length: 5\r\nContent-Length: 5\r\n"), "several Content-Length"),
        (head("Content-Length: 5, 5\r\n"), "a Content-Length that is no number"),
        (head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "Content-Length and Transfer-Encoding"),
        (head("Transfer-Encoding: gzip, chunked\r\n"), "a Transfer-Encoding other than chunked"),
        (head("Transfer-Encoding : chunked\r\n"), "a field name that is no token"),
        (head("X: a\r\n b\r\n"), "a folded line"),
        (head("X: a\nY: b\r\n"), "a bare LF in a head"),
        (head("X: a\rY: b\r\n"), "a control character in a field value"),
        (head("Host: b\r\n"), "not exactly one Host"),
        (head("Transfer-Encoding: chunked\r\n") + "\r\n", "a chunk size that is no number"),
        (head("Transfer-Encoding: chunked\r\n") + "1\r\nabc\r\n", "no line end behind a chunk"),
        ("GET  /a HTTP/1.1\r\nHost: a\r\n\r\n".into(), "a target that is not in origin form"),
        ("0\r\n\r\nGET /a HTTP/1.1\r\n".into(), "a target that is not in origin form"),
        ("GET /a HTTP/1.0\r\nHost: a\r\n\r\n".into(), "not HTTP/1.1"),
        ("G(T /a HTTP/1.1\r\nHost: a\r\n\r\n".into(), "a method that is no token"),
    ] {
        assert_eq!(request(bytes.as_bytes()), Parse::Bad(why), "{bytes}");
    }
}

#[test]
fn a_request_takes_its_own_bytes_only() {
    let text = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\nGET /b";
    for end in 0..text.len() - 6 {
        assert_eq!(request(&text[..end]), Parse::More, "{end}");
    }
    let Parse::Whole(message, used) = request(text) else { panic!("it is whole") };
    assert_eq!((&message.body[..], used), (&b"abc"[..], text.len() - 6));
}

#[test]
fn an_answer_that_ends_before_its_end_is_not_whole() {
    for (text, whole) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", false),
        ("HTTP/1.1 200 OK\r\n\r\nab", true),
    ] {
        let Parse::Whole(message, _) = response(text.as_bytes(), "GET", true) else { panic!("{text}") };
        assert_eq!((message.whole, &message.body[..]), (whole, &b"ab"[..]), "{text}");
    }
}
