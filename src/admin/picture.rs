//! The picture that the live page and `status` show: `GET /status` once, `GET /events` every second (server-sent events, WHATWG HTML 9.2).
//!
//! Sums for everybody. Single requests, stored answers and the text of the rules (details) only through the socket or with the token.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{AdminState, Door, auth, error, health};
use crate::config::Problem;
use crate::telemetry::history::History;
use crate::telemetry::json::Document;
use crate::telemetry::report::date;
use crate::telemetry::rules::ByRule;

/// Most streams of events at once: they leave most connections of a door to those who scrape and probe.
const STREAMS: usize = 16;
/// How often an event comes.
const EVERY: Duration = Duration::from_secs(1);
/// Every how many events details come: they look at all that is stored.
const DETAILS_EVERY: u64 = 5;
/// Slow requests in the details.
const SLOW: usize = 20;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Picture {
    metrics: Document,
    health: Value,
    /// What is missing to be ready.
    missing: Vec<&'static str>,
    recent: History,
    /// The rules in force and the last reload, without any of their text.
    rules: Value,
    #[serde(flatten)]
    by_rule: ByRule,
    /// Whether details are shown to this reader.
    trusted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

fn picture(state: &AdminState, trusted: bool, details: bool) -> Picture {
    Picture {
        metrics: state.metrics.json(),
        health: health::judged(state),
        missing: (state.ready)().missing,
        recent: state.metrics.history(),
        rules: rules(state),
        by_rule: state.metrics.by_rule(),
        trusted,
        details: (trusted && details).then(|| self::details(state)),
    }
}

fn rules(state: &AdminState) -> Value {
    let status = state.live.status();
    let last = status.last_reload.map(|reload| {
        let errors = reload.diagnostics.iter().filter(|problem| Problem::is_error(problem)).count();
        json!({ "at": date(reload.at), "outcome": reload.outcome, "cause": reload.cause, "errors": errors })
    });
    let (since, differs) = (date(status.since), status.file_differs);
    json!({ "generation": status.generation, "hash": status.hash, "since": since, "fileDiffers": differs, "lastReload": last })
}

fn details(state: &AdminState) -> Value {
    let (mut slow, status) = (state.metrics.slow(), state.live.status());
    slow.truncate(SLOW);
    let diagnostics = status.last_reload.map(|reload| reload.diagnostics).unwrap_or_default();
    json!({ "slow": slow, "largest": (state.cache)()["largest"], "diagnostics": diagnostics, "rulesText": status.text })
}

/// `/status` and `/events` behind a door.
pub(super) fn router(door: Door) -> Router<Arc<AdminState>> {
    let streams = Arc::new(Semaphore::new(STREAMS));
    let once = async move |State(state): State<Arc<AdminState>>, headers: HeaderMap| once(&state, door, &headers);
    let events = async move |State(state): State<Arc<AdminState>>, headers: HeaderMap| events(state, door, &headers, &streams);
    Router::new().route("/status", get(once)).route("/events", get(events))
}

fn once(state: &AdminState, door: Door, headers: &HeaderMap) -> Response {
    match auth::sees_details(state, door, headers) {
        Ok(trusted) => Json(picture(state, trusted, true)).into_response(),
        Err(refused) => *refused,
    }
}

fn events(state: Arc<AdminState>, door: Door, headers: &HeaderMap, streams: &Arc<Semaphore>) -> Response {
    let trusted = match auth::sees_details(&state, door, headers) {
        Ok(trusted) => trusted,
        Err(refused) => return *refused,
    };
    let Ok(place) = Arc::clone(streams).try_acquire_owned() else {
        return error(StatusCode::SERVICE_UNAVAILABLE, "too_many_readers", "as many live pages as there may be are open; close one");
    };
    let events = stream::unfold((0, state, place), move |(n, state, place)| async move {
        if n > 0 {
            tokio::time::sleep(EVERY).await;
        }
        let event = Event::default().json_data(picture(&state, trusted, n % DETAILS_EVERY == 0)).unwrap_or_default();
        Some((Ok::<_, Infallible>(event), (n + 1, state, place)))
    });
    Sse::new(events).into_response()
}

pub(super) async fn slow(State(state): State<Arc<AdminState>>) -> Response {
    Json(json!({ "slow": state.metrics.slow() })).into_response()
}
