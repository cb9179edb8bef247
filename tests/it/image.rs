//! The image without a container engine: the file system that `deploy/layout.sh` makes, which is all of the image of `deploy/Dockerfile`, and the
//! sidecar started in it as the image's user, who may write nowhere but in the folder of the socket. Then compose file and unit.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::client::{get, send};
use crate::support::free_port;
use crate::support::origin::{Origin, Reply};
use crate::support::until;

fn deploy(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name).display().to_string()
}

/// The sidecar in a file system of its own, as the image's user; where the test may not choose one, as its own user in a namespace.
fn inside(root: &Path, args: &[&str]) -> Command {
    let mine = std::fs::metadata("/proc/self").expect("a process").uid();
    let mut command = Command::new(if mine == 0 { "chroot" } else { "unshare" });
    if mine == 0 {
        command.arg("--userspec=65532:65532");
    } else {
        command.args(["--map-root-user", "chroot"]);
    }
    command.arg(root).arg("edge-sidecar").args(args);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("EDGE_SIDECAR_ADMIN_SOCKET", "/run/edge-sidecar/admin.sock");
    command
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_sidecar_runs_in_the_file_system_of_its_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    let made = Command::new(deploy("layout.sh")).arg(env!("CARGO_BIN_EXE_edge-sidecar")).arg(&root).status().expect("layout.sh runs");
    assert!(made.success());
    // the image's second COPY gives it to the user; where the test is not root, it is ours already
    let _ = std::os::unix::fs::chown(root.join("run/edge-sidecar"), Some(65532), Some(65532));

    let origin = Origin::start(|_| Reply::ok("from the function")).await;
    let (listen, admin) = (([127, 0, 0, 1], free_port()).into(), ([127, 0, 0, 1], free_port()).into());
    let addresses = [std::net::SocketAddr::to_string(&listen), std::net::SocketAddr::to_string(&admin)];
    let args = ["run", "--upstream", &origin.url(), "--listen", &addresses[0], "--admin-address", &addresses[1]];
    let mut running = Running(inside(&root, &args).stdout(Stdio::null()).spawn().expect("it starts"));
    let ready = async || {
        tokio::net::TcpStream::connect(admin).await.ok()?;
        (send(admin, &get("/readyz").header("connection", "close")).await.status == 200).then_some(())
    };
    until("ready", ready).await;
    assert_eq!(send(listen, &get("/functions/v1/hello").header("connection", "close")).await.text(), "from the function");

    // the image's health check and a Pod's hook
    for args in [["probe", "live"].as_slice(), &["probe", "ready"], &["drain"]] {
        let ended = inside(&root, args).output().expect("it runs");
        assert!(ended.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    let child = std::sync::Mutex::new(&mut running.0);
    let ended = until("drained", async || child.lock().expect("no panic while held").try_wait().expect("a child of ours")).await;
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn the_image_is_what_the_layout_makes_and_all_ways_to_run_it_leave_time_to_drain() {
    let text = |name: &str| std::fs::read_to_string(deploy(name)).expect("readable");
    let dockerfile = text("Dockerfile");
    for line in [
        "deploy/layout.sh target/release/edge-sidecar /layout",
        "\nFROM scratch\n",
        "\nUSER 65532:65532\n",
        "\nENTRYPOINT [\"edge-sidecar\"]\n",
    ] {
        assert!(dockerfile.contains(line), "{line}");
    }
    assert!(dockerfile.contains(&format!("image.version=\"{}\"", env!("CARGO_PKG_VERSION"))));
    let drain = edge_sidecar::config::judge_sidecar(
        &std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sidecar.yaml")).expect("readable"),
        &edge_sidecar::config::Overrides::default(),
        &edge_sidecar::config::Host { root: false, runtime_dir: None, temp_dir: std::env::temp_dir(), memory_limit: None },
    );
    let drain = drain.value.expect("good settings").drain;
    for (name, key) in [("compose.yaml", "stop_grace_period:"), ("edge-sidecar.service", "TimeoutStopSec=")] {
        let text = text(name);
        let value = text.lines().find_map(|l| l.trim().strip_prefix(key)).expect("a limit");
        let seconds: u64 = value.trim().trim_end_matches('s').parse().expect("seconds");
        assert!(seconds >= (drain.announce + drain.timeout).as_secs() + 5, "{name}: {seconds} s");
    }
}
