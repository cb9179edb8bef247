//! `limits:` of `sidecar.yaml`, and `upgrade:` of its listeners.

use std::time::Duration;

use super::decode::{Decoder, Fields};
use super::diagnostics::Code;
use super::grammar::LIMITS;
use super::sidecar::Limits;
use super::values::{self, Fault};

/// The limits of a file that says nothing.
pub const DEFAULT: Limits = Limits {
    body: 8 << 20,
    header: 32 << 10,
    headers: 100,
    connections: Limits::CONNECTIONS,
    in_flight: 512,
    in_flight_per_function: 256,
    header_timeout: Duration::from_secs(5),
    body_timeout: Duration::from_mins(1),
    idle_timeout: Duration::from_secs(75),
    write_timeout: Duration::from_secs(30),
};

/// Largest head that may be allowed: it is taken from memory before anything is known of the caller.
const HEADER: u64 = 256 << 10;

/// Reads the section.
pub fn read(d: &mut Decoder, fields: Fields<'_>, limits: &mut Limits) {
    let Some(f) = fields.get("limits").and_then(|n| d.fields(n, &LIMITS)) else { return };
    limits.body = f.or(d, "body", limits.body, values::size);
    limits.header = f.or(d, "header", limits.header, header);
    limits.headers = f.or(d, "headers", limits.headers, headers);
    limits.connections = f.or(d, "connections", limits.connections, values::count);
    limits.in_flight = f.or(d, "in_flight", limits.in_flight, values::count);
    limits.in_flight_per_function = f.or(d, "in_flight_per_function", limits.in_flight_per_function, values::count);
    for (key, limit) in [
        ("header_timeout", &mut limits.header_timeout),
        ("body_timeout", &mut limits.body_timeout),
        ("idle_timeout", &mut limits.idle_timeout),
        ("write_timeout", &mut limits.write_timeout),
    ] {
        *limit = f.or(d, key, *limit, values::positive);
    }
    let (all, one, connections) = (limits.in_flight, limits.in_flight_per_function, limits.connections);
    let pointless = [
        ("in_flight_per_function", one > all, "one function may have more requests in flight than all together"),
        ("in_flight", all > connections, "more requests may be in flight than there are connections to send them"),
    ];
    for (key, is_pointless, message) in pointless {
        if let Some(node) = f.get(key).filter(|_| is_pointless) {
            d.warning(Code::Contradiction, node.span, message, "lower this limit, or raise the other one");
        }
    }
}

fn header(text: &str) -> Result<usize, Fault> {
    let size = values::size(text)?;
    match usize::try_from(size) {
        Ok(fine) if (1024..=HEADER).contains(&size) => Ok(fine),
        _ => Err(Fault { code: Code::OutOfRange, message: format!("`{text}` is out of range"), help: "between 1KiB and 256KiB".into() }),
    }
}

fn headers(text: &str) -> Result<usize, Fault> {
    values::number_in(1, 256)(text).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// A protocol that a connection may be switched to.
///
/// # Errors
/// Anything but `websocket`.
pub fn upgrade(text: &str) -> Result<(), Fault> {
    let help = match text {
        "websocket" => return Ok(()),
        "h2c" | "h2" => "HTTP/2 without TLS is never switched to: remove it".to_owned(),
        _ => values::suggestion(text, &["websocket"]),
    };
    Err(Fault { code: Code::BadValue, message: format!("`{}` is no protocol to switch to", text.escape_debug()), help })
}
