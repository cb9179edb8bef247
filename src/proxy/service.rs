//! One listener's side of Pingora: the phases, in their order, each a short method that delegates.
//!
//! `new_ctx` > `request_filter` (limits, plan, and the whole answer of webhooks and cached routes) > `upstream_peer` >
//! `connected_to_upstream` > `upstream_request_filter` > `response_filter` > `logging`. Only pass-through goes past the second.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, HttpPeer, Result};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};

use super::ctx::{CacheMark, CacheStory, Ctx, Guards, Line, Marks, Pass, Story};
use super::facts::Owned;
use super::guard::Ahead;
use super::heads::Caller;
use super::refusal::Refusal;
use super::respond;
use super::way::Way;
use super::{Shared, cached, ids, pass, tunnel, upgrade, webhook};
use crate::cache::status::CacheStatus;
use crate::engine::{CachePlan, DedupPlan, Plan, plan};
use crate::telemetry::record::{CacheRecord, DedupRecord, Finished, LookupResult, Outcome};

/// One listener and the upstream its requests go to.
pub struct Edge {
    /// What all listeners share.
    pub shared: Arc<Shared>,
    /// The way to its upstream.
    pub way: Arc<Way>,
    /// Its name.
    pub listener: Arc<str>,
    /// Whether a WebSocket may be opened through it.
    pub websocket: bool,
}

impl Edge {
    /// What functions are told about the caller.
    #[must_use]
    pub fn caller<'a>(&'a self, session: &Session, ctx: &'a Ctx) -> Caller<'a> {
        Caller {
            ip: session.client_addr().and_then(|a| a.as_inet()).map(std::net::SocketAddr::ip),
            trusted: &self.shared.trusted_proxies,
            request_id: &ctx.marks.request_id,
            traceparent: &ctx.line.traceparent,
        }
    }

    /// Reads who the request is, makes its plan, and takes its place among those in flight.
    fn receive(&self, session: &mut Session, ctx: &mut Ctx) -> Option<Refusal> {
        let limits = &self.shared.limits;
        if self.shared.is_draining() {
            session.set_keepalive(None);
        }
        session.set_read_timeout(Some(limits.body_timeout));
        session.set_write_timeout(Some(limits.write_timeout));
        // a next request that comes early waits: without this Pingora takes it for an error and drops the answer to this one
        session.set_pipelining_enabled(true);
        // HTTP/1.0 knows no informational answers (RFC 9110 15.2)
        let old = session.req_header().version < http::Version::HTTP_11;
        session.set_ignore_info_resp(old);
        let head = session.req_header();
        ctx.marks.request_id = ids::request_id(&head.headers).into();
        let owned = Owned::new(head, &self.way.config.function_prefix);
        let facts = owned.facts(head, self);
        ctx.line = Line {
            traceparent: ids::traceparent(&head.headers),
            method: head.method.as_str().to_owned(),
            path: facts.path.as_str().to_owned(),
            function: owned.function().to_owned(),
        };
        ctx.guards.running = self.shared.running.try_enter(limits.in_flight);
        if ctx.guards.running.is_none() {
            return Some(Refusal::InFlight);
        }
        ctx.guards.function = self.shared.functions.try_enter(owned.function(), limits.in_flight_per_function);
        if ctx.guards.function.is_none() {
            return Some(Refusal::InFlightFunction);
        }
        self.shared.live.recent().note(&facts, &ctx.snapshot.watched);
        let plan = plan(&ctx.snapshot.rules, &facts, &self.shared.secret);
        ctx.websocket = upgrade::settle(session, self.websocket && !ctx.ahead);
        note(ctx, &plan);
        ctx.plan = Some(plan);
        None
    }

    fn record(&self, session: &Session, ctx: &mut Ctx) {
        pass::ended(self, ctx);
        let (plan, story) = (ctx.plan.as_ref(), &mut ctx.story);
        let written = || session.response_written().map_or(0, |h| h.status.as_u16());
        let status = story.switched.map_or_else(written, |_| 101);
        if status == 0 {
            story.outcome = Outcome::Failed;
            story.error.get_or_insert("caller_gone");
        }
        if let Some(reason) = story.shed {
            self.shared.metrics.shed(reason);
        }
        if let Some(reason) = story.refused {
            self.shared.metrics.refused(reason);
        }
        let cache = story.cache.zip(plan.and_then(|p| p.cache.rule()));
        let dedup = story.dedup.zip(plan.and_then(|p| p.dedup.rule()));
        self.shared.metrics.record(&Finished {
            request_id: &ctx.marks.request_id,
            trace_id: ids::trace_id(&ctx.line.traceparent),
            method: &ctx.line.method,
            path: &ctx.line.path,
            function: &ctx.line.function,
            status,
            outcome: story.outcome,
            source: story.source,
            reason: story.reason,
            error: story.error,
            age: story.age,
            cache: cache.map(|(s, rule)| CacheRecord {
                rule,
                result: s.result,
                bypass: s.bypass,
                not_stored: s.not_stored,
                refreshed: s.refreshed,
            }),
            dedup: dedup.map(|(s, rule)| DedupRecord {
                rule,
                result: s.result,
                skipped: s.skipped,
                ids: s.ids,
                new: s.new,
                repeated: s.repeated,
                repeats: s.repeats.unwrap_or_default(),
                waited: s.waited,
            }),
            upstream: story.upstream.as_ref(),
            duration: self.shared.clock.now().saturating_duration_since(ctx.started),
            // a conversation is not slow
            slow_after: plan.filter(|_| status != 101).map_or(Duration::MAX, |p| p.slow_after),
            bytes_in: story.bytes_in.max(session.body_bytes_read() as u64),
            bytes_out: story.switched.unwrap_or(session.body_bytes_sent() as u64),
            generation: ctx.snapshot.generation,
        });
    }
}

/// Notes what the plan alone decides: bypasses and skips, whose requests Pingora streams.
fn note(ctx: &mut Ctx, plan: &Plan) {
    if let CachePlan::Bypass { reason, .. } = &plan.cache {
        ctx.marks.cache = Some(CacheMark { status: CacheStatus::Bypassed(*reason), age: None });
        ctx.story.cache =
            Some(CacheStory { result: LookupResult::Bypass, bypass: Some(reason.as_str()), not_stored: None, refreshed: None });
        ctx.story.outcome = Outcome::Bypass;
        ctx.story.reason = Some(reason.as_str());
    }
    // one that must be signed is not let through yet
    if let DedupPlan::Skip { rule, reason } = &plan.dedup
        && rule.settings.verify.is_none()
    {
        webhook::skip(ctx, *reason);
    }
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx {
            started: self.shared.clock.now(),
            snapshot: self.shared.live.load_full(),
            line: Line::default(),
            plan: None,
            marks: Marks { request_id: "".into(), cache: None, dedup: None, draining: Arc::clone(&self.shared.draining) },
            story: Story::default(),
            ahead: false,
            websocket: false,
            pass: Pass::default(),
            guards: Guards { gauge: Some(self.shared.metrics.begin()), ..Guards::default() },
        }
    }

    fn on_connection_reuse(&self, _session: &mut Session, ctx: &mut Ctx, word: Box<dyn Any + Send + Sync>) {
        ctx.ahead = word.is::<Ahead>();
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        if let Some(refusal) = self.receive(session, ctx) {
            return respond::refuse(session, ctx, refusal).await;
        }
        // boxed: an unboxed branch of this size taxes pass-through as well
        if ctx.websocket {
            return Box::pin(tunnel::answer(self, session, ctx)).await;
        }
        let plan = ctx.plan.as_ref().expect("made by `receive`");
        match (plan.dedup.clone(), plan.cache.clone()) {
            (DedupPlan::Inspect { rule }, _) => Box::pin(webhook::answer(self, session, ctx, rule, None)).await,
            (DedupPlan::Skip { rule, reason }, _) if rule.settings.verify.is_some() => {
                Box::pin(webhook::answer(self, session, ctx, rule, Some(reason))).await
            }
            (_, CachePlan::Lookup { rule, key, on_miss }) => {
                Box::pin(cached::answer(self, session, ctx, cached::Lookup { rule, key, on_miss })).await
            }
            _ => Ok(false),
        }
    }

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        pass::peer(self, ctx).await
    }

    fn fail_to_connect(&self, _session: &mut Session, _peer: &HttpPeer, ctx: &mut Ctx, error: Box<Error>) -> Box<Error> {
        pass::not_connected(self, ctx, error)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        #[cfg(unix)] _fd: std::os::unix::io::RawFd,
        digest: Option<&Digest>,
        ctx: &mut Ctx,
    ) -> Result<()> {
        pass::connected(self, ctx, reused, digest);
        Ok(())
    }

    async fn upstream_request_filter(&self, session: &mut Session, head: &mut RequestHeader, ctx: &mut Ctx) -> Result<()> {
        pass::request(self, session, ctx, head)
    }

    async fn request_body_filter(&self, session: &mut Session, _body: &mut Option<Bytes>, last: bool, ctx: &mut Ctx) -> Result<()> {
        pass::body(self, session, ctx, last)
    }

    // not `upstream_response_filter`: after that one Pingora chunks what has no length, also for callers that speak HTTP/1.0
    async fn response_filter(&self, session: &mut Session, head: &mut ResponseHeader, ctx: &mut Ctx) -> Result<()> {
        pass::response(self, session, ctx, head)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
        respond::fail(session, error, ctx).await
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Ctx, _error: &Error) -> bool {
        true // each request has its own line, with the cause
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, ctx: &mut Ctx) {
        self.record(session, ctx);
        // what came early has not been judged: it ends with the connection
        session.set_pipelining_enabled(false);
    }
}
