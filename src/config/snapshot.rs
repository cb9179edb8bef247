//! A rule set in force: what a request keeps from its first phase to its last.

use std::sync::Arc;
use std::time::SystemTime;

use crate::engine::{RuleSet, Watched};

/// One generation of the rules. A request takes one `Arc<Snapshot>` and ends on the rules it began with.
#[derive(Debug)]
pub struct Snapshot {
    /// The rules.
    pub rules: RuleSet,
    /// What they look at in a request, to be remembered of it.
    pub watched: Watched,
    /// 1 at the start, one more with each accepted reload.
    pub generation: u64,
    /// First 12 hex digits of the text's SHA-256.
    pub hash: String,
    /// The text as read.
    pub text: Arc<str>,
    /// Since when it is in force.
    pub since: SystemTime,
}
