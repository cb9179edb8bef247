//! From kubectl to the rules in force, end to end: the real kubectl, an emulated API server, Pods that run the real sidecar with the arguments,
//! environment, probes and hooks of `deploy/kubernetes`, and volumes that are written as the kubelet does (`cluster`).

mod cluster;
mod commands;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

use crate::support::client::{Connection, get, post, send};
use crate::support::origin::{Origin, Reply, Seen};
use crate::support::until;
use cluster::{Cluster, said};

/// What `X-Cache` says to the second of two requests on one connection, which reach one Pod.
async fn second_of_two(cluster: &Cluster, path: &str) -> String {
    let mut connection = Connection::open(cluster.service).await;
    connection.send(&get(path)).await;
    connection.send(&get(path)).await.header("x-cache").to_owned()
}

/// The command of the sidecar in a Pod, as `kubectl exec` runs it: its exit code and what it wrote.
async fn exec(cluster: &Cluster, pod: &str, command: &str) -> (Option<i32>, String) {
    let ended = cluster.shell(&format!("kubectl -n edge-functions exec {pod} -c edge-sidecar -- edge-sidecar {command}")).await;
    (ended.status.code(), said(&ended))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_are_edited_with_kubectl_are_in_force_and_a_broken_edit_says_why_it_is_not() {
    const CHECK: &str = "check --against live /etc/edge-sidecar-rules/rules.yaml";
    let origin = Origin::start(|_| Reply::ok("hello")).await;
    let cluster = Cluster::start(&origin.url()).await;
    cluster.install().await;
    let pods = cluster.pods().await;
    assert_eq!(pods.len(), 2, "as many as the HorizontalPodAutoscaler wants at least");
    assert_eq!(second_of_two(&cluster, "/functions/v1/any/health").await, "HIT", "the base's own rules");
    assert_eq!(second_of_two(&cluster, "/functions/v1/any/edited").await, "", "no rule names it");

    // kubectl edit
    cluster.edit_rules(r#"s|path: "\*\*/health"|path: "**/edited"|"#).await;
    for pod in &pods {
        until("the edit is in force", async || exec(&cluster, pod, CHECK).await.1.contains("no difference").then_some(())).await;
    }
    until("in every Pod", async || (second_of_two(&cluster, "/functions/v1/any/edited").await == "HIT").then_some(())).await;
    assert_eq!(second_of_two(&cluster, "/functions/v1/any/health").await, "");

    // kubectl edit, with a mistake
    cluster.edit_rules("s|ttl: 10s|ttl: 10 seconds|").await;
    for pod in &pods {
        let refused = async || Some(exec(&cluster, pod, CHECK).await).filter(|(code, _)| *code == Some(1)).map(|(_, said)| said);
        let said = until("the mistake has reached the Pod", refused).await;
        assert!(said.contains("`10 seconds` is not a duration") && said.contains("rules.yaml:"), "{said}");
        let (code, status) = exec(&cluster, pod, "status").await;
        assert!(code == Some(0) && status.contains("the file differs; last reload refused") && status.contains("`10 seconds`"), "{status}");
        let log = async || cluster.kubectl(&format!("logs {pod} -c edge-sidecar")).await.contains("the last good rules stay").then_some(());
        until("the log says so", log).await;
    }
    assert_eq!(second_of_two(&cluster, "/functions/v1/any/edited").await, "HIT", "the old rules stay");

    // kubectl patch, to a rules file of one line; then the whole file again by kubectl replace
    cluster.kubectl(r#"patch configmap edge-sidecar-rules --type merge -p '{"data":{"rules.yaml":"version: 1\n"}}'"#).await;
    until("no rule is left", async || second_of_two(&cluster, "/functions/v1/any/edited").await.is_empty().then_some(())).await;
    let map = "create configmap edge-sidecar-rules --from-file deploy/kubernetes/base/rules.yaml --dry-run=client -o yaml";
    cluster.kubectl(&format!("{map} | kubectl -n edge-functions replace -f -")).await;
    until("back", async || (second_of_two(&cluster, "/functions/v1/any/health").await == "HIT").then_some(())).await;

    assert_eq!(cluster.pods().await, pods, "no Pod was replaced");
    assert!(cluster.events("restarted").is_empty());
}

/// The id of a webhook of ours.
fn id(seen: &Seen) -> String {
    seen.message.text().split_once("wamid.").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect()).unwrap_or_default()
}

/// Sends messages until told to stop, each until it is told 200; gives what each attempt was told.
async fn sender(cluster: Arc<Cluster>, next: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> Vec<(u64, u16)> {
    let (mut attempts, mut kept) = (Vec::new(), None);
    while !stop.load(SeqCst) {
        let number = next.fetch_add(1, SeqCst);
        let message = format!(r#"{{"from":"2","id":"wamid.{number}","timestamp":"1","text":{{"body":"hi"}},"type":"text"}}"#);
        let value = format!(r#"{{"metadata":{{"phone_number_id":"7"}},"messages":[{message}]}}"#);
        let entry = format!(r#"{{"id":"1","changes":[{{"value":{value},"field":"messages"}}]}}"#);
        let body = format!(r#"{{"object":"whatsapp_business_account","entry":[{entry}]}}"#);
        let request = post("/functions/v1/wa-webhook-core", body).header("content-type", "application/json");
        loop {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Connection::open(cluster.service).await,
            };
            let answer = connection.try_send(&request).await;
            attempts.push((number, answer.status));
            if answer.status == 200 {
                kept = (answer.header("connection") != "close").then_some(connection);
                break;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    attempts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_its_undo_and_a_drained_node_lose_nothing_and_refuse_nobody() {
    let runs = Arc::<Mutex<HashMap<String, usize>>>::default();
    let counted = Arc::clone(&runs);
    let origin = Origin::start(move |seen| {
        *counted.lock().expect("no panic while held").entry(id(seen)).or_default() += 1;
        Reply::ok("{}")
    })
    .await;
    let cluster = Arc::new(Cluster::start(&origin.url()).await);
    cluster.install().await;
    let first = cluster.pods().await;
    let (next, stop, mut senders) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicBool::new(false)), JoinSet::new());
    for _ in 0..8 {
        senders.spawn(sender(Arc::clone(&cluster), Arc::clone(&next), Arc::clone(&stop)));
    }
    for (number, command) in ["rollout restart", "rollout undo"].iter().enumerate() {
        cluster.kubectl(&format!("{command} deployment/functions")).await;
        cluster.kubectl("rollout status deployment/functions --timeout=60s").await;
        until("the old Pods are gone", async || (cluster.events("ended").len() == 2 * (number + 1)).then_some(())).await;
    }
    cluster.kubectl("drain node --delete-emptydir-data --ignore-daemonsets --timeout=60s").await;
    let newest = cluster.pods().await;
    assert!(newest.len() == 2 && newest.iter().all(|pod| !first.contains(pod)), "{first:?} {newest:?}");
    stop.store(true, SeqCst);

    let attempts: Vec<(u64, u16)> = senders.join_all().await.into_iter().flatten().collect();
    let refused: Vec<_> = attempts.iter().filter(|(_, status)| *status != 200).collect();
    let runs = runs.lock().expect("no panic while held");
    let lost = attempts.iter().filter(|(number, _)| !runs.contains_key(&number.to_string())).count();
    let ended = cluster.events("ended");
    eprintln!("{} messages over {} Pods that ended: lost {lost}, refused {}", attempts.len(), ended.len(), refused.len());
    assert_eq!((lost, refused.len()), (0, 0), "{refused:?}");
    assert!(ended.len() >= 6 && attempts.len() > 300);
    // each by itself, within its grace period, after its hook
    assert!(ended.iter().all(|e| e["codes"]["edge-sidecar"] == 0), "{ended:?}");
    assert_eq!((cluster.events("killed"), cluster.events("hook failed")), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_ends_although_it_has_a_sidecar() {
    let origin = Origin::start(|_| Reply::ok("done")).await;
    let cluster = Cluster::start(&origin.url()).await;
    cluster.kubectl("apply -k deploy/kubernetes/overlays/job").await;
    cluster.kubectl("wait --for=condition=complete job/edge-job --timeout=60s").await;
    let ended = cluster.events("ended");
    assert_eq!(ended.len(), 1);
    assert_eq!((&ended[0]["codes"]["work"], &ended[0]["codes"]["edge-sidecar"]), (&0.into(), &0.into()), "{ended:?}");
    assert_eq!(origin.seen().iter().filter(|s| s.target() == "/work").count(), 1, "through its sidecar");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_in_a_plain_container_drains_in_time() {
    let origin = Origin::start(|_| Reply::ok("hello")).await;
    let cluster = Cluster::start(&origin.url()).await;
    cluster.kubectl("apply -k deploy/kubernetes/overlays/plain-container").await;
    cluster.kubectl("rollout status deployment/functions --timeout=60s").await;
    assert_eq!(send(cluster.service, &get("/functions/v1/any").header("connection", "close")).await.text(), "hello");
    let pods = cluster.pods().await;
    cluster.kubectl(&format!("delete pod {}", pods[0])).await;
    let ended = cluster.events("ended");
    assert_eq!((ended.len(), &ended[0]["codes"]["edge-sidecar"]), (1, &0.into()), "{ended:?}");
    assert_eq!((cluster.events("killed"), cluster.events("hook failed")), (vec![], vec![]));
}
