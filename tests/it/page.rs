//! The live page in a real Chromium: what it shows is what was counted, in both schemes and on a phone, by keyboard and by the tree that screen
//! readers read; it survives a restart, and shows details only to those who may see them. Screenshots go to `target/tmp/page`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use edge_sidecar::clock::Clock;

use crate::signals_traffic::message;
use crate::support::browser::Page;
use crate::support::client::{get, post, request, send, through_socket};
use crate::support::command::{command, rename_over};
use crate::support::origin::{Origin, Reply, Seen};
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::{free_port, until};

const RULES: &str = "version: 1
cache:
  include:
    - { name: profile, match: { function: \"profile*\", method: GET }, ttl: 5m, scope: public }
    - { name: config, match: { function: app-config, method: GET }, ttl: 10m }
dedup:
  include:
    - { name: whatsapp, match: { function: \"wa-webhook*\", method: POST }, id: whatsapp, window: 24h }
slow: [{ match: '**', after: 1s }]
";
const REFUSED: &str = "version: 1\ncache:\n  include:\n    - { name: profile, match: { function: profile }, ttl: 5m, skope: public }\n";
const DESK: (u32, u32) = (1200, 1500);
const PHONE: (u32, u32) = (375, 812);

fn url(address: SocketAddr) -> String {
    format!("http://{address}/")
}

/// Functions whose answers take their time on the sidecar's clock.
async fn functions(clock: &Clock) -> Origin {
    let clock = clock.clone();
    Origin::start(move |seen: &Seen| {
        let took = |ms| clock.advance(Duration::from_millis(ms));
        match seen.target().split(['/', '?']).nth(1).unwrap_or_default() {
            "ocr-documents" => took(2_300),
            "wa-webhook-core" => took(38),
            "broken" => return Reply::new(500, &[], "{}"),
            _ => took(12),
        }
        Reply::ok("{}")
    })
    .await
}

/// A quarter of an hour of traffic, as fast as it goes.
async fn quarter_of_an_hour(sidecar: &Sidecar, clock: &Clock) {
    for slot in 0..90_u64 {
        for n in 0..6 + slot % 7 {
            sidecar.get(&format!("/profile?n={}", (slot / 12) * 3 + n % 5)).await;
        }
        let id = (slot / 2).to_string();
        sidecar.send(post("/wa-webhook-core", message(&[&id]))).await;
        match slot % 30 {
            7 => drop(sidecar.get("/ocr-documents/scan").await),
            11 => drop(sidecar.get("/broken").await),
            _ => drop(sidecar.get("/app-config").await),
        }
        // recorded before the clock moves on
        sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
        clock.advance(Duration::from_secs(10));
    }
}

async fn start(clock: &Clock, file: &Path) -> (Origin, Sidecar) {
    fs::write(file, RULES).expect("writable");
    let token = file.with_file_name("token");
    fs::write(&token, "t0ken").expect("writable");
    let origin = functions(clock).await;
    let sidecar = in_front_of(&origin.url()).watching(file.to_owned()).clock(clock).with(|s| s.admin.token_file = Some(token));
    (origin, sidecar.start().await)
}

/// Nothing went wrong in the page, and it asked nobody but its own door.
fn nothing_wrong(page: &Page, own: &str) {
    assert!(page.told("Runtime.exceptionThrown").is_empty(), "{:?}", page.told("Runtime.exceptionThrown"));
    assert!(page.told("Log.entryAdded").is_empty(), "{:?}", page.told("Log.entryAdded"));
    for asked in page.told("Network.requestWillBeSent") {
        let asked = asked["request"]["url"].as_str().expect("a URL");
        assert!(asked.starts_with(own) || asked.starts_with("data:"), "asked {asked}");
    }
}

/// Texts whose contrast with what lies behind them is less than 4.5 (WCAG 2.2, 1.4.3).
const FAINT: &str = r"(() => {
  const rgb = (c) => (c.match(/[\d.]+/g) || []).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => { for (; node; node = node.parentElement) { const c = rgb(getComputedStyle(node).backgroundColor); if (c.length === 3) return c; } return [255, 255, 255]; };
  return [...document.querySelectorAll('body *')].filter((node) => node.checkVisibility() && [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim())).map((node) => {
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.textContent.slice(0, 40)];
  }).filter(([contrast]) => contrast < 4.5);
})()";

#[tokio::test(flavor = "multi_thread")]
async fn what_it_shows_is_what_was_counted_in_both_schemes_and_on_a_phone() {
    let (clock, folder) = (Clock::manual(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("rules.yaml");
    let (_origin, sidecar) = start(&clock, &file).await;
    let mut page = Page::open(&url(sidecar.admin), DESK).await;
    page.until("document.getElementById('link').textContent === 'Live'").await;
    assert!(page.text("functions").await.contains("app-config"), "a function that a rule names is there before its first request");
    page.shoot("rest-light").await;

    quarter_of_an_hour(&sidecar, &clock).await;
    sidecar.until_series("edge_sidecar_requests_in_flight", 0.0).await;
    let json = sidecar.metrics().await;
    let total = json["metrics"]["requests"]["total"].as_u64().expect("a number");
    page.until(&format!("document.getElementById('t-total').textContent.replaceAll(',', '').startsWith('{total} in all')")).await;
    for (id, words) in [
        ("functions", ["wa-webhook-core", "ocr-documents", "profile", "2.3"]),
        ("webhooks", ["whatsapp", "45", "50.0 %", "Duplicate"]),
        ("cache", ["profile", "config", "Hit rate", "Stored"]),
        ("rules", ["whatsapp", "webhooks", "cache", "90"]),
        ("repeats", ["whatsapp", "45", "Late", "Unread"]),
        ("pool", ["functions", "reached", "Reused", "%"]),
        ("health", ["error rate", "average latency", "cache hit rate", "State"]),
    ] {
        let text = page.text(id).await;
        assert!(words.iter().all(|word| text.contains(word)), "{id}: {text}");
    }
    // 90 bars of requests, each as high as what was counted
    let bars = page.eval("document.querySelector('#c-requests path').getAttribute('d').split('Z').length - 1").await;
    assert!(bars.as_u64().is_some_and(|bars| (88..=90).contains(&bars)), "{bars}");
    for scheme in ["light", "dark"] {
        page.scheme(scheme).await;
        let faint = page.eval(FAINT).await;
        assert_eq!(faint, serde_json::json!([]), "{scheme}: too faint to read");
        page.shoot(&format!("load-{scheme}")).await;
    }
    page.resize(PHONE.0, PHONE.1).await;
    let wide = page.eval("document.documentElement.scrollWidth").await;
    assert_eq!(wide, PHONE.0, "on a phone nothing sticks out");
    page.shoot("phone-dark").await;
    page.scheme("light").await;
    page.shoot("phone-light").await;
    nothing_wrong(&page, &url(sidecar.admin));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_reload_is_told_and_its_problems_only_to_those_with_the_token() {
    let (clock, folder) = (Clock::manual(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("rules.yaml");
    let (_origin, sidecar) = start(&clock, &file).await;
    let mut page = Page::open(&url(sidecar.admin), DESK).await;
    sidecar.get("/ocr-documents/scan").await;
    sidecar.get("/profile?secret=canary").await;
    rename_over(&file, REFUSED);
    page.until("document.getElementById('notices').textContent.includes('was refused')").await;
    assert!(page.text("notices").await.contains("1 problem. The rules of generation 1 stay in force."));
    let html = page.eval("document.documentElement.outerHTML").await.to_string();
    assert!(!html.contains("skope") && !html.contains("/scan") && !html.contains("canary"), "sums only");

    page.eval("document.getElementById('token').focus()").await;
    page.call("Input.insertText", serde_json::json!({ "text": "wrong" })).await;
    page.press("Enter").await;
    page.until("document.getElementById('token-said').textContent === 'This is not the token.'").await;
    page.events.retain(|event| !event["params"]["entry"]["text"].as_str().is_some_and(|text| text.contains("401")));
    page.eval("document.getElementById('token').focus()").await;
    page.call("Input.insertText", serde_json::json!({ "text": "t0ken" })).await;
    page.press("Enter").await;
    page.until("!document.getElementById('details').hidden").await;
    assert!(page.text("diagnostics").await.contains("line 4:"), "{}", page.text("diagnostics").await);
    assert!(page.text("slow").await.contains("/ocr-documents/scan") && page.text("largest").await.contains("/profile"));
    assert!(page.text("text").await.contains("name: whatsapp"));
    page.shoot("refused").await;

    rename_over(&file, RULES);
    page.until("document.getElementById('notices').textContent === ''").await;
    nothing_wrong(&page, &url(sidecar.admin));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_read_and_used_without_eyes_and_without_a_mouse() {
    let (clock, folder) = (Clock::manual(), tempfile::tempdir().expect("a folder"));
    let (_origin, sidecar) = start(&clock, &folder.path().join("rules.yaml")).await;
    quarter_of_an_hour(&sidecar, &clock).await;
    let mut page = Page::open(&url(sidecar.admin), DESK).await;
    page.until("document.querySelectorAll('table').length >= 6").await;
    let tree = page.call("Accessibility.getFullAXTree", serde_json::json!({})).await;
    let nodes: Vec<(String, String)> = tree["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter(|node| node["ignored"] == false)
        .map(|node| {
            let word = |key: &str| node[key]["value"].as_str().unwrap_or_default().to_owned();
            (word("role"), word("name"))
        })
        .collect();
    let named = |role: &str| nodes.iter().filter(|node| node.0 == role).map(|node| node.1.as_str()).collect::<Vec<_>>();
    for role in ["main", "status", "table", "heading", "region", "image", "textbox", "button", "columnheader", "rowheader"] {
        assert!(!named(role).is_empty(), "no {role}: {nodes:?}");
    }
    for role in ["table", "heading", "region", "image", "textbox", "button", "link"] {
        assert!(named(role).iter().all(|name| !name.is_empty()), "a {role} without a name: {:?}", named(role));
    }
    assert!(named("image").iter().any(|name| name.starts_with("Requests a second: ")), "{:?}", named("image"));

    let mut stops = Vec::new();
    for _ in 0..20 {
        page.press("Tab").await;
        let at = "[document.activeElement.id || document.activeElement.getAttribute('aria-label') || document.activeElement.textContent, \
                  document.activeElement.matches(':focus-visible') && getComputedStyle(document.activeElement).outlineStyle !== 'none'].join('|')";
        stops.push(page.eval(at).await.as_str().expect("text").to_owned());
    }
    assert_eq!(stops[0], "Skip to the figures|true");
    for stop in ["As a table|true", "Look-ups since the start, stored answers now|true", "token|true", "Show details|true"] {
        assert!(stops.iter().any(|at| at == stop), "{stop} is not reached: {stops:?}");
    }
    // what comes every second takes the focus from nobody, and a table that is not closed is kept up to date
    page.eval("document.querySelector('summary').click(); document.querySelector('#cache .scroll').focus()").await;
    sidecar.get("/profile").await;
    page.until("document.getElementById('t-total').textContent.includes('in all') && document.querySelector('#recent tbody')").await;
    assert_eq!(page.eval("document.activeElement === document.querySelector('#cache .scroll')").await, true);
    nothing_wrong(&page, &url(sidecar.admin));
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_survives_a_restart() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let [address, admin] = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let run = || {
        let mut run = command(&["run", "--preset", "whatsapp", "--upstream", &origin.url(), "--listen", &address.to_string()]);
        run.args(["--admin-address", &admin.to_string(), "--admin-socket"]).arg(folder.path().join("admin.sock"));
        Killed(run.stdout(Stdio::null()).spawn().expect("it starts"))
    };
    let ready = async || tokio::net::TcpStream::connect(address).await.ok();
    let first = run();
    until("it accepts", ready).await;
    let mut page = Page::open(&url(admin), DESK).await;
    send(address, &get("/health")).await;
    page.until("document.getElementById('t-total').textContent.startsWith('1 in all')").await;
    drop(first);
    page.until("document.getElementById('link').textContent.startsWith('No answer since')").await;
    let _second = run();
    until("it accepts again", ready).await;
    page.until(
        "document.getElementById('link').textContent === 'Live' && document.getElementById('t-total').textContent.startsWith('0 in all')",
    )
    .await;
    assert!(page.told("Runtime.exceptionThrown").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn doors_and_limits_of_the_page() {
    let (clock, folder) = (Clock::manual(), tempfile::tempdir().expect("a folder"));
    let (_origin, sidecar) = start(&clock, &folder.path().join("rules.yaml")).await;
    let ask = async |target: &str, fields: &[(&str, &str)]| {
        let asked = fields.iter().fold(get(target).header("connection", "close"), |asked, (name, value)| asked.header(name, value));
        send(sidecar.admin, &asked).await
    };
    for (target, kind) in
        [("/", "text/html; charset=utf-8"), ("/page.css", "text/css; charset=utf-8"), ("/page.js", "text/javascript; charset=utf-8")]
    {
        let answer = ask(target, &[]).await;
        assert_eq!((answer.status, answer.header("content-type"), answer.header("cache-control")), (200, kind, "no-store"));
        assert!(
            answer.header("content-security-policy").contains("default-src 'none'") && !answer.text().contains("http://")
                || target == "/page.js"
        );
        assert_eq!(ask(target, &[("host", "rebind.example.com")]).await.status, 400, "a page under a foreign name");
    }
    let sums = ask("/status", &[]).await.json();
    assert_eq!((&sums["trusted"], sums.get("details"), &sums["rules"]["generation"]), (&false.into(), None, &1.into()));
    assert_eq!(ask("/status", &[("authorization", "Bearer wrong")]).await.status, 401);
    assert_eq!(ask("/slow", &[]).await.status, 401);
    let all = ask("/status", &[("authorization", "Bearer t0ken")]).await.json();
    assert!(all["trusted"] == true && all["details"]["rulesText"].as_str().is_some_and(|text| text.contains("whatsapp")));
    let socket = through_socket(&sidecar.socket, &get("/status")).await.json();
    assert_eq!(socket["details"]["rulesText"], all["details"]["rulesText"]);
    // a forwarded socket is within reach of other pages in that browser
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)] {
        let asked = get("/status").header("host", "localhost:9901").header("sec-fetch-site", site);
        assert_eq!(through_socket(&sidecar.socket, &asked).await.status, status, "{site}");
        let drain = request("POST", "/drain").header("host", "rebind.example.com").header("sec-fetch-site", site);
        assert_eq!(through_socket(&sidecar.socket, &drain).await.status, 403, "{site}");
    }
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut stream = crate::support::client::Connection::open(sidecar.admin).await;
        stream.write(&get("/events")).await;
        assert_eq!(stream.read_head().await.header("content-type"), "text/event-stream");
        open.push(stream);
    }
    assert_eq!((ask("/events", &[]).await.status, ask("/metrics", &[]).await.status), (503, 200));
    drop(open);
    until("a place is free again", async || {
        let mut stream = crate::support::client::Connection::open(sidecar.admin).await;
        stream.write(&get("/events")).await;
        (stream.read_head().await.status == 200).then_some(())
    })
    .await;
}
