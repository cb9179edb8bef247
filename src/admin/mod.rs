//! The admin doors: one router, an open door (the address) and a trusted one (the socket).
//!
//! | endpoint | open to all | what |
//! |---|---|---|
//! | `GET /` | yes | the live page (`page/`) |
//! | `GET /status` | yes | the picture that page and `status` show; with details for the socket or the token |
//! | `GET /events` | yes | the same as server-sent events, one a second |
//! | `GET /metrics` | yes | JSON; Prometheus text for `?format=prometheus` or a scraper's `Accept` |
//! | `GET /metrics/history` | yes | the last 15 minutes in slots of 10 s, as JSON |
//! | `GET /health` | yes | judges the functions; 503 if unhealthy |
//! | `GET /livez` | yes | 200 while the process answers |
//! | `GET /readyz` | yes | 200 if it may get traffic, else 503 and why not |
//! | `GET /config`, `/config/history` | no | the rules in force; the last reloads |
//! | `POST /config/check` | no | judges a rules text, and says what it would change |
//! | `POST /reload`, `/rollback` | no | reads the file now; goes back one generation |
//! | `POST /explain` | no | why a request would be decided as it is, by the running rules |
//! | `GET`, `POST /warmup` | no | what became of the steps of `warm:`; runs them now |
//! | `GET /slow` | no | the last slow requests, as the log tells them |
//! | `POST /drain` | no | begins the clean end |
//! | `GET /cache` | no | what is stored: totals by rule, largest entries |
//! | `POST /cache/purge` | no | takes stored answers out |
//! | `GET /trace?id=` | no | the life of one message |
//! | `POST /dedup/purge` | no | forgets that one message was taken |
//!
//! What is not open needs the socket or the bearer token: containers of a Pod share loopback, so the address proves nothing. The address
//! answers only under names that no web page can have (`host.rs`).

pub mod auth;
mod cache;
mod config;
mod dedup;
mod drain;
mod health;
mod host;
mod metrics;
mod negotiate;
mod page;
mod picture;
pub mod serve;
#[cfg(test)]
mod tests;
mod warmup;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

pub use auth::Token;
pub use dedup::{Traced, TracedEvent, TracedStep};
pub use health::Ready;

use crate::clock::Clock;
use crate::config::Live;
use crate::engine::{Question, Site};
use crate::store::purge::{Manner, Purge};
use crate::telemetry::Metrics;

/// Every endpoint, as the answer to an unknown path lists them.
const ENDPOINTS: &[&str] = &[
    "GET /",
    "GET /status",
    "GET /events",
    "GET /metrics",
    "GET /metrics/history",
    "GET /health",
    "GET /livez",
    "GET /readyz",
    "GET /config",
    "GET /config/history",
    "POST /config/check",
    "POST /reload",
    "POST /rollback",
    "POST /explain",
    "GET /cache",
    "POST /cache/purge",
    "GET /warmup",
    "POST /warmup",
    "GET /slow",
    "POST /drain",
    "GET /trace?id=",
    "POST /dedup/purge",
];

/// What the running rules make of a request at a site, as JSON.
pub type Explainer = Box<dyn Fn(&Site, &Question) -> serde_json::Value + Send + Sync>;

/// What became of the steps, once they are over.
pub type WarmedUp = Pin<Box<dyn Future<Output = Option<serde_json::Value>> + Send>>;

/// What the endpoints answer from. Both doors share one.
pub struct AdminState {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The rules in force.
    pub live: Arc<Live>,
    /// The time.
    pub clock: Clock,
    /// What the running rules make of a request at a site.
    pub explain: Explainer,
    /// Whether the sidecar may get traffic.
    pub ready: Box<dyn Fn() -> Ready + Send + Sync>,
    /// Begins the clean end unless it has begun; answers how many requests and calls of functions run.
    pub drain: Box<dyn Fn() -> usize + Send + Sync>,
    /// What `GET /warmup` answers.
    pub warmup: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Runs every step of warm-up now; answers the same, or `None` while draining.
    pub warm: Box<dyn Fn() -> WarmedUp + Send + Sync>,
    /// What `GET /cache` answers.
    pub cache: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Takes stored answers out, ends their freshness, or only counts them; answers how many.
    pub purge_cache: Box<dyn Fn(Purge, Manner) -> u64 + Send + Sync>,
    /// The life of the message with this id.
    pub trace: Box<dyn Fn(&str) -> Traced + Send + Sync>,
    /// Forgets that the events with this id were accepted; answers how many there were.
    pub purge: Box<dyn Fn(&str) -> usize + Send + Sync>,
    /// The bearer token that makes the open door a trusted one.
    pub token: Option<Token>,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState").field("token", &self.token).finish_non_exhaustive()
    }
}

/// Which way a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The address: anyone who reaches it.
    Open,
    /// The socket of mode 0600: whoever may open it is the operator.
    Trusted,
}

/// The endpoints behind one door.
pub fn router(state: Arc<AdminState>, door: Door) -> Router {
    let trusted = Router::new().route("/config", get(config::get)).route("/config/history", get(config::history));
    let trusted = trusted.route("/config/check", post(config::check)).route("/reload", post(config::reload));
    let trusted = trusted.route("/rollback", post(config::rollback)).route("/explain", post(config::explain));
    let trusted = trusted.route("/drain", post(drain::post)).route("/warmup", get(warmup::get).post(warmup::post));
    let trusted = trusted.route("/slow", get(picture::slow));
    let trusted = trusted.route("/trace", get(dedup::trace)).route("/dedup/purge", post(dedup::purge));
    let trusted = trusted.route("/cache", get(cache::get)).route("/cache/purge", post(cache::purge));
    let trusted = match door {
        Door::Trusted => trusted,
        Door::Open => trusted.route_layer(from_fn_with_state(Arc::clone(&state), auth::require)),
    };
    let all = Router::new()
        .route("/metrics", get(metrics::get))
        .route("/metrics/history", get(metrics::history))
        .route("/health", get(health::health))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .merge(page::router())
        .merge(picture::router(door))
        .merge(trusted)
        .fallback(async || not_found())
        .method_not_allowed_fallback(async || {
            error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "see the Allow field for what this endpoint takes")
        });
    // no other program sends a browser's fields, so on the socket any name will do
    let all = match door {
        Door::Trusted => all.layer(from_fn(host::require_own_page)),
        Door::Open => all.layer(from_fn_with_state(Arc::clone(&state), host::require_local)),
    };
    all.layer(from_fn(never_stored)).with_state(state)
}

fn not_found() -> Response {
    let body = json!({ "error": "not_found", "message": "no such endpoint", "endpoints": ENDPOINTS });
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

/// An error in the form of all the sidecar's own errors.
fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (status, axum::Json(json!({ "error": code, "message": message }))).into_response()
}

/// Figures of a moment ago are wrong figures.
async fn never_stored(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
