//! Why repeats come: what became of the copy before, counted over the events of one request.

use std::time::Duration;

/// Why an event came again. Closed: a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// An earlier copy still ran: the function is slower than the sender's patience.
    Slow,
    /// The copy before got no success: it failed, or waited in vain.
    Failed,
    /// The copy before was accepted, but its sender did not get the whole answer.
    Unread,
    /// None of these: the sender was answered, and repeats all the same.
    Late,
}

impl Cause {
    /// Every cause, for metrics that start at zero.
    pub const ALL: [Self; 4] = [Self::Slow, Self::Failed, Self::Unread, Self::Late];

    /// The closed word of the cause.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Failed => "failed",
            Self::Unread => "unread",
            Self::Late => "late",
        }
    }
}

/// A repeat of what was accepted this long ago, and is not caught, counts as missed; one of older counts as new.
pub const MISSED_WITHIN: Duration = Duration::from_hours(24);

/// The repeats among the events of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeats {
    causes: [u32; 4],
    missed: u32,
    gap: Option<Duration>,
}

impl Repeats {
    /// Counts one repeat. `gap`: time since the last thing that is known of its event.
    pub fn add(&mut self, cause: Cause, gap: Option<Duration>) {
        self.causes[cause as usize] += 1;
        self.gap = self.gap.into_iter().chain(gap).min();
    }

    /// The repeat just counted was accepted within the last 24 h, and its window or the store no longer knows: it is forwarded.
    pub fn miss(&mut self) {
        self.missed += 1;
    }

    /// How many came for this cause.
    #[must_use]
    pub const fn of(&self, cause: Cause) -> u32 {
        self.causes[cause as usize]
    }

    /// How many were missed.
    #[must_use]
    pub const fn missed(&self) -> u32 {
        self.missed
    }

    /// Time since the last thing known of any of them: the sender's pause before this request.
    #[must_use]
    pub const fn gap(&self) -> Option<Duration> {
        self.gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_counted_by_cause_with_the_shortest_gap() {
        let mut repeats = Repeats::default();
        assert_eq!((repeats.gap(), Cause::ALL.map(|cause| repeats.of(cause))), (None, [0; 4]));
        for (cause, gap) in [(Cause::Late, Some(9)), (Cause::Slow, None), (Cause::Late, Some(4)), (Cause::Unread, Some(5))] {
            repeats.add(cause, gap.map(Duration::from_secs));
        }
        repeats.miss();
        assert_eq!(Cause::ALL.map(|cause| repeats.of(cause)), [1, 0, 1, 2]);
        assert_eq!((repeats.gap(), repeats.missed()), (Some(Duration::from_secs(4)), 1));
    }
}
