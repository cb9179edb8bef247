//! The verdict of `explain` is the one that the data path of a real sidecar comes to, over rules and requests drawn by lot.

use std::fmt::Write as _;

use bytes::Bytes;
use edge_sidecar::cache::CallerSecret;
use edge_sidecar::config::judge_rules;
use edge_sidecar::engine::expect::{Aspect, actual};
use edge_sidecar::engine::{Question, Site, explain};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::client::request;
use crate::support::origin::{Origin, Reply};
use crate::support::sidecar::in_front_of;

fn one_of<'a>(random: &mut StdRng, list: &[&'a str]) -> &'a str {
    list[random.random_range(0..list.len())]
}

fn matcher(random: &mut StdRng) -> String {
    let function = one_of(random, &["function: a, ", "function: \"b*\", ", ""]);
    let method = one_of(random, &["method: [GET, POST], ", "method: [POST, GET], ", ""]);
    let query = one_of(random, &["query: q, ", "query: { q: \"1*\" }, ", ""]);
    let path = one_of(random, &["\"**\"", "\"**/x\"", "\"/functions/v1/*\""]);
    format!("{{ {function}{method}{query}path: {path} }}")
}

fn rules(random: &mut StdRng) -> String {
    let mut text = String::new();
    for (part, settings) in [("cache", "ttl: 5m, scope: "), ("dedup", "id: whatsapp")] {
        let _ = write!(text, "{part}:\n  exclude:\n    - {{ name: {part}-no, match: {} }}\n  include:\n", matcher(random));
        for at in 0..4 {
            let scope = if part == "cache" { one_of(random, &["public", "per_caller", "anonymous"]) } else { "" };
            let _ = writeln!(text, "    - {{ name: {part}-{at}, match: {}, {settings}{scope} }}", matcher(random));
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_path_decides_as_explained() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let mut random = StdRng::seed_from_u64(6);
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let text = rules(&mut random);
        let judged = judge_rules(format!("version: 1\n{text}").as_bytes()).value.expect("good rules");
        let sidecar = in_front_of(&origin.url()).rules(&text).start().await;
        for at in 0..24 {
            let method = one_of(&mut random, &["GET", "POST", "OPTIONS"]);
            let target = one_of(&mut random, &["/a", "/functions/v1/a?q=12", "/bc/x?q", "/functions/v1/b?q=2", "/c/x", "/a//x"]);
            let field = one_of(&mut random, &["x-none", "authorization", "range", "content-encoding"]);
            let body = if method == "POST" { "{}" } else { "" };
            let id = format!("explained-{at}");
            let request = request(method, target).header(field, "v").header("x-request-id", &id).header("connection", "close");
            let request = if body.is_empty() { request } else { request.with_body(body) };
            sidecar.send(request).await;
            let line = sidecar.line("request", &id).await;

            let headers = HeaderMap::from_iter([(HeaderName::from_static(field), HeaderValue::from_static("v"))]);
            let method: Method = method.parse().expect("a method");
            let question = Question::new(method, target, headers, Bytes::from_static(body.as_bytes())).expect("a request");
            let explained = explain(&judged, &Site::default(), &question, &CallerSecret::new([1; 16]));
            let (cache, dedup) = (&explained.report.cache, &explained.report.dedup);
            let rule = cache.rule.as_ref().or(dedup.rule.as_ref());
            assert_eq!(
                line["rule"].as_str(),
                rule.map(String::as_str),
                "{text}{method:?} {target} {field}: {line}",
                method = question.method
            );
            if dedup.rule.is_none() {
                let bypass = actual(&explained, Aspect::Bypass);
                assert_eq!(line["outcome"] == "bypass", bypass != "none", "{text}{target}: {line}");
            }
            kinds.insert((cache.verdict, dedup.verdict));
        }
    }
    assert!(kinds.len() >= 5, "too few kinds of verdicts to mean anything: {kinds:?}");
}
