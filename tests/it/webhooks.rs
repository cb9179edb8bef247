//! Deduplication of webhooks, end to end: a sender, the sidecar, a function. Here are the messages and the moves that all files share.

mod batches;
mod bodies;
mod callers;
mod copies;
mod crowds;
mod doubt;
mod fixtures;
mod limits;
mod private;
mod record;
mod window;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::task::JoinHandle;

use crate::support::client::{Answer, Request, post, send};
use crate::support::origin::{Origin, Reply, Seen};
use crate::support::sidecar::{Sidecar, in_front_of};

/// The rule of the shipped file.
const RULES: &str = r#"
dedup:
  include:
    - { name: whatsapp, match: { function: "wa-webhook*", method: POST }, id: whatsapp, window: 24h }
"#;

/// The target of most webhooks.
const CORE: &str = "/wa-webhook-core";

/// The body of the answer to a duplicate.
const DUPLICATE: &str = r#"{"success":true,"duplicate":true}"#;

/// A change made to a request, such as how its body is framed.
type Change = fn(Request) -> Request;

/// A text message as an item of `messages`.
fn text(id: &str) -> String {
    format!(r#"{{"from":"2","id":"{id}","timestamp":"1","text":{{"body":"hi \ud83d\ude00"}},"type":"text"}}"#)
}

/// A webhook whose changes are given as `(field, members of the value)`.
fn envelope(changes: &[(&str, String)]) -> String {
    let change = |(field, members): &(&str, String)| {
        format!(r#"{{"value":{{"messaging_product":"whatsapp","metadata":{{"phone_number_id":"7"}},{members}}},"field":"{field}"}}"#)
    };
    let changes: Vec<String> = changes.iter().map(change).collect();
    format!(r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{}]}}]}}"#, changes.join(","))
}

/// A webhook with messages of these ids.
fn batch(ids: &[&str]) -> String {
    let items: Vec<String> = ids.iter().map(|id| text(id)).collect();
    envelope(&[("messages", format!(r#""messages":[{}]"#, items.join(",")))])
}

/// A webhook with one message.
fn message(id: &str) -> String {
    batch(&[id])
}

/// A webhook that tells what became of a sent message.
fn status(id: &str, status: &str) -> String {
    envelope(&[("messages", format!(r#""statuses":[{{"id":"{id}","status":"{status}","timestamp":"1","recipient_id":"2"}}]"#))])
}

/// The request that carries a webhook.
fn webhook(body: impl Into<Vec<u8>>) -> Request {
    post(CORE, body).header("Content-Type", "application/json")
}

/// A sidecar with the rule, in front of an origin.
async fn sidecar(origin: &Origin) -> Sidecar {
    in_front_of(&origin.url()).rules(RULES).start().await
}

/// Sends without waiting for the answer.
fn begin(sidecar: &Sidecar, request: Request) -> JoinHandle<Answer> {
    let address = sidecar.address;
    tokio::spawn(async move { send(address, &request).await })
}

/// The answer of a request that [`begin`] sent.
async fn end(task: JoinHandle<Answer>) -> Answer {
    task.await.expect("the sender does not panic")
}

/// A script that gives these replies one after the other, and 200 from then on.
fn in_turn(replies: Vec<Reply>) -> impl Fn(&Seen) -> Reply + Send + Sync {
    let next = AtomicUsize::new(0);
    move |_| replies.get(next.fetch_add(1, SeqCst)).cloned().unwrap_or_else(|| Reply::ok("{}"))
}

/// Status and `X-Dedup`.
fn verdict(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.header("x-dedup"))
}

/// Asserts that this is the sidecar's answer to a duplicate, to the letter.
fn assert_repeat(answer: &Answer, word: &str) {
    assert_eq!(verdict(answer), (200, word), "{}", answer.text());
    assert_eq!((answer.header("x-duplicate"), answer.header("content-type")), ("true", "application/json"));
    assert_eq!((answer.text().as_str(), answer.header("content-length")), (DUPLICATE, "33"));
}

/// The series of a rule's requests with a result.
fn requests(result: &str) -> String {
    format!(r#"edge_sidecar_dedup_requests_total{{result="{result}",rule="whatsapp"}}"#)
}
