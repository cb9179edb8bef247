//! Scraping: a real Prometheus with a plain configuration, and the `Accept` lists that scrapers and people send.

use serde_json::Value;

use crate::signals_traffic::{Exposition, functions, mixed, sidecar};
use crate::support::client::{get, request, send};
use crate::support::origin::Gate;
use crate::support::prometheus::Prometheus;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_it_and_computes_the_same_hit_rate() {
    let gate = Gate::new();
    let origin = functions(&gate).await;
    let sidecar = sidecar(&origin).start().await;
    let prometheus = Prometheus::start(sidecar.admin);
    let sent = mixed(&sidecar, &origin, &gate).await;
    let json = sidecar.metrics().await;
    let number = |at: &str| json.pointer(at).and_then(Value::as_f64).expect("a number");

    prometheus.until("sum(edge_sidecar_requests_total)", f64::from(u32::try_from(sent.total()).expect("small"))).await;
    let lookups = |labels: &str| format!("sum(edge_sidecar_cache_lookups_total{{rule=\"profile\"{labels}}})");
    let rate = format!("{} / {}", lookups(",result=~\"hit|coalesced\""), lookups(""));
    prometheus.until(&rate, number("/cache/profile/hitRate")).await;
    prometheus.until("up{job=\"sidecar\"}", 1.0).await;
    prometheus.until("edge_sidecar_config_last_reload_successful", 1.0).await;
    prometheus.until("edge_sidecar_build_info", 1.0).await;
    let quantile = "histogram_quantile(0.9, sum by (le) (edge_sidecar_request_duration_seconds_bucket))";
    let seconds = prometheus.ask(quantile).await.expect("a value");
    assert!(seconds > 0.0 && seconds.is_finite(), "{seconds}");
    // every series of the text is there, none was dropped as a duplicate
    let samples = Exposition::read(&sidecar.prometheus().await).0.len();
    prometheus.until("scrape_samples_scraped", f64::from(u32::try_from(samples).expect("small"))).await;
    prometheus.until("scrape_samples_post_metric_relabeling", f64::from(u32::try_from(samples).expect("small"))).await;
}

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

/// What scrapers (prometheus#17086) and people send.
const LISTS: [(&str, &str); 9] = [
    (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        TEXT,
    ),
    (
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        TEXT,
    ),
    (
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        TEXT,
    ),
    ("text/plain;version=0.0.4;q=1,*/*;q=0.1", TEXT),
    ("text/plain", TEXT),
    ("application/openmetrics-text", TEXT),
    ("*/*", JSON),
    ("application/json", JSON),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", JSON),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_accept_list_gets_one_concrete_type_and_a_body_of_that_type() {
    let origin = functions(&Gate::new()).await;
    let sidecar = sidecar(&origin).start().await;
    for (list, kind) in LISTS {
        for method in ["GET", "HEAD"] {
            let asked = request(method, "/metrics").header("accept", list).header("accept-encoding", "gzip").header("connection", "close");
            let answer = send(sidecar.admin, &asked).await;
            assert_eq!((answer.status, answer.message.all("content-type")), (200, vec![kind]), "{method} {list}");
            assert!(!answer.has("content-encoding") && answer.header("vary").eq_ignore_ascii_case("accept"), "{method} {list}");
            match (method, kind) {
                ("HEAD", _) => assert!(answer.message.body.is_empty()),
                (_, JSON) => assert!(answer.json().is_object()),
                _ => assert!(!Exposition::read(&answer.text()).0.is_empty()),
            }
        }
    }
    for (target, kind) in [("/metrics", JSON), ("/metrics?format=json", JSON), ("/metrics?format=prometheus", TEXT)] {
        let answer = send(sidecar.admin, &get(target).header("connection", "close")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, kind), "{target}");
    }
    let unknown = send(sidecar.admin, &get("/metrics?format=xml").header("connection", "close")).await;
    assert_eq!((unknown.status, &unknown.json()["error"]), (400, &"bad_request".into()));
}
