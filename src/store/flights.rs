//! Answers being fetched: one fetch for equal misses, told by event (cache.md 5).
//!
//! A flight is RUNNING until its leader says DONE (stored), PASS (not to be shared, said at the head: nobody queues behind another) or
//! FAILED. A leader that is dropped without a word, by a panic too, has failed. A first failure leaves the flight VACANT while others
//! wait: one of them leads it once more, and what that brings is for all of them, so a dead function is not asked forty times in a row.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use tokio::sync::watch;

use crate::cache::{CacheKey, Entry, KeyParts, NotStored};
use crate::upstream::retry::Cause;

/// What is known of a flight.
#[derive(Clone, Debug)]
enum Progress {
    /// Not decided.
    Running,
    /// Stored: this answers the followers whose selecting fields match.
    Done(Arc<Entry>),
    /// The function failed; what is stored and not fresh any more stands in.
    Stale(Arc<Entry>),
    /// Not to be shared: each follower goes alone.
    Pass(NotStored),
    /// The first leader failed: the follower that sees it first leads.
    Vacant,
    /// No answer, twice.
    Failed(Cause),
}

/// How a flight ends for a follower.
#[derive(Debug)]
pub enum Outcome {
    /// Stored: this answers the followers whose selecting fields match.
    Done(Arc<Entry>),
    /// The function failed; what is stored and not fresh any more stands in.
    Stale(Arc<Entry>),
    /// Not to be shared: each follower goes alone.
    Pass(NotStored),
    /// No answer, twice.
    Failed(Cause),
    /// It is the follower's turn to fetch.
    Lead(Lead),
}

/// The flights of one process.
#[derive(Debug, Default)]
pub struct Flights(DashMap<CacheKey, Arc<watch::Sender<Progress>>>);

/// The part of a request in a flight.
#[derive(Debug)]
pub enum Role {
    /// It fetches.
    Lead(Lead),
    /// It waits for who does.
    Follow(Follower),
    /// Too many wait already.
    Crowded,
}

impl Flights {
    /// Joins the flight of `key`, or begins it.
    #[must_use]
    pub fn join(self: &Arc<Self>, key: &CacheKey, max_followers: usize) -> Role {
        match self.0.entry(key.clone()) {
            Slot::Occupied(flight) if flight.get().receiver_count() >= max_followers => Role::Crowded,
            Slot::Occupied(flight) => {
                let (progress, heard) = (Arc::clone(flight.get()), flight.get().subscribe());
                Role::Follow(Follower { flights: Arc::clone(self), key: key.clone(), progress, heard })
            }
            Slot::Vacant(vacant) => {
                let progress = Arc::new(watch::Sender::new(Progress::Running));
                vacant.insert(Arc::clone(&progress));
                Role::Lead(Lead { flights: Arc::clone(self), key: key.clone(), progress, second: false, decided: false })
            }
        }
    }

    /// Begins the flight of `key`, unless one runs.
    #[must_use]
    pub fn begin(self: &Arc<Self>, key: &CacheKey) -> Option<Lead> {
        // a flight that runs has no room for followers here: it is not joined
        match self.join(key, 0) {
            Role::Lead(lead) => Some(lead),
            Role::Follow(_) | Role::Crowded => None,
        }
    }

    /// Lets nobody join the flights of these keys any more: what they bring is of a time before a purge.
    pub fn detach(&self, is_purged: impl Fn(&KeyParts<'_>) -> bool) {
        self.0.retain(|key, _| !is_purged(&key.parts()));
    }

    /// How many run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many wait for others' fetches.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.iter().map(|flight| flight.receiver_count()).sum()
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The one that fetches.
#[derive(Debug)]
pub struct Lead {
    flights: Arc<Flights>,
    key: CacheKey,
    progress: Arc<watch::Sender<Progress>>,
    second: bool,
    decided: bool,
}

impl Lead {
    /// Stored.
    pub fn done(self, entry: Arc<Entry>) {
        self.decide(Progress::Done(entry));
    }

    /// The function failed; this stands in.
    pub fn stale(self, entry: Arc<Entry>) {
        self.decide(Progress::Stale(entry));
    }

    /// Not to be shared.
    pub fn pass(self, reason: NotStored) {
        self.decide(Progress::Pass(reason));
    }

    /// No answer.
    pub fn failed(self, cause: Cause) {
        self.decide(Progress::Failed(cause));
    }

    fn decide(mut self, progress: Progress) {
        self.decided = true;
        self.end(progress);
    }

    fn end(&self, progress: Progress) {
        let ours = |flight: &Arc<_>| Arc::ptr_eq(flight, &self.progress);
        if matches!(progress, Progress::Failed(_)) && !self.second {
            self.progress.send_replace(Progress::Vacant);
            // judged under the lock that `join` takes: who joins meanwhile is counted, and leads
            self.flights.0.remove_if(&self.key, |_, flight| ours(flight) && flight.receiver_count() == 0);
        } else {
            // before the word: nobody joins a flight that is over; the store knows already what it brought
            self.flights.0.remove_if(&self.key, |_, flight| ours(flight));
            self.progress.send_replace(progress);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.decided {
            self.end(Progress::Failed(Cause::Internal));
        }
    }
}

/// One that waits.
#[derive(Debug)]
pub struct Follower {
    flights: Arc<Flights>,
    key: CacheKey,
    progress: Arc<watch::Sender<Progress>>,
    heard: watch::Receiver<Progress>,
}

impl Follower {
    /// How the flight ends.
    pub async fn outcome(mut self) -> Outcome {
        loop {
            // cloned: the lock must not be held when the flight is taken over
            let progress = self.heard.wait_for(|p| !matches!(p, Progress::Running)).await.map(|p| p.clone());
            match progress {
                Ok(Progress::Done(entry)) => return Outcome::Done(entry),
                Ok(Progress::Stale(entry)) => return Outcome::Stale(entry),
                Ok(Progress::Pass(reason)) => return Outcome::Pass(reason),
                Ok(Progress::Failed(cause)) => return Outcome::Failed(cause),
                Ok(Progress::Vacant) if self.takes_over() => {
                    let Self { flights, key, progress, .. } = self;
                    return Outcome::Lead(Lead { flights, key, progress, second: true, decided: false });
                }
                Ok(Progress::Vacant | Progress::Running) => {}
                Err(_) => return Outcome::Failed(Cause::Internal),
            }
        }
    }

    /// True for exactly one follower of a vacant flight.
    fn takes_over(&self) -> bool {
        self.progress.send_if_modified(|progress| {
            let vacant = matches!(progress, Progress::Vacant);
            if vacant {
                *progress = Progress::Running;
            }
            vacant
        })
    }
}

#[cfg(test)]
mod tests;
