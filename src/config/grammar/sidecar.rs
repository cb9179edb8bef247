//! Keys of `sidecar.yaml` outside `upstreams:`.

use super::forms::{ADDRESS, DURATION, FILE, NAME, NETWORK, PERCENTAGE, SIZE};
use super::upstream::UPSTREAM;
use super::{Default, Key, Map, Value};

const OPTIONAL_FILE: Value = Value::Any(&[Value::Text(&FILE), Value::Null]);

/// The whole file.
pub const SIDECAR: Map = Map::new(
    "sidecar.yaml",
    "What the process is made of. Read once, at the start; flags and `EDGE_SIDECAR_*` variables win over it.",
    &[
        Key::new("version", Value::Version, Default::Required, "1", "The version of the grammar."),
        Key::new(
            "listeners",
            Value::Filled(&Value::Map(&LISTENER)),
            Default::Words("one, `functions` on 0.0.0.0:8080, to the first upstream"),
            "[{ name: public, address: \"0.0.0.0:8080\", upstream: functions }]",
            "Where requests come in.",
        ),
        Key::new(
            "upstreams",
            Value::Filled(&Value::Map(&UPSTREAM)),
            Default::Words("one, `functions` at http://127.0.0.1:9000"),
            "[{ name: functions, servers: [\"http://127.0.0.1:9000\"] }]",
            "Where they go.",
        ),
        Key::new(
            "admin",
            Value::Map(&ADMIN),
            Default::Words("the defaults below"),
            "{ address: \"0.0.0.0:9901\" }",
            "Metrics, health, probes, commands.",
        ),
        Key::new(
            "memory",
            Value::Map(&MEMORY),
            Default::Words("the defaults below"),
            "{ cache: 16MiB }",
            "Nothing grows without a limit. `check` prints the sum, and refuses one above the budget or the container's \
             own limit.",
        ),
        Key::new("dedup", Value::Map(&DEDUP_STORE), Default::Words("the defaults below"), "{ max_entries: 100000 }", "Accepted messages."),
        Key::new(
            "limits",
            Value::Map(&LIMITS),
            Default::Words("the defaults below"),
            "{ body: 4MiB }",
            "What callers may take. A head or body that breaks a limit gets 431, 413 or 408, and its connection ends.",
        ),
        Key::new(
            "trusted_proxies",
            Value::List(&Value::Text(&NETWORK)),
            Default::Is("[]"),
            "[\"10.0.0.0/8\"]",
            "Whose `X-Forwarded-*` is kept; all others' is overwritten.",
        )
        .trap("A network that holds the callers lets each of them choose the address that functions see."),
        Key::new(
            "drain",
            Value::Map(&DRAIN),
            Default::Words("the defaults below"),
            "{ announce: 5s, timeout: 25s }",
            "The end, on SIGTERM or `edge-sidecar drain`.",
        ),
        Key::new("log", Value::Map(&LOG), Default::Words("the defaults below"), "{ level: warn }", "The log."),
        Key::new(
            "rules",
            OPTIONAL_FILE,
            Default::Is("rules.yaml"),
            "/etc/edge-sidecar/rules.yaml",
            "The rules file, found from the folder of this file; `null` = no rules.",
        ),
    ],
);

/// An entry of `listeners:`.
pub const LISTENER: Map = Map::new(
    "listener",
    "An address, and the upstream that its requests go to.",
    &[
        Key::new("name", Value::Text(&NAME), Default::Required, "public", "Its name, for rules and logs."),
        Key::new("address", Value::Text(&ADDRESS), Default::Required, "\"0.0.0.0:8080\"", "An IP address and a port.")
            .trap("In quotes where it begins with `[`, as `\"[::]:8080\"`."),
        Key::new("upstream", Value::Text(&NAME), Default::Required, "functions", "The name of the upstream."),
        Key::new(
            "upgrade",
            Value::List(&Value::Word(&["websocket"])),
            Default::Is("[websocket]"),
            "[]",
            "What a connection may be switched to; `[]` lets no WebSocket through.",
        ),
    ],
);

/// `admin:`.
pub const ADMIN: Map = Map::new(
    "admin",
    "Two doors. The address answers to anyone who reaches it, with figures and probes; the socket (mode 0600) \
     may do everything.",
    &[
        Key::new(
            "address",
            Value::Text(&ADDRESS),
            Default::Is("\"127.0.0.1:9901\""),
            "\"0.0.0.0:9901\"",
            "Metrics, health, probes; everything with the token of `token_file`.",
        )
        .trap("In a Pod it must be `0.0.0.0:9901`, or neither probes nor Prometheus reach it."),
        Key::new(
            "socket",
            Value::Text(&FILE),
            Default::Words("/run/edge-sidecar/admin.sock as root, else under $XDG_RUNTIME_DIR, else in the temporary folder"),
            "/run/edge-sidecar/admin.sock",
            "The socket that commands speak to.",
        ),
        Key::new(
            "token_file",
            OPTIONAL_FILE,
            Default::Is("null"),
            "/run/secrets/admin-token",
            "A file with a bearer token that opens everything on the address too.",
        ),
    ],
);

/// `memory:`.
pub const MEMORY: Map = Map::new(
    "memory",
    "The budget and its parts.",
    &[
        Key::new("budget", Value::Text(&SIZE), Default::Is("112MiB"), "96MiB", "The whole."),
        Key::new("cache", Value::Text(&SIZE), Default::Is("32MiB"), "16MiB", "Stored answers; the least used go first."),
        Key::new(
            "max_object",
            Value::Text(&SIZE),
            Default::Is("1MiB"),
            "512KiB",
            "A larger answer is not stored; at most a quarter of `cache`.",
        ),
        Key::new("bodies", Value::Text(&SIZE), Default::Is("16MiB"), "12MiB", "Bodies being read or gathered, of all requests together."),
    ],
);

/// `dedup:` of a sidecar file.
pub const DEDUP_STORE: Map = Map::new(
    "dedup store",
    "Where accepted messages are remembered.",
    &[
        Key::new(
            "max_entries",
            Value::Whole(1_000, 100_000_000),
            Default::Is("250000"),
            "100000",
            "Messages remembered; the oldest go first.",
        ),
        Key::new("store", Value::Word(&["memory"]), Default::Is("memory"), "memory", "Where."),
    ],
);

/// `limits:`.
pub const LIMITS: Map = Map::new(
    "limits",
    "Limits of one request and of all.",
    &[
        Key::new(
            "body",
            Value::Text(&SIZE),
            Default::Is("8MiB"),
            "4MiB",
            "Largest body that is read whole (webhooks); what is streamed may be larger.",
        ),
        Key::new("header", Value::Text(&SIZE), Default::Is("32KiB"), "16KiB", "Largest head of a request, from 1KiB to 256KiB."),
        Key::new("headers", Value::Whole(1, 256), Default::Is("100"), "64", "Most fields in it."),
        Key::new(
            "connections",
            Value::Whole(1, 1_000_000),
            Default::Is("800"),
            "600",
            "Connections of callers at once (fewer where few files may be opened). Over it idle ones make room, else \
             newcomers are closed.",
        ),
        Key::new("in_flight", Value::Whole(1, 1_000_000), Default::Is("512"), "400", "Requests at once; more get 503."),
        Key::new("in_flight_per_function", Value::Whole(1, 1_000_000), Default::Is("256"), "100", "Requests at once to one function."),
        Key::new("header_timeout", Value::Text(&DURATION), Default::Is("5s"), "10s", "Time for a whole head, from its first byte."),
        Key::new(
            "body_timeout",
            Value::Text(&DURATION),
            Default::Is("1m"),
            "30s",
            "Time for a whole body; a streamed one may go on at 16 KiB/s or more.",
        ),
        Key::new(
            "idle_timeout",
            Value::Text(&DURATION),
            Default::Is("75s"),
            "1m",
            "Time a connection may be idle, before its first request and between two.",
        )
        .trap("Shorter than what a load balancer in front keeps, it closes connections that are about to be used."),
        Key::new("write_timeout", Value::Text(&DURATION), Default::Is("30s"), "1m", "Time for a piece of an answer to be taken."),
    ],
);

/// `drain:`.
pub const DRAIN: Map = Map::new(
    "drain",
    "Not ready at once, still accepting for `announce`, then what runs is finished, for `timeout` at most.",
    &[
        Key::new("announce", Value::Text(&DURATION), Default::Is("5s"), "10s", "Time in which others learn that it ends."),
        Key::new("timeout", Value::Text(&DURATION), Default::Is("25s"), "30s", "Longest wait for what runs, after that.")
            .trap("Both together must be less than the Pod's `terminationGracePeriodSeconds`."),
    ],
);

/// `log:`.
pub const LOG: Map = Map::new(
    "log",
    "One JSON line an event, on stdout.",
    &[
        Key::new("format", Value::Word(&["json"]), Default::Is("json"), "json", "The form of the lines."),
        Key::new(
            "level",
            Value::Word(&["error", "warn", "info", "debug"]),
            Default::Is("info"),
            "warn",
            "Least level shown; `warn` leaves out the line of each request.",
        ),
        Key::new("hits", Value::Text(&PERCENTAGE), Default::Is("100%"), "1%", "Share of cache hits that get a line."),
    ],
);
