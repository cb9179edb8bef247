//! Sidecar files, flags on top of them, and which file is which.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::sidecar::{Level, Sidecar};
use super::super::sidecar_file::defaults;
use super::super::{FileKind, Overrides, judge_overrides, judge_sidecar};
use super::{host, list};

fn good(text: &str, overrides: &Overrides) -> Sidecar {
    let judgement = judge_sidecar(text.as_bytes(), overrides, &host());
    assert_eq!(judgement.render("sidecar.yaml", false), "", "{text}");
    judgement.value.expect("no problem")
}

fn problems(text: &str) -> Vec<String> {
    list(&judge_sidecar(text.as_bytes(), &Overrides::default(), &host()).problems)
}

#[test]
fn a_file_that_says_nothing_means_the_defaults() {
    let sidecar = good("version: 1\n", &Overrides::default());
    assert_eq!(sidecar, defaults(&host()));
    assert_eq!(sidecar.admin.socket, Path::new("/run/edge-sidecar/admin.sock"));
    assert_eq!((sidecar.limits.in_flight, sidecar.log.level), (512, Level::Info));
}

#[test]
fn values_are_taken_over() {
    let sidecar = good(
        "version: 1\nlisteners: [{ name: l, address: \"127.0.0.1:1234\", upstream: u }]\n\
         upstreams:\n  - name: u\n    servers: [\"https://project.example\"]\n    ca_file: /ca.pem\n    function_prefix: /\n    strip_request_headers: []\n\
         \x20   pool: { max_idle: 3, idle_timeout: 1s, max_in_use: 4 }\n    timeouts: { connect: 2s, first_byte: 3s, between_bytes: 4s }\n\
         \x20   retries: { on: [connect], attempts: 2, backoff: 0s }\n\
         admin: { address: \"0.0.0.0:9\", socket: /s, token_file: /t }\nmemory: { budget: 64MiB, cache: 8MiB, max_object: 1MiB, bodies: 9MiB }\n\
         dedup: { max_entries: 1000, store: memory }\nlimits: { in_flight: 10, in_flight_per_function: 5, body_timeout: 6s, idle_timeout: 7s, header_timeout: 8s, write_timeout: 9s,\n\
         \x20 header: 16KiB, headers: 50, connections: 90 }\n\
         trusted_proxies: [\"10.0.0.0/8\"]\ndrain: { announce: 0s, timeout: 1s }\nlog: { format: json, level: debug, hits: 0.5% }\nrules: null\n",
        &Overrides::default(),
    );
    let u = &sidecar.upstreams[0];
    assert_eq!((u.server.tls, u.server.host.as_str(), u.server.port, u.function_prefix.as_str()), (true, "project.example", 443, "/"));
    assert_eq!((u.ca_file.as_deref(), u.strip_request_headers.len()), (Some(Path::new("/ca.pem")), 0));
    assert_eq!((u.max_idle, u.idle_timeout.as_secs(), u.max_in_use, u.retries.attempts, u.retries.backoff), (3, 1, 4, 2, Duration::ZERO));
    assert_eq!((u.connect.as_secs(), u.first_byte.as_secs(), u.between_bytes.as_secs()), (2, 3, 4));
    assert_eq!((sidecar.admin.address.port(), sidecar.admin.token_file), (9, Some(PathBuf::from("/t"))));
    assert_eq!((sidecar.memory.cache, sidecar.memory.bodies, sidecar.dedup_max_entries), (8 << 20, 9 << 20, 1000));
    let limits = &sidecar.limits;
    assert_eq!((limits.header, limits.headers, limits.connections), (16 << 10, 50, 90));
    assert_eq!((limits.body_timeout.as_secs(), limits.header_timeout.as_secs(), limits.write_timeout.as_secs()), (6, 8, 9));
    assert_eq!((sidecar.limits.in_flight, sidecar.limits.in_flight_per_function, sidecar.limits.idle_timeout.as_secs()), (10, 5, 7));
    assert_eq!(
        (sidecar.trusted_proxies[0].bits, sidecar.drain.announce, sidecar.log.hits_ppm, sidecar.rules),
        (8, Duration::ZERO, 5_000, None)
    );
}

#[test]
fn websockets_pass_where_the_listener_does_not_say_otherwise() {
    for (upgrade, passes) in [("", true), (", upgrade: [websocket]", true), (", upgrade: []", false)] {
        let text = format!(
            "version: 1\nlisteners: [{{ name: l, address: \"127.0.0.1:1\", upstream: u{upgrade} }}]\nupstreams: [{{ name: u, servers: [\"http://h\"] }}]\n"
        );
        assert_eq!(good(&text, &Overrides::default()).listeners[0].websocket, passes, "{upgrade}");
    }
}

#[test]
fn the_one_listener_follows_the_one_upstream_and_no_retries_is_one_attempt() {
    let sidecar = good("version: 1\nupstreams: [{ name: u, servers: [\"http://h\"], retries: { on: [] } }]\n", &Overrides::default());
    assert_eq!((sidecar.listeners[0].upstream.as_str(), sidecar.upstreams[0].retries.attempts), ("u", 1));
}

#[test]
fn names_addresses_and_stores() {
    let upstream = "upstreams: [{ name: u, servers: [\"http://h\"] }]\n";
    for (text, expected) in [
        ("listeners: []\n", vec!["empty-value 2:12"]),
        ("upstreams: []\n", vec!["empty-value 2:12"]),
        (
            "listeners: [{ name: a, address: \"1.1.1.1:80\", upstream: u }, { name: b, address: \"0.0.0.0:80\", upstream: u }]\n",
            vec!["duplicate 2:82"],
        ),
        ("listeners: [{ name: a, address: \"0.0.0.0:80\" }]\n", vec!["missing-key 2:13"]),
        ("dedup: { store: { valkey: { url_env: X } } }\n", vec!["unsupported 2:17"]),
        ("dedup: { store: valkey, max_entries: 1 }\n", vec!["bad-value 2:17", "out-of-range 2:38"]),
        ("memory: { budget: 10MiB }\n", vec!["over-budget 2:19"]),
        ("admin: { socket: , token_file: \"\" }\n", vec!["empty-value 2:16", "empty-value 2:32"]),
        ("rules:\n", vec!["empty-value 2:6"]),
        ("listeners: [{ name: a, address: \"1.1.1.1:80\", upstream: u, upgrade: [h2c] }]\n", vec!["bad-value 2:70"]),
        ("listeners: [{ name: a, address: \"1.1.1.1:80\", upstream: u, upgrade: websocket }]\n", vec!["wrong-type 2:69"]),
        ("limits: { header: 1KB, headers: 0 }\n", vec!["bad-size 2:19", "out-of-range 2:33"]),
        ("limits: { header: 1MiB, connections: 0 }\n", vec!["out-of-range 2:19", "out-of-range 2:38"]),
        ("cache: {}\nhealth: {}\n", vec!["unknown-key 2:1", "unknown-key 3:1"]),
    ] {
        let text = if text.starts_with("upstreams") { format!("version: 1\n{text}") } else { format!("version: 1\n{text}{upstream}") };
        assert_eq!(problems(&text), expected, "{text}");
    }
}

#[test]
fn flags_win_over_the_file() {
    let some = |text: &str| Some(text.to_owned());
    let overrides = Overrides {
        upstream: some("http://10.0.0.1:7"),
        listen: some("127.0.0.1:8"),
        admin_address: some("127.0.0.1:9"),
        admin_socket: Some("/a".into()),
        token_file: Some("/b".into()),
        rules: Some("/c".into()),
        log_level: some("error"),
        memory_budget: some("128MiB"),
    };
    for sidecar in
        [good("version: 1\nrules: x\nlog: { level: debug }\n", &overrides), judge_overrides(&overrides, &host()).value.expect("good")]
    {
        assert_eq!((sidecar.upstreams[0].server.port, sidecar.listeners[0].address.port(), sidecar.admin.address.port()), (7, 8, 9));
        assert_eq!((sidecar.admin.socket.as_path(), sidecar.admin.token_file.as_deref()), (Path::new("/a"), Some(Path::new("/b"))));
        assert_eq!((sidecar.rules.as_deref(), sidecar.log.level, sidecar.memory.budget), (Some(Path::new("/c")), Level::Error, 128 << 20));
    }
    assert_eq!(judge_overrides(&Overrides::default(), &host()).value.expect("good").rules, None);
}

#[test]
fn bad_flags_are_named_and_several_entries_are_not_guessed() {
    let overrides = Overrides { upstream: Some("nowhere".into()), log_level: Some("inf".into()), ..Overrides::default() };
    let judgement = judge_overrides(&overrides, &host());
    let said = judgement.render("flags", false);
    assert!(judgement.value.is_none());
    assert!(said.contains("--upstream or EDGE_SIDECAR_UPSTREAM") && said.contains("--log-level or EDGE_SIDECAR_LOG_LEVEL"), "{said}");
    assert!(said.contains("did you mean `info`?"), "{said}");
    let two = "version: 1\nupstreams: [{ name: a, servers: [\"http://h\"] }, { name: b, servers: [\"http://h\"] }]\n";
    let overrides = Overrides { upstream: Some("http://h".into()), ..Overrides::default() };
    assert_eq!(list(&judge_sidecar(two.as_bytes(), &overrides, &host()).problems), ["bad-value 0:0"]);
}

#[test]
fn files_are_told_apart_by_their_keys_then_by_their_names() {
    for (text, name, kind) in [
        ("version: 1\ncache: {}\n", "sidecar.yaml", FileKind::Rules),
        ("version: 1\nupstreams: []\n", "rules.yaml", FileKind::Sidecar),
        ("version: 1\ndedup: {}\n", "rules.yaml", FileKind::Rules),
        ("version: 1\ndedup: {}\n", "sidecar.yaml", FileKind::Sidecar),
        ("", "my-sidecar.yml", FileKind::Sidecar),
        ("[", "x.yaml", FileKind::Rules),
    ] {
        assert_eq!(FileKind::of(text.as_bytes(), Path::new(name)), kind, "{text} {name}");
    }
}
