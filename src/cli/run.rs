//! `run`: settings and rules from flags, environment and files; then serve until a signal.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::{PresetArg, RunArgs};
use crate::app::{App, Parts};
use crate::clock::Clock;
use crate::config::{Host, Judgement, Live, Overrides, Preset, Sidecar, SidecarFile, Watcher, builtin, judge_overrides, judge_sidecar};
use crate::proxy::drain::Source;
use crate::telemetry::events;
use crate::telemetry::log::AccessLog;

/// A bad file at the start (`EX_CONFIG` of sysexits.h).
const BAD_CONFIGURATION: u8 = 78;

/// Where a sidecar file is looked for.
const PLACES: [&str; 2] = ["config/sidecar.yaml", "/etc/edge-sidecar/sidecar.yaml"];

/// The sidecar file of this place, where none is named.
#[must_use]
pub fn found() -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|p| p.exists())
}

/// Runs the command.
#[must_use]
pub fn run(args: &RunArgs) -> ExitCode {
    let settings = match settings(args) {
        Ok(settings) => settings,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    match serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("edge-sidecar: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Settings {
    sidecar: Sidecar,
    live: Live,
    /// The rules file to watch; none with built-in rules.
    rules: Option<PathBuf>,
    /// The sidecar file, to tell what a restart would change.
    file: Arc<SidecarFile>,
    clock: Clock,
}

/// Settings and rules, or everything that is wrong with them.
fn settings(args: &RunArgs) -> Result<Settings, String> {
    let clock = Clock::system();
    let (overrides, host) = (overrides(args), Host::detect());
    let (file, sidecar) = sidecar(args, &overrides, &host)?;
    let rules = if args.preset.is_some() { None } else { sidecar.rules.clone() };
    let folder = file.as_deref().and_then(Path::parent).filter(|_| args.rules.is_none()).unwrap_or(Path::new("."));
    let rules = rules.map(|path| folder.join(path));
    let (name, bytes) = match &rules {
        Some(path) => (path.display().to_string(), read(path)?),
        None => ("built-in rules".to_owned(), builtin(args.preset.map(|PresetArg::Whatsapp| Preset::WhatsApp)).as_bytes().to_vec()),
    };
    let live = Live::start_at(sidecar.sites(), &name, &bytes, clock.wall()).map_err(|judgement| judgement.render(&name, colour()))?;
    let file = file.map(|path| SidecarFile::new(&path, sidecar.clone(), overrides, host)).unwrap_or_default();
    Ok(Settings { sidecar, live, rules, file: Arc::new(file), clock })
}

fn overrides(args: &RunArgs) -> Overrides {
    Overrides {
        upstream: args.upstream.clone(),
        listen: args.listen.clone(),
        admin_address: args.admin_address.clone(),
        admin_socket: args.admin_socket.clone(),
        token_file: args.token_file.clone(),
        rules: args.rules.clone(),
        log_level: args.log_level.clone(),
        memory_budget: args.memory_budget.clone(),
    }
}

fn sidecar(args: &RunArgs, overrides: &Overrides, host: &Host) -> Result<(Option<PathBuf>, Sidecar), String> {
    // `run --upstream URL` is complete in itself: it does not pick up a file that happens to lie there
    let file = args.config.clone().or_else(|| if args.upstream.is_some() { None } else { found() });
    let (name, judgement) = match &file {
        Some(path) => (path.display().to_string(), judge_sidecar(&read(path)?, overrides, host)),
        None if overrides.upstream.is_none() => {
            return Err(format!(
                "error: nothing to run: neither {} nor {} exists\n  help: name a file with --config, or the functions with --upstream http://127.0.0.1:9000",
                PLACES[0], PLACES[1]
            ));
        }
        None => ("command line".to_owned(), judge_overrides(overrides, host)),
    };
    told(&name, judgement).map(|sidecar| (file, sidecar))
}

/// The value; warnings go to standard error, errors to the caller.
fn told<T>(name: &str, mut judgement: Judgement<T>) -> Result<T, String> {
    let text = judgement.render(name, colour());
    match judgement.value.take() {
        Some(value) => {
            if !judgement.problems.is_empty() {
                eprintln!("{text}");
            }
            Ok(value)
        }
        None => Err(text),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("error: cannot read {}: {e}\n  help: check the path and its permissions", path.display()))
}

fn colour() -> bool {
    use std::io::IsTerminal;
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn serve(settings: Settings) -> Result<()> {
    let Settings { sidecar, live, rules, file, clock } = settings;
    events::start(sidecar.log.level, clock.clone())?;
    let live = Arc::new(live);
    live.beside(Arc::clone(&file));
    let log = AccessLog::start(sidecar.log, Box::new(io::stdout())).context("the access log cannot start")?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %sidecar.listeners.iter().map(|l| l.address.to_string()).collect::<Vec<_>>().join(" "),
        admin = %sidecar.admin.address,
        socket = %sidecar.admin.socket.display(),
        rules = %rules.as_ref().map_or("built-in".into(), |p| p.display().to_string()),
        generation = live.load().generation,
        "starting"
    );
    let app = App::build(Parts { sidecar, live: Arc::clone(&live), log, stop: Source::Signals, clock: clock.clone() })?;
    let _watch = file.watch().context("cannot watch the sidecar file")?;
    let _watcher = match &rules {
        Some(path) => Some(Watcher::start(path, live, clock).with_context(|| format!("cannot watch {}", path.display()))?),
        None => None,
    };
    app.run();
    Ok(())
}
