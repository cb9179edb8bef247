//! Identity of a request: `X-Request-Id` and `traceparent`, the caller's where it is well formed, else new.

use http::HeaderMap;

/// Longest id taken from a caller.
const LONGEST: usize = 128;
/// Length of a `traceparent` of version 00.
const TRACEPARENT: usize = 55;

/// The caller's `X-Request-Id` if it is 1 to 128 of `[A-Za-z0-9._-]`, else 32 random hex digits.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get("x-request-id").map(http::HeaderValue::as_bytes).unwrap_or_default();
    let fine = (1..=LONGEST).contains(&given.len()) && given.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    match std::str::from_utf8(given) {
        Ok(text) if fine => text.to_owned(),
        _ => new(),
    }
}

/// A new id: 32 random hex digits.
#[must_use]
pub fn new() -> String {
    let mut id = Vec::with_capacity(32);
    hex(&mut id, &rand::random::<u128>().to_be_bytes());
    text(id)
}

/// Appends bytes as hex digits. (`format!` takes five times as long, and every request has three such ids.)
fn hex(digits: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        digits.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

fn text(ascii: Vec<u8>) -> String {
    String::from_utf8(ascii).expect("digits and dashes")
}

/// The caller's `traceparent` if it is well formed (W3C Trace Context 3.2), else a new, unsampled one.
#[must_use]
pub fn traceparent(headers: &HeaderMap) -> String {
    match headers.get("traceparent").and_then(|v| v.to_str().ok()) {
        Some(given) if trace_id(given).is_some() => given.to_owned(),
        _ => {
            let mut made = Vec::with_capacity(TRACEPARENT);
            made.extend_from_slice(b"00-");
            // not zero, which would be no id
            hex(&mut made, &rand::random::<u128>().max(1).to_be_bytes());
            made.push(b'-');
            hex(&mut made, &rand::random::<u64>().max(1).to_be_bytes());
            made.extend_from_slice(b"-00");
            text(made)
        }
    }
}

/// The trace id in a well-formed `traceparent` of version 00: `00-` 32 digits `-` 16 digits `-` 2 digits.
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let bytes = traceparent.as_bytes();
    let dashes = bytes.len() == TRACEPARENT && [2, 35, 52].iter().all(|at| bytes[*at] == b'-');
    let hex = |text: &[u8]| text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |text: &[u8]| text.iter().all(|b| *b == b'0');
    let fine = dashes && bytes.starts_with(b"00") && hex(&bytes[3..35]) && hex(&bytes[36..52]) && hex(&bytes[53..]);
    (fine && !zero(&bytes[3..35]) && !zero(&bytes[36..52])).then(|| &traceparent[3..35])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a field value"));
        headers
    }

    #[test]
    fn a_well_formed_id_is_kept_and_others_are_replaced() {
        assert_eq!(request_id(&with("x-request-id", "a.b_c-9")), "a.b_c-9");
        for bad in ["", "a b", "a;b", "{}", &"x".repeat(129)] {
            let id = request_id(&with("x-request-id", bad));
            assert!(id.len() == 32 && id != bad, "{bad}");
        }
    }

    #[test]
    fn a_trace_goes_on_or_begins() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(&with("traceparent", given)), given);
        for bad in [
            "",
            "00-0-0-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            let made = traceparent(&with("traceparent", bad));
            assert!(trace_id(&made).is_some() && made != bad, "{bad}");
        }
    }
}
