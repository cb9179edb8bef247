//! `deploy/prometheus` and `deploy/grafana`: the unit tests of the rules, whether these tests can fail, and every expression of rules and
//! dashboard answered by the real Prometheus from a real sidecar.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::signals_traffic::{RULES, functions, message};
use crate::support::client::{get, post};
use crate::support::command::rename_over;
use crate::support::origin::Gate;
use crate::support::prometheus::{Prometheus, shipped};
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::until;

fn text(name: &str) -> String {
    fs::read_to_string(shipped(name)).expect("a file")
}

/// Whether promtool finds nothing, and what it says.
fn promtool(args: &[&str], files: &[PathBuf]) -> (bool, String) {
    let output = Command::new("promtool").args(args).args(files).output().expect("promtool: run scripts/setup.sh test");
    (output.status.success(), [output.stdout, output.stderr].map(|o| String::from_utf8_lossy(&o).into_owned()).concat())
}

fn unit_tests(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder.join("tests")).expect("a folder").map(|file| file.expect("an entry").path()).collect()
}

#[test]
fn promtool_agrees_with_configuration_rules_and_their_unit_tests() {
    let (good, said) = promtool(&["check", "config", "--lint-fatal"], &[shipped("prometheus/prometheus.yaml")]);
    assert!(good, "{said}");
    let (good, said) = promtool(&["test", "rules"], &unit_tests(&shipped("prometheus")));
    assert!(good, "{said}");
}

#[test]
fn each_alert_fires_in_a_unit_test_and_each_recording_is_looked_at() {
    let tests: String = unit_tests(&shipped("prometheus")).iter().map(|file| fs::read_to_string(file).expect("a file")).collect();
    let names = |file: &str, key: &str| -> Vec<String> {
        text(file).lines().filter_map(|line| Some(line.trim().strip_prefix(key)?.trim().to_owned())).collect()
    };
    let (alerts, records) = (names("prometheus/alerts.yaml", "- alert:"), names("prometheus/recording.yaml", "- record:"));
    assert!(alerts.len() >= 12 && records.len() >= 12, "{alerts:?} {records:?}");
    for alert in alerts {
        assert!(tests.contains(&format!("alertname=\"{alert}\",alertstate=\"firing\",severity=")), "{alert} fires in no test");
    }
    for record in records {
        assert!(tests.contains(&record), "{record} is in no test");
    }
}

/// Faults in the alerts: each is a limit, a time or a condition that is a little off.
const FAULTS: [(&str, &str); 12] = [
    ("ratio_rate5m > 0.05", "ratio_rate5m > 0.07"),
    ("ratio_rate5m > 0.05", "ratio_rate5m > 0.04"),
    ("p99_5m > 1 ", "p99_5m > 3 "),
    ("p99_5m > 1 ", "p99_5m > 0.9 "),
    (" * 300 >= 20", " * 300 >= 2"),
    (" unless on (job, instance) edge_sidecar_config_last_reload_successful == 0", ""),
    (
        "edge_sidecar_config_last_reload_successful == 0\n        for: 1m",
        "edge_sidecar_config_last_reload_successful == 1\n        for: 1m",
    ),
    (" unless on () (up{job=~\".*edge-sidecar.*\"} == 0)", ""),
    ("up{job=~\".*edge-sidecar.*\"} == 0\n", "up == 0\n"),
    ("edge_sidecar_dedup_capacity > 0.8", "edge_sidecar_dedup_capacity >= 0.8"),
    ("status=\"unhealthy\"", "status=\"degraded\""),
    ("increase(edge_sidecar_requests_shed_total[5m])", "(edge_sidecar_requests_shed_total)"),
];

#[test]
fn a_fault_in_an_alert_fails_its_unit_test() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("tests")).expect("a folder");
    for file in ["recording.yaml", "tests/alerts.yaml"] {
        fs::copy(shipped("prometheus").join(file), folder.path().join(file)).expect("copied");
    }
    let alerts = text("prometheus/alerts.yaml");
    for (right, wrong) in FAULTS {
        assert!(alerts.contains(right), "not in the alerts any more: {right}");
        fs::write(folder.path().join("alerts.yaml"), alerts.replace(right, wrong)).expect("writable");
        let (good, said) = promtool(&["test", "rules"], &unit_tests(folder.path()));
        assert!(!good && said.contains("FAILED"), "nobody notices: {right} -> {wrong}\n{said}");
    }
}

/// Every expression of the dashboard, with its panel's title.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let of_panels = panels.flat_map(|panel| {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().expect("an expression").to_owned()))
    });
    let annotations = dashboard["annotations"]["list"].as_array().expect("a list").iter();
    of_panels.chain(annotations.map(|one| ("annotation".to_owned(), one["expr"].as_str().expect("an expression").to_owned()))).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("grafana/edge-sidecar.json")).expect("JSON")
}

/// The names of our metrics in a text; recorded ones have a level before the prefix and are not meant.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let ours = words.filter(|word| (word.starts_with("edge_sidecar_") || word.starts_with("process_")) && !word.contains(':'));
    ours.map(|word| word.trim_end_matches("_bucket")).collect()
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_are_exported() {
    let golden = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/metrics.txt")).expect("a file");
    let exported: BTreeSet<&str> = golden.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let (recording, alerts) = (text("prometheus/recording.yaml"), text("prometheus/alerts.yaml"));
    let board = expressions(&dashboard()).into_iter().map(|(_, expression)| expression + "\n").collect::<String>();
    // in texts for people a metric may stand without its prefix; what has one must exist
    for (place, text) in [("recording", &recording), ("alerts", &alerts), ("dashboard", &board)] {
        let unknown: Vec<_> = metrics(text).difference(&exported).copied().collect();
        assert!(unknown.is_empty(), "{place}: {unknown:?}");
    }
    let records: BTreeSet<&str> = recording.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    for word in
        alerts.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).filter(|w| w.starts_with("job") && w.contains(':'))
    {
        assert!(records.contains(word), "an alert reads {word}, which nobody records");
    }
}

#[test]
fn the_dashboard_is_laid_out_and_explained() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64()), "{title}: its id is another's");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap_or_else(|| panic!("{title}: no {key}"));
        assert!(at("x") + at("w") <= 24, "{title} does not fit");
        for cell in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{title} lies on another");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 10), "{title}: says nothing about itself");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: no unit");
        for target in panel["targets"].as_array().expect("targets") {
            assert!(target["legendFormat"].as_str().is_some_and(|text| !text.is_empty()), "{title}: no legend");
            let scope = target["expr"].as_str().expect("an expression");
            assert!(scope.contains("job=\"$job\",instance=~\"$instance\""), "{title}: not of the chosen sidecars: {scope}");
        }
    }
}

/// Traffic of every kind; answers how many requests that were.
async fn traffic(sidecar: &Sidecar, gate: &Gate) -> f64 {
    for n in 0..150 {
        assert_eq!(sidecar.send(get("/profile").header("authorization", "Bearer a")).await.status, 200);
        let body = message(&[&(n / 2).to_string()]);
        assert_eq!(sidecar.send(post("/wa-webhook-core", body)).await.status, 200);
    }
    for target in ["/missing", "/broken", "/app-config", "/x/../profile"] {
        sidecar.get(target).await;
    }
    let held = (0..16).map(|_| crate::signals_traffic::spawn(sidecar.address, get("/held"))).collect::<Vec<_>>();
    sidecar.until_series("edge_sidecar_requests_in_flight", 16.0).await;
    gate.open();
    for answer in held {
        assert_eq!(answer.await.expect("no panic").status, 200);
    }
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    320.0
}

/// Which bucket of the latency a time in seconds falls into.
fn bucket(seconds: f64) -> usize {
    edge_sidecar::telemetry::families::LATENCY.iter().take_while(|bound| **bound < seconds).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_prometheus_answers_rules_alerts_and_dashboard() {
    let (gate, folder) = (Gate::new(), tempfile::tempdir().expect("a folder"));
    let (origin, file) = (functions(&gate).await, folder.path().join("rules.yaml"));
    fs::write(&file, format!("version: 1{RULES}slow: [{{ match: '**', after: 1s }}]\n")).expect("writable");
    let sidecar = in_front_of(&origin.url()).watching(file.clone()).start().await;
    let prometheus = Prometheus::as_shipped(sidecar.admin);
    prometheus.until("up{job=\"edge-sidecar\"}", 1.0).await;
    // a series that is born with a request, as those of function and source, has no increase for that one: so one of each first
    gate.open();
    for _ in 0..2 {
        sidecar.send(get("/profile").header("authorization", "Bearer a")).await;
        sidecar.send(post("/wa-webhook-core", message(&["first"]))).await;
        sidecar.get("/held").await;
    }
    gate.shut();
    prometheus.until("sum(edge_sidecar_requests_total)", 6.0).await;
    let sent = traffic(&sidecar, &gate).await;
    prometheus.until("sum(edge_sidecar_requests_total)", 6.0 + sent).await;

    same_as_json(&prometheus, &sidecar.metrics().await).await;
    whole_dashboard(&prometheus).await;

    let refused = "ALERTS{alertname=\"EdgeSidecarReloadRefused\"} or vector(0)";
    prometheus.until(refused, 0.0).await;
    let good = fs::read_to_string(&file).expect("readable");
    rename_over(&file, "version: 1\ncach: []\n");
    prometheus.until(refused, 1.0).await;
    rename_over(&file, &good);
    prometheus.until(refused, 0.0).await;
    let rules = prometheus.get("/api/v1/rules").await.expect("it is up");
    let groups = rules.pointer("/data/groups").and_then(Value::as_array).expect("groups");
    for rule in groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")) {
        assert_eq!(rule["health"], "ok", "{} {}", rule["name"], rule["lastError"]);
    }
    assert!(groups.len() > 4, "{groups:?}");
}

/// What was recorded is what the JSON says: the hit rate exactly, the quantiles within a bucket.
async fn same_as_json(prometheus: &Prometheus, json: &Value) {
    let number = |at: &str| json.pointer(at).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {at}"));
    let rate = format!("round({}, 1e-6)", "job_rule:edge_sidecar_cache_hits:ratio_rate1h{rule=\"profile\"}");
    prometheus.until(&rate, (number("/cache/profile/hitRate") * 1e6).round() / 1e6).await;
    for (name, at) in [("p50", "p50Ms"), ("p90", "p90Ms"), ("p99", "p99Ms")] {
        let exact = bucket(number(&format!("/metrics/latency/{at}")) / 1e3);
        let query = format!("job:edge_sidecar_request_duration_seconds:{name}_5m");
        let near = async || prometheus.ask(&query).await.filter(|seconds| bucket(*seconds).abs_diff(exact) <= 1);
        until(&format!("{query} within a bucket of {at}"), near).await;
    }
    let repeats = json.pointer("/deduplication/whatsapp/duplicates").and_then(Value::as_f64).expect("a number");
    prometheus.until("sum(edge_sidecar_dedup_requests_total{result=\"duplicate\"})", repeats).await;
}

/// Every expression of the dashboard gives series.
async fn whole_dashboard(prometheus: &Prometheus) {
    let mut seen = 0;
    for (title, expression) in expressions(&dashboard()) {
        let query = expression.replace("$job", "edge-sidecar").replace("$instance", ".*");
        let query = query.replace("$__rate_interval", "1m").replace("$__range", "1h");
        assert!(!query.contains('$'), "{title}: a variable that nobody fills in: {query}");
        // a rate needs two samples; and where the rules were not changed, there is nothing to mark
        let answer = async || prometheus.all(&query).await.unwrap_or_else(|error| panic!("{title}: {query}: {error}"));
        until(&format!("{title}: {query}"), async || (title == "annotation" || !answer().await.is_empty()).then_some(())).await;
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}
