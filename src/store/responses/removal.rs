//! Taking answers out before their time: purges, and what unsafe methods changed.

use std::cell::RefCell;
use std::time::Instant;

use super::books::Evicted;
use super::{CacheKey, Responses};
use crate::cache::KeyParts;
use crate::store::purge::{Logged, Purge};

impl Responses {
    /// Removes what `purge` takes, in one pass, and keeps out what is being fetched of it; answers how many answers went.
    pub fn purge(&self, purge: &Purge) -> u64 {
        // before the search, so that whoever stores meanwhile is either found or knows
        let books = self.books();
        self.purges.add(Logged::Purge(purge.clone().into()));
        let (books, mut gone) = (RefCell::new(books), Vec::new());
        let removed = RefCell::new(&mut gone);
        self.slots.retain(|key, slot| {
            let kept = !purge.takes(&key.parts());
            if !kept {
                let mut books = books.borrow_mut();
                books.take(key, slot);
                books.count(slot.rule(), Evicted::Purge, slot.len());
                removed.borrow_mut().push(std::sync::Arc::clone(slot));
            }
            kept
        });
        drop(books); // what was removed is freed after it
        gone.iter().map(|slot| slot.len()).sum()
    }

    /// Ends the freshness of what `purge` takes, and keeps out what is being fetched of it; answers how many answers that were.
    pub fn soften(&self, purge: &Purge, now: Instant) -> u64 {
        self.purges.add(Logged::Purge(purge.clone().into()));
        let mut softened = 0;
        for (key, slot) in self.slots.iter().filter(|(key, _)| purge.takes(&key.parts())) {
            self.change(&key, slot.rule(), |old, _| {
                let old = old?;
                softened += old.len();
                Some(old.softened(now))
            });
        }
        softened
    }

    /// How many answers [`Self::purge`] would remove.
    #[must_use]
    pub fn count(&self, purge: &Purge) -> u64 {
        self.slots.iter().filter(|(key, _)| purge.takes(&key.parts())).map(|(_, slot)| slot.len()).sum()
    }

    /// Removes every answer of one resource, under all rules, scopes and variants, and keeps out what is being fetched of it
    /// (RFC 9111 4.4). `host` in lower case.
    pub fn invalidate(&self, host: &str, path: &str, query: Option<&str>) {
        let wanted = KeyParts { host, path, query, ..KeyParts::default() };
        let mut books = self.books();
        let resource = books.resource(&wanted);
        self.purges.add(Logged::Resource(resource));
        let is_it = |key: &CacheKey| key.parts().is_resource(&wanted);
        for key in books.keys_of(resource).into_iter().filter(is_it) {
            if let Some((key, slot)) = self.slots.remove(&key) {
                books.take(&key, &slot);
                books.count(slot.rule(), Evicted::Purge, slot.len());
            }
        }
    }
}
