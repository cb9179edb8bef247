//! `traceparent` over a running sidecar: taken from the caller or made, passed on, and in the line of every request.

use crate::support::origin::{Origin, Reply, Seen};
use crate::support::routes;
use crate::support::sidecar::{Sidecar, in_front_of};

const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const LATER: &str = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes";

/// What functions saw, and the trace id in the line, of a request on each kind of route with these fields.
async fn sent(origin: &Origin, sidecar: &Sidecar, name: &str, fields: &[(&str, &str)]) -> Vec<(&'static str, Seen, String)> {
    let mut all = Vec::new();
    for (n, (route, request)) in routes::each(name).into_iter().enumerate() {
        let (calls, id) = (origin.count(), format!("{name}-{n}"));
        let request = fields.iter().fold(request, |r, (field, value)| r.header(field, value)).header("x-request-id", &id);
        assert_eq!(sidecar.send(request).await.status, 200, "{name} on a {route}");
        let logged = sidecar.line("request", &id).await["trace_id"].as_str().unwrap_or_default().to_owned();
        all.push((route, origin.seen().get(calls).expect("a function was asked").clone(), logged));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_through_every_way_and_is_in_the_line() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(routes::RULES).start().await;
    for (name, given) in [("given", GIVEN), ("later", LATER)] {
        for (route, seen, logged) in sent(&origin, &sidecar, name, &[("traceparent", given), ("tracestate", "vendor=1,b=2")]).await {
            assert_eq!(
                (seen.message.all("traceparent"), &*logged),
                (vec![given], "4bf92f3577b34da6a3ce929d0e0e4736"),
                "{name} on a {route}"
            );
            assert_eq!(seen.header("tracestate"), "vendor=1,b=2", "{name} on a {route}");
        }
    }
    // answers that no function made have their line as well
    for (n, (route, request)) in routes::each("given").into_iter().enumerate().skip(2) {
        let id = format!("again-{n}");
        let calls = origin.count();
        sidecar.send(request.header("traceparent", GIVEN).header("x-request-id", &id)).await;
        assert_eq!((sidecar.line("request", &id).await["trace_id"].as_str(), origin.count()), (GIVEN.split('-').nth(1), calls), "{route}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_begins_where_there_is_none_or_none_that_can_be_read() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = in_front_of(&origin.url()).rules(routes::RULES).start().await;
    let bad = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
    let twice: [(&str, &str); 2] = [("traceparent", GIVEN), ("traceparent", bad)];
    let mut ids = std::collections::BTreeSet::new();
    for (name, fields) in [("none", &[][..]), ("bad", &[("traceparent", bad), ("tracestate", "vendor=1")]), ("twice", &twice)] {
        for (route, seen, logged) in sent(&origin, &sidecar, name, fields).await {
            let made = seen.message.all("traceparent");
            let parts: Vec<_> = made[0].split('-').collect();
            assert_eq!((made.len(), parts[0], parts[1], parts[3]), (1, "00", &*logged, "00"), "{name} on a {route}");
            assert!(logged.len() == 32 && ids.insert(logged), "{name} on a {route}: each has its own");
            assert_eq!(seen.header("tracestate"), "", "{name} on a {route}");
        }
    }
}
