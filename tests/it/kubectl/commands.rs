//! Each command of `docs/kubernetes.md`, run as it stands there, from top to bottom. Only the words in capitals are replaced, and the port of
//! this machine, which may be taken.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use crate::support::client::{post, send};
use crate::support::origin::{Origin, Reply};
use crate::support::{free_port, until};

use super::cluster::{Cluster, said, script};

/// How a command of the page begins or what is in it, and words of what it then says. One line of the page, one line here, in the same order.
const COMMANDS: [(&str, &str); 20] = [
    ("kubectl kustomize ", "kind: Deployment"),
    ("kubectl apply -k ", "deployment.apps/functions created"),
    (" rollout status ", "successfully rolled out"),
    ("edge-sidecar check ", "rules.yaml: ok"),
    ("kubectl diff ", "ttl: 20s"),
    ("kubectl apply -k ", "configmap/edge-sidecar-rules configured"),
    (" logs -f ", "rules reloaded"),
    (" edit configmap ", "edited"),
    (" edge-sidecar status", "generation "),
    (" --against live ", "no difference"),
    (" rollback", "generation "),
    (" rollout undo ", "rolled back"),
    (" delete pod ", "deleted"),
    ("kubectl drain ", "drained"),
    (" edge-sidecar drain", "draining"),
    (" port-forward ", "Forwarding from"),
    ("/metrics | jq .totals", "\"duplicateRate\""),
    ("/health | jq", "\"healthy\""),
    (" trace MESSAGE-ID", "accepted"),
    ("edge-sidecar check ", "MiB"),
];

/// The commands of a page: the lines of its blocks of shell.
fn commands(page: &str) -> Vec<&str> {
    let blocks = page.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.flat_map(str::lines).filter(|line| !line.trim().is_empty()).collect()
}

/// A command that does not end by itself, in a process group of its own; it ends when dropped.
struct Running(Child);

impl Running {
    /// Starts it, and waits until it has said something.
    async fn until_it_says(cluster: &Cluster, line: &str, word: &str) -> Self {
        let out = cluster.path("said");
        let file = std::fs::File::create(&out).expect("writable");
        let mut shell = cluster.command("sh");
        shell.args(["-c", line]).stdout(file.try_clone().expect("a file")).stderr(file).process_group(0);
        let running = Self(shell.spawn().expect("sh runs"));
        until(line, async || std::fs::read_to_string(&out).is_ok_and(|said| said.contains(word)).then_some(())).await;
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-s", "KILL", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

/// What a reader would have done before a command.
async fn before(line: &str, cluster: &Cluster) {
    if line.starts_with("kubectl diff") {
        let file = cluster.path("deploy/kubernetes/base/rules.yaml");
        let text = std::fs::read_to_string(&file).expect("rules");
        std::fs::write(&file, text.replacen("ttl: 10s", "ttl: 20s", 1)).expect("writable");
    }
    if line.contains(" edit ") {
        script(&cluster.path("programs/editor"), "#!/bin/sh\nexec sed -i 's/ttl: 20s/ttl: 30s/' \"$1\"\n");
    }
    if line.contains("rollout undo") {
        cluster.kubectl("rollout restart deployment/functions").await;
    }
    if line.contains(" trace ") {
        // to either Pod
        for _ in 0..2 {
            let body = r#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"value":{"metadata":{"phone_number_id":"7"},
                "messages":[{"from":"2","id":"wamid.7","timestamp":"1","text":{"body":"hi"},"type":"text"}]},"field":"messages"}]}]}"#;
            let request = post("/functions/v1/wa-webhook-core", body).header("connection", "close");
            assert_eq!(send(cluster.service, &request).await.status, 200);
        }
    }
    if [" undo", " delete ", " drain", " port-forward ", " trace "].iter().any(|word| line.contains(word)) {
        cluster.kubectl("rollout status deployment/functions --timeout=60s").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_page_does_what_it_says() {
    let page = include_str!("../../../docs/kubernetes.md");
    let commands = commands(page);
    assert_eq!(commands.len(), COMMANDS.len(), "each command of the page has a line in this test: {commands:#?}");
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let cluster = Cluster::start(&origin.url()).await;
    let (port, mut forwarded) = (free_port().to_string(), None);
    for (command, (begin, word)) in commands.into_iter().zip(COMMANDS) {
        assert!(command.contains(begin), "{command}: where {begin} is expected");
        before(command, &cluster).await;
        let pod = if command.contains("POD") { cluster.pods().await.remove(0) } else { String::new() };
        let line = command.replace("POD", &pod).replace("NODE", "node").replace("MESSAGE-ID", "wamid.7");
        // grep tells a file late what it tells a terminal at once
        let line = line.replace("localhost:9901", &format!("localhost:{port}")).replace("grep ", "grep --line-buffered ");
        if command.contains(" port-forward ") {
            forwarded = Some(Running::until_it_says(&cluster, &line.replace(" 9901", &format!(" {port}:9901")), word).await);
        } else if command.contains(" -f ") {
            drop(Running::until_it_says(&cluster, &line, word).await);
        } else {
            let done = async || {
                let ended = cluster.shell(&line).await;
                // 1 is diff's word for a difference
                let fine = ended.status.success() || command.starts_with("kubectl diff") && ended.status.code() == Some(1);
                (fine && said(&ended).contains(word)).then_some(()).ok_or_else(|| said(&ended))
            };
            // what asks may be too early; what does something has one try, and takes as long as Pods do
            if command.contains("check") || command.contains("curl") {
                until(&line, async || done().await.ok()).await;
            } else {
                done().await.unwrap_or_else(|said| panic!("{line}: {said}"));
            }
        }
        if command.ends_with("edge-sidecar drain") {
            until("the kubelet has started it anew", async || cluster.events("restarted").pop()).await;
        }
    }
    drop(forwarded);
    assert_eq!((cluster.events("killed"), cluster.events("hook failed")), (vec![], vec![]));
}
