//! A route that a cache rule matched: looked up, and answered from the store or by a fetch.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use pingora::http::RequestHeader;
use pingora::prelude::Result;
use pingora::proxy::Session;

use super::client::{self, Client};
use super::ctx::{CacheMark, CacheStory, Ctx};
use super::exchange::{Call, Open};
use super::heads::{self, Length, Purpose};
use super::hit::stored;
use super::refresh;
use super::refusal::Refusal;
use super::respond;
use super::service::Edge;
use super::way::Way;
use super::webhook::finish;
use crate::cache::request::{OnMiss, strip_on_fetch};
use crate::cache::status::{CacheStatus, Forward, Stale};
use crate::cache::{self, Bypass, CacheKey, Entry, NotStored};
use crate::engine::Rule;
use crate::flow::fetch::{self, Desk, Fetched, Why};
use crate::flow::fill::{Fill, Part, Reader, Shelf, StandIn};
use crate::flow::send::{End, Sent, send};
use crate::flow::{Answer, Downstream};
use crate::telemetry::record::{LookupResult, Outcome, RefreshResult, Source};

/// The cache's part of a plan, owned.
pub struct Lookup {
    /// The rule.
    pub rule: Arc<Rule<cache::Settings>>,
    /// The key.
    pub key: CacheKey,
    /// What a miss means.
    pub on_miss: OnMiss,
}

/// Answers a request that is looked up.
///
/// # Errors
/// The caller left, or the function's answer broke off after its head.
pub async fn answer(edge: &Edge, session: &mut Session, ctx: &mut Ctx, lookup: Lookup) -> Result<bool> {
    let shared = &edge.shared;
    let shelf = Shelf {
        responses: Arc::clone(&shared.responses),
        bodies: shared.bodies.clone(),
        max_object: shared.memory.max_object,
        clock: shared.clock.clone(),
    };
    let head = fetch_head(edge, session, ctx, &lookup)?;
    let request = session.req_header().headers.clone();
    let fill = |lead, stale: Option<Arc<Entry>>| Fill {
        upstream: Arc::clone(&edge.way),
        call: Call::bodyless(asking_about(head, stale.as_deref())),
        stale,
        shelf: shelf.clone(),
        key: lookup.key.clone(),
        rule: Arc::clone(&lookup.rule),
        request: request.clone(),
        begun: shared.responses.begin(),
        lead,
    };
    let desk = Desk { shelf: shelf.clone(), flights: Arc::clone(&shared.flights), max_followers: (shared.limits.in_flight / 2).max(1) };
    let wanted = fetch::Lookup { key: &lookup.key, rule: &lookup.rule, on_miss: lookup.on_miss, headers: &request };
    match desk.find::<Arc<Way>>(&wanted, fill).await {
        Fetched::Stored { entry, age, left } => {
            tell(ctx, CacheStatus::Hit { ttl: seconds(left) }, Some(age));
            stored(session, ctx, &entry).await
        }
        Fetched::Stale { entry, age, since, why, refresh } => {
            if let Some(reader) = refresh {
                refresh::watch(Arc::clone(&shared.metrics), Arc::clone(&lookup.rule), reader);
            }
            tell(ctx, stale(since, why), Some(age));
            stored(session, ctx, &entry).await
        }
        Fetched::Collapsed(entry, why) => {
            tell(ctx, CacheStatus::Collapsed { forward: forward(why) }, None);
            stored(session, ctx, &entry).await
        }
        Fetched::Reading(reader, why) => relay(session, ctx, reader, why).await,
        Fetched::Alone(why) => alone(edge, session, ctx, why).await,
        Fetched::Failed(cause) => {
            tell(ctx, asked(Why::Unknown, 0, Err(NotStored::Incomplete)), None);
            respond::refuse(session, ctx, Refusal::Upstream(cause)).await
        }
        Fetched::Crowded => {
            tell(ctx, CacheStatus::Collapsed { forward: Forward::UriMiss }, None);
            // the function was not asked, but nor did it get the others' answer: no success in the hit rate
            ctx.story.cache = Some(CacheStory { result: LookupResult::Miss, bypass: None, not_stored: None, refreshed: None });
            respond::refuse(session, ctx, Refusal::Crowded).await
        }
        Fetched::OnlyIfCached => {
            tell(ctx, CacheStatus::Bypassed(Bypass::OnlyIfCached), None);
            respond::refuse(session, ctx, Refusal::OnlyIfCached).await
        }
    }
}

fn stale(since: Duration, why: Stale) -> CacheStatus {
    CacheStatus::Stale { ttl: -seconds(since), why }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// The head of a fetch: nothing of the caller that is not in the key.
fn fetch_head(edge: &Edge, session: &Session, ctx: &Ctx, lookup: &Lookup) -> Result<RequestHeader> {
    let request = session.req_header();
    let mut head = heads::exchange_head(request, Length::Known(0), &edge.way, &edge.caller(session, ctx), Purpose::Fetch)?;
    let unkeyed: Vec<HeaderName> = strip_on_fetch(lookup.rule.settings.scope, &request.headers).cloned().collect();
    for name in unkeyed.iter().filter(|n| !matches!(n.as_str(), "x-forwarded-host" | "x-forwarded-proto")) {
        head.remove_header(name);
    }
    Ok(head)
}

/// The head of a fetch with the validators of what is stored. The caller's own are none of its business.
fn asking_about(mut head: RequestHeader, stale: Option<&Entry>) -> RequestHeader {
    for (name, value) in stale.into_iter().flat_map(cache::refresh::conditions) {
        head.insert_header(name, value).expect("a name and a value");
    }
    head
}

/// Marks the answer and notes the story of a look-up.
fn tell(ctx: &mut Ctx, status: CacheStatus, age: Option<Duration>) {
    let (outcome, source, result, reason) = match status {
        CacheStatus::Hit { .. } => (Outcome::Hit, Source::Cache, LookupResult::Hit, None),
        CacheStatus::Stale { why, .. } => (Outcome::Stale, Source::Cache, LookupResult::Stale, Some(why.as_str())),
        CacheStatus::Collapsed { .. } => (Outcome::Miss, Source::Cache, LookupResult::Coalesced, None),
        CacheStatus::Fetched { stored, .. } => (Outcome::Miss, Source::Upstream, LookupResult::Miss, stored.err().map(NotStored::as_str)),
        CacheStatus::Revalidated { stored } => {
            (Outcome::Revalidated, Source::Cache, LookupResult::Revalidated, stored.err().map(NotStored::as_str))
        }
        // a miss to the caller, but no answer was fetched that could have been stored: counted among the bypasses
        CacheStatus::Bypassed(reason @ Bypass::OnlyIfCached) => {
            (Outcome::Miss, Source::Sidecar, LookupResult::Bypass, Some(reason.as_str()))
        }
        CacheStatus::Bypassed(reason) => (Outcome::Bypass, Source::Upstream, LookupResult::Bypass, Some(reason.as_str())),
    };
    ctx.marks.cache = Some(CacheMark { status, age });
    let (bypass, not_stored) = match result {
        LookupResult::Bypass => (reason, None),
        LookupResult::Stale => (None, None),
        _ => (None, reason),
    };
    ctx.story.cache = Some(CacheStory { result, bypass, not_stored, refreshed: refreshed(status) });
    (ctx.story.outcome, ctx.story.source, ctx.story.reason, ctx.story.age) = (outcome, source, reason, age);
}

/// What came of asking for an answer that was not fresh any more.
const fn refreshed(status: CacheStatus) -> Option<RefreshResult> {
    match status {
        CacheStatus::Revalidated { .. } => Some(RefreshResult::NotModified),
        CacheStatus::Fetched { forward: Forward::Stale, status: 0 | 500.., .. } => Some(RefreshResult::Failed),
        CacheStatus::Fetched { forward: Forward::Stale, stored: Ok(()), .. } => Some(RefreshResult::Replaced),
        CacheStatus::Fetched { forward: Forward::Stale, .. } => Some(RefreshResult::NotStored),
        _ => None,
    }
}

/// Why the function is asked, in the words of `Cache-Status`.
const fn forward(why: Why) -> Forward {
    match why {
        Why::NoVariant => Forward::VaryMiss,
        Why::Expired => Forward::Stale,
        Why::Unwanted => Forward::Request,
        _ => Forward::UriMiss,
    }
}

/// What is told of an answer that was asked for: a bypass stays one, whatever came.
const fn asked(why: Why, status: u16, stored: Result<(), NotStored>) -> CacheStatus {
    match why {
        Why::Forward(reason) => CacheStatus::Bypassed(reason),
        Why::Unstorable => CacheStatus::Bypassed(Bypass::Unstorable),
        Why::NotShared(reason) => CacheStatus::Fetched { forward: Forward::UriMiss, status, stored: Err(reason) },
        _ => CacheStatus::Fetched { forward: forward(why), status, stored },
    }
}

/// Streams this request's own fetch.
async fn relay(session: &mut Session, ctx: &mut Ctx, mut reader: Reader<<Open as Answer>::Head>, why: Why) -> Result<bool> {
    while let Some(part) = reader.recv().await {
        match part {
            Part::Head(head, stored, exchanged) => {
                let code = exchanged.status;
                ctx.story.upstream = Some(*exchanged);
                tell(ctx, asked(why, code, stored), None);
                Client { session, marks: &ctx.marks }.head(head).await.map_err(client::unreachable)?;
            }
            Part::Renewed(entry, kept, exchanged) => {
                ctx.story.upstream = Some(*exchanged);
                tell(ctx, CacheStatus::Revalidated { stored: kept }, None);
                return stored(session, ctx, &entry).await;
            }
            Part::Stale(StandIn { entry, age, since }, exchanged) => {
                ctx.story.upstream = exchanged.map(|exchanged| *exchanged);
                tell(ctx, stale(since, Stale::IfError), Some(age));
                if let Some(cache) = &mut ctx.story.cache {
                    cache.refreshed = Some(RefreshResult::Failed);
                }
                return stored(session, ctx, &entry).await;
            }
            Part::Data(data, _permit) => Client { session, marks: &ctx.marks }.data(data).await.map_err(client::unreachable)?,
            Part::End { not_stored, exchanged } => {
                ctx.story.upstream = Some(*exchanged);
                if let (Some(reason), Some(cache)) = (not_stored, &mut ctx.story.cache) {
                    cache.not_stored.get_or_insert(reason.as_str());
                }
                session.write_response_body(None, true).await?;
                return Ok(true);
            }
            Part::NoAnswer(failure) => {
                tell(ctx, asked(why, 0, Err(NotStored::Incomplete)), None);
                return finish(session, ctx, Sent { exchanged: failure.exchanged, end: End::NoAnswer(failure.cause) }).await;
            }
            Part::Cut(cause) => {
                let exchanged = ctx.story.upstream.take();
                return finish(session, ctx, Sent { exchanged, end: End::Cut(cause) }).await;
            }
        }
    }
    // the fetch ended without a word: a panic in it
    let end = if session.response_written().is_some() {
        End::Cut(crate::flow::Cause::Internal)
    } else {
        End::NoAnswer(crate::flow::Cause::Internal)
    };
    let exchanged = ctx.story.upstream.take();
    finish(session, ctx, Sent { exchanged, end }).await
}

/// Sends the request on as it came; nothing of the answer is kept.
async fn alone(edge: &Edge, session: &mut Session, ctx: &mut Ctx, why: Why) -> Result<bool> {
    tell(ctx, asked(why, 0, Err(NotStored::Status)), None);
    let head = heads::exchange_head(session.req_header(), Length::Known(0), &edge.way, &edge.caller(session, ctx), Purpose::Call)?;
    let sent = send(&edge.way, Call::bodyless(head), &mut Client { session, marks: &ctx.marks }, |_, _| ()).await;
    finish(session, ctx, sent).await
}
