//! Claims on the events of a request: the contract between the way of a webhook and the store that knows which events were
//! accepted. One store today ([`super::memory`]); the contract is asynchronous so that a shared one fits.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, watch};

pub use crate::dedup::key::Keys;
pub use crate::dedup::protocol::Mode;

/// A store of claims.
pub trait Claims: Send + Sync + 'static {
    /// Claims the keys of a request, all or nothing and in one step: no two requests ever own the same key.
    fn claim(&self, wish: &Wish<'_>) -> impl Future<Output = Claimed> + Send;
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Its keys.
    pub keys: &'a Keys,
    /// The window of its rule: the age below which an acceptance makes a repeat a duplicate.
    pub window: Duration,
    /// How it wants its repeats treated.
    pub mode: Mode,
    /// The time.
    pub now: Instant,
}

/// The answer to a [`Wish`].
#[derive(Debug)]
pub enum Claimed {
    /// All of it was accepted: nothing is to be forwarded.
    Duplicate {
        /// How long ago the last of it was accepted.
        age: Duration,
    },
    /// Nothing in it is new, and a part is on its way. Wait, then claim again.
    InFlight(Waiter),
    /// As `InFlight`, but as many requests as may wait do so already.
    Crowded,
    /// To be forwarded.
    Owned(Claim),
}

/// The claim of a request that is forwarded. Dropped without [`Claim::accept`], on a panic too, it gives its keys back, and
/// those who wait for them wake.
#[must_use = "a claim that is dropped is released"]
pub struct Claim {
    store: Arc<dyn Settle>,
    ticket: Ticket,
    settled: bool,
}

/// What a store needs to settle a claim.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    /// All keys of the request, those it does not own among them.
    pub keys: Keys,
    /// The mark of the keys it owns.
    pub token: u64,
    /// The window of its rule.
    pub window: Duration,
    /// How many of the keys were new to the store.
    pub fresh: usize,
}

/// The end of a claim, as a store carries it out. Neither waits: a store that is far away does the rest on its own.
pub(super) trait Settle: Send + Sync {
    /// The function took all keys of the ticket.
    fn accept(&self, ticket: &Ticket, now: Instant);
    /// The keys that the ticket owns are free again.
    fn release(&self, ticket: &Ticket);
}

impl Claim {
    pub(super) fn new(store: Arc<dyn Settle>, ticket: Ticket) -> Self {
        Self { store, ticket, settled: false }
    }

    /// How many events of the request are new.
    #[must_use]
    pub fn fresh(&self) -> usize {
        self.ticket.fresh
    }

    /// How many of them were accepted before or are on their way.
    #[must_use]
    pub fn repeated(&self) -> usize {
        self.ticket.keys.len() - self.ticket.fresh
    }

    /// The function took the request: every event in it is accepted, also those that another request owns. Their windows begin
    /// now, those that run already go on as they are.
    pub fn accept(mut self, now: Instant) {
        self.store.accept(&self.ticket, now);
        self.settled = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.settled {
            self.store.release(&self.ticket);
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.ticket).finish()
    }
}

/// A place among those who wait for an event in flight. Dropping it leaves.
#[derive(Debug)]
#[must_use = "a waiter that is dropped waits for nothing"]
pub struct Waiter {
    ended: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Waiter {
    pub(super) fn new(ended: watch::Receiver<()>, place: OwnedSemaphorePermit) -> Self {
        Self { ended, _place: place }
    }

    /// Waits until the event is accepted or released; returns at once if that has happened since the claim was asked for.
    /// Which of the two it was, the next claim tells.
    pub async fn wait(mut self) {
        // The sender says nothing, it is dropped: an end that cannot be missed.
        while self.ended.changed().await.is_ok() {}
    }
}
