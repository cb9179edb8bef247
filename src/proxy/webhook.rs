//! A webhook that a deduplication rule claims: body whole, events identified, claimed, forwarded, settled.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use pingora::prelude::{Error, ErrorType, Result};
use pingora::proxy::Session;
use tokio::sync::mpsc;

use super::body::{self, Body};
use super::client::{self, Client};
use super::ctx::{Ctx, DedupMark, DedupStory};
use super::exchange::Call;
use super::heads::{self, Length, Purpose};
use super::refusal::Refusal;
use super::respond;
use super::service::Edge;
use super::unsafe_method::Changes;
use crate::dedup::{self, Delivery, SkipReason};
use crate::engine::{Identified, Rule, identify};
use crate::flow::Upstream;
use crate::flow::budget::Share;
use crate::flow::send::{End, Sent, relay, send};
use crate::flow::webhook::{Admission, Admitted, admit};
use crate::store::claims::Claim;
use crate::telemetry::record::{DedupResult, Outcome, Source};

/// Answers a webhook. `Ok(false)`: nothing was read, Pingora streams it. `unread`: why its events are not to be looked for, only its
/// signature is.
///
/// # Errors
/// The caller left, or the function's answer broke off after its head.
pub async fn answer(
    edge: &Edge,
    session: &mut Session,
    ctx: &mut Ctx,
    rule: Arc<Rule<dedup::Settings>>,
    unread: Option<SkipReason>,
) -> Result<bool> {
    let limits = &edge.shared.limits;
    let (body, share) = match body::read(session, limits.body, limits.body_timeout, &edge.shared.bodies).await? {
        Body::Whole(body, share) => (body, share),
        // without its body, nobody knows who sent it
        Body::NoRoom | Body::Begun(..) if rule.settings.verify.is_some() => {
            return respond::refuse(session, ctx, Refusal::BodyRoom).await;
        }
        Body::NoRoom => {
            skip(ctx, SkipReason::BodyBudget);
            return Ok(false);
        }
        Body::Begun(begun, share) => {
            skip(ctx, SkipReason::BodyBudget);
            return stream(edge, session, ctx, begun, share).await;
        }
        Body::Refused(refusal) => return respond::refuse(session, ctx, refusal).await,
    };
    ctx.story.bytes_in = body.iter().map(|b| b.len() as u64).sum();
    let head = session.req_header();
    if let Some(verify) = &rule.settings.verify
        && !verify.accepts(&head.headers, &body, edge.shared.clock.wall())
    {
        // before any claim: who only knows an id must not be able to keep the message with it from the function
        ctx.story.dedup = Some(DedupStory::of(DedupResult::BadSignature, 0));
        return respond::refuse(session, ctx, Refusal::Signature).await;
    }
    if let Some(reason) = unread {
        skip(ctx, reason);
        return forward(edge, session, ctx, (body, share), None).await;
    }
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let delivery = Delivery { target, headers: &head.headers, body: &body };
    let claim = match identify(&rule.settings, &edge.way.name, &ctx.line.function, &delivery) {
        Identified::Skip(reason) => {
            skip(ctx, reason);
            None
        }
        Identified::Events { keys, idless } => {
            let admitted = admit(&*edge.shared.claims, &edge.shared.clock, &rule.settings, &keys, idless).await;
            match note(ctx, admitted, keys.len()) {
                Ok(claim) => {
                    if claim.fresh() == 0 && !idless {
                        skip(ctx, SkipReason::NotClaimed);
                    }
                    Some(claim)
                }
                Err(Some(refusal)) => return respond::refuse(session, ctx, refusal).await,
                Err(None) => return respond::duplicate(session, &ctx.marks, &rule.settings.duplicate_response).await,
            }
        }
    };
    forward(edge, session, ctx, (body, share), claim).await
}

/// Notes that the request goes on without deduplication.
pub fn skip(ctx: &mut Ctx, reason: SkipReason) {
    ctx.marks.dedup = Some(DedupMark::Skipped(reason));
    ctx.story.outcome = Outcome::Skipped;
    ctx.story.reason = Some(reason.as_str());
    let repeats = ctx.story.dedup.and_then(|story| story.repeats);
    ctx.story.dedup = Some(DedupStory { skipped: Some(reason.as_str()), repeats, ..DedupStory::of(DedupResult::Skipped, 0) });
}

/// Notes the admission. `Err(None)`: answer as a duplicate.
fn note(ctx: &mut Ctx, admitted: Admitted, ids: usize) -> Result<Claim, Option<Refusal>> {
    let ids = u32::try_from(ids).unwrap_or(u32::MAX);
    let (mark, outcome, result, new) = match &admitted.admission {
        Admission::Forward(claim) if claim.repeated() == 0 => (Some(DedupMark::New), Outcome::New, DedupResult::New, ids),
        Admission::Forward(claim) => {
            (Some(DedupMark::Partial), Outcome::Partial, DedupResult::Partial, u32::try_from(claim.fresh()).unwrap_or(u32::MAX))
        }
        Admission::Duplicate { .. } => (Some(DedupMark::Duplicate), Outcome::Duplicate, DedupResult::Duplicate, 0),
        Admission::Joined { .. } => (Some(DedupMark::Joined), Outcome::Joined, DedupResult::Joined, 0),
        Admission::TimedOut | Admission::Crowded => (None, Outcome::Shed, DedupResult::Timeout, 0),
    };
    ctx.marks.dedup = mark;
    ctx.story.outcome = outcome;
    // who waited in vain never learnt what its events are: counted as `timeout`, not as accepted earlier
    let repeated = if result == DedupResult::Timeout { 0 } else { ids - new };
    ctx.story.dedup =
        Some(DedupStory { new, repeated, waited: admitted.waited, repeats: Some(admitted.repeats), ..DedupStory::of(result, ids) });
    match admitted.admission {
        Admission::Forward(claim) => Ok(claim),
        Admission::Duplicate { age } | Admission::Joined { age } => {
            ctx.story.source = Source::Dedup;
            ctx.story.age = Some(age);
            Err(None)
        }
        Admission::TimedOut => Err(Some(Refusal::WaitTimeout)),
        Admission::Crowded => Err(Some(Refusal::Crowded)),
    }
}

async fn forward(
    edge: &Edge,
    session: &mut Session,
    ctx: &mut Ctx,
    (body, share): (Vec<Bytes>, Share),
    claim: Option<Claim>,
) -> Result<bool> {
    let length = Length::Known(body.iter().map(Bytes::len).sum());
    let head = heads::exchange_head(session.req_header(), length, &edge.way, &edge.caller(session, ctx), Purpose::Call)?;
    let call = Call { head, body, share: Some(share), rest: None };
    let clock = edge.shared.clock.clone();
    let mut receipt = None;
    // any other status, and no answer at all, drops the claim: the next copy is forwarded
    let changes = Changes::of(session.req_header());
    let settle = |status: StatusCode, answer: &HeaderMap| {
        if let Some(changes) = changes {
            changes.settle(&edge.shared, status, answer);
        }
        if let (200..=299, Some(claim)) = (status.as_u16(), claim) {
            receipt = Some(claim.accept(clock.now()));
        }
    };
    let sent = send(&edge.way, call, &mut Client { session, marks: &ctx.marks }, settle).await;
    // the sender knows nothing of the success, and will send again
    if let (End::CallerGone(_) | End::Cut(_), Some(receipt)) = (sent.end, receipt) {
        receipt.unread();
    }
    finish(session, ctx, sent).await
}

/// Sends a body whose beginning is read and for whose rest there is no room: without deduplication, as it comes.
async fn stream(edge: &Edge, session: &mut Session, ctx: &mut Ctx, begun: Vec<Bytes>, share: Share) -> Result<bool> {
    let limits = &edge.shared.limits;
    let left = limits.body.saturating_sub(begun.iter().map(|b| b.len() as u64).sum());
    let (to, rest) = mpsc::channel(1);
    let head = heads::exchange_head(session.req_header(), Length::Unknown, &edge.way, &edge.caller(session, ctx), Purpose::Call)?;
    let mut open = Box::pin(edge.way.open(Call { head, body: begun, share: Some(share), rest: Some(rest) }));
    let opened = tokio::select! {
        opened = &mut open => opened, // it answered before it had read all
        pumped = body::pump(session, left, limits.body_timeout, to) => match pumped? {
            None => open.await,
            Some(refusal) => return respond::refuse(session, ctx, refusal).await,
        },
    };
    let changes = Changes::of(session.req_header());
    let settle = |status: StatusCode, answer: &HeaderMap| changes.iter().for_each(|changes| changes.settle(&edge.shared, status, answer));
    let sent = relay(opened, &mut Client { session, marks: &ctx.marks }, settle).await;
    finish(session, ctx, sent).await
}

/// Ends a request that [`send`] served.
///
/// # Errors
/// As [`answer`].
pub async fn finish(session: &mut Session, ctx: &mut Ctx, sent: Sent) -> Result<bool> {
    ctx.story.upstream = sent.exchanged;
    match sent.end {
        End::Whole => {
            session.write_response_body(None, true).await?;
            Ok(true)
        }
        End::NoAnswer(cause) => respond::refuse(session, ctx, Refusal::Upstream(cause)).await,
        // never `Ok(true)` here: Pingora would complete the broken body with its last chunk
        End::Cut(cause) => {
            ctx.story.error = Some(cause.as_str());
            Err(Error::explain(ErrorType::ConnectionClosed, "the function's answer broke off").into_up())
        }
        End::CallerGone(gone) => Err(client::unreachable(gone)),
    }
}
