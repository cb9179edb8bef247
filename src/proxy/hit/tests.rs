//! Both ways to write a stored answer, over the same corpus: they differ in nothing but `Date`, and ours is one write.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use super::*;
use crate::cache::NotStored;
use crate::cache::control::Directives;
use crate::cache::policy::{Facts, Storable};
use crate::cache::status::{CacheStatus, Forward};
use crate::clock::Clock;
use crate::dedup::SkipReason;
use crate::flow::Running;
use crate::flow::budget::Budget;
use crate::proxy::ctx::{CacheMark, DedupMark};
use crate::proxy::room::Room;
use crate::proxy::stalls::Stalls;
use crate::store::responses::Responses;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// A connection that counts what is written to it.
#[derive(Debug)]
struct Counted(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(cx, &parts.iter().flat_map(|part| part.to_vec()).collect::<Vec<_>>());
        self.1.fetch_add(usize::from(written.is_ready()), SeqCst);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Counted {
    async fn shutdown(&mut self) {}
}
#[async_trait]
impl Peek for Counted {}
impl UniqueID for Counted {
    fn id(&self) -> UniqueIDType {
        0
    }
}
impl Ssl for Counted {}
impl GetTimingDigest for Counted {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}
impl GetProxyDigest for Counted {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}
impl GetSocketDigest for Counted {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

fn watched(stream: Stream) -> Stream {
    let room = Room {
        budget: 1 << 30,
        responses: Arc::new(Responses::new(1 << 20, 1 << 10)),
        bodies: Budget::new(0),
        running: Running::default(),
    };
    Caller::watch(stream, Arc::new(room), Stalls::new(|| 1 << 30, || ()))
}

/// What the caller reads, and in how many writes it left.
async fn answered(request: &str, marks: &Marks, entry: &Entry, slot: bool) -> (String, usize) {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let writes = Arc::<AtomicUsize>::default();
    far.write_all(request.as_bytes()).await.expect("room");
    let stream: Stream = Box::new(Counted(near, Arc::clone(&writes)));
    let mut session = Session::new_h1(if slot { watched(stream) } else { stream });
    assert!(session.as_downstream_mut().read_request().await.expect("a request"));
    write(&mut session, marks, entry).await.expect("written");
    drop(session);
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).await.expect("read");
    (String::from_utf8(bytes).expect("text"), writes.load(SeqCst))
}

fn entry(status: u16, fields: &[(&str, &str)], body: &str) -> Entry {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.parse::<HeaderName>().expect("a name"), value.parse::<HeaderValue>().expect("a value"));
    }
    let received = Clock::manual().now();
    let facts = Facts {
        status,
        directives: Directives::default(),
        initial_age: Duration::ZERO,
        received,
        date: None,
        token_left: None,
        softened: None,
    };
    let storable = Storable { facts, selecting: crate::cache::vary::Selecting::default() };
    let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    Entry::new("r".into(), storable, &headers, fields, &[Bytes::from(body.to_owned())])
}

fn entries() -> Vec<Entry> {
    let fields = [
        ("Date", DATE),
        ("content-TYPE", "text/plain"),
        ("ETag", "\"v1\""),
        ("Last-Modified", DATE),
        ("Link", "</a>"),
        ("Link", "</b>"),
        ("Cache-Status", "inner; hit"),
        ("Content-Location", "/here"),
        ("x-empty", ""),
        ("X-Request-Id", "of the function"),
    ];
    let mut all = vec![entry(200, &[], ""), entry(200, &fields[..1], "0123456789"), entry(200, &fields, &"long".repeat(50_000))];
    all.extend([203, 204, 301, 404, 410, 418, 599].map(|status| entry(status, &fields, "0123456789")));
    all
}

const REQUESTS: [&str; 13] = [
    "GET / HTTP/1.1\r\nHost: f\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: f\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: f\r\nIf-None-Match: *\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: f\r\nIf-None-Match: \"v1\"\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: f\r\nIf-Modified-Since: Sun, 06 Nov 2024 08:49:37 GMT\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: f\r\nRange: bytes=2-4\r\n\r\n",
    "GET / HTTP/1.0\r\nRange: bytes=-1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: f\r\nRange: bytes=999999-\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: f\r\nRange: bytes=0-1,3-4\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: f\r\nContent-Length: 0\r\n\r\n",
];

fn marks() -> Vec<Marks> {
    let mark =
        |status, age, dedup| Marks { request_id: "5f0c".into(), cache: Some(CacheMark { status, age }), dedup, draining: Arc::default() };
    let hit = mark(CacheStatus::Hit { ttl: 300 }, Some(Duration::from_secs(12)), None);
    let leaving = Marks { draining: Arc::new(true.into()), ..hit.clone() };
    let skipped = Some(DedupMark::Skipped(SkipReason::NoId));
    let renewed = mark(CacheStatus::Revalidated { stored: Err(NotStored::Private) }, None, skipped);
    vec![hit, leaving, mark(CacheStatus::Collapsed { forward: Forward::VaryMiss }, None, None), renewed]
}

/// An answer without its lines of `Date`, and their values.
fn undated(answer: &str) -> (String, Vec<String>) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    let is_date = |line: &&str| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case("date:"));
    let dates = head.split("\r\n").filter(is_date).map(|line| line[6..].to_owned()).collect();
    let others: Vec<_> = head.split("\r\n").filter(|line| !is_date(line)).collect();
    (format!("{}\r\n\r\n{body}", others.join("\r\n")), dates)
}

#[tokio::test]
async fn the_slot_writes_what_pingora_would_but_for_the_date_and_at_once() {
    for entry in entries() {
        let stored = entry.field(&http::header::DATE).map(|date| String::from_utf8_lossy(date).into_owned());
        for marks in marks() {
            for request in REQUESTS {
                let (ours, writes) = answered(request, &marks, &entry, true).await;
                let (theirs, _) = answered(request, &marks, &entry, false).await;
                let ((ours, date), (theirs, now)) = (undated(&ours), undated(&theirs));
                assert_eq!(ours, theirs, "{request}");
                assert_eq!((date.as_slice(), now.len(), writes), (stored.as_slice(), 1, 1), "{request}");
            }
        }
    }
}

#[tokio::test]
async fn repeated_fields_keep_the_order_they_came_in() {
    let entry = entry(200, &[("X-B", "1"), ("X-C", "2"), ("x-b", "3")], "");
    let (answer, _) = answered(REQUESTS[0], &marks()[0], &entry, true).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nX-B: 1\r\nX-C: 2\r\nx-b: 3\r\nContent-Length: 0\r\n"), "{answer}");
}

#[tokio::test]
async fn a_head_that_was_not_asked_for_stands_in_for_no_other() {
    let (near, mut far) = tokio::io::duplex(1 << 10);
    let mut stream = watched(Box::new(near));
    let caller: &Caller = (*stream).as_any().downcast_ref().expect("the one just made");
    caller.replace_head(Bytes::from_static(b"another's"));
    caller.keep_head();
    stream.write_all(b"mine").await.expect("written");
    drop(stream);
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).await.expect("read");
    assert_eq!(bytes, b"mine");
}
