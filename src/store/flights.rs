//! Answers being fetched: one fetch for equal misses, told by event (cache.md 5).
//!
//! A flight is RUNNING until its leader says DONE (stored), PASS (not to be shared, said at the head: nobody queues behind another) or
//! FAILED. A leader that is dropped without a word, by a panic too, has failed.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use tokio::sync::watch;

use crate::cache::{CacheKey, Entry, NotStored};
use crate::upstream::retry::Cause;

/// What is known of a flight.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Not decided.
    Running,
    /// Stored: this answers the followers whose selecting fields match.
    Done(Arc<Entry>),
    /// Not to be shared: each follower goes alone.
    Pass(NotStored),
    /// No answer: one follower may lead once more.
    Failed(Cause),
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
            Slot::Occupied(flight) => Role::Follow(Follower(flight.get().subscribe())),
            Slot::Vacant(vacant) => {
                let progress = Arc::new(watch::Sender::new(Progress::Running));
                vacant.insert(Arc::clone(&progress));
                Role::Lead(Lead { flights: Arc::clone(self), key: key.clone(), progress, decided: false })
            }
        }
    }

    /// How many run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
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
    decided: bool,
}

impl Lead {
    /// Stored.
    pub fn done(self, entry: Arc<Entry>) {
        self.decide(Progress::Done(entry));
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
        self.progress.send_replace(progress);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.decided {
            self.progress.send_replace(Progress::Failed(Cause::Internal));
        }
        // after the word: who comes in between finds it, who comes later finds the store
        self.flights.0.remove_if(&self.key, |_, flight| Arc::ptr_eq(flight, &self.progress));
    }
}

/// One that waits.
#[derive(Debug)]
pub struct Follower(watch::Receiver<Progress>);

impl Follower {
    /// How the flight ends.
    pub async fn outcome(mut self) -> Progress {
        match self.0.wait_for(|p| !matches!(p, Progress::Running)).await {
            Ok(progress) => progress.clone(),
            Err(_) => Progress::Failed(Cause::Internal),
        }
    }
}
