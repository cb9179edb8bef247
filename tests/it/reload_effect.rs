//! What an edit would have meant for the last requests, as the running sidecar says it to who asks before the edit.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::signals_traffic::message;
use crate::support::client::{Connection, get, post};
use crate::support::command::{Process, output};
use crate::support::origin::{Origin, Reply};

const RULES: &str = "version: 1
cache:
  include:
    - { name: profile, match: { function: profile }, ttl: 5m, scope: per_caller }
dedup:
  include:
    - { name: whatsapp, match: { function: \"wa*\" }, id: whatsapp, window: 24h }
";

async fn check(process: &Process, edit: &Path, more: &[&str]) -> String {
    let (socket, edit) = (process.socket.display().to_string(), edit.display().to_string());
    let args: Vec<String> =
        ["check", &edit, "--against", "live", "--socket", &socket].iter().chain(more).map(|a| (*a).to_owned()).collect();
    let ended = tokio::task::spawn_blocking(move || output(&args.iter().map(String::as_str).collect::<Vec<_>>())).await.expect("no panic");
    let said = String::from_utf8([ended.stdout, ended.stderr].concat()).expect("text");
    assert_eq!(ended.status.code(), Some(0), "{said}");
    said
}

fn says(said: &str, lines: &[&str]) {
    for line in lines {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_tried_on_the_last_thousand_requests() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, edit) = (folder.path().join("rules.yaml"), folder.path().join("edit.yaml"));
    fs::write(&file, RULES).expect("written");
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let process = Process::start(&origin.url(), &["--rules", &file.display().to_string()]).await;

    fs::write(&edit, RULES.replace("per_caller", "public")).expect("written");
    says(&check(&process, &edit, &[]).await, &["scope from per_caller to public", "of the last 0 requests 0 would be decided otherwise"]);

    let mut caller = Connection::open(process.address).await;
    for at in 0..30 {
        let request = match at % 3 {
            0 => get("/profile?token=hidden-one").header("authorization", &format!("Bearer hidden-{at}")).header("x-tenant", "hidden-two"),
            1 => post("/wa-webhook-core", message(&[&format!("m{at}")])),
            _ => get("/other"),
        };
        assert_eq!(caller.send(&request).await.status, 200);
    }
    let now = "cached for each caller by itself under `profile` (5m) now";
    let said = check(&process, &edit, &[]).await;
    says(
        &said,
        &[
            "of the last 30 requests 10 would be decided otherwise",
            &format!("look twice: 10 of 30: {now}, shared between callers, signed in or not, under `profile` (5m) then"),
        ],
    );
    says(&check(&process, &edit, &["--format", "github"]).await, &["::warning", "10 of 30"]);

    fs::write(&edit, RULES.split("dedup").next().expect("a part")).expect("written");
    let gone = "look twice: 10 of 30: deduplicated for 1d under `whatsapp` (copies wait 4s) now, not deduplicated then";
    says(&check(&process, &edit, &[]).await, &[gone]);

    // another value of a field that no rule in force looks at is not known, and that is said
    fs::write(&edit, RULES.replace("function: profile", "function: profile, header: { x-tenant: \"a*\" }")).expect("written");
    let json: Value = serde_json::from_str(&check(&process, &edit, &["--json"]).await).expect("JSON");
    let effect = &json[0]["difference"]["effect"];
    assert_eq!((&effect["requests"], &effect["otherwise"], &effect["unknown"]), (&30.into(), &0.into(), &10.into()), "{json}");
    assert!(!json.to_string().contains("hidden"), "{json}");

    fs::write(&edit, RULES).expect("written");
    says(&check(&process, &edit, &[]).await, &["no difference", "of the last 30 requests 0 would be decided otherwise"]);

    // the older ones make room
    for _ in 0..1_000 {
        assert_eq!(caller.send(&get("/other")).await.status, 200);
    }
    fs::write(&edit, RULES.replace("per_caller", "public")).expect("written");
    says(&check(&process, &edit, &[]).await, &["of the last 1000 requests 0 would be decided otherwise"]);
    assert!((process.metric("config.generation").await - 1.0).abs() < 0.5, "nothing was changed by asking");
}
