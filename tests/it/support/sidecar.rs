//! A sidecar in this process, over real sockets.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use edge_sidecar::app::{App, Parts};
use edge_sidecar::clock::Clock;
use edge_sidecar::config::{Host, Live, Overrides, Sidecar as Settings, Watcher, judge_overrides};
use edge_sidecar::proxy::drain::{Source, Stop};
use edge_sidecar::telemetry::log::AccessLog;
use tempfile::TempDir;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use super::client::{Answer, Connection, Request, get, send};
use super::{free_port, until};

/// What a sidecar is started with.
pub struct Builder {
    settings: Settings,
    rules: String,
    watched: Option<PathBuf>,
    clock: Clock,
}

/// A running sidecar; it stops when dropped.
pub struct Sidecar {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its admin address.
    pub admin: SocketAddr,
    /// Its admin socket.
    pub socket: PathBuf,
    /// Its rules.
    pub live: Arc<Live>,
    log: Lines,
    stop: mpsc::Sender<Stop>,
    thread: Option<JoinHandle<()>>,
    _watcher: Option<Watcher>,
    _folder: TempDir,
}

/// Log lines, as written.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic while held").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A sidecar in front of the server at a URL.
pub fn in_front_of(url: &str) -> Builder {
    let host = Host { root: true, runtime_dir: None, temp_dir: std::env::temp_dir(), memory_limit: None };
    let overrides = Overrides { upstream: Some(url.to_owned()), ..Overrides::default() };
    let mut settings = judge_overrides(&overrides, &host).value.expect("a valid URL");
    settings.drain.announce = Duration::ZERO;
    Builder { settings, rules: "version: 1\n".into(), watched: None, clock: Clock::system() }
}

impl Builder {
    /// With these rules (`version: 1` is added).
    pub fn rules(mut self, text: &str) -> Self {
        self.rules = format!("version: 1\n{text}");
        self
    }

    /// With the rules of a file, watched.
    pub fn watching(mut self, file: PathBuf) -> Self {
        self.rules = std::fs::read_to_string(&file).expect("a readable rules file");
        self.watched = Some(file);
        self
    }

    /// With other settings.
    pub fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// With a clock that the test moves.
    pub fn clock(mut self, clock: &Clock) -> Self {
        self.clock = clock.clone();
        self
    }

    /// Starts it, and waits until it accepts.
    pub async fn start(mut self) -> Sidecar {
        let folder = tempfile::tempdir().expect("a folder");
        let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (address, admin, socket) = (loopback(free_port()), loopback(free_port()), folder.path().join("admin.sock"));
        self.settings.listeners[0].address = address;
        (self.settings.admin.address, self.settings.admin.socket) = (admin, socket.clone());
        let live = Live::start("rules.yaml", self.rules.as_bytes(), self.clock.wall());
        let live = Arc::new(live.unwrap_or_else(|j| panic!("{}", j.render("rules.yaml", false))));
        let (lines, (stop, word)) = (Lines::default(), mpsc::channel(2));
        let log = AccessLog::start(self.settings.log, Box::new(lines.clone())).expect("a log");
        let source = Source::Channel(AsyncMutex::new(word));
        let parts = Parts { sidecar: self.settings, live: Arc::clone(&live), log, stop: source, clock: self.clock.clone() };
        let app = App::build(parts).expect("a sidecar");
        let watcher = self.watched.map(|file| Watcher::start(&file, Arc::clone(&live), self.clock).expect("a watcher"));
        let thread = Some(std::thread::spawn(move || app.run()));
        let sidecar = Sidecar { address, admin, socket, live, log: lines, stop, thread, _watcher: watcher, _folder: folder };
        until("the sidecar accepts", async || tokio::net::TcpStream::connect(address).await.ok()).await;
        until("the admin door opens", async || tokio::net::TcpStream::connect(admin).await.ok()).await;
        sidecar
    }
}

impl Sidecar {
    /// Sends a request on a connection of its own.
    pub async fn send(&self, request: Request) -> Answer {
        send(self.address, &request).await
    }

    /// Sends a GET.
    pub async fn get(&self, target: &str) -> Answer {
        self.send(get(target)).await
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// The JSON metrics.
    pub async fn metrics(&self) -> serde_json::Value {
        send(self.admin, &get("/metrics").header("connection", "close")).await.json()
    }

    /// The Prometheus metrics.
    pub async fn prometheus(&self) -> String {
        send(self.admin, &get("/metrics?format=prometheus").header("connection", "close")).await.text()
    }

    /// The value of one series of the Prometheus metrics; 0 if there is none.
    pub async fn series(&self, name: &str) -> f64 {
        let text = self.prometheus().await;
        let line = text.lines().find(|l| l.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|l| l.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    /// Waits until a series has a value.
    pub async fn until_series(&self, name: &str, value: f64) {
        until(&format!("{name} = {value}"), async || ((self.series(name).await - value).abs() < 1e-9).then_some(())).await;
    }

    /// The log so far, as written.
    pub fn raw_log(&self) -> String {
        String::from_utf8(self.log.0.lock().expect("no panic while held").clone()).expect("the log is ASCII")
    }

    /// The `request` lines logged so far.
    pub fn lines(&self) -> Vec<serde_json::Value> {
        let text = self.log.0.lock().expect("no panic while held").clone();
        text.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// Forgets the log so far.
    pub fn forget_lines(&self) {
        self.log.0.lock().expect("no panic while held").clear();
    }

    /// Waits for the log line of a request and event.
    pub async fn line(&self, event: &str, request_id: &str) -> serde_json::Value {
        let find = || self.lines().into_iter().find(|l| l["event"] == event && l["request_id"] == request_id);
        until(&format!("a {event} line of {request_id}"), async || find()).await
    }

    /// Tells it to stop.
    pub async fn stop(&self, stop: Stop) {
        self.stop.send(stop).await.expect("it runs");
    }

    /// Waits for its end.
    pub async fn ended(mut self) {
        let thread = self.thread.take().expect("not ended yet");
        tokio::task::spawn_blocking(move || thread.join().expect("no panic")).await.expect("no panic");
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // twice: a drain under way is cut short
        let _ = self.stop.try_send(Stop::Now);
        let _ = self.stop.try_send(Stop::Now);
    }
}
