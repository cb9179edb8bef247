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
            memory_limit: memory_limit(Path::new("/sys/fs/cgroup"), &fs::read_to_string("/proc/self/cgroup").unwrap_or_default()),
        }
    }

    /// Path of the admin socket where none is given.
    #[must_use]
    pub fn default_socket(&self) -> PathBuf {
        let folder = if self.root { Path::new("/run") } else { self.runtime_dir.as_deref().unwrap_or(&self.temp_dir) };
        folder.join("edge-sidecar/admin.sock")
    }
}

/// The least memory limit of a process's control group and all above it, in bytes; `None` where there is none. `tree` is where groups of
/// version 2 or 1 are mounted, `own` the text of `/proc/self/cgroup`. In a container the tree often begins at its own group, whose path
/// then is `/` or leads nowhere.
#[must_use]
pub fn memory_limit(tree: &Path, own: &str) -> Option<u64> {
    let group = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (folder, file) = match controllers {
            "" => (tree.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|c| c == "memory") => (tree.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let path = Path::new(path.trim_start_matches('/'));
        let limits = path.ancestors().filter_map(|p| parse_limit(&fs::read_to_string(folder.join(p).join(file)).ok()?));
        limits.min()
    };
    own.lines().filter_map(group).min()
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
        let write = |file: &str, text: &str| {
            let file = dir.path().join(file);
            fs::create_dir_all(file.parent().expect("inside")).expect("a folder");
            fs::write(file, text).expect("written");
        };
        let limit = |own: &str| memory_limit(dir.path(), own);
        let (one, two) = ("5:cpu:/\n4:hugetlb,memory:/pod/app\n0::/\n", "0::/system.slice/edge.service\n");
        assert_eq!((limit(one), limit(two), limit("")), (None, None, None));
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("cpu/memory.limit_in_bytes", "1\n");
        assert_eq!(limit(one), None, "the number that means none");
        write("memory/pod/memory.limit_in_bytes", "268435456\n");
        assert_eq!(limit(one), Some(256 << 20), "of the group above");
        write("memory/pod/app/memory.limit_in_bytes", "134217728\n");
        assert_eq!(limit(one), Some(128 << 20));
        write("system.slice/edge.service/memory.max", "max\n");
        assert_eq!(limit(two), None);
        write("memory.max", "67108864\n");
        assert_eq!((limit(two), limit("0::/../elsewhere\n")), (Some(64 << 20), Some(64 << 20)), "the container's own group is the root");
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
