//! What of the memory budget is left at this moment. The parts of its sum are what each may take at most; what they do not take now is
//! there for bytes that Pingora holds between two connections.

use std::sync::Arc;

use crate::config::budget::REQUEST;
use crate::flow::Running;
use crate::flow::budget::Budget;
use crate::store::responses::Responses;

/// So many requests never make memory short.
const FEW: usize = 32;
/// What a body that nobody takes may pile up to, in bytes: what is kept for a second attempt, and Pingora's pipe.
const UPLOAD: u64 = 1 << 20;

/// The parts that change.
pub struct Room {
    /// The budget without the parts that are always taken.
    pub budget: u64,
    /// Stored answers.
    pub responses: Arc<Responses>,
    /// Bodies in memory.
    pub bodies: Budget,
    /// Requests in flight.
    pub running: Running,
}

impl Room {
    /// Bytes that are left now.
    #[must_use]
    pub fn left(&self) -> u64 {
        let running = u64::try_from(self.running.count()).unwrap_or(u64::MAX).saturating_mul(REQUEST);
        [self.responses.bytes(), self.bodies.used(), running].into_iter().fold(self.budget, u64::saturating_sub)
    }

    /// Whether requests are so many that all of them together could pile up more than is left.
    #[must_use]
    pub fn is_short(&self) -> bool {
        let running = self.running.count();
        running > FEW && u64::try_from(running).unwrap_or(u64::MAX).saturating_mul(UPLOAD) > self.left()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_not_left() {
        let room = Room {
            budget: 64 << 20,
            responses: Arc::new(Responses::new(32 << 20, 1 << 20)),
            bodies: Budget::new(16 << 20),
            running: Running::default(),
        };
        assert_eq!(room.left(), 64 << 20);
        let _share = room.bodies.take(16 << 20);
        let few: Vec<_> = (0..FEW).map(|_| room.running.enter()).collect();
        assert_eq!(room.left(), (48 << 20) - FEW as u64 * REQUEST);
        assert!(!room.is_short());
        let more: Vec<_> = (0..FEW).map(|_| room.running.enter()).collect();
        assert!(room.is_short());
        drop((few, more));
        assert!(!room.is_short());
    }
}
