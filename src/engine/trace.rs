//! What the engine looks at on its way to a plan, told to whoever wants to see it. `()` wants nothing and costs nothing, so the data
//! path and `explain` run the same code.

use crate::rules::Mismatch;

/// A part of the rules that decides by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `cache:`
    Cache,
    /// `dedup:`
    Dedup,
    /// `slow:`
    Slow,
}

/// An entry of a part, by its place in its list, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Of the `exclude:` list.
    Exclude(usize),
    /// Of the `include:` list, or of `slow:`.
    Include(usize),
}

/// Sees each entry that is looked at, in order. What is not told was not reached.
pub trait Observer {
    /// Whether it is worth the time to look at entries only to tell of them.
    fn wants(&self) -> bool {
        true
    }

    /// An entry matched, or the part of its `match:` that did not hold.
    fn looked(&mut self, part: Part, entry: Entry, found: Result<(), Mismatch>);
}

impl Observer for () {
    fn wants(&self) -> bool {
        false
    }

    fn looked(&mut self, _: Part, _: Entry, _: Result<(), Mismatch>) {}
}
