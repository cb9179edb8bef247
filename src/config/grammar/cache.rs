//! Keys of `cache:`.

use super::forms::{DURATION, NAME};
use super::matching::{EXCLUDED, MATCHER};
use super::{Default, Key, Map, Value};
use crate::cache::Scope;

/// Statuses that a rule may give a lifetime (cache.md 4.1).
pub const STORABLE: [&str; 8] = ["200", "203", "204", "300", "301", "308", "404", "410"];
/// Words of `scope:`.
pub const SCOPES: [&str; 4] = [Scope::Anonymous.as_str(), Scope::PerCaller.as_str(), Scope::Public.as_str(), Scope::Standard.as_str()];

/// `cache:`.
pub const CACHE: Map = Map::new(
    "cache",
    "Whose answers are stored, and for whom. What no rule matches is not cached.",
    &[
        Key::new("exclude", Value::List(&EXCLUDED), Default::Is("[]"), "[\"**/login\"]", "What is never cached, whatever a rule says."),
        Key::new(
            "include",
            Value::List(&Value::Map(&CACHE_RULE)),
            Default::Is("[]"),
            "[{ name: config, match: { function: \"app-config*\" }, ttl: 10m }]",
            "The rules, read from top to bottom: the first that matches decides.",
        ),
    ],
);

/// An entry of `cache.include:`.
pub const CACHE_RULE: Map = Map::new(
    "cache rule",
    "Answers to GET and HEAD that are given again. An answer's own `Cache-Control` comes first; `private`, \
     `no-store` and `Set-Cookie` are never shared.",
    &[
        Key::new(
            "name",
            Value::Text(&NAME),
            Default::Required,
            "profile",
            "Its name, used once in the file: a label of metrics, a field of the log, a line of `explain`.",
        )
        .trap("Stored answers belong to the rule by its name: another name begins with an empty cache."),
        Key::new("match", MATCHER, Default::Required, "{ function: \"profile*\", method: GET }", "Which requests."),
        Key::new(
            "ttl",
            Value::Any(&[Value::Text(&DURATION), Value::EntriesOf(&STORABLE, &Value::Text(&DURATION))]),
            Default::Required,
            "{ 200: 5m, 404: 15s }",
            "How long an answer is good that says nothing about it itself. One duration means the statuses 200, 203, \
             204, 301 and 308; a mapping names them one by one.",
        )
        .trap("A mapping means exactly what it names: `{ 404: 15s }` stores no 200."),
        Key::new(
            "scope",
            Value::Word(&SCOPES),
            Default::Is("anonymous"),
            "per_caller",
            "Whose answer may be given to whom. `anonymous`: only requests without Authorization, apikey and Cookie. \
             `per_caller`: each caller's own copy. `public`: one copy for all. `standard`: the answer decides (RFC 9111 \
             3.5).",
        )
        .trap("`public` also answers callers without any token, where the function itself would have refused them."),
        Key::new(
            "statuses",
            Value::Word(&["default", "any"]),
            Default::Is("default"),
            "any",
            "`any` also stores errors and unknown statuses, where the answer itself says for how long.",
        ),
        Key::new(
            "stale_while_revalidate",
            Value::Text(&DURATION),
            Default::Is("0s"),
            "30s",
            "How long an answer that is not fresh any more is given at once while one new answer is fetched, where it says nothing about \
             that itself (RFC 5861).",
        )
        .trap("`s-maxage`, `must-revalidate`, `proxy-revalidate` and `no-cache` in the answer forbid it."),
        Key::new(
            "stale_if_error",
            Value::Text(&DURATION),
            Default::Is("0s"),
            "1h",
            "How long an answer that is not fresh any more stands in where the function fails (no answer, 500, 502, 503, 504, 546), where \
             it says nothing about that itself (RFC 5861). The function is asked again after 1 s, then 2, 4 and so on up to 30.",
        )
        .trap("Errors of the function hide behind 200s for that time: watch `cache_refreshes_total{result=\"failed\"}`."),
        Key::new(
            "client_control",
            Value::Word(&["ignore", "honour"]),
            Default::Is("ignore"),
            "honour",
            "`honour` obeys a caller's `no-cache`, `max-age`, `min-fresh`, `max-stale` and `Pragma`, and has each key fetched anew so once \
             a second at most. `no-store` and `only-if-cached` are obeyed always.",
        )
        .trap("Under `honour` any caller can make the function work for each request."),
    ],
);
