//! Keys of `upstreams:`.

use super::forms::{DURATION, FILE, HEADER, NAME, PREFIX, SERVER};
use super::{Default, Key, Map, Value};

/// An entry of `upstreams:`.
pub const UPSTREAM: Map = Map::new(
    "upstream",
    "A server with functions, the connections to it and what is tried again.",
    &[
        Key::new("name", Value::Text(&NAME), Default::Required, "functions", "Its name, for metrics, logs and listeners."),
        Key::new(
            "servers",
            Value::Filled(&Value::Text(&SERVER)),
            Default::Required,
            "[\"https://project.example\"]",
            "One http or https URL, without a path; SNI and Host follow it.",
        ),
        Key::new(
            "ca_file",
            Value::Any(&[Value::Text(&FILE), Value::Null]),
            Default::Is("null"),
            "/etc/ssl/own-roots.pem",
            "Own root certificates for https; `null` = the system's.",
        ),
        Key::new(
            "function_prefix",
            Value::Text(&PREFIX),
            Default::Is("/functions/v1/"),
            "/",
            "The segment after it names the function; of a path without it the first. `/` for a bare edge-runtime.",
        ),
        Key::new(
            "strip_request_headers",
            Value::List(&Value::Text(&HEADER)),
            Default::Is("[x-wa-internal-forward, sb-api-key]"),
            "[x-internal]",
            "Fields that are never passed on, as callers must not be able to set them.",
        )
        .trap("A list of your own takes the place of the default."),
        Key::new("pool", Value::Map(&POOL), Default::Words("the defaults below"), "{ max_idle: 20 }", "Connections that are kept."),
        Key::new("timeouts", Value::Map(&TIMEOUTS), Default::Words("the defaults below"), "{ first_byte: 60s }", "How long is waited."),
        Key::new(
            "retries",
            Value::Map(&RETRIES),
            Default::Words("the defaults below"),
            "{ attempts: 3 }",
            "What is tried again: only where the function cannot have run.",
        ),
    ],
);

/// `pool:`.
pub const POOL: Map = Map::new(
    "pool",
    "Connections that are kept for the next request.",
    &[
        Key::new("max_idle", Value::Whole(1, 1_000_000), Default::Is("10"), "20", "Most idle connections kept."),
        Key::new("idle_timeout", Value::Text(&DURATION), Default::Is("5m"), "1m", "How long one is kept idle."),
        Key::new(
            "max_in_use",
            Value::Whole(1, 1_000_000),
            Default::Is("256"),
            "100",
            "Requests at once; more of them wait for `timeouts.connect`, then 503.",
        ),
    ],
);

/// `timeouts:`.
pub const TIMEOUTS: Map = Map::new(
    "timeouts",
    "How long the function is waited for.",
    &[
        Key::new("connect", Value::Text(&DURATION), Default::Is("1s"), "2s", "Time to connect, TLS included."),
        Key::new("first_byte", Value::Text(&DURATION), Default::Is("155s"), "60s", "Time from the request's end to the answer's head.")
            .trap("The platform itself gives up at 150 s: below that, work is cut off that would have been answered."),
        Key::new("between_bytes", Value::Text(&DURATION), Default::Is("1m"), "30s", "Time between two pieces of an answer."),
    ],
);

/// `retries:`.
pub const RETRIES: Map = Map::new(
    "retries",
    "What is tried again.",
    &[
        Key::new("on", Value::List(&Value::Word(&["connect"])), Default::Is("[connect]"), "[connect]", "After what; `[]` = never."),
        Key::new("attempts", Value::Whole(1, 100), Default::Is("8"), "3", "Attempts in all, the first included."),
        Key::new("backoff", Value::Text(&DURATION), Default::Is("250ms"), "100ms", "Pause before each further attempt."),
    ],
);
