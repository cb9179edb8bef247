//! Flags and environment variables on top of the file: flag > environment > file > default.

use std::path::PathBuf;

use super::decode::Decoder;
use super::diagnostics::{Code, Span};
use super::sidecar::Sidecar;
use super::sidecar_file::LEVELS;
use super::values::{self, Fault};

/// What the command line and the environment say, as text; the flag has already won over its variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// URL of the one upstream's server.
    pub upstream: Option<String>,
    /// Address of the one listener.
    pub listen: Option<String>,
    /// `admin.address`.
    pub admin_address: Option<String>,
    /// `admin.socket`.
    pub admin_socket: Option<PathBuf>,
    /// `admin.token_file`.
    pub token_file: Option<PathBuf>,
    /// `rules`.
    pub rules: Option<PathBuf>,
    /// `log.level`.
    pub log_level: Option<String>,
    /// `memory.budget`.
    pub memory_budget: Option<String>,
}

impl Overrides {
    /// Puts them on top; a bad one is a problem without a place in the file.
    pub fn apply(&self, d: &mut Decoder, sidecar: &mut Sidecar) {
        if let Some(server) = read(d, "--upstream", self.upstream.as_deref(), values::server) {
            match sidecar.upstreams.as_mut_slice() {
                [only] => only.server = server,
                _ => ambiguous(d, "--upstream", "upstreams"),
            }
        }
        if let Some(address) = read(d, "--listen", self.listen.as_deref(), values::address) {
            match sidecar.listeners.as_mut_slice() {
                [only] => only.address = address,
                _ => ambiguous(d, "--listen", "listeners"),
            }
        }
        if let Some(address) = read(d, "--admin-address", self.admin_address.as_deref(), values::address) {
            sidecar.admin.address = address;
        }
        if let Some(socket) = &self.admin_socket {
            sidecar.admin.socket.clone_from(socket);
        }
        sidecar.admin.token_file = self.token_file.clone().or(sidecar.admin.token_file.take());
        sidecar.rules = self.rules.clone().or(sidecar.rules.take());
        if let Some(level) = read(d, "--log-level", self.log_level.as_deref(), level) {
            sidecar.log.level = level;
        }
        if let Some(budget) = read(d, "--memory-budget", self.memory_budget.as_deref(), values::size) {
            sidecar.memory.budget = budget;
        }
    }
}

fn read<T>(d: &mut Decoder, flag: &str, text: Option<&str>, parse: impl Fn(&str) -> Result<T, Fault>) -> Option<T> {
    let variable = flag.trim_start_matches('-').replace('-', "_").to_uppercase();
    let place = |fault: Fault| Fault { message: format!("{flag} or EDGE_SIDECAR_{variable}: {}", fault.message), ..fault };
    parse(text?).map_err(|fault| d.fault(place(fault), Span::NOWHERE)).ok()
}

fn ambiguous(d: &mut Decoder, flag: &str, key: &str) {
    d.error(
        Code::BadValue,
        Span::NOWHERE,
        format!("{flag} is for one entry, but `{key}` has several"),
        format!("edit `{key}` in the file"),
    );
}

fn level(text: &str) -> Result<super::sidecar::Level, Fault> {
    let words = LEVELS.map(|(word, _)| word);
    LEVELS.iter().find(|(word, _)| *word == text).map(|(_, level)| *level).ok_or_else(|| Fault {
        code: Code::BadValue,
        message: format!("`{text}` is not a level"),
        help: values::suggestion(text, &words),
    })
}
