//! The sidecar as a Pod confines it: a file system that is the image's and read-only, a user that nobody knows, a network of its own, 128 MiB. Under
//! half-open heads, large bodies and slow readers it goes on, and the kernel has nothing to kill.
//!
//! The test starts itself once more in namespaces of its own, where it makes all of that. Where the machine does not allow a part, it says so
//! and goes on without; the peak of the process's memory is looked at in any case.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::memory::{CONTAINER, peak_of, webhook};
use crate::support::client::{Connection, get, post, send};
use crate::support::wire::Buffer;
use crate::support::{free_port, until};

const NAME: &str = "confined::as_a_pod_confines_it_it_stays_within_128_mib_under_hostile_load";
/// Tells the inner run where the file system is.
const INSIDE: &str = "TEST_CONFINED_IN";
/// A user without a name, as some platforms give each namespace; and the group that goes with it.
const USER: u32 = 54_321;

/// Brings the loopback up, makes the file system read-only but for what a Pod's volumes are, and runs what is left of its arguments.
const SETUP: &str = r#"
set -e
root=$1; shift
python3 -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 0x41))'
mount --bind "$root" "$root"
mount -t tmpfs -o mode=1777,size=1m none "$root/run/edge-sidecar"
mount --rbind /proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -o remount,bind,ro "$root"
ulimit -n 8192 2>/dev/null || true
exec "$@"
"#;

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("a process").uid() == 0
}

/// A command in namespaces of its own.
fn unshared() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]);
    if !is_root() {
        command.arg("--map-root-user");
    }
    command
}

#[test]
fn as_a_pod_confines_it_it_stays_within_128_mib_under_hostile_load() {
    if let Some(root) = std::env::var_os(INSIDE) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        return runtime.block_on(inside(Path::new(&root)));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/layout.sh");
    let made = Command::new(layout).arg(env!("CARGO_BIN_EXE_edge-sidecar")).arg(&root).status().expect("layout.sh runs");
    assert!(made.success());
    for name in ["proc", "sys"] {
        fs::create_dir(root.join(name)).expect("a folder");
    }

    let (itself, allowed) = (std::env::current_exe().expect("a path"), unshared().arg("true").output().is_ok_and(|o| o.status.success()));
    let mut command = if allowed { unshared() } else { Command::new(&itself) };
    if allowed {
        command.args(["sh", "-c", SETUP, "sh"]).arg(&root).arg(&itself);
    }
    let ended = command.args(["--exact", NAME, "--nocapture"]).env(INSIDE, &root).output().expect("it runs");
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert!(ended.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
    said.lines().filter(|l| l.starts_with("confined: ")).for_each(|line| eprintln!("{line}"));
}

/// A control group that limits memory; it is removed when dropped.
struct Group {
    folder: PathBuf,
    kills: &'static str,
}

impl Group {
    /// Version 2, else version 1, if the machine lets us make one.
    fn new() -> Option<Self> {
        let v2 = fs::read_to_string("/sys/fs/cgroup/cgroup.subtree_control").is_ok_and(|c| c.split(' ').any(|c| c.trim() == "memory"));
        let (parent, limit, kills) = if v2 {
            ("/sys/fs/cgroup", "memory.max", "memory.events")
        } else {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.oom_control")
        };
        let group = Self { folder: Path::new(parent).join(format!("edge-sidecar-test-{}", std::process::id())), kills };
        fs::create_dir(&group.folder).ok()?;
        fs::write(group.folder.join(limit), CONTAINER.to_string()).ok()?;
        Some(group)
    }

    /// How many of its processes the kernel has killed for want of memory.
    fn killed(&self) -> u64 {
        let text = fs::read_to_string(self.folder.join(self.kills)).expect("readable");
        let count = text.lines().find_map(|l| l.strip_prefix("oom_kill ")?.parse().ok());
        count.unwrap_or_else(|| panic!("no count in {text}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The sidecar with its defaults, in its file system where there is one, in its control group where there is one.
fn sidecar(root: &Path, group: Option<&Group>, alone: bool, args: &[&str]) -> Running {
    let mut command = Command::new("sh");
    let procs = group.map_or_else(|| PathBuf::from("/dev/null"), |g| g.folder.join("cgroup.procs"));
    command.args(["-c", "echo $$ >\"$0\"; exec \"$@\""]).arg(procs);
    match (alone, is_root() && fs::metadata(root).is_ok_and(|m| m.uid() == 0)) {
        (true, true) if may_become_another() => command.args(["chroot", &format!("--userspec={USER}:0")]).arg(root).arg("edge-sidecar"),
        (true, _) => command.arg("chroot").arg(root).arg("edge-sidecar"),
        (false, _) => command.arg(env!("CARGO_BIN_EXE_edge-sidecar")),
    };
    let socket = if alone { "/run/edge-sidecar/admin.sock".into() } else { root.join("run/edge-sidecar/admin.sock") };
    command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("EDGE_SIDECAR_ADMIN_SOCKET", socket);
    Running(command.stdout(Stdio::null()).spawn().expect("it starts"))
}

/// Whether this user namespace has more users than its root.
fn may_become_another() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").expect("readable");
    map.split_whitespace().nth(2).and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n > u64::from(USER))
}

/// A function: `/flood` answers without an end, all else is answered once its body is there.
async fn function() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(mut stream: TcpStream) {
    let mut buffer = Buffer::default();
    while let Ok(Some(mut message)) = buffer.head(&mut stream).await {
        if message.start.1.contains("/flood") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await;
            let piece = vec![b'x'; 64 << 10];
            while stream.write_all(&piece).await.is_ok() {}
            return;
        }
        if buffer.body(&mut stream, &mut message, false).await.is_err() || !message.whole {
            return;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    }
}

async fn inside(root: &Path) {
    let alone = fs::read_to_string("/proc/net/dev").expect("readable").lines().skip(2).all(|l| l.trim_start().starts_with("lo:"));
    let group = Group::new();
    let (listen, admin) = (SocketAddr::from(([127, 0, 0, 1], free_port())), SocketAddr::from(([127, 0, 0, 1], free_port())));
    let addresses = [format!("http://{}", function().await), listen.to_string(), admin.to_string()];
    let args = ["run", "--preset", "whatsapp", "--upstream", &addresses[0], "--listen", &addresses[1], "--admin-address", &addresses[2]];
    let mut running = sidecar(root, group.as_ref(), alone, &args);
    let ready = async || {
        TcpStream::connect(admin).await.ok()?;
        (send(admin, &get("/readyz").header("connection", "close")).await.status == 200).then_some(())
    };
    until("ready", ready).await;
    let user = fs::metadata(format!("/proc/{}", running.0.id())).expect("it runs").uid();
    if alone {
        assert_eq!(fs::write(root.join("new"), "").expect_err("read-only").kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        assert!(user == USER || !may_become_another(), "user {user}");
    }

    let mut well = async |after: &str| {
        assert_eq!(running.0.try_wait().expect("a child of ours"), None, "{after}");
        assert_eq!(send(listen, &get("/plain").header("connection", "close")).await.text(), "ok", "{after}");
        let peak = peak_of(running.0.id());
        assert!(peak <= CONTAINER, "{after}: {} MiB", peak >> 20);
        peak >> 20
    };
    half_open_heads(listen).await;
    well("half-open heads").await;
    large_bodies(listen).await;
    well("large bodies").await;
    slow_readers(listen, admin).await;
    let peak = well("slow readers").await;
    let limit = match &group {
        Some(group) => {
            assert_eq!(group.killed(), 0);
            format!("128 MiB by {}, nothing killed", if group.kills == "memory.events" { "cgroup v2" } else { "cgroup v1" })
        }
        None => "no cgroup allowed here".into(),
    };
    let own = if alone { "own network, read-only root" } else { "no namespaces allowed here" };
    eprintln!("confined: {own}; user {user}; {limit}; peak {peak} MiB");
    drop(running);
}

/// More than it takes at once, each with a head that does not end.
async fn half_open_heads(listen: SocketAddr) {
    let mut callers = Vec::new();
    for number in 0..1_500 {
        let mut caller = Connection::open(listen).await;
        caller.try_write(format!("GET /{number} HTTP/1.1\r\nHost: f\r\nX-Long: {}", "x".repeat(30_000)).as_bytes()).await;
        callers.push(caller);
    }
}

/// Webhooks of 3 MB, which are read before they are sent on, and uploads of 9 MB.
async fn large_bodies(listen: SocketAddr) {
    let mut callers = JoinSet::new();
    for number in 0..64 {
        callers.spawn(async move { send(listen, &post("/wa-webhook-core", webhook(number)).header("connection", "close")).await.status });
    }
    for _ in 0..16 {
        callers.spawn(async move { send(listen, &post("/upload", vec![b'x'; 9_000_000]).header("connection", "close")).await.status });
    }
    let statuses = callers.join_all().await;
    assert!(statuses.iter().all(|s| *s == 200), "{statuses:?}");
}

/// Callers that read nothing of answers without an end.
async fn slow_readers(listen: SocketAddr, admin: SocketAddr) {
    let mut callers = Vec::new();
    for _ in 0..250 {
        let mut caller = Connection::open(listen).await;
        caller.write(&get("/flood")).await;
        callers.push(caller);
    }
    let cut = async || {
        let text = send(admin, &get("/metrics?format=prometheus").header("connection", "close")).await.text();
        let line =
            text.lines().find_map(|l| l.strip_prefix("edge_sidecar_requests_shed_total{reason=\"slow_reader\"} ")?.parse::<f64>().ok());
        line.filter(|n| *n >= 100.0)
    };
    until("the longest stuck are cut", cut).await;
}
