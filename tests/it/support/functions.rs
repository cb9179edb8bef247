//! The real functions of `tests/functions` on the real Deno.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::client::{get, post, send};

/// Running functions; they end when dropped.
pub struct Functions {
    /// Where they listen.
    pub address: SocketAddr,
    child: Child,
}

impl Functions {
    /// Starts them on a free port.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts them with settings of their own, such as `WORKER_LIFE_MS`.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let serve = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/functions/serve");
        let mut command = Command::new(serve);
        command.envs(settings.iter().copied());
        command.env("PORT", "0").env("EXIT_WITH_STDIN", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the functions start: run scripts/setup.sh test");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line from Deno");
        let address = line.trim().strip_prefix("listening on http://").and_then(|a| a.parse().ok());
        Self { address: address.unwrap_or_else(|| panic!("no address in {line:?}")), child }
    }

    /// Their URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What they counted.
    pub async fn counters(&self) -> serde_json::Value {
        send(self.address, &get("/_internal/counters").header("connection", "close")).await.json()
    }

    /// Retires the isolate of a function: the next request starts another.
    pub async fn retire(&self, function: &str) {
        let request = post(&format!("/_internal/retire?function={function}"), "").header("connection", "close");
        assert_eq!(send(self.address, &request).await.status, 200);
    }

    /// How many isolates a function had.
    pub async fn starts(&self, function: &str) -> u64 {
        self.counters().await["starts"][function].as_u64().unwrap_or(0)
    }

    /// How often a function ran.
    pub async fn runs(&self, function: &str) -> u64 {
        self.counters().await["invocations"][function].as_u64().unwrap_or(0)
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
