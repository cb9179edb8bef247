//! The small languages of single values: durations, sizes, percentages, names, addresses. Text in, value or fault out.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytesize::ByteSize;
use http::{HeaderName, Method, Uri};

use super::diagnostics::Code;
use super::grammar::METHODS;
use super::sidecar::{Network, Server};
use crate::dedup::source::JsonPath;
use crate::rules::Pattern;

/// Longest duration taken anywhere: sums with the clock stay far from overflow.
pub const YEAR: Duration = Duration::from_hours(365 * 24);
/// Units of a size.
const SIZES: [&str; 7] = ["B", "kB", "KiB", "MB", "MiB", "GB", "GiB"];
/// Units of a duration.
const DURATIONS: [&str; 5] = ["ms", "s", "m", "h", "d"];

/// Why a text is no value of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind of problem.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// How to put it right.
    pub help: String,
}

fn fault<T>(code: Code, message: impl Into<String>, help: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { code, message: message.into(), help: help.into() })
}

/// The option nearest to a misspelt word, if one is near.
#[must_use]
pub fn nearest<'o>(word: &str, options: &[&'o str]) -> Option<&'o str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let distance = |option: &&str| strsim::osa_distance(&plain(word), &plain(option));
    let best = options.iter().copied().min_by_key(distance)?;
    (distance(&best) <= (best.len().min(word.len()) / 3).max(1)).then_some(best)
}

/// Help for a word that is not among the options.
#[must_use]
pub fn suggestion(word: &str, options: &[&str]) -> String {
    nearest(word, options).map_or_else(|| format!("one of: {}", options.join(", ")), |near| format!("did you mean `{near}`?"))
}

/// A duration such as `30s` or `1m30s`.
///
/// # Errors
/// No unit, an unknown unit, no number, or above [`YEAR`].
pub fn duration(text: &str) -> Result<Duration, Fault> {
    let help = "write a number and a unit: `250ms`, `30s`, `5m`, `24h`, `7d`, `1m30s`";
    if text.parse::<f64>().is_ok() {
        return fault(Code::BadDuration, format!("`{text}` has no unit"), format!("did you mean `{text}s`? A duration carries its unit"));
    }
    let units = text.split(|c: char| c.is_ascii_digit() || c == '.').filter(|unit| !unit.is_empty());
    let known = text.starts_with(|c: char| c.is_ascii_digit()) && units.into_iter().all(|unit| DURATIONS.contains(&unit));
    match humantime::parse_duration(text) {
        Ok(value) if known && value <= YEAR => Ok(value),
        Ok(_) if known => fault(Code::OutOfRange, format!("`{text}` is longer than a year"), help),
        _ => fault(Code::BadDuration, format!("`{text}` is not a duration"), help),
    }
}

/// A duration within bounds.
pub fn duration_in(min: Duration, max: Duration) -> impl Fn(&str) -> Result<Duration, Fault> {
    move |text| {
        let value = duration(text)?;
        let show = |d: Duration| humantime::format_duration(d).to_string().replace("days", "d");
        if value < min {
            return fault(Code::OutOfRange, format!("`{text}` is too short"), format!("at least {}", show(min)));
        }
        if value > max {
            return fault(Code::OutOfRange, format!("`{text}` is too long"), format!("at most {}", show(max)));
        }
        Ok(value)
    }
}

/// A duration above zero.
///
/// # Errors
/// As [`duration`]; or zero.
pub fn positive(text: &str) -> Result<Duration, Fault> {
    duration_in(Duration::from_millis(1), YEAR)(text)
}

/// A size such as `64MiB`, in bytes.
///
/// # Errors
/// No unit, an unknown unit, or no number.
pub fn size(text: &str) -> Result<u64, Fault> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if unit.is_empty() && !text.is_empty() {
        return fault(Code::BadSize, format!("`{text}` has no unit"), format!("did you mean `{text}MiB`? A size carries its unit"));
    }
    let number = &text[..text.len() - unit.len()];
    match text.parse::<ByteSize>() {
        Ok(size) if SIZES.contains(&unit) && size.0 < 1 << 50 => Ok(size.0),
        Ok(_) if SIZES.contains(&unit) => fault(Code::OutOfRange, format!("`{text}` is too large"), "less than 1 PiB"),
        _ => {
            let near =
                SIZES.iter().find(|u| u.eq_ignore_ascii_case(unit) || u.strip_suffix("iB").is_some_and(|u| u.eq_ignore_ascii_case(unit)));
            let help = near.filter(|_| !number.is_empty()).map(|near| format!("did you mean `{number}{near}`?"));
            fault(Code::BadSize, format!("`{text}` is not a size"), help.unwrap_or_else(|| "such as `64MiB` or `512KiB`".to_owned()))
        }
    }
}

/// A percentage such as `5%`, in millionths of the whole.
///
/// # Errors
/// No `%`, no number, or outside 0 to 100.
pub fn percentage(text: &str) -> Result<u32, Fault> {
    let wrong = |help: String| fault(Code::BadPercentage, format!("`{text}` is not a percentage"), help);
    let Some(number) = text.strip_suffix('%') else { return wrong("write it with its sign, such as `5%`".to_owned()) };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |t: &str| !t.is_empty() && t.len() <= 4 && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return wrong("such as `5%` or `0.5%`".to_owned());
    }
    let read = |t: &str| t.parse::<u32>().unwrap_or_default();
    let ppm = read(whole) * 10_000 + read(&format!("{part:0<4}"));
    if ppm > 1_000_000 { wrong("between `0%` and `100%`".to_owned()) } else { Ok(ppm) }
}

/// A whole number within bounds.
pub fn number_in(min: u64, max: u64) -> impl Fn(&str) -> Result<u64, Fault> {
    move |text| {
        let form = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        let range = format!("between {min} and {max}");
        match text.parse::<u64>() {
            Ok(value) if form && (min..=max).contains(&value) => Ok(value),
            Ok(_) if form => fault(Code::OutOfRange, format!("`{text}` is out of range"), range),
            _ => fault(Code::BadNumber, format!("`{text}` is not a whole number"), range),
        }
    }
}

/// A number of things, at least one.
///
/// # Errors
/// Not a whole number, zero, or above a million.
pub fn count(text: &str) -> Result<usize, Fault> {
    number_in(1, 1_000_000)(text).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// `true` or `false`, and no other word for them.
///
/// # Errors
/// Anything else.
pub fn boolean(text: &str) -> Result<bool, Fault> {
    let truth = |words: &[&str]| words.contains(&text.to_lowercase().as_str());
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ if truth(&["yes", "on", "y", "1", "true"]) => fault(Code::BadBoolean, format!("`{text}` is not a boolean"), "write `true`"),
        _ if truth(&["no", "off", "n", "0", "false"]) => fault(Code::BadBoolean, format!("`{text}` is not a boolean"), "write `false`"),
        _ => fault(Code::BadBoolean, format!("`{text}` is not a boolean"), "write `true` or `false`"),
    }
}

/// A name: `[a-z][a-z0-9-]{0,39}`.
///
/// # Errors
/// Anything else.
pub fn name(text: &str) -> Result<String, Fault> {
    let good = text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if good {
        return Ok(text.to_owned());
    }
    let help = "a lower-case letter, then at most 39 lower-case letters, digits and `-`";
    fault(Code::BadName, format!("`{}` is not a name", text.escape_debug()), help)
}

/// A glob.
///
/// # Errors
/// Empty, or not a valid glob.
pub fn glob(text: &str) -> Result<Pattern, Fault> {
    if text.is_empty() {
        return fault(Code::BadGlob, "an empty glob matches nothing", "write `\"*\"` or `\"**\"` for all");
    }
    Pattern::new(text).or_else(|why| {
        fault(Code::BadGlob, format!("`{text}` is not a glob: {why}"), "close each `[` and `{`; a `\\` before one makes it plain text")
    })
}

/// A glob on a path.
///
/// # Errors
/// As [`glob`]; or one that no path can match, because paths begin with `/`.
pub fn path_glob(text: &str) -> Result<Pattern, Fault> {
    if !text.is_empty() && !text.starts_with(['/', '*', '?', '[', '{', '\\']) {
        return fault(
            Code::BadGlob,
            format!("`{text}` matches no path"),
            format!("paths begin with `/`: did you mean `\"/{text}\"` or `\"**/{text}\"`?"),
        );
    }
    glob(text)
}

/// A method, in capitals.
///
/// # Errors
/// One that never reaches a function.
pub fn method(text: &str) -> Result<Method, Fault> {
    match METHODS.iter().find(|m| **m == text).and_then(|m| m.parse().ok()) {
        Some(method) => Ok(method),
        None => fault(Code::BadMethod, format!("`{text}` is not a method"), suggestion(text, &METHODS)),
    }
}

/// The name of a header field.
///
/// # Errors
/// Characters that no field has (RFC 9110 5.1).
pub fn header(text: &str) -> Result<HeaderName, Fault> {
    text.parse().or_else(|_| fault(Code::BadHeader, format!("`{}` is not a header name", text.escape_debug()), "such as `x-tenant`"))
}

/// A way to an id in a JSON body.
///
/// # Errors
/// Not `a.b[].c`.
pub fn json_path(text: &str) -> Result<JsonPath, Fault> {
    let help = "names with dots between, `[]` for each element of a list, such as `entry[].changes[].value.messages[].id`";
    text.parse().or_else(|why| fault(Code::BadValue, format!("`{}` is not a path: {why}", text.escape_debug()), help))
}

/// An address with its port.
///
/// # Errors
/// A name instead of an address, no port, or port 0.
pub fn address(text: &str) -> Result<SocketAddr, Fault> {
    let help = "an IP address and a port, such as `0.0.0.0:8080` or `[::1]:8080`";
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => fault(Code::BadAddress, format!("`{text}` is not an address to listen on"), help),
    }
}

/// An address or a network such as `10.0.0.0/8`.
///
/// # Errors
/// Not an address, or more bits than it has.
pub fn network(text: &str) -> Result<Network, Fault> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let parsed = address.parse::<IpAddr>().ok().and_then(|address| {
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(all), |b| number_in(0, u64::from(all))(b).ok().and_then(|b| u8::try_from(b).ok()))?;
        Some(Network { address, bits })
    });
    parsed.map_or_else(|| fault(Code::BadAddress, format!("`{text}` is not an address or network"), "such as `10.0.0.0/8`"), Ok)
}

/// A server's URL: scheme, host and port, nothing else.
///
/// # Errors
/// Another scheme, no host, credentials, a path or a query.
pub fn server(text: &str) -> Result<Server, Fault> {
    let help = "such as `http://127.0.0.1:9000` or `https://project.example`";
    if text.starts_with("unix:") {
        return fault(Code::Unsupported, "unix sockets as servers are not supported yet", help);
    }
    let wrong = |why: &str| fault(Code::BadUrl, format!("`{}` is not a server: {why}", text.escape_debug()), help);
    let Ok(uri) = text.parse::<Uri>() else { return wrong("it is not a URL") };
    let (tls, default) = match uri.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        _ => return wrong("it must begin with `http://` or `https://`"),
    };
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    if authority.contains('@') {
        return fault(Code::Secret, "a server's URL holds credentials", "remove what stands before the `@`");
    }
    if uri.path_and_query().is_some_and(|p| p.as_str() != "/") {
        return wrong("it must have no path and no query");
    }
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = match authority.rsplit_once(']').map_or(authority, |(_, rest)| rest).split_once(':') {
        Some((_, port)) => number_in(1, 65_535)(port).ok().and_then(|port| u16::try_from(port).ok()),
        None => Some(default),
    };
    match port {
        Some(port) if !host.is_empty() => Ok(Server { tls, host: host.to_owned(), port }),
        Some(_) => wrong("it has no host"),
        None => wrong("its port is not a port"),
    }
}
