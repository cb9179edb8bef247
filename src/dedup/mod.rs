//! PURE deduplication of webhook events: which events a body carries ([`mod@extract`], as a rule's [`source`] says), the key of each
//! ([`key`]), whether it comes from who it claims ([`signature`]), what a repeat of one means ([`protocol`]) and why it came ([`repeats`]). Nothing here knows the clock, a store or a connection.

pub mod extract;
pub mod key;
pub mod protocol;
pub mod repeats;
pub mod signature;
pub mod source;

use std::time::Duration;

pub use extract::{Delivery, Extracted, extract};
pub use key::{BareId, EventKey};
pub use repeats::{Cause, Repeats};
pub use signature::Verify;
pub use source::{DuplicateResponse, IdSource};

/// Settings of one `dedup:` rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the ids of the events are.
    pub id: IdSource,
    /// How long after its acceptance a repeat of an event is answered as a duplicate.
    pub window: Duration,
    /// What a copy does that arrives while the first one still runs.
    pub while_first_runs: WhileFirstRuns,
    /// How long such a copy waits before it is answered 503 with `Retry-After`, never 200.
    pub wait_timeout: Duration,
    /// What a duplicate is answered with.
    pub duplicate_response: DuplicateResponse,
    /// Whose signature a delivery must have; 401 without.
    pub verify: Option<Verify>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            id: IdSource::WhatsApp,
            window: Duration::from_secs(30),
            while_first_runs: WhileFirstRuns::Wait,
            wait_timeout: Duration::from_secs(4),
            duplicate_response: DuplicateResponse::default(),
            verify: None,
        }
    }
}

/// `while_first_runs:` of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhileFirstRuns {
    /// Wait for the outcome of the first copy.
    Wait,
    /// Forward every copy until one is accepted.
    Forward,
}

/// Why a request that a `dedup:` rule matched was forwarded without deduplication. Closed: label, header and log field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// Nothing in the body has an id.
    NoId,
    /// The body is not of the expected form: not JSON, not a URL-encoded form.
    Unparsable,
    /// The body has a `Content-Encoding`; it is never decoded.
    Encoded,
    /// More events than one body may carry.
    TooManyIds,
    /// The function may see another path than the rules did.
    OddPath,
    /// The bytes of all bodies in flight are at `memory.bodies`.
    BodyBudget,
    /// A copy in flight has claimed the events and the rule says `while_first_runs: forward`, or there is no room for a claim.
    NotClaimed,
}

impl SkipReason {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [Self; 7] =
        [Self::NoId, Self::Unparsable, Self::Encoded, Self::TooManyIds, Self::OddPath, Self::BodyBudget, Self::NotClaimed];

    /// The closed word of the reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoId => "no_id",
            Self::Unparsable => "unparsable",
            Self::Encoded => "encoded",
            Self::TooManyIds => "too_many_ids",
            Self::OddPath => "odd_path",
            Self::BodyBudget => "body_budget",
            Self::NotClaimed => "not_claimed",
        }
    }
}
