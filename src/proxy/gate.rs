//! How many callers are connected at once. Where no place is free, the one that has been idle for longest makes room; where none is
//! idle, the newcomer is turned away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Most newcomers that wait for a place at once.
pub const WAITING: usize = 16;
/// How long one waits for an idle connection to close.
const WAIT: Duration = Duration::from_millis(200);

/// The places, over all listeners.
pub struct Gate {
    places: Arc<Semaphore>,
    waiting: Semaphore,
    /// Wakes idle connections, the one that has waited for longest first.
    idle: Notify,
    closing: AtomicBool,
}

impl Gate {
    /// A gate with so many places.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            waiting: Semaphore::new(WAITING),
            idle: Notify::new(),
            closing: AtomicBool::new(false),
        }
    }

    /// A place, until the permit is dropped; `None` where there is none.
    pub async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        let _waiting = self.waiting.try_acquire().ok()?;
        self.idle.notify_one();
        timeout(WAIT, Arc::clone(&self.places).acquire_owned()).await.ok()?.ok()
    }

    /// Resolves when the idle connection that awaits it is to close; true where that makes room for a newcomer, false where the process
    /// ends.
    pub async fn wanted(&self) -> bool {
        loop {
            let woken = self.idle.notified();
            if self.closing.load(Relaxed) {
                return false;
            }
            woken.await;
            // a word that came when nobody was idle is kept for the next: whom it was for may have gone
            if self.waiting.available_permits() < WAITING && !self.closing.load(Relaxed) {
                return true;
            }
        }
    }

    /// Closes every idle connection, now and from now on.
    pub fn close(&self) {
        self.closing.store(true, Relaxed);
        self.idle.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_an_idle_connection_a_newcomer_is_turned_away() {
        let gate = Gate::new(1);
        let place = gate.enter().await.expect("free");
        assert!(gate.enter().await.is_none());
        drop(place);
        assert!(gate.enter().await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_makes_room() {
        let gate = Arc::new(Gate::new(2));
        let mut idle = Vec::new();
        for _ in 0..2 {
            let (gate, place) = (Arc::clone(&gate), gate.enter().await.expect("free"));
            idle.push(tokio::spawn(async move {
                let room = gate.wanted().await;
                drop(place);
                room
            }));
            tokio::task::yield_now().await;
        }
        let newcomer = gate.enter().await;
        assert!(newcomer.is_some() && idle[0].is_finished() && !idle[1].is_finished());
        gate.close();
        let [first, second] = [idle.remove(0).await, idle.remove(0).await].map(|room| room.expect("no panic"));
        assert!(first && !second, "one made room, the other was closed with the process");
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_word_closes_nobody_and_the_end_closes_all() {
        let gate = Arc::new(Gate::new(1));
        let place = gate.enter().await.expect("free");
        assert!(gate.enter().await.is_none(), "the word is spoken, nobody hears it");
        let idle = {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.wanted().await })
        };
        tokio::time::sleep(WAIT).await;
        assert!(!idle.is_finished());
        drop(place);
        gate.close();
        assert!(!idle.await.expect("no panic"));
        assert!(!gate.wanted().await);
    }

    #[tokio::test(start_paused = true)]
    async fn few_wait() {
        let gate = Arc::new(Gate::new(1));
        let place = gate.enter().await.expect("free");
        let all: Vec<_> = (0..100)
            .map(|_| {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move { gate.enter().await.is_some() })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1)).await; // all have been polled
        assert_eq!(all.iter().filter(|t| !t.is_finished()).count(), WAITING);
        drop(place);
    }
}
