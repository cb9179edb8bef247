//! The request's side of caching: what is looked up, what happens on a miss, and what a fetch does not carry
//! (cache.md 1 and 3).

use http::header::{AUTHORIZATION, CONNECTION, RANGE, UPGRADE};
use http::{HeaderMap, HeaderName, Method};

use super::control::Wishes;
use super::{Scope, Settings};

/// Fields that say who is asking. Supabase's `apikey` counts like `Authorization`.
pub const CREDENTIALS: [&str; 3] = ["authorization", "apikey", "cookie"];

/// Fields that make some frameworks see another method or path than the request line says.
pub const OVERRIDES: [&str; 5] = ["x-original-url", "x-rewrite-url", "x-http-method-override", "x-http-method", "x-method-override"];

/// Fields that concern one connection, and what `Connection` may name without effect here (RFC 9110 7.6.1).
const HOP_BY_HOP: [&str; 7] = ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"];

/// Conditions and ranges: a fetch asks for the whole answer, without conditions (RFC 9110 13.1, 14.2).
const CONDITIONS: [&str; 6] = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"];

/// Fields about the way to the proxy, named exactly or by a prefix.
const FORWARDED: [&str; 5] = ["forwarded", "x-real-ip", "x-host", "front-end-https", "via"];
const FORWARDED_PREFIXES: [&str; 3] = ["x-forwarded-", "x-original-", "x-rewrite-"];

/// What caching looks at in a request.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a Method,
    /// `Host` with its port.
    pub host: &'a str,
    /// The path in normal form.
    pub path: &'a str,
    /// Whether the path sent differs from that form.
    pub odd_path: bool,
    /// The query without `?`, byte-exact; `None` if the target has no `?`.
    pub query: Option<&'a str>,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// Whether it announces a body.
    pub has_body: bool,
    /// Name of the upstream it goes to.
    pub upstream: &'a str,
}

/// Why an answer did not come from the cache though a rule matched. Closed: label, header and log field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bypass {
    /// Not GET or HEAD; or a HEAD that nothing stored answers.
    Method,
    /// The request has a body.
    Body,
    /// The request asks for another protocol.
    Upgrade,
    /// The function may see another path than the key says.
    OddPath,
    /// A field that makes a function see another method, path or head than the key says.
    Override,
    /// Credentials on a request under `anonymous`.
    Credentials,
    /// A part of the answer is asked for.
    Range,
    /// `only-if-cached` and nothing usable: 504.
    OnlyIfCached,
    /// `no-store` in the request, and nothing usable.
    RequestNoStore,
    /// The last answer under this key could not be stored (pass marker).
    Unstorable,
}

impl Bypass {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [Self; 10] = [
        Self::Method,
        Self::Body,
        Self::Upgrade,
        Self::OddPath,
        Self::Override,
        Self::Credentials,
        Self::Range,
        Self::OnlyIfCached,
        Self::RequestNoStore,
        Self::Unstorable,
    ];

    /// The closed word of the reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Body => "body",
            Self::Upgrade => "upgrade",
            Self::OddPath => "odd_path",
            Self::Override => "override",
            Self::Credentials => "credentials",
            Self::Range => "range",
            Self::OnlyIfCached => "only_if_cached",
            Self::RequestNoStore => "request_no_store",
            Self::Unstorable => "unstorable",
        }
    }
}

/// What to do with a request that a cache rule matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Forward it; the store is neither read nor written.
    Bypass(Bypass),
    /// A fresh stored answer may answer it (to HEAD without its body); if there is none, see [`OnMiss`].
    Find(OnMiss),
}

/// What to do when nothing stored answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMiss {
    /// One fetch for all equal requests, stored if [`super::policy::storable`] allows.
    Fetch,
    /// Forward this request alone and store nothing.
    Forward(Bypass),
    /// Answer 504 without asking the function (RFC 9111 5.2.1.7); the reason is [`Bypass::OnlyIfCached`].
    GatewayTimeout,
}

/// Whether a request carries what `standard` takes for credentials: `Authorization`, or Supabase's `apikey`.
#[must_use]
pub fn is_authorized(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key("apikey")
}

/// Judges a request, top to bottom; the first line that applies decides.
#[must_use]
pub fn judge(settings: &Settings, request: &Request<'_>) -> Lookup {
    if let Some(reason) = bypass(settings, request) {
        return Lookup::Bypass(reason);
    }
    let wishes = Wishes::of(request.headers);
    Lookup::Find(if wishes.only_if_cached {
        OnMiss::GatewayTimeout
    } else if wishes.no_store {
        OnMiss::Forward(Bypass::RequestNoStore)
    } else if request.headers.contains_key(RANGE) {
        // the whole is not asked for behind the caller's back
        OnMiss::Forward(Bypass::Range)
    } else if request.method == Method::HEAD {
        OnMiss::Forward(Bypass::Method)
    } else {
        OnMiss::Fetch
    })
}

fn bypass(settings: &Settings, request: &Request<'_>) -> Option<Bypass> {
    let headers = request.headers;
    let has = |names: &[&str]| names.iter().any(|name| headers.contains_key(*name));
    if !matches!(*request.method, Method::GET | Method::HEAD) {
        Some(Bypass::Method)
    } else if request.has_body {
        Some(Bypass::Body)
    } else if headers.contains_key(UPGRADE) {
        Some(Bypass::Upgrade)
    } else if request.odd_path {
        Some(Bypass::OddPath)
    } else if has(&OVERRIDES) || nominates_a_field(headers) {
        Some(Bypass::Override)
    } else if settings.scope == Scope::Anonymous && has(&CREDENTIALS) {
        Some(Bypass::Credentials)
    } else if headers.contains_key(RANGE) && !super::selected::is_one_range(headers) {
        Some(Bypass::Range)
    } else {
        None
    }
}

/// `Connection: accept-language` has the field removed on the way: the function would answer without it, and that
/// answer would be kept for those who did send it.
fn nominates_a_field(headers: &HeaderMap) -> bool {
    let mut options = headers.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
    options.any(|option| {
        let option = option.trim_ascii();
        let known = ["", "close"].iter().chain(&HOP_BY_HOP).any(|name| option.eq_ignore_ascii_case(name.as_bytes()));
        !known && !is_proxy_field(option)
    })
}

fn is_proxy_field(name: &[u8]) -> bool {
    name.get(..6).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"proxy-"))
}

/// The fields of a client's request that a fetch does not carry: what is not in the key must not shape an answer that
/// others get. Apply this to what the client sent, before the proxy adds its own `X-Forwarded-*`.
pub fn strip_on_fetch(scope: Scope, headers: &HeaderMap) -> impl Iterator<Item = &HeaderName> {
    headers.keys().filter(move |name| {
        let name = name.as_str();
        CONDITIONS.contains(&name)
            || HOP_BY_HOP.contains(&name)
            || is_proxy_field(name.as_bytes())
            || FORWARDED.contains(&name)
            || FORWARDED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || (matches!(scope, Scope::Public | Scope::Standard) && name == "cookie")
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::super::Ttl;
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn judged(scope: Scope, method: &Method, lines: &[(&'static str, &'static str)]) -> Lookup {
        let settings = Settings::new(Ttl::Usual(Duration::from_mins(1)), scope);
        let (has_body, odd_path) = (lines.iter().any(|l| l.0 == "transfer-encoding"), lines.iter().any(|l| l.0 == "odd"));
        let headers = headers(lines);
        judge(&settings, &Request { method, host: "h", path: "/p", odd_path, query: None, headers: &headers, has_body, upstream: "u" })
    }

    #[test]
    fn the_table_top_to_bottom() {
        let (all, get) = (Scope::Public, Method::GET);
        // each line also has what the lines after it look for: the first that applies decides
        let rest = [
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("odd", "1"),
            ("x-http-method-override", "PUT"),
            ("cookie", "a"),
            ("range", "bytes=0-1,3-4"),
            ("cache-control", "only-if-cached"),
            ("cache-control", "no-store"),
        ];
        assert_eq!(judged(Scope::Anonymous, &Method::POST, &rest), Lookup::Bypass(Bypass::Method));
        let expected = [Bypass::Body, Bypass::Upgrade, Bypass::OddPath, Bypass::Override, Bypass::Credentials, Bypass::Range];
        for (at, reason) in expected.into_iter().enumerate() {
            assert_eq!(judged(Scope::Anonymous, &get, &rest[at..]), Lookup::Bypass(reason));
        }
        assert_eq!(judged(all, &get, &rest[6..]), Lookup::Find(OnMiss::GatewayTimeout));
        assert_eq!(judged(all, &Method::HEAD, &rest[7..]), Lookup::Find(OnMiss::Forward(Bypass::RequestNoStore)));
        assert_eq!(judged(all, &Method::HEAD, &[]), Lookup::Find(OnMiss::Forward(Bypass::Method)));
        assert_eq!(judged(all, &get, &[("range", "bytes=0-1")]), Lookup::Find(OnMiss::Forward(Bypass::Range)));
        assert_eq!(judged(all, &get, &[]), Lookup::Find(OnMiss::Fetch));
    }

    #[test]
    fn each_override_and_credential_counts() {
        for name in OVERRIDES {
            assert_eq!(judged(Scope::Public, &Method::GET, &[(name, "x")]), Lookup::Bypass(Bypass::Override), "{name}");
        }
        for name in CREDENTIALS {
            assert_eq!(judged(Scope::Anonymous, &Method::GET, &[(name, "")]), Lookup::Bypass(Bypass::Credentials), "{name}");
            assert_eq!(judged(Scope::PerCaller, &Method::GET, &[(name, "")]), Lookup::Find(OnMiss::Fetch), "{name}");
        }
        for connection in ["accept-language", "keep-alive, X-Api", "close,authorization"] {
            let got = judged(Scope::Public, &Method::GET, &[("connection", connection)]);
            assert_eq!(got, Lookup::Bypass(Bypass::Override), "{connection}");
        }
        let plain = judged(Scope::Public, &Method::GET, &[("connection", "Keep-Alive, TE,, close, Proxy-Connection")]);
        assert_eq!(plain, Lookup::Find(OnMiss::Fetch));
    }

    #[test]
    fn a_client_cannot_force_a_refresh() {
        for lines in [[("cache-control", "no-cache")], [("cache-control", "max-age=0")], [("pragma", "no-cache")]] {
            assert_eq!(judged(Scope::Public, &Method::GET, &lines), Lookup::Find(OnMiss::Fetch));
        }
    }

    #[test]
    fn a_fetch_leaves_out_what_is_not_in_the_key() {
        let dropped: Vec<_> = CONDITIONS.iter().chain(&HOP_BY_HOP).chain(&FORWARDED).copied().collect();
        let more = ["x-forwarded-host", "x-forwarded-for", "x-original-host", "x-rewrite-path", "proxy-connection"];
        let kept = ["accept", "authorization", "apikey", "cookie", "x-request-id", "x-forwarded", "user-agent"];
        let lines: Vec<_> = dropped.iter().chain(&more).chain(&kept).map(|name| (*name, "x")).collect();
        let headers = headers(&lines);
        let stripped = |scope| strip_on_fetch(scope, &headers).map(HeaderName::as_str).collect::<Vec<_>>();
        for name in dropped.iter().chain(&more) {
            assert!(stripped(Scope::PerCaller).contains(name), "{name}");
        }
        assert!(kept.iter().all(|name| !stripped(Scope::PerCaller).contains(name)));
        assert!(stripped(Scope::Public).contains(&"cookie") && !stripped(Scope::Public).contains(&"authorization"));
    }
}
