//! The settings of a rule as an explanation shows them: by the keys of the rules file, defaults included, secrets left out. Each struct is
//! taken apart by name, so that a new setting has to be thought of here.

use super::lifetime;
use crate::cache::{self, ClientControl, Shape, Statuses};
use crate::dedup::signature::Verify;
use crate::dedup::source::{DuplicateResponse, Field, Place, Preset, Step};
use crate::dedup::{self, IdSource, WhileFirstRuns};
use crate::engine::expect::span;
use crate::rules::{Matcher, Pattern};

/// A key and its value.
pub type Line = (&'static str, String);

/// `match:`, the keys that are given.
pub fn matcher(matcher: &Matcher) -> Line {
    let Matcher { function, path, methods, host, listener, query, headers } = matcher;
    let glob = |key: &str, pattern: &Option<Pattern>| pattern.as_ref().map(|p| format!("{key} {}", p.as_str()));
    let mut parts: Vec<String> = [("function", function), ("path", path), ("host", host), ("listener", listener)]
        .into_iter()
        .filter_map(|(key, pattern)| glob(key, pattern))
        .collect();
    if !methods.is_empty() {
        parts.push(format!("method {}", methods.iter().map(http::Method::as_str).collect::<Vec<_>>().join(" or ")));
    }
    let value = |value: &Option<Pattern>| value.as_ref().map(|v| format!("={}", v.as_str())).unwrap_or_default();
    parts.extend(query.iter().map(|(name, v)| format!("query {name}{}", value(v))));
    parts.extend(headers.iter().map(|(name, v)| format!("header {name}={}", v.as_str())));
    ("match", if parts.is_empty() { "every request".to_owned() } else { parts.join(", ") })
}

/// The settings of a cache rule.
pub fn of_cache(settings: &cache::Settings) -> Vec<Line> {
    let cache::Settings {
        ttl: _,
        scope,
        statuses,
        origin_cache_control,
        ignore_set_cookie,
        key,
        tags,
        while_revalidate,
        if_error,
        client_control,
    } = settings;
    let statuses = match statuses {
        Statuses::Usual => "default",
        Statuses::Any => "any",
    };
    let client_control = match client_control {
        ClientControl::Ignore => "ignore",
        ClientControl::Honour => "honour",
    };
    vec![
        ("ttl", lifetime(settings)),
        ("scope", scope.as_str().to_owned()),
        ("statuses", statuses.to_owned()),
        ("origin_cache_control", origin_cache_control.as_str().to_owned()),
        ("ignore_set_cookie", list(ignore_set_cookie)),
        ("key", shape(key)),
        ("tags", list(tags)),
        ("stale_while_revalidate", span(*while_revalidate)),
        ("stale_if_error", span(*if_error)),
        ("client_control", client_control.to_owned()),
    ]
}

fn list<T: AsRef<str>>(words: &[T]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ") }
}

fn shape(key: &Shape) -> String {
    let query = key.query.as_ref().map_or_else(|| "the whole query".to_owned(), |names| format!("query {}", list(names)));
    if key.headers.is_empty() { query } else { format!("{query}; headers {}", list(&key.headers)) }
}

/// The settings of a dedup rule.
pub fn of_dedup(settings: &dedup::Settings) -> Vec<Line> {
    let dedup::Settings { id, window, while_first_runs, wait_timeout, duplicate_response, verify } = settings;
    let while_first_runs = match while_first_runs {
        WhileFirstRuns::Wait => "wait",
        WhileFirstRuns::Forward => "forward",
    };
    let DuplicateResponse { status, content_type, body } = duplicate_response;
    let signed = |Verify { scheme, secrets: _ }: &Verify| format!("by {}", scheme.as_str());
    vec![
        ("id", source(id)),
        ("window", span(*window)),
        ("while_first_runs", while_first_runs.to_owned()),
        ("wait_timeout", span(*wait_timeout)),
        ("duplicate_response", format!("{status} {content_type} {}", String::from_utf8_lossy(body)).trim_end().to_owned()),
        ("verify", verify.as_ref().map_or_else(|| "none".to_owned(), signed)),
    ]
}

/// A preset by its name, else the place.
fn source(id: &IdSource) -> String {
    if let Some(preset) = Preset::ALL.into_iter().find(|preset| preset.source() == *id) {
        return preset.as_str().to_owned();
    }
    match id {
        IdSource::WhatsApp => Preset::WhatsApp.as_str().to_owned(),
        IdSource::Field(Field { profile: _, place }) => match place {
            Place::Json { path, with } if with.is_empty() => format!("json {}", path_text(path.steps())),
            Place::Json { path, with } => format!("json {} with {}", path_text(path.steps()), with.join(", ")),
            Place::Header(name) => format!("header {name}"),
            Place::Form(name) => format!("form {name}"),
        },
        IdSource::FirstOf(sources) => sources.iter().map(source).collect::<Vec<_>>().join(", else "),
    }
}

fn path_text(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Each => text.push_str("[]"),
            Step::Member(name) if text.is_empty() => text.push_str(name),
            Step::Member(name) => text.extend([".", name]),
        }
    }
    text
}
