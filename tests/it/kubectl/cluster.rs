//! A cluster for the real kubectl: `tests/kubernetes/cluster.py`, whose API server is emulated and whose Pods are processes of the real sidecar,
//! and a copy of `deploy/` whose times are shorter.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::until;

const NAMESPACE: &str = "edge-functions";

/// In which file of `deploy/kubernetes` which time becomes which. The order of what happens stays.
const SHORTER: [(&str, &str, &str); 5] = [
    ("base/sidecar.yaml", "announce: 5s, timeout: 25s", "announce: 1s, timeout: 5s"),
    ("base/deployment.yaml", "sleep: { seconds: 10 }", "sleep: { seconds: 2 }"),
    ("base/deployment.yaml", "terminationGracePeriodSeconds: 40", "terminationGracePeriodSeconds: 8"),
    ("overlays/plain-container/kustomization.yaml", "[sleep, \"10\"]", "[sleep, \"2\"]"),
    ("overlays/job/job.yaml", "terminationGracePeriodSeconds: 15", "terminationGracePeriodSeconds: 12"),
];

/// The images that are not the sidecar's: functions (the sidecar is in front of the test's own), and a Job's work.
const PROGRAMS: [(&str, &str); 2] = [
    ("edge-functions", "#!/bin/sh\nexec sleep 1d\n"),
    ("edge-job", "#!/bin/sh\nexec curl --silent --show-error --fail \"$FUNCTIONS_URL/work\"\n"),
];

/// The cluster; it and its Pods end when dropped.
pub struct Cluster {
    /// Where its Service listens.
    pub service: SocketAddr,
    folder: TempDir,
    child: Child,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Cluster {
    /// Starts an empty one, whose functions are at a URL.
    pub async fn start(functions: &str) -> Self {
        let (folder, here) = (tempfile::tempdir().expect("a folder"), Path::new(env!("CARGO_MANIFEST_DIR")));
        let copied = Command::new("cp").arg("-R").arg(here.join("deploy")).arg(folder.path()).status().expect("cp runs");
        assert!(copied.success());
        for (file, from, to) in SHORTER {
            let file = folder.path().join("deploy/kubernetes").join(file);
            let text = std::fs::read_to_string(&file).expect("a manifest");
            assert_eq!(text.matches(from).count(), 1, "{}: {from}", file.display());
            std::fs::write(file, text.replace(from, to)).expect("writable");
        }
        let programs = folder.path().join("programs");
        std::fs::create_dir(&programs).expect("a folder");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_edge-sidecar"), programs.join("edge-sidecar")).expect("a link");
        std::os::unix::fs::symlink(here.join(".tools/kubectl"), programs.join("kubectl")).expect("a link");
        for (name, text) in PROGRAMS {
            script(&programs.join(name), text);
        }
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", here.join(".tools/kubernetes")).arg("-B").arg(here.join("tests/kubernetes/cluster.py"));
        command.arg(folder.path()).arg(&programs).arg(functions).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 runs");
        let (events, out) = (Arc::<Mutex<Vec<Value>>>::default(), child.stdout.take().expect("piped"));
        let kept = Arc::clone(&events);
        std::thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            lines.for_each(|l| kept.lock().expect("no panic while held").push(serde_json::from_str(&l).expect("JSON")));
        });
        let serving = async || events.lock().expect("no panic while held").first().and_then(|e| e["port"].as_u64());
        let port = until("the cluster is there (scripts/setup.sh test)", serving).await;
        Self { service: ([127, 0, 0, 1], u16::try_from(port).expect("a port")).into(), folder, child, events }
    }

    /// A command in the folder that has `deploy/`, where kubectl and the sidecar's commands are found and kubectl finds the cluster.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}:{}", self.path("programs").display(), std::env::var("PATH").unwrap_or_default());
        command.env("PATH", path).env("KUBECONFIG", self.path("kubeconfig")).env("HOME", self.folder.path()).env("NO_COLOR", "1");
        command.env("KUBE_EDITOR", self.path("programs/editor"));
        command.current_dir(self.folder.path());
        command
    }

    /// A file in that folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a line of a shell to its end.
    pub async fn shell(&self, line: &str) -> Output {
        let mut command = self.command("sh");
        command.args(["-c", line]);
        tokio::task::spawn_blocking(move || command.output().expect("sh runs")).await.expect("no panic")
    }

    /// What kubectl says in the namespace; it must succeed.
    pub async fn kubectl(&self, args: &str) -> String {
        let ended = self.shell(&format!("kubectl -n {NAMESPACE} {args}")).await;
        assert!(ended.status.success(), "kubectl {args}: {}", said(&ended));
        String::from_utf8(ended.stdout).expect("text")
    }

    /// `kubectl edit` of the rules, whose editor is a `sed` expression.
    pub async fn edit_rules(&self, expression: &str) {
        script(&self.path("programs/editor"), &format!("#!/bin/sh\nexec sed -i '{expression}' \"$1\"\n"));
        let said = self.kubectl("edit configmap edge-sidecar-rules").await;
        assert!(said.contains("edited"), "{said}");
    }

    /// Applies the base, and waits until two Pods of it are ready.
    pub async fn install(&self) {
        self.kubectl("apply -k deploy/kubernetes/base").await;
        self.kubectl("rollout status deployment/functions --timeout=60s").await;
    }

    /// The names of the Pods that are not ending.
    pub async fn pods(&self) -> Vec<String> {
        let list = self.kubectl("get pods -o json").await;
        let list: Value = serde_json::from_str(&list).expect("JSON");
        let items = list["items"].as_array().expect("items").iter();
        let staying = items.filter(|p| p["metadata"].get("deletionTimestamp").is_none());
        staying.map(|p| p["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// What happened of a kind, such as `ended`.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.events.lock().expect("no panic while held").iter().filter(|e| e["event"] == kind).cloned().collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // it ends its Pods, then itself
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// All that a command wrote.
pub fn said(ended: &Output) -> String {
    String::from_utf8_lossy(&[ended.stdout.as_slice(), &ended.stderr].concat()).into_owned()
}

/// An executable file.
pub fn script(file: &Path, text: &str) {
    std::fs::write(file, text).expect("writable");
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o755)).expect("permitted");
}
