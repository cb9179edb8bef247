//! `GET /config`: the rules in force, as the composition root tells them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::AdminState;

pub(super) async fn get(State(state): State<Arc<AdminState>>) -> Json<serde_json::Value> {
    Json((state.config)())
}
