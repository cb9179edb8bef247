//! Whether an answer may be stored (RFC 9111 3, cache.md 4), how old it is, and in `freshness` how long it is fresh.
//!
//! An entry keeps [`Facts`]; how long it is fresh is computed at every look-up from these and the rule of that moment, so
//! that a reload acts on what is already stored.

mod freshness;

use std::time::{Duration, Instant, SystemTime};

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, SET_COOKIE};

use super::control::{Directives, Wishes, age_of, date_of};
use super::refresh::has_validator;
use super::request::is_authorized;
use super::vary::Selecting;
use super::{Scope, Settings, Statuses, token};
use freshness::windows;
pub use freshness::{Freshness, freshness, is_fresh_on_arrival, lifetime, stale_by};

/// Why an answer was not stored. Closed: label and `detail=` of `Cache-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// The status is not one that is stored, or only with a lifetime of its own.
    Status,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// `no-store` in the request.
    RequestNoStore,
    /// Scope `standard`: the request had credentials, and the answer does not say that others may have it.
    Credentials,
    /// The answer sets a cookie.
    SetCookie,
    /// `Vary: *`, or a `Vary` that cannot be read.
    VaryStar,
    /// More than 8 names in `Vary`.
    VaryCap,
    /// Larger than one object may be.
    TooLarge,
    /// Cut off, or its end cannot be told from a cut.
    Incomplete,
    /// It came with trailer fields.
    Trailers,
    /// Not fresh on arrival, and without a validator to ask again with.
    NoFreshness,
    /// The bytes of all bodies being gathered are at their limit.
    FillBudget,
    /// A purge or an unsafe method took the key after the fetch began.
    Purged,
}

impl NotStored {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [Self; 14] = [
        Self::Status,
        Self::NoStore,
        Self::Private,
        Self::RequestNoStore,
        Self::Credentials,
        Self::SetCookie,
        Self::VaryStar,
        Self::VaryCap,
        Self::TooLarge,
        Self::Incomplete,
        Self::Trailers,
        Self::NoFreshness,
        Self::FillBudget,
        Self::Purged,
    ];

    /// The closed word of the reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::NoStore => "no_store",
            Self::Private => "private",
            Self::RequestNoStore => "request_no_store",
            Self::Credentials => "credentials",
            Self::SetCookie => "set_cookie",
            Self::VaryStar => "vary_star",
            Self::VaryCap => "vary_cap",
            Self::TooLarge => "too_large",
            Self::Incomplete => "incomplete",
            Self::Trailers => "trailers",
            Self::NoFreshness => "no_freshness",
            Self::FillBudget => "fill_budget",
            Self::Purged => "purged",
        }
    }
}

/// The head of an answer, as it arrives.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// From the start of the fetch to the head (`response_delay`).
    pub delay: Duration,
    /// When the head arrived (`response_time`), monotonic.
    pub now: Instant,
    /// The same moment on the wall clock.
    pub wall: SystemTime,
}

/// What a stored answer said, and when.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Its status.
    pub status: u16,
    /// What it says about its caching.
    pub directives: Directives,
    /// Its age on arrival.
    pub initial_age: Duration,
    /// When it arrived, monotonic.
    pub received: Instant,
    /// Its `Date`.
    pub date: Option<SystemTime>,
    /// How many seconds after `received` the token ends of the one caller it is kept for.
    pub token_left: Option<u32>,
    /// When a soft purge ended its freshness.
    pub softened: Option<Instant>,
}

impl Facts {
    /// How old the answer is: its age on arrival and the time since (RFC 9111 4.2.3).
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        self.initial_age.saturating_add(now.saturating_duration_since(self.received))
    }
}

/// An answer that may be stored once its body is whole.
#[derive(Clone, Debug)]
pub struct Storable {
    /// What it says.
    pub facts: Facts,
    /// Which requests it answers.
    pub selecting: Selecting,
}

/// Judges the head of the answer to a GET that [`super::request::judge`] lets fetch. `request` are the fields the client
/// sent, `max_object` is the largest body kept, in bytes.
///
/// # Errors
/// The first reason that applies, in the order of [`NotStored::ALL`].
pub fn storable(settings: &Settings, request: &HeaderMap, answer: &Answer<'_>, max_object: u64) -> Result<Storable, NotStored> {
    let headers = answer.headers;
    let directives = Directives::of(headers, answer.wall);
    let kept = match status_kind(answer.status, settings.statuses) {
        StatusKind::Usual => true,
        StatusKind::IfStated => directives.stated_lifetime().is_some(),
        StatusKind::Never => false,
    };
    if !kept {
        return Err(NotStored::Status);
    }
    // RFC 9111 5.2.2.3: for who understands the status `must-understand` lifts `no-store`, for others it forbids to store
    if directives.must_understand && matches!(status_kind(answer.status, Statuses::Usual), StatusKind::Never) {
        return Err(NotStored::Status);
    }
    if directives.no_store && !directives.must_understand {
        return Err(NotStored::NoStore);
    }
    if directives.private {
        return Err(NotStored::Private);
    }
    if Wishes::of(request).no_store {
        return Err(NotStored::RequestNoStore);
    }
    if !is_shared_with(settings, &directives, request) {
        return Err(NotStored::Credentials);
    }
    if headers.contains_key(SET_COOKIE) {
        return Err(NotStored::SetCookie);
    }
    let selecting = Selecting::of(headers, request)?;
    if announced_length(headers).is_some_and(|length| length > max_object) {
        return Err(NotStored::TooLarge);
    }
    let facts = Facts {
        status: answer.status,
        directives,
        initial_age: initial_age(answer),
        received: answer.now,
        date: date_of(headers),
        token_left: (settings.scope == Scope::PerCaller).then(|| token_left(request, answer)).flatten(),
        softened: None,
    };
    let may_be_stale = windows(&facts, settings) != (Duration::ZERO, Duration::ZERO);
    let answers_again = is_fresh_on_arrival(&facts, settings) || has_validator(answer.status, headers) || may_be_stale;
    if !answers_again || facts.token_left == Some(0) {
        return Err(NotStored::NoFreshness);
    }
    Ok(Storable { facts, selecting })
}

/// Whole seconds from the answer to the end of the caller's token; 0 if it is over.
fn token_left(request: &HeaderMap, answer: &Answer<'_>) -> Option<u32> {
    let left = token::ends(request)?.duration_since(answer.wall).unwrap_or_default();
    Some(u32::try_from(left.as_secs()).unwrap_or(u32::MAX))
}

/// Whether a stored answer may be given to a request with these fields, as far as the scope has the answer decide.
#[must_use]
pub fn may_answer(settings: &Settings, facts: &Facts, request: &HeaderMap) -> bool {
    is_shared_with(settings, &facts.directives, request)
}

fn is_shared_with(settings: &Settings, directives: &Directives, request: &HeaderMap) -> bool {
    settings.scope != Scope::Standard || directives.is_shareable() || !is_authorized(request)
}

/// Statuses of a function that failed rather than answered; 546 is an edge runtime out of resources.
#[must_use]
pub const fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504 | 546)
}

/// `max(response_time - Date, Age + response_delay)` (RFC 9111 4.2.3). `Date` counts whole seconds, so a difference of
/// one second tells nothing and counts as none.
fn initial_age(answer: &Answer<'_>) -> Duration {
    let apparent = date_of(answer.headers).and_then(|date| answer.wall.duration_since(date).ok()).map_or(0, |age| age.as_secs());
    let apparent = Duration::from_secs(if apparent > 1 { apparent } else { 0 });
    apparent.max(age_of(answer.headers).saturating_add(answer.delay))
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

enum StatusKind {
    /// Stored with the rule's ttl or a lifetime of its own.
    Usual,
    /// Stored with a lifetime of its own.
    IfStated,
    /// One client's error is not the next one's answer, whatever it says about its lifetime.
    Never,
}

const fn status_kind(status: u16, statuses: Statuses) -> StatusKind {
    match status {
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 410 => StatusKind::Usual,
        302 | 303 | 307 | 405 | 414 | 501 => StatusKind::IfStated,
        // parts, conditions and credentials are one caller's; 546 is an edge runtime out of resources
        100..=199 | 206 | 304 | 401 | 407 | 416 | 546 => StatusKind::Never,
        _ if matches!(statuses, Statuses::Any) => StatusKind::IfStated,
        _ => StatusKind::Never,
    }
}

#[cfg(test)]
mod tests;
