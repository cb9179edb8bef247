//! An explanation shows every setting that the grammar has, and no secret.

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::super::grammar::{CACHE_RULE, DEDUP_RULE, Map};
use super::good;
use crate::cache::CallerSecret;
use crate::engine::{Question, Site, explain};

fn shown(settings: &[(&'static str, String)]) -> Vec<&'static str> {
    settings.iter().map(|(key, _)| *key).collect()
}

fn known(map: &Map) -> Vec<&'static str> {
    map.names().into_iter().filter(|key| *key != "name").collect()
}

const RULES: &str = "version: 1
cache:
  include:
    - name: own
      match:
        { path: \"/a*\", method: [GET, HEAD], host: \"api.*\", listener: functions, query: { lang: \"e*\" }, header: { x-tenant: a } }
      ttl: { 200: 5m, 404: 15s }
      scope: per_caller
      statuses: any
dedup:
  include:
    - name: events
      match: \"**\"
      id: [{ json: \"a[].id\", with: [kind] }, { header: x-id }, stripe]
      duplicate_response: { status: 202, body: ok }
      verify: { scheme: stripe, secret_env: EXPLAINED_SECRET }
";

#[test]
fn every_setting_of_the_rule_that_matches_is_shown() {
    let rules = good(RULES);
    let ask = |method: Method, target: &str| {
        let headers = HeaderMap::from_iter([
            (http::header::HOST, http::HeaderValue::from_static("api.example")),
            ("x-tenant".parse().expect("a name"), http::HeaderValue::from_static("a")),
        ]);
        let question = Question::new(method, target, headers, Bytes::from_static(b"{}")).expect("a request");
        explain(&rules, &Site::default(), &question, &CallerSecret::new([1; 16])).report
    };
    let cache = ask(Method::GET, "/a?lang=en").cache;
    let mut wanted = known(&CACHE_RULE);
    let mut found = shown(&cache.settings);
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted, "settings of a cache rule");
    let of = |settings: &[(&'static str, String)], key: &str| settings.iter().find(|(k, _)| *k == key).expect("shown").1.clone();
    let matched = "path /a*, host api.*, listener functions, method GET or HEAD, query lang=e*, header x-tenant=a";
    assert_eq!((of(&cache.settings, "match"), of(&cache.settings, "ttl")), (matched.to_owned(), "200: 5m, 404: 15s".to_owned()));
    assert_eq!((of(&cache.settings, "statuses"), of(&cache.settings, "scope")), ("any".to_owned(), "per_caller".to_owned()));

    let dedup = ask(Method::POST, "/b").dedup;
    let mut found = shown(&dedup.settings);
    let mut wanted = known(&DEDUP_RULE);
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted, "settings of a dedup rule");
    assert_eq!(of(&dedup.settings, "id"), "json a[].id with kind, else header x-id, else stripe");
    assert_eq!(of(&dedup.settings, "duplicate_response"), "202 application/json ok");
    assert_eq!((of(&dedup.settings, "verify"), of(&dedup.settings, "window")), ("by stripe".to_owned(), "30s".to_owned()));
}
