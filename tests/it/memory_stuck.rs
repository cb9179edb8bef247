//! Memory while one side takes nothing: callers that do not read their answers, functions that do not read what is sent to them. The
//! process stays below what the platform gives, and the others are served.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::memory::{CONTAINER, peak};
use crate::support::client::{Connection, get, send};
use crate::support::command::Process;
use crate::support::until;

const MANY: usize = 250;
const SLOW_READER: &str = r#"edge_sidecar_requests_shed_total{reason="slow_reader"}"#;

/// A function: `/flood` answers without an end, `/deaf` reads nothing of the body and never answers, all else is answered at once.
async fn function() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(mut stream: TcpStream) {
    let mut head = Vec::new();
    loop {
        // one byte at a time: of the body nothing is taken
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        if text.contains("/deaf") {
            std::future::pending::<()>().await;
        }
        if !text.contains("/flood") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            head.clear();
            continue;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await;
        let piece = vec![b'x'; 64 << 10];
        while stream.write_all(&piece).await.is_ok() {}
        return;
    }
}

async fn assert_others_are_served(process: &Process) {
    assert_eq!(send(process.address, &get("/plain")).await.text(), "ok");
    assert_eq!(send(process.admin, &get("/health").header("connection", "close")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_read_nothing_make_room_for_those_that_do() {
    let process = Process::start(&format!("http://{}", function().await), &["--log-level", "error"]).await;
    let mut callers = Vec::new();
    for n in 0..MANY {
        let mut caller = Connection::open(process.address).await;
        caller.write(&get(&format!("/{}/flood", n % 2))).await; // of two functions: one alone does not get all connections
        callers.push(caller);
    }
    until("the longest stuck are cut", async || (process.series(SLOW_READER).await >= 100.0).then_some(())).await;
    assert_others_are_served(&process).await;
    let mut stuck = Connection::open(process.address).await;
    stuck.write(&get("/flood")).await;
    assert_eq!(stuck.read_head().await.status, 200, "the newest has its turn");
    let most = peak(&process);
    assert!(most <= CONTAINER, "{} MiB", most >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_to_a_function_that_reads_nothing_take_little_each() {
    let process = Process::start(&format!("http://{}", function().await), &["--log-level", "error"]).await;
    let body = vec![b'x'; 8_000_000];
    let mut callers = Vec::new();
    for n in 0..MANY {
        let mut caller = Connection::open(process.address).await;
        caller.write_raw(format!("POST /{}/deaf HTTP/1.1\r\nHost: f\r\nContent-Length: {}\r\n\r\n", n % 2, body.len()).as_bytes()).await;
        caller.try_write_some(&body).await;
        callers.push(caller);
    }
    assert_others_are_served(&process).await;
    let most = peak(&process);
    assert!(most <= CONTAINER, "{} MiB", most >> 20);
}
