//! PURE: when a text read from the rules file counts (design.md, walk 3). A file put in place whole counts at once; one that
//! may still be written counts when two reads 250 ms apart are equal (2 s while its writer has it open), and not while it looks cut.

use std::time::{Duration, Instant};

/// How long a text written in place must stay the same.
pub const QUIET: Duration = Duration::from_millis(250);
/// How long it must while its writer has the file open: one that stalls in the middle of a write is waited for.
pub const STALLED: Duration = Duration::from_secs(2);

/// How a text came into its place, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// By a rename or a symlink swap since the last look, so it cannot be half-written.
    Whole,
    /// By a writer who has closed the file, or of whom nothing is known.
    Closed,
    /// By a writer who has the file open.
    Open,
}

/// One look at the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// There is none, or it cannot be read.
    Missing,
    /// Its text.
    Text {
        /// The text.
        bytes: &'a [u8],
        /// How it came there.
        placed: Placed,
    },
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is new.
    Nothing,
    /// Look again after this time.
    Again(Duration),
    /// Offer this text.
    Offer,
    /// The text looks cut: wait for the rest.
    HalfWritten(Cut),
    /// The file is gone: the rules stay.
    Missing,
}

/// Why a text looks cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing in it.
    Empty,
    /// No `version` key.
    NoVersion,
    /// The running text begins with it.
    Prefix,
}

impl Cut {
    /// The closed word of the reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NoVersion => "no_version",
            Self::Prefix => "prefix_of_running",
        }
    }
}

/// The looks so far.
#[derive(Clone, Debug, Default)]
pub struct Settle {
    /// The last text offered.
    offered: Option<Vec<u8>>,
    /// Whether it is offered with each look, see [`Self::insist`].
    insists: bool,
    /// A text that may still be written, and when it was first seen.
    pending: Option<(Vec<u8>, Instant)>,
}

impl Settle {
    /// Takes a look at the file, given the running text.
    pub fn look(&mut self, read: Read<'_>, running: &[u8], now: Instant) -> Step {
        let Read::Text { bytes, placed } = read else {
            self.pending = None;
            return Step::Missing;
        };
        // the running text again, even if offered before: it makes things good after a gap or a refused edit, and costs nothing
        if bytes == running {
            self.pending = None;
            self.offered = None;
            return Step::Offer;
        }
        if self.offered.as_deref() == Some(bytes) {
            self.pending = None;
            return if self.insists { Step::Offer } else { Step::Nothing };
        }
        let quiet = match placed {
            Placed::Whole => return self.offer(bytes),
            Placed::Closed => QUIET,
            Placed::Open => STALLED,
        };
        match &self.pending {
            Some((seen, since)) if seen == bytes => match quiet.checked_sub(now.saturating_duration_since(*since)) {
                Some(rest) if !rest.is_zero() => Step::Again(rest),
                _ => cut(bytes, running).map_or_else(|| self.offer(bytes), Step::HalfWritten),
            },
            _ => {
                self.pending = Some((bytes.to_vec(), now));
                Step::Again(quiet)
            }
        }
    }

    /// The text just offered was refused for what is not in it: it is offered again until another one comes.
    pub fn insist(&mut self) {
        self.insists = true;
    }

    fn offer(&mut self, bytes: &[u8]) -> Step {
        self.pending = None;
        self.insists = false;
        self.offered = Some(bytes.to_vec());
        Step::Offer
    }
}

/// Whether a text looks like the beginning of one.
fn cut(bytes: &[u8], running: &[u8]) -> Option<Cut> {
    let bytes_only = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes_only.trim_ascii().is_empty() {
        return Some(Cut::Empty);
    }
    if running.len() > bytes.len() && running.starts_with(bytes) {
        return Some(Cut::Prefix);
    }
    let has_version = bytes_only.split(|b| *b == b'\n').any(|line| {
        let start = line.iter().position(|b| !matches!(b, b' ' | b'\t' | b'{' | b'"' | b'\'')).unwrap_or(line.len());
        line[start..].starts_with(b"version")
    });
    (!has_version).then_some(Cut::NoVersion)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    const OLD: &[u8] = b"version: 1\nslow: [{ match: \"**\", after: 2s }]\n";
    const NEW: &[u8] = b"version: 1\nslow: [{ match: \"**\", after: 3s }]\n";

    fn text(bytes: &[u8], whole: bool) -> Read<'_> {
        Read::Text { bytes, placed: if whole { Placed::Whole } else { Placed::Closed } }
    }

    #[test]
    fn an_open_file_is_waited_for_longer_and_counts_soon_after_it_is_closed() {
        let clock = Clock::manual();
        let look = |settle: &mut Settle, placed| settle.look(Read::Text { bytes: NEW, placed }, OLD, clock.now());
        let mut settle = Settle::default();
        assert_eq!(look(&mut settle, Placed::Open), Step::Again(STALLED));
        clock.advance(STALLED / 2);
        assert_eq!(look(&mut settle, Placed::Open), Step::Again(STALLED / 2));
        assert_eq!(look(&mut settle, Placed::Closed), Step::Offer);
        let mut settle = Settle::default();
        look(&mut settle, Placed::Open);
        clock.advance(STALLED);
        assert_eq!(look(&mut settle, Placed::Open), Step::Offer, "one that is never closed");
    }

    #[test]
    fn in_place_needs_two_equal_looks_and_whole_needs_none() {
        let clock = Clock::manual();
        let mut settle = Settle::default();
        assert_eq!(settle.look(text(NEW, true), OLD, clock.now()), Step::Offer);
        assert_eq!(settle.look(text(NEW, false), OLD, clock.now()), Step::Nothing, "refused before, not offered again");

        let mut settle = Settle::default();
        assert_eq!(settle.look(text(NEW, false), OLD, clock.now()), Step::Again(QUIET));
        clock.advance(QUIET / 2);
        assert_eq!(settle.look(text(&NEW[..30], false), OLD, clock.now()), Step::Again(QUIET), "another text starts anew");
        assert_eq!(settle.look(text(NEW, false), OLD, clock.now()), Step::Again(QUIET));
        clock.advance(QUIET / 2);
        assert_eq!(settle.look(text(NEW, false), OLD, clock.now()), Step::Again(QUIET / 2));
        clock.advance(QUIET / 2);
        assert_eq!(settle.look(text(NEW, false), OLD, clock.now()), Step::Offer);
    }

    #[test]
    fn a_gap_offers_nothing_and_the_running_text_makes_good() {
        let clock = Clock::manual();
        let mut settle = Settle::default();
        assert_eq!(settle.look(Read::Missing, OLD, clock.now()), Step::Missing);
        assert_eq!(settle.look(text(b"", false), OLD, clock.now()), Step::Again(QUIET));
        clock.advance(QUIET);
        assert_eq!(settle.look(text(b"", false), OLD, clock.now()), Step::HalfWritten(Cut::Empty));
        assert_eq!(settle.look(text(OLD, false), OLD, clock.now()), Step::Offer);
        for (bytes, why) in [(&b"\xEF\xBB\xBF"[..], Cut::Empty), (b"# version: 1\nslow: []\n", Cut::NoVersion), (&OLD[..20], Cut::Prefix)] {
            settle.look(text(bytes, false), OLD, clock.now());
            clock.advance(QUIET);
            assert_eq!(settle.look(text(bytes, false), OLD, clock.now()), Step::HalfWritten(why));
        }
    }

    #[test]
    fn a_refused_text_is_offered_again_after_the_running_one() {
        let clock = Clock::manual();
        let mut settle = Settle::default();
        for bytes in [NEW, OLD, NEW] {
            assert_eq!(settle.look(text(bytes, true), OLD, clock.now()), Step::Offer);
        }
    }

    #[test]
    fn a_text_that_was_refused_for_what_is_not_in_it_is_offered_until_another_comes() {
        let clock = Clock::manual();
        let mut settle = Settle::default();
        settle.look(text(NEW, true), OLD, clock.now());
        settle.insist();
        for step in [Step::Offer, Step::Offer] {
            assert_eq!(settle.look(text(NEW, false), OLD, clock.now()), step);
        }
        assert_eq!(settle.look(text(b"version: 1\n", true), OLD, clock.now()), Step::Offer);
        assert_eq!(settle.look(text(b"version: 1\n", false), OLD, clock.now()), Step::Nothing, "that one is as any");
    }

    proptest! {
        /// Whatever is written in place in whatever steps: nothing is offered that was not the same for the whole quiet
        /// time, and never a strict prefix of the running text.
        #[test]
        fn in_place_is_never_offered_early_or_cut(steps in proptest::collection::vec((0usize..=NEW.len(), any::<bool>(), 0u64..400), 1..40)) {
            let clock = Clock::manual();
            let mut settle = Settle::default();
            let mut same_since: (Vec<u8>, Instant) = (OLD.to_vec(), clock.now());
            for (length, old, pause) in steps {
                let source = if old { OLD } else { NEW };
                let bytes = &source[..length.min(source.len())];
                if same_since.0 != bytes {
                    same_since = (bytes.to_vec(), clock.now());
                }
                let step = settle.look(text(bytes, false), OLD, clock.now());
                if step == Step::Offer && bytes != OLD {
                    prop_assert!(clock.now() - same_since.1 >= QUIET);
                    prop_assert!(!OLD.starts_with(bytes));
                }
                clock.advance(Duration::from_millis(pause));
            }
        }
    }
}
