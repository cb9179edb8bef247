//! What became of a text that was offered as the rules, and why there may be none to offer.

use super::diagnostics::Problem;

/// What became of an offered text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is the running text, with the secrets that it runs with; or still lacks the secrets that it was refused for.
    Unchanged,
    /// It was rolled back, and stays out until the file changes or [`super::Live::reload`] is called.
    Held,
    /// It is in force now.
    Accepted {
        /// Its generation.
        generation: u64,
        /// The rules added, removed or changed; a section's word for what has no name.
        changed: Vec<String>,
    },
    /// The last good rules stay.
    Refused {
        /// Why.
        problems: Vec<Problem>,
        /// The same, as a person reads it, without colour.
        rendered: String,
    },
}

/// Why there is nothing to read or to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReload {
    /// The rules are built in.
    NoFile,
    /// The file is gone or unreadable.
    Unreadable,
    /// No earlier generation.
    NoEarlier,
}

impl NoReload {
    /// One sentence for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoFile => "the rules are built in: there is no file to read",
            Self::Unreadable => "the rules file cannot be read: it is gone, is no file, or may not be read; the rules stay",
            Self::NoEarlier => "there is no earlier generation to go back to",
        }
    }
}
