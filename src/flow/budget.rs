//! The bytes of all bodies in memory at once: requests read whole and answers being gathered (`memory.bodies`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A bounded number of bytes, shared by clones. Never waits: who gets nothing streams instead.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicU64>,
    limit: u64,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// Takes `bytes`, or nothing where they are not free.
    #[must_use]
    pub fn take(&self, bytes: u64) -> Option<Share> {
        let mut share = Share { budget: self.clone(), bytes: 0 };
        share.grow(bytes).then_some(share)
    }

    /// Bytes taken now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }
}

/// Bytes taken from a budget; given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: u64,
}

impl Share {
    /// Takes more; false, and unchanged, where they are not free.
    #[must_use]
    pub fn grow(&mut self, by: u64) -> bool {
        let fits = |used: u64| used.checked_add(by).filter(|sum| *sum <= self.budget.limit);
        let grown = self.budget.used.fetch_update(Relaxed, Relaxed, fits).is_ok();
        if grown {
            self.bytes += by;
        }
        grown
    }

    /// Gives back all above `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let back = self.bytes.saturating_sub(bytes);
        self.budget.used.fetch_sub(back, Relaxed);
        self.bytes -= back;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_above_its_limit_and_all_comes_back() {
        let budget = Budget::new(10);
        let mut first = budget.take(6).expect("free");
        assert!(budget.take(5).is_none(), "5 are not free");
        assert!(!first.grow(5) && first.grow(4));
        assert_eq!(budget.used(), 10);
        first.shrink_to(3);
        let second = budget.take(7).expect("given back");
        drop((first, second));
        assert_eq!(budget.used(), 0);
    }
}
