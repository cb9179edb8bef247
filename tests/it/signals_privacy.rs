//! What is private, put wherever a caller or a function may put it, is nowhere to be read: not in the log at any level, in a metric, behind
//! an admin endpoint, or in an error's body.

use crate::support::client::{Answer, Connection, Request, get, post, request, through_socket};
use crate::support::command::Process;
use crate::support::origin::{Origin, Reply, Step};
use crate::support::{routes, until};

/// In every secret below.
const CANARY: &str = "c4n4ry";
const PHONE: &str = "250788123456";
/// As Meta writes ids: the phone number is in it, in base64.
const WAMID: &str = "wamid.HBgMMjUwNzg4MTIzNDU2";
const SECRET: &str = "c4n4ry-app-secret";

fn rules(secret_file: &str) -> String {
    let signed = format!(
        "    - {{ name: signed, match: {{ function: signed }}, id: whatsapp, verify: {{ scheme: meta, secret_file: {secret_file} }} }}\n"
    );
    let slow = "slow:\n  - { match: \"**\", after: 1ms }\n";
    format!("version: 1\n{}\n{slow}", routes::RULES.replace("cache:\n", &format!("{signed}cache:\n")))
}

/// A request with the canary in every field that may hold something of a person.
fn with_secrets(request: Request) -> Request {
    let secrets = [
        ("authorization", "Bearer c4n4ry"),
        ("apikey", "c4n4ry"),
        ("cookie", "session=c4n4ry"),
        ("x-api-key", "c4n4ry"),
        ("x-hub-signature-256", "sha256=c4n4ry"),
        ("referer", "https://c4n4ry.test/?c4n4ry"),
        ("user-agent", "c4n4ry"),
        ("x-request-id", "c4n4ry not well formed"),
        ("traceparent", "00-c4n4ry"),
        ("tracestate", "c4n4ry=1"),
        ("x-forwarded-for", "c4n4ry"),
        ("accept-language", "c4n4ry"),
        ("if-none-match", "\"c4n4ry\""),
    ];
    secrets.iter().fold(request, |r, (name, value)| r.header(name, value))
}

fn requests() -> Vec<Request> {
    let private = format!("/profile/{PHONE}/m/{WAMID}?token=c4n4ry");
    let message = routes::message(WAMID);
    [
        get("/echo?token=c4n4ry"),
        get(&private),
        get(&private),
        request("HEAD", &private),
        get("/profile/broken?c4n4ry=1"),
        get("/lost?a=c4n4ry"),
        post("/lost", CANARY),
        get("/cut?c4n4ry"),
        post("/wa-webhook-core?c4n4ry", message.clone()),
        post("/wa-webhook-core?c4n4ry", message.clone()),
        post("/wa-webhook-core", format!("{CANARY} no JSON")),
        post("/signed", message),
        post(&format!("/upload/{PHONE}?c4n4ry"), CANARY),
        request("BREW", &format!("/{WAMID}")),
        get(&format!("/f/{PHONE}")),
    ]
    .map(with_secrets)
    .into()
}

/// Heads that the guard refuses; what it says of them must not say what was in them.
const REFUSED: [&str; 4] = [
    "GET /x?c4n4ry HTTP/1.1\r\nHost: a\r\nAuthorization: c4n4ry\r\nContent-Length: c4n4ry\r\n\r\n",
    "GET c4n4ry HTTP/1.1\r\nHost: c4n4ry\r\n\r\n",
    "GET /250788123456 HTTP/1.1\r\nHost: a\r\nc4n4ry c4n4ry: c4n4ry\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: c4n4ry\r\napikey: c4n4ry\r\n\r\n",
];

async fn functions() -> Origin {
    Origin::start(|seen| match seen.target() {
        t if t.starts_with("/lost") => Reply::empty().then(Step::Close),
        t if t.starts_with("/cut") => Reply::ok(CANARY).cut(3).then(Step::Close),
        t if t.contains("broken") => Reply::new(500, &[("set-cookie", "c4n4ry"), ("sb-error-code", "c4n4ry")], CANARY),
        _ => Reply::new(200, &[("x-secret", "c4n4ry"), ("server-timing", &format!("c-{PHONE};dur=3;desc=c4n4ry, {WAMID};dur=2"))], CANARY),
    })
    .await
}

fn nothing_private(what: &str, said: &str) {
    for secret in [CANARY, PHONE, WAMID, "HBgMMjUw"] {
        assert!(!said.contains(secret), "{secret} in {what}:\n{said}");
    }
}

/// What every endpoint that only reads answers, through the socket: nobody sees more. `/events` is `/status` without an end.
async fn everything_shown(process: &Process) -> Vec<(String, Answer)> {
    let list = through_socket(&process.socket, &get("/no-such-endpoint")).await.json();
    let endpoints =
        list["endpoints"].as_array().expect("a list").iter().filter_map(|e| e.as_str()?.strip_prefix("GET ")).map(str::to_owned);
    let mut all = Vec::new();
    for target in endpoints
        .filter(|e| !e.contains('?') && e != "/events")
        .chain(["/metrics?format=prometheus".to_owned(), format!("/trace?id={}", &WAMID[6..])])
    {
        all.push((target.clone(), through_socket(&process.socket, &get(&target)).await));
    }
    assert!(all.len() >= 9, "{} endpoints", all.len());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_private_is_nowhere_at_any_log_level() {
    let origin = functions().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (rules_file, secret) = (folder.path().join("rules.yaml"), folder.path().join("secret"));
    std::fs::write(&secret, SECRET).expect("writable");
    std::fs::write(&rules_file, rules(&secret.display().to_string())).expect("writable");
    for level in ["error", "warn", "info", "debug"] {
        let mut process = Process::start(&origin.url(), &["--rules", &rules_file.display().to_string(), "--log-level", level]).await;
        let mut own_errors = 0;
        for request in requests() {
            let answer = Connection::open(process.address).await.try_send(&request).await;
            // what the function said is the caller's to read
            if answer.status >= 400 && answer.text().contains("\"requestId\"") {
                own_errors += 1;
                nothing_private("an error's body", &answer.text());
            }
        }
        for head in REFUSED {
            let mut connection = Connection::open(process.address).await;
            connection.write_raw(head.as_bytes()).await;
            let answer = connection.read(&get("/")).await;
            assert!(answer.status >= 400, "{head}");
            own_errors += 1;
            nothing_private("a refusal", &answer.text());
        }
        assert!(own_errors >= 7, "{own_errors} errors of the sidecar's own");
        let sent = f64::from(u32::try_from(requests().len() + REFUSED.len()).expect("few"));
        until("all are recorded", async || (process.metric("metrics.requests.total").await >= sent).then_some(())).await;
        for (endpoint, answer) in everything_shown(&process).await {
            nothing_private(&endpoint, &answer.text());
        }
        process.signal("INT");
        assert!(process.ended().await.success());
        let log = process.lines().join("\n");
        assert_eq!(log.contains(r#""event":"slow""#), level != "error");
        assert_eq!(log.contains(r#""level":"info","event":"request""#), matches!(level, "info" | "debug"));
        nothing_private(&format!("the log at level {level}"), &log);
    }
    assert!(origin.seen().iter().any(|s| s.header("authorization").contains(CANARY)), "functions get what was sent");
}
