//! `sidecar.yaml`: what the process is made of. Takes effect at start.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use crate::engine::Site;
use crate::upstream::retry;

/// The whole file, every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// Where requests come in.
    pub listeners: Vec<Listener>,
    /// Where they go.
    pub upstreams: Vec<Upstream>,
    /// The admin doors.
    pub admin: Admin,
    /// Memory, in bytes.
    pub memory: Memory,
    /// Most accepted message ids kept.
    pub dedup_max_entries: usize,
    /// Limits of one request and of all.
    pub limits: Limits,
    /// Peers whose `X-Forwarded-*` is kept; for all others it is overwritten.
    pub trusted_proxies: Vec<Network>,
    /// The clean end.
    pub drain: Drain,
    /// The log.
    pub log: Log,
    /// Path of the rules file, relative to the folder of `sidecar.yaml`; `None` = built-in rules only.
    pub rules: Option<PathBuf>,
}

impl Sidecar {
    /// Where requests come in and go to, for the rules: a site for each listener.
    #[must_use]
    pub fn sites(&self) -> Vec<Site> {
        let site = |listener: &Listener| {
            let upstream = self.upstreams.iter().find(|u| u.name == listener.upstream)?;
            let (listener, upstream, prefix) = (listener.name.clone(), upstream.name.clone(), upstream.function_prefix.clone());
            Some(Site { listener, upstream, prefix })
        };
        self.listeners.iter().filter_map(site).collect()
    }
}

/// One entry of `listeners:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, for rules and logs.
    pub name: String,
    /// Address and port.
    pub address: SocketAddr,
    /// Name of the upstream its requests go to.
    pub upstream: String,
    /// Whether a WebSocket may be opened through it. Nothing else is ever switched to.
    pub websocket: bool,
}

/// One entry of `upstreams:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name, for metrics and logs.
    pub name: String,
    /// The server.
    pub server: Server,
    /// Own roots for `https`; the system's without it.
    pub ca_file: Option<PathBuf>,
    /// The segment after it names the function.
    pub function_prefix: String,
    /// Request fields never passed on.
    pub strip_request_headers: Vec<HeaderName>,
    /// Most idle connections kept.
    pub max_idle: usize,
    /// How long one is kept idle.
    pub idle_timeout: Duration,
    /// Most connections in use at once.
    pub max_in_use: usize,
    /// Time to connect, TLS included.
    pub connect: Duration,
    /// Time from the request's end to the answer's head.
    pub first_byte: Duration,
    /// Time between two pieces of an answer.
    pub between_bytes: Duration,
    /// What is tried again.
    pub retries: retry::Settings,
}

/// One server URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `https`?
    pub tls: bool,
    /// Host name or address, without port: SNI for `https`.
    pub host: String,
    /// Port; 80 or 443 where the URL has none.
    pub port: u16,
}

/// `admin:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The open door: figures and probes.
    pub address: SocketAddr,
    /// The trusted door, a unix socket of mode 0600.
    pub socket: PathBuf,
    /// File with the bearer token that opens everything on the address too.
    pub token_file: Option<PathBuf>,
}

/// `memory:`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The whole.
    pub budget: u64,
    /// Stored answers.
    pub cache: u64,
    /// Largest stored answer.
    pub max_object: u64,
    /// Bodies in flight, of requests read whole and of answers being gathered.
    pub bodies: u64,
}

/// `limits:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body that is read whole, in bytes. (What is streamed has no limit in bytes.)
    pub body: u64,
    /// Largest head of a request, in bytes.
    pub header: usize,
    /// Most fields in it.
    pub headers: usize,
    /// Most connections of callers at once.
    pub connections: usize,
    /// Requests at once.
    pub in_flight: usize,
    /// Requests at once to one function.
    pub in_flight_per_function: usize,
    /// Time to receive a head, from its first byte.
    pub header_timeout: Duration,
    /// Time to receive a whole body.
    pub body_timeout: Duration,
    /// Time a connection may be idle, before its first request and between two.
    pub idle_timeout: Duration,
    /// Time in which a caller must take a piece of its answer.
    pub write_timeout: Duration,
}

impl Limits {
    /// Connections at once where the file does not say.
    pub const CONNECTIONS: usize = 800;
}

/// `drain:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Not ready, but still accepting.
    pub announce: Duration,
    /// Longest wait for what runs, after that.
    pub timeout: Duration,
}

/// `log:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Least level shown.
    pub level: Level,
    /// Share of cache hits that get an access line, 0 to 1 in millionths.
    pub hits_ppm: u32,
}

/// `log.level:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Only what failed.
    Error,
    /// And what may.
    Warn,
    /// And every request (the default).
    Info,
    /// And the steps between.
    Debug,
}

/// An address or a network in CIDR form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its address.
    pub address: IpAddr,
    /// Leading bits that count.
    pub bits: u8,
}
