//! Real parts for the tests: an origin that does as told, a client that sees every byte, a sidecar in this process or as a command, and
//! real Deno functions.

pub mod client;
pub mod command;
pub mod functions;
pub mod origin;
pub mod routes;
pub mod sidecar;
pub mod wire;

use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

/// Longest wait for anything: a test that would hang fails instead.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `ready` gives a value, looking every few milliseconds; fails, with `what`, when patience ends.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ready: impl FnMut() -> F) -> T {
    let look = async {
        loop {
            if let Some(value) = ready().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// The SHA-256 of bytes, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().fold(String::new(), |mut hex, b| {
        let _ = write!(hex, "{b:02x}");
        hex
    })
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a free port").port()
}
