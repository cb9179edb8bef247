//! Identity of a request: `X-Request-Id` and `traceparent`, the caller's where it is well formed, else new.

use http::HeaderMap;

/// Longest id taken from a caller.
const LONGEST: usize = 128;

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
    format!("{:032x}", rand::random::<u128>())
}

/// The caller's `traceparent` if there is exactly one and it is well formed (W3C Trace Context 3.2), else a new, unsampled one. It is passed on
/// as it is: the sidecar records no span of its own that could be a parent.
#[must_use]
pub fn traceparent(headers: &HeaderMap) -> String {
    let mut given = headers.get_all("traceparent").iter();
    match (given.next().and_then(|v| v.to_str().ok()), given.next()) {
        (Some(given), None) if trace_id(given).is_some() => given.to_owned(),
        _ => format!("00-{:032x}-{:016x}-00", rand::random_range(1..=u128::MAX), rand::random_range(1..=u64::MAX)),
    }
}

/// The trace id in a well-formed `traceparent`. One of a later version than 00 may go on behind another dash (3.2.4).
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.splitn(5, '-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let zero = |text: &str| text.bytes().all(|b| b == b'0');
    let known = hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    let fine = known && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    (fine && !zero(trace) && !zero(parent)).then_some(trace)
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
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        for given in
            ["00-{}-00f067aa0ba902b7-01", "00-{}-00f067aa0ba902b7-ff", "01-{}-00f067aa0ba902b7-00", "cc-{}-00f067aa0ba902b7-00-what-ever"]
        {
            let given = given.replace("{}", TRACE);
            assert_eq!(traceparent(&with("traceparent", &given)), given);
            assert_eq!(trace_id(&given), Some(TRACE));
        }
        for bad in [
            "",
            "00-0-0-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            let made = traceparent(&with("traceparent", bad));
            assert!(trace_id(&made).is_some() && made != bad, "{bad}");
        }
        let mut two = with("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        two.append("traceparent", "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().expect("a field value"));
        assert!(!traceparent(&two).contains("bf92f3577b34da6a3ce929d0e0e4736"), "nobody knows which one is meant");
    }
}
