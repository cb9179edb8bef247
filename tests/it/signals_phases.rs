//! `Server-Timing` over a running sidecar: what a function reports becomes metrics and stands in the slow log, whatever way its answer took.

use std::time::Duration;

use edge_sidecar::clock::Clock;

use crate::signals_traffic::Exposition;
use crate::support::client::get;
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::routes;
use crate::support::sidecar::in_front_of;

const FIELD: &str = "db;dur=53;desc=\"two, queries\", render;dur=4.5";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_reports_is_measured_on_every_way_and_passed_on() {
    let origin = Origin::start(|_| Reply::new(200, &[("Server-Timing", FIELD), ("server-timing", "miss, db;dur=7")], "{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(routes::RULES).start().await;
    for (route, request) in routes::each("1") {
        let answer = sidecar.send(request).await;
        assert_eq!(answer.message.all("server-timing"), [FIELD, "miss, db;dur=7"], "{route}");
    }
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    let all = Exposition::read(&sidecar.prometheus().await);
    for (function, answers) in [("plain", 2.0), ("profile", 1.0), ("wa-webhook-core", 1.0)] {
        for (phase, seconds) in [("db", 0.060), ("render", 0.0045)] {
            let labels = [("function", function), ("phase", phase)];
            let (count, sum) = (all.sum("function_phase_seconds_count", &labels), all.sum("function_phase_seconds_sum", &labels));
            assert!((count - answers).abs() < 1e-9 && (sum - answers * seconds).abs() < 1e-9, "{function} {phase}: {count} {sum}");
        }
    }
    // a stored answer tells its caller the same, but nothing was spent on it; nor was on what deduplication answers
    let [.., cached, webhook] = routes::each("1").map(|(_, request)| request);
    let hit = sidecar.send(cached).await;
    assert_eq!((hit.header("x-cache"), hit.header("server-timing")), ("HIT", FIELD));
    assert_eq!(sidecar.send(webhook).await.header("x-dedup"), "DUPLICATE");
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    let again = Exposition::read(&sidecar.prometheus().await);
    assert!((again.sum("function_phase_seconds_count", &[]) - all.sum("function_phase_seconds_count", &[])).abs() < 1e-9);
    let db = &sidecar.metrics().await["handlers"]["profile"]["phases"]["db"];
    assert_eq!((&db["count"], &db["maxMs"]), (&1.into(), &60.0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_line_says_where_the_time_went() {
    let (gate, clock) = (Gate::new(), Clock::manual());
    let held = gate.clone();
    let origin = Origin::start(move |_| Reply::new(200, &[("Server-Timing", FIELD)], "{}").behind(&held)).await;
    let rules = format!("{}\nslow:\n  - {{ match: \"**\", after: 50ms }}\n", routes::RULES);
    let sidecar = in_front_of(&origin.url()).rules(&rules).clock(&clock).start().await;
    for (n, (route, request)) in routes::each("1").into_iter().enumerate() {
        let id = format!("slow-{n}");
        let sent = crate::signals_traffic::spawn(sidecar.address, request.header("x-request-id", &id));
        origin.until(n + 1).await;
        clock.advance(Duration::from_millis(70));
        gate.open();
        assert_eq!(sent.await.expect("no panic").status, 200);
        gate.shut();
        let line = sidecar.line("slow", &id).await;
        assert_eq!(line["phases"], serde_json::json!({ "db": 53.0, "render": 4.5 }), "{route}");
        let of = |part: &str| line["spent"][part].as_f64().unwrap_or_else(|| panic!("no {part}: {line}"));
        // each part is cut to whole microseconds
        assert!((of("connect_ms") + of("function_ms") - 70.0).abs() < 0.003, "{route}: {line}");
        let sum: f64 = ["waited_ms", "connect_ms", "function_ms", "answer_ms", "rest_ms"].into_iter().map(of).sum();
        assert!((sum - line["duration_ms"].as_f64().expect("a number")).abs() < 0.006, "{route}: {line}");
        let usual = sidecar.line("request", &id).await;
        assert!(usual.get("spent").is_none() && usual.get("phases").is_none(), "{route}: {usual}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_an_answer_makes_up_make_no_series() {
    let origin = Origin::start(|seen| {
        let made_up: Vec<_> = (0..20).map(|n| format!("{}-{n};dur=1", seen.target().trim_start_matches("/f/"))).collect();
        Reply::new(200, &[("server-timing", &made_up.join(","))], "{}")
    })
    .await;
    let sidecar = in_front_of(&origin.url()).start().await;
    let mut connection = sidecar.connect().await;
    for n in 0..50 {
        assert_eq!(connection.send(&get(&format!("/f/{n}"))).await.status, 200);
    }
    assert_eq!(connection.send(&get("/f/250788123456")).await.status, 200);
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    let text = sidecar.prometheus().await;
    let all = Exposition::read(&text);
    assert_eq!(all.of("function_phase_seconds_count", &[("function", "f")]).len(), 8);
    // the first answer's eight have taken all places; everything else is still in the sum
    assert!((all.sum("function_phase_seconds_sum", &[]) - 51.0 * 0.020).abs() < 1e-6);
    assert!(!text.contains("250788123456"));
}
