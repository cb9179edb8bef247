//! A caller that sends bytes in the pieces it likes, and takes nothing but HTTP by the letter for an answer.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::grammar::{Message, Parse, response};

/// Longer than any time-out of the sidecar under test.
const PATIENCE: Duration = Duration::from_secs(8);

/// In which pieces bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// In one.
    Whole,
    /// A piece a line.
    Lines,
    /// A piece a byte.
    Bytes,
}

/// What the caller hears.
#[derive(Clone)]
pub enum Heard {
    /// An answer, past informational ones.
    Answer(Message),
    /// The end of the connection.
    Closed,
    /// Nothing, for longer than any time-out.
    Silence,
    /// Bytes that are no answer.
    Garbage(&'static str, Vec<u8>),
}

/// As reports show it.
impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(message) => write!(f, "{message:?}"),
            Self::Closed => f.write_str("closed"),
            Self::Silence => f.write_str("silence"),
            Self::Garbage(why, bytes) => write!(f, "{why}: {:?}", bytes.escape_ascii().to_string()),
        }
    }
}

/// A connection to the sidecar.
pub struct Caller {
    stream: TcpStream,
    bytes: Vec<u8>,
    end: bool,
}

impl Caller {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the sidecar accepts");
        stream.set_nodelay(true).expect("a socket option");
        Self { stream, bytes: Vec::new(), end: false }
    }

    /// Sends bytes, as far as they are taken: the sidecar may answer and close before it has read them all.
    pub async fn send(&mut self, bytes: &[u8], delivery: Delivery) {
        let pieces: Vec<&[u8]> = match delivery {
            Delivery::Lines if bytes.len() < 10_000 => bytes.split_inclusive(|b| *b == b'\n').collect(),
            Delivery::Bytes if bytes.len() < 1_000 => bytes.chunks(1).collect(),
            _ => vec![bytes],
        };
        for piece in pieces {
            if self.stream.write_all(piece).await.is_err() {
                return;
            }
            // no event tells that the other side has read it: a moment makes it likely that it comes as a piece of its own
            match delivery {
                Delivery::Whole => {}
                Delivery::Lines => sleep(Duration::from_millis(1)).await,
                Delivery::Bytes => tokio::task::yield_now().await,
            }
        }
    }

    /// Closes its half.
    pub async fn end(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Hears the next answer, to a request of `method`.
    pub async fn hear(&mut self, method: &str) -> Heard {
        loop {
            match response(&self.bytes, method, self.end) {
                Parse::Whole(message, used) => {
                    self.bytes.drain(..used);
                    if !matches!(message.status(), 100 | 102..=199) {
                        return Heard::Answer(message);
                    }
                }
                Parse::Bad(why) => return Heard::Garbage(why, std::mem::take(&mut self.bytes)),
                Parse::More if self.end && self.bytes.is_empty() => return Heard::Closed,
                Parse::More if self.end => return Heard::Garbage("half a head", std::mem::take(&mut self.bytes)),
                Parse::More => match timeout(PATIENCE, self.stream.read_buf(&mut self.bytes)).await {
                    Err(_) => return Heard::Silence,
                    Ok(Ok(1..)) => {}
                    Ok(_) => self.end = true,
                },
            }
        }
    }
}

/// Whether an answer says that it is the last one of its connection.
pub fn is_last(answer: &Message) -> bool {
    answer.lists("connection", "close") || answer.start[0] == "HTTP/1.0"
}
