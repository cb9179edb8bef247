//! A fetch that others may profit from: a task of its own, which outlives the caller it was begun for. It streams the answer to that
//! caller and, while it is storable, gathers it; a caller that reads slowly holds nobody.

mod head;
mod stand_in;
mod told;

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::budget::{Budget, Share};
use super::send::DRAIN_TIME;
use super::{Answer, Cause, Failure, Upstream};
use crate::cache::policy::{Storable, is_failure};
use crate::cache::{self, CacheKey, Entry, NotStored};
use crate::clock::Clock;
use crate::engine::Rule;
use crate::store::flights::Lead;
use crate::store::purge::Begun;
use crate::store::responses::Responses;
use crate::telemetry::record::Exchanged;
use head::{dated, judge, mark_pass, share};
pub use stand_in::StandIn;
use stand_in::stand_in;
use told::Told;

/// Bytes on their way to a caller of an answer that is not gathered.
const WINDOW: usize = 128 << 10;

/// Where fetched answers go.
#[derive(Clone)]
pub struct Shelf {
    /// The store.
    pub responses: Arc<Responses>,
    /// Bytes of bodies being gathered.
    pub bodies: Budget,
    /// Largest stored body.
    pub max_object: u64,
    /// The time.
    pub clock: Clock,
}

/// One fetch.
pub struct Fill<U: Upstream> {
    /// The way to the function.
    pub upstream: U,
    /// The request.
    pub call: U::Call,
    /// Where the answer goes.
    pub shelf: Shelf,
    /// Under which key.
    pub key: CacheKey,
    /// By which rule.
    pub rule: Arc<Rule<cache::Settings>>,
    /// The caller's fields: which variant it asks for.
    pub request: HeaderMap,
    /// When it began, for purges.
    pub begun: Begun,
    /// The flight it leads; `None` where the key is known not to be shared.
    pub lead: Option<Lead>,
    /// The stored answer that is not fresh any more; the call asks with its validators.
    pub stale: Option<Arc<Entry>>,
}

/// A piece of what a caller reads.
pub enum Part<H> {
    /// The head, whether it is going to be stored, and what is known of the call.
    Head(H, Result<(), NotStored>, Box<Exchanged>),
    /// The function said that the stored answer is still good: this is it, and whether it is kept under what was said besides.
    Renewed(Arc<Entry>, Result<(), NotStored>, Box<Exchanged>),
    /// The function failed, and a stored answer that is not fresh any more stands in.
    Stale(StandIn, Option<Box<Exchanged>>),
    /// A piece of the body.
    Data(Bytes, Option<OwnedSemaphorePermit>),
    /// The proper end.
    End {
        /// Why it was not stored after all.
        not_stored: Option<NotStored>,
        /// What is known of the call now.
        exchanged: Box<Exchanged>,
    },
    /// No head came.
    NoAnswer(Box<Failure>),
    /// The body broke off.
    Cut(Cause),
}

/// The caller's end of a fetch. A channel that ends without [`Part::End`] is a cut.
pub type Reader<H> = mpsc::UnboundedReceiver<Part<H>>;

/// The head type of an upstream's answers.
pub type HeadOf<U> = <<U as Upstream>::Answer as Answer>::Head;

impl<U: Upstream> Fill<U> {
    /// Starts the fetch.
    #[must_use]
    pub fn spawn(self) -> Reader<HeadOf<U>> {
        let (tx, rx) = mpsc::unbounded_channel();
        // boxed: an unboxed future of this size is moved several times by the spawn
        tokio::spawn(Box::pin(self.run(tx)));
        rx
    }

    async fn run(self, tx: mpsc::UnboundedSender<Part<HeadOf<U>>>) {
        let Self { upstream, call, shelf, key, rule, request, begun, lead, stale } = self;
        let sent = shelf.clock.now();
        let answer = upstream.open(call).await;
        let failed = answer.as_ref().map_or(true, |answer| is_failure(answer.head().0.as_u16()));
        if let Some(stand_in) = stale.as_ref().filter(|_| failed).and_then(|stale| stand_in(&shelf, &rule.settings, stale)) {
            shelf.responses.mark_failed(&key, shelf.clock.now());
            return stand_in.give(answer, lead, &tx).await;
        }
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                if let Some(lead) = lead {
                    lead.failed(failure.cause);
                }
                let _ = tx.send(Part::NoAnswer(Box::new(failure)));
                return;
            }
        };
        if answer.head().0 == StatusCode::NOT_MODIFIED {
            let told = Told { shelf, key, rule, request, begun, lead, stale, sent };
            return told.take(answer, &tx).await;
        }
        let mut gathering = match judge(&shelf, &rule.settings, &request, answer.head(), sent) {
            Ok(storable) => {
                let lead = share(lead, &storable, &rule.settings);
                Ok(Gathering::new(&shelf, key, &rule.name, storable, answer.head().1, (begun, lead)))
            }
            Err(reason) => {
                // it takes the place of what was stored, and is not stored itself; an error says nothing about that
                if stale.is_some() && answer.head().0.as_u16() < 400 {
                    shelf.responses.remove(&key);
                }
                // at the head, so that nobody queues behind an answer that is not for him
                mark_pass(&shelf, &key, &rule.name);
                if let Some(lead) = lead {
                    lead.pass(reason);
                }
                Err(reason)
            }
        };
        store_whole(&mut gathering);
        let exchanged = Box::new(answer.exchanged());
        let stored = gathering.as_ref().map(|_| ()).map_err(|reason| *reason);
        let _ = tx.send(Part::Head(answer.take_head(), stored, exchanged));
        pour(answer, &tx, &mut gathering).await;
    }
}

/// Reads the body to its end, or to where nobody wants it any more.
async fn pour<A: Answer>(mut answer: A, tx: &mpsc::UnboundedSender<Part<A::Head>>, gathering: &mut Result<Gathering, NotStored>) {
    let window = Arc::new(Semaphore::new(WINDOW));
    loop {
        match answer.next().await {
            Ok(Some(data)) => {
                if !deliver(tx, &window, gathering, data).await {
                    let _ = timeout(DRAIN_TIME, answer.drain()).await;
                    return;
                }
            }
            Ok(None) => {
                let not_stored = gathering.as_mut().map_err(|reason| *reason).and_then(Gathering::store).err();
                let _ = tx.send(Part::End { not_stored, exchanged: Box::new(answer.exchanged()) });
                return;
            }
            Err(cause) => {
                if let Ok(given_up) = std::mem::replace(gathering, Err(NotStored::Incomplete)) {
                    given_up.shelf.responses.mark_failed(&given_up.key, given_up.shelf.clock.now());
                    if let Some(lead) = given_up.lead {
                        lead.failed(cause);
                    }
                }
                let _ = tx.send(Part::Cut(cause));
                return;
            }
        }
    }
}

/// Stores a body that its length tells to be whole before its last piece is handed on: who counts the bytes may ask again at once, and
/// must find it.
fn store_whole(gathering: &mut Result<Gathering, NotStored>) {
    if let Ok(wanted) = gathering
        && wanted.is_whole()
        && let Err(reason) = wanted.store()
    {
        *gathering = Err(reason);
    }
}

/// Hands a piece on, and keeps it while gathering. False: the caller left, and nobody else wants the rest.
async fn deliver<H>(
    tx: &mpsc::UnboundedSender<Part<H>>,
    window: &Arc<Semaphore>,
    gathering: &mut Result<Gathering, NotStored>,
    data: Bytes,
) -> bool {
    if let Ok(wanted) = gathering {
        match wanted.keep(&data) {
            // bounded by `max_object`, so no window: a slow caller must not hold the followers
            Ok(()) => {
                store_whole(gathering);
                let _ = tx.send(Part::Data(data, None));
                return true;
            }
            Err(reason) => {
                if let Ok(given_up) = std::mem::replace(gathering, Err(reason)) {
                    given_up.pass(reason);
                }
            }
        }
    }
    let wanted = u32::try_from(data.len().min(WINDOW)).expect("at most the window");
    let permit = tokio::select! {
        permit = Arc::clone(window).acquire_many_owned(wanted) => permit.ok(),
        () = tx.closed() => None,
    };
    permit.is_some_and(|permit| tx.send(Part::Data(data, Some(permit))).is_ok())
}

/// An answer on its way to the store.
struct Gathering {
    shelf: Shelf,
    key: CacheKey,
    rule: Arc<str>,
    /// `None` once it is stored.
    storable: Option<Storable>,
    headers: HeaderMap,
    /// The length it is to have, where it is told.
    announced: Option<u64>,
    parts: Vec<Bytes>,
    share: Option<Share>,
    size: u64,
    begun: Begun,
    lead: Option<Lead>,
}

impl Gathering {
    fn new(shelf: &Shelf, key: CacheKey, rule: &Arc<str>, storable: Storable, headers: &HeaderMap, under: (Begun, Option<Lead>)) -> Self {
        let (begun, lead) = under;
        let (shelf, rule, mut headers) = (shelf.clone(), Arc::clone(rule), headers.clone());
        dated(&mut headers, &shelf.clock);
        let length = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        let announced = if storable.facts.status == 204 { Some(0) } else { length };
        let (share, storable) = (shelf.bodies.take(0), Some(storable));
        Self { share, shelf, key, rule, storable, headers, announced, parts: Vec::new(), size: 0, begun, lead }
    }

    /// Given up: who waits goes alone, and so does who comes within the next seconds.
    fn pass(self, reason: NotStored) {
        mark_pass(&self.shelf, &self.key, &self.rule);
        if let Some(lead) = self.lead {
            lead.pass(reason);
        }
    }

    /// Keeps a piece.
    fn keep(&mut self, data: &Bytes) -> Result<(), NotStored> {
        self.size += data.len() as u64;
        if self.size > self.shelf.max_object {
            return Err(NotStored::TooLarge);
        }
        if !self.share.as_mut().is_some_and(|share| share.grow(data.len() as u64)) {
            return Err(NotStored::FillBudget);
        }
        self.parts.push(data.clone());
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.announced == Some(self.size)
    }

    /// The body is whole: into the store, then the word to the followers. Once; again is without effect.
    fn store(&mut self) -> Result<(), NotStored> {
        let Some(storable) = self.storable.take() else { return Ok(()) };
        let parts = std::mem::take(&mut self.parts);
        let stored = if self.announced.is_some() && !self.is_whole() {
            Err(NotStored::Incomplete)
        } else {
            let fields = self.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
            let entry = Entry::new(Arc::clone(&self.rule), storable, &self.headers, fields, &parts);
            self.shelf.responses.insert(&self.key, entry, &self.begun)
        };
        self.share = None;
        told::decide(self.lead.take(), stored).map(drop)
    }
}

#[cfg(test)]
mod tests;
