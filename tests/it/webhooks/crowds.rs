//! Many messages at once: each is taken once, none is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{message, requests, sidecar, webhook};
use crate::support::client::Connection;
use crate::support::origin::{Origin, Reply, Seen};
use crate::support::sidecar::Sidecar;

const MESSAGES: usize = 100;
const COPIES: usize = 3;
const CONNECTIONS: usize = 8;

/// The id in a webhook of [`message`].
fn id(seen: &Seen) -> String {
    let json: serde_json::Value = serde_json::from_slice(&seen.message.body).expect("JSON");
    json["entry"][0]["changes"][0]["value"]["messages"][0]["id"].as_str().expect("an id").to_owned()
}

/// Sends every copy of every message, those of one message side by side over several connections; a sender that is not told 200
/// sends again. Returns how many requests it took.
async fn send_all(sidecar: &Sidecar) -> usize {
    let address = sidecar.address;
    let senders = (0..CONNECTIONS).map(|sender| {
        tokio::spawn(async move {
            let (mut connection, mut sent) = (Connection::open(address).await, 0);
            for copy in (sender..MESSAGES * COPIES).step_by(CONNECTIONS) {
                let request = webhook(message(&format!("wamid.{}", copy / COPIES)));
                loop {
                    sent += 1;
                    let answer = connection.send(&request).await;
                    if answer.status == 200 {
                        break;
                    }
                    assert_eq!(answer.status, 500, "{:?}", answer.message);
                }
            }
            sent
        })
    });
    let mut sent = 0;
    for sender in senders.collect::<Vec<_>>() {
        sent += sender.await.expect("every answer is 200 in the end");
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_copies_each_of_a_hundred_messages_are_each_processed_once() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    assert_eq!(send_all(&sidecar).await, MESSAGES * COPIES, "every answer is 200");
    let mut seen: Vec<String> = origin.seen().iter().map(id).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), origin.count()), (MESSAGES, MESSAGES));
    sidecar.until_series(&requests("new"), 100.0).await;
    let repeats = sidecar.series(&requests("duplicate")).await + sidecar.series(&requests("joined")).await;
    assert_eq!(repeats.to_string(), "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn where_the_function_fails_at_first_each_is_still_taken_once() {
    let attempts = Arc::<Mutex<HashMap<String, u32>>>::default();
    let taken = Arc::<Mutex<HashMap<String, u32>>>::default();
    let (count, take) = (Arc::clone(&attempts), Arc::clone(&taken));
    let origin = Origin::start(move |seen| {
        let id = id(seen);
        let attempt = *count.lock().expect("no panic").entry(id.clone()).and_modify(|n| *n += 1).or_insert(1);
        if id.ends_with('3') && attempt <= 2 {
            return Reply::new(500, &[], "failed");
        }
        *take.lock().expect("no panic").entry(id).or_insert(0) += 1;
        Reply::ok("{}")
    })
    .await;
    let sidecar = sidecar(&origin).await;
    assert_eq!(send_all(&sidecar).await, MESSAGES * COPIES + 20, "ten messages failed twice each");
    let taken = taken.lock().expect("no panic").clone();
    assert!(taken.len() == MESSAGES && taken.values().all(|n| *n == 1), "{taken:?}");
    assert_eq!(origin.count(), MESSAGES + 20);
}
