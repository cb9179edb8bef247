//! What a restart would change: each key of the shipped sidecar file, said once, with both values.

use super::super::restart::{Found, SidecarFile, State};
use super::super::settings::changes;
use super::super::{Overrides, judge_sidecar};
use super::host;

const SHIPPED: &str = include_str!("../../../config/sidecar.yaml");

fn file(overrides: &Overrides) -> SidecarFile {
    let running = judge_sidecar(SHIPPED.as_bytes(), overrides, &host()).value.expect("a good file");
    SidecarFile::new("sidecar.yaml".as_ref(), running, overrides.clone(), host())
}

/// What there is to say about another text, key by key.
fn edited(text: &str, overrides: &Overrides) -> Vec<String> {
    let file = file(overrides);
    file.look(Some(text.as_bytes()));
    let found = file.found();
    assert!(found.diagnostics.is_empty(), "{:?}", found.diagnostics);
    found.changes.iter().map(super::super::settings::Change::words).collect()
}

/// Of the shipped text what becomes what, and what is said of it.
const EDITS: [(&str, &str, &str); 39] = [
    (
        "name: functions, address: \"0.0.0.0:8080\"",
        "name: functions, address: \"0.0.0.0:81\"",
        "listeners.functions.address from 0.0.0.0:8080 to 0.0.0.0:81",
    ),
    ("upgrade: [websocket]", "upgrade: []", "listeners.functions.upgrade from [websocket] to []"),
    (
        "http://127.0.0.1:9000",
        "https://ref.example",
        "upstreams.functions.servers from [http://127.0.0.1:9000] to [https://ref.example:443]",
    ),
    ("ca_file: null", "ca_file: /ca.pem", "upstreams.functions.ca_file from null to /ca.pem"),
    ("function_prefix: /functions/v1/", "function_prefix: /", "upstreams.functions.function_prefix from /functions/v1/ to /"),
    (
        "[x-wa-internal-forward, sb-api-key]",
        "[sb-api-key]",
        "upstreams.functions.strip_request_headers from [x-wa-internal-forward, sb-api-key] to [sb-api-key]",
    ),
    ("max_idle: 10", "max_idle: 11", "upstreams.functions.pool.max_idle from 10 to 11"),
    ("idle_timeout: 5m", "idle_timeout: 90s", "upstreams.functions.pool.idle_timeout from 5m to 1m30s"),
    ("max_in_use: 256", "max_in_use: 2", "upstreams.functions.pool.max_in_use from 256 to 2"),
    ("connect: 1s", "connect: 2s", "upstreams.functions.timeouts.connect from 1s to 2s"),
    ("first_byte: 155s", "first_byte: 1s", "upstreams.functions.timeouts.first_byte from 2m35s to 1s"),
    ("between_bytes: 60s", "between_bytes: 61s", "upstreams.functions.timeouts.between_bytes from 1m to 1m1s"),
    ("on: [connect]", "on: []", "upstreams.functions.retries.attempts from 8 to 1"),
    ("attempts: 8", "attempts: 9", "upstreams.functions.retries.attempts from 8 to 9"),
    ("backoff: 250ms", "backoff: 0s", "upstreams.functions.retries.backoff from 250ms to 0s"),
    ("address: \"127.0.0.1:9901\"", "address: \"127.0.0.1:9902\"", "admin.address from 127.0.0.1:9901 to 127.0.0.1:9902"),
    ("# socket: /run/edge-sidecar/admin.sock", "socket: /s", "admin.socket from /run/edge-sidecar/admin.sock to /s"),
    ("token_file: null", "token_file: /t", "admin.token_file from null to /t"),
    ("budget: 112MiB", "budget: 1GiB", "memory.budget from 112MiB to 1GiB"),
    ("cache: 32MiB", "cache: 31.5MiB", "memory.cache from 32MiB to 32256KiB"),
    ("max_object: 1MiB", "max_object: 5B", "memory.max_object from 1MiB to 5B"),
    ("bodies: 16MiB", "bodies: 15MiB", "memory.bodies from 16MiB to 15MiB"),
    ("max_entries: 250000", "max_entries: 1000", "dedup.max_entries from 250000 to 1000"),
    ("body: 8MiB", "body: 1MiB", "limits.body from 8MiB to 1MiB"),
    ("header: 32KiB", "header: 16KiB", "limits.header from 32KiB to 16KiB"),
    ("headers: 100", "headers: 99", "limits.headers from 100 to 99"),
    ("connections: 800", "connections: 700", "limits.connections from 800 to 700"),
    ("in_flight: 512", "in_flight: 300", "limits.in_flight from 512 to 300"),
    ("in_flight_per_function: 256", "in_flight_per_function: 2", "limits.in_flight_per_function from 256 to 2"),
    ("header_timeout: 5s", "header_timeout: 6s", "limits.header_timeout from 5s to 6s"),
    ("body_timeout: 60s", "body_timeout: 6s", "limits.body_timeout from 1m to 6s"),
    ("idle_timeout: 75s", "idle_timeout: 7s", "limits.idle_timeout from 1m15s to 7s"),
    ("write_timeout: 30s", "write_timeout: 3s", "limits.write_timeout from 30s to 3s"),
    ("trusted_proxies: []", "trusted_proxies: [\"10.0.0.0/8\"]", "trusted_proxies from [] to [10.0.0.0/8]"),
    ("announce: 5s", "announce: 0s", "drain.announce from 5s to 0s"),
    ("timeout: 25s", "timeout: 2s", "drain.timeout from 25s to 2s"),
    ("level: info", "level: debug", "log.level from info to debug"),
    ("hits: 100%", "hits: 0.5%", "log.hits from 100% to 0.5%"),
    ("rules: rules.yaml", "rules: null", "rules from rules.yaml to null"),
];

#[test]
fn each_key_is_reported_with_both_values() {
    for (from, to, words) in EDITS {
        assert!(SHIPPED.contains(from), "{from}");
        assert_eq!(edited(&SHIPPED.replacen(from, to, 1), &Overrides::default()), [words]);
    }
    let lines = |text: &str| {
        changes(
            &judge_sidecar(b"version: 1\n", &Overrides::default(), &host()).value.expect("good"),
            &judge_sidecar(text.as_bytes(), &Overrides::default(), &host()).value.expect("good"),
        )
        .len()
    };
    assert_eq!(lines(SHIPPED), 0, "the defaults, written or not");
}

#[test]
fn entries_come_and_go_by_their_names() {
    let more = SHIPPED
        .replace("upgrade: [websocket] }", "upgrade: [websocket] }\n  - { name: egress, address: \"127.0.0.1:82\", upstream: functions }");
    assert_eq!(
        edited(&more, &Overrides::default()),
        [
            "listeners from [functions] to [functions, egress]",
            "listeners.egress.address from nothing to 127.0.0.1:82",
            "listeners.egress.upgrade from nothing to [websocket]",
            "listeners.egress.upstream from nothing to functions",
        ]
    );
}

#[test]
fn what_changes_nothing_needs_no_restart() {
    for same in [
        format!("# said\n{SHIPPED}"),
        SHIPPED.replace("60s", "1m"),
        SHIPPED.replace("cache: 32MiB", "cache: 32768KiB"),
        "version: 1\n".to_owned(),
    ] {
        assert!(edited(&same, &Overrides::default()).is_empty());
    }
    // a flag wins over the file, before and after
    let flag = Overrides { memory_budget: Some("200MiB".to_owned()), ..Overrides::default() };
    assert!(edited(&SHIPPED.replace("budget: 112MiB", "budget: 150MiB"), &flag).is_empty());
}

#[test]
fn each_state_is_new_once_and_a_revert_makes_it_good() {
    let file = file(&Overrides::default());
    let state = |text: Option<&str>| file.look(text.map(str::as_bytes)).map(|(found, _)| found.state);
    let other = SHIPPED.replace("connections: 800", "connections: 700");
    let steps = [
        (Some(SHIPPED), None),
        (Some(&other), Some(State::RestartNeeded)),
        (Some(&other), None),
        (Some(""), Some(State::Refused)),
        (Some("version: 1\nmemory: { budget: 5MB }\n"), Some(State::Refused)),
        (None, Some(State::Missing)),
        (None, None),
        (Some(SHIPPED), Some(State::AsRunning)),
    ];
    for (text, expected) in steps {
        assert_eq!(state(text), expected, "{text:?}");
        assert_eq!(file.found().restart_needed(), text != Some(SHIPPED));
    }
    let none = SidecarFile::default();
    assert_eq!((none.look(Some(b"")), none.found()), (None, Found::default()));
}
