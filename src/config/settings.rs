//! The settings of a sidecar as lines: the key in `sidecar.yaml` and its value, defaults, flags and environment included. Two of them compared
//! are what a restart would change.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::sidecar::{Admin, Drain, Limits, Listener, Log, Memory, Server, Sidecar, Upstream};
use super::sidecar_file::LEVELS;
use crate::engine::expect::span;
use crate::upstream::retry;

/// A setting that the file would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its key, entries of lists by their names: `upstreams.functions.pool.max_idle`.
    pub key: String,
    /// The value that runs; `None` where there is none.
    pub running: Option<String>,
    /// The value of the file, with flags and environment on top.
    pub file: Option<String>,
}

impl Change {
    /// The change in words.
    #[must_use]
    pub fn words(&self) -> String {
        let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        format!("{} from {} to {}", self.key, show(&self.running), show(&self.file))
    }
}

/// What a restart would change; empty where the two are the same.
#[must_use]
pub fn changes(running: &Sidecar, file: &Sidecar) -> Vec<Change> {
    let (before, after) = (lines(running), lines(file));
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differing = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    differing.map(|key| Change { key: key.clone(), running: before.get(key).cloned(), file: after.get(key).cloned() }).collect()
}

type Lines = BTreeMap<String, String>;

/// Every setting. Each struct is taken apart by name, so that a new field has to be thought of here.
fn lines(sidecar: &Sidecar) -> Lines {
    let Sidecar { listeners, upstreams, admin, memory, dedup_max_entries, limits, trusted_proxies, drain, log, rules } = sidecar;
    let mut lines = Lines::new();
    let mut add = |key: String, value: String| drop(lines.insert(key, value));
    // the first listener counts for those who ask without a name, and upstreams start in their order
    add("listeners".to_owned(), list(listeners, |l| l.name.clone()));
    add("upstreams".to_owned(), list(upstreams, |u| u.name.clone()));
    for item in listeners {
        listener(&mut add, item);
    }
    for item in upstreams {
        upstream(&mut add, item);
    }
    let Admin { address, socket, token_file } = admin;
    add("admin.address".to_owned(), address.to_string());
    add("admin.socket".to_owned(), socket.display().to_string());
    add("admin.token_file".to_owned(), path(token_file.as_deref()));
    let Memory { budget, cache, max_object, bodies } = *memory;
    for (key, bytes) in [("budget", budget), ("cache", cache), ("max_object", max_object), ("bodies", bodies)] {
        add(format!("memory.{key}"), size(bytes));
    }
    add("dedup.max_entries".to_owned(), dedup_max_entries.to_string());
    limit_lines(&mut add, *limits);
    add("trusted_proxies".to_owned(), list(trusted_proxies, |network| format!("{}/{}", network.address, network.bits)));
    let Drain { announce, timeout } = *drain;
    add("drain.announce".to_owned(), span(announce));
    add("drain.timeout".to_owned(), span(timeout));
    let Log { level, hits_ppm } = *log;
    add("log.level".to_owned(), LEVELS.iter().find(|(_, l)| *l == level).map(|(word, _)| (*word).to_owned()).unwrap_or_default());
    add("log.hits".to_owned(), format!("{}%", f64::from(hits_ppm) / 10_000.0));
    add("rules".to_owned(), path(rules.as_deref()));
    lines
}

fn listener(add: &mut impl FnMut(String, String), listener: &Listener) {
    let Listener { name, address, upstream, websocket } = listener;
    add(format!("listeners.{name}.address"), address.to_string());
    add(format!("listeners.{name}.upstream"), upstream.clone());
    add(format!("listeners.{name}.upgrade"), if *websocket { "[websocket]" } else { "[]" }.to_owned());
}

fn upstream(add: &mut impl FnMut(String, String), upstream: &Upstream) {
    let Upstream {
        name,
        server,
        ca_file,
        function_prefix,
        strip_request_headers,
        max_idle,
        idle_timeout,
        max_in_use,
        connect,
        first_byte,
        between_bytes,
        retries,
    } = upstream;
    let Server { tls, host, port } = server;
    // without retries there is one attempt
    let retry::Settings { attempts, backoff } = retries;
    let values = [
        ("servers", format!("[{}://{host}:{port}]", if *tls { "https" } else { "http" })),
        ("ca_file", path(ca_file.as_deref())),
        ("function_prefix", function_prefix.clone()),
        ("strip_request_headers", list(strip_request_headers, ToString::to_string)),
        ("pool.max_idle", max_idle.to_string()),
        ("pool.idle_timeout", span(*idle_timeout)),
        ("pool.max_in_use", max_in_use.to_string()),
        ("timeouts.connect", span(*connect)),
        ("timeouts.first_byte", span(*first_byte)),
        ("timeouts.between_bytes", span(*between_bytes)),
        ("retries.attempts", attempts.to_string()),
        ("retries.backoff", span(*backoff)),
    ];
    for (key, value) in values {
        add(format!("upstreams.{name}.{key}"), value);
    }
}

fn limit_lines(add: &mut impl FnMut(String, String), limits: Limits) {
    let Limits {
        body,
        header,
        headers,
        connections,
        in_flight,
        in_flight_per_function,
        header_timeout,
        body_timeout,
        idle_timeout,
        write_timeout,
    } = limits;
    let values = [
        ("body", size(body)),
        ("header", size(header as u64)),
        ("headers", headers.to_string()),
        ("connections", connections.to_string()),
        ("in_flight", in_flight.to_string()),
        ("in_flight_per_function", in_flight_per_function.to_string()),
        ("header_timeout", span(header_timeout)),
        ("body_timeout", span(body_timeout)),
        ("idle_timeout", span(idle_timeout)),
        ("write_timeout", span(write_timeout)),
    ];
    for (key, value) in values {
        add(format!("limits.{key}"), value);
    }
}

fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", "))
}

fn path(path: Option<&Path>) -> String {
    path.map_or_else(|| "null".to_owned(), |path| path.display().to_string())
}

/// A size in the largest unit that shows all of it.
fn size(bytes: u64) -> String {
    let unit =
        [("GiB", 30), ("MiB", 20), ("KiB", 10)].into_iter().find(|(_, bits)| bytes >= 1_u64 << bits && bytes.trailing_zeros() >= *bits);
    unit.map_or_else(|| format!("{bytes}B"), |(unit, bits)| format!("{}{unit}", bytes >> bits))
}
