//! The exact numbers of one upstream's connections, over both ways to a function (proxied and exchanged).
//!
//! `opened` and `closed` are told by the connection itself, whoever pools it; [`Borrowed`] by every borrower. So the size is
//! `opened - closed` and the idle ones are what nobody has borrowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one upstream's connections.
#[derive(Debug, Default)]
pub struct Counters {
    opened: AtomicU64,
    closed: AtomicU64,
    borrowed: AtomicU64,
    new: AtomicU64,
    reused: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    stale: AtomicU64,
}

/// One reading of [`Counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Connections open now.
    pub size: u64,
    /// Of these, in no one's hands.
    pub idle: u64,
    /// Of these, used by a request.
    pub in_use: u64,
    /// Connections opened since the start.
    pub created: u64,
    /// Uses of a new connection since the start.
    pub new: u64,
    /// Uses of a kept connection since the start.
    pub reused: u64,
    /// Attempts that got no connection.
    pub failed: u64,
    /// Further attempts made because of that.
    pub retried: u64,
    /// Further attempts made because a kept connection had been closed by the other side.
    pub stale: u64,
}

impl Counters {
    /// A connection was established.
    pub fn opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    /// A connection was closed.
    pub fn closed(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    /// An attempt got no connection.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    /// Another attempt is made, since the last one got no connection.
    pub fn retried(&self) {
        self.retried.fetch_add(1, Relaxed);
    }

    /// Another attempt is made, since the kept connection of the last one had been closed.
    pub fn stale(&self) {
        self.stale.fetch_add(1, Relaxed);
    }

    /// A request took a connection; it gives it back when the value is dropped.
    #[must_use]
    pub fn borrow(self: &Arc<Self>, reused: bool) -> Borrowed {
        if reused { &self.reused } else { &self.new }.fetch_add(1, Relaxed);
        self.borrowed.fetch_add(1, Relaxed);
        Borrowed(Arc::clone(self))
    }

    /// The numbers now. Each is exact; taken one after the other, so a connection in motion may be seen on either side.
    #[must_use]
    pub fn read(&self) -> Numbers {
        let (created, in_use) = (self.opened.load(Relaxed), self.borrowed.load(Relaxed));
        let size = created.saturating_sub(self.closed.load(Relaxed));
        let counts = [&self.new, &self.reused, &self.failed, &self.retried, &self.stale];
        let [new, reused, failed, retried, stale] = counts.map(|n| n.load(Relaxed));
        Numbers { size, idle: size.saturating_sub(in_use), in_use, created, new, reused, failed, retried, stale }
    }
}

/// A connection in use.
#[derive(Debug)]
pub struct Borrowed(Arc<Counters>);

impl Drop for Borrowed {
    fn drop(&mut self) {
        self.0.borrowed.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_add_up() {
        let pool = Arc::new(Counters::default());
        pool.opened();
        let first = pool.borrow(false);
        assert_eq!(pool.read(), Numbers { size: 1, in_use: 1, created: 1, new: 1, ..Numbers::default() });
        drop(first);
        let second = pool.borrow(true);
        assert_eq!(pool.read().idle, 0);
        drop(second);
        pool.closed();
        pool.failed();
        assert_eq!(pool.read(), Numbers { created: 1, new: 1, reused: 1, failed: 1, ..Numbers::default() });
    }
}
