//! What is recorded of webhooks: series that add up, and one line a request with counts only.

use serde_json::{Value, json};

use super::{RULES, batch, begin, end, in_turn, message, requests, sidecar, webhook};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};

/// A course with every result: 3 new, 1 duplicate, 1 joined, 1 partial, 2 skipped, 1 timeout.
async fn course() -> (Origin, Sidecar) {
    let gates = [Gate::new(), Gate::new()];
    let mut replies = vec![Reply::ok("{}"); 5];
    replies[0] = Reply::ok("{}").behind(&gates[0]);
    replies[4] = Reply::ok("{}").behind(&gates[1]); // that of `held`
    let origin = Origin::start(in_turn(replies)).await;
    let sidecar = in_front_of(&origin.url()).rules(&RULES.replace("window: 24h", "window: 24h, wait_timeout: 1s")).start().await;
    let named = |body: String, id: &str| webhook(body).header("X-Request-Id", id);
    let first = begin(&sidecar, named(batch(&["a", "b"]), "new"));
    origin.until(1).await;
    let second = begin(&sidecar, named(batch(&["b", "a"]), "joined"));
    sidecar.until_series("edge_sidecar_dedup_waiting", 1.0).await;
    gates[0].open();
    end(first).await;
    end(second).await;
    sidecar.send(named(message("a"), "duplicate")).await;
    sidecar.send(named(batch(&["a", "c", "d"]), "partial")).await;
    sidecar.send(named("{}".into(), "no-id")).await;
    sidecar.send(named("{".into(), "unparsable")).await;
    let held = begin(&sidecar, named(message("e"), "held"));
    origin.until(5).await;
    sidecar.send(named(message("e"), "timeout")).await;
    gates[1].open();
    end(held).await;
    sidecar.send(named(message("f"), "last")).await;
    sidecar.line("request", "last").await;
    (origin, sidecar)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_webhook_is_counted_once_and_the_series_add_up() {
    let (origin, sidecar) = course().await;
    assert_eq!(origin.count(), 6);
    for (result, n) in [("new", 3.0), ("duplicate", 1.0), ("joined", 1.0), ("partial", 1.0), ("skipped", 2.0), ("timeout", 1.0)] {
        sidecar.until_series(&requests(result), n).await;
    }
    for (result, n) in [("new", 6.0), ("duplicate", 2.0), ("joined", 2.0), ("timeout", 1.0)] {
        sidecar.until_series(&format!(r#"edge_sidecar_dedup_messages_total{{result="{result}",rule="whatsapp"}}"#), n).await;
    }
    for (reason, n) in
        [("no_id", 1.0), ("unparsable", 1.0), ("encoded", 0.0), ("odd_path", 0.0), ("body_budget", 0.0), ("too_many_ids", 0.0)]
    {
        sidecar.until_series(&format!(r#"edge_sidecar_dedup_skipped_total{{reason="{reason}",rule="whatsapp"}}"#), n).await;
    }
    for (code, outcome, n) in
        [(200, "new", 3.0), (200, "duplicate", 1.0), (200, "joined", 1.0), (200, "partial", 1.0), (200, "skipped", 2.0), (503, "shed", 1.0)]
    {
        let series = format!(r#"edge_sidecar_requests_total{{code="{code}",function="wa-webhook-core",outcome="{outcome}"}}"#);
        sidecar.until_series(&series, n).await;
    }
    sidecar.until_series("edge_sidecar_dedup_entries", 6.0).await;
    sidecar.until_series(r#"edge_sidecar_rule_matches_total{rule="whatsapp"}"#, 9.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_tells_the_same() {
    let (_origin, sidecar) = course().await;
    let metrics = sidecar.metrics().await;
    let rule = &metrics["deduplication"]["whatsapp"];
    for (key, n) in [("new", 3), ("duplicates", 1), ("joined", 1), ("partial", 1), ("skipped", 2)] {
        assert_eq!(rule[key], n, "{key}: {rule}");
    }
    let rate = rule["duplicateRate"].as_f64().expect("a number");
    assert!(rate > 0.0 && rate < 1.0, "{rule}");
    assert_eq!((&metrics["handlers"]["wa-webhook-core"]["requests"], &metrics["metrics"]["requests"]["total"]), (&9.into(), &9.into()));
    assert_eq!(metrics["metrics"]["requests"]["byOutcome"]["joined"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_has_the_counts_of_its_events() {
    let (_origin, sidecar) = course().await;
    for (id, outcome, status, ids, new, repeated) in [
        ("new", "new", 200, 2, 2, 0),
        ("joined", "joined", 200, 2, 0, 2),
        ("duplicate", "duplicate", 200, 1, 0, 1),
        ("partial", "partial", 200, 3, 2, 1),
        ("no-id", "skipped", 200, 0, 0, 0),
        ("last", "new", 200, 1, 1, 0),
    ] {
        let line = sidecar.line("request", id).await;
        assert_eq!((&line["outcome"], &line["status"], &line["rule"]), (&outcome.into(), &status.into(), &"whatsapp".into()), "{line}");
        let dedup = &line["dedup"];
        assert_eq!([&dedup["ids"], &dedup["new"], &dedup["repeated"]], [&json!(ids), &json!(new), &json!(repeated)], "{line}");
        let members: Vec<&String> = dedup.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["ids", "new", "repeated", "waited_ms"]);
        assert_eq!(line["upstream"].is_object(), !["duplicate", "joined"].contains(&outcome), "{line}");
    }
    assert_eq!(sidecar.line("request", "no-id").await["reason"], "no_id");
    assert!(sidecar.line("request", "joined").await["dedup"]["waited_ms"].as_f64() > Some(0.0));
    let answered: Vec<Value> = sidecar.lines().into_iter().filter(|l| l["event"] == "request").collect();
    assert_eq!(answered.len(), 9, "one line a request");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_any_traffic_every_series_of_the_rule_is_there() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let text = sidecar.prometheus().await;
    for result in ["new", "duplicate", "joined", "partial", "skipped", "timeout"] {
        assert!(text.contains(&format!("{} 0\n", requests(result))), "{result}");
    }
    assert_eq!(sidecar.metrics().await["deduplication"]["whatsapp"]["duplicateRate"], 0.0);
}
