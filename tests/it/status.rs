//! `status` and `status --watch`: what runs, for who has a terminal.

use std::fs;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::client::{get, send};
use crate::support::command::{Process, command, output, rename_over};
use crate::support::origin::{Origin, Reply};
use crate::support::until;

const RULES: &str = "version: 1\ncache:\n  include:\n    - { name: profile, match: { function: profile }, ttl: 5m, scope: public }\n";

fn said(process: &Process, args: &[&str]) -> (Option<i32>, String) {
    let socket = process.socket.display().to_string();
    let ended = output(&[&["status", "--socket", &socket], args].concat());
    (ended.status.code(), String::from_utf8([ended.stdout, ended.stderr].concat()).expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_what_runs_and_why_an_edit_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    fs::write(&file, RULES).expect("written");
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let process = Process::start(&origin.url(), &["--rules", &file.display().to_string()]).await;
    for _ in 0..4 {
        send(process.address, &get("/functions/v1/profile")).await;
    }
    let shows = async |parts: &[&str]| {
        let (code, text) = said(&process, &[]);
        assert_eq!((code, text.lines().count() <= 24), (Some(0), true), "{text}");
        parts.iter().all(|part| text.contains(part)).then_some(())
    };
    until("the hits", async || {
        shows(&[", ready\n", "healthy\n", "generation 1 (", "hit 3, miss 1\n", "75.0 % hits 3, stale 0, misses 1"]).await
    })
    .await;
    rename_over(&file, &RULES.replace("5m", "5 minutes"));
    until("the mistake", async || shows(&["the file differs; last reload refused at ", "line 4: `5 minutes` is not a duration"]).await)
        .await;
    let json: serde_json::Value = serde_json::from_str(&said(&process, &["--json"]).1).expect("JSON");
    assert_eq!(json["metrics"]["cache"]["profile"]["hits"], 3);
    let nobody = output(&["status", "--socket", &folder.path().join("nothing.sock").display().to_string()]);
    assert_eq!(nobody.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_it_goes_on_through_a_restart() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let mut process = Process::start(&origin.url(), &["--preset", "whatsapp"]).await;
    let socket = process.socket.display().to_string();
    let mut command = Command::from(command(&["status", "--watch", "--socket", &socket]));
    let mut watching = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("the command runs");
    let mut lines = BufReader::new(watching.stdout.take().expect("its output")).lines();
    let mut says = async |word: &str| {
        let found = async {
            while let Some(line) = lines.next_line().await.expect("text") {
                if line.contains(word) {
                    return;
                }
            }
            panic!("it ended before it said {word}");
        };
        tokio::time::timeout(crate::support::PATIENCE, found).await.expect("in time");
    };
    says("generation 1").await;
    says("generation 1").await;
    process.signal("KILL");
    process.ended().await;
    says("is it running?").await;
}
