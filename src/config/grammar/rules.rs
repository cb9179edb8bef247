//! Keys of `rules.yaml` outside `cache:` and `dedup:`.

use super::cache::{CACHE, SCOPES};
use super::dedup::DEDUP;
use super::forms::{DURATION, GLOB, HEADER, PERCENTAGE, REQUEST, SOME_TEXT, TEXT};
use super::matching::MATCHER;
use super::{Default, Key, Map, Needs, Value};
use crate::cache::Bypass;
use crate::dedup::SkipReason;

/// The whole file.
pub const RULES: Map = Map::new(
    "rules.yaml",
    "What is cached, deduplicated and slow, and when the functions count as healthy. An edit is in force within \
     a second, all or nothing.",
    &[
        Key::new("version", Value::Version, Default::Required, "1", "The version of the grammar."),
        Key::new("cache", Value::Map(&CACHE), Default::Words("nothing is cached"), "{ include: [] }", "Answers that are given again."),
        Key::new(
            "dedup",
            Value::Map(&DEDUP),
            Default::Words("nothing is deduplicated"),
            "{ include: [] }",
            "Messages that reach a function once.",
        ),
        Key::new(
            "slow",
            Value::List(&Value::Map(&SLOW)),
            Default::Words("after 1s"),
            "[{ match: { function: ocr }, after: 10s }]",
            "When a request counts as slow, read from top to bottom: the first entry that matches decides. A slow \
             request has `slow: true` in its log line and is counted.",
        ),
        Key::new(
            "health",
            Value::Map(&HEALTH),
            Default::Words("the defaults below"),
            "{ min_requests: 50 }",
            "When `GET /health` on the admin address says degraded or unhealthy.",
        )
        .trap("It judges the functions: probes ask `/livez` and `/readyz`."),
        Key::new(
            "tests",
            Value::List(&Value::Map(&TEST)),
            Default::Is("[]"),
            "[{ request: GET /functions/v1/profile-get, expect: { dedup: none } }]",
            "Requests, and what is to become of them: run before each swap and by `check`. One that fails refuses the \
             file. 500 at most.",
        ),
    ],
);

/// An entry of `slow:`.
pub const SLOW: Map = Map::new(
    "slow entry",
    "Requests, and after which time they are slow.",
    &[
        Key::new("match", MATCHER, Default::Required, "{ function: ocr-documents }", "Which requests."),
        Key::new("after", Value::Text(&DURATION), Default::Required, "10s", "A request that takes longer is slow."),
    ],
);

/// `health:`.
pub const HEALTH: Map = Map::new(
    "health",
    "Limits on the requests of the last `window`. `null` in place of a limit = never.",
    &[
        Key::new(
            "error_rate",
            Value::Map(&SHARE_LIMITS),
            Default::Is("{ degraded: 5%, unhealthy: 10% }"),
            "{ degraded: 1%, unhealthy: 5% }",
            "Share of 5xx answers above which the state is worse.",
        ),
        Key::new(
            "average_latency",
            Value::Map(&TIME_LIMITS),
            Default::Is("{ degraded: 1s, unhealthy: 2s }"),
            "{ degraded: 500ms, unhealthy: null }",
            "Mean time of a request above which the state is worse.",
        ),
        Key::new(
            "cache_hit_rate",
            Value::Map(&SHARE_LIMITS),
            Default::Is("{ degraded: 50%, unhealthy: null }"),
            "{ degraded: 80%, unhealthy: 20% }",
            "Share of look-ups answered from the cache below which the state is worse.",
        )
        .trap("Here less is worse: `unhealthy` is the smaller one."),
        Key::new(
            "min_requests",
            Value::Whole(1, 1_000_000),
            Default::Is("20"),
            "50",
            "With fewer requests in the window nothing is judged.",
        ),
        Key::new("window", Value::Text(&DURATION), Default::Is("1m"), "5m", "The time looked back at, from 1s to 1h."),
    ],
);

const SHARE: Value = Value::Any(&[Value::Text(&PERCENTAGE), Value::Null]);
const TIME: Value = Value::Any(&[Value::Text(&DURATION), Value::Null]);
const AS_BELOW: Default = Default::Words("as the indicator's own default");

/// Two limits on a share.
pub const SHARE_LIMITS: Map = Map::new(
    "limits of a share",
    "Two limits, of which `unhealthy` is the worse.",
    &[
        Key::new("degraded", SHARE, AS_BELOW, "1%", "Where the state is degraded."),
        Key::new("unhealthy", SHARE, AS_BELOW, "null", "Where it is unhealthy: `/health` answers 503."),
    ],
);

/// Two limits on a time.
pub const TIME_LIMITS: Map = Map::new(
    "limits of a time",
    "Two limits, of which `unhealthy` is the worse.",
    &[
        Key::new("degraded", TIME, AS_BELOW, "500ms", "Where the state is degraded."),
        Key::new("unhealthy", TIME, AS_BELOW, "null", "Where it is unhealthy: `/health` answers 503."),
    ],
);

/// An entry of `tests:`.
pub const TEST: Map = Map::new(
    "test",
    "A request that nobody sends, and what the rules must make of it.",
    &[
        Key::new("request", Value::Text(&REQUEST), Default::Required, "GET /functions/v1/profile-get?lang=en", "Method and path, or URL."),
        Key::new(
            "headers",
            Value::Entries(&HEADER, &Value::Text(&TEXT)),
            Default::Words("none"),
            "{ authorization: Bearer x }",
            "Its header fields.",
        )
        .trap(
            "Made-up values will do: only whether a field is there, and a `match` on it, decide. What looks like a real \
             credential is refused.",
        ),
        Key::new("body", Value::Text(&TEXT), Default::Is("\"\""), "'{\"id\":1}'", "Its body."),
        Key::new("listener", Value::Text(&GLOB), Default::Words("the first"), "functions", "The name of the listener that it comes in by."),
        Key::new("expect", Value::Map(&EXPECT), Default::Required, "{ cache: profile, ttl: 5m, dedup: none }", "What must come out."),
    ],
);

/// Reasons of `bypass:`.
const BYPASSES: [&str; Bypass::ALL.len()] = {
    let mut words = [""; Bypass::ALL.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = Bypass::ALL[at].as_str();
        at += 1;
    }
    words
};
/// Reasons of `skip:`.
const SKIPS: [&str; SkipReason::ALL.len()] = {
    let mut words = [""; SkipReason::ALL.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = SkipReason::ALL[at].as_str();
        at += 1;
    }
    words
};
const NONE: Value = Value::Word(&["none"]);
const OPEN: Default = Default::Words("may be anything");

/// `expect:`.
pub const EXPECT: Map = Map {
    needs: Needs::Any(&["cache", "ttl", "scope", "bypass", "dedup", "skip", "ids", "slow"]),
    ..Map::new(
        "expectation",
        "What is not named may be anything.",
        &[
            Key::new("cache", Value::Text(&SOME_TEXT), OPEN, "profile", "The rule under which the answer is looked up, or `none`."),
            Key::new("ttl", Value::Any(&[Value::Text(&DURATION), NONE]), OPEN, "5m", "The rule's lifetime of a 200, or `none`."),
            Key::new("scope", Value::Any(&[Value::Word(&SCOPES), NONE]), OPEN, "per_caller", "The rule's scope, or `none`."),
            Key::new(
                "bypass",
                Value::Any(&[Value::Word(&BYPASSES), NONE]),
                OPEN,
                "credentials",
                "Why a cache rule that matches does not apply, or `none`.",
            ),
            Key::new("dedup", Value::Text(&SOME_TEXT), OPEN, "whatsapp", "The rule that deduplicates, or `none`."),
            Key::new(
                "skip",
                Value::Any(&[Value::Word(&SKIPS), NONE]),
                OPEN,
                "no_id",
                "Why a dedup rule that matches does not apply, or `none`.",
            ),
            Key::new("ids", Value::Whole(0, 1_000_000), OPEN, "1", "How many events the body holds."),
            Key::new("slow", Value::Text(&DURATION), OPEN, "10s", "After which time the request is slow."),
        ],
    )
};
