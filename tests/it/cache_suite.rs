//! The public suite for HTTP caches (npm `http-cache-tests`, put into `.tools` by `scripts/setup.sh test`) with its own server as origin.
//! What may fail is listed in `tests/cache_suite/allowed_failures.txt`: a new failure fails, and so does a line that is not needed any more.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::sidecar::in_front_of;

const RULES: &str = r"
cache:
  include:
    - { name: suite, match: { path: '/test/**' }, ttl: 0s, scope: standard, statuses: any, stale_if_error: 1h, client_control: honour }
";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn node(mode: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(file("tests/cache_suite/run.mjs")).arg(mode).env("CACHE_SUITE", file(".tools/npm"));
    command
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The suite's server and its port.
fn serve() -> (Running, u16) {
    let mut child = node("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node: run scripts/setup.sh test");
    let (mut line, out) = (String::new(), child.stdout.take().expect("piped"));
    let child = Running(child);
    BufReader::new(out).read_line(&mut line).expect("a line from the suite's server");
    (child, line.trim().parse().expect("a port: run scripts/setup.sh test"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_suite_fails_exactly_what_is_listed() {
    let (_server, port) = serve();
    let sidecar = in_front_of(&format!("http://127.0.0.1:{port}")).rules(RULES).with(|s| s.upstreams[0].function_prefix = "/".into());
    let sidecar = sidecar.start().await;
    let base = format!("http://{}", sidecar.address);
    let output = tokio::task::spawn_blocking(move || node("run").arg(base).output().expect("node runs")).await.expect("no panic");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = String::from_utf8(output.stdout).expect("text");
    let failed = |line: &&str| line.split(' ').nth(1) == Some("fail");
    let name = |line: &str| line.split(' ').nth(2).unwrap_or_default().to_owned();
    let failures: BTreeSet<String> = results.lines().filter(failed).map(name).collect();
    let list = std::fs::read_to_string(file("tests/cache_suite/allowed_failures.txt")).expect("a list");
    let allowed: BTreeSet<String> = list.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).map(str::to_owned).collect();
    for kind in ["required", "optimal"] {
        let of_kind = || results.lines().filter(|line| line.starts_with(kind));
        eprintln!("{kind}: {} of {}", of_kind().count() - of_kind().filter(failed).count(), of_kind().count());
    }
    let new: Vec<_> = results.lines().filter(failed).filter(|line| !allowed.contains(&name(line))).collect();
    assert!(new.is_empty(), "new failures:\n{}", new.join("\n"));
    let passing: Vec<_> = allowed.difference(&failures).collect();
    assert!(passing.is_empty(), "these pass now: take them off tests/cache_suite/allowed_failures.txt: {passing:?}");
}
