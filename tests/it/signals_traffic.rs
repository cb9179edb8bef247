//! Traffic of every kind for the tests of signals, and a reader of the Prometheus text.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use tokio::task::JoinHandle;

use crate::support::client::{Answer, Connection, Request, get, post, send};
use crate::support::origin::{Gate, Origin, Reply, Seen, Step};
use crate::support::sidecar::{Builder, Sidecar, in_front_of};

pub const RULES: &str = r#"
cache:
  include:
    - { name: profile, match: { function: "profile*", method: GET }, ttl: 5m, scope: per_caller }
    - { name: config, match: { function: "app-config*", method: GET }, ttl: 10m }
dedup:
  include:
    - { name: whatsapp, match: { function: "wa-webhook*", method: POST }, id: whatsapp, window: 24h }
"#;

/// Largest body, and most requests to one function, of the sidecars made here.
const BODY_LIMIT: usize = 4096;
const MOST_PER_FUNCTION: usize = 2;

/// A webhook with these messages.
pub fn message(ids: &[&str]) -> String {
    let one = |id: &&str| format!(r#"{{"from":"2","id":"{id}","type":"text","text":{{"body":"hi"}}}}"#);
    let messages = ids.iter().map(one).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"phone_number_id":"7"}},"messages":[{messages}]}}}}]}}]}}"#
    )
}

/// Functions that answer by their name; `held`, and a message with that word, wait for the gate.
pub async fn functions(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |seen: &Seen| {
        let body = seen.message.text();
        match seen.target().split(['/', '?']).nth(1).unwrap_or_default() {
            "missing" => Reply::new(404, &[], "{}"),
            "broken" | "profile-broken" => Reply::new(500, &[], "{}"),
            "lost" => Reply::empty().then(Step::Close),
            "held" => Reply::ok("{}").behind(&gate),
            _ if body.contains("held") => Reply::ok("{}").behind(&gate),
            _ => Reply::ok("{}"),
        }
    })
    .await
}

/// A sidecar in front of them.
pub fn sidecar(origin: &Origin) -> Builder {
    in_front_of(&origin.url()).rules(RULES).with(|s| {
        s.limits.body = BODY_LIMIT as u64;
        s.limits.in_flight_per_function = MOST_PER_FUNCTION;
    })
}

/// Sends a request in the background.
pub fn spawn(address: SocketAddr, request: Request) -> JoinHandle<Answer> {
    tokio::spawn(async move { send(address, &request).await })
}

/// What was sent, and what must have been counted of it.
#[derive(Debug, Default)]
pub struct Sent {
    /// Requests by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Requests looked up in the cache.
    pub lookups: u64,
}

impl Sent {
    /// All requests.
    pub fn total(&self) -> u64 {
        self.outcomes.values().sum()
    }

    fn one(&mut self, outcome: &'static str, looked_up: bool) {
        *self.outcomes.entry(outcome).or_default() += 1;
        self.lookups += u64::from(looked_up);
    }
}

/// Requests whose answer needs nothing else to happen: outcome, status, request, whether it is looked up.
fn plain() -> Vec<(&'static str, u16, Request, bool)> {
    let a = |target: &str| get(target).header("authorization", "Bearer a");
    let webhook = |ids: &[&str]| post("/wa-webhook-core", message(ids));
    vec![
        ("miss", 200, a("/profile"), true),
        ("hit", 200, a("/profile"), true),
        ("hit", 200, a("/profile"), true),
        ("bypass", 200, a("/x/../profile"), false),
        ("miss", 500, a("/profile-broken"), true),
        ("bypass", 200, a("/app-config"), false),
        ("miss", 200, get("/app-config"), true),
        ("new", 200, webhook(&["1"]), false),
        ("duplicate", 200, webhook(&["1"]), false),
        ("partial", 200, webhook(&["1", "2"]), false),
        ("skipped", 200, post("/wa-webhook-core", "no JSON"), false),
        ("refused", 413, post("/wa-webhook-core", "x".repeat(BODY_LIMIT + 1)), false),
        ("forwarded", 200, get("/echo"), false),
        ("forwarded", 404, get("/missing"), false),
        ("forwarded", 500, get("/broken"), false),
        ("failed", 502, post("/lost", "{}"), false),
    ]
}

/// Sends requests of every kind, and waits until each was recorded.
pub async fn mixed(sidecar: &Sidecar, origin: &Origin, gate: &Gate) -> Sent {
    let mut sent = Sent::default();
    for (outcome, status, request, looked_up) in plain() {
        let answer = sidecar.send(request.clone()).await;
        assert_eq!(answer.status, status, "{outcome} {request:?} {}", answer.text());
        sent.one(outcome, looked_up);
    }
    let before = origin.count();
    let held = [post("/wa-webhook-core", message(&["held"])), get("/held"), get("/held")].map(|r| spawn(sidecar.address, r));
    origin.until(before + held.len()).await;
    let joined = spawn(sidecar.address, post("/wa-webhook-core", message(&["held"])));
    sidecar.until_series("edge_sidecar_dedup_waiting", 1.0).await;
    assert_eq!(sidecar.get("/held").await.status, 503, "a third one is too many");
    gate.open();
    for answer in held.into_iter().chain([joined]) {
        assert_eq!(answer.await.expect("no panic").status, 200);
    }
    for outcome in ["new", "forwarded", "forwarded", "joined", "shed"] {
        sent.one(outcome, false);
    }
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    sent
}

/// A caller that is gone before the held function answers.
pub async fn left(sidecar: &Sidecar, origin: &Origin) {
    let before = origin.count();
    let mut connection = Connection::open(sidecar.address).await;
    connection.write(&get("/held")).await;
    origin.until(before + 1).await;
    connection.reset();
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
}

/// One series.
#[derive(Clone, Debug)]
pub struct Series {
    /// The metric.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// A Prometheus text.
#[derive(Debug)]
pub struct Exposition(pub Vec<Series>);

impl Exposition {
    /// Reads a text; refuses series that come twice and values that are no numbers.
    pub fn read(text: &str) -> Self {
        let (mut all, mut names) = (Vec::new(), BTreeSet::new());
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
            assert!(names.insert(series), "twice: {series}");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(value.is_finite() && value >= 0.0, "{line}");
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let pairs = labels.trim_end_matches('}').split("\",").filter(|p| !p.is_empty()).map(|pair| {
                let (label, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
                (label.to_owned(), value.trim_end_matches('"').to_owned())
            });
            all.push(Series { name: name.to_owned(), labels: pairs.collect(), value });
        }
        Self(all)
    }

    /// The series of a metric (without prefix) that have these labels.
    pub fn of(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Series> {
        let fits =
            |s: &&Series| s.name == format!("edge_sidecar_{name}") && labels.iter().all(|(l, v)| s.labels.get(*l).is_some_and(|x| x == v));
        self.0.iter().filter(fits).collect()
    }

    /// Their sum.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.of(name, labels).iter().map(|s| s.value).sum()
    }

    /// The values of a label.
    pub fn values(&self, label: &str) -> BTreeSet<&str> {
        self.0.iter().filter_map(|s| s.labels.get(label)).map(String::as_str).collect()
    }
}
