//! What a reload means for requests: those in flight end on the rules they began with, what is stored survives, none fails.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use edge_sidecar::clock::Clock;
use tempfile::TempDir;

use crate::signals_traffic::{Exposition, RULES, functions, message, spawn};
use crate::support::client::{Connection, get, post};
use crate::support::command::rename_over;
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::until;

struct Watched {
    _folder: TempDir,
    file: PathBuf,
    sidecar: Sidecar,
}

impl Watched {
    /// On a file with these rules.
    async fn start(origin: &Origin, rules: &str, clock: &Clock) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("rules.yaml");
        fs::write(&file, format!("version: 1\n{rules}")).expect("writable");
        let sidecar = in_front_of(&origin.url()).watching(file.clone()).clock(clock).start().await;
        Self { _folder: folder, file, sidecar }
    }

    /// Puts other rules in place, and waits until they are in force.
    async fn reload(&self, rules: &str) {
        let generation = self.sidecar.live.load().generation + 1;
        rename_over(&self.file, &format!("version: 1\n{rules}"));
        until("the reload", async || (self.sidecar.live.load().generation == generation).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_answers_and_accepted_ids_survive_a_reload() {
    let origin = functions(&Gate::new()).await;
    let w = Watched::start(&origin, RULES, &Clock::system()).await;
    let (profile, webhook) = (|| get("/profile").header("authorization", "Bearer a"), || post("/wa-webhook-core", message(&["1"])));
    assert_eq!(w.sidecar.send(profile()).await.header("x-cache"), "MISS");
    assert_eq!(w.sidecar.send(webhook()).await.header("x-dedup"), "NEW");
    w.reload(&format!("{RULES}slow: [{{ match: \"**\", after: 2s }}]\n")).await;
    assert_eq!(w.sidecar.send(profile()).await.header("x-cache"), "HIT");
    assert_eq!(w.sidecar.send(webhook()).await.header("x-dedup"), "DUPLICATE");
    assert_eq!(origin.count(), 2);
    // and the counts go on
    w.sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    let json = w.sidecar.metrics().await;
    assert_eq!((&json["cache"]["profile"]["hitRate"], &json["deduplication"]["whatsapp"]["duplicates"]), (&0.5.into(), &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_judged_by_the_rules_in_force() {
    let clock = Clock::manual();
    let origin = functions(&Gate::new()).await;
    let w = Watched::start(&origin, RULES, &clock).await;
    let (profile, webhook) = (|| get("/profile").header("authorization", "Bearer a"), || post("/wa-webhook-core", message(&["1"])));
    w.sidecar.send(profile()).await;
    w.sidecar.send(webhook()).await;
    clock.advance(Duration::from_mins(1));
    w.reload(&RULES.replace("ttl: 5m", "ttl: 61s").replace("window: 24h", "window: 61s")).await;
    assert_eq!(w.sidecar.send(profile()).await.header("x-cache"), "HIT", "a minute old, and 61 s allowed");
    assert_eq!(w.sidecar.send(webhook()).await.header("x-dedup"), "DUPLICATE");
    w.reload(&RULES.replace("ttl: 5m", "ttl: 30s").replace("window: 24h", "window: 30s")).await;
    assert_eq!(w.sidecar.send(profile()).await.header("x-cache"), "MISS", "a minute old, and 30 s allowed");
    assert_eq!(w.sidecar.send(webhook()).await.header("x-dedup"), "NEW");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_on_the_rules_it_began_with() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin =
        Origin::start(move |seen| if seen.header("x-hold") == "yes" { Reply::ok("{}").behind(&held) } else { Reply::ok("{}") }).await;
    let w = Watched::start(&origin, RULES, &Clock::system()).await;
    let profile = |id: &str| get("/profile").header("authorization", "Bearer a").header("x-request-id", id);
    let webhook = |id: &str| post("/wa-webhook-core", message(&["1"])).header("x-request-id", id);
    let old = [profile("get-1"), webhook("post-1"), get("/app-config").header("cookie", "a=b").header("x-request-id", "bypass-1")]
        .map(|r| spawn(w.sidecar.address, r.header("x-hold", "yes")));
    origin.until(3).await;
    w.reload("").await;

    // by the new rules, nothing claims them: each is forwarded, unmarked
    for (request, id) in [(profile("get-2"), "get-2"), (webhook("post-2"), "post-2")] {
        let answer = w.sidecar.send(request).await;
        assert_eq!((answer.status, answer.has("x-cache"), answer.has("x-dedup")), (200, false, false));
        let line = w.sidecar.line("request", id).await;
        assert_eq!((&line["gen"], &line["outcome"]), (&2.into(), &"forwarded".into()));
    }
    assert_eq!(origin.count(), 5);
    gate.open();
    for (answer, (id, field, mark)) in
        old.into_iter().zip([("get-1", "x-cache", "MISS"), ("post-1", "x-dedup", "NEW"), ("bypass-1", "x-cache", "BYPASS")])
    {
        let answer = answer.await.expect("no panic");
        assert_eq!((answer.status, answer.header(field)), (200, mark), "{id}");
        let line = w.sidecar.line("request", id).await;
        assert_eq!((&line["gen"], &line["outcome"]), (&1.into(), &mark.to_lowercase().into()), "{id}");
    }
    // what they brought is there once the rules are back
    w.reload(RULES).await;
    assert_eq!(w.sidecar.send(webhook("post-3")).await.header("x-dedup"), "DUPLICATE");
    let all = Exposition::read(&w.sidecar.prometheus().await);
    assert!((all.sum("dedup_requests_total", &[("result", "new")]) - 1.0).abs() < 1e-9, "counted under the rule that is gone");
}

/// Sends requests over one connection until `least` are sent and `done` is set; answers how many.
async fn keep_asking(mut connection: Connection, caller: usize, least: u64, done: Arc<AtomicBool>) -> u64 {
    let mut sent = 0;
    while sent < least || !done.load(SeqCst) {
        let id = format!("{caller}-{sent}");
        let (request, field, marks): (_, _, &[&str]) = match sent % 3 {
            0 => (get("/profile").header("authorization", "Bearer a"), "x-cache", &["MISS", "HIT"]),
            1 => (post("/wa-webhook-core", message(&[&id])), "x-dedup", &["NEW"]),
            _ => (get("/echo"), "x-cache", &[""]),
        };
        let answer = connection.send(&request).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.text());
        assert!(marks.contains(&answer.header(field)), "{id}: {}", answer.header(field));
        sent += 1;
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_reloads_during_two_thousand_requests_fail_none() {
    let origin = functions(&Gate::new()).await;
    let w = Watched::start(&origin, RULES, &Clock::system()).await;
    let done = Arc::<AtomicBool>::default();
    let mut callers = Vec::new();
    for caller in 0..4 {
        callers.push(tokio::spawn(keep_asking(w.sidecar.connect().await, caller, 500, Arc::clone(&done))));
    }
    for reload in 0..50 {
        w.reload(&format!("{RULES}slow: [{{ match: \"**\", after: {}s }}]\n", reload + 1)).await;
    }
    done.store(true, SeqCst);
    let mut sent = 0;
    for caller in callers {
        sent += caller.await.expect("no request failed");
    }
    w.sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    let all = Exposition::read(&w.sidecar.prometheus().await);
    let is = |name: &str, labels: &[(&str, &str)], value: u64| {
        assert!((all.sum(name, labels) - f64::from(u32::try_from(value).expect("small"))).abs() < 1e-9, "{name} is not {value}");
    };
    assert!(sent >= 2000);
    is("requests_total", &[("code", "200")], sent);
    is("requests_total", &[], sent);
    is("config_generation", &[], 51);
    is("config_reloads_total", &[("result", "success")], 50);
    let generations: std::collections::BTreeSet<_> = w.sidecar.lines().iter().filter_map(|l| l["gen"].as_u64()).collect();
    assert!(generations.len() > 10, "the requests ran on {} generations", generations.len());
}
