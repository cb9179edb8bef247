//! The boundary: what callers send is judged before anybody reads it, in size, number, time and form.

mod answers;
mod framing;
mod hostile;
mod slow;
mod upgrade;

use crate::support::client::{Answer, Connection, get, send};
use crate::support::sidecar::Sidecar;

/// Sends bytes on a connection of their own and reads one answer.
async fn raw(sidecar: &Sidecar, bytes: &[u8]) -> (Connection, Answer) {
    let mut connection = sidecar.connect().await;
    connection.write_raw(bytes).await;
    let answer = connection.read(&get("/")).await;
    (connection, answer)
}

/// The sidecar's own error, in the form of all of them, after which its connection is closed.
async fn assert_refused(connection: &mut Connection, answer: &Answer, status: u16, code: &str) {
    let body = answer.json();
    assert_eq!((answer.status, body["error"].as_str()), (status, Some(code)));
    assert!(body["message"].as_str().is_some_and(|m| !m.is_empty()));
    assert_eq!(body["requestId"], answer.header("x-request-id"));
    assert_eq!((answer.header("content-type"), answer.header("connection")), ("application/json", "close"));
    assert!(answer.message.whole && connection.is_closed().await, "{code}");
}

/// Another caller is served as if nothing had been.
async fn assert_others_are_served(sidecar: &Sidecar) {
    assert_eq!(send(sidecar.address, &get("/victim")).await.status, 200);
}

/// The name of the counter of refusals.
fn refused(reason: &str) -> String {
    format!(r#"edge_sidecar_requests_refused_total{{reason="{reason}"}}"#)
}
