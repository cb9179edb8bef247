//! A rule set in force: what a request keeps from its first phase to its last.

use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

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

impl Snapshot {
    /// A generation of rules that were judged, with their text.
    #[must_use]
    pub fn new(rules: RuleSet, generation: u64, bytes: &[u8], now: SystemTime) -> Self {
        let digest = Sha256::digest(bytes);
        let hash = digest.iter().take(6).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        // judged texts are UTF-8
        let text = String::from_utf8_lossy(bytes).as_ref().into();
        Self { watched: Watched::of(&rules), rules, generation, hash, text, since: now }
    }
}
