//! An edit of the sidecar file of a running process: told what a restart would change, by `/config`, metrics and log, until it is taken back.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::{get, send};
use crate::support::command::{Process, output};
use crate::support::origin::{Origin, Reply};
use crate::support::until;

const SIDECAR: &str = "version: 1\nmemory: { cache: 24MiB }\nlimits: { in_flight: 300 }\nrules: null\n";

struct Running {
    folder: TempDir,
    _origin: Origin,
    process: Process,
}

impl Running {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sidecar.yaml");
        fs::write(&file, SIDECAR).expect("written");
        let origin = Origin::start(|_| Reply::ok("{}")).await;
        let token = folder.path().join("token");
        fs::write(&token, "t").expect("written");
        let path = |path: &Path| path.display().to_string();
        let process = Process::start(&origin.url(), &["--config", &path(&file), "--token-file", &path(&token)]).await;
        Self { folder, _origin: origin, process }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("sidecar.yaml")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).expect("written");
    }

    /// What `/config` says of the file, once its state is this.
    async fn until(&self, state: &str) -> Value {
        let config = async || {
            let ask = get("/config").header("authorization", "Bearer t").header("connection", "close");
            let said = send(self.process.admin, &ask).await.json();
            (said["sidecar"]["state"] == state).then(|| said["sidecar"].clone())
        };
        let said = until(state, config).await;
        let needed = self.process.series("edge_sidecar_config_restart_needed").await;
        assert_eq!(needed > 0.5, state != "as_running");
        said
    }

    async fn logged(&self, words: &str) -> String {
        let find = || self.process.lines().into_iter().find(|line| line.contains(r#""event":"reload""#) && line.contains(words));
        until(words, async || find()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_told_until_it_is_taken_back() {
    let running = Running::start().await;
    assert_eq!(running.until("as_running").await["file"], running.file().display().to_string());

    // the flag for the upstream wins over the file, so that line would change nothing
    running
        .write("version: 1\nmemory: { cache: 16MiB }\nrules: null\nupstreams: [{ name: functions, servers: [\"http://127.0.0.1:1\"] }]\n");
    let said = running.until("restart_needed").await;
    let change = |key: &str, running: &str, file: &str| serde_json::json!({ "key": key, "running": running, "file": file });
    assert_eq!(said["changes"], serde_json::json!([change("limits.in_flight", "300", "512"), change("memory.cache", "24MiB", "16MiB")]));
    let line = running.logged("restart needed").await;
    assert!(line.contains("limits.in_flight from 300 to 512; memory.cache from 24MiB to 16MiB"), "{line}");
    assert!((running.process.series("edge_sidecar_memory_budget_bytes").await - 112.0 * 1024.0 * 1024.0).abs() < 1.0);

    running.write(SIDECAR);
    let said = running.until("as_running").await;
    assert_eq!(said["changes"], serde_json::json!([]));
    running.logged("says what runs again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_restart_refuses_says_so_before_the_restart() {
    let running = Running::start().await;
    running.write("version: 1\nmemry: { cache: 16MiB }\n");
    let said = running.until("refused").await;
    assert_eq!((&said["diagnostics"][0]["line"], &said["diagnostics"][0]["help"]), (&2.into(), &"did you mean `memory`?".into()));
    let line = running.logged("a restart refuses").await;
    assert!(line.contains("sidecar.yaml:2:1"), "{line}");

    // put away and back, as an editor does; a directory in its place; swapped by a rename
    let away = running.folder.path().join("sidecar.yaml~");
    fs::rename(running.file(), &away).expect("renamed");
    running.until("missing").await;
    fs::create_dir(running.file()).expect("a folder");
    running.logged("gone or unreadable").await;
    fs::remove_dir(running.file()).expect("removed");
    fs::write(&away, SIDECAR).expect("written");
    fs::rename(&away, running.file()).expect("renamed");
    running.until("as_running").await;
}

#[test]
fn a_start_with_a_file_that_cannot_be_read_or_is_refused_ends_with_78() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    // ten levels of ten aliases each
    let level = |pair: &[char]| format!("{}: &{} [{}]\n", pair[1], pair[1], vec![format!("*{}", pair[0]); 10].join(", "));
    let levels: Vec<String> = ('a'..='k').collect::<Vec<_>>().windows(2).map(level).collect();
    let bomb = format!("version: 1\na: &a [1]\n{}", levels.concat());
    let files: [(&str, Vec<u8>); 7] = [
        ("empty", Vec::new()),
        ("binary", (0..=255).collect()),
        ("large", [b"version: 1\n# ".as_slice(), &vec![b'x'; 10 << 20]].concat()),
        ("bomb", bomb.into_bytes()),
        ("twice", b"version: 1\nmemory: {}\nmemory: {}\n".to_vec()),
        ("version", b"version: 2\n".to_vec()),
        ("cut", b"version: 1\nmemory: { cache".to_vec()),
    ];
    for (name, bytes) in &files {
        fs::write(path(name), bytes).expect("written");
    }
    fs::create_dir(path("folder")).expect("a folder");
    for name in files.iter().map(|(name, _)| *name).chain(["folder", "absent"]) {
        for flag in ["--config", "--rules"] {
            let file = path(name).display().to_string();
            let ended = output(&["run", "--upstream", "http://127.0.0.1:9", flag, &file]);
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(ended.status.code(), Some(78), "{flag} {name}: {said}");
            assert!(said.contains(&file) && said.len() < 100_000, "{flag} {name}: {} bytes", said.len());
        }
    }
}
