//! The rules in force: `GET /config`, `GET /config/history`, `POST /config/check`, `POST /reload`, `POST /rollback`, `POST /explain`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AdminState, error};
use crate::config::{NoReload, Offer, Problem};
use crate::engine::Question;

pub(super) async fn get(State(state): State<Arc<AdminState>>) -> Response {
    Json(state.live.status()).into_response()
}

pub(super) async fn history(State(state): State<Arc<AdminState>>) -> Response {
    Json(state.live.history()).into_response()
}

/// Judges a text as a reload would, and says what it would change.
pub(super) async fn check(State(state): State<Arc<AdminState>>, body: Result<Bytes, BytesRejection>) -> Response {
    let Ok(body) = body else { return error(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "a rules file has at most 1 MiB") };
    let (judgement, difference) = state.live.check(&body);
    let valid = !judgement.problems.iter().any(Problem::is_error);
    let status = if valid { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    (status, Json(json!({ "valid": valid, "diagnostics": judgement.problems, "difference": difference }))).into_response()
}

pub(super) async fn reload(State(state): State<Arc<AdminState>>) -> Response {
    answer(&state, state.live.reload(state.clock.wall()))
}

pub(super) async fn rollback(State(state): State<Arc<AdminState>>) -> Response {
    answer(&state, state.live.rollback(state.clock.wall()))
}

fn answer(state: &AdminState, offer: Result<Offer, NoReload>) -> Response {
    let generation = state.live.load().generation;
    match offer {
        Ok(Offer::Unchanged | Offer::Held) => Json(json!({ "outcome": "unchanged", "generation": generation })).into_response(),
        Ok(Offer::Accepted { generation, changed }) => {
            let history = state.live.history();
            let difference = history.iter().find(|reload| reload.generation == generation).map(|reload| &reload.difference);
            Json(json!({ "outcome": "accepted", "generation": generation, "changed": changed, "difference": difference })).into_response()
        }
        Ok(Offer::Refused { problems, rendered }) => {
            let message = format!("the rules file is refused, the last good rules stay\n{rendered}");
            let body = json!({ "error": "refused", "message": message, "diagnostics": problems, "generation": generation });
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
        Err(why) => error(StatusCode::CONFLICT, "no_reload", why.as_str()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    #[serde(default)]
    body: String,
    listener: Option<String>,
}

pub(super) async fn explain(State(state): State<Arc<AdminState>>, asked: Result<Json<Asked>, JsonRejection>) -> Response {
    let bad = |message: &str| error(StatusCode::BAD_REQUEST, "bad_request", message);
    let Ok(Json(asked)) = asked else {
        return bad("give a request as JSON: {\"method\": \"GET\", \"url\": \"/functions/v1/a\", \"headers\": {}, \"body\": \"\"}");
    };
    let question = match question(&asked) {
        Ok(question) => question,
        Err(message) => return bad(&message),
    };
    let sites = state.live.sites();
    let site = asked.listener.as_ref().map_or_else(|| sites.first(), |name| sites.iter().find(|site| site.listener == *name));
    site.map_or_else(|| bad("no listener has this name"), |site| Json((state.explain)(site, &question)).into_response())
}

/// A value of `headers` is a text, or a list of texts for a field that comes several times.
fn question(asked: &Asked) -> Result<Question, String> {
    let method: Method = asked.method.as_deref().unwrap_or("GET").parse().map_err(|_| "`method` is no method".to_owned())?;
    let mut headers = HeaderMap::new();
    for (name, value) in &asked.headers {
        let wrong = || format!("`{}` in `headers` is no field", name.escape_debug());
        let name: HeaderName = name.parse().map_err(|_| wrong())?;
        let values = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        for value in values {
            let value = value.as_str().and_then(|text| HeaderValue::from_str(text).ok());
            headers.append(name.clone(), value.ok_or_else(wrong)?);
        }
    }
    Question::new(method, &asked.url, headers, Bytes::from(asked.body.clone().into_bytes()))
}
