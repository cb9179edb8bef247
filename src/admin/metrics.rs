//! `GET /metrics`, in two forms, and `GET /metrics/history`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::negotiate::{Form, by_accept};
use super::{AdminState, error};
use crate::telemetry::history::History;
use crate::telemetry::prometheus_text::CONTENT_TYPE;

pub(super) async fn get(
    State(state): State<Arc<AdminState>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let form = match query.get("format").map(String::as_str) {
        Some("prometheus") => Form::Prometheus,
        Some("json") => Form::Json,
        None => by_accept(&headers),
        Some(_) => return error(StatusCode::BAD_REQUEST, "bad_request", "format is json (the default) or prometheus"),
    };
    let mut response = match form {
        Form::Prometheus => ([(header::CONTENT_TYPE, CONTENT_TYPE)], state.metrics.prometheus()).into_response(),
        Form::Json => Json(state.metrics.json()).into_response(),
    };
    response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("accept"));
    response
}

pub(super) async fn history(State(state): State<Arc<AdminState>>) -> Json<History> {
    Json(state.metrics.history())
}
