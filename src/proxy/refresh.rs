//! A fetch that no caller waits for: one in whose stead a stored answer was given (`stale-while-revalidate`). It is read to its end, so
//! that it is counted what came of it.

use std::sync::Arc;

use super::exchange::Open;
use crate::cache;
use crate::engine::Rule;
use crate::flow::Answer;
use crate::flow::fill::{Part, Reader};
use crate::telemetry::Metrics;
use crate::telemetry::record::RefreshResult;

/// Reads a fetch in a task of its own. An answer that is not to be stored is dropped at its head, which ends the fetch.
pub fn watch(metrics: Arc<Metrics>, rule: Arc<Rule<cache::Settings>>, mut reader: Reader<<Open as Answer>::Head>) {
    tokio::spawn(async move {
        let result = loop {
            match reader.recv().await {
                Some(Part::Head(_, Err(_), exchanged)) if exchanged.status < 500 => break RefreshResult::NotStored,
                Some(Part::Head(_, Ok(()), _) | Part::Data(..)) => {}
                Some(Part::Renewed(..)) => break RefreshResult::NotModified,
                Some(Part::End { not_stored: None, .. }) => break RefreshResult::Replaced,
                Some(Part::End { .. }) => break RefreshResult::NotStored,
                Some(Part::Head(..) | Part::Stale(..) | Part::NoAnswer(_) | Part::Cut(_)) | None => break RefreshResult::Failed,
            }
        };
        metrics.refreshed(&rule.name, result);
    });
}
