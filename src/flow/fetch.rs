//! A look-up: answered from the store, by another caller's fetch, by a fetch of its own, or sent on alone (cache.md 5).

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::Cause;
use super::fill::{Fill, HeadOf, Reader, Shelf};
use crate::cache::control::Wishes;
use crate::cache::policy::{Freshness, freshness, may_answer, stale_by};
use crate::cache::request::OnMiss;
use crate::cache::status::Stale;
use crate::cache::{self, Bypass, CacheKey, ClientControl, Entry, NotStored};
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
    /// A fresh answer, which the request does not want.
    Unwanted,
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
    /// A stored one that is not fresh any more.
    Stale {
        /// The answer.
        entry: Arc<Entry>,
        /// Its age.
        age: Duration,
        /// How long it has not been fresh.
        since: Duration,
        /// Why it is given.
        why: Stale,
        /// The fetch that this request began for those who come later.
        refresh: Option<Reader<H>>,
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

/// What is stored for a request.
enum Shelved {
    Fresh {
        entry: Arc<Entry>,
        age: Duration,
        left: Duration,
    },
    /// Not fresh, and yet it may be given; `flight` is where it ought to be fetched anew.
    Stale {
        entry: Arc<Entry>,
        why: Stale,
        flight: Option<CacheKey>,
    },
    Miss(Miss),
}

/// Nothing that may be given.
struct Miss {
    why: Why,
    /// Under which key a fetch runs.
    flight: CacheKey,
    /// An answer to ask about.
    stale: Option<Arc<Entry>>,
}

/// More rounds than a variant needs; then the request goes alone.
const ROUNDS: u32 = 4;

impl Desk {
    /// Looks a request up. `fill` makes the fetch, where this request is the one to do so; it is given the stored answer to ask about,
    /// if there is one.
    pub async fn find<U: Upstream>(
        &self,
        wanted: &Lookup<'_>,
        fill: impl FnOnce(Option<Lead>, Option<Arc<Entry>>) -> Fill<U>,
    ) -> Fetched<HeadOf<U>> {
        let mut why = Why::Unknown;
        for _ in 0..ROUNDS {
            let Miss { flight, stale, .. } = match self.look(wanted) {
                Shelved::Fresh { entry, age, left } => return Fetched::Stored { entry, age, left },
                Shelved::Stale { entry, why, flight } => {
                    let Some(lead) = flight.and_then(|flight| self.flights.begin(&flight)) else {
                        return self.stale(wanted, entry, why, None);
                    };
                    return match self.lead(wanted, lead, fill, (Why::Expired, Some(Arc::clone(&entry)))) {
                        Fetched::Reading(refresh, _) => self.stale(wanted, entry, why, Some(refresh)),
                        fresh => fresh,
                    };
                }
                Shelved::Miss(miss) => {
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
                Role::Lead(lead) => return self.lead(wanted, lead, fill, (why, stale)),
            };
            match follower.outcome().await {
                Outcome::Done(entry)
                    if entry.selecting().matches(wanted.headers) && may_answer(&wanted.rule.settings, entry.facts(), wanted.headers) =>
                {
                    return Fetched::Collapsed(entry, why);
                }
                Outcome::Stale(entry) if entry.selecting().matches(wanted.headers) => {
                    return self.stale(wanted, entry, Stale::IfError, None);
                }
                Outcome::Done(_) | Outcome::Stale(_) => {}
                Outcome::Pass(reason) => return Fetched::Alone(Why::NotShared(reason)),
                Outcome::Failed(cause) => return Fetched::Failed(cause),
                Outcome::Lead(lead) => return self.lead(wanted, lead, fill, (why, stale)),
            }
        }
        Fetched::Alone(why)
    }

    /// What may be given, or why there is nothing and the key of the flight that fetches it: requests which are known to get different
    /// variants do not wait for one another.
    fn look(&self, wanted: &Lookup<'_>) -> Shelved {
        let now = self.shelf.clock.now();
        let miss = |why| Miss { why, flight: wanted.key.clone(), stale: None };
        Shelved::Miss(match self.shelf.responses.lookup(wanted.key, wanted.headers, now) {
            // the scope lets the answer decide, and it is not for requests with credentials: each asks for itself
            Found::Entry { entry, .. } if !may_answer(&wanted.rule.settings, entry.facts(), wanted.headers) => miss(Why::Unstorable),
            Found::Entry { entry, passing, backing_off } => return self.judge(wanted, entry, passing, backing_off),
            Found::NoVariant { flight } => Miss { flight, ..miss(Why::NoVariant) },
            Found::Pass => miss(Why::Unstorable),
            Found::Nothing => miss(Why::Unknown),
        })
    }

    /// Judges a stored answer by its rule and, where that honours them, by the caller's wishes.
    fn judge(&self, wanted: &Lookup<'_>, entry: Arc<Entry>, passing: bool, backing_off: bool) -> Shelved {
        let (now, settings) = (self.shelf.clock.now(), &wanted.rule.settings);
        let flight = entry.selecting().flight_key(wanted.key, wanted.headers);
        let wishes = if settings.client_control == ClientControl::Honour { Wishes::of(wanted.headers) } else { Wishes::default() };
        let (age, since, meanwhile, on_error) = match freshness(&entry, settings, now) {
            Freshness::Fresh { age, left } if wishes.refuse_fresh(age, left) && self.shelf.responses.may_force(wanted.key, now) => {
                return Shelved::Miss(Miss { why: Why::Unwanted, flight, stale: Some(entry) });
            }
            Freshness::Fresh { age, left } => return Shelved::Fresh { entry, age, left },
            Freshness::Expired { age, since, meanwhile, on_error } => (age, since, meanwhile, on_error),
        };
        let said = &entry.facts().directives;
        // a request that keeps nothing takes nothing but what is fresh, and behind a marker each asks for itself
        let why = if passing || wanted.on_miss == OnMiss::Forward(Bypass::RequestNoStore) {
            None
        } else if wishes.take_stale(age, since) && !said.forbids_stale() && !said.has_s_maxage() {
            Some(Stale::Request)
        } else if meanwhile && !wishes.refuse_fresh(age, Duration::ZERO) {
            Some(Stale::WhileRevalidate)
        } else {
            (on_error && backing_off).then_some(Stale::IfError)
        };
        match why {
            Some(why) => {
                let due = why == Stale::WhileRevalidate && !backing_off && wanted.on_miss == OnMiss::Fetch;
                Shelved::Stale { entry, why, flight: due.then_some(flight) }
            }
            None => Shelved::Miss(Miss { why: if passing { Why::Unstorable } else { Why::Expired }, flight, stale: Some(entry) }),
        }
    }

    /// Gives an answer that is not fresh.
    fn stale<H>(&self, wanted: &Lookup<'_>, entry: Arc<Entry>, why: Stale, refresh: Option<Reader<H>>) -> Fetched<H> {
        let (age, since) = stale_by(&entry, &wanted.rule.settings, self.shelf.clock.now());
        Fetched::Stale { entry, age, since, why, refresh }
    }

    /// Leads, unless the answer was stored between the look-up and the start of this flight.
    fn lead<U: Upstream>(
        &self,
        wanted: &Lookup<'_>,
        lead: Lead,
        fill: impl FnOnce(Option<Lead>, Option<Arc<Entry>>) -> Fill<U>,
        (why, stale): (Why, Option<Arc<Entry>>),
    ) -> Fetched<HeadOf<U>> {
        let stale = match self.look(wanted) {
            // what is not wanted was looked at just now, and is not found anew
            _ if why == Why::Unwanted => stale,
            Shelved::Fresh { entry, age, left } => {
                lead.done(Arc::clone(&entry));
                return Fetched::Stored { entry, age, left };
            }
            Shelved::Stale { entry, .. } => Some(entry),
            Shelved::Miss(miss) => miss.stale,
        };
        Fetched::Reading(fill(Some(lead), stale).spawn(), why)
    }
}
