//! Secrets of signatures: read again when they change, shown nowhere, needed to run and not to check.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::SystemTime;

use edge_sidecar::config::Offer;

use super::{SECRET, Signed, assert_unsigned, webhook};
use crate::support::client::{get, post, send, through_socket};
use crate::support::command::{Process, output, rename_over};
use crate::support::origin::{Origin, Reply};
use crate::support::routes::message;
use crate::support::sidecar::in_front_of;
use crate::support::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_without_a_restart_and_a_missing_one_changes_nothing() {
    let Signed { folder, origin: _origin, sidecar } = Signed::start(|_| ()).await;
    let secret = folder.path().join("secret");
    let status = async |id: &str, secret: &str| sidecar.send(webhook(id, secret)).await.status;
    assert_eq!((status("m1", SECRET).await, status("m2", "new").await), (200, 401));
    rename_over(&secret, "new\n");
    until("the new secret is in force", async || (status("m3", "new").await == 200).then_some(())).await;
    assert_eq!((status("m4", SECRET).await, sidecar.live.load().generation), (401, 2));
    assert_eq!(sidecar.live.status().last_reload.expect("one").changed, ["whatsapp"]);
    // gone, empty: refused once, told once, the running one stays
    for (n, change) in [(1, None), (2, Some(" \n"))] {
        match change {
            None => fs::remove_file(&secret).expect("it is there"),
            Some(text) => rename_over(&secret, text),
        }
        sidecar.until_series(r#"edge_sidecar_config_reloads_total{result="failure"}"#, f64::from(n)).await;
        assert_eq!((status(&format!("m{}", 10 + n), "new").await, sidecar.live.load().generation), (200, 2));
        assert_eq!(sidecar.series("edge_sidecar_config_last_reload_successful").await.to_bits(), 0.0_f64.to_bits());
        let last = sidecar.live.status().last_reload.expect("one");
        assert!(last.diagnostics[0].message.contains(&secret.display().to_string()), "{:?}", last.diagnostics);
    }
    rename_over(&secret, "new");
    sidecar.until_series("edge_sidecar_config_last_reload_successful", 1.0).await;
    // both at once, as while senders change over
    fs::write(folder.path().join("old"), SECRET).expect("writable");
    let both = format!("[{}, {}]", folder.path().join("old").display(), secret.display());
    let rules = Signed::rules(folder.path()).replace(&secret.display().to_string(), &both);
    rename_over(&folder.path().join("rules.yaml"), &rules);
    until("both are in force", async || (status("m20", SECRET).await == 200).then_some(())).await;
    assert_eq!(status("m21", "new").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_shown_nowhere() {
    let Signed { folder, origin: _origin, sidecar } = Signed::start(|_| ()).await;
    sidecar.send(webhook("m1", SECRET)).await;
    let refused = sidecar.send(webhook("m2", "other")).await;
    sidecar.line("request", refused.header("x-request-id")).await;
    let mut shown = vec![sidecar.raw_log(), sidecar.prometheus().await, sidecar.metrics().await.to_string(), refused.text()];
    shown.push(through_socket(&sidecar.socket, &get("/config")).await.text());
    shown.push(format!("{:?}", sidecar.live.load().rules));
    let file = folder.path().join("literal.yaml");
    let good = format!("verify: {{ scheme: meta, secret_file: {} }}", folder.path().join("secret").display());
    let misplaced = [
        format!("verify: {{ scheme: meta, secret: {SECRET} }}"),
        format!("verify: {{ scheme: meta, secret_file: {SECRET} }}"),
        format!("verify: {{ scheme: meta, secret_env: {SECRET} }}"),
        format!("verify: {{ scheme: meta, secret_file: [/run/secrets/a, {SECRET}] }}"),
        format!("verify: {{ scheme: meta, secret_file: {{ path: {SECRET} }} }}"),
        format!("verify: {{ scheme: mta, secret: {SECRET} }}"),
        format!("verify: {{ scheme: meta, hmac: {SECRET} }}"),
        format!("verify:\n        scheme: meta\n        hmac: {SECRET}"),
        format!("verify:\n        scheme: meta\n        secret: |\n          {SECRET}"),
        format!("verify: {SECRET}"),
        format!("verify: [meta, {SECRET}]"),
        format!("verfy: {{ scheme: meta, secret: {SECRET} }}"),
        format!("secret: {SECRET}"),
        format!("verify: {{ scheme: meta, \"secret_file\" : \"{SECRET} }}"),
    ];
    for text in misplaced {
        let rules = Signed::rules(folder.path()).replace(&good, &text);
        assert!(rules.contains(SECRET), "{rules}");
        fs::write(&file, &rules).expect("writable");
        for format in ["human", "json", "github"] {
            let said = output(&["check", "--format", format, &file.display().to_string()]);
            assert_eq!(said.status.code(), Some(1), "{text}");
            shown.push(String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr));
        }
        // what a reload says, and `/config` of it
        let offer = sidecar.live.offer(rules.as_bytes(), SystemTime::UNIX_EPOCH);
        assert!(matches!(offer, Offer::Refused { .. }), "{text}");
        shown.push(format!("{offer:?}"));
        shown.push(through_socket(&sidecar.socket, &get("/config")).await.text());
    }
    assert!(shown.iter().all(|text| !text.contains(SECRET)), "{shown:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_secret_it_does_not_start_but_rules_can_be_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    fs::write(&file, Signed::rules(folder.path())).expect("writable");
    let rules = file.display().to_string();
    let run = output(&["run", "--upstream", "http://127.0.0.1:9", "--rules", &rules]);
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(78), "{said}");
    assert!(said.contains("rules.yaml:8:") && said.contains("secret") && said.contains("cannot be read"), "{said}");
    let check = output(&["check", &rules]);
    let said = String::from_utf8_lossy(&check.stdout);
    assert_eq!(check.status.code(), Some(0), "{said}");
    assert!(said.contains("warning[unreadable]") && said.contains("`run` needs it"), "{said}");
    // from the environment
    fs::write(
        &file,
        Signed::rules(folder.path()).replace(&format!("secret_file: {}", folder.path().join("secret").display()), "secret_env: HOME"),
    )
    .expect("writable");
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let process = Process::start(&origin.url(), &["--rules", &rules]).await;
    let home = std::env::var("HOME").expect("set");
    for (secret, status) in [(home.as_str(), 200), ("other", 401)] {
        assert_eq!(send(process.address, &webhook("m1", secret)).await.status, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_come_before_their_secret_wait_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    let rules = Signed::rules(folder.path());
    fs::write(&file, "version: 1\n").expect("writable");
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).watching(file.clone()).start().await;
    rename_over(&file, &rules);
    sidecar.until_series(r#"edge_sidecar_config_reloads_total{result="failure"}"#, 1.0).await;
    assert_eq!(sidecar.send(post("/wa-webhook", message("m1"))).await.status, 200, "the last good rules");
    rename_over(&folder.path().join("secret"), SECRET);
    sidecar.until_series("edge_sidecar_config_generation", 2.0).await;
    assert_unsigned(&sidecar.send(post("/wa-webhook", message("m2"))).await, "in force");
    assert_eq!(sidecar.send(webhook("m2", SECRET)).await.status, 200);
    let failures = sidecar.series(r#"edge_sidecar_config_reloads_total{result="failure"}"#).await;
    assert_eq!(failures.to_bits(), 1.0_f64.to_bits(), "told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_whatever_the_rules_file_holds() {
    let Signed { folder, origin: _origin, sidecar } = Signed::start(|_| ()).await;
    let (rules, secret) = (folder.path().join("rules.yaml"), folder.path().join("secret"));
    let in_force = async |id: &'static str, secret: &str| {
        until("the new secret is in force", async || (sidecar.send(webhook(id, secret)).await.status == 200).then_some(())).await;
    };
    rename_over(&rules, "version: 1\ndedub: {}\n");
    sidecar.until_series(r#"edge_sidecar_config_reloads_total{result="failure"}"#, 1.0).await;
    rename_over(&secret, "second");
    in_force("m1", "second").await;
    for (name, value) in [("last_reload_successful", 0.0_f64), ("file_differs", 1.0)] {
        assert_eq!(sidecar.series(&format!("edge_sidecar_config_{name}")).await.to_bits(), value.to_bits(), "{name}: still refused");
    }
    fs::remove_file(&rules).expect("it is there");
    rename_over(&secret, "third");
    in_force("m2", "third").await;
    assert_eq!(sidecar.send(webhook("m3", SECRET)).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_secret_is_read_again_when_its_folder_is_swapped() {
    let Signed { folder, origin: _origin, sidecar } = Signed::start(|_| ()).await;
    let at = |name: &str| folder.path().join(name);
    // as a kubelet does it: the name leads through a link to a folder, and another link is renamed over that one
    for (version, secret) in [("..1", SECRET), ("..2", "second"), ("..3", "third")] {
        fs::create_dir(at(version)).expect("writable");
        fs::write(at(version).join("secret"), secret).expect("writable");
        symlink(version, at("..new")).expect("writable");
        fs::rename(at("..new"), at("..data")).expect("writable");
        if version == "..1" {
            symlink("..data/secret", at("..link")).expect("writable");
            fs::rename(at("..link"), at("secret")).expect("writable");
        }
        let id = format!("m{version}");
        until("the new secret is in force", async || (sidecar.send(webhook(&id, secret)).await.status == 200).then_some(())).await;
    }
    assert_eq!(sidecar.send(webhook("m4", SECRET)).await.status, 401);
    assert_eq!(sidecar.live.load().generation, 3, "the same secret at another place is no change");
}
