//! `upstreams:` of a sidecar file.

use std::time::Duration;

use http::HeaderName;
use http::header;

use super::decode::{Decoder, Fields};
use super::diagnostics::Code;
use super::grammar;
use super::sidecar::{Server, Upstream};
use super::sidecar_file::{not_empty, path};
use super::spanned::Node;
use super::values::{self, Fault};
use crate::upstream::retry;

/// The upstream of a file that names none.
#[must_use]
pub fn default_upstream() -> Upstream {
    Upstream {
        name: "functions".into(),
        server: Server { tls: false, host: "127.0.0.1".into(), port: 9000 },
        ca_file: None,
        function_prefix: "/functions/v1/".into(),
        strip_request_headers: ["x-wa-internal-forward", "sb-api-key"].map(HeaderName::from_static).into(),
        max_idle: 10,
        idle_timeout: Duration::from_mins(5),
        max_in_use: 256,
        connect: Duration::from_secs(1),
        first_byte: Duration::from_secs(155),
        between_bytes: Duration::from_mins(1),
        retries: retry::Settings::default(),
    }
}

/// The list of upstreams.
pub fn upstreams(d: &mut Decoder, node: &Node) -> Vec<Upstream> {
    not_empty(d, node);
    d.each(node, upstream)
}

fn upstream(d: &mut Decoder, node: &Node) -> Option<Upstream> {
    let fields = d.fields(node, &grammar::UPSTREAM)?;
    let mut result = default_upstream();
    let name = fields.required(d, "name").and_then(|n| d.read(n, values::name));
    let server = fields.required(d, "servers").and_then(|n| server(d, n));
    result.ca_file = fields.optional("ca_file").and_then(|n| path(d, n));
    result.function_prefix = fields.or(d, "function_prefix", result.function_prefix, function_prefix);
    if let Some(node) = fields.get("strip_request_headers") {
        result.strip_request_headers = d.each(node, |d, item| d.read(item, strippable));
    }
    pool_and_times(d, fields, &mut result);
    Some(Upstream { name: name?, server: server?, ..result })
}

/// Exactly one for now; the list is there for the day there are several.
fn server(d: &mut Decoder, node: &Node) -> Option<Server> {
    let items = d.list(node)?;
    if let Some(second) = items.get(1) {
        d.error(Code::Unsupported, second.span, "balancing over several servers is not supported yet", "give one server");
    }
    not_empty(d, node);
    items.iter().map(|item| d.read(item, values::server)).fold(None, Option::or)
}

fn pool_and_times(d: &mut Decoder, fields: Fields<'_>, result: &mut Upstream) {
    if let Some(f) = fields.get("pool").and_then(|n| d.fields(n, &grammar::POOL)) {
        result.max_idle = f.or(d, "max_idle", result.max_idle, max_idle);
        result.idle_timeout = f.or(d, "idle_timeout", result.idle_timeout, values::positive);
        result.max_in_use = f.or(d, "max_in_use", result.max_in_use, values::count);
        if let Some(node) = f.get("max_idle").filter(|_| result.max_idle > result.max_in_use) {
            let message = format!("more connections are kept idle than the {} that are ever in use", result.max_in_use);
            d.warning(Code::Contradiction, node.span, message, "lower `max_idle`, or raise `max_in_use`");
        }
    }
    if let Some(f) = fields.get("timeouts").and_then(|n| d.fields(n, &grammar::TIMEOUTS)) {
        result.connect = f.or(d, "connect", result.connect, values::positive);
        result.first_byte = f.or(d, "first_byte", result.first_byte, values::positive);
        result.between_bytes = f.or(d, "between_bytes", result.between_bytes, values::positive);
        if let Some(node) = f.get("connect").or(f.get("first_byte")).filter(|_| result.connect > result.first_byte) {
            let message = "connecting may take longer than the whole answer is waited for";
            d.warning(Code::Contradiction, node.span, message, "`connect` is a second or two; lower it, or raise `first_byte`");
        }
    }
    let Some(f) = fields.get("retries").and_then(|n| d.fields(n, &grammar::RETRIES)) else { return };
    let attempts = f.or(d, "attempts", u64::from(result.retries.attempts), values::number_in(1, 100));
    result.retries.attempts = u32::try_from(attempts).unwrap_or(1);
    result.retries.backoff = f.or(d, "backoff", result.retries.backoff, values::duration);
    let Some(on) = f.get("on") else { return };
    let kinds = d.each(on, retry_on);
    if kinds.is_empty() && on.items().is_empty() {
        // `on: []` = nothing is tried again
        result.retries.attempts = 1;
        for node in ["attempts", "backoff"].into_iter().filter_map(|key| f.get(key)) {
            d.warning(Code::Contradiction, node.span, "with `on: []` nothing is tried again", "remove it, or write `on: [connect]`");
        }
    }
}

fn retry_on(d: &mut Decoder, node: &Node) -> Option<()> {
    if d.text(node)? == "boot_error" {
        d.error(Code::Unsupported, node.span, "`boot_error` is not supported yet", "write `on: [connect]`");
        return None;
    }
    d.word(node, &[("connect", ())])
}

/// The pool takes 0 for "no limit", the opposite of what it says.
fn max_idle(text: &str) -> Result<usize, Fault> {
    values::count(text).map_err(|fault| match text {
        "0" => Fault { message: "a pool without idle connections is not possible".into(), help: "at least 1".into(), ..fault },
        _ => fault,
    })
}

fn function_prefix(text: &str) -> Result<String, Fault> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'%' | b'\\')) && !text.contains("//");
    if text.starts_with('/') && text.ends_with('/') && plain {
        return Ok(text.to_owned());
    }
    let message = format!("`{}` is not the beginning of a path", text.escape_debug());
    Err(Fault { code: Code::BadValue, message, help: "it begins and ends with `/`, such as `/functions/v1/` or `/`".into() })
}

/// Fields that carry the message itself cannot be left out.
fn strippable(text: &str) -> Result<HeaderName, Fault> {
    let name = values::header(text)?;
    if [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE].contains(&name) {
        let message = format!("`{name}` cannot be left out of a request");
        return Err(Fault { code: Code::BadHeader, message, help: "remove it from the list".into() });
    }
    Ok(name)
}
