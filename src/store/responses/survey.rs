//! What is stored, for those who look.

use std::cmp::Reverse;

use super::{CacheKey, Responses};

/// What is stored under one key.
#[derive(Clone, Debug)]
pub struct Large {
    /// The key.
    pub key: CacheKey,
    /// 24 bits that tell its caller from others, under `per_caller`: of a hash of the hash, so that the latter never leaves memory.
    pub caller: Option<u32>,
    /// Answers under the key.
    pub variants: u64,
    /// Bytes they take.
    pub bytes: u64,
}

impl Responses {
    /// The keys that take most bytes, at most `most` of them.
    #[must_use]
    pub fn largest(&self, most: usize) -> Vec<Large> {
        let mut largest: Vec<_> = Vec::new();
        for (key, slot) in self.slots.iter().filter(|(_, slot)| slot.newest().is_some()) {
            largest.push((slot.weight(&key), slot.len(), key));
            if largest.len() > 2 * most {
                largest.sort_unstable_by_key(|(bytes, ..)| Reverse(*bytes));
                largest.truncate(most);
            }
        }
        largest.sort_unstable_by_key(|(bytes, ..)| Reverse(*bytes));
        largest.truncate(most);
        let books = self.books();
        let large = |(bytes, variants, key): (u64, u64, CacheKey)| {
            let caller = key.parts().caller.map(|caller| books.digits(caller));
            Large { key, caller, variants, bytes }
        };
        largest.into_iter().map(large).collect()
    }
}
