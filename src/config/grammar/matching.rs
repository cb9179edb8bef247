//! Keys of `match:` and of `exclude:`.

use super::forms::{FUNCTION_GLOB, GLOB, HEADER, HOST_GLOB, NAME, PATH_GLOB, QUERY_NAME, VALUE_GLOB};
use super::{Default, Key, Map, Needs, Value};

/// Methods that reach the functions.
pub const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// `match:`, or the path alone.
pub const MATCHER: Value = Value::Any(&[Value::Text(&PATH_GLOB), Value::Map(&MATCH)]);
/// An entry of `exclude:`.
pub const EXCLUDED: Value = Value::Any(&[Value::Text(&PATH_GLOB), Value::Map(&EXCLUSION)]);

const ANY: Default = Default::Words("any");

/// `match:`.
pub const MATCH: Map = Map {
    needs: Needs::Any(&["function", "path", "method", "host", "listener", "query", "header"]),
    ..Map::new(
        "match",
        "Which requests are meant. All keys that are given must hold. A bare string is the `path`.",
        &[
            Key::new(
                "function",
                Value::Text(&FUNCTION_GLOB),
                ANY,
                "\"profile*\"",
                "Glob on the function's name: the segment after the upstream's `function_prefix`, or the first one.",
            )
            .trap("It is a name, not a path: `/functions/v1/profile` is the `path`."),
            Key::new(
                "path",
                Value::Text(&PATH_GLOB),
                ANY,
                "\"**/health\"",
                "Glob on the whole path in normal form. `*` stays within a segment, `**` goes across, `?` is one character, \
             `{a,b}` and `[ab]` as usual.",
            )
            .trap("It goes in quotes: YAML reads a bare `*` as an alias. `**/health` also matches `/health`."),
            Key::new(
                "method",
                Value::Any(&[Value::Word(&METHODS), Value::Filled(&Value::Word(&METHODS))]),
                ANY,
                "[GET, HEAD]",
                "A method, or a list of which one must hold.",
            )
            .trap("In capitals, as they are sent."),
            Key::new("host", Value::Text(&HOST_GLOB), ANY, "\"*.example.com\"", "Glob on `Host`, in lower case, with its port or without.")
                .trap("A name, not a URL."),
            Key::new(
                "listener",
                Value::Text(&GLOB),
                ANY,
                "functions",
                "Glob on the name of the listener that the request came in by, as `sidecar.yaml` has it.",
            ),
            Key::new(
                "query",
                Value::Any(&[Value::Text(&QUERY_NAME), Value::FilledEntries(&QUERY_NAME, &Value::Text(&VALUE_GLOB))]),
                ANY,
                "{ lang: \"e*\" }",
                "A query parameter that must be there, or names with a glob on the value of each.",
            )
            .trap("Names and values are compared as they are sent, percent-encoded."),
            Key::new(
                "header",
                Value::FilledEntries(&HEADER, &Value::Text(&GLOB)),
                ANY,
                "{ x-tenant: \"acme-*\" }",
                "Header fields that must be there, with a glob on the value of each.",
            )
            .trap("No place for a credential: who may read the file could read it."),
        ],
    )
};

/// An entry of `exclude:` that is no bare path.
pub const EXCLUSION: Map = Map::new(
    "exclusion",
    "What a section never touches. Exclusions are read first and always win. A bare string is a path.",
    &[
        Key::new("name", Value::Text(&NAME), Default::Required, "meta-handshake", "A name of its own, for `explain` and the log."),
        Key::new("match", MATCHER, Default::Required, "{ function: \"wa-webhook*\", query: hub.challenge }", "Which requests."),
    ],
);
