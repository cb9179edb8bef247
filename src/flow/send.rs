//! One call to a function on behalf of one caller, streamed to it as it comes. Runs in the caller's own task, which its leaving does
//! not cancel: the function's verdict is heard in any case.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::timeout;

use super::{Answer, Cause, Downstream, Failure, Gone, Upstream};
use crate::telemetry::record::Exchanged;

/// How a call ended.
#[derive(Debug)]
pub struct Sent {
    /// What is known of the call.
    pub exchanged: Option<Exchanged>,
    /// The way it ended.
    pub end: End,
}

/// The end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The caller has the whole answer.
    Whole,
    /// No head came; nothing was written to the caller.
    NoAnswer(Cause),
    /// The answer broke off after its head: the caller must see that.
    Cut(Cause),
    /// The caller left, or stopped reading.
    CallerGone(Gone),
}

/// Longest time the rest of an answer is read for the sake of its connection.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Sends `call` and streams its answer to `down`. `settle` hears the final status and fields as soon as the head is there, before anything is
/// written to the caller, so that a slow reader holds nobody; it is dropped unheard if there is no head.
pub async fn send<U, D>(upstream: &U, call: U::Call, down: &mut D, settle: impl FnOnce(StatusCode, &HeaderMap) + Send) -> Sent
where
    U: Upstream,
    D: Downstream<Head = <U::Answer as Answer>::Head>,
{
    relay(upstream.open(call).await, down, settle).await
}

/// The second half of [`send`]: what was opened, or why it was not.
pub async fn relay<A, D>(opened: Result<A, Failure>, down: &mut D, settle: impl FnOnce(StatusCode, &HeaderMap) + Send) -> Sent
where
    A: Answer,
    D: Downstream<Head = A::Head>,
{
    let mut answer = match opened {
        Ok(answer) => answer,
        Err(Failure { cause, exchanged }) => return Sent { exchanged, end: End::NoAnswer(cause) },
    };
    let (status, fields) = answer.head();
    settle(status, fields);
    let head = answer.take_head();
    let end = match down.head(head).await {
        Ok(()) => stream(&mut answer, down).await,
        Err(gone) => End::CallerGone(gone),
    };
    let exchanged = Some(answer.exchanged());
    if matches!(end, End::CallerGone(_)) {
        // boxed: an unboxed future of this size is moved several times by the spawn
        tokio::spawn(Box::pin(async move { timeout(DRAIN_TIME, answer.drain()).await }));
    }
    Sent { exchanged, end }
}

async fn stream<A: Answer, D: Downstream<Head = A::Head>>(answer: &mut A, down: &mut D) -> End {
    loop {
        match answer.next().await {
            Ok(Some(data)) => {
                if let Err(gone) = down.data(data).await {
                    return End::CallerGone(gone);
                }
            }
            Ok(None) => return End::Whole,
            Err(cause) => return End::Cut(cause),
        }
    }
}
