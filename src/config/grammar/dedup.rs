//! Keys of `dedup:`.

use super::forms::{DURATION, HEADER, JSON_PATH, NAME, SECRET_FILE, SOME_TEXT, TEXT, VARIABLE};
use super::matching::{EXCLUDED, MATCHER};
use super::{Default, Key, Map, Needs, Value};
use crate::dedup::signature::Scheme;
use crate::dedup::source::Preset;

/// Words of `id:`.
pub const PRESETS: [&str; Preset::ALL.len()] = {
    let mut words = [""; Preset::ALL.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = Preset::ALL[at].as_str();
        at += 1;
    }
    words
};
/// Words of `scheme:`.
pub const SCHEMES: [&str; Scheme::ALL.len()] = {
    let mut words = [""; Scheme::ALL.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = Scheme::ALL[at].as_str();
        at += 1;
    }
    words
};
/// A preset or a place.
const SOURCE: Value = Value::Any(&[Value::Word(&PRESETS), Value::Map(&ID)]);

/// `dedup:`.
pub const DEDUP: Map = Map::new(
    "dedup",
    "Which messages reach a function once. What no rule matches is forwarded each time it comes.",
    &[
        Key::new(
            "exclude",
            Value::List(&EXCLUDED),
            Default::Is("[]"),
            "[\"**/test\"]",
            "What is never deduplicated, whatever a rule says.",
        ),
        Key::new(
            "include",
            Value::List(&Value::Map(&DEDUP_RULE)),
            Default::Is("[]"),
            "[{ name: stripe, match: { function: payments, method: POST }, id: stripe, window: 24h }]",
            "The rules, read from top to bottom: the first that matches decides.",
        ),
    ],
);

/// An entry of `dedup.include:`.
pub const DEDUP_RULE: Map = Map::new(
    "dedup rule",
    "Messages told apart by the ids in them. The first copy goes to the function; once it has answered 2xx, \
     every further copy within `window` is answered by the sidecar. A message whose function failed is never held \
     back.",
    &[
        Key::new(
            "name",
            Value::Text(&NAME),
            Default::Required,
            "whatsapp",
            "Its name, used once in the file: a label of metrics, a field of the log, a line of `explain`.",
        ),
        Key::new("match", MATCHER, Default::Required, "{ function: \"wa-webhook*\", method: POST }", "Which requests.")
            .trap("GET, HEAD and OPTIONS are never deduplicated: they are handshakes, probes and preflights."),
        Key::new(
            "id",
            Value::Any(&[Value::Word(&PRESETS), Value::Map(&ID), Value::Filled(&SOURCE)]),
            Default::Required,
            "[{ header: webhook-id }, stripe]",
            "Where the ids are: a sender's preset, a place, or a list of these of which the first that yields an id counts.",
        )
        .trap("A message without an id is forwarded, and counted as `no_id`."),
        Key::new(
            "window",
            Value::Text(&DURATION),
            Default::Is("30s"),
            "24h",
            "How long after its acceptance a message counts as seen; at most 7d.",
        )
        .trap("Meta repeats for up to 7 days; what comes later than the window reaches the function again."),
        Key::new(
            "while_first_runs",
            Value::Word(&["wait", "forward"]),
            Default::Is("wait"),
            "wait",
            "What a copy does that comes while the first one still runs: wait for its outcome, or go to the function as \
             well.",
        ),
        Key::new(
            "wait_timeout",
            Value::Text(&DURATION),
            Default::Is("4s"),
            "10s",
            "How long such a copy waits; then it is answered 503 with Retry-After, never 200.",
        )
        .trap("Longer than the sender's own patience it only ties up connections."),
        Key::new(
            "duplicate_response",
            Value::Map(&DUPLICATE_RESPONSE),
            Default::Words("what the sender's preset says, else `{\"success\":true,\"duplicate\":true}`"),
            "{ content_type: text/plain, body: ok }",
            "What a duplicate is answered with.",
        ),
        Key::new(
            "verify",
            Value::Map(&VERIFY),
            Default::Words("no signature is asked for"),
            "{ scheme: meta, secret_file: /run/secrets/meta-app-secret }",
            "The sender's signature: what is not signed is 401 and claims nothing.",
        )
        .trap("Leave `method` out of `match` then, so that a PUT needs a signature as well."),
    ],
);

/// A place of an id.
pub const ID: Map = Map {
    needs: Needs::One(&["json", "header", "form"]),
    ..Map::new(
        "place of an id",
        "Exactly one place. Several are a list.",
        &[
            Key::new(
                "json",
                Value::Text(&JSON_PATH),
                Default::Words("not in the body"),
                "\"entry[].changes[].value.messages[].id\"",
                "Names with dots between; `[]` for each element of a list.",
            ),
            Key::new(
                "with",
                Value::List(&Value::Text(&SOME_TEXT)),
                Default::Is("[]"),
                "[status]",
                "Members beside the id of a `json` place that tell apart events with the same id; 8 at most.",
            ),
            Key::new(
                "header",
                Value::Text(&HEADER),
                Default::Words("in no header field"),
                "webhook-id",
                "A header field that holds the id.",
            ),
            Key::new(
                "form",
                Value::Text(&SOME_TEXT),
                Default::Words("in no form field"),
                "MessageSid",
                "A field of a URL-encoded body that holds the id.",
            ),
        ],
    )
};

const PRESET: Default = Default::Words("as the sender's preset has it");

/// `duplicate_response:`.
pub const DUPLICATE_RESPONSE: Map = Map::new(
    "duplicate response",
    "What the sender of a duplicate gets. It must read as success, or it tries again.",
    &[
        Key::new("status", Value::Whole(200, 299), PRESET, "202", "The status.")
            .trap("204 and 205 have no body: write `body: \"\"` beside them."),
        Key::new("content_type", Value::Text(&SOME_TEXT), PRESET, "text/xml", "The type of the body."),
        Key::new("body", Value::Text(&TEXT), PRESET, "\"<Response/>\"", "The body, of at most 4096 bytes."),
    ],
);

const ONE_FILE: Value = Value::Text(&SECRET_FILE);
const ONE_VARIABLE: Value = Value::Text(&VARIABLE);

/// `verify:`.
pub const VERIFY: Map = Map {
    needs: Needs::Any(&["secret_file", "secret_env"]),
    ..Map::new(
        "verify",
        "Whose signature a delivery must have. Secrets are read from files or the environment, again when they \
         change; while one is rotated, give both in a list (8 at most).",
        &[
            Key::new("scheme", Value::Word(&SCHEMES), Default::Required, "meta", "How the sender signs."),
            Key::new(
                "secret_file",
                Value::Any(&[ONE_FILE, Value::List(&ONE_FILE)]),
                Default::Words("no file"),
                "/run/secrets/meta-app-secret",
                "File that holds the secret; a path that begins with `/` or `./`.",
            )
            .trap("The secret itself does not belong in the rules: it is refused, and its line never shown."),
            Key::new(
                "secret_env",
                Value::Any(&[ONE_VARIABLE, Value::List(&ONE_VARIABLE)]),
                Default::Words("no variable"),
                "META_APP_SECRET",
                "Environment variable that holds the secret, in capitals.",
            ),
        ],
    )
};
