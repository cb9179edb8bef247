//! Callers that read slower than they are written to. Each may hold several hundred KiB of its answer between the two connections, which
//! Pingora does not let us bound; so the number of such callers is bounded, by the memory that is left. Who has been stuck for longest
//! makes room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// What counts for one of them, in bytes. Pingora's pipe holds ten pieces of 64 KiB (measured: 640 KiB); the rest is for what others hold
/// that are not stuck yet.
pub const PIPE: u64 = 1 << 20;
/// So many may always be stuck, whatever else takes memory.
const ALWAYS: u64 = 4;
/// So many may be about to give their room back; where more are, who gets stuck is cut at once.
const LEAVING: usize = 8;

/// The callers that are stuck now.
pub struct Stalls {
    stuck: Mutex<Stuck>,
    /// Bytes that are left for them.
    room: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Hears of each that made room.
    cut: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Stuck {
    /// In the order they got stuck in; who is not in it any more has made room.
    callers: BTreeMap<u64, Waker>,
    next: u64,
    /// Those whose room is still taken.
    holding: usize,
}

impl Stalls {
    /// Nobody is stuck yet. `room` is asked whenever somebody gets stuck; `cut` hears of each that made room.
    #[must_use]
    pub fn new(room: impl Fn() -> u64 + Send + Sync + 'static, cut: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { stuck: Mutex::default(), room: Box::new(room), cut: Box::new(cut) })
    }

    /// Notes that a caller takes no more for now; `waker` wakes its writer, should it have to make room.
    pub fn enter(self: &Arc<Self>, waker: &Waker) -> Stall {
        let most = usize::try_from(((self.room)() / PIPE).max(ALWAYS)).unwrap_or(usize::MAX);
        let mut stuck = self.lock();
        let number = stuck.next;
        stuck.next += 1;
        stuck.holding += 1;
        if stuck.holding > most + LEAVING {
            (self.cut)();
            return Stall { stalls: Arc::clone(self), number };
        }
        while stuck.callers.len() >= most {
            let Some((_, longest)) = stuck.callers.pop_first() else { break };
            longest.wake();
            (self.cut)();
        }
        stuck.callers.insert(number, waker.clone());
        Stall { stalls: Arc::clone(self), number }
    }

    /// How many are stuck now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().callers.len()
    }

    fn lock(&self) -> MutexGuard<'_, Stuck> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller that is stuck, until it is dropped.
pub struct Stall {
    stalls: Arc<Stalls>,
    number: u64,
}

impl Stall {
    /// Whether it may wait on, woken by `waker`; false once it has to make room.
    #[must_use]
    pub fn waits(&self, waker: &Waker) -> bool {
        let mut stuck = self.stalls.lock();
        stuck.callers.get_mut(&self.number).map(|known| known.clone_from(waker)).is_some()
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        let mut stuck = self.stalls.lock();
        stuck.callers.remove(&self.number);
        stuck.holding -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::*;

    fn stalls(room: u64) -> (Arc<Stalls>, Arc<AtomicU64>, Arc<AtomicU64>) {
        let (room, cut) = (Arc::new(AtomicU64::new(room)), Arc::<AtomicU64>::default());
        let (left, count) = (Arc::clone(&room), Arc::clone(&cut));
        let counted = move || {
            count.fetch_add(1, SeqCst);
        };
        (Stalls::new(move || left.load(SeqCst), counted), room, cut)
    }

    fn stuck(stalls: &Arc<Stalls>, n: usize) -> Vec<Stall> {
        (0..n).map(|_| stalls.enter(Waker::noop())).collect()
    }

    fn waiting(all: &[Stall]) -> Vec<bool> {
        all.iter().map(|stall| stall.waits(Waker::noop())).collect()
    }

    #[test]
    fn who_is_stuck_for_longest_makes_room() {
        let (stalls, _, cut) = stalls(6 * PIPE);
        let all = stuck(&stalls, 8);
        assert_eq!(waiting(&all), [false, false, true, true, true, true, true, true]);
        assert_eq!((stalls.count(), cut.load(SeqCst)), (6, 2));
        drop(all);
        assert_eq!(stalls.count(), 0);
    }

    #[test]
    fn while_the_room_of_many_is_not_given_back_newcomers_are_cut() {
        let (stalls, _, cut) = stalls(6 * PIPE);
        let mut all = stuck(&stalls, 6 + LEAVING);
        let newcomer = stalls.enter(Waker::noop());
        assert!(!newcomer.waits(Waker::noop()) && waiting(&all)[LEAVING..].iter().all(|waits| *waits));
        assert_eq!((stalls.count() as u64, cut.load(SeqCst)), (6, LEAVING as u64 + 1));
        all.drain(..LEAVING);
        drop(newcomer);
        assert!(stalls.enter(Waker::noop()).waits(Waker::noop()), "it is given back");
    }

    #[test]
    fn less_room_cuts_more_but_never_the_last_few() {
        let (stalls, room, cut) = stalls(u64::MAX);
        let mut all = stuck(&stalls, 8);
        assert_eq!((stalls.count(), cut.load(SeqCst)), (8, 0));
        room.store(0, SeqCst);
        all.push(stalls.enter(Waker::noop()));
        assert_eq!((stalls.count() as u64, cut.load(SeqCst)), (ALWAYS, 8 - ALWAYS + 1));
        assert!(all[8].waits(Waker::noop()), "the newest stays");
    }

    #[test]
    fn who_reads_on_makes_no_room() {
        let (stalls, _, cut) = stalls(ALWAYS * PIPE);
        for _ in 0..100 {
            drop(stalls.enter(Waker::noop()));
        }
        assert_eq!((stalls.count(), cut.load(SeqCst)), (0, 0));
    }
}
