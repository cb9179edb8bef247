//! The command as a user types it: `check`, `run`, flags, environment, files, exit codes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::signals_traffic::message;
use crate::support::client::{get, post, send};
use crate::support::command::{command, output};
use crate::support::origin::{Origin, Reply};
use crate::support::{free_port, until};

const GOOD: &str = "version: 1\ncache:\n  include:\n    - { name: one, match: { function: one }, ttl: 5m }\n";
const BAD: &str =
    "version: 1\ncashe: {}\ndedup:\n  include:\n    - { name: whatsapp, match: { function: \"wa-*\" }, id: whatsap, window: 24 }\n";

/// An empty folder to work in.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::create_dir_all(self.path(name).parent().expect("inside")).expect("a folder");
        fs::write(self.path(name), text).expect("writable");
        self.path(name).display().to_string()
    }

    /// The command, run here, on ports of its own by the environment alone.
    fn command(&self, args: &[&str]) -> (Command, Ports) {
        let ports = Ports { listen: local(), admin: local(), socket: self.path("admin.sock") };
        let mut command = command(args);
        command.current_dir(self.0.path()).env("EDGE_SIDECAR_LISTEN", &ports.listen).env("EDGE_SIDECAR_ADMIN_ADDRESS", &ports.admin);
        command.env("EDGE_SIDECAR_ADMIN_SOCKET", &ports.socket);
        (command, ports)
    }
}

struct Ports {
    listen: String,
    admin: String,
    socket: PathBuf,
}

fn local() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// A running command; it is killed when dropped.
struct Running(Child);

impl Running {
    async fn start(mut command: Command, ports: &Ports) -> Self {
        let mut running = Self(command.stdout(std::process::Stdio::null()).spawn().expect("the command starts"));
        until("it is ready", async || {
            TcpStream::connect(&ports.admin).await.ok()?;
            (send(address(&ports.admin), &get("/readyz").header("connection", "close")).await.status == 200).then_some(())
        })
        .await;
        assert!(running.0.try_wait().expect("a child of ours").is_none(), "it runs");
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn address(text: &str) -> std::net::SocketAddr {
    text.parse().expect("an address")
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].iter().map(|s| String::from_utf8_lossy(s)).collect()
}

/// That it ends with this code (without serving) and says each of these.
fn ends(output: &Output, code: i32, parts: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for part in parts {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
    assert!(!said.contains("panicked") && !said.contains('\u{1b}'), "{said}");
}

async fn echo() -> Origin {
    Origin::start(|_| Reply::ok("{}")).await
}

#[test]
fn check_tells_good_files_from_bad_ones_and_says_what_is_wrong_where() {
    let folder = Folder::new();
    let (good, bad) = (folder.write("good.yaml", GOOD), folder.write("bad.yaml", BAD));
    ends(&output(&["check", &good]), 0, &["good.yaml: ok (rules: 1 cache"]);
    let parts =
        ["bad.yaml:2:1", "bad.yaml:5:58", "^^^^^", "did you mean `cache`?", "did you mean `whatsapp`?", "`24` has no unit", "3 errors"];
    ends(&output(&["check", &bad]), 1, &parts);
    ends(&output(&["check", &good, &bad]), 1, &["good.yaml: ok", "bad.yaml: 3 errors"]);
    ends(&output(&["check", "/nowhere/rules.yaml"]), 1, &["/nowhere/rules.yaml", "cannot be read"]);
    ends(&output(&["check", "--format", "xml", &good]), 2, &["human", "json"]);
}

#[test]
fn check_prints_json_for_programs() {
    let folder = Folder::new();
    let (good, bad) = (folder.write("good.yaml", GOOD), folder.write("bad.yaml", BAD));
    let output = output(&["check", "--format", "json", &good, &bad]);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&json[0]["file"], &json[0]["kind"], &json[0]["valid"]), (&good.into(), &"rules".into(), &true.into()));
    let found = json[1]["diagnostics"].as_array().expect("a list");
    let first = &found[0];
    assert_eq!((found.len(), &first["severity"], &first["line"], &first["column"]), (3, &"error".into(), &2.into(), &1.into()));
    for key in ["code", "message", "help"] {
        assert!(first[key].is_string(), "{key}: {first}");
    }
}

#[test]
fn the_shipped_files_are_what_check_looks_for_and_accepts() {
    let output = command(&["check"]).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("the command runs");
    ends(&output, 0, &["config/sidecar.yaml: ok", "config/rules.yaml: ok (rules: 4 cache, 1 dedup", "budget"]);
}

#[test]
fn run_with_bad_rules_prints_every_problem_and_ends_with_78() {
    let folder = Folder::new();
    let bad = folder.write("bad.yaml", BAD);
    let (mut command, _) = folder.command(&["run", "--upstream", "http://127.0.0.1:9", "--rules", &bad]);
    ends(&command.output().expect("it runs"), 78, &["bad.yaml:2:1", "bad.yaml:5:58", "did you mean `whatsapp`?", "`24` has no unit"]);
    let sidecar = folder.write("sidecar.yaml", "version: 1\nlisteners: []\nupstreems: []\nmemory: { budget: 1TB }\n");
    let (mut command, _) = folder.command(&["run", "--config", &sidecar]);
    ends(&command.output().expect("it runs"), 78, &["sidecar.yaml:3:1", "did you mean `upstreams`?", "sidecar.yaml:4:"]);
    let (mut command, _) = folder.command(&["run", "--upstream", "127.0.0.1:9000"]);
    ends(&command.output().expect("it runs"), 78, &["--upstream", "http://"]);
}

#[test]
fn run_says_which_file_is_missing_and_what_to_do() {
    let folder = Folder::new();
    let (mut command, _) = folder.command(&["run", "--upstream", "http://127.0.0.1:9", "--rules", "absent.yaml"]);
    ends(&command.output().expect("it runs"), 78, &["absent.yaml", "No such file", "help:"]);
    let (mut command, _) = folder.command(&["run", "--config", "absent.yaml"]);
    ends(&command.output().expect("it runs"), 78, &["absent.yaml", "help:"]);
    if !Path::new("/etc/edge-sidecar/sidecar.yaml").exists() {
        let (mut command, _) = folder.command(&["run"]);
        ends(&command.output().expect("it runs"), 78, &["config/sidecar.yaml", "/etc/edge-sidecar/sidecar.yaml", "--config", "--upstream"]);
    }
    let upstream = "version: 1\nupstreams: [{ name: functions, servers: [\"http://127.0.0.1:9\"] }]\n";
    let sidecar = folder.write("sidecar.yaml", &format!("{upstream}rules: absent.yaml\n"));
    let (mut command, _) = folder.command(&["run", "--config", &sidecar]);
    ends(&command.output().expect("it runs"), 78, &["absent.yaml", "help:"]);
}

#[test]
fn usage_errors_end_with_2_and_version_with_0() {
    ends(&output(&["run", "--upstreem", "x"]), 2, &["--upstream"]);
    ends(&output(&[]), 2, &["Usage"]);
    ends(&output(&["run", "--preset", "nobody"]), 2, &["whatsapp"]);
    ends(&output(&["--version"]), 0, &["edge-sidecar "]);
    ends(&output(&["run", "--help"]), 0, &["EDGE_SIDECAR_UPSTREAM", "--preset"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_with_an_upstream_alone_is_a_working_proxy_without_any_file() {
    let (origin, folder) = (echo().await, Folder::new());
    let (command, ports) = folder.command(&["run", "--upstream", &origin.url()]);
    let _running = Running::start(command, &ports).await;
    for _ in 0..2 {
        let answer = send(address(&ports.listen), &post("/wa-webhook-core", message(&["1"]))).await;
        assert_eq!((answer.status, answer.has("x-dedup")), (200, false));
    }
    assert_eq!(origin.count(), 2, "no rule, nothing held back");
    let files: Vec<_> = fs::read_dir(folder.0.path()).expect("readable").map(|f| f.expect("readable").file_name()).collect();
    assert_eq!(files, ["admin.sock"], "and it wrote none");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whatsapp_preset_deduplicates_and_caches_health() {
    let (origin, folder) = (echo().await, Folder::new());
    let (command, ports) = folder.command(&["run", "--upstream", &origin.url(), "--preset", "whatsapp"]);
    let _running = Running::start(command, &ports).await;
    for mark in ["NEW", "DUPLICATE"] {
        let answer = send(address(&ports.listen), &post("/functions/v1/wa-webhook-core", message(&["1"]))).await;
        assert_eq!((answer.status, answer.header("x-dedup")), (200, mark));
    }
    for mark in ["MISS", "HIT"] {
        assert_eq!(send(address(&ports.listen), &get("/functions/v1/profile/health")).await.header("x-cache"), mark);
    }
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_beats_the_environment_and_that_beats_the_file() {
    let (origin, folder) = (echo().await, Folder::new());
    let (of_file, of_flag) = (local(), local());
    folder.write("config/rules.yaml", GOOD);
    let text = format!(
        "version: 1\nlisteners: [{{ name: functions, address: \"{of_file}\", upstream: functions }}]\nupstreams: [{{ name: functions, servers: [\"{}\"] }}]\nrules: rules.yaml\n",
        origin.url()
    );
    folder.write("config/sidecar.yaml", &text);
    let open = async |address: &str| TcpStream::connect(address).await.is_ok();

    let (mut command, ports) = folder.command(&["run"]);
    command.env_remove("EDGE_SIDECAR_LISTEN");
    let running = Running::start(command, &ports).await;
    assert_eq!(send(address(&of_file), &get("/one")).await.header("x-cache"), "MISS", "file, and its rules beside it");
    drop(running);

    let (command, ports) = folder.command(&["run"]);
    let running = Running::start(command, &ports).await;
    assert_eq!((open(&ports.listen).await, open(&of_file).await), (true, false), "environment over file");
    drop(running);

    let (command, ports) = folder.command(&["run", "--listen", &of_flag]);
    let _running = Running::start(command, &ports).await;
    assert_eq!((open(&of_flag).await, open(&ports.listen).await, open(&of_file).await), (true, false, false), "flag over both");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
    let (origin, folder) = (echo().await, Folder::new());
    let start = ["run", "--upstream", &origin.url()];
    let (command, ports) = folder.command(&start);
    // dropping it is a kill -9: the file stays
    drop(Running::start(command, &ports).await);
    assert!(ports.socket.exists());
    let (command, ports) = folder.command(&start);
    let _running = Running::start(command, &ports).await;
    assert_eq!(fs::metadata(&ports.socket).expect("a socket").permissions().mode() & 0o777, 0o600);
    assert!(std::os::unix::net::UnixStream::connect(&ports.socket).is_ok(), "it answers");

    let (mut command, other) = folder.command(&start);
    assert_eq!(other.socket, ports.socket);
    ends(&command.output().expect("it runs"), 1, &["admin.sock", "another process serves it"]);
    assert_eq!(send(address(&ports.listen), &get("/echo")).await.status, 200, "the first one is not disturbed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_port_is_a_clear_error() {
    let (origin, folder) = (echo().await, Folder::new());
    let busy = origin.address.to_string();
    for (flag, word) in [("--listen", "listener"), ("--admin-address", "admin.address")] {
        let (mut command, _) = folder.command(&["run", "--upstream", &origin.url(), flag, &busy]);
        ends(&command.output().expect("it runs"), 1, &[&busy, word]);
    }
}

#[test]
fn init_writes_what_check_accepts_and_touches_nothing_that_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("a/config");
    let (at, rules, sidecar) = (config.display().to_string(), config.join("rules.yaml"), config.join("sidecar.yaml"));
    let said = |args: &[&str]| {
        let output = output(args);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = said(&["init", &at]);
    assert!(code == Some(0) && text.matches("wrote ").count() == 4 && text.contains("next: edge-sidecar check"), "{text}");
    let (code, text) = said(&["check", "--deny-warnings", &rules.display().to_string(), &sidecar.display().to_string()]);
    assert_eq!(code, Some(0), "{text}");
    for (kind, file) in [("rules", &rules), ("sidecar", &sidecar)] {
        let text = fs::read_to_string(file).expect("readable");
        let named = text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema=")).expect("a schema");
        assert_eq!(said(&["schema", kind]), (Some(0), fs::read_to_string(config.join(named)).expect("beside it")), "{kind}");
    }
    std::fs::write(&rules, "version: 1\n# mine\n").expect("writable");
    std::fs::remove_file(&sidecar).expect("it is there");
    let (code, text) = said(&["init", &at]);
    assert!(code == Some(0) && text.contains("rules.yaml is there already and stays as it is"), "{text}");
    assert_eq!(std::fs::read_to_string(&rules).expect("readable"), "version: 1\n# mine\n");
    assert!(sidecar.exists());
    let (code, _) = said(&["init", &format!("{}/x", rules.display())]);
    assert_eq!(code, Some(1), "a file where the folder would be");
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = output(&["completions", shell]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        for command in
            ["run", "init", "schema", "check", "explain", "reload", "rollback", "drain", "probe", "trace", "purge", "completions"]
        {
            assert!(text.contains(command), "{shell}: {command}");
        }
    }
    assert_eq!(output(&["completions", "csh"]).status.code(), Some(2));
}
