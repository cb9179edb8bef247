//! What may stand in the two files: one table of keys. The decoder takes the names it knows from it, [`super::schema`] makes a JSON
//! Schema of it and `docs/rules.md` is written from it, so that none of them knows a key that the others do not.

mod cache;
mod dedup;
mod forms;
mod matching;
mod rules;
mod sidecar;
mod upstream;

pub use cache::{CACHE, CACHE_RULE, SCOPES, STORABLE};
pub use dedup::{DEDUP, DEDUP_RULE, DUPLICATE_RESPONSE, ID, VERIFY};
pub use forms::Form;
pub use matching::{EXCLUSION, MATCH, METHODS};
pub use rules::{EXPECT, HEALTH, RULES, SHARE_LIMITS, SLOW, TEST, TIME_LIMITS};
pub use sidecar::{ADMIN, DEDUP_STORE, DRAIN, LIMITS, LISTENER, LOG, MEMORY, SIDECAR};
pub use upstream::{POOL, RETRIES, TIMEOUTS, UPSTREAM};

/// A mapping whose keys are known.
#[derive(Debug)]
pub struct Map {
    /// What one is called.
    pub name: &'static str,
    /// What it is for, in a sentence or two.
    pub about: &'static str,
    /// Its keys, in the order in which a person would write them.
    pub keys: &'static [Key],
    /// What it needs beside the keys that are required by themselves.
    pub needs: Needs,
}

/// Keys of which some are needed.
#[derive(Clone, Copy, Debug)]
pub enum Needs {
    /// None.
    None,
    /// At least one of these.
    Any(&'static [&'static str]),
    /// Exactly one of these.
    One(&'static [&'static str]),
}

/// A key of a mapping.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value may be.
    pub value: Value,
    /// What holds without it.
    pub default: Default,
    /// A value as it would be written, on one line.
    pub example: &'static str,
    /// What it means.
    pub about: &'static str,
    /// What has surprised people; empty where nothing has.
    pub trap: &'static str,
}

/// What holds where a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// It may not be absent.
    Required,
    /// This value, as it would be written.
    Is(&'static str),
    /// What these words say.
    Words(&'static str),
}

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// `1`.
    Version,
    /// `null`.
    Null,
    /// Text of some form.
    Text(&'static Form),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// A mapping.
    Map(&'static Map),
    /// A list, which may be empty.
    List(&'static Value),
    /// A list of at least one.
    Filled(&'static Value),
    /// A mapping with keys of this form, which may be empty.
    Entries(&'static Form, &'static Value),
    /// The same with at least one.
    FilledEntries(&'static Form, &'static Value),
    /// The same with keys from a list.
    EntriesOf(&'static [&'static str], &'static Value),
    /// Any of these.
    Any(&'static [Value]),
}

impl Key {
    const fn new(name: &'static str, value: Value, default: Default, example: &'static str, about: &'static str) -> Self {
        Self { name, value, default, example, about, trap: "" }
    }

    const fn trap(self, trap: &'static str) -> Self {
        Self { trap, ..self }
    }
}

impl Map {
    const fn new(name: &'static str, about: &'static str, keys: &'static [Key]) -> Self {
        Self { name, about, keys, needs: Needs::None }
    }

    /// The entry of a key.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The names of its keys.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }
}
