//! What runs beside the requests: the admin doors, the look-up of server names, the first contact with the functions, the sweeping of
//! stores. Each in a Pingora background service, so that it ends with the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Shared;
use super::way::Way;
use crate::admin::serve::serve;
use crate::cache::policy::{self, Freshness};
use crate::cache::refresh;
use crate::engine::RuleSet;

/// The two doors of the admin service, bound before the start so that a bad address fails there.
pub struct Admin {
    /// The address.
    pub address: std::net::TcpListener,
    /// Its endpoints.
    pub open: Router,
    /// The socket.
    pub socket: std::os::unix::net::UnixListener,
    /// Its endpoints.
    pub trusted: Router,
}

#[async_trait]
impl BackgroundService for Admin {
    async fn start(&self, stop: ShutdownWatch) {
        let address = self.address.try_clone().and_then(TcpListener::from_std).expect("a bound, non-blocking listener");
        let socket = self.socket.try_clone().and_then(UnixListener::from_std).expect("a bound, non-blocking listener");
        let open = serve(address, self.open.clone(), stopped(stop.clone()));
        let trusted = serve(socket, self.trusted.clone(), stopped(stop));
        tokio::join!(open, trusted);
    }
}

async fn stopped(mut stop: ShutdownWatch) {
    while !*stop.borrow() {
        if stop.changed().await.is_err() {
            return;
        }
    }
}

/// Keeps the addresses of an upstream known, and notes its first contact.
pub struct Contact {
    /// The upstream.
    pub way: Arc<Way>,
    /// Set once a connection to it was made.
    pub reached: Arc<AtomicBool>,
}

/// How often a server's name is looked up again.
const LOOKUP_EVERY: Duration = Duration::from_secs(10);
/// How often a server that was never reached is tried.
const TRY_EVERY: Duration = Duration::from_millis(200);

#[async_trait]
impl BackgroundService for Contact {
    async fn start(&self, stop: ShutdownWatch) {
        let work = async {
            self.first_contact().await;
            if self.way.needs_lookup() {
                let mut tick = interval(LOOKUP_EVERY);
                loop {
                    tick.tick().await;
                    self.look_up().await;
                }
            }
        };
        tokio::select! { () = work => {}, () = stopped(stop) => {} }
    }
}

impl Contact {
    async fn first_contact(&self) {
        let mut tick = interval(TRY_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.reached.load(Relaxed) {
            tick.tick().await;
            if self.way.peer().is_none() {
                self.look_up().await;
            }
            let address = self.way.peer().and_then(|p| pingora::upstreams::peer::Peer::address(&*p).as_inet().copied());
            if let Some(address) = address
                && matches!(timeout(self.way.config.connect, TcpStream::connect(address)).await, Ok(Ok(_)))
            {
                self.reached.store(true, Relaxed);
                tracing::info!(upstream = &*self.way.name, %address, "upstream reached");
            }
        }
    }

    async fn look_up(&self) {
        let server = &self.way.config.server;
        match tokio::net::lookup_host((server.host.as_str(), server.port)).await {
            Ok(mut found) => {
                if let Some(address) = found.next() {
                    self.way.resolved(address);
                }
            }
            // the last address stays in use
            Err(error) => tracing::warn!(upstream = &*self.way.name, host = server.host, %error, "the server's name does not resolve"),
        }
    }
}

/// Drops what is of no use any more, a little at a time.
pub struct Sweeper {
    /// The stores.
    pub shared: Arc<Shared>,
}

const SWEEP_EVERY: Duration = Duration::from_secs(1);

#[async_trait]
impl BackgroundService for Sweeper {
    async fn start(&self, stop: ShutdownWatch) {
        let work = async {
            let mut tick = interval(SWEEP_EVERY);
            loop {
                tick.tick().await;
                self.shared.functions.sweep();
                let snapshot = self.shared.live.load_full();
                let now = self.shared.clock.now();
                self.shared.responses.sweep(now, |entry| is_dead(&snapshot.rules, entry, now));
            }
        };
        tokio::select! { () = work => {}, () = stopped(stop) => {} }
    }
}

/// Whether the running rules can never answer from an entry again, nor ask with its validator whether it is still good.
fn is_dead(rules: &RuleSet, entry: &crate::cache::Entry, now: std::time::Instant) -> bool {
    let rule = rules.cache.include.iter().find(|r| r.name == *entry.rule());
    rule.is_none_or(|rule| {
        let freshness = policy::freshness(entry, &rule.settings, now);
        matches!(freshness, Freshness::Expired { meanwhile: false, on_error: false, .. }) && refresh::conditions(entry).is_empty()
    })
}
