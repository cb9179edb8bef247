//! Functions are trusted only half: whatever one answers, nobody else gets a byte of it, and what is not whole does not look whole.

use crate::support::client::{Request, get, post, request};
use crate::support::origin::{Origin, Reply, Step};
use crate::support::routes::{RULES, each, message};
use crate::support::sidecar::{Sidecar, in_front_of};

const WRONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nWRONG";

/// What an answer may come out as.
enum Comes {
    /// This status and body, whole.
    As(u16, &'static str),
    /// 502: it is no answer.
    Bad,
    /// 200, visibly cut off.
    Cut,
    /// One of these, but never `WRONG` as a part of it.
    Any,
}
use Comes::{Any, As, Bad, Cut};

/// What the function sends, closed or kept open after it, and what may come of it.
fn answers() -> Vec<(&'static str, Reply, Comes)> {
    let head = |fields: &str, body: &str| Reply::raw(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}"));
    let status = |line: &str, body: &str| Reply::raw(format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let chunks = "Transfer-Encoding: chunked\r\n";
    vec![
        ("bytes behind a length", head("Content-Length: 2\r\n", &format!("{{}}{WRONG}")), As(200, "{}")),
        ("bytes behind the last chunk", head(chunks, &format!("2\r\n{{}}\r\n0\r\n\r\n{WRONG}")), As(200, "{}")),
        ("a body under 204", Reply::raw(format!("HTTP/1.1 204 No Content\r\n\r\n{WRONG}")), As(204, "")),
        ("a length under 204", status("204 No Content", WRONG), As(204, "")),
        ("a body under 304", Reply::raw(format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 46\r\n\r\n{WRONG}")), As(304, "")),
        ("length and chunks", head(&format!("Content-Length: 2\r\n{chunks}"), "2\r\n{}\r\n0\r\n\r\n").then(Step::Close), As(200, "{}")),
        ("two lengths", head("Content-Length: 2\r\nContent-Length: 46\r\n", &format!("{{}}{WRONG}")), Bad),
        ("a length that is none", head("Content-Length: 2x\r\n", &format!("{{}}{WRONG}")).then(Step::Close), Any),
        ("a negative length", head("Content-Length: -2\r\n", &format!("{{}}{WRONG}")).then(Step::Close), Any),
        (
            "chunks under another coding",
            head("Transfer-Encoding: chunked, gzip\r\n", &format!("2\r\n{{}}\r\n0\r\n\r\n{WRONG}")).then(Step::Close),
            Any,
        ),
        ("a chunk that is too short", head(chunks, "ff\r\n{}").then(Step::Close), Cut),
        ("a chunk size that is none", head(chunks, &format!("zz\r\n{WRONG}")), Cut),
        ("no last chunk", head(chunks, "2\r\n{}\r\n").then(Step::Close), Cut),
        ("a body that is too short", head("Content-Length: 10\r\n", "{}").then(Step::Close), Cut),
        ("a body that is reset", head("Content-Length: 10\r\n", "{}").then(Step::Reset), Cut),
        (
            "hints before",
            Reply::raw(format!(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{}",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
            )),
            As(200, "{}"),
        ),
        (
            "many hints",
            Reply::raw(format!("{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{{}}", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(500))),
            As(200, "{}"),
        ),
        ("hints and no answer", Reply::raw("HTTP/1.1 103 Early Hints\r\n\r\n").then(Step::Close), Bad),
        (
            "a switch nobody asked for",
            Reply::raw(format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{WRONG}")),
            Bad,
        ),
        ("a folded field", head("X: a\r\n b\r\nContent-Length: 2\r\n", "{}").then(Step::Close), Any),
        ("a control character", head("X: a\0b\r\nContent-Length: 2\r\n", "{}").then(Step::Close), Bad),
        ("a field without a name", head(": a\r\nContent-Length: 2\r\n", "{}").then(Step::Close), Bad),
        ("too many fields", head(&"X: a\r\n".repeat(400), "{}").then(Step::Close), Bad),
        ("an endless head", head(&format!("X: {}\r\n", "y".repeat(2 << 20)), "{}").then(Step::Close), Bad),
        ("no HTTP", Reply::raw(format!("SSH-2.0-x\r\n\r\n{WRONG}")).then(Step::Close), Bad),
        ("another version", Reply::raw("HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\n{}").then(Step::Close), Bad),
        ("a status that is none", Reply::raw("HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}").then(Step::Close), Bad),
        ("nothing", Reply::empty().then(Step::Close), Bad),
        ("a body until its end", Reply::raw("HTTP/1.1 200 OK\r\n\r\n{}").then(Step::Close), As(200, "{}")),
    ]
}

/// Others ask on the same connection and on new ones, by each kind of route, and get their own answers.
async fn assert_victims(sidecar: &Sidecar, case: &str, n: usize) {
    for round in 0..2 {
        for (kind, victim) in each(&format!("victim-{n}-{round}")) {
            let answer = sidecar.send(victim).await;
            assert_eq!((answer.status, answer.text().starts_with("victim ")), (200, true), "{case}, {kind}: {}", answer.text());
        }
    }
}

fn evil(kind: &str, n: usize) -> Request {
    match kind {
        "plain GET" => get(&format!("/plain/evil-{n}")),
        "plain POST" => post(&format!("/plain/evil-{n}"), "{}"),
        "cached GET" => get(&format!("/profile/evil-{n}")),
        "HEAD" => request("HEAD", &format!("/plain/evil-{n}")),
        _ => post("/wa-webhook-core", message(&format!("evil-{n}"))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_function_answers_nobody_else_gets_a_byte_of_it() {
    let scripted: Vec<Reply> = answers().into_iter().map(|(_, reply, _)| reply).collect();
    let origin = Origin::start(move |seen| {
        let sent = format!("{} {}", seen.target(), seen.message.text());
        match sent.split_once("evil-").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>()) {
            Some(n) => scripted[n.parse::<usize>().expect("a number")].clone(),
            None => Reply::ok(format!("victim {}", seen.target())),
        }
    })
    .await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for (n, (case, _, comes)) in answers().into_iter().enumerate() {
        for kind in ["plain GET", "plain POST", "cached GET", "webhook", "HEAD"] {
            let mut connection = sidecar.connect().await;
            let answer = connection.send(&evil(kind, n)).await;
            let (status, body, whole) = (answer.status, answer.text(), answer.message.whole);
            assert!(!body.contains("WRONG") || matches!(comes, Any), "{case}, {kind}: {body}");
            let head = kind == "HEAD";
            match comes {
                // asked without conditions, a 304 answers no question (cache.md 6)
                As(304, _) if kind == "cached GET" => assert_eq!(status, 502, "{case}"),
                As(expected, text) => {
                    assert_eq!((status, body.as_str(), whole), (expected, if head { "" } else { text }, true), "{case}, {kind}");
                }
                Bad => {
                    assert_eq!(
                        (status, head || answer.json()["requestId"] == answer.header("x-request-id")),
                        (502, true),
                        "{case}, {kind}"
                    );
                }
                Cut => assert_eq!((status, whole), (200, head), "{case}, {kind}: {body}"),
                Any => assert!([200, 502].contains(&status), "{case}, {kind}: {status}"),
            }
            // a connection that goes on carries the next answer, not the rest of this one
            if answer.header("connection") == "keep-alive" && whole {
                let next = connection.send(&get("/victim")).await;
                assert!(next.status == 0 || next.text() == "victim /victim", "{case}, {kind}: {}", next.text());
            }
        }
        assert_victims(&sidecar, case, n).await;
    }
    sidecar.until_series(r#"edge_sidecar_upstream_connections{upstream="functions",state="in_use"}"#, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_answer_is_never_kept_and_never_ends_like_a_whole_one() {
    let replies = [
        Reply::new(200, &[("Cache-Control", "max-age=60")], "x".repeat(100)).cut(1),
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n2\r\n{}\r\n").then(Step::Close),
    ];
    for reply in replies {
        let origin = Origin::start(move |_| reply.clone()).await;
        let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
        for count in 1..=2 {
            let answer = sidecar.get("/profile/cut").await;
            assert_eq!((answer.status, answer.message.whole), (200, false));
            assert_eq!(origin.count(), count);
        }
    }
}
