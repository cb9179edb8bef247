//! Time, read in one place: the only file that may call `Instant::now` or `SystemTime::now`.
//!
//! Everything else takes `now` as an argument, so that windows and lifetimes are tested without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

/// A source of monotonic and wall-clock time; cheap to clone. Windows, ages and lifetimes use only the monotonic side,
/// so a jump of the wall clock changes none of them.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    start: Instant,
    wall: SystemTime,
    moved: AtomicU64,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that moves only by [`Clock::advance`]; clones move together.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the time")]
    pub fn manual() -> Self {
        Self(Kind::Manual(Arc::new(Manual { start: Instant::now(), wall: SystemTime::now(), moved: AtomicU64::new(0) })))
    }

    /// Moves a manual clock forward; without effect on the system's.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual(manual) = &self.0 {
            manual.moved.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        }
    }

    /// The monotonic time.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the time")]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::System => Instant::now(),
            Kind::Manual(m) => m.start + Duration::from_nanos(m.moved.load(Relaxed)),
        }
    }

    /// The wall-clock time: for dates in headers and logs only.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the time")]
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            Kind::System => SystemTime::now(),
            Kind::Manual(m) => m.wall + Duration::from_nanos(m.moved.load(Relaxed)),
        }
    }
}
