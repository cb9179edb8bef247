//! Where time goes: what functions report of their phases, and the parts of a request.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::telemetry::record::Phases;

pub(super) fn said(field: &str) -> Exchanged {
    let value = HeaderValue::from_str(field).expect("a field value");
    Exchanged { phases: Phases::of(&HeaderMap::from_iter([(HeaderName::from_static("server-timing"), value)])), ..exchanged() }
}

#[test]
fn what_a_function_reports_is_there_by_function_and_phase() {
    let metrics = metrics();
    for (function, status, field) in [
        ("profile", 200, "db;dur=50, render;dur=4"),
        ("profile", 200, "db;dur=30,db;dur=40"),
        ("profile", 500, "miss;desc=\"no time\""),
        ("ocr-documents", 500, "db;dur=7, u250788123456;dur=2"),
        ("made-up", 404, "db;dur=9"),
    ] {
        metrics.record(&Finished { function, status, upstream: Some(&said(field)), ..finished() });
    }
    let text = metrics.prometheus();
    promtool(&text);
    assert!(text.contains("# TYPE edge_sidecar_function_phase_seconds summary\n") && !text.contains("250788123456"));
    let s = samples(&text);
    let of = |function: &str, phase: &str| {
        let value = |part: &str| s[&format!("edge_sidecar_function_phase_seconds_{part}{{function=\"{function}\",phase=\"{phase}\"}}")];
        (value("count"), (value("sum") * 1000.0).round())
    };
    assert_eq!((of("profile", "db"), of("profile", "render")), ((2.0, 120.0), (1.0, 4.0)));
    assert_eq!((of("ocr-documents", "db"), of("other", "other")), ((1.0, 7.0), (2.0, 11.0)));
    assert_eq!(sum(&s, "edge_sidecar_function_phase_seconds_count", ""), 6.0);
    let json = metrics.json();
    let db = json.handlers["profile"].phases["db"];
    assert_eq!((db.count, db.max_ms, db.avg_ms), (2, 70.0, 60.0));
    assert!((db.p50_ms - 50.0).abs() < 0.5, "{db:?}");
    assert!(json.handlers["wa-webhook-core"].phases.is_empty());
}

#[test]
fn before_any_report_there_is_the_one_series_that_is_always_there() {
    let s = samples(&metrics().prometheus());
    let found: Vec<_> = s.iter().filter(|(k, _)| k.contains("function_phase_seconds")).map(|(k, v)| (k.as_str(), *v)).collect();
    let name = |part: &str| format!("edge_sidecar_function_phase_seconds_{part}{{function=\"other\",phase=\"other\"}}");
    assert_eq!(found, [(name("count").as_str(), 0.0), (name("sum").as_str(), 0.0)]);
}

proptest! {
    #[test]
    fn the_parts_of_a_request_add_up_to_all_of_it(
        (waited, connect, head, body, rest) in (0..9_u64, prop::option::of(0..9_u64), 0..9_u64, 0..9_u64, 0..9_u64),
        (called, coalesced) in any::<(bool, bool)>(),
    ) {
        let ms = Duration::from_millis;
        let (first_byte, wait) = (ms(connect.unwrap_or(0) + head), ms(waited));
        let call = Exchanged { connect: connect.map(ms), first_byte, total: first_byte + ms(body), ..exchanged() };
        let repeats = crate::dedup::Repeats::default();
        let dedup = DedupRecord { rule: "wa", result: DedupResult::Joined, skipped: None, ids: 1, new: 0, repeated: 1, repeats, waited: wait };
        let cache = CacheRecord { rule: "state", result: LookupResult::Coalesced, bypass: None, not_stored: None, refreshed: None };
        let duration = if called { call.total } else { Duration::ZERO } + wait + ms(rest);
        let upstream = called.then_some(&call);
        let done = Finished { duration, upstream, dedup: Some(dedup), cache: coalesced.then_some(cache), ..finished() };
        let spent = done.spent();
        prop_assert_eq!(spent.waited + spent.connect + spent.function + spent.answer + spent.rest, duration);
        if called {
            prop_assert_eq!((spent.connect, spent.function, spent.answer, spent.rest), (ms(connect.unwrap_or(0)), ms(head), ms(body), ms(rest)));
        }
    }
}
