//! `GET /warmup`: the steps of `warm:` and what became of them. `POST /warmup`: runs all of them now, and answers when they are over.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::{AdminState, error};

pub(super) async fn get(State(state): State<Arc<AdminState>>) -> Json<Value> {
    Json((state.warmup)())
}

pub(super) async fn post(State(state): State<Arc<AdminState>>) -> Response {
    match (state.warm)().await {
        Some(report) => Json(report).into_response(),
        None => error(StatusCode::CONFLICT, "draining", "the sidecar drains: no function is called any more"),
    }
}
