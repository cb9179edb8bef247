//! An origin that does as told, and remembers what it saw.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::until;
use super::wire::{Buffer, Message};

/// A request as the origin saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method, target, fields, body.
    pub message: Message,
    /// Which connection, counted from 0.
    pub connection: usize,
}

impl Seen {
    /// The method.
    pub fn method(&self) -> &str {
        &self.message.start.0
    }

    /// The target.
    pub fn target(&self) -> &str {
        &self.message.start.1
    }

    /// The first value of a field, or "".
    pub fn header(&self, name: &str) -> &str {
        self.message.header(name).unwrap_or_default()
    }
}

/// A gate that answers wait at until the test opens it.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed one.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets everybody through from now on.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Closes it again.
    pub fn shut(&self) {
        self.0.send_replace(false);
    }

    /// Waits until it is open.
    pub async fn pass(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// What the origin does, step by step.
#[derive(Clone, Debug)]
pub enum Step {
    /// Waits at a gate.
    Wait(Gate),
    /// Writes bytes.
    Write(Vec<u8>),
    /// Closes the connection.
    Close,
    /// Breaks the connection (RST).
    Reset,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Reply(Vec<Step>);

impl Reply {
    /// Status, fields and a body with its length.
    pub fn new(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} Reason\r\n");
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !matches!(status, 204 | 304) {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        Self::raw([head.as_bytes(), body].concat())
    }

    /// 200 with a body.
    pub fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::new(200, &[], body)
    }

    /// Bytes as they are.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self(vec![Step::Write(bytes.into())])
    }

    /// Nothing yet.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Waits at a gate before all of it.
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.0.insert(0, Step::Wait(gate.clone()));
        self
    }

    /// One more step.
    pub fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// Without its last `n` bytes, then closed.
    pub fn cut(mut self, n: usize) -> Self {
        if let Some(Step::Write(bytes)) = self.0.last_mut() {
            bytes.truncate(bytes.len() - n);
        }
        self.then(Step::Close)
    }
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The origin.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Origin {
    /// Starts one that answers by `script`.
    pub async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(0, None, script).await
    }

    /// Starts one with TLS.
    pub async fn start_tls(tls: tokio_rustls::TlsAcceptor, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(0, Some(tls), script).await
    }

    /// Starts one on a port.
    pub async fn on(port: u16, tls: Option<tokio_rustls::TlsAcceptor>, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port for the origin");
        let address = listener.local_addr().expect("bound");
        let (seen, connections) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<AtomicUsize>::default());
        let script: Arc<Script> = Arc::new(script);
        let (memory, count) = (Arc::clone(&seen), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a socket option");
                let (number, script, memory, tls) = (count.fetch_add(1, SeqCst), Arc::clone(&script), Arc::clone(&memory), tls.clone());
                tokio::spawn(async move {
                    let reset = |s: &TcpStream| s.set_zero_linger().expect("a socket option");
                    match tls {
                        None => serve(stream, number, &*script, &memory, reset).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, number, &*script, &memory, |s| reset(s.get_ref().0)).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, seen, connections, task }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it saw so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic while held").clone()
    }

    /// How many requests it saw.
    pub fn count(&self) -> usize {
        self.seen.lock().expect("no panic while held").len()
    }

    /// How many connections it accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// Waits until it has seen `n` requests.
    pub async fn until(&self, n: usize) {
        until(&format!("{n} requests at the origin"), async || (self.count() >= n).then_some(())).await;
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    connection: usize,
    script: &Script,
    memory: &Mutex<Vec<Seen>>,
    reset: impl Fn(&S),
) {
    let mut buffer = Buffer::default();
    while let Ok(Some(mut message)) = buffer.head(&mut stream).await {
        if message.header("expect").is_some() {
            let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        if buffer.body(&mut stream, &mut message, false).await.is_err() || !message.whole {
            return;
        }
        let seen = Seen { message, connection };
        memory.lock().expect("no panic while held").push(seen.clone());
        for step in script(&seen).0 {
            match step {
                Step::Wait(gate) => gate.pass().await,
                Step::Write(bytes) => {
                    if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
                Step::Close => {
                    let _ = stream.shutdown().await;
                    return;
                }
                Step::Reset => return reset(&stream),
            }
        }
    }
}
