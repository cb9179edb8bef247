//! How long an answer is fresh (RFC 9111 4.2), and how long it may be given once it is not (RFC 5861, cache.md 7).

use std::time::{Duration, Instant};

use super::{Facts, StatusKind, status_kind};
use crate::cache::{Entry, Settings};

/// How long an answer is fresh, counted from an age of 0, under the rule as it is now: what it states itself, else the
/// rule's ttl for its status. There are no heuristics. `no-cache` is never fresh.
#[must_use]
pub fn lifetime(facts: &Facts, settings: &Settings) -> Duration {
    let of_rule = || match status_kind(facts.status, settings.statuses) {
        StatusKind::Usual => settings.ttl.of(facts.status),
        StatusKind::IfStated | StatusKind::Never => None,
    };
    let stated = facts.directives.stated_lifetime();
    stated.or_else(of_rule).filter(|_| !facts.directives.no_cache).unwrap_or_default()
}

/// Whether an answer may be given to anybody but the one it was fetched for. If not, it is kept for its validator alone.
#[must_use]
pub fn is_fresh_on_arrival(facts: &Facts, settings: &Settings) -> bool {
    facts.initial_age < lifetime(facts, settings)
}

/// Whether a stored answer may be given now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It may.
    Fresh {
        /// Its age.
        age: Duration,
        /// How long it still is fresh; above 0.
        left: Duration,
    },
    /// Only in place of what does not come, or does not come at once.
    Expired {
        /// Its age.
        age: Duration,
        /// How long it has not been fresh.
        since: Duration,
        /// Whether it may be given while a new one is fetched.
        meanwhile: bool,
        /// Whether it may be given where the function fails.
        on_error: bool,
    },
}

/// Judges a stored answer by the rule as it is now.
#[must_use]
pub fn freshness(entry: &Entry, settings: &Settings, now: Instant) -> Freshness {
    let (facts, age) = (entry.facts(), entry.age(now));
    let lifetime = lifetime(facts, settings);
    // one who signed in for so long is not answered beyond it
    let of_token = facts
        .token_left
        .map_or(Duration::MAX, |left| Duration::from_secs(left.into()).saturating_sub(now.saturating_duration_since(facts.received)));
    let softened = facts.softened.map(|from| now.saturating_duration_since(from));
    match lifetime.checked_sub(age).map(|left| left.min(of_token)) {
        Some(left) if !left.is_zero() && softened.is_none() => Freshness::Fresh { age, left },
        _ => {
            let since = age.saturating_sub(lifetime).max(softened.unwrap_or_default());
            let within = |window: Duration| !of_token.is_zero() && !window.is_zero() && since <= window;
            let (while_revalidate, if_error) = windows(facts, settings);
            Freshness::Expired { age, since, meanwhile: within(while_revalidate), on_error: within(if_error) }
        }
    }
}

/// The age of a stored answer, and how long it has not been fresh; 0 if it is.
#[must_use]
pub fn stale_by(entry: &Entry, settings: &Settings, now: Instant) -> (Duration, Duration) {
    match freshness(entry, settings, now) {
        Freshness::Fresh { age, .. } => (age, Duration::ZERO),
        Freshness::Expired { age, since, .. } => (age, since),
    }
}

/// How long an answer may be given once it is not fresh: while a new one is fetched, and where the function fails. Its own word comes
/// before the rule's, which `s-maxage` forbids (cache.md 7).
pub fn windows(facts: &Facts, settings: &Settings) -> (Duration, Duration) {
    let said = &facts.directives;
    if said.forbids_stale() {
        return (Duration::ZERO, Duration::ZERO);
    }
    let of_rule = |window: Duration| if said.has_s_maxage() { Duration::ZERO } else { window };
    (
        said.stated_while_revalidate().unwrap_or_else(|| of_rule(settings.while_revalidate)),
        said.stated_if_error().unwrap_or_else(|| of_rule(settings.if_error)),
    )
}
