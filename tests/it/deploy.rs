//! The manifests of `deploy/kubernetes`, as `kubectl kustomize` renders them: judged by `kubernetes-validate --strict` and by what it does
//! not see (`manifests`): what names what, closed words, the kinds of the Prometheus operator. Then every key and every word is misspelt once.
//! A second linter's opinion is in `findings`.

mod findings;
mod manifests;
mod mutants;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use edge_sidecar::config::{Host, Overrides, judge_sidecar};
use serde_json::Value;

use crate::support::command::{Process, output};
use crate::support::origin::{Origin, Reply};
use manifests::{CONTAINERS, containers, faults, of_kind, render, source, strings, tool, validate};

/// Each overlay with the oldest version of Kubernetes that it is for.
const OVERLAYS: [(&str, &str); 4] =
    [("base", "1.30"), ("overlays/plain-container", "1.26"), ("overlays/hosted", "1.26"), ("overlays/job", "1.29")];
const NEWEST: &str = "1.37";

#[test]
fn all_of_it_is_valid_from_the_oldest_version_it_is_for_to_the_newest() {
    for (overlay, oldest) in OVERLAYS {
        let objects = render(overlay);
        for version in [oldest, NEWEST] {
            assert_eq!(validate(&objects, version), BTreeSet::new(), "{overlay} for {version}");
        }
        let found: Vec<_> = objects.iter().flat_map(|o| faults(o, &objects)).collect();
        assert_eq!(found, Vec::<String>::new(), "{overlay}");
    }
}

#[test]
fn a_misspelt_key_or_word_is_seen() {
    for overlay in ["base", "overlays/job"] {
        let objects = render(overlay);
        let mutants = mutants::of(&objects);
        let changed: Vec<Value> = mutants.iter().map(|m| m.object.clone()).collect();
        let seen = validate(&changed, NEWEST);
        let unseen = mutants.iter().enumerate().filter(|(number, m)| {
            let others = objects.iter().enumerate().map(|(at, o)| if at == m.at { &m.object } else { o }.clone());
            let others: Vec<Value> = others.collect();
            !seen.contains(number) && others.iter().all(|o| faults(o, &others).is_empty())
        });
        let unseen: Vec<_> = unseen.map(|(_, m)| m.what.as_str()).collect();
        assert_eq!(unseen, Vec::<&str>::new(), "{overlay}: of {} misspellings", mutants.len());
        assert!(mutants.len() > 100, "{overlay}: only {} misspellings were tried", mutants.len());
    }
}

#[test]
fn a_misspelt_kustomization_is_refused() {
    for (overlay, _) in OVERLAYS {
        let folder = tempfile::tempdir().expect("a folder");
        let copied = Command::new("cp").arg("-R").arg(source("")).arg(folder.path().join("k")).status().expect("cp runs");
        assert!(copied.success());
        let file = folder.path().join("k").join(overlay).join("kustomization.yaml");
        let text = std::fs::read_to_string(&file).expect("a kustomization");
        for word in ["resources:", "configMapGenerator:", "files:", "target:", "patch:", "op:", "path:"] {
            if text.contains(word) {
                std::fs::write(&file, text.replacen(word, &format!("x{word}"), 1)).expect("writable");
                let ended = tool("kubectl").arg("kustomize").arg(file.parent().expect("a folder")).output().expect("kubectl runs");
                assert!(!ended.status.success(), "{overlay}: x{word}");
            }
        }
    }
}

#[test]
fn every_container_is_confined_and_no_file_is_mounted_by_sub_path() {
    for (overlay, _) in OVERLAYS {
        for object in render(overlay) {
            for container in containers(&object) {
                let (name, security) = (&container["name"], &container["securityContext"]);
                assert_eq!(security["readOnlyRootFilesystem"], true, "{overlay} {name}");
                assert_eq!(security["allowPrivilegeEscalation"], false, "{overlay} {name}");
                assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]), "{overlay} {name}");
                let mounts = container["volumeMounts"].as_array().expect("mounts");
                assert!(mounts.iter().all(|m| m.get("subPath").is_none()), "{overlay} {name}");
            }
            if object.pointer(CONTAINERS).is_some() {
                let pod = &object["spec"]["template"]["spec"];
                assert_eq!(pod["automountServiceAccountToken"], false, "{overlay}");
                assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{overlay}");
                assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{overlay}");
            }
        }
    }
}

#[test]
fn the_sidecar_is_where_each_overlay_puts_it() {
    let sidecar = |overlay: &str| {
        let objects = render(overlay);
        containers(&objects[manifests::workload(&objects)]).into_iter().find(|c| c["name"] == "edge-sidecar").expect("a sidecar").clone()
    };
    let shape = |overlay: &str| {
        let objects = render(overlay);
        let pod = objects[manifests::workload(&objects)]["spec"]["template"]["spec"].clone();
        let names = |key: &str| pod[key].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str()).collect::<Vec<_>>().join(" ");
        format!("{} | {}", names("initContainers"), names("containers"))
    };
    assert_eq!(shape("base"), "edge-sidecar | functions");
    assert_eq!(shape("overlays/plain-container"), " | functions edge-sidecar");
    assert_eq!(shape("overlays/hosted"), " | edge-sidecar");
    assert_eq!(shape("overlays/job"), "edge-sidecar | work");
    let base = sidecar("base");
    for (overlay, native) in [("base", true), ("overlays/plain-container", false), ("overlays/hosted", false), ("overlays/job", true)] {
        let other = sidecar(overlay);
        // a Job is done when its containers are: only a native sidecar is none of them
        assert_eq!(other["restartPolicy"] == "Always", native, "{overlay}");
        for key in ["image", "args", "env", "resources", "securityContext", "startupProbe", "livenessProbe"] {
            assert_eq!(other[key], base[key], "{overlay} {key}");
        }
    }
    let probe = |which: &str| base[which]["httpGet"]["path"].clone();
    // the functions start after the startup probe: it must not wait for them
    assert_eq!([probe("startupProbe"), probe("livenessProbe"), probe("readinessProbe")], ["/livez", "/livez", "/readyz"]);
    assert_eq!(base["lifecycle"]["preStop"]["exec"]["command"], serde_json::json!(["edge-sidecar", "drain"]));
    assert_eq!(base["args"], serde_json::json!(["run", "--config", "/etc/edge-sidecar/sidecar.yaml"]));
    let mount = |name: &str| {
        base["volumeMounts"].as_array().into_iter().flatten().find(|m| m["name"] == name).expect("mounted")["mountPath"].clone()
    };
    assert_eq!([mount("settings"), mount("rules"), mount("run")], ["/etc/edge-sidecar", "/etc/edge-sidecar-rules", "/run/edge-sidecar"]);
    assert_eq!(base["env"][0]["value"], "/run/edge-sidecar/admin.sock");
    assert_eq!(base["resources"], serde_json::json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}));
}

#[test]
fn the_admin_door_is_in_no_service() {
    for (overlay, _) in OVERLAYS {
        for service in of_kind(&render(overlay), "Service") {
            let ports: Vec<_> = service["spec"]["ports"].as_array().into_iter().flatten().map(|p| p["targetPort"].clone()).collect();
            assert_eq!(ports, ["http"], "{overlay}");
        }
    }
}

#[test]
fn the_files_in_the_config_maps_are_good_and_the_grace_period_has_room_for_their_drain() {
    let rules = |folder: &Path| std::fs::read_to_string(folder.join("rules.yaml")).expect("rules");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    assert_eq!(rules(&source("base")), rules(&shipped), "deploy/kubernetes/base/rules.yaml is a copy of config/rules.yaml");
    for (overlay, _) in OVERLAYS {
        let (objects, folder) = (render(overlay), tempfile::tempdir().expect("a folder"));
        let pod = &objects[manifests::workload(&objects)]["spec"]["template"]["spec"];
        for map in of_kind(&objects, "ConfigMap") {
            for (name, text) in
                map["data"].as_object().expect("data").iter().filter(|(n, _)| Path::new(n).extension().is_some_and(|e| e == "yaml"))
            {
                let (file, text) = (folder.path().join(name), text.as_str().expect("text"));
                std::fs::write(&file, text).expect("writable");
                let ended = output(&["check", file.to_str().expect("a plain path")]);
                assert!(ended.status.success(), "{overlay} {name}: {}", String::from_utf8_lossy(&ended.stderr));
                if name == "sidecar.yaml" {
                    let host = Host { root: false, runtime_dir: None, temp_dir: std::env::temp_dir(), memory_limit: Some(128 << 20) };
                    let settings = judge_sidecar(text.as_bytes(), &Overrides::default(), &host).value.expect("good settings");
                    assert_eq!(settings.admin.socket, Path::new("/run/edge-sidecar/admin.sock"), "{overlay}");
                    assert!(settings.rules.is_none_or(|r| r == Path::new("/etc/edge-sidecar-rules/rules.yaml")), "{overlay}");
                    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("a number");
                    let hook = manifests::functions_stop(pod);
                    let drain = (settings.drain.announce + settings.drain.timeout).as_secs();
                    assert!(grace >= drain.max(hook) + 5, "{overlay}: {grace} s for a drain of {drain} s and a hook of {hook} s");
                    assert!(hook == 0 || hook > settings.drain.announce.as_secs(), "{overlay}: the functions outlive the announcement");
                }
            }
        }
    }
}

#[tokio::test]
async fn alerts_and_panels_ask_for_metrics_that_there_are() {
    let origin = Origin::start(|_| Reply::ok("")).await;
    let process = Process::start(&origin.url(), &["--preset", "whatsapp"]).await;
    let scrape = crate::support::client::get("/metrics?format=prometheus").header("connection", "close");
    let scrape = crate::support::client::send(process.admin, &scrape).await.text();
    let there: BTreeSet<&str> = scrape.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let objects = render("base");
    let mut asked = Vec::new();
    for rule in of_kind(&objects, "PrometheusRule") {
        strings(rule, "expr", &mut asked);
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), rule["spec"].to_string()).expect("writable");
        let ended =
            Command::new("promtool").args(["check", "rules"]).arg(file.path()).output().expect("promtool runs: scripts/setup.sh test");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let dashboard = std::fs::read(source("base/dashboard.json")).expect("a dashboard");
    strings(&serde_json::from_slice(&dashboard).expect("JSON"), "expr", &mut asked);
    let panels: Vec<_> =
        asked.iter().map(|e| e.replace("$__rate_interval", "5m")).map(|expr| serde_json::json!({"record": "a:b", "expr": expr})).collect();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), serde_json::json!({"groups": [{"name": "panels", "rules": panels}]}).to_string()).expect("writable");
    let ended = Command::new("promtool").args(["check", "rules", "--lint=none"]).arg(file.path()).output().expect("promtool runs");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    for expr in &asked {
        for name in expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| w.starts_with("edge_sidecar_")) {
            assert!(there.contains(name.strip_suffix("_bucket").unwrap_or(name)), "no {name}, asked for by {expr}");
        }
    }
    assert!(asked.len() > 10);
}
