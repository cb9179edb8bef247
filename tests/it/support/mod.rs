//! Real parts for the tests: an origin that does as told, a client that sees every byte, a sidecar in this process or as a command, and
//! real Deno functions.

pub mod browser;
pub mod client;
pub mod command;
pub mod configmap;
pub mod functions;
pub mod origin;
pub mod prometheus;
pub mod routes;
pub mod sidecar;
pub mod wire;

use std::fmt::Write as _;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
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

/// A port that was free a moment ago, given once. Below those that the system hands out to connections and to `:0`, or one of the
/// tests that run beside this one would take it before it is bound again.
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u32> = 10_000..32_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let size = PORTS.end - PORTS.start;
    let start = std::process::id().wrapping_mul(97);
    let next = || start.wrapping_add(GIVEN.fetch_add(1, Relaxed)) % size + PORTS.start;
    let mut ports = std::iter::repeat_with(next).take(1_000).filter_map(|port| u16::try_from(port).ok());
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(free).expect("a free port")
}
