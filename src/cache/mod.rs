//! PURE cache policy (RFC 9111, cache.md): which requests are looked up ([`request`]), under which key ([`key`]), what
//! an answer says about itself ([`control`]), whether it may be stored and for how long ([`policy`]), which stored
//! variant fits a request ([`vary`]), what is kept of an answer ([`entry`]), and how that is renewed ([`refresh`]).

pub mod control;
pub mod entry;
pub mod key;
pub mod policy;
pub mod refresh;
pub mod request;
pub mod selected;
pub mod status;
pub mod token;
pub mod vary;

use std::time::Duration;

pub use entry::Entry;
pub use key::{CacheKey, CallerSecret, KeyParts};
pub use policy::NotStored;
pub use request::Bypass;

/// Settings of one `cache:` rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Lifetime of an answer that states none of its own, by status.
    pub ttl: Ttl,
    /// Whose answer may be given to whom.
    pub scope: Scope,
    /// Which statuses are stored.
    pub statuses: Statuses,
    /// How long an answer that says nothing of it is given while a new one is fetched (RFC 5861 3).
    pub while_revalidate: Duration,
    /// How long an answer that says nothing of it is given where the function fails (RFC 5861 4).
    pub if_error: Duration,
    /// Whether the caller's wishes count.
    pub client_control: ClientControl,
}

impl Settings {
    /// Of a rule that says no more than this.
    #[must_use]
    pub const fn new(ttl: Ttl, scope: Scope) -> Self {
        Self {
            ttl,
            scope,
            statuses: Statuses::Usual,
            while_revalidate: Duration::ZERO,
            if_error: Duration::ZERO,
            client_control: ClientControl::Ignore,
        }
    }
}

/// `ttl:` of a rule: one duration for the usual statuses, or one for each status named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// For 200, 203, 204, 301 and 308.
    Usual(Duration),
    /// For exactly these statuses.
    ByStatus(Vec<(u16, Duration)>),
}

impl Ttl {
    /// The rule's lifetime for a status, if it gives one.
    #[must_use]
    pub fn of(&self, status: u16) -> Option<Duration> {
        match self {
            Self::Usual(ttl) => matches!(status, 200 | 203 | 204 | 301 | 308).then_some(*ttl),
            Self::ByStatus(list) => list.iter().find(|(s, _)| *s == status).map(|(_, ttl)| *ttl),
        }
    }
}

/// `scope:` of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Anybody's answer for everybody: the rule's author vouches.
    Public,
    /// One caller's answer for the same caller: `Authorization`, `apikey` and `Cookie` are in the key, hashed.
    PerCaller,
    /// Only requests without credentials are looked up and stored (the default).
    Anonymous,
    /// The answer decides: with `Authorization` or `apikey` on the request only what says `public`, `s-maxage` or
    /// `must-revalidate` is shared (RFC 9111 3.5). `Cookie` is ignored.
    Standard,
}

/// `statuses:` of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Statuses {
    /// Those that are nobody's own error.
    #[default]
    Usual,
    /// Also errors and unknown codes, where the answer states its lifetime.
    Any,
}

/// `client_control:` of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientControl {
    /// Only `no-store` and `only-if-cached` are obeyed: no client can have answers fetched anew.
    #[default]
    Ignore,
    /// `no-cache`, `max-age`, `min-fresh`, `max-stale` and `Pragma` too.
    Honour,
}

impl Scope {
    /// The word in the rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::PerCaller => "per_caller",
            Self::Anonymous => "anonymous",
            Self::Standard => "standard",
        }
    }
}
