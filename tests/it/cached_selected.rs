//! Parts of stored answers, conditions, and the scope that lets the answer decide.

use crate::cached::{HIT, PUBLIC, STORED, numbered, still, told};
use crate::support::client::{get, request};
use crate::support::origin::{Origin, Reply};

const FIELDS: &[(&str, &str)] =
    &[("ETag", "\"v1\""), ("Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT"), ("Content-Type", "text/plain"), ("X-Of-Function", "kept")];
const STANDARD: &str = r#"
cache:
  include:
    - { name: config, match: { function: "config*" }, ttl: 5m, scope: standard }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_answer_is_cut_and_compared_as_asked() {
    let origin = Origin::start(|_| Reply::new(200, FIELDS, "0123456789")).await;
    let sidecar = still(&origin, PUBLIC).await;
    let part = || get("/config").header("range", "bytes=2-4");
    let before = sidecar.send(part()).await;
    assert_eq!((told(&before).1, before.status), ("fwd=bypass; detail=range", 200), "a miss is the function's to answer");
    assert_eq!(told(&sidecar.get("/config").await), STORED);
    // one connection: each answer must end where the next begins
    let mut connection = sidecar.connect().await;
    for (asked, status, length, body) in [
        (part(), 206, "3", "234"),
        (part().header("if-range", "\"v1\""), 206, "3", "234"),
        (part().header("if-range", "\"v0\""), 200, "10", "0123456789"),
        (get("/config").header("range", "bytes=-2").http10().header("connection", "keep-alive"), 206, "2", "89"),
        (get("/config").header("range", "bytes=10-"), 416, "0", ""),
        (get("/config").header("if-none-match", "W/\"v0\", W/\"v1\""), 304, "", ""),
        (get("/config").header("if-modified-since", "Sat, 01 Jan 2022 00:00:00 GMT"), 304, "", ""),
        (get("/config").header("if-none-match", "\"v0\""), 200, "10", "0123456789"),
        (request("HEAD", "/config").header("if-none-match", "\"v1\""), 304, "", ""),
        (request("HEAD", "/config").header("range", "bytes=2-4"), 200, "10", ""),
    ] {
        let answer = connection.send(&asked).await;
        assert_eq!((told(&answer), answer.status), (HIT, status), "{asked:?}");
        assert_eq!((answer.header("content-length"), answer.text().as_str()), (length, body), "{asked:?}");
        assert_eq!((answer.header("etag"), answer.header("x-of-function"), answer.header("age")), ("\"v1\"", "kept", "0"), "{asked:?}");
        assert_eq!(answer.has("content-type"), matches!(status, 200 | 206), "{asked:?}");
        let range = match (status, body) {
            (206, "234") => "bytes 2-4/10",
            (206, _) => "bytes 8-9/10",
            (416, _) => "bytes */10",
            _ => "",
        };
        assert_eq!(answer.header("content-range"), range, "{asked:?}");
    }
    assert_eq!(origin.count(), 2);
}

/// Two callers, and one who is nobody, under the scope that lets the answer decide (RFC 9111 3.5).
#[tokio::test(flavor = "multi_thread")]
async fn under_standard_an_answer_to_credentials_is_shared_only_if_it_says_so() {
    for name in ["authorization", "apikey"] {
        for (control, shared) in
            [("max-age=60", false), ("", false), ("public", true), ("s-maxage=60", true), ("must-revalidate, max-age=60", true)]
        {
            let fields: &[(&str, &str)] = Box::leak(Box::new([("Cache-Control", control), ("Access-Control-Allow-Origin", "*")]));
            let origin = numbered(fields).await;
            let sidecar = still(&origin, STANDARD).await;
            let caller = |who: &str| get("/config").header(name, who).header("cookie", who);
            let bodies = [caller("a"), caller("b"), get("/config"), caller("a"), get("/config")];
            let mut seen = Vec::new();
            for asked in bodies {
                seen.push(sidecar.send(asked).await.text());
            }
            let expected = if shared { ["0", "0", "0", "0", "0"] } else { ["0", "1", "2", "3", "2"] };
            assert_eq!(seen, expected, "{name}, {control:?}: no caller gets what another, or nobody, was given");
            assert!(
                origin.seen().iter().all(|seen| seen.header("cookie").is_empty() || !shared),
                "cookies select nothing: not sent on a fetch"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_stored_only_where_the_rule_and_the_answer_say_so() {
    let any = PUBLIC.replace("scope: public", "scope: public, statuses: any");
    for (rules, control, count) in [(PUBLIC, "max-age=60", 2), (&any, "", 2), (&any, "max-age=60", 1)] {
        for status in [400, 403, 429, 500, 503, 599] {
            let origin = Origin::start(move |_| Reply::new(status, &[("Cache-Control", control)], "x")).await;
            let sidecar = still(&origin, rules).await;
            for _ in 0..2 {
                assert_eq!(sidecar.get("/config").await.status, status);
            }
            assert_eq!(origin.count(), count, "{status} {control:?} {rules}");
        }
        for never in [401, 407, 416, 546] {
            let origin = Origin::start(move |_| Reply::new(never, &[("Cache-Control", control)], "x")).await;
            let sidecar = still(&origin, rules).await;
            for _ in 0..2 {
                assert_eq!(sidecar.get("/config").await.status, never);
            }
            assert_eq!(origin.count(), 2, "{never}: one caller's own");
        }
    }
}
