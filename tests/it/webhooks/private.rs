//! Nothing of a message leaves by a side door: the whole output of the real command, its metrics and its own answers are searched.

use super::{CORE, envelope, text};
use crate::support::client::{Answer, Request, get, post, send};
use crate::support::command::Process;
use crate::support::origin::{Gate, Origin, Reply, Seen, Step};
use crate::support::until;

/// The number of the person who wrote, in clear and in the base64 of an id.
const PHONE: &str = "12025550143";
const WAMID: &str = "wamid.HBgLMTIwMjU1NTAxNDMVAgASGBAzRUIwQTFDNEQyRjA5ODE3AA==";
const SECRETS: [&str; 6] = [PHONE, "HBgLMTIwMjU1NTAxNDM", "3EB0A1C4D2F09817", "canary-words", "canary-token", "canary-name"];

fn body(id: &str) -> String {
    let item = text(id).replace(r#""from":"2""#, &format!(r#""from":"{PHONE}""#)).replace("hi ", "canary-words ");
    envelope(&[("messages", format!(r#""contacts":[{{"profile":{{"name":"canary-name"}},"wa_id":"{PHONE}"}}],"messages":[{item}]"#))])
}

fn webhook(body: impl Into<Vec<u8>>) -> Request {
    post(&format!("{CORE}?token=canary-token&from={PHONE}"), body)
        .header("Authorization", "Bearer canary-token")
        .header("Cookie", "s=canary-token")
}

fn script(gate: Gate) -> impl Fn(&Seen) -> Reply {
    move |seen| match seen.message.text() {
        text if text.contains("wamid.lost") => Reply::empty().then(Step::Reset),
        text if text.contains("wamid.cut") => Reply::ok("canary-words").cut(3),
        text if text.contains("wamid.held") => Reply::ok("{}").behind(&gate),
        _ => Reply::ok("{}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_id_number_name_or_word_is_in_any_log_line_metric_or_answer_of_ours() {
    let gate = Gate::new();
    let origin = Origin::start(script(gate.clone())).await;
    let process = Process::start(&origin.url(), &["--preset", "whatsapp", "--log-level", "debug"]).await;
    let mut answers: Vec<Answer> = Vec::new();
    let whole = body(WAMID);
    for request in [
        webhook(whole.clone()),
        webhook(whole.clone()),
        webhook(whole.replace("\"id\"", "\"no\"")),
        webhook(&whole.as_bytes()[..whole.len() - 3]),
        webhook(whole.clone()).header("Content-Encoding", "gzip"),
        webhook(body(&format!("wamid.lost{WAMID}"))),
        webhook(body(&format!("wamid.cut{WAMID}"))),
        webhook(format!("{whole}{}", " ".repeat(9 << 20))),
        post(&format!("//wa-webhook-core/{PHONE}/{WAMID}"), whole.clone()),
        post(&format!("/wa-webhook-{PHONE}/{WAMID}"), whole.clone()),
        get(&format!("{CORE}/{PHONE}?hub.verify_token=canary-token")),
        webhook(whole.clone()).header("X-Request-Id", WAMID),
    ] {
        answers.push(send(process.address, &request).await);
    }
    let held = body(&format!("wamid.held{WAMID}"));
    let (before, address, first) = (origin.count(), process.address, webhook(held.clone()));
    let first = tokio::spawn(async move { send(address, &first).await });
    origin.until(before + 1).await;
    answers.push(send(process.address, &webhook(held)).await); // waits in vain
    gate.open();
    answers.push(first.await.expect("the sender does not panic"));
    let sent = answers.len();
    let lines = until("a line for each request", async || {
        let lines = process.lines();
        (lines.iter().filter(|l| l.contains(r#""event":"request""#)).count() >= sent).then_some(lines)
    })
    .await;
    let prometheus = send(process.admin, &get("/metrics?format=prometheus").header("connection", "close")).await.text();
    let json = send(process.admin, &get("/metrics").header("connection", "close")).await.text();
    let ours = answers.iter().filter(|a| a.status >= 400 || a.has("x-duplicate")).map(Answer::text);
    let all: Vec<String> = lines.into_iter().chain([prometheus, json]).chain(ours).collect();
    for secret in SECRETS {
        let told = all.iter().find(|text| text.contains(secret));
        assert_eq!(told, None, "{secret}");
    }
}
