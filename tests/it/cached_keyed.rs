//! `key:` of a rule: what of a request tells answers apart, and that nothing else reaches the function when it is asked for them.

use edge_sidecar::config::sidecar::Network;
use serde_json::json;

use crate::cached::{HIT, STORED, numbered, still, told};
use crate::support::client::{get, post, through_socket};
use crate::support::origin::{Origin, Reply};
use crate::support::sidecar::in_front_of;

const KEYED: &str = r#"
cache:
  include:
    - name: config
      match: { function: "config*" }
      ttl: 5m
      scope: public
      key: { query: [lang, v], headers: [x-tenant] }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_named_counts_and_only_that_is_sent() {
    let origin = numbered(&[]).await;
    let sidecar = still(&origin, KEYED).await;
    for (n, (first, same)) in [
        ("/config?lang=en&utm=1", vec!["/config?lang=en", "/config?x&lang=en&y=lang=de", "/config?&lang=en&"]),
        ("/config?v=2&lang=en", vec!["/config?lang=en&v=2", "/config?lang=en&utm=3&v=2"]),
        ("/config?v=1&v=2", vec!["/config?v=1&a&v=2"]),
        ("/config?v=2&v=1", vec![]),
        ("/config?lang=", vec!["/config?lang=&LANG=en"]),
        ("/config?lang", vec![]),
        ("/config?lang=en;v=2", vec![]),
        ("/config?l%61ng=en", vec!["/config", "/config?", "/config?utm=9"]),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = sidecar.get(first).await;
        assert_eq!((told(&answer), answer.text()), (STORED, n.to_string()), "{first}");
        for same in same {
            let answer = sidecar.get(same).await;
            assert_eq!((told(&answer), answer.text()), (HIT, n.to_string()), "{same}");
        }
    }
    let targets: Vec<String> = origin.seen().iter().map(|seen| seen.target().to_owned()).collect();
    let sent = ["?lang=en", "?lang=en&v=2", "?v=1&v=2", "?v=2&v=1", "?lang=", "?lang", "?lang=en;v=2", ""];
    assert_eq!(targets, sent.map(|query| format!("/config{query}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_field_counts_value_for_value_and_reaches_the_function() {
    let origin = Origin::start(|seen| Reply::ok(seen.message.all("x-tenant").join("+"))).await;
    let sidecar = still(&origin, KEYED).await;
    let with = |values: &[&str]| values.iter().fold(get("/config"), |request, value| request.header("x-tenant", value));
    for values in [&[][..], &[""], &["a"], &["A"], &["a", "b"], &["b", "a"], &["a, b"]] {
        let answer = sidecar.send(with(values)).await;
        assert_eq!((told(&answer), answer.text()), (STORED, values.join("+")), "{values:?}");
    }
    for values in [&[][..], &[""], &["a"], &["A"], &["a", "b"], &["b", "a"], &["a, b"]] {
        let answer = sidecar.send(with(values)).await;
        assert_eq!((told(&answer), answer.text()), (HIT, values.join("+")), "{values:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_and_a_purge_find_what_their_url_is_answered_with() {
    let origin = numbered(&[]).await;
    let sidecar = still(&origin, KEYED).await;
    let targets = ["/config?lang=en&utm=1", "/config?lang=de"];
    for (round, wanted) in ["/config?utm=2&lang=en", "/config?lang=en"].into_iter().enumerate() {
        for target in targets {
            sidecar.get(target).await;
            assert_eq!(told(&sidecar.get(target).await), HIT);
        }
        if round == 0 {
            assert_eq!(sidecar.send(post(wanted, "{}")).await.status, 200);
        } else {
            let target = wanted.to_owned();
            let purge = post("/cache/purge", json!({ "url": target }).to_string()).header("content-type", "application/json");
            assert_eq!(through_socket(&sidecar.socket, &purge).await.json(), json!({ "purged": 1 }));
        }
        assert_eq!((told(&sidecar.get(targets[0]).await).0, told(&sidecar.get(targets[1]).await)), ("MISS", HIT), "{wanted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trusted_proxy_says_of_the_request_counts_and_what_others_say_does_not() {
    let rules = KEYED.replace("      key: { query: [lang, v], headers: [x-tenant] }\n", "");
    let said = |seen: &crate::support::origin::Seen| {
        ["x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix"].map(|name| seen.header(name).to_owned()).join(" ")
    };
    for trusted in [false, true] {
        let origin = Origin::start(move |seen| Reply::ok(said(seen))).await;
        let networks = if trusted { vec![Network { address: [127, 0, 0, 0].into(), bits: 8 }] } else { Vec::new() };
        let sidecar = in_front_of(&origin.url()).rules(&rules).with(move |s| s.trusted_proxies = networks).start().await;
        let evil = get("/config").header("x-forwarded-host", "evil.example").header("x-forwarded-prefix", "/evil");
        let first = sidecar.send(evil.clone()).await;
        assert_eq!(first.text().contains("evil"), trusted);
        let plain = sidecar.get("/config").await;
        assert_eq!((plain.header("x-cache") == "HIT", plain.text().contains("evil")), (!trusted, false), "{trusted}");
        assert_eq!(sidecar.send(evil).await.header("x-cache"), "HIT");
    }
}
