//! A 304 to a fetch: the stored answer is still good, or somebody answers a question that was not asked (cache.md 6).

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::head::{dated, judge, mark_pass, share};
use super::{DRAIN_TIME, Part, Shelf};
use crate::cache::refresh::{is_about, merged, renewed};
use crate::cache::{self, CacheKey, Entry, NotStored};
use crate::engine::Rule;
use crate::flow::{Answer, Cause, Failure};
use crate::store::flights::Lead;
use crate::store::purge::Begun;

/// A 304, and the fetch it answers.
pub struct Told {
    /// Where the answer is.
    pub shelf: Shelf,
    /// Under which key.
    pub key: CacheKey,
    /// By which rule.
    pub rule: Arc<Rule<cache::Settings>>,
    /// The caller's fields.
    pub request: HeaderMap,
    /// When it began, for purges.
    pub begun: Begun,
    /// The flight it leads.
    pub lead: Option<Lead>,
    /// What was asked about.
    pub stale: Option<Arc<Entry>>,
    /// When.
    pub sent: Instant,
}

impl Told {
    /// Renews the stored answer and hands it on. A 304 about no stored answer, or another one, is no answer: what is stored goes, so
    /// that the next fetch asks for the whole.
    pub async fn take<A: Answer>(self, answer: A, tx: &mpsc::UnboundedSender<Part<A::Head>>) {
        let exchanged = answer.exchanged();
        let told = answer.head().1;
        let stale = self.stale.as_ref().filter(|entry| is_about(told, entry));
        let head = stale.map(|entry| merged(entry, told));
        let part = if let (Some(entry), Some(head)) = (stale.cloned(), head) {
            let (entry, stored) = self.renew(&entry, head);
            Part::Renewed(entry, stored, Box::new(exchanged))
        } else {
            self.shelf.responses.remove(&self.key);
            if let Some(lead) = self.lead {
                lead.failed(Cause::BadHead);
            }
            Part::NoAnswer(Box::new(Failure { cause: Cause::BadHead, exchanged: Some(exchanged) }))
        };
        // it has no body; read to its end before the caller may ask again, so that the connection is at hand
        let _ = timeout(DRAIN_TIME, answer.drain()).await;
        let _ = tx.send(part);
    }

    /// Judged again by what it says now. If that forbids to keep it, it is given once and goes.
    fn renew(self, entry: &Entry, mut head: HeaderMap) -> (Arc<Entry>, Result<(), NotStored>) {
        let Self { shelf, key, rule, request, begun, lead, sent, .. } = self;
        let status = http::StatusCode::from_u16(entry.status()).unwrap_or_default();
        let judged = judge(&shelf, &rule.settings, &request, (status, &head), sent);
        dated(&mut head, &shelf.clock);
        let stored = match judged {
            Ok(storable) => {
                let lead = share(lead, &storable, &rule.settings);
                let stored = shelf.responses.insert(&key, renewed(entry, &head, Some(storable)), &begun);
                decide(lead, stored)
            }
            Err(reason) => decide(lead, Err(reason)),
        };
        match stored {
            Ok(entry) => (entry, Ok(())),
            Err(reason) => {
                // a purge says nothing about the answers to come, and has removed what it meant
                if reason != NotStored::Purged {
                    shelf.responses.remove(&key);
                    mark_pass(&shelf, &key, &rule.name);
                }
                (Arc::new(renewed(entry, &head, None)), Err(reason))
            }
        }
    }
}

/// Tells those who wait for the same answer.
pub fn decide(lead: Option<Lead>, stored: Result<Arc<Entry>, NotStored>) -> Result<Arc<Entry>, NotStored> {
    match (lead, &stored) {
        (Some(lead), Ok(entry)) => lead.done(Arc::clone(entry)),
        (Some(lead), Err(reason)) => lead.pass(*reason),
        (None, _) => {}
    }
    stored
}
