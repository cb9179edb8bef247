//! What takes stored answers out before their time: unsafe methods, on every way to a function, and purges.

use serde_json::{Value, json};

use crate::cached::{HIT, PUBLIC, STORED, numbered, still, told};
use crate::signals_traffic::spawn;
use crate::support::client::{get, post, request, send, through_socket};
use crate::support::command::{Process, command};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::routes::message;
use crate::support::sidecar::Sidecar;

/// Two callers' answers, a rule that shares, and a webhook that is deduplicated at the same paths.
const RULES: &str = r#"
dedup:
  include:
    - { name: whatsapp, match: { function: "config", method: POST, query: hook }, id: whatsapp }
cache:
  include:
    - { name: config, match: { function: "config*" }, ttl: 5m, scope: per_caller }
"#;

async fn hits(sidecar: &Sidecar, target: &str) -> bool {
    let answer = sidecar.get(target).await;
    assert!([HIT, STORED].contains(&told(&answer)), "{:?}", told(&answer));
    told(&answer) == HIT
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unsafe_method_answered_well_removes_every_answer_of_its_url() {
    let origin = numbered(&[("Vary", "X-Variant")]).await;
    let sidecar = still(&origin, RULES).await;
    let variants = [get("/config?a=1"), get("/config?a=1").header("X-Variant", "b"), get("/config?a=1").header("Authorization", "c")];
    for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE", "MKCOL"] {
        assert_eq!(told(&sidecar.get("/config?a=2").await).0 == "HIT", method != "POST");
        for variant in &variants {
            sidecar.send(variant.clone()).await;
            assert_eq!(told(&sidecar.send(variant.clone()).await), HIT, "{method}");
        }
        assert_eq!(sidecar.send(request(method, "/config?a=1").with_body("{}")).await.status, 200, "{method}");
        for variant in &variants {
            assert_eq!(told(&sidecar.send(variant.clone()).await).0, "MISS", "{method}");
        }
        assert!(hits(&sidecar, "/config?a=2").await, "another resource stays: {method}");
    }
    sidecar.until_series(r#"edge_sidecar_cache_purged_total{rule="config"}"#, 18.0).await;
    sidecar.until_series(r#"edge_sidecar_cache_evictions_total{reason="purge"}"#, 18.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deduplicated_webhook_does_so_too_and_its_duplicate_does_not() {
    let origin = numbered(&[]).await;
    let sidecar = still(&origin, RULES).await;
    let hook = post("/config?hook", message("1"));
    assert!(!hits(&sidecar, "/config?hook").await && hits(&sidecar, "/config?hook").await);
    assert_eq!(sidecar.send(hook.clone()).await.header("x-dedup"), "NEW");
    assert!(!hits(&sidecar, "/config?hook").await);
    assert_eq!(sidecar.send(hook).await.header("x-dedup"), "DUPLICATE");
    assert!(hits(&sidecar, "/config?hook").await, "no function ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_safe_methods_remove_nothing_redirects_do() {
    let origin = Origin::start(|seen| Reply::new(seen.header("x-wanted").parse().unwrap_or(200), &[], "")).await;
    let sidecar = still(&origin, PUBLIC).await;
    for (method, status, stays) in [
        ("POST", "400", true),
        ("POST", "404", true),
        ("POST", "500", true),
        ("OPTIONS", "200", true),
        ("HEAD", "200", true),
        ("POST", "303", false),
    ] {
        sidecar.get("/config").await;
        sidecar.send(request(method, "/config").header("X-Wanted", status)).await;
        assert_eq!(hits(&sidecar, "/config").await, stays, "{method} {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_answer_names_on_the_same_host_goes_and_no_other() {
    let origin = Origin::start(|seen| {
        let fields = [("Location", "/config/1"), ("Content-Location", "http://other.example/config/2")];
        if seen.method() == "POST" { Reply::new(201, &fields, "") } else { Reply::ok("x") }
    })
    .await;
    let sidecar = still(&origin, PUBLIC).await;
    for target in ["/config", "/config/1", "/config/2"] {
        sidecar.get(target).await;
    }
    sidecar.send(post("/config", "{}")).await;
    let left = [hits(&sidecar, "/config").await, hits(&sidecar, "/config/1").await, hits(&sidecar, "/config/2").await];
    assert_eq!(left, [false, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_fetched_then_is_not_stored_nor_joined() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin =
        Origin::start(move |seen| if seen.header("x-held") == "1" { Reply::ok("old").behind(&held) } else { Reply::ok("new") }).await;
    // the field chooses what this origin does; the function it stands for knows it from the state it reads
    let sidecar = still(&origin, PUBLIC).await;
    let first = spawn(sidecar.address, get("/config").header("X-Held", "1"));
    origin.until(1).await;
    assert_eq!(sidecar.send(post("/config", "{}")).await.text(), "new");
    let second = sidecar.get("/config").await;
    assert_eq!((told(&second), second.text().as_str()), (STORED, "new"), "it did not join the fetch from before");
    gate.open();
    assert_eq!(first.await.expect("no panic").text(), "old");
    assert_eq!(sidecar.get("/config").await.text(), "new");
    sidecar.until_series(r#"edge_sidecar_cache_not_stored_total{reason="purged",rule="config"}"#, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_takes_out_by_url_prefix_function_rule_or_all() {
    let origin = numbered(&[]).await;
    let rules = r#"
cache:
  include:
    - { name: config, match: { function: "config*" }, ttl: 5m, scope: public }
    - { name: profile, match: { function: profile }, ttl: 5m, scope: per_caller }
"#;
    let sidecar = still(&origin, rules).await;
    let targets = ["/config/a", "/config/a?x=1", "/config/b", "/functions/v1/config-more", "/profile?secret=1"];
    let purge = async |body: Value| {
        let request = post("/cache/purge", body.to_string()).header("Content-Type", "application/json");
        let answer = through_socket(&sidecar.socket, &request).await;
        (answer.status, answer.json()["purged"].as_u64())
    };
    for (body, gone) in [
        (json!({ "url": "/config/a" }), &[0][..]),
        (json!({ "url": "http://elsewhere/config/a" }), &[]),
        (json!({ "prefix": "/config/a" }), &[0, 1]),
        (json!({ "function": "config" }), &[0, 1, 2]),
        (json!({ "function": "config-more" }), &[3]),
        (json!({ "rule": "profile" }), &[4]),
        (json!({ "all": true }), &[0, 1, 2, 3, 4]),
    ] {
        for target in targets {
            sidecar.get(target).await;
        }
        let mut dry = body.clone();
        dry["dryRun"] = json!(true);
        assert_eq!(purge(dry).await, (200, Some(gone.len() as u64)), "{body}");
        for target in targets {
            assert!(hits(&sidecar, target).await, "nothing went yet: {body}");
        }
        assert_eq!(purge(body.clone()).await, (200, Some(gone.len() as u64)), "{body}");
        for (at, target) in targets.into_iter().enumerate() {
            assert_eq!(hits(&sidecar, target).await, !gone.contains(&at), "{body} {target}");
        }
    }
    assert_eq!(purge(json!({ "rule": "config", "all": true })).await, (400, None));
    let stored = through_socket(&sidecar.socket, &get("/cache")).await;
    assert_eq!((stored.json()["entries"].as_u64(), stored.json()["rules"]["profile"]["entries"].as_u64()), (Some(5), Some(1)));
    let callers: Vec<_> =
        stored.json()["largest"].as_array().expect("a list").iter().filter_map(|l| l["caller"].as_str().map(str::len)).collect();
    assert_eq!((callers, stored.text().contains("secret")), (vec![6], false), "neither who nor what for");
    for request in [get("/cache"), post("/cache/purge", "{\"all\":true}").header("Content-Type", "application/json")] {
        assert_eq!(send(sidecar.admin, &request).await.status, 401, "only behind the trusted door");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_purges_through_the_socket() {
    let origin = numbered(&[]).await;
    let process = Process::start(&origin.url(), &["--preset", "whatsapp"]).await;
    let run = |arguments: &[&str]| {
        let socket = process.socket.display().to_string();
        let output = command(&[&["purge"], arguments, &["--socket", &socket]].concat()).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    process.until_ready().await;
    send(process.address, &get("/a/health")).await;
    assert_eq!(run(&["--url", "/a/health", "--dry-run"]), (Some(0), "would purge 1 stored answer".to_owned()));
    assert_eq!(run(&["--rule", "health", "--json"]), (Some(0), "{\"purged\":1}".to_owned()));
    assert_eq!(run(&["--all"]), (Some(0), "purged 0 stored answers".to_owned()));
    assert_eq!(run(&["--prefix", "/a", "--function", "a"]).0, Some(2), "one thing at a time");
    assert_eq!(run(&[]).0, Some(2));
    assert_eq!(run(&["--prefix", "no-path"]).0, Some(1));
}
