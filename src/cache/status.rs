//! What a caller is told about the cache: `X-Cache`, and `Cache-Status` (RFC 9211), where ours comes last after what the
//! upstream's own caches said.

use std::borrow::Cow;
use std::fmt;

use super::control::structured::{self, Value};
use super::{Bypass, NotStored};

/// Our name in `Cache-Status`.
pub const NAME: &str = "edge-sidecar";

/// The value of `X-Cache`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XCache {
    /// Answered from the store.
    Hit,
    /// Answered from the store, with what is not fresh any more.
    Stale,
    /// Stored, and the function said that it is still good.
    Revalidated,
    /// Looked up, and the function was asked, or a fetch of another request was joined.
    Miss,
    /// Not looked up.
    Bypass,
}

impl XCache {
    /// The closed word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Stale => "STALE",
            Self::Revalidated => "REVALIDATED",
            Self::Miss => "MISS",
            Self::Bypass => "BYPASS",
        }
    }
}

/// Why a request that was looked up went to the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Nothing is stored under the key.
    UriMiss,
    /// The key is known, but no stored variant fits.
    VaryMiss,
    /// What fits is not fresh.
    Stale,
    /// What fits is fresh, and the caller does not want it.
    Request,
}

/// Why an answer is given that is not fresh. Closed: `detail=` of `Cache-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// A new one is being fetched.
    WhileRevalidate,
    /// The function failed.
    IfError,
    /// The caller takes it so.
    Request,
}

impl Stale {
    /// The closed word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhileRevalidate => "swr",
            Self::IfError => "sie",
            Self::Request => "max_stale",
        }
    }
}

/// Our member of `Cache-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// Answered from the store.
    Hit {
        /// Lifetime minus age, in seconds.
        ttl: i64,
    },
    /// Answered from the store, with what is not fresh any more.
    Stale {
        /// Lifetime minus age, in seconds.
        ttl: i64,
        /// Why.
        why: Stale,
    },
    /// Fetched for this request.
    Fetched {
        /// Why.
        forward: Forward,
        /// The function's status; 0, and left out, if it gave none or is only asked now.
        status: u16,
        /// Whether the answer is stored, as known at its head.
        stored: Result<(), NotStored>,
    },
    /// Answered from the store, which the function said is still good.
    Revalidated {
        /// Whether it is still stored under what the function said besides.
        stored: Result<(), NotStored>,
    },
    /// Answered by the fetch of another request.
    Collapsed {
        /// Why it was not answered from the store.
        forward: Forward,
    },
    /// Forwarded without the cache.
    Bypassed(Bypass),
}

impl CacheStatus {
    /// The value of `X-Cache` that goes with it.
    #[must_use]
    pub const fn x_cache(self) -> XCache {
        match self {
            Self::Hit { .. } => XCache::Hit,
            Self::Stale { .. } => XCache::Stale,
            Self::Revalidated { .. } => XCache::Revalidated,
            Self::Fetched { .. } | Self::Collapsed { .. } | Self::Bypassed(Bypass::OnlyIfCached) => XCache::Miss,
            Self::Bypassed(_) => XCache::Bypass,
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UriMiss => "fwd=uri-miss",
            Self::VaryMiss => "fwd=vary-miss",
            Self::Stale => "fwd=stale",
            Self::Request => "fwd=request",
        })
    }
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hit { ttl } => write!(f, "{NAME}; hit; ttl={ttl}"),
            Self::Stale { ttl, why } => write!(f, "{NAME}; hit; ttl={ttl}; detail={}", why.as_str()),
            Self::Fetched { forward, status, stored: Ok(()) } => write!(f, "{NAME}; {forward}; fwd-status={status}; stored"),
            Self::Fetched { forward, status: 0, stored: Err(reason) } => write!(f, "{NAME}; {forward}; detail={}", reason.as_str()),
            Self::Fetched { forward, status, stored: Err(reason) } => {
                write!(f, "{NAME}; {forward}; fwd-status={status}; detail={}", reason.as_str())
            }
            Self::Revalidated { stored: Ok(()) } => write!(f, "{NAME}; fwd=stale; fwd-status=304; stored"),
            Self::Revalidated { stored: Err(reason) } => write!(f, "{NAME}; fwd=stale; fwd-status=304; detail={}", reason.as_str()),
            Self::Collapsed { forward } => write!(f, "{NAME}; {forward}; collapsed"),
            Self::Bypassed(Bypass::Method) => write!(f, "{NAME}; fwd=method"),
            Self::Bypassed(Bypass::OnlyIfCached) => write!(f, "{NAME}; detail={}", Bypass::OnlyIfCached.as_str()),
            Self::Bypassed(reason) => write!(f, "{NAME}; fwd=bypass; detail={}", reason.as_str()),
        }
    }
}

/// A line of an upstream's `Cache-Status` without members that claim to be us; `None` if nothing is left, or if it is no
/// valid list: one bad line would spoil the whole field, ours included.
#[must_use]
pub fn without_ours(line: &[u8]) -> Option<Cow<'_, [u8]>> {
    let members = structured::list(line)?;
    let others: Vec<&[u8]> = members.iter().filter(|m| m.value != Value::Text(NAME.as_bytes())).map(|m| m.raw).collect();
    match others.len() {
        0 => None,
        all if all == members.len() => Some(Cow::Borrowed(line)),
        _ => Some(Cow::Owned(others.join(&b", "[..]))),
    }
}

/// What an upstream's lines say, as the start of the one line that ours ends: empty, or with a comma at its end. Lines are written apart
/// or joined, it is the same list (RFC 9110 5.3).
#[must_use]
pub fn before_ours<'a>(upstream: impl IntoIterator<Item = &'a [u8]>) -> String {
    let lines: Vec<_> = upstream.into_iter().filter_map(without_ours).collect();
    lines.iter().fold(String::new(), |start, line| start + &String::from_utf8_lossy(line) + ", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all() -> Vec<CacheStatus> {
        let mut all = vec![CacheStatus::Hit { ttl: 543 }, CacheStatus::Hit { ttl: -12 }];
        for why in [Stale::WhileRevalidate, Stale::IfError, Stale::Request] {
            all.push(CacheStatus::Stale { ttl: -12, why });
        }
        for forward in [Forward::UriMiss, Forward::VaryMiss, Forward::Stale, Forward::Request] {
            all.push(CacheStatus::Collapsed { forward });
            all.push(CacheStatus::Fetched { forward, status: 200, stored: Ok(()) });
            all.extend(NotStored::ALL.map(|reason| CacheStatus::Fetched { forward, status: 503, stored: Err(reason) }));
        }
        all.push(CacheStatus::Revalidated { stored: Ok(()) });
        all.extend(NotStored::ALL.map(|reason| CacheStatus::Revalidated { stored: Err(reason) }));
        all.extend(Bypass::ALL.map(CacheStatus::Bypassed));
        all
    }

    #[test]
    fn the_table() {
        for (status, text, x_cache) in [
            (CacheStatus::Hit { ttl: 543 }, "edge-sidecar; hit; ttl=543", "HIT"),
            (CacheStatus::Stale { ttl: -12, why: Stale::WhileRevalidate }, "edge-sidecar; hit; ttl=-12; detail=swr", "STALE"),
            (CacheStatus::Stale { ttl: -12, why: Stale::IfError }, "edge-sidecar; hit; ttl=-12; detail=sie", "STALE"),
            (
                CacheStatus::Fetched { forward: Forward::UriMiss, status: 200, stored: Ok(()) },
                "edge-sidecar; fwd=uri-miss; fwd-status=200; stored",
                "MISS",
            ),
            (
                CacheStatus::Fetched { forward: Forward::Stale, status: 200, stored: Err(NotStored::Private) },
                "edge-sidecar; fwd=stale; fwd-status=200; detail=private",
                "MISS",
            ),
            (CacheStatus::Revalidated { stored: Ok(()) }, "edge-sidecar; fwd=stale; fwd-status=304; stored", "REVALIDATED"),
            (CacheStatus::Collapsed { forward: Forward::VaryMiss }, "edge-sidecar; fwd=vary-miss; collapsed", "MISS"),
            (CacheStatus::Bypassed(Bypass::Credentials), "edge-sidecar; fwd=bypass; detail=credentials", "BYPASS"),
            (CacheStatus::Bypassed(Bypass::Method), "edge-sidecar; fwd=method", "BYPASS"),
            (CacheStatus::Bypassed(Bypass::OnlyIfCached), "edge-sidecar; detail=only_if_cached", "MISS"),
        ] {
            assert_eq!((status.to_string().as_str(), status.x_cache().as_str()), (text, x_cache));
        }
    }

    #[test]
    fn ours_comes_last_and_once() {
        let lines: [&[u8]; 4] = [b"a; hit, edge-sidecar; hit; ttl=9, b", b"\"edge-sidecar\"; hit", b"broken (", b"c;key=\"x, y\""];
        assert_eq!(before_ours(lines), "a; hit, b, c;key=\"x, y\", ");
        assert_eq!(before_ours([]), "");
    }

    proptest! {
        #[test]
        fn it_always_parses_as_a_list(lines in prop::collection::vec("[a-z;=, \"()-]{0,20}", 0..4), at: prop::sample::Index) {
            let ours = *at.get(&all());
            let value = before_ours(lines.iter().map(String::as_bytes)) + &ours.to_string();
            let members = structured::list(value.as_bytes()).expect("a structured field list");
            prop_assert_eq!(members.last().map(|m| m.value), Some(Value::Text(NAME.as_bytes())));
            prop_assert_eq!(members.iter().filter(|m| m.value == Value::Text(NAME.as_bytes())).count(), 1);
            let raw = String::from_utf8_lossy(members.last().expect("ours").raw);
            prop_assert!(!(raw.contains("; hit") && raw.contains("fwd=")));
        }
    }
}
