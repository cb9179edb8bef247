//! A look-up: answered from the store, by another caller's fetch, by a fetch of its own, or sent on alone (cache.md 5).

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::Cause;
use super::fill::{Fill, HeadOf, Reader, Shelf};
use crate::cache::policy::{Freshness, freshness, may_answer};
use crate::cache::request::OnMiss;
use crate::cache::{self, Bypass, CacheKey, Entry, NotStored};
use crate::engine::Rule;
use crate::flow::Upstream;
use crate::store::flights::{Flights, Lead, Outcome, Role};
use crate::store::responses::Found;

/// A request that is looked up.
pub struct Lookup<'a> {
    /// Its key.
    pub key: &'a CacheKey,
    /// Its rule.
    pub rule: &'a Arc<Rule<cache::Settings>>,
    /// What a miss means for it.
    pub on_miss: OnMiss,
    /// Its fields.
    pub headers: &'a HeaderMap,
}

/// Where look-ups go.
pub struct Desk {
    /// The store.
    pub shelf: Shelf,
    /// Answers being fetched.
    pub flights: Arc<Flights>,
    /// Most that wait for one answer.
    pub max_followers: usize,
}

/// Why a look-up did not find a fresh answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing under the key.
    Unknown,
    /// Answers under the key, none for a request like this.
    NoVariant,
    /// An answer that is not fresh any more.
    Expired,
    /// The last answer was not to be shared.
    Unstorable,
    /// This request does not fetch for others.
    Forward(Bypass),
    /// The answer that another request fetched is not to be shared.
    NotShared(NotStored),
}

/// The answer to a look-up.
pub enum Fetched<H> {
    /// A stored one.
    Stored {
        /// The answer.
        entry: Arc<Entry>,
        /// Its age.
        age: Duration,
        /// How long it is fresh still.
        left: Duration,
    },
    /// One that another request fetched while this one waited.
    Collapsed(Arc<Entry>, Why),
    /// A fetch of this request's own.
    Reading(Reader<H>, Why),
    /// None: it goes to the function alone, and nothing is stored.
    Alone(Why),
    /// Another request's fetch, and the one after it, brought no answer.
    Failed(Cause),
    /// Too many wait for this answer already.
    Crowded,
    /// Nothing stored, and the request wants no other.
    OnlyIfCached,
}

/// No fresh answer.
struct Miss {
    why: Why,
    /// Under which key a fetch runs.
    flight: CacheKey,
    /// The answer that is not fresh any more.
    stale: Option<Arc<Entry>>,
}

/// More rounds than a variant needs; then the request goes alone.
const ROUNDS: u32 = 4;

impl Desk {
    /// Looks a request up. `fill` makes the fetch, where this request is the one to do so; it is given the answer that is not fresh
    /// any more, if there is one.
    pub async fn find<U: Upstream>(
        &self,
        wanted: &Lookup<'_>,
        fill: impl FnOnce(Option<Lead>, Option<Arc<Entry>>) -> Fill<U>,
    ) -> Fetched<HeadOf<U>> {
        let mut why = Why::Unknown;
        for _ in 0..ROUNDS {
            let Miss { flight, stale, .. } = match self.stored(wanted) {
                Ok(found) => return found,
                Err(miss) => {
                    why = miss.why;
                    miss
                }
            };
            match wanted.on_miss {
                OnMiss::Fetch => {}
                OnMiss::Forward(reason) => return Fetched::Alone(Why::Forward(reason)),
                OnMiss::GatewayTimeout => return Fetched::OnlyIfCached,
            }
            if why == Why::Unstorable {
                // each alone, at once; the answer is looked at, and may lift the marker
                return Fetched::Reading(fill(None, stale).spawn(), why);
            }
            let follower = match self.flights.join(&flight, self.max_followers) {
                Role::Crowded => return Fetched::Crowded,
                Role::Follow(follower) => follower,
                Role::Lead(lead) => return self.lead(wanted, lead, fill, why),
            };
            match follower.outcome().await {
                Outcome::Done(entry)
                    if entry.selecting().matches(wanted.headers) && may_answer(&wanted.rule.settings, entry.facts(), wanted.headers) =>
                {
                    return Fetched::Collapsed(entry, why);
                }
                Outcome::Done(_) => {}
                Outcome::Pass(reason) => return Fetched::Alone(Why::NotShared(reason)),
                Outcome::Failed(cause) => return Fetched::Failed(cause),
                Outcome::Lead(lead) => return self.lead(wanted, lead, fill, why),
            }
        }
        Fetched::Alone(why)
    }

    /// The fresh answer, or why there is none and the key of the flight that fetches it: requests which are known to get
    /// different variants do not wait for one another.
    fn stored<H>(&self, wanted: &Lookup<'_>) -> Result<Fetched<H>, Miss> {
        let now = self.shelf.clock.now();
        let miss = |why| Miss { why, flight: wanted.key.clone(), stale: None };
        match self.shelf.responses.lookup(wanted.key, wanted.headers, now) {
            // the scope lets the answer decide, and it is not for requests with credentials: each asks for itself
            Found::Entry { entry, .. } if !may_answer(&wanted.rule.settings, entry.facts(), wanted.headers) => Err(miss(Why::Unstorable)),
            Found::Entry { entry, passing } => match freshness(&entry, &wanted.rule.settings, now) {
                Freshness::Fresh { age, left } => Ok(Fetched::Stored { entry, age, left }),
                Freshness::Expired { .. } => {
                    let flight = entry.selecting().flight_key(wanted.key, wanted.headers);
                    Err(Miss { why: if passing { Why::Unstorable } else { Why::Expired }, flight, stale: Some(entry) })
                }
            },
            Found::NoVariant { flight } => Err(Miss { flight, ..miss(Why::NoVariant) }),
            Found::Pass => Err(miss(Why::Unstorable)),
            Found::Nothing => Err(miss(Why::Unknown)),
        }
    }

    /// Leads, unless the answer was stored between the look-up and the start of this flight.
    fn lead<U: Upstream>(
        &self,
        wanted: &Lookup<'_>,
        lead: Lead,
        fill: impl FnOnce(Option<Lead>, Option<Arc<Entry>>) -> Fill<U>,
        why: Why,
    ) -> Fetched<HeadOf<U>> {
        match self.stored::<HeadOf<U>>(wanted) {
            Ok(Fetched::Stored { entry, age, left }) => {
                lead.done(Arc::clone(&entry));
                Fetched::Stored { entry, age, left }
            }
            found => Fetched::Reading(fill(Some(lead), found.err().and_then(|miss| miss.stale)).spawn(), why),
        }
    }
}
