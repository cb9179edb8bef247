//! `reload`, `rollback`, `check --against live` and SIGHUP, as an operator uses them on a running sidecar.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::client::{get, send};
use crate::support::command::{Process, output, rename_over};
use crate::support::origin::{Origin, Reply};
use crate::support::until;

fn rules(scope: &str, more: &str) -> String {
    format!("version: 1\ncache:\n  include:\n    - {{ name: profile, match: {{ function: profile }}, ttl: 5m, scope: {scope} }}\n{more}")
}

const DEDUP: &str = "dedup:\n  include:\n    - { name: whatsapp, match: { function: \"wa*\" }, id: whatsapp, window: 24h }\n";

/// Runs a command of the admin socket; its exit code and output.
async fn run(process: &Process, args: &[&str]) -> (Option<i32>, String) {
    let mut all: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    all.extend(["--socket".to_owned(), process.socket.display().to_string()]);
    let ended = tokio::task::spawn_blocking(move || output(&all.iter().map(String::as_str).collect::<Vec<_>>())).await.expect("no panic");
    let text = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8(text).expect("text"))
}

async fn start(file: &Path) -> (Origin, Process) {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let process = Process::start(&origin.url(), &["--rules", &file.display().to_string()]).await;
    (origin, process)
}

async fn is_in_force(process: &Process, generation: f64) -> bool {
    (process.metric("config.generation").await - generation).abs() < 0.5
}

async fn generation(process: &Process, wanted: f64) {
    until("the generation", async || is_in_force(process, wanted).await.then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_can_be_compared_taken_and_undone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    fs::write(&file, rules("per_caller", DEDUP)).expect("written");
    let (_origin, process) = start(&file).await;

    // a rule that would share a private answer, and one that is gone, are said in words
    let edit = folder.path().join("edit.yaml");
    fs::write(&edit, rules("public", "")).expect("written");
    let (code, said) = run(&process, &["check", &edit.display().to_string(), "--against", "live"]).await;
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "cache rule profile: scope from per_caller to public",
        "look twice: profile gives one caller's answer to all others",
        "look twice: whatsapp is gone: repeats of its messages reach the function",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(is_in_force(&process, 1.0).await);

    rename_over(&file, &rules("public", ""));
    generation(&process, 2.0).await;
    let (code, said) = run(&process, &["reload"]).await;
    assert!(code == Some(0) && said.contains("nothing to do: generation 2"), "{said}");

    let (code, said) = run(&process, &["rollback"]).await;
    assert!(code == Some(0) && said.contains("generation 3 is in force") && said.contains("scope from public to per_caller"), "{said}");
    let (code, said) = run(&process, &["rollback"]).await;
    assert!(code == Some(1) && said.contains("no earlier generation"), "{said}");

    // what was rolled back stays in the file and out of force, until it is asked for
    until("the file differs", async || (process.series("edge_sidecar_config_file_differs").await > 0.5).then_some(())).await;
    let (code, said) = run(&process, &["reload"]).await;
    assert!(code == Some(0) && said.contains("generation 4 is in force"), "{said}");
    assert!(process.series("edge_sidecar_config_file_differs").await < 0.5);

    // a refused file says why to whoever asked
    fs::write(&file, "version: 1\ncashe: {}\n").expect("written");
    let (code, said) = run(&process, &["reload"]).await;
    assert!(code == Some(1) && said.contains("unknown key `cashe`") && said.contains("did you mean `cache`?"), "{said}");
    assert!(process.series("edge_sidecar_config_last_reload_successful").await < 0.5);
    let answer = send(process.admin, &get("/config/history").header("connection", "close")).await;
    assert_eq!(answer.status, 401, "not for everybody");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_rules_explain_a_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    fs::write(&file, rules("per_caller", DEDUP)).expect("written");
    let (_origin, process) = start(&file).await;
    let url = "http://functions.local/profile";
    let explain = async |url: &str| run(&process, &["explain", url, "--live", "--json", "-H", "authorization: Bearer of-nobody"]).await;
    let (code, said) = explain(url).await;
    assert_eq!(code, Some(0), "{said}");
    let json: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&json["cache"]["rule"], &json["cache"]["stored"]["is"]), (&"profile".into(), &"nothing".into()), "{said}");
    assert!(!said.contains("of-nobody"), "{said}");

    let request = get("/profile").header("authorization", "Bearer of-nobody").header("connection", "close");
    assert!(send(process.address, &request).await.has("x-cache"));
    let stored = async || {
        let json: Value = serde_json::from_str(&explain(url).await.1).ok()?;
        (json["cache"]["stored"]["is"] == "entry" && json["cache"]["stored"]["ageSeconds"].is_u64()).then_some(())
    };
    until("the answer is stored under the key explained", stored).await;
    let (code, said) = explain("http://h/none").await;
    assert!(code == Some(0) && said.contains("\"verdict\":\"none\""), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_reads_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    fs::write(&file, rules("public", "")).expect("written");
    let (_origin, process) = start(&file).await;
    fs::write(&file, rules("public", DEDUP)).expect("written");
    generation(&process, 2.0).await;
    assert_eq!(run(&process, &["rollback"]).await.0, Some(0));
    // the watcher keeps out what was rolled back, so only the signal can bring it
    process.signal("HUP");
    generation(&process, 4.0).await;
}
