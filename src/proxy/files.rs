//! How many files the process may open, and how many callers that is enough for.

use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::sidecar::Limits;

/// Files for everything but callers and the calls made for them: listeners, admin, pools at rest, newcomers.
const RESERVED: u64 = 100;

/// Raises the process's limit as far as needed and allowed, and tells how many callers may be connected at once: fewer than
/// `limits.connections` where the limit does not allow so many.
///
/// # Errors
/// More than the default was asked for, and the limit does not allow it.
pub fn connections(limits: &Limits) -> Result<usize> {
    let wanted = limits.connections;
    let allowed = raise(needed(wanted));
    let most = most(allowed);
    if most < wanted {
        ensure!(
            wanted <= Limits::CONNECTIONS,
            "limits.connections is {wanted}, but the process may open only {allowed} files, enough for {most} connections: \
             raise its limit (ulimit -n) to {} or lower limits.connections",
            needed(wanted)
        );
        tracing::warn!(
            connections = most,
            files = allowed,
            needed = needed(wanted),
            "few files may be opened: fewer connections are taken"
        );
    }
    Ok(wanted.min(most))
}

/// Each caller may need a connection to a function as well.
fn most(files: u64) -> usize {
    // at least one: a process that takes nobody is of no use
    usize::try_from(files.saturating_sub(RESERVED) / 2).unwrap_or(usize::MAX).max(1)
}

const fn needed(connections: usize) -> u64 {
    connections as u64 * 2 + RESERVED
}

/// The soft limit, raised to what is needed where the hard one lets us.
fn raise(needed: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let soft = current.unwrap_or(u64::MAX);
    let wanted = needed.min(maximum.unwrap_or(u64::MAX));
    if soft < wanted && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() { wanted } else { soft }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_takes_two_files() {
        for (files, connections) in [(0, 1), (101, 1), (256, 78), (1024, 462), (1700, 800), (1_048_576, 524_238)] {
            assert_eq!(most(files), connections, "{files}");
        }
        assert_eq!(most(needed(800)), 800);
    }
}
