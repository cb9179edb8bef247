//! Hits as they are written: stored bytes in place of the head that Pingora would write (its `Date` is that of the moment).

use std::net::SocketAddr;
use std::time::Duration;

use edge_sidecar::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::cached::{PUBLIC, STORED, still, told};
use crate::memory::{CONTAINER, peak};
use crate::support::client::{get, request, send};
use crate::support::command::Process;
use crate::support::origin::{Origin, Reply};
use crate::support::sidecar::in_front_of;
use crate::support::until;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const LARGE: usize = 1 << 20;

fn large() -> Vec<u8> {
    (0..LARGE).map(|at| b'a' + u8::try_from(at % 26).expect("below 26")).collect()
}

/// A connection that takes little at once.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("a socket option");
    socket.connect(address).await.expect("it accepts")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_of_a_hit_keeps_its_date_and_ends_where_the_next_begins() {
    let fields = [("Date", DATE), ("Cache-Control", "max-age=4000000000"), ("ETag", "\"v1\""), ("X-B", "1"), ("x-b", "2")];
    let origin = Origin::start(move |_| Reply::new(200, &fields, large())).await;
    let sidecar = still(&origin, PUBLIC).await;
    assert_eq!(told(&sidecar.get("/config").await), STORED);
    let mut connection = sidecar.connect().await;
    for (asked, status, length, at) in [
        (get("/config"), 200, LARGE, 0),
        (request("HEAD", "/config"), 200, 0, 0),
        (get("/config").header("if-none-match", "\"v1\""), 304, 0, 0),
        (get("/config").header("range", "bytes=26-90000"), 206, 89_975, 26),
        (get("/config").header("range", "bytes=9000000-"), 416, 0, 0),
        (get("/config").http10().header("connection", "keep-alive"), 200, LARGE, 0),
    ] {
        let answer = connection.send(&asked).await;
        assert_eq!((told(&answer).0, answer.status, answer.message.body.len()), ("HIT", status, length), "{asked:?}");
        assert_eq!((answer.message.all("date"), answer.message.all("x-b")), (vec![DATE], vec!["1", "2"]), "{asked:?}");
        assert_eq!(answer.header("connection"), "keep-alive", "{asked:?}");
        assert!(answer.message.whole && answer.message.body == large()[at..at + length], "{asked:?}");
    }
    for closing in [get("/config").header("connection", "close"), get("/config").http10()] {
        let mut connection = sidecar.connect().await;
        let answer = connection.send(&closing).await;
        assert_eq!((answer.header("connection"), answer.message.body.len(), answer.message.whole), ("close", LARGE, true));
        assert!(connection.is_closed().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_date_gets_that_of_its_arrival() {
    let (origin, clock) = (Origin::start(|_| Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")).await, Clock::manual());
    let came = httpdate::fmt_http_date(clock.wall());
    let sidecar = in_front_of(&origin.url()).rules(PUBLIC).clock(&clock).start().await;
    assert_eq!(told(&sidecar.get("/config").await), STORED);
    assert_eq!(sidecar.get("/config").await.header("date"), came);
    clock.advance(Duration::from_secs(100));
    let later = sidecar.get("/config").await;
    assert_eq!((later.header("x-cache"), later.message.all("date"), later.header("age")), ("HIT", vec![came.as_str()], "100"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_all_of_a_hit_and_one_that_is_stuck_is_let_go() {
    let origin = Origin::start(|_| Reply::ok(vec![b'x'; LARGE * 8])).await;
    let sized = |time| {
        in_front_of(&origin.url()).rules(PUBLIC).with(move |s| {
            (s.memory.max_object, s.memory.cache, s.memory.bodies) = (16 << 20, 128 << 20, 16 << 20);
            s.limits.write_timeout = time;
        })
    };
    for (time, stuck) in [(Duration::from_mins(1), false), (Duration::from_millis(300), true)] {
        let sidecar = sized(time).start().await;
        assert_eq!(sidecar.get("/config").await.message.body.len(), LARGE * 8);
        let mut reader = narrow(sidecar.address).await;
        reader
            .write_all(b"GET /config HTTP/1.1\r\nHost: functions.local\r\nX-Request-Id: slow\r\nConnection: close\r\n\r\n")
            .await
            .expect("taken");
        if stuck {
            let line = sidecar.line("request", "slow").await;
            assert_eq!(
                (&line["status"], &line["error"], &line["outcome"]),
                (&200.into(), &"write_timeout".into(), &"hit".into()),
                "{line}"
            );
        }
        let (mut read, mut piece) = (0, vec![0; 32 << 10]);
        while let Ok(n @ 1..) = reader.read(&mut piece).await {
            read += n;
            tokio::task::yield_now().await;
        }
        assert_eq!(read > LARGE * 8, !stuck, "{read}");
        if !stuck {
            let line = sidecar.line("request", "slow").await;
            assert_eq!((&line["bytes_out"], &line["outcome"]), (&(LARGE * 8).into(), &"hit".into()), "{line}");
        }
    }
}

/// Callers that read nothing of a hit hold none of its bytes: they are the store's.
#[tokio::test(flavor = "multi_thread")]
async fn callers_that_read_nothing_of_hits_make_room_too() {
    // more than the kernel holds for a connection
    let origin = Origin::start(|_| Reply::ok(vec![b'x'; LARGE * 7])).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = "version: 1\nrules: rules.yaml\nmemory: { max_object: 7MiB }\n";
    std::fs::write(folder.path().join("rules.yaml"), format!("version: 1\n{PUBLIC}")).expect("writable");
    std::fs::write(folder.path().join("sidecar.yaml"), settings).expect("writable");
    let config = folder.path().join("sidecar.yaml").display().to_string();
    let process = Process::start(&origin.url(), &["--log-level", "error", "--config", &config]).await;
    let asked = get("/functions/v1/config");
    until("a hit", async || (told(&send(process.address, &asked).await).0 == "HIT").then_some(())).await;
    let mut callers = Vec::new();
    for _ in 0..250 {
        let mut caller = narrow(process.address).await;
        caller.write_all(b"GET /functions/v1/config HTTP/1.1\r\nHost: functions.local\r\n\r\n").await.expect("taken");
        callers.push(caller);
    }
    until("the longest stuck are cut", async || {
        (process.series(r#"edge_sidecar_requests_shed_total{reason="slow_reader"}"#).await >= 100.0).then_some(())
    })
    .await;
    assert_eq!(send(process.address, &asked).await.message.body.len(), LARGE * 7);
    let most = peak(&process);
    assert!(most <= CONTAINER, "{} MiB", most >> 20);
}
