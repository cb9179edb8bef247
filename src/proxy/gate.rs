//! How many callers are connected at once. Where no place is free, the one that has been idle for longest makes room; where none is
//! idle, the newcomer is turned away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::flow::Running;

/// Most newcomers that wait for a place at once.
pub const WAITING: usize = 16;
/// How long one waits for an idle connection to close.
const WAIT: Duration = Duration::from_millis(200);

/// The places, over all listeners.
pub struct Gate {
    places: Arc<Semaphore>,
    waiting: Semaphore,
    /// Connections that may be asked to close.
    idle: Running,
    /// Wakes them, the one that has waited for longest first.
    word: Notify,
    closing: AtomicBool,
}

impl Gate {
    /// A gate with so many places.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            waiting: Semaphore::new(WAITING),
            idle: Running::default(),
            word: Notify::new(),
            closing: AtomicBool::new(false),
        }
    }

    /// A place, until the permit is dropped; `None` where there is none.
    pub async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        // only to who hears it: a word that nobody hears would be kept, and close somebody when no place is needed any more
        if self.idle.count() == 0 {
            return None;
        }
        let _waiting = self.waiting.try_acquire().ok()?;
        self.word.notify_one();
        timeout(WAIT, Arc::clone(&self.places).acquire_owned()).await.ok()?.ok()
    }

    /// Resolves when the idle connection that awaits it is to close; true where that makes room for a newcomer, false where the process
    /// ends.
    pub async fn wanted(&self) -> bool {
        let word = self.word.notified();
        tokio::pin!(word);
        word.as_mut().enable();
        let _idle = self.idle.enter();
        if !self.closing.load(SeqCst) {
            word.await;
        }
        !self.closing.load(SeqCst)
    }

    /// Closes every idle connection, now and from now on.
    pub fn close(&self) {
        self.closing.store(true, SeqCst);
        self.word.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    /// A connection that is idle, and holds its place for a moment after it was asked to close.
    async fn idle(gate: &Arc<Gate>, moment: Duration) -> JoinHandle<bool> {
        let (gate, place) = (Arc::clone(gate), gate.enter().await.expect("free"));
        let connection = tokio::spawn(async move {
            let room = gate.wanted().await;
            tokio::time::sleep(moment).await;
            drop(place);
            room
        });
        tokio::task::yield_now().await;
        connection
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_idle_connection_a_newcomer_is_turned_away_and_leaves_no_word_behind() {
        let gate = Arc::new(Gate::new(2));
        let place = gate.enter().await.expect("free");
        let busy = gate.enter().await.expect("free");
        assert!(gate.enter().await.is_none());
        drop(place);
        let connection = idle(&gate, Duration::ZERO).await;
        tokio::time::sleep(WAIT).await;
        assert!(!connection.is_finished(), "nobody asked it to close");
        drop(busy);
        assert!(gate.enter().await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_makes_room_and_the_end_closes_all() {
        let gate = Arc::new(Gate::new(2));
        let (first, second) = (idle(&gate, Duration::ZERO).await, idle(&gate, Duration::ZERO).await);
        let newcomer = gate.enter().await;
        assert!(newcomer.is_some() && first.is_finished() && !second.is_finished());
        gate.close();
        let [first, second] = [first.await, second.await].map(|room| room.expect("no panic"));
        assert!(first && !second, "one made room, the other was closed with the process");
        assert!(!gate.wanted().await, "and so is who becomes idle after that");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_used_again_hands_the_word_on() {
        let gate = Arc::new(Gate::new(2));
        let place = gate.enter().await.expect("free");
        let mut used = Box::pin(gate.wanted());
        assert!(timeout(Duration::ZERO, &mut used).await.is_err());
        let second = idle(&gate, Duration::ZERO).await;
        let newcomer = {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.enter().await.is_some() })
        };
        tokio::task::yield_now().await;
        drop(used); // its next request came first
        assert!(newcomer.await.expect("no panic") && second.await.expect("no panic"));
        drop(place);
    }

    #[tokio::test(start_paused = true)]
    async fn few_wait() {
        let gate = Arc::new(Gate::new(1));
        let _slow = idle(&gate, WAIT * 2).await;
        let enter = || {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.enter().await.is_some() })
        };
        let _second = gate.idle.enter(); // as if more could be asked
        let all: Vec<_> = (0..100).map(|_| enter()).collect();
        tokio::time::sleep(Duration::from_millis(1)).await; // all have been polled
        assert_eq!(all.iter().filter(|t| !t.is_finished()).count(), WAITING);
    }
}
