//! Ghosts: what is left of accepted events that had to make room, 8 bytes each, so that a repeat nobody caught is at least counted.
//!
//! A table of short rows. The low bits of an event's mark name its row, 48 further bits stand in the ghost with its time in minutes, and
//! a full row gives up its oldest. Nothing is decided by it: two events that share all these bits make a figure wrong by one.

use std::time::Duration;

/// Ghosts in a row: one line of the processor's cache.
const ROW: usize = 8;
/// A ghost's time, in minutes; they begin anew after 45 days, long after any sender's last copy.
const TIME: u64 = 0xFFFF;

/// The table. An empty place is 0.
pub(super) struct Ghosts(Vec<[u64; ROW]>);

impl Ghosts {
    /// A table for `capacity` ghosts, rounded down to a power of two of rows, one row at least.
    pub(super) fn new(capacity: usize) -> Self {
        let rows = (capacity / ROW).max(1);
        Self(vec![[0; ROW]; 1 << rows.ilog2()])
    }

    /// The bytes set aside.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * size_of::<[u64; ROW]>()
    }

    /// Adds an event that was accepted `at`, counted from the start.
    pub(super) fn add(&mut self, mark: u64, at: Duration) {
        let now = minutes(at);
        let places = self.row(mark);
        // an empty place is older than all
        let age = |ghost: u64| if ghost == 0 { TIME + 1 } else { now.wrapping_sub(ghost) & TIME };
        if let Some(oldest) = places.iter_mut().max_by_key(|ghost| age(**ghost)) {
            *oldest = tag(mark) | now;
        }
    }

    /// When an event was accepted, counted from the start, to the minute; its ghost is gone then.
    pub(super) fn take(&mut self, mark: u64, now: Duration) -> Option<Duration> {
        let ghost = self.row(mark).iter_mut().find(|ghost| **ghost != 0 && **ghost & !TIME == tag(mark))?;
        let age = minutes(now).wrapping_sub(*ghost) & TIME;
        *ghost = 0;
        Some(now.saturating_sub(Duration::from_mins(age)))
    }

    fn row(&mut self, mark: u64) -> &mut [u64; ROW] {
        let last = self.0.len() as u64 - 1;
        let at = usize::try_from(mark & last).expect("less than the number of rows");
        &mut self.0[at]
    }
}

/// The upper bits, never all 0.
const fn tag(mark: u64) -> u64 {
    let tag = mark & !TIME;
    if tag == 0 { TIME + 1 } else { tag }
}

const fn minutes(at: Duration) -> u64 {
    (at.as_secs() / 60) & TIME
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_ghost_tells_once_when_its_event_was_accepted() {
        let mut ghosts = Ghosts::new(64);
        ghosts.add(0xAB_0000_0000_0007, HOUR * 3 + Duration::from_secs(59));
        assert_eq!(ghosts.take(0xAC_0000_0000_0007, HOUR * 5), None, "another in the same row");
        assert_eq!(ghosts.take(0xAB_0000_0000_0007, HOUR * 5), Some(HOUR * 3));
        assert_eq!(ghosts.take(0xAB_0000_0000_0007, HOUR * 5), None);
    }

    #[test]
    fn a_full_row_gives_up_its_oldest() {
        let mut ghosts = Ghosts::new(0);
        assert_eq!(ghosts.bytes(), 64);
        let mark = |n: u64| n << 20;
        (1..=9).for_each(|n| ghosts.add(mark(n), HOUR * u32::try_from(n).expect("small")));
        assert_eq!(ghosts.take(mark(1), HOUR * 10), None);
        for n in 2..=9 {
            assert_eq!(ghosts.take(mark(n), HOUR * 10), Some(HOUR * u32::try_from(n).expect("small")), "{n}");
        }
    }

    #[test]
    fn minutes_may_begin_anew() {
        let mut ghosts = Ghosts::new(8);
        let late = Duration::from_mins(65_530);
        ghosts.add(0, late);
        assert_eq!(ghosts.take(0, late + Duration::from_mins(10)), Some(late));
    }

    #[test]
    fn sizes_are_powers_of_two_below_what_was_asked_for() {
        assert_eq!(Ghosts::new(500_000).bytes(), 32_768 * 64);
        assert_eq!(Ghosts::new(524_288).bytes(), 65_536 * 64);
    }
}
