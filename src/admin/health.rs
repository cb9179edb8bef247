//! `GET /health`, `/livez`, `/readyz`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::AdminState;
use crate::telemetry::report::date;
use crate::upstream::health::Status;

/// Whether the sidecar may get traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// What is missing, in closed words such as `rules`, `upstream` or `draining`; nothing = ready.
    pub missing: Vec<&'static str>,
}

#[derive(Serialize)]
struct Indicator {
    name: &'static str,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<f64>,
    unit: &'static str,
    ok: bool,
    status: &'static str,
    samples: u64,
    since: String,
}

/// How the functions are, for people and dashboards. Not for probes: restarting the sidecar mends no function.
pub(super) async fn health(State(state): State<Arc<AdminState>>) -> (StatusCode, Json<Value>) {
    let health = judged(&state);
    let status = if health["status"] == Status::Unhealthy.as_str() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(health))
}

/// Status and indicators.
pub(super) fn judged(state: &AdminState) -> Value {
    let health = state.metrics.health();
    let indicators = health.indicators.map(|(i, since)| Indicator {
        name: i.name,
        value: i.value,
        limit: i.limit,
        unit: if i.name == "average_latency" { "ms" } else { "ratio" },
        ok: i.status == Status::Healthy,
        status: i.status.as_str(),
        samples: i.samples,
        since: date(since),
    });
    json!({ "status": health.status.as_str(), "indicators": indicators })
}

/// The process answers.
pub(super) async fn livez() -> Json<Value> {
    Json(json!({ "live": true }))
}

/// The sidecar may get traffic, or what is missing.
pub(super) async fn readyz(State(state): State<Arc<AdminState>>) -> (StatusCode, Json<Value>) {
    let missing = (state.ready)().missing;
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": missing.is_empty(), "reasons": missing })))
}
