//! What the base has from elsewhere has one source: rules and alerts of `deploy/prometheus`, the dashboard of `deploy/grafana`, the rules of
//! `config`. `UPDATE_GOLDEN=1` writes the copies again.

use std::path::Path;

use serde_json::Value;

use super::manifests::{of_kind, render, source, yaml};

fn text(name: &str) -> String {
    std::fs::read_to_string(source(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The groups of the rule files as they stand there, in a `PrometheusRule`.
fn prometheus_rule() -> String {
    let mut made =
        "# Made of deploy/prometheus/recording.yaml and alerts.yaml: edit those, then UPDATE_GOLDEN=1 cargo test --test it deploy\n\
                    apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: { name: edge-sidecar }\nspec:\n  groups:\n"
            .to_owned();
    for file in ["../prometheus/recording.yaml", "../prometheus/alerts.yaml"] {
        let rules = text(file);
        let (_, groups) = rules.split_once("\ngroups:\n").expect("groups");
        for line in groups.lines() {
            made.extend([if line.is_empty() { "" } else { "  " }, line, "\n"]);
        }
    }
    made
}

#[test]
fn the_copies_are_those_of_their_sources() {
    let rules = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rules.yaml")).expect("rules");
    for (name, wanted) in [("base/prometheusrule.yaml", prometheus_rule()), ("base/rules.yaml", rules)] {
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(source(name), &wanted).expect("writable");
        }
        assert_eq!(std::fs::read_to_string(source(name)).unwrap_or_default(), wanted, "{name}: UPDATE_GOLDEN=1 writes it");
    }
}

#[test]
fn the_cluster_gets_all_rules_alerts_and_the_dashboard() {
    let objects = render("base");
    let groups = |file: &str| yaml(text(file).as_bytes())[0]["groups"].as_array().expect("groups").clone();
    let wanted = [groups("../prometheus/recording.yaml"), groups("../prometheus/alerts.yaml")].concat();
    let rule = of_kind(&objects, "PrometheusRule").next().expect("a PrometheusRule");
    assert_eq!(rule["spec"]["groups"], Value::from(wanted));

    let map = of_kind(&objects, "ConfigMap").find(|m| m["metadata"]["labels"]["grafana_dashboard"] == "1").expect("a dashboard");
    assert_eq!(map["data"]["edge-sidecar.json"].as_str(), Some(text("../grafana/edge-sidecar.json").as_str()));

    // the operator names the job NAMESPACE/PODMONITOR; alerts.yaml looks for it by `job=~".*edge-sidecar.*"`
    let monitor = of_kind(&objects, "PodMonitor").next().expect("a PodMonitor");
    assert!(text("../prometheus/alerts.yaml").contains("up{job=~\".*edge-sidecar.*\"}"));
    assert!(monitor["metadata"]["name"].as_str().is_some_and(|name| name.contains("edge-sidecar")));
}

#[test]
fn the_alerts_that_the_page_names_exist() {
    let (page, alerts) = (text("../../docs/kubernetes.md"), text("../prometheus/alerts.yaml"));
    let named: Vec<&str> = page.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.starts_with("EdgeSidecar")).collect();
    assert!(!named.is_empty());
    for name in named {
        assert!(alerts.contains(&format!("- alert: {name}\n")), "{name}");
    }
}
