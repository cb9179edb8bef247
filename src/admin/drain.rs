//! `POST /drain`: begins the clean end, as SIGTERM does.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::AdminState;

/// Begins it, or finds it begun: who asks twice is told the same.
pub(super) async fn post(State(state): State<Arc<AdminState>>) -> (StatusCode, Json<Value>) {
    let running = (state.drain)();
    (StatusCode::ACCEPTED, Json(json!({ "draining": true, "running": running })))
}
