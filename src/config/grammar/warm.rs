//! Keys of `warm:`.

use super::forms::{BELOW_FUNCTION, BOOLEAN, DURATION, FUNCTION, NAME};
use super::{Default, Key, Map, Needs, Value};

/// A step of `warm:`.
pub const WARM: Map = Map {
    needs: Needs::Any(&["on_start", "every", "after_first"]),
    ..Map::new(
        "warm step",
        "Functions that are called, all at once, so that no caller meets their cold start. Steps run one at a time in the order of the \
         file, never during a drain; `GET /warmup` has what became of them. 20 at most.",
        &[
            Key::new("name", Value::Text(&NAME), Default::Required, "core", "Its name, in metrics and in `/warmup`."),
            Key::new(
                "functions",
                Value::Filled(&Value::Text(&FUNCTION)),
                Default::Required,
                "[mobility-nearby, mobility-trip]",
                "Which functions, each once. 20 at most.",
            ),
            Key::new(
                "path",
                Value::Text(&BELOW_FUNCTION),
                Default::Is("/health"),
                "/health?quick=1",
                "What each is asked for by GET, below its own path. Any answer below 400 is good.",
            )
            .trap("The call carries no token: where the platform checks one before a function is started, nothing is warmed."),
            Key::new(
                "on_start",
                Value::Text(&BOOLEAN),
                Default::Is("false"),
                "true",
                "Whether it runs at the start, once the functions can be reached. The sidecar is not ready before it is over or timed out.",
            ),
            Key::new("every", Value::Text(&DURATION), Default::Words("no timer"), "4m", "How often it runs; from `1s` to `24h`.").trap(
                "Workers retire under traffic too, after 30 s self-hosted as shipped. A longer period hides few cold starts: the log says so \
                 once their life is known, and which period would do.",
            ),
            Key::new(
                "after_first",
                Value::Text(&FUNCTION),
                Default::Words("it waits for no function"),
                "wa-webhook-core",
                "It runs once, after this function has answered its first request.",
            ),
            Key::new("timeout", Value::Text(&DURATION), Default::Is("5s"), "10s", "Longest time for all of its calls together, at most `5m`."),
        ],
    )
};
