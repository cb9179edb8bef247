//! The composition root: configuration -> parts -> Pingora server. The only place that wires.

mod cache;
mod listening;
mod reading;

use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::services::background::{GenBackgroundService, background_service};
use pingora::services::listening::Service;
use tokio::sync::Notify;

use self::listening::Listening;
use crate::admin::{self, AdminState, Door, Ready, Token, Traced, TracedEvent, TracedStep};
use crate::cache::CallerSecret;
use crate::clock::Clock;
use crate::config::{Live, Sidecar, budget};
use crate::flow::Running;
use crate::flow::budget::Budget;
use crate::flow::warm::WarmUp;
use crate::proxy::background::{Admin, Contact, Sweeper};
use crate::proxy::drain::{Drain, Source, Work};
use crate::proxy::gate::Gate;
use crate::proxy::guard::{self, Guard};
use crate::proxy::room::Room;
use crate::proxy::service::Edge;
use crate::proxy::stalls::Stalls;
use crate::proxy::warmup::{self, Warmer};
use crate::proxy::way::Way;
use crate::proxy::{Functions, Shared, files};
use crate::store::flights::Flights;
use crate::store::history::Step;
use crate::store::memory::Memory;
use crate::store::memory::lookback::Life;
use crate::store::responses::Responses;
use crate::telemetry::log::AccessLog;
use crate::telemetry::record::ShedReason;
use crate::telemetry::{Metrics, report};

/// What a sidecar is built of.
pub struct Parts {
    /// `sidecar.yaml`, in force.
    pub sidecar: Sidecar,
    /// The rules, in force.
    pub live: Arc<Live>,
    /// Where access lines go.
    pub log: AccessLog,
    /// Where the word to stop comes from.
    pub stop: Source,
    /// The time.
    pub clock: Clock,
}

/// A sidecar, built and bound, not yet serving.
pub struct App {
    server: Server,
    drain: Drain,
    metrics: Arc<Metrics>,
}

/// How long the log may take to write its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

impl App {
    /// Builds every part and binds the admin doors.
    ///
    /// # Errors
    /// An address or socket that cannot be bound, a token that cannot be read.
    pub fn build(parts: Parts) -> Result<Self> {
        let Parts { sidecar, live, log, stop, clock } = parts;
        let ways: Vec<Arc<Way>> =
            sidecar.upstreams.iter().map(|u| Ok(Arc::new(Way::new(u.clone(), clock.clone())?))).collect::<Result<_>>()?;
        let (claims, responses) = (
            Memory::with_clock(sidecar.dedup_max_entries, clock.clone()),
            Arc::new(Responses::new(sidecar.memory.cache, sidecar.memory.max_object)),
        );
        let (bodies, flights) = (Budget::new(sidecar.memory.bodies), Arc::<Flights>::default());
        let metrics = {
            let (ways, live, responses, claims, bodies) =
                (ways.clone(), Arc::clone(&live), Arc::clone(&responses), Arc::clone(&claims), bodies.clone());
            let (budget, flights) = (sidecar.memory.budget, Arc::clone(&flights));
            let read = move || reading::read(&ways, &live, (&responses, &flights), &claims, &bodies, budget);
            Arc::new(Metrics::new(Box::new(read), clock.clone(), Some(log)))
        };
        metrics.prepare(&live.load().rules);
        {
            let metrics = Arc::clone(&metrics);
            live.subscribe(move |snapshot| metrics.prepare(&snapshot.rules));
        }
        let room = Arc::new(Room {
            budget: budget::free(&sidecar),
            responses: Arc::clone(&responses),
            bodies: bodies.clone(),
            running: Running::default(),
        });
        let stalls = {
            let (room, metrics) = (Arc::clone(&room), Arc::clone(&metrics));
            Stalls::new(move || room.left(), move || metrics.shed(ShedReason::SlowReader))
        };
        let shared = Arc::new(Shared {
            secret: CallerSecret::new(rand::random()),
            limits: sidecar.limits,
            memory: sidecar.memory,
            trusted_proxies: sidecar.trusted_proxies.clone(),
            flights,
            running: room.running.clone(),
            functions: Functions::default(),
            draining: Arc::default(),
            shut: AtomicBool::default(),
            metrics: Arc::clone(&metrics),
            clock,
            warm: WarmUp::new(&live.load().rules.warm),
            live,
            claims,
            responses,
            bodies,
            heads: Budget::new(budget::LARGE_HEADS),
            room,
            stalls,
        });
        let work = Arc::new(Work { shared, ways, commanded: Notify::new() });
        let server = serve(&sidecar, &work)?;
        Ok(Self { server, drain: Drain { source: stop, settings: sidecar.drain, work }, metrics })
    }

    /// Serves until the word to stop, and to the end of what runs then.
    pub fn run(self) {
        self.server.run(RunArgs { shutdown_signal: Box::new(self.drain) });
        if self.metrics.log().is_some_and(|log| !log.close(LAST_LINES)) {
            // the log itself takes no more
            eprintln!("edge-sidecar: the last lines of the log were not written");
        }
    }
}

fn serve(sidecar: &Sidecar, work: &Arc<Work>) -> Result<Server> {
    let (shared, ways) = (&work.shared, &work.ways);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // both zero: the drain is ours, and over when Pingora hears of it
    let conf = ServerConf { threads, grace_period_seconds: Some(0), graceful_shutdown_timeout_seconds: Some(0), ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let reached: Vec<Arc<AtomicBool>> = ways.iter().map(|_| Arc::default()).collect();
    let admin = doors(sidecar, work, reached.clone())?;
    let gate = Arc::new(Gate::new(files::connections(&sidecar.limits)?));
    for listener in &sidecar.listeners {
        let way = ways.iter().find(|w| w.config.name == listener.upstream).context("a listener names an upstream that does not exist")?;
        // found out here, with the address in the error, and not by a panic of Pingora
        drop(
            TcpListener::bind(listener.address)
                .with_context(|| format!("cannot listen on {} (listener {})", listener.address, listener.name))?,
        );
        let edge = Edge {
            shared: Arc::clone(shared),
            way: Arc::clone(way),
            listener: listener.name.as_str().into(),
            websocket: listener.websocket,
        };
        let proxy = http_proxy(&Arc::new(Way::pool_conf(&way.config)), edge);
        let guard = Guard { proxy: Arc::new(proxy), shared: Arc::clone(shared), gate: Arc::clone(&gate) };
        let mut service = Service::new(format!("listener {}", listener.name), guard);
        service.add_listener(guard::endpoint(listener.address, &sidecar.limits));
        server.add_service(service);
    }
    server.add_service(warmer(sidecar, work, &reached));
    for (way, reached) in ways.iter().zip(reached) {
        let mut contact = background_service(&format!("contact {}", way.name), Contact { way: Arc::clone(way), reached });
        contact.threads = Some(1);
        server.add_service(contact);
    }
    let mut sweeper = background_service("sweeper", Sweeper { shared: Arc::clone(shared) });
    sweeper.threads = Some(1);
    server.add_service(sweeper);
    let mut admin = background_service("admin", admin);
    admin.threads = Some(1);
    server.add_service(admin);
    Ok(server)
}

/// The service that calls functions before their callers do.
fn warmer(sidecar: &Sidecar, work: &Work, reached: &[Arc<AtomicBool>]) -> GenBackgroundService<Warmer> {
    let way = first_way(sidecar, &work.ways);
    let reached = work.ways.iter().zip(reached).find(|(w, _)| Arc::ptr_eq(w, way)).map(|(_, r)| Arc::clone(r)).unwrap_or_default();
    let warmer = Warmer { shared: Arc::clone(&work.shared), way: Arc::new(way.beside()), reached };
    let mut warmer = background_service("warm-up", warmer);
    warmer.threads = Some(1);
    warmer
}

/// The way of the first listener: the one that warm-up takes.
fn first_way<'w>(sidecar: &Sidecar, ways: &'w [Arc<Way>]) -> &'w Arc<Way> {
    let named = sidecar.listeners.first().and_then(|l| ways.iter().find(|w| w.config.name == l.upstream));
    named.unwrap_or(&ways[0])
}

/// Binds both admin doors.
fn doors(sidecar: &Sidecar, work: &Arc<Work>, reached: Vec<Arc<AtomicBool>>) -> Result<Admin> {
    let settings = &sidecar.admin;
    let address = TcpListener::bind(settings.address).with_context(|| format!("cannot listen on {} (admin.address)", settings.address))?;
    address.set_nonblocking(true).context("admin.address")?;
    let socket = bind_socket(&settings.socket).with_context(|| format!("cannot listen on {} (admin.socket)", settings.socket.display()))?;
    let token = settings.token_file.as_deref().map(read_token).transpose()?;
    let (shared, work) = (&work.shared, Arc::clone(work));
    let (explaining, draining, looking) = (Arc::clone(shared), Arc::clone(shared), Arc::clone(shared));
    let (tracing, purging) = (Arc::clone(shared), Arc::clone(&shared.claims));
    let (warming, commanding, starts) = (Arc::clone(shared), Arc::clone(shared), first_way(sidecar, &work.ways).starts.clone());
    let started = Arc::clone(&starts);
    let listening = Listening::new(sidecar.listeners.iter().map(|listener| listener.address.port()));
    let ready = move || {
        let missing = [
            ("draining", draining.is_draining()),
            ("listener", !listening.is_open()),
            ("upstream", !reached.iter().all(|r| r.load(Relaxed))),
            ("warmup", !draining.warm.has_started()),
        ];
        Ready { missing: missing.into_iter().filter(|(_, missing)| *missing).map(|(word, _)| word).collect() }
    };
    let state = Arc::new(AdminState {
        metrics: Arc::clone(&shared.metrics),
        live: Arc::clone(&shared.live),
        clock: shared.clock.clone(),
        explain: Box::new(move |site, question| explaining.explain(site, question)),
        ready: Box::new(ready),
        drain: Box::new(move || work.drain()),
        warmup: Box::new(move || warmup::state(&warming, &starts)),
        warm: Box::new(move || Box::pin(warmup::command(Arc::clone(&commanding), Arc::clone(&started)))),
        trace: Box::new(move |id| traced(&tracing, id)),
        cache: Box::new(move || cache::stored(&looking)),
        purge_cache: Box::new(cache::purge(Arc::clone(shared), sidecar)),
        purge: Box::new(move |id| purging.purge(id.as_bytes())),
        token,
    });
    Ok(Admin { address, open: admin::router(Arc::clone(&state), Door::Open), socket, trusted: admin::router(state, Door::Trusted) })
}

/// The life of a message, its times on the wall.
fn traced(shared: &Shared, id: &str) -> Traced {
    let (now, wall) = (shared.clock.now(), shared.clock.wall());
    let date = |at: Instant| report::date(wall - now.saturating_duration_since(at));
    let step = |step: Step| TracedStep { at: date(step.at), what: step.what.as_str(), copy: step.copy };
    let event = |life: Life| TracedEvent {
        event: format!("{:08x}", life.mark >> 32),
        accepted: life.accepted.map(date),
        steps: life.steps.into_iter().map(step).collect(),
    };
    let trace = shared.claims.trace(id.as_bytes());
    Traced { events: trace.events.into_iter().map(event).collect(), since: trace.since.map(date) }
}

fn read_token(file: &Path) -> Result<Token> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {} (admin.token_file)", file.display()))?;
    Token::from_file_text(&text).with_context(|| format!("{} is empty (admin.token_file)", file.display()))
}

/// A socket of mode 0600. A file that a killed process left behind is replaced; one that somebody serves is not.
fn bind_socket(path: &Path) -> Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    if path.exists() {
        anyhow::ensure!(UnixStream::connect(path).is_err(), "another process serves it");
        std::fs::remove_file(path)?;
    }
    // bound where nobody else can reach it, and shown only when its mode is right
    let private = path.with_extension("private");
    let inside = private.join("s");
    let _ = std::fs::remove_dir_all(&private);
    std::fs::DirBuilder::new().mode(0o700).create(&private)?;
    let socket = UnixListener::bind(&inside)?;
    std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&inside, path)?;
    std::fs::remove_dir(&private)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
