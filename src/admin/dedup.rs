//! `GET /trace?id=` and `POST /dedup/purge`: one message, named by its bare id as the sender wrote it. No id is kept to be found again, nor
//! given back.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{AdminState, error};

/// What is known of one message.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traced {
    /// The events that share the id: a message, each of its statuses, the same at another function.
    pub events: Vec<TracedEvent>,
    /// Steps before this are forgotten; `null` if none was ever taken.
    pub since: Option<String>,
}

/// One event.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TracedEvent {
    /// 8 hex digits that tell it from others until the next restart, and nothing else.
    pub event: String,
    /// When the function took it, if that is remembered.
    pub accepted: Option<String>,
    /// What happened to it lately, in order of time.
    pub steps: Vec<TracedStep>,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TracedStep {
    /// When.
    pub at: String,
    /// What: `forwarded`, `waits`, `gave_up`, `answered`, `accepted`, `failed`, `unread`, `purged`.
    pub what: &'static str,
    /// The number of the copy it happened to.
    pub copy: u32,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    id: String,
}

pub(super) async fn trace(State(state): State<Arc<AdminState>>, wanted: Result<Query<Wanted>, QueryRejection>) -> Response {
    match wanted {
        Ok(Query(Wanted { id })) if !id.is_empty() => Json((state.trace)(&id)).into_response(),
        _ => error(StatusCode::BAD_REQUEST, "bad_request", "give the id of a message, percent-encoded: /trace?id=…"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Purge {
    message: String,
}

pub(super) async fn purge(State(state): State<Arc<AdminState>>, purge: Result<Json<Purge>, JsonRejection>) -> Response {
    match purge {
        Ok(Json(Purge { message })) if !message.is_empty() => Json(json!({ "purged": (state.purge)(&message) })).into_response(),
        _ => error(StatusCode::BAD_REQUEST, "bad_request", "give the id of a message as JSON: {\"message\": \"…\"}"),
    }
}
