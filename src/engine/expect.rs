//! What a test of a rules file, or `explain --expect`, says about the plan of a request, and what the plan has to say to that.

use std::time::Duration;

use super::plan::{CachePlan, DedupPlan};
use super::{Explained, Identified};

/// One thing that can be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// The rule under which the answer is looked up, or `none`.
    Cache,
    /// The rule's lifetime of a 200, or `none`.
    Ttl,
    /// The rule's scope, or `none`.
    Scope,
    /// Why a matching rule does not apply, or `none`.
    Bypass,
    /// The rule that deduplicates, or `none`.
    Dedup,
    /// Why a matching rule does not apply, or `none`.
    Skip,
    /// How many events the body holds.
    Ids,
    /// After which time it is slow.
    Slow,
}

impl Aspect {
    /// All of them.
    pub const ALL: [Self; 8] = [Self::Cache, Self::Ttl, Self::Scope, Self::Bypass, Self::Dedup, Self::Skip, Self::Ids, Self::Slow];

    /// The key in a rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Ttl => "ttl",
            Self::Scope => "scope",
            Self::Bypass => "bypass",
            Self::Dedup => "dedup",
            Self::Skip => "skip",
            Self::Ids => "ids",
            Self::Slow => "slow",
        }
    }

    /// Whether its values are durations.
    #[must_use]
    pub const fn is_duration(self) -> bool {
        matches!(self, Self::Ttl | Self::Slow)
    }
}

/// One expectation: an aspect and its value, durations in the form of [`span`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What about.
    pub aspect: Aspect,
    /// What it should be.
    pub value: String,
}

/// A duration as text, the same for the same duration.
#[must_use]
pub fn span(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace("days", "d").replace("day", "d").replace(' ', "")
}

/// What an aspect of a plan is.
#[must_use]
pub fn actual(explained: &Explained, aspect: Aspect) -> String {
    let (cache, dedup) = (&explained.plan.cache, &explained.plan.dedup);
    let looked_up = if let CachePlan::Lookup { rule, .. } = cache { Some(rule) } else { None };
    let found = match aspect {
        Aspect::Cache => looked_up.map(|rule| rule.name.to_string()),
        Aspect::Ttl => looked_up.and_then(|rule| rule.settings.ttl.of(200)).map(span),
        Aspect::Scope => looked_up.map(|rule| rule.settings.scope.as_str().to_owned()),
        Aspect::Bypass => {
            if let CachePlan::Bypass { reason, .. } = cache {
                Some(reason.as_str().to_owned())
            } else {
                None
            }
        }
        Aspect::Dedup => {
            if let DedupPlan::Inspect { rule } = dedup {
                Some(rule.name.to_string())
            } else {
                None
            }
        }
        Aspect::Skip => match (dedup, &explained.events) {
            (DedupPlan::Skip { reason, .. }, _) | (_, Some(Identified::Skip(reason))) => Some(reason.as_str().to_owned()),
            _ => None,
        },
        Aspect::Ids => return if let Some(Identified::Events { keys, .. }) = &explained.events { keys.len() } else { 0 }.to_string(),
        Aspect::Slow => return span(explained.plan.slow_after),
    };
    found.unwrap_or_else(|| "none".to_owned())
}
