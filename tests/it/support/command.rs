//! The `edge-sidecar` command, as a user starts it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::client::{get, send};
use super::{free_port, until};

/// The command, without any variable of the test's own environment that it reads.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge-sidecar"));
    command.args(args).env("NO_COLOR", "1");
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("EDGE_SIDECAR_")) {
        command.env_remove(name);
    }
    command
}

/// The command where a process may open only so many files.
pub fn with_files(files: u32) -> Command {
    let program = command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(program.get_program());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Runs it to its end.
pub fn output(args: &[&str]) -> Output {
    command(args).output().expect("the command runs")
}

/// A running `edge-sidecar run`; it is killed when dropped.
pub struct Process {
    /// The process.
    pub child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its admin address.
    pub admin: SocketAddr,
    /// Its admin socket.
    pub socket: PathBuf,
    lines: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Process {
    /// Starts it in front of a URL with further arguments, and waits until it is ready.
    pub async fn start(upstream: &str, args: &[&str]) -> Self {
        let process = Self::spawn(upstream, args);
        process.until_ready().await;
        process
    }

    /// Starts it.
    pub fn spawn(upstream: &str, args: &[&str]) -> Self {
        Self::of(command(&[]), upstream, args).reading()
    }

    /// Starts it with nobody who reads its lines: the pipe fills, and stays full.
    pub async fn start_unread(upstream: &str, args: &[&str]) -> Self {
        let process = Self::of(command(&[]), upstream, args);
        process.until_ready().await;
        process
    }

    /// Starts it where a process may open only so many files.
    pub async fn start_with_files(files: u32, upstream: &str, args: &[&str]) -> Self {
        let process = Self::of(with_files(files), upstream, args).reading();
        process.until_ready().await;
        process
    }

    fn of(mut command: Command, upstream: &str, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (address, admin, socket) = (loopback(free_port()), loopback(free_port()), folder.path().join("admin.sock"));
        command.args(["run", "--upstream", upstream, "--listen", &address.to_string(), "--admin-address", &admin.to_string()]);
        command.arg("--admin-socket").arg(&socket).args(args).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let child = command.spawn().expect("the command starts");
        Self { child, address, admin, socket, lines: Arc::default(), _folder: folder }
    }

    /// Begins to read its lines.
    fn reading(mut self) -> Self {
        let (kept, out) = (Arc::clone(&self.lines), self.child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).for_each(|l| kept.lock().expect("no panic while held").push(l));
        });
        self
    }

    /// Waits until `/readyz` answers 200.
    pub async fn until_ready(&self) {
        let request = get("/readyz").header("connection", "close");
        let ready = async || {
            tokio::net::TcpStream::connect(self.admin).await.ok()?;
            (send(self.admin, &request).await.status == 200).then_some(())
        };
        until("/readyz answers 200", ready).await;
    }

    /// A number in its JSON metrics, such as `memory.rssBytes`.
    pub async fn metric(&self, path: &str) -> f64 {
        let metrics = send(self.admin, &get("/metrics").header("connection", "close")).await.json();
        path.split('.').fold(&metrics, |value, key| &value[key]).as_f64().unwrap_or_else(|| panic!("no {path}: {metrics}"))
    }

    /// The value of one series of its Prometheus metrics; 0 if there is none.
    pub async fn series(&self, name: &str) -> f64 {
        let text = send(self.admin, &get("/metrics?format=prometheus").header("connection", "close")).await.text();
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or(0.0)
    }

    /// Its lines on standard output so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic while held").clone()
    }

    /// Sends it a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success(), "signal {name}");
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = std::sync::Mutex::new(&mut self.child);
        until("the process ends", async || child.lock().expect("no panic while held").try_wait().expect("a child of ours")).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Replaces a file as `mv` does.
pub fn rename_over(file: &Path, text: &str) {
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, text).expect("writable");
    std::fs::rename(fresh, file).expect("renamed");
}
