//! What went wrong with configuration files elsewhere: byte order marks, line ends, look-alike characters, merge keys, words that others
//! read as booleans; and colours where nobody sees them. Editors' ways of saving are in `reload.rs`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::client::{get, send};
use crate::support::command::{Process, command, output, rename_over};
use crate::support::origin::{Origin, Reply};
use crate::support::sidecar::in_front_of;
use crate::support::until;

const RULES: &str = "version: 1\ncache:\n  include:\n    - name: one\n      match:\n        function: one\n      ttl: 5m\n\
                     slow:\n  - match: \"**\"\n    after: 2s\n";

fn windows(text: &str) -> String {
    format!("\u{feff}{}", text.replace('\n', "\r\n"))
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].iter().map(|s| String::from_utf8_lossy(s)).collect()
}

fn written(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let file = folder.join(name);
    fs::write(&file, text).expect("writable");
    file.display().to_string()
}

/// The diagnostics of a file, as `check` gives them to programs.
fn diagnostics(file: &str) -> Vec<Value> {
    let output = output(&["check", "--format", "json", file]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    json[0]["diagnostics"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_files_mean_the_same_with_a_byte_order_mark_and_carriage_returns() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = format!(
        "version: 1\nlisteners:\n  - name: public\n    address: 127.0.0.1:8080\n    upstream: functions\n\
         upstreams:\n  - name: functions\n    servers:\n      - {}\nlog:\n  level: info\nrules: rules.yaml\n",
        origin.url()
    );
    let (rules, sidecar) =
        (written(folder.path(), "rules.yaml", windows(RULES)), written(folder.path(), "sidecar.yaml", windows(&sidecar)));
    let checked = output(&["check", "--deny-warnings", &rules, &sidecar]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    let process = Process::start(&origin.url(), &["--config", &sidecar]).await;
    assert!(send(process.address, &get("/one")).await.has("x-cache"));
    let line = until("the request's line", async || process.lines().into_iter().find(|l| l.contains(r#""event":"request""#))).await;
    let line: Value = serde_json::from_str(&line).expect("a JSON line");
    assert_eq!((line["rule"].as_str(), line["function"].as_str()), (Some("one"), Some("one")), "no carriage return in names");
    // and the mark alone, as anything empty, is no file
    for text in ["\u{feff}", "\u{feff}\r\n", ""] {
        for file in [&rules, &sidecar] {
            fs::write(file, text).expect("writable");
            let found = diagnostics(file);
            assert_eq!(found.iter().map(|d| d["code"].clone()).collect::<Vec<_>>(), ["empty-file"], "{text:?}");
        }
        let ended = output(&["run", "--config", &sidecar]);
        assert_eq!(ended.status.code(), Some(78), "{}", said(&ended));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invisible_and_look_alike_characters_are_refused_on_their_line_and_the_last_good_rules_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    fs::write(&file, RULES).expect("writable");
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).watching(file.clone()).start().await;
    let kinds = ["\u{a0}", "\u{200b}", "\u{2019}", "\u{201c}", "\u{2013}", "\u{3000}"];
    for (failures, kind) in kinds.iter().enumerate() {
        rename_over(&file, &RULES.replace("ttl: 5m", &format!("ttl: {kind}5m")));
        sidecar
            .until_series("edge_sidecar_config_reloads_total{result=\"failure\"}", f64::from(u8::try_from(failures + 1).expect("few")))
            .await;
        assert!(sidecar.series("edge_sidecar_config_last_reload_successful").await < 0.5, "{kind:?}");
        let reload = sidecar.live.status().last_reload.expect("one");
        let places: Vec<_> = reload.diagnostics.iter().map(|d| (d.code.as_str(), d.line, d.column)).collect();
        assert_eq!(places, [("odd-character", 7, 12)], "{kind:?}");
        assert!(sidecar.get("/one").await.has("x-cache"), "the last good rules stay");
    }
    rename_over(&file, RULES);
    sidecar.until_series("edge_sidecar_config_last_reload_successful", 1.0).await;
}

#[test]
fn merge_keys_anchors_and_unknown_aliases_are_refused_by_name_on_their_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "version: 1\nslow:\n  - &base\n    match: \"**\"\n    after: 1s\n  - <<: *base\n\
                \x20   after: 2s\n  - match: *unknown\n    after: 3s\n";
    let found = diagnostics(&written(folder.path(), "rules.yaml", text));
    let places: Vec<_> = found.iter().map(|d| (d["code"].as_str().expect("text"), d["line"].as_u64().expect("a number"))).collect();
    for (code, line, word) in [("anchor", 3, "&name"), ("merge-key", 6, "`<<`"), ("alias", 6, "`*base`"), ("alias", 8, "`*unknown`")] {
        let named = found.iter().any(|d| d["code"] == code && d["line"] == line && d["message"].as_str().is_some_and(|m| m.contains(word)));
        assert!(named, "{code} {line} {word}: {places:?}");
    }
}

#[test]
fn functions_may_be_named_as_others_name_booleans() {
    let folder = tempfile::tempdir().expect("a folder");
    for word in ["no", "off", "yes", "on", "y", "N", "true"] {
        let text = format!("version: 1\ncache: {{ include: [{{ name: a, match: {{ function: {word} }}, ttl: 1m }}] }}\n");
        let file = written(folder.path(), "rules.yaml", text);
        let target = format!("/functions/v1/{word}");
        let explained = output(&["explain", "--rules", &file, &target, "--expect", "cache=a"]);
        assert_eq!(explained.status.code(), Some(0), "{word}: {}", said(&explained));
    }
}

/// What the command prints to a terminal, as Python's `pty` has one.
fn on_a_terminal(command: &Command) -> String {
    let script = "import os, pty, sys\nsys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let args: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).map(ToOwned::to_owned).collect();
    let mut python = Command::new("python3");
    python.args(["-B", "-c", script]).args(args).env_remove("NO_COLOR");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => python.env(name, value),
            None => python.env_remove(name),
        };
    }
    said(&python.output().expect("python3 runs"))
}

#[test]
fn colours_are_for_terminals_whose_user_wants_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = written(folder.path(), "rules.yaml", "version: 1\nsloww: []\n");
    let check = |no_colour: Option<&str>| {
        let mut command = command(&["check", &file]);
        match no_colour {
            Some(value) => command.env("NO_COLOR", value),
            None => command.env_remove("NO_COLOR"),
        };
        command
    };
    let coloured = on_a_terminal(&check(None));
    assert!(coloured.contains("\u{1b}[") && coloured.contains("did you mean `slow`?"), "{coloured:?}");
    let plain = on_a_terminal(&check(Some("1")));
    assert!(!plain.contains('\u{1b}') && plain.contains("did you mean `slow`?"), "{plain:?}");
    let piped = said(&check(None).output().expect("it runs"));
    assert!(!piped.contains('\u{1b}') && piped.contains("did you mean `slow`?"), "{piped:?}");
}
