//! The function failed: a stored answer that is not fresh any more stands in, where it and its rule allow that (RFC 5861, cache.md 7).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{DRAIN_TIME, Part, Shelf};
use crate::cache::policy::{Freshness, freshness};
use crate::cache::{self, Entry};
use crate::flow::{Answer, Failure};
use crate::store::flights::Lead;

/// What stands in.
pub struct StandIn {
    /// The answer.
    pub entry: Arc<Entry>,
    /// Its age.
    pub age: Duration,
    /// How long it has not been fresh.
    pub since: Duration,
}

/// What may stand in now.
pub fn stand_in(shelf: &Shelf, settings: &cache::Settings, stale: &Arc<Entry>) -> Option<StandIn> {
    match freshness(stale, settings, shelf.clock.now()) {
        Freshness::Expired { age, since, meanwhile, on_error } if meanwhile || on_error => {
            Some(StandIn { entry: Arc::clone(stale), age, since })
        }
        _ => None,
    }
}

impl StandIn {
    /// To the caller and to those who wait, in place of `failed`.
    pub async fn give<A: Answer>(self, failed: Result<A, Failure>, lead: Option<Lead>, tx: &mpsc::UnboundedSender<Part<A::Head>>) {
        if let Some(lead) = lead {
            lead.stale(Arc::clone(&self.entry));
        }
        let exchanged = match &failed {
            Ok(answer) => Some(answer.exchanged()),
            Err(failure) => failure.exchanged.clone(),
        };
        let _ = tx.send(Part::Stale(self, exchanged.map(Box::new)));
        if let Ok(answer) = failed {
            // for the connection's sake
            let _ = timeout(DRAIN_TIME, answer.drain()).await;
        }
    }
}
