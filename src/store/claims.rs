//! Claims on the events of a request: the contract between the way of a webhook and the store that knows which events were
//! accepted. One store today ([`super::memory`]); the contract is asynchronous so that a shared one fits.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::dedup::Repeats;
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
    /// What its wait brought, if it has waited: such a request is no new copy.
    pub waited: Option<&'a Waited>,
}

/// The answer to a [`Wish`].
#[derive(Debug)]
pub enum Claimed {
    /// All of it was accepted: nothing is to be forwarded.
    Duplicate {
        /// How long ago the last of it was accepted.
        age: Duration,
        /// Why its events came again.
        repeats: Repeats,
    },
    /// Nothing in it is new, and a part is on its way. Wait, then claim again.
    InFlight(Waiter),
    /// As `InFlight`, but as many requests as may wait do so already.
    Crowded,
    /// To be forwarded.
    Owned(Claim),
}

/// The claim of a request that is forwarded. Dropped without [`Claim::accept`], on a panic too, it gives its keys back, and
/// for each key the first of those who wait for it is called.
#[must_use = "a claim that is dropped is released"]
pub struct Claim {
    store: Arc<dyn Settle>,
    ticket: Ticket,
    repeats: Repeats,
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
    /// The number of the request.
    pub copy: u32,
}

/// The end of a claim, as a store carries it out. Neither waits: a store that is far away does the rest on its own.
pub(super) trait Settle: Send + Sync {
    /// The function took all keys of the ticket.
    fn accept(self: Arc<Self>, ticket: &Ticket, now: Instant);
    /// The function failed: the keys that the ticket owns are free again.
    fn release(self: Arc<Self>, ticket: &Ticket);
    /// The request gives up waiting; a key that is kept for it goes to the next.
    fn give_up(self: Arc<Self>, ticket: &Ticket);
    /// The sender did not get the answer of what was accepted.
    fn unread(self: Arc<Self>, ticket: &Ticket);
}

impl Claim {
    pub(super) fn new(store: Arc<dyn Settle>, ticket: Ticket, repeats: Repeats) -> Self {
        Self { store, ticket, repeats, settled: false }
    }

    /// Why those of its events came that were seen before; nothing if the request has waited, as it was asked when it came.
    #[must_use]
    pub fn repeats(&self) -> Repeats {
        self.repeats
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
    #[allow(clippy::must_use_candidate, reason = "who cannot tell whether the sender read it needs no receipt")]
    pub fn accept(mut self, now: Instant) -> Receipt {
        Arc::clone(&self.store).accept(&self.ticket, now);
        self.settled = true;
        Receipt { store: Arc::clone(&self.store), ticket: self.ticket.clone() }
    }
}

/// What is left of a claim that was accepted.
pub struct Receipt {
    store: Arc<dyn Settle>,
    ticket: Ticket,
}

impl Receipt {
    /// Notes that the sender did not get the whole answer: it will send again, and this is why.
    pub fn unread(self) {
        self.store.unread(&self.ticket);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receipt").field(&self.ticket).finish()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.settled {
            Arc::clone(&self.store).release(&self.ticket);
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.ticket).finish()
    }
}

/// A place in the queue of those who wait for an event in flight. Dropping it leaves; the others keep their places.
#[must_use = "a waiter that is dropped waits for nothing"]
pub struct Waiter {
    called: oneshot::Receiver<Turn>,
    leaving: Leaving,
    repeats: Repeats,
    _place: OwnedSemaphorePermit,
}

impl Waiter {
    pub(super) fn new(
        called: oneshot::Receiver<Turn>,
        place: OwnedSemaphorePermit,
        (store, ticket): (Arc<dyn Settle>, Ticket),
        repeats: Repeats,
    ) -> Self {
        Self { called, leaving: Leaving(Some((store, ticket))), repeats, _place: place }
    }

    /// Why its events came again; nothing if the request has waited before.
    #[must_use]
    pub fn repeats(&self) -> Repeats {
        self.repeats
    }

    /// Waits until the event is accepted, which all who wait hear at once, or until its owner failed and it is this one's turn. Then claim
    /// again, with what this returns.
    pub async fn wait(mut self) -> Waited {
        // whatever befalls the store, its end of the channel is dropped: an end that cannot be missed
        let turn = (&mut self.called).await.ok();
        let copy = self.leaving.0.take().map_or(0, |(_, ticket)| ticket.copy);
        Waited { turn, copy }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("repeats", &self.repeats).finish_non_exhaustive()
    }
}

/// Tells the store of one who leaves before it was called.
struct Leaving(Option<(Arc<dyn Settle>, Ticket)>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some((store, ticket)) = self.0.take() {
            store.give_up(&ticket);
        }
    }
}

/// What a wait brought: an acceptance, or the turn.
#[derive(Debug)]
#[must_use = "a turn that is dropped goes to the next who waits"]
pub struct Waited {
    pub(super) turn: Option<Turn>,
    pub(super) copy: u32,
}

/// The right to claim a key next, and what came free with it, given to one of those who wait for it: the others sleep on. It is spent by a claim with it in its
/// [`Wish`]. Dropped unspent, as by who has left or ran out of time, it goes to the next in the queue.
pub(super) struct Turn {
    store: Arc<dyn Settle>,
    ticket: Ticket,
}

impl Turn {
    /// The turn to claim these keys, which are in flight under `token` until then.
    pub(super) fn new(store: Arc<dyn Settle>, keys: Keys, token: u64) -> Self {
        Self { store, ticket: Ticket { keys, token, window: Duration::ZERO, fresh: 0, copy: 0 } }
    }

    /// The mark of the keys while nobody has claimed them.
    pub(super) const fn token(&self) -> u64 {
        self.ticket.token
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // spent, the keys are another token's, and this changes nothing
        Arc::clone(&self.store).give_up(&self.ticket);
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.ticket).finish()
    }
}
