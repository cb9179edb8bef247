//! The one engine that makes the plan of a request. The data path, `explain` and the `tests:` of a rules file are its callers; there is no
//! second matcher. PURE.

pub mod effect;
pub mod expect;
pub mod explain;
pub mod identify;
pub mod plan;
pub mod question;
pub mod recent;
pub mod ruleset;
pub mod trace;
pub mod verdict;

pub use effect::Effect;
pub use expect::Expected;
pub use explain::{Explained, explain};
pub use identify::{Identified, identify};
pub use plan::{CachePlan, DedupPlan, Plan, plan};
pub use question::{Question, Site};
pub use recent::{Recent, Watched};
pub use ruleset::{Rule, RuleSet, Section, SlowRule};
pub use verdict::verdict;
