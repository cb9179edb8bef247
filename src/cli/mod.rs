//! The command line: `run`, `init`, `schema`, `check`, `explain`, `status`, `reload`, `rollback`, `warmup`, `drain`, `probe`, `trace`, `purge`,
//! `completions`. Exit codes: 0 fine, 1 failed (`check`: a bad file; `probe`: it is not), 2 usage, 78 `run` with a bad file.

pub mod check;
pub mod client;
pub mod explain;
pub mod init;
pub mod life;
pub mod message;
pub mod rules;
pub mod run;
pub mod status;
pub mod stored;
pub mod warmup;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::FileKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::store::purge::Manner;

/// A sidecar in front of Supabase edge functions: deduplicates webhooks, caches answers, pools connections, measures every request.
#[derive(Debug, Parser)]
#[command(name = "edge-sidecar", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve. With --upstream alone it is a working proxy, without any file
    Run(RunArgs),
    /// Write a commented `rules.yaml` and `sidecar.yaml` to begin with, and their schemas; what is there already stays
    Init(InitArgs),
    /// Print the JSON Schema of a kind of files, by which editors complete and check them
    Schema(SchemaArgs),
    /// Judge rules and sidecar files, and print every problem in them
    Check(CheckArgs),
    /// Say why a request is cached, deduplicated or neither: each rule, and why it matched or did not
    Explain(explain::ExplainArgs),
    /// Show what runs: health, rules in force, traffic, cache, messages, pool; `--watch` every second
    Status(status::StatusArgs),
    /// Tell a running sidecar to read its rules file now
    Reload(client::DoorArgs),
    /// Tell a running sidecar to go back to the rules before those in force
    Rollback(client::DoorArgs),
    /// Tell a running sidecar to finish what runs and to end, as SIGTERM does
    Drain(client::DoorArgs),
    /// Tell a running sidecar to call every function that its rules want warm, and wait for that: exit code 1 if one failed
    Warmup(client::DoorArgs),
    /// Ask a running sidecar how it is: exit code 0 or 1
    Probe(ProbeArgs),
    /// Show the life of one message: its copies, attempts and outcomes
    Trace(TraceArgs),
    /// Take stored answers out, or forget that a message was taken, so that a replay of it is forwarded
    Purge(PurgeArgs),
    /// Print what a shell needs to complete these commands, such as `edge-sidecar completions bash`
    Completions(CompletionsArgs),
}

/// Flags of `run`. A flag wins over its environment variable, that over the file, that over the default.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Sidecar file [default: config/sidecar.yaml, then /etc/edge-sidecar/sidecar.yaml]
    #[arg(long, env = "EDGE_SIDECAR_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Rules file
    #[arg(long, env = "EDGE_SIDECAR_RULES", value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Built-in rules, in place of a rules file
    #[arg(long, env = "EDGE_SIDECAR_PRESET", value_enum, conflicts_with = "rules")]
    pub preset: Option<PresetArg>,
    /// Where the functions are, such as `http://127.0.0.1:9000`
    #[arg(long, env = "EDGE_SIDECAR_UPSTREAM", value_name = "URL")]
    pub upstream: Option<String>,
    /// Where to listen
    #[arg(long, env = "EDGE_SIDECAR_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Admin address: metrics, health, probes
    #[arg(long, env = "EDGE_SIDECAR_ADMIN_ADDRESS", value_name = "ADDRESS")]
    pub admin_address: Option<String>,
    /// Admin socket: everything
    #[arg(long, env = "EDGE_SIDECAR_ADMIN_SOCKET", value_name = "FILE")]
    pub admin_socket: Option<PathBuf>,
    /// File with the token that opens everything on the admin address
    #[arg(long, env = "EDGE_SIDECAR_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// error, warn, info or debug
    #[arg(long, env = "EDGE_SIDECAR_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Memory for everything, such as 112MiB
    #[arg(long, env = "EDGE_SIDECAR_MEMORY_BUDGET", value_name = "SIZE")]
    pub memory_budget: Option<String>,
}

/// Built-in rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PresetArg {
    /// Deduplication of WhatsApp webhooks, and 10 s of caching for health checks
    Whatsapp,
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Where they go
    #[arg(default_value = "config")]
    folder: PathBuf,
}

#[derive(Debug, Args)]
struct SchemaArgs {
    /// Which files
    #[arg(value_enum)]
    kind: KindArg,
}

/// Kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindArg {
    /// rules.yaml
    Rules,
    /// sidecar.yaml
    Sidecar,
}

#[derive(Debug, Args)]
struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// Files [default: config/sidecar.yaml and config/rules.yaml]
    files: Vec<PathBuf>,
    /// Also print what the rules would change: compared with another file, or with the `live` rules of a running sidecar
    #[arg(long, value_name = "FILE|live")]
    against: Option<String>,
    /// Warnings count as errors
    #[arg(long)]
    deny_warnings: bool,
    /// How problems are printed
    #[arg(long, value_enum, default_value_t = check::Format::Human)]
    format: check::Format,
    #[command(flatten)]
    door: client::DoorArgs,
}

#[derive(Debug, Args)]
struct ProbeArgs {
    /// What is asked
    #[arg(value_enum)]
    probe: life::Probe,
    #[command(flatten)]
    door: client::DoorArgs,
}

#[derive(Debug, Args)]
struct TraceArgs {
    /// The message's id, as its sender wrote it
    #[arg(value_name = "MESSAGE-ID")]
    message: String,
    #[command(flatten)]
    door: client::DoorArgs,
}

#[derive(Debug, Args)]
struct PurgeArgs {
    #[command(flatten)]
    what: stored::What,
    /// Do not remove: end the freshness, so that it is fetched anew, and may be given meanwhile where the rule allows that
    #[arg(long, conflicts_with_all = ["message", "dry_run"])]
    soft: bool,
    /// Only count what would go
    #[arg(long, conflicts_with = "message")]
    dry_run: bool,
    #[command(flatten)]
    door: client::DoorArgs,
}

impl PurgeArgs {
    const fn manner(&self) -> Manner {
        match (self.dry_run, self.soft) {
            (true, _) => Manner::Count,
            (false, true) => Manner::Soften,
            (false, false) => Manner::Remove,
        }
    }
}

/// Parses the arguments and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Init(args) => init::run(&args.folder),
        Command::Schema(args) => init::schema(match args.kind {
            KindArg::Rules => FileKind::Rules,
            KindArg::Sidecar => FileKind::Sidecar,
        }),
        Command::Check(args) => checked(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Reload(door) => rules::reload(&door),
        Command::Rollback(door) => rules::rollback(&door),
        Command::Warmup(door) => warmup::warmup(&door),
        Command::Drain(door) => life::drain(&door),
        Command::Probe(args) => life::probe(&args.door, args.probe),
        Command::Trace(args) => message::trace(&args.door, &args.message),
        Command::Purge(args) => match &args.what.message {
            Some(id) => message::purge(&args.door, id),
            None => stored::purge(&args.door, &args.what, args.manner()),
        },
        Command::Completions(args) => {
            clap_complete::generate(args.shell, &mut Cli::command(), "edge-sidecar", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

fn checked(args: &CheckArgs) -> ExitCode {
    let mut files = args.files.clone();
    if files.is_empty() {
        files = ["config/sidecar.yaml", "config/rules.yaml"].map(PathBuf::from).to_vec();
    }
    let format = if args.door.json { check::Format::Json } else { args.format };
    let options = check::Options { format, deny_warnings: args.deny_warnings, against: args.against.as_deref(), door: &args.door };
    let mut out = std::io::stdout().lock();
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match check::check(&files, &options, &mut out, colour) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("edge-sidecar: {error:#}");
            ExitCode::from(1)
        }
    }
}
