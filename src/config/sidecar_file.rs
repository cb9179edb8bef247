//! `sidecar.yaml` -> [`Sidecar`]: every key has a default, every problem is collected.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::decode::{Decoder, Fields};
use super::diagnostics::Code;
use super::host::Host;
use super::sidecar::{Admin, Drain, Level, Listener, Log, Memory, Network, Sidecar};
use super::spanned::{Kind, Node};
use super::{grammar, limits_file, upstream_file, values};

/// Levels of the log.
pub const LEVELS: [(&str, Level); 4] = [("error", Level::Error), ("warn", Level::Warn), ("info", Level::Info), ("debug", Level::Debug)];
/// Name of the rules file where `rules:` is absent.
pub const RULES: &str = "rules.yaml";

const MIB: u64 = 1 << 20;

/// The settings of a file that says nothing.
#[must_use]
pub fn defaults(host: &Host) -> Sidecar {
    Sidecar {
        listeners: vec![Listener {
            name: "functions".into(),
            address: SocketAddr::from(([0, 0, 0, 0], 8080)),
            upstream: "functions".into(),
            websocket: true,
        }],
        upstreams: vec![upstream_file::default_upstream()],
        admin: Admin { address: SocketAddr::from(([127, 0, 0, 1], 9901)), socket: host.default_socket(), token_file: None },
        memory: Memory { budget: 112 * MIB, cache: 32 * MIB, max_object: MIB, bodies: 16 * MIB },
        dedup_max_entries: 250_000,
        limits: limits_file::DEFAULT,
        trusted_proxies: Vec::new(),
        drain: Drain { announce: Duration::from_secs(5), timeout: Duration::from_secs(25) },
        log: Log { level: Level::Info, hits_ppm: 1_000_000 },
        rules: Some(PathBuf::from(RULES)),
    }
}

/// Reads a sidecar file; what is wrong is in the decoder.
pub fn decode(d: &mut Decoder, root: &Node, host: &Host) -> Sidecar {
    let mut result = defaults(host);
    let Some(fields) = d.fields(root, &grammar::SIDECAR) else { return result };
    d.version(fields);
    if let Some(node) = fields.get("upstreams") {
        result.upstreams = upstream_file::upstreams(d, node);
        // a file with upstreams but without listeners: the one listener goes to the first
        if let (Some(first), Some(listener)) = (result.upstreams.first(), result.listeners.first_mut()) {
            listener.upstream.clone_from(&first.name);
        }
    }
    if let Some(node) = fields.get("listeners") {
        result.listeners = d.each(node, listener);
        not_empty(d, node);
    }
    read_sections(d, fields, &mut result);
    if let Some(node) = fields.get("trusted_proxies") {
        result.trusted_proxies = d.each(node, proxy);
    }
    if let Some(node) = fields.get("rules") {
        result.rules = fields.optional("rules").and_then(|_| path(d, node));
    }
    references(d, fields, &result);
    result
}

fn read_sections(d: &mut Decoder, fields: Fields<'_>, result: &mut Sidecar) {
    if let Some(f) = fields.get("admin").and_then(|n| d.fields(n, &grammar::ADMIN)) {
        let admin = &mut result.admin;
        admin.address = f.or(d, "address", admin.address, values::address);
        if let Some(socket) = f.get("socket").and_then(|n| path(d, n)) {
            admin.socket = socket;
        }
        admin.token_file = f.optional("token_file").and_then(|n| path(d, n));
    }
    if let Some(f) = fields.get("memory").and_then(|n| d.fields(n, &grammar::MEMORY)) {
        let memory = &mut result.memory;
        for (key, value) in [
            ("budget", &mut memory.budget),
            ("cache", &mut memory.cache),
            ("max_object", &mut memory.max_object),
            ("bodies", &mut memory.bodies),
        ] {
            *value = f.or(d, key, *value, values::size);
        }
    }
    if let Some(f) = fields.get("dedup").and_then(|n| d.fields(n, &grammar::DEDUP_STORE)) {
        let entries = f.get("max_entries").and_then(|n| d.read(n, values::number_in(1_000, 100_000_000)));
        result.dedup_max_entries = entries.and_then(|n| usize::try_from(n).ok()).unwrap_or(result.dedup_max_entries);
        if let Some(node) = f.get("store") {
            if matches!(node.kind, Kind::Mapping(_)) {
                d.error(Code::Unsupported, node.span, "only the store `memory` is supported yet", "write `store: memory`");
            } else {
                d.word(node, &[("memory", ())]);
            }
        }
    }
    limits_file::read(d, fields, &mut result.limits);
    if let Some(f) = fields.get("drain").and_then(|n| d.fields(n, &grammar::DRAIN)) {
        result.drain.announce = f.or(d, "announce", result.drain.announce, values::duration);
        result.drain.timeout = f.or(d, "timeout", result.drain.timeout, values::duration);
    }
    if let Some(f) = fields.get("log").and_then(|n| d.fields(n, &grammar::LOG)) {
        f.get("format").and_then(|n| d.word(n, &[("json", ())]));
        result.log.level = f.get("level").and_then(|n| d.word(n, &LEVELS)).unwrap_or(result.log.level);
        result.log.hits_ppm = f.or(d, "hits", result.log.hits_ppm, values::percentage);
    }
}

fn listener(d: &mut Decoder, node: &Node) -> Option<Listener> {
    let fields = d.fields(node, &grammar::LISTENER)?;
    let name = fields.required(d, "name").and_then(|n| d.read(n, values::name));
    let address = fields.required(d, "address").and_then(|n| d.read(n, values::address));
    let upstream = fields.required(d, "upstream").and_then(|n| d.read(n, values::name));
    let websocket = match fields.get("upgrade") {
        Some(node) => !d.each(node, |d, item| d.read(item, limits_file::upgrade)).is_empty(),
        None => true,
    };
    Some(Listener { name: name?, address: address?, upstream: upstream?, websocket })
}

/// A path to a file.
pub fn path(d: &mut Decoder, node: &Node) -> Option<PathBuf> {
    let text = d.text(node)?;
    if text.is_empty() {
        d.error(Code::EmptyValue, node.span, "the path is empty", "give it a path, or remove the key");
        return None;
    }
    Some(PathBuf::from(text))
}

/// Refuses a list without entries.
pub fn not_empty(d: &mut Decoder, node: &Node) {
    if matches!(&node.kind, Kind::Sequence(items) if items.is_empty()) {
        d.error(Code::EmptyValue, node.span, "the list is empty", "give it at least one entry, or remove the key");
    }
}

/// A network of proxies.
fn proxy(d: &mut Decoder, node: &Node) -> Option<Network> {
    let network = d.read(node, values::network)?;
    if network.bits == 0 {
        let help = "name the proxies' own networks, such as `10.0.0.0/8`";
        d.warning(Code::Risk, node.span, "everybody is a trusted proxy: each caller chooses the address that functions see", help);
    }
    Some(network)
}

/// Names are unique, addresses do not collide, listeners name upstreams that exist.
fn references(d: &mut Decoder, fields: Fields<'_>, result: &Sidecar) {
    let upstreams: Vec<&str> = match fields.get("upstreams") {
        Some(node) => unique_names(d, node),
        None => result.upstreams.iter().map(|u| u.name.as_str()).collect(),
    };
    let Some(list) = fields.get("listeners") else { return };
    unique_names(d, list);
    let address = |node: &Node, key: &str| node.get(key).and_then(|n| n.scalar()?.parse::<SocketAddr>().ok().map(|a| (a, n.span)));
    let admin = fields.get("admin").and_then(|n| address(n, "address")).map_or(result.admin.address, |(a, _)| a);
    let mut taken = vec![(admin, "admin.address".to_owned())];
    for item in list.items() {
        if let Some((address, span)) = address(item, "address") {
            match taken.iter().find(|(other, _)| collide(*other, address)) {
                Some((_, by)) => d.error(Code::Duplicate, span, format!("`{address}` is already taken by {by}"), "choose another port"),
                None => taken.push((address, format!("the listener in line {}", span.line))),
            }
        }
        if let Some((node, name)) = item.get("upstream").and_then(|n| Some((n, n.scalar()?))) {
            d.known(name, node.span, "upstream", &upstreams);
        }
    }
    if list.items().is_empty()
        || !list.items().iter().all(|item| item.get("upstream").and_then(Node::scalar).is_some_and(|name| upstreams.contains(&name)))
    {
        return;
    }
    for (name, span) in fields.get("upstreams").into_iter().flat_map(Node::items).filter_map(super::matching::name_of) {
        let used = list.items().iter().any(|item| item.get("upstream").and_then(Node::scalar) == Some(name));
        if !used {
            d.warning(
                Code::Unreachable,
                span,
                format!("no listener goes to the upstream `{name}`"),
                "name it in `listeners`, or remove it",
            );
        }
    }
}

/// The same port on the same address, or on all addresses.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn unique_names<'n>(d: &mut Decoder, list: &'n Node) -> Vec<&'n str> {
    let mut seen = Vec::new();
    for (name, span) in list.items().iter().filter_map(super::matching::name_of) {
        d.unique(&mut seen, name, span);
    }
    seen.into_iter().map(|(name, _)| name).collect()
}
