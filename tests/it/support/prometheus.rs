//! The real Prometheus, on the configuration that is shipped in `deploy/prometheus`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::client::{get, send};
use super::{free_port, until};

/// A file of the tree.
pub fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// A running Prometheus; it ends when dropped.
pub struct Prometheus {
    address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes a target each second, configured as on the first page of its manual.
    pub fn start(target: SocketAddr) -> Self {
        Self::with(&format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: sidecar\n    static_configs:\n      - targets: [\"{target}\"]\n"
        ))
    }

    /// Starts one with the shipped configuration, rules and alerts, but for the target and the pace: each second.
    pub fn as_shipped(target: SocketAddr) -> Self {
        let text = std::fs::read_to_string(shipped("prometheus/prometheus.yaml")).expect("a file");
        let text = text.replace("127.0.0.1:9901", &target.to_string()).replace(": 15s", ": 1s");
        let rules = format!("{}/", shipped("prometheus").display());
        Self::with(
            &text.replace("  - recording.yaml", &format!("  - {rules}recording.yaml")).replace("  - alerts", &format!("  - {rules}alerts")),
        )
    }

    fn with(configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, address) = (folder.path().join("prometheus.yml"), SocketAddr::from(([127, 0, 0, 1], free_port())));
        std::fs::write(&file, configuration).expect("writable");
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--log.level=error").stdout(Stdio::null());
        let child = command.spawn().expect("prometheus starts: run scripts/setup.sh test");
        Self { address, child, _folder: folder }
    }

    /// An answer of its API, once it is up.
    pub async fn get(&self, target: &str) -> Option<Value> {
        tokio::net::TcpStream::connect(self.address).await.ok()?;
        serde_json::from_str(&send(self.address, &get(target).header("connection", "close")).await.text()).ok()
    }

    /// All that a query gives now: labels and value of each series. `Err` is what Prometheus has against the query.
    pub async fn all(&self, query: &str) -> Result<Vec<(Value, f64)>, String> {
        let encoded = query.bytes().fold(String::new(), |all, b| all + &format!("%{b:02X}"));
        let answer = self.get(&format!("/api/v1/query?query={encoded}")).await.unwrap_or_default();
        let Some(series) = answer.pointer("/data/result").and_then(Value::as_array) else { return Err(answer["error"].to_string()) };
        let value = |one: &Value| one.pointer("/value/1")?.as_str()?.parse().ok();
        Ok(series.iter().map(|one| (one["metric"].clone(), value(one).expect("a number"))).collect())
    }

    /// The first value that a query gives now, if it gives one.
    pub async fn ask(&self, query: &str) -> Option<f64> {
        self.all(query).await.ok()?.first().map(|one| one.1)
    }

    /// Waits until a query gives a value.
    pub async fn until(&self, query: &str, value: f64) {
        until(&format!("{query} = {value}"), async || self.ask(query).await.filter(|v| (v - value).abs() < 1e-9)).await;
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
