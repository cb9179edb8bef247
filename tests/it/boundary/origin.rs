//! A function that takes nothing but HTTP by the letter, says what it got, and remembers every byte that was anything else.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::grammar::{Message, Parse, request};
use crate::support::origin::Gate;

/// Something that came over a connection.
#[derive(Clone)]
pub enum Arrival {
    /// A whole, well-formed request.
    Request(Message),
    /// A connection that ended in the body of a request: nobody takes it for a whole one.
    Cut,
    /// Bytes that are no request.
    Malformed(&'static str, Vec<u8>),
}

/// As reports show it.
impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(message) => write!(f, "{message:?}"),
            Self::Cut => f.write_str("a request that was cut"),
            Self::Malformed(why, bytes) => write!(f, "{why}: {:?}", bytes.escape_ascii().to_string()),
        }
    }
}

/// The origin. A request for `/held…` waits for the gate.
pub struct Strict {
    address: SocketAddr,
    log: Arc<Mutex<Vec<Arrival>>>,
    task: JoinHandle<()>,
}

impl Strict {
    /// Starts it.
    pub async fn start(gate: &Gate) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port for the origin");
        let address = listener.local_addr().expect("bound");
        let log = Arc::<Mutex<Vec<Arrival>>>::default();
        let (kept, gate) = (Arc::clone(&log), gate.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a socket option");
                tokio::spawn(serve(stream, Arc::clone(&kept), gate.clone()));
            }
        });
        Self { address, log, task }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came since the last call.
    pub fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.log.lock().expect("no panic while held"))
    }

    /// How many whole requests came since the last [`Strict::take`].
    pub fn requests(&self) -> usize {
        self.log.lock().expect("no panic while held").iter().filter(|a| matches!(a, Arrival::Request(_))).count()
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What it answers to a request: the caller sees whose answer it got.
pub fn echo(method: &str, target: &str, body: &[u8]) -> String {
    format!("{method} {target} {}", body.len())
}

async fn serve(mut stream: TcpStream, log: Arc<Mutex<Vec<Arrival>>>, gate: Gate) {
    let note = |arrival| log.lock().expect("no panic while held").push(arrival);
    let (mut bytes, mut asked) = (Vec::new(), false);
    loop {
        match request(&bytes) {
            Parse::Whole(message, used) => {
                bytes.drain(..used);
                asked = false;
                let [method, target, _] = &message.start;
                let (text, held) = (echo(method, target, &message.body), target.starts_with("/held"));
                let mut answer = format!("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: {}\r\n\r\n", text.len());
                if method != "HEAD" {
                    answer.push_str(&text);
                }
                note(Arrival::Request(message));
                if held {
                    gate.pass().await;
                }
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Parse::Bad(why) => {
                note(Arrival::Malformed(why, bytes));
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
                return;
            }
            Parse::More => {
                let head = bytes.windows(4).any(|w| w == b"\r\n\r\n");
                if head && !asked && bytes.to_ascii_lowercase().windows(20).any(|w| w == b"expect: 100-continue") {
                    asked = true;
                    let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
                }
                if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                    match (bytes.is_empty(), head) {
                        (true, _) => {}
                        (_, true) => note(Arrival::Cut),
                        (_, false) => note(Arrival::Malformed("bytes that never became a head", bytes)),
                    }
                    return;
                }
            }
        }
    }
}
