//! Manifests as JSON, and what `kubernetes-validate` does not see in them.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Where a workload has its containers.
pub const CONTAINERS: &str = "/spec/template/spec/containers";

/// Keys with closed words. The API server refuses others; the schemas of `kubernetes-validate` do not know them.
const WORDS: [(&str, &[&str]); 10] = [
    ("imagePullPolicy", &["Always", "IfNotPresent", "Never"]),
    ("restartPolicy", &["Always", "OnFailure", "Never"]),
    ("type", &["RollingUpdate", "RuntimeDefault", "ContainerResource", "Utilization"]),
    ("whenUnsatisfiable", &["ScheduleAnyway", "DoNotSchedule"]),
    ("medium", &["Memory"]),
    ("drop", &["ALL"]),
    ("protocol", &["TCP"]),
    ("policyTypes", &["Ingress", "Egress"]),
    ("topologyKey", &["kubernetes.io/hostname"]),
    ("pod-security.kubernetes.io/enforce", &["restricted"]),
];

/// A file or folder of `deploy/kubernetes`.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes").join(path)
}

/// A tool that `scripts/setup.sh test` has put into `.tools`.
pub fn tool(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools").join(name))
}

/// Python with the packages of a folder of `.tools`.
pub fn python(packages: &str, args: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools").join(packages)).arg("-B").args(args);
    command
}

/// The documents of a YAML text.
pub fn yaml(text: &[u8]) -> Vec<Value> {
    let mut command = python("kubernetes", &["-c", "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 runs");
    child.stdin.take().expect("piped").write_all(text).expect("taken");
    serde_json::from_slice(&child.wait_with_output().expect("a child of ours").stdout).expect("JSON")
}

/// What `kubectl kustomize` makes of a folder of `deploy/kubernetes`, as text.
pub fn rendered(folder: &str) -> Vec<u8> {
    let ended = tool("kubectl").arg("kustomize").arg(source(folder)).output().expect("kubectl: scripts/setup.sh test");
    assert!(ended.status.success(), "kubectl kustomize {folder}: {}", String::from_utf8_lossy(&ended.stderr));
    ended.stdout
}

/// The objects of that text.
pub fn render(folder: &str) -> Vec<Value> {
    yaml(&rendered(folder))
}

/// The numbers of those that `kubernetes-validate --strict` finds wrong, each in a file of its own.
pub fn validate(objects: &[Value], version: &str) -> BTreeSet<usize> {
    let folder = tempfile::tempdir().expect("a folder");
    let name = |number: usize| format!("{number}.yaml");
    for (number, object) in objects.iter().enumerate() {
        std::fs::write(folder.path().join(name(number)), object.to_string()).expect("writable");
    }
    let mut command = python("kubernetes", &["-m", "kubernetes_validate", "--strict", "-k", version]);
    let ended = command.args((0..objects.len()).map(name)).current_dir(folder.path()).output().expect("python3 runs");
    let said = String::from_utf8([ended.stdout, ended.stderr].concat()).expect("text");
    // "INFO FILE passed for …", and a warning for kinds without a schema: `faults` judges those
    let fine = |number: &usize| {
        let own = format!(" {} ", name(*number));
        let mut lines = said.lines().filter(|l| l.contains(&own)).peekable();
        lines.peek().is_some()
            && lines.all(|l| l.contains(" passed for ") || l.starts_with("WARN") && OPERATOR.iter().any(|k| l.contains(k)))
    };
    (0..objects.len()).filter(|number| !fine(number)).collect()
}

const OPERATOR: [&str; 2] =
    ["kind PodMonitor with api version monitoring.coreos.com/v1 ", "kind PrometheusRule with api version monitoring.coreos.com/v1 "];

/// The object with the Pod's template.
pub fn workload(objects: &[Value]) -> usize {
    objects.iter().position(|o| o.pointer(CONTAINERS).is_some()).expect("a workload")
}

/// The objects of a kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |o| o["kind"] == kind)
}

/// The containers of a workload, native sidecars too.
pub fn containers(object: &Value) -> Vec<&Value> {
    let pod = &object["spec"]["template"]["spec"];
    ["initContainers", "containers"].iter().filter_map(|key| pod[key].as_array()).flatten().collect()
}

/// Seconds from the Pod's end to that of the functions at the latest: their sleep and what they finish; 0 where there are none.
pub fn functions_stop(pod: &Value) -> u64 {
    let Some(functions) = pod["containers"].as_array().into_iter().flatten().find(|c| c["name"] == "functions") else { return 0 };
    let hook = &functions["lifecycle"]["preStop"];
    let sleep = hook["sleep"]["seconds"].as_u64().or_else(|| hook["exec"]["command"][1].as_str()?.parse().ok());
    let mut args = functions["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let finish = args.find_map(|a| a.strip_prefix("--graceful-exit-timeout=")?.parse::<u64>().ok());
    sleep.expect("a preStop that sleeps") + finish.expect("--graceful-exit-timeout")
}

/// All strings under a key, anywhere.
pub fn strings(value: &Value, key: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| match v {
            Value::String(text) if k == key => into.push(text.clone()),
            // a list of words counts as words of its key
            Value::Array(list) if k == key => into.extend(list.iter().filter_map(Value::as_str).map(str::to_owned)),
            _ => strings(v, key, into),
        }),
        Value::Array(list) => list.iter().for_each(|v| strings(v, key, into)),
        _ => {}
    }
}

/// What is wrong with an object among the others.
pub fn faults(object: &Value, all: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for (key, known) in WORDS {
        let mut words = Vec::new();
        strings(object, key, &mut words);
        found.extend(words.into_iter().filter(|w| !known.contains(&w.as_str())).map(|w| format!("{key}: {w}")));
    }
    let said = |key: &str, value: &Value| format!("{} {key}: no {value}", object["kind"]);
    let pod = workload(all);
    let (labels, ports) = (&all[pod]["spec"]["template"]["metadata"]["labels"], port_names(&all[pod]));
    for key in ["targetPort", "port"] {
        let mut names = Vec::new();
        strings(object, key, &mut names);
        found.extend(names.into_iter().filter(|n| !ports.contains(n)).map(|n| said(key, &n.into())));
    }
    if object["kind"] != "Job" {
        for path in ["/spec/selector/matchLabels", "/spec/podSelector/matchLabels", "/spec/selector"] {
            let Some(wanted) = object.pointer(path).and_then(Value::as_object) else { continue };
            found.extend(wanted.iter().filter(|(k, v)| *k != "matchLabels" && labels[k] != **v).map(|(_, v)| said(path, v)));
        }
    }
    if object["kind"] != "Namespace" && object["metadata"]["namespace"] != "edge-functions" {
        found.push(said("namespace", &object["metadata"]["namespace"]));
    }
    match object["kind"].as_str() {
        Some("PodMonitor") => found.extend(serde_json::from_value::<PodMonitor>(object.clone()).err().map(|e| e.to_string())),
        Some("PrometheusRule") => found.extend(serde_json::from_value::<PrometheusRule>(object.clone()).err().map(|e| e.to_string())),
        Some("HorizontalPodAutoscaler") => {
            let (target, metric) = (&object["spec"]["scaleTargetRef"], &object["spec"]["metrics"][0]["containerResource"]);
            let same = target["kind"] == all[pod]["kind"]
                && target["name"] == all[pod]["metadata"]["name"]
                && target["apiVersion"] == all[pod]["apiVersion"];
            found.extend((!same).then(|| said("scaleTargetRef", target)));
            let known = metric["name"] == "cpu" && containers(&all[pod]).iter().any(|c| c["name"] == metric["container"]);
            found.extend((!known).then(|| said("containerResource", metric)));
        }
        _ => found.extend(dangling(object, all).into_iter().map(|name| said("reference", &name))),
    }
    found
}

fn port_names(workload: &Value) -> Vec<String> {
    let ports = containers(workload).into_iter().filter_map(|c| c["ports"].as_array()).flatten();
    ports.filter_map(|p| p["name"].as_str()).map(str::to_owned).collect()
}

/// Names in a workload that name nothing: volumes, `ConfigMap`s, labels of its own Pods.
fn dangling(object: &Value, all: &[Value]) -> Vec<Value> {
    let pod = &object["spec"]["template"]["spec"];
    let volumes: Vec<&Value> = pod["volumes"].as_array().into_iter().flatten().collect();
    let mounts: Vec<&Value> = containers(object).iter().filter_map(|c| c["volumeMounts"].as_array()).flatten().collect();
    let maps: Vec<&Value> = of_kind(all, "ConfigMap").map(|m| &m["metadata"]["name"]).collect();
    let unmounted = volumes.iter().map(|v| &v["name"]).filter(|n| mounts.iter().all(|m| m["name"] != **n));
    let unknown = mounts.iter().map(|m| &m["name"]).filter(|n| volumes.iter().all(|v| v["name"] != **n));
    let no_map = volumes.iter().filter_map(|v| v.pointer("/configMap/name")).filter(|n| !maps.contains(n));
    let spread = pod["topologySpreadConstraints"].as_array().into_iter().flatten().map(|t| &t["labelSelector"]["matchLabels"]);
    let elsewhere = spread.filter(|labels| **labels != object["spec"]["selector"]["matchLabels"]);
    unmounted.chain(unknown).chain(no_map).chain(elsewhere).cloned().collect()
}

/// What we use of <https://prometheus-operator.dev/docs/api-reference/api/>.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "read to be judged")]
struct PodMonitor {
    api_version: IgnoredAny,
    kind: IgnoredAny,
    metadata: IgnoredAny,
    spec: MonitorSpec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "read to be judged")]
struct MonitorSpec {
    selector: Selector,
    pod_metrics_endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "read to be judged")]
struct Selector {
    match_labels: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read to be judged")]
struct Endpoint {
    port: IgnoredAny,
    path: MetricsPath,
    interval: IgnoredAny,
    params: Params,
}

#[derive(Deserialize)]
enum MetricsPath {
    #[serde(rename = "/metrics")]
    Metrics,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read to be judged")]
struct Params {
    format: Vec<ScrapeFormat>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ScrapeFormat {
    Prometheus,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "read to be judged")]
struct PrometheusRule {
    api_version: IgnoredAny,
    kind: IgnoredAny,
    metadata: IgnoredAny,
    spec: Groups,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read to be judged")]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read to be judged")]
struct Group {
    name: IgnoredAny,
    rules: Vec<Alerting>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read to be judged")]
struct Alerting {
    alert: IgnoredAny,
    expr: IgnoredAny,
    r#for: Option<IgnoredAny>,
    labels: IgnoredAny,
    annotations: IgnoredAny,
}
