//! A client that writes what it is told and reads what comes.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::PATIENCE;
use super::wire::{Buffer, Message};

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    chunked: bool,
    expect: bool,
    version: &'static str,
}

/// A GET.
pub fn get(target: &str) -> Request {
    request("GET", target)
}

/// A POST with a body.
pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Request {
    Request { body: Some(body.into()), ..request("POST", target) }
}

/// Any request.
pub fn request(method: &str, target: &str) -> Request {
    Request {
        method: method.into(),
        target: target.into(),
        headers: Vec::new(),
        body: None,
        chunked: false,
        expect: false,
        version: "HTTP/1.1",
    }
}

impl Request {
    /// One more field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a body, whatever the method.
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends the body in chunks of 10,000 bytes, without a length.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Sends the body only after `100 Continue`.
    pub fn expecting(mut self) -> Self {
        self.expect = true;
        self
    }

    /// As HTTP/1.0.
    pub fn http10(mut self) -> Self {
        self.version = "HTTP/1.0";
        self
    }

    fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version);
        let mut add = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
        if !self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("host")) {
            add("Host", "functions.local");
        }
        for (name, value) in &self.headers {
            add(name, value);
        }
        match &self.body {
            Some(_) if self.chunked => add("Transfer-Encoding", "chunked"),
            Some(body) => add("Content-Length", &body.len().to_string()),
            None => {}
        }
        if self.expect {
            add("Expect", "100-continue");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn payload(&self) -> Vec<u8> {
        let body = self.body.as_deref().unwrap_or_default();
        if self.body.is_none() || !self.chunked {
            return body.to_vec();
        }
        let mut out = Vec::new();
        for chunk in body.chunks(10_000) {
            out.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            out.extend(chunk);
            out.extend(b"\r\n");
        }
        out.extend(b"0\r\n\r\n");
        out
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status; 0 if none came.
    pub status: u16,
    /// The rest.
    pub message: Message,
}

impl Answer {
    /// The first value of a field, or "".
    pub fn header(&self, name: &str) -> &str {
        self.message.header(name).unwrap_or_default()
    }

    /// Whether it has a field.
    pub fn has(&self, name: &str) -> bool {
        self.message.header(name).is_some()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        self.message.text()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.message.body).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.text()))
    }
}

/// A connection that may carry several requests.
pub struct Connection {
    stream: BufReader<TcpStream>,
    buffer: Buffer,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Self {
        Self::try_open(address).await.unwrap_or_else(|e| panic!("connect to {address}: {e}"))
    }

    /// Connects, unless it is refused.
    pub async fn try_open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), buffer: Buffer::default() })
    }

    /// Writes a request without reading the answer.
    pub async fn write(&mut self, request: &Request) {
        self.stream.write_all(&request.head()).await.expect("the head is taken");
        if request.expect {
            let interim = self.buffer.head(&mut self.stream).await.expect("readable").expect("an interim answer");
            assert_eq!(interim.start.1, "100", "asked to go on");
        }
        // a server may answer and close before it has read all
        let _ = self.stream.write_all(&request.payload()).await;
        let _ = self.stream.flush().await;
    }

    /// Writes bytes as they are.
    pub async fn write_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("taken");
    }

    /// Writes bytes where the other side still takes them.
    pub async fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Writes as many bytes as the other side takes within a moment.
    pub async fn try_write_some(&mut self, bytes: &[u8]) -> bool {
        timeout(Duration::from_millis(50), self.stream.write_all(bytes)).await.is_ok_and(|written| written.is_ok())
    }

    /// Whether something comes to be read within a time; it stays to be read.
    pub async fn has_answer(&mut self, within: Duration) -> bool {
        timeout(within, self.stream.fill_buf()).await.is_ok()
    }

    /// Writes while reading one chunk: neither side waits for the other to be done.
    pub async fn write_and_read_chunk(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (mut read, mut write) = tokio::io::split(&mut self.stream);
        let both = async { tokio::join!(write.write_all(bytes), self.buffer.chunk(&mut read)) };
        let (written, chunk) = timeout(PATIENCE, both).await.expect("both in time");
        written.expect("taken");
        chunk.ok().flatten()
    }

    /// Reads the head of the next answer (past informational ones).
    pub async fn read_head(&mut self) -> Answer {
        loop {
            let head = timeout(PATIENCE, self.buffer.head(&mut self.stream)).await.expect("a head in time");
            let message = head.ok().flatten().unwrap_or_default();
            let status = message.start.1.parse().unwrap_or(0);
            if !(100..200).contains(&status) || status == 101 {
                return Answer { status, message };
            }
        }
    }

    /// Reads one chunk of a chunked answer; empty at its end.
    pub async fn read_chunk(&mut self) -> Option<Vec<u8>> {
        timeout(PATIENCE, self.buffer.chunk(&mut self.stream)).await.expect("a chunk in time").ok().flatten()
    }

    /// Sends a request and reads its whole answer.
    pub async fn send(&mut self, request: &Request) -> Answer {
        self.write(request).await;
        self.read(request).await
    }

    /// Sends a request and reads its answer; status 0 where the other side has closed.
    pub async fn try_send(&mut self, request: &Request) -> Answer {
        let _ = self.stream.write_all(&[request.head(), request.payload()].concat()).await;
        self.read(request).await
    }

    /// Reads the whole answer to `request`.
    pub async fn read(&mut self, request: &Request) -> Answer {
        let mut answer = self.read_head().await;
        let bodyless = request.method == "HEAD" || matches!(answer.status, 0 | 101 | 204 | 304);
        answer.message.whole = bodyless && answer.status != 0;
        if !bodyless {
            let body = self.buffer.body(&mut self.stream, &mut answer.message, true);
            let _ = timeout(PATIENCE, body).await.expect("a body in time");
        }
        answer
    }

    /// Closes in the ordinary way (FIN).
    pub fn close(self) {
        drop(self);
    }

    /// Closes our half only: nothing more is sent, the answer is still read.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.expect("a shutdown");
    }

    /// Breaks the connection (RST).
    pub fn reset(self) {
        self.stream.get_ref().set_zero_linger().expect("a socket option");
    }

    /// Whether the other side has closed: nothing more comes.
    pub async fn is_closed(&mut self) -> bool {
        !matches!(timeout(PATIENCE, self.buffer.fill(&mut self.stream)).await.expect("an end in time"), Ok(true))
    }
}

/// Sends one request on a connection of its own.
pub async fn send(address: SocketAddr, request: &Request) -> Answer {
    Connection::open(address).await.send(request).await
}

/// Sends one request through an admin socket, as `curl --unix-socket` does.
pub async fn through_socket(socket: &Path, request: &Request) -> Answer {
    let mut stream = UnixStream::connect(socket).await.expect("the socket answers");
    let request = request.clone().header("connection", "close");
    stream.write_all(&[request.head(), request.payload()].concat()).await.expect("taken");
    let mut buffer = Buffer::default();
    let mut message = timeout(PATIENCE, buffer.head(&mut stream)).await.expect("a head in time").expect("readable").expect("an answer");
    if request.method != "HEAD" {
        timeout(PATIENCE, buffer.body(&mut stream, &mut message, true)).await.expect("a body in time").expect("readable");
    }
    Answer { status: message.start.1.parse().expect("a status"), message }
}
