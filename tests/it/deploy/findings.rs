//! A second opinion: checkov over all that kubectl renders and over the Dockerfile, hadolint over the Dockerfile. Each finding has an answer in
//! `deploy/findings.yaml`, and each answer a finding.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::OVERLAYS;
use super::manifests::{python, rendered, source, tool, yaml};

/// A judge, what it found (the name of its check), and where.
type Finding = (String, String, String);

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// What checkov finds; it also counts what it found nothing wrong with.
fn checkov() -> (BTreeSet<Finding>, u64) {
    // it passes over folders with a dot
    let folder = tempfile::Builder::new().prefix("checkov").tempdir().expect("a folder");
    for (overlay, _) in OVERLAYS {
        let file = folder.path().join(overlay.replace('/', "-")).with_extension("yaml");
        std::fs::write(file, rendered(overlay)).expect("writable");
    }
    std::fs::copy(source("../Dockerfile"), folder.path().join("Dockerfile")).expect("copied");
    let mut command = python("checkov", &["-m", "checkov.main", "--skip-download", "--quiet", "--compact", "--output", "json"]);
    let ended = command.args(["--framework", "kubernetes", "dockerfile", "--directory"]).arg(folder.path()).output().expect("python3 runs");
    let said: Value = serde_json::from_slice(&ended.stdout)
        .unwrap_or_else(|e| panic!("scripts/setup.sh test: {e}: {}", String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat())));
    let reports = said.as_array().unwrap_or_else(|| panic!("no report a framework: {said}"));
    assert_eq!(reports.len(), 2, "{said}");
    let failed = reports.iter().flat_map(|r| r["results"]["failed_checks"].as_array().expect("findings"));
    let found = failed.map(|f| ("checkov".into(), text(&f["check_id"]), text(&f["resource"]))).collect();
    let count = |key: &str| reports.iter().map(|r| r["summary"][key].as_u64().expect("a number")).sum::<u64>();
    assert_eq!((count("parsing_errors"), count("skipped")), (0, 0), "{said}");
    (found, count("passed"))
}

fn hadolint() -> BTreeSet<Finding> {
    let mut command = tool("pip/bin/hadolint");
    let ended = command.args(["--no-color", "-f", "json"]).arg(source("../Dockerfile")).output().expect("hadolint: scripts/setup.sh test");
    let said: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    said.as_array().expect("findings").iter().map(|f| ("hadolint".into(), text(&f["code"]), "Dockerfile".into())).collect()
}

#[test]
fn each_finding_has_an_answer_and_each_answer_a_finding() {
    let answers = yaml(&std::fs::read(Path::new(&source("../findings.yaml"))).expect("answers"));
    let mut answered = BTreeSet::new();
    for (judge, checks) in answers[0].as_object().expect("judges") {
        for (check, places) in checks.as_object().expect("checks") {
            for (place, reason) in places.as_object().expect("places") {
                assert!(text(reason).split(' ').count() > 3, "{judge} {check} {place}: a reason");
                answered.insert((judge.clone(), check.clone(), place.clone()));
            }
        }
    }
    let (mut found, passed) = checkov();
    assert!(passed > 300, "it looked at {passed} things only");
    found.extend(hadolint());
    let (open, unused) = (found.difference(&answered).collect::<Vec<_>>(), answered.difference(&found).collect::<Vec<_>>());
    assert_eq!((open, unused), (vec![], vec![]), "findings without an answer, answers without a finding");
}
