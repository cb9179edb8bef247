//! The one engine that makes the plan of a request. The data path, `check` and later `explain`, `tests:` and `replay` are its
//! callers; there is no second matcher. PURE.

pub mod identify;
pub mod plan;
pub mod ruleset;
pub mod verdict;

pub use identify::{Identified, identify};
pub use plan::{CachePlan, DedupPlan, Plan, plan};
pub use ruleset::{Rule, RuleSet, Section, SlowRule};
pub use verdict::verdict;
