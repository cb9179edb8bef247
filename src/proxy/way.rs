//! The way to one upstream: its peer, its connection slots and the exact numbers of its pool, shared by pass-through and exchange.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::v1::Connector;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::{HttpPeer, Peer, Tracer, Tracing};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Functions;
use crate::clock::Clock;
use crate::config::sidecar;
use crate::flow::{Running, RunningGuard};
use crate::rules::function;
use crate::rules::path::Path;
use crate::upstream::cold::{EXECUTION_ID, Sign, Starts};
use crate::upstream::pool::Counters;

/// The receive buffer of a connection to a function nearby. It sets the size of the pieces that Pingora holds, ten of them for each answer
/// that is not taken at once: 64 KiB each if it is left to the kernel, 37 KiB with this. (Measured: 500 long answers at once take 83 MiB
/// instead of 210; an answer of 100 KB costs 13 % more CPU, one of 16 KB nothing.) Far away it would slow down what it bounds.
const PIECES: usize = 48 << 10;
/// The same for a connection that is made while memory is short: 12 KiB a piece.
const SMALL_PIECES: usize = 16 << 10;

/// Names of functions known to hold slots before the idle ones are forgotten.
const MOST_HOLDERS: usize = 1_000;

/// A connection slot, given back when it is dropped.
pub struct Slot {
    _share: RunningGuard,
    _permit: OwnedSemaphorePermit,
}

/// One upstream, ready to be called.
pub struct Way {
    /// Its settings.
    pub config: sidecar::Upstream,
    /// Its name, shared with every record.
    pub name: Arc<str>,
    /// Numbers of its connections, over both ways.
    pub counters: Arc<Counters>,
    /// Calls made by the exchange that have not ended, whether their caller is still there or not.
    pub flying: Running,
    /// What was seen of isolates being started.
    pub starts: Arc<Starts>,
    /// Pool of the exchange. (`HttpProxy` has its own, which it does not share.)
    pub connector: Connector,
    /// The time.
    pub clock: Clock,
    peer: Arc<ArcSwapOption<HttpPeer>>,
    slots: Arc<Semaphore>,
    /// Slots held or waited for, by function.
    holders: Arc<Functions>,
}

impl Way {
    /// Builds the way; one with a host name has no address before [`Way::resolved`] was called once.
    ///
    /// # Errors
    /// `ca_file` holds no certificate.
    pub fn new(config: sidecar::Upstream, clock: Clock) -> Result<Self> {
        if let Some(file) = &config.ca_file {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("cannot read {} (ca_file of {})", file.display(), config.name))?;
            ensure!(
                text.contains("-----BEGIN CERTIFICATE-----"),
                "{} holds no certificate in PEM form (ca_file of {})",
                file.display(),
                config.name
            );
        }
        let connector = Connector::new(Some(ConnectorOptions::from_server_conf(&Self::pool_conf(&config))));
        let way = Self {
            name: config.name.as_str().into(),
            counters: Arc::default(),
            flying: Running::default(),
            starts: Arc::default(),
            connector,
            clock,
            peer: Arc::default(),
            slots: Arc::new(Semaphore::new(config.max_in_use)),
            holders: Arc::default(),
            config,
        };
        if let Ok(ip) = way.config.server.host.parse() {
            way.resolved(SocketAddr::new(ip, way.config.server.port));
        }
        Ok(way)
    }

    /// What sizes a pool of this upstream. `threads: 1`, or Pingora multiplies the limit by the threads.
    #[must_use]
    pub fn pool_conf(config: &sidecar::Upstream) -> ServerConf {
        ServerConf {
            upstream_keepalive_pool_size: config.max_idle,
            threads: 1,
            ca_file: config.ca_file.as_ref().map(|p| p.display().to_string()),
            max_retries: usize::try_from(config.retries.attempts).unwrap_or(1),
            ..ServerConf::default()
        }
    }

    /// The same way with connections of its own, for calls from other threads: a connection lives on the threads that opened it.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            config: self.config.clone(),
            name: Arc::clone(&self.name),
            counters: Arc::clone(&self.counters),
            flying: self.flying.clone(),
            starts: Arc::clone(&self.starts),
            connector: Connector::new(Some(ConnectorOptions::from_server_conf(&Self::pool_conf(&self.config)))),
            clock: self.clock.clone(),
            peer: Arc::clone(&self.peer),
            slots: Arc::clone(&self.slots),
            holders: Arc::clone(&self.holders),
        }
    }

    /// Takes a (new) address of the server. Connections to an old one are used up by those that hold them.
    pub fn resolved(&self, address: SocketAddr) {
        if self.peer.load().as_ref().is_some_and(|p| p.address().as_inet() == Some(&address)) {
            return;
        }
        let server = &self.config.server;
        let mut peer = HttpPeer::new(address, server.tls, server.host.clone());
        let options = &mut peer.options;
        options.connection_timeout = Some(self.config.connect);
        options.total_connection_timeout = Some(self.config.connect);
        options.read_timeout = Some(self.config.first_byte);
        options.write_timeout = Some(self.config.between_bytes);
        options.idle_timeout = Some(self.config.idle_timeout);
        options.tcp_recv_buf = (!server.tls && is_near(address.ip())).then_some(PIECES);
        options.tracer = Some(Tracer(Box::new(Trace(Arc::clone(&self.counters)))));
        self.peer.store(Some(Arc::new(peer)));
    }

    /// The server, or `None` while its name has not been resolved.
    #[must_use]
    pub fn peer(&self) -> Option<Arc<HttpPeer>> {
        self.peer.load_full()
    }

    /// Whether the name must be looked up (again and again), rather than being an address.
    #[must_use]
    pub fn needs_lookup(&self) -> bool {
        self.config.server.host.parse::<std::net::IpAddr>().is_err()
    }

    /// `Host` for the function: the server's own name over TLS, or where the caller has given none; the caller's otherwise.
    #[must_use]
    pub fn host_override(&self, given: bool) -> Option<String> {
        let server = &self.config.server;
        (server.tls || !given).then(|| authority(server))
    }

    /// One of `max_in_use` connection slots, waited for at most the connect time. One function gets at most three quarters of them (of
    /// eight or more), or a hung one would starve the others; over that it gets none, at once.
    pub async fn slot(&self, function: &str) -> Option<Slot> {
        let most = self.config.max_in_use;
        if self.holders.len() > MOST_HOLDERS {
            self.holders.sweep();
        }
        let share = self.holders.try_enter(function, if most < 8 { usize::MAX } else { most - most / 4 })?;
        let permit = match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => timeout(self.config.connect, Arc::clone(&self.slots).acquire_owned()).await.ok()?.ok()?,
        };
        Some(Slot { _share: share, _permit: permit })
    }

    /// The function that a request to `uri` reaches.
    #[must_use]
    pub fn function(&self, uri: &Uri) -> String {
        function::name(Path::new(uri.path()).as_str(), &self.config.function_prefix).to_owned()
    }

    /// Whether the answer to a request sent at `sent` is a cold start of the function. To be asked once, when the head is there.
    #[must_use]
    pub fn is_cold(&self, function: &str, (status, headers): (StatusCode, &HeaderMap), reused: bool, sent: Instant) -> bool {
        let execution_id = headers.get(EXECUTION_ID).map(HeaderValue::as_bytes);
        let sign = Sign { execution_id, status: status.as_u16(), reused, sent, answered: self.clock.now() };
        self.starts.judge(function, &sign)
    }

    /// Whether one more idle connection fits below `max_idle`, counting those that `HttpProxy` keeps.
    #[must_use]
    pub fn keeps_idle(&self) -> Option<Duration> {
        let idle = usize::try_from(self.counters.read().idle).unwrap_or(usize::MAX);
        (idle < self.config.max_idle).then_some(self.config.idle_timeout)
    }
}

/// Told by each connection of its opening and its end, whoever pools it.
#[derive(Clone, Debug)]
struct Trace(Arc<Counters>);

impl Tracing for Trace {
    fn on_connected(&self) {
        self.0.opened();
    }

    fn on_disconnected(&self) {
        self.0.closed();
    }

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(self.clone())
    }
}

/// Host and port as `Host` has them: the scheme's own port left out, an IPv6 address in brackets.
fn authority(server: &sidecar::Server) -> String {
    let host = if server.host.contains(':') { format!("[{}]", server.host) } else { server.host.clone() };
    if server.port == 443 { host } else { format!("{host}:{}", server.port) }
}

/// Makes a connection that is yet to be made hold less, where `short` of memory.
pub fn shrink(peer: &mut HttpPeer, short: bool) {
    if short && let Some(pieces) = &mut peer.options.tcp_recv_buf {
        *pieces = SMALL_PIECES;
    }
}

/// In this pod, on this machine, or in this network: no window of bytes under way is needed to fill the line.
const fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    }
}
