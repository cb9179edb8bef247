//! What the machine says: user, folders, memory limit. Read once, passed on as a value.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The facts of the machine that defaults depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Whether the process runs as root.
    pub root: bool,
    /// `$XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// The folder for temporary files.
    pub temp_dir: PathBuf,
    /// The memory limit of the control group, in bytes.
    pub memory_limit: Option<u64>,
}

impl Host {
    /// Asks the machine.
    #[must_use]
    pub fn detect() -> Self {
        Self {
            root: fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0),
            runtime_dir: std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from),
            temp_dir: std::env::temp_dir(),
            memory_limit: memory_limit(Path::new("/sys/fs/cgroup")),
        }
    }

    /// Path of the admin socket where none is given.
    #[must_use]
    pub fn default_socket(&self) -> PathBuf {
        let folder = if self.root { Path::new("/run") } else { self.runtime_dir.as_deref().unwrap_or(&self.temp_dir) };
        folder.join("edge-sidecar/admin.sock")
    }
}

/// The memory limit under a mounted control group tree, version 2 or 1, in bytes; `None` where there is none.
#[must_use]
pub fn memory_limit(tree: &Path) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(tree.join(file)).ok();
    parse_limit(&read("memory.max").or_else(|| read("memory/memory.limit_in_bytes"))?)
}

/// `max` and the huge number of version 1 mean: no limit.
fn parse_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(memory_limit(dir.path()), None);
        fs::create_dir(dir.path().join("memory")).expect("a folder");
        fs::write(dir.path().join("memory/memory.limit_in_bytes"), "134217728\n").expect("written");
        assert_eq!(memory_limit(dir.path()), Some(128 << 20));
        fs::write(dir.path().join("memory.max"), "max\n").expect("written");
        assert_eq!(memory_limit(dir.path()), None);
        assert_eq!(parse_limit("9223372036854771712\n"), None);
    }

    #[test]
    fn the_socket_lives_where_the_user_may_write() {
        let mut host = Host { root: true, temp_dir: "/tmp".into(), ..Host::default() };
        assert_eq!(host.default_socket(), Path::new("/run/edge-sidecar/admin.sock"));
        host.root = false;
        assert_eq!(host.default_socket(), Path::new("/tmp/edge-sidecar/admin.sock"));
        host.runtime_dir = Some("/run/user/7".into());
        assert_eq!(host.default_socket(), Path::new("/run/user/7/edge-sidecar/admin.sock"));
    }
}
