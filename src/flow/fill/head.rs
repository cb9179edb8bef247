//! What is decided at the head of an answer: whether it is kept, and whether those who wait for it may have it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::DATE;
use http::{HeaderMap, HeaderValue, StatusCode};
use httpdate::fmt_http_date;

use super::Shelf;
use crate::cache::policy::{self, Storable};
use crate::cache::{self, CacheKey, NotStored};
use crate::clock::Clock;
use crate::engine::verdict;
use crate::store::flights::Lead;

/// How long a key whose answer was not to be shared is fetched by each caller alone.
const PASS_TIME: Duration = Duration::from_secs(10);
/// Marks a key whose answer is not to be shared.
pub fn mark_pass(shelf: &Shelf, key: &CacheKey, rule: &Arc<str>) {
    shelf.responses.mark_pass(key, rule, shelf.clock.now() + PASS_TIME);
}

/// An answer without `Date` is kept with the time it came at (RFC 9110 6.6.1).
pub fn dated(headers: &mut HeaderMap, clock: &Clock) {
    headers.entry(DATE).or_insert_with(|| HeaderValue::try_from(fmt_http_date(clock.wall())).expect("a date is plain text"));
}

/// The lead of a flight whose answer others may have. One that is not fresh on arrival is for each to ask for: said at the head.
pub fn share(lead: Option<Lead>, storable: &Storable, settings: &cache::Settings) -> Option<Lead> {
    if policy::is_fresh_on_arrival(&storable.facts, settings) {
        return lead;
    }
    if let Some(lead) = lead {
        lead.pass(NotStored::NoFreshness);
    }
    None
}

/// Judges a head that came just now; `sent` is when it was asked for.
pub fn judge(
    shelf: &Shelf,
    settings: &cache::Settings,
    request: &HeaderMap,
    (status, headers): (StatusCode, &HeaderMap),
    sent: Instant,
) -> Result<Storable, NotStored> {
    let (now, wall) = (shelf.clock.now(), shelf.clock.wall());
    let delay = now.saturating_duration_since(sent);
    verdict(settings, request, &policy::Answer { status: status.as_u16(), headers, delay, now, wall }, shelf.max_object)
}
