//! `GET /cache` and `POST /cache/purge`: what is stored, and taking it out before its time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::{AdminState, error};
use crate::store::purge::{Manner, Place, Purge};

const FORM: &str = "give exactly one of url, prefix, function, rule and all, such as {\"rule\": \"profile\"} or {\"all\": true}, dryRun if nothing is to \
                    go, soft if it may still be given while it is fetched anew; url and prefix are https://host/path?query, or /path?query for any host";

pub(super) async fn get(State(state): State<Arc<AdminState>>) -> Response {
    Json((state.cache)()).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Wanted {
    url: Option<String>,
    prefix: Option<String>,
    function: Option<String>,
    rule: Option<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    soft: bool,
    #[serde(default)]
    dry_run: bool,
}

impl Wanted {
    const fn manner(&self) -> Manner {
        match (self.dry_run, self.soft) {
            (true, _) => Manner::Count,
            (false, true) => Manner::Soften,
            (false, false) => Manner::Remove,
        }
    }

    /// Exactly one thing to purge.
    fn purge(self) -> Option<Purge> {
        let named = |text: Option<String>| text.filter(|text| !text.is_empty());
        let kinds = [
            named(self.url).map(|url| Place::parse(&url).map(Purge::Url)),
            named(self.prefix).map(|prefix| Place::parse(&prefix).map(Purge::Prefix)),
            named(self.function).map(|name| Some(Purge::Function(name, Vec::new()))),
            named(self.rule).map(|name| Some(Purge::Rule(name))),
            self.all.then_some(Some(Purge::All)),
        ];
        let mut kinds = kinds.into_iter().flatten();
        kinds.next().filter(|_| kinds.next().is_none()).flatten()
    }
}

pub(super) async fn purge(State(state): State<Arc<AdminState>>, wanted: Result<Json<Wanted>, JsonRejection>) -> Response {
    let read = wanted.ok().and_then(|Json(wanted)| Some((wanted.manner(), wanted.purge()?)));
    match read {
        Some((manner, purge)) => Json(json!({ "purged": (state.purge_cache)(purge, manner) })).into_response(),
        None => error(StatusCode::BAD_REQUEST, "bad_request", FORM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Purge> {
        serde_json::from_str::<Wanted>(text).ok()?.purge()
    }

    #[test]
    fn exactly_one_kind() {
        assert_eq!(read(r#"{"all":true}"#), Some(Purge::All));
        assert_eq!(read(r#"{"rule":"r","dryRun":true}"#), Some(Purge::Rule("r".into())));
        assert_eq!(read(r#"{"function":"f","all":false}"#), Some(Purge::Function("f".into(), Vec::new())));
        assert!(
            matches!(read(r#"{"url":"/a?b"}"#), Some(Purge::Url(_))) && matches!(read(r#"{"prefix":"http://h/"}"#), Some(Purge::Prefix(_)))
        );
        for wrong in ["{}", r#"{"all":false}"#, r#"{"rule":""}"#, r#"{"rule":"r","all":true}"#, r#"{"url":"a"}"#, r#"{"rules":"r"}"#, "[]"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
