//! Configuration: what the two files say, and what the proxy runs on; one direction, every problem found in one pass.
//!
//! Text becomes nodes that know their place ([`spanned`]), nodes become typed values ([`decode`], [`values`], [`rules`],
//! [`sidecar_file`]), and [`judge`] is the one door to all of it. [`live`] holds the rules in force, [`watch`] offers it edits.

pub mod budget;
pub mod characters;
pub mod decode;
mod dedup_rule;
pub mod diagnostics;
pub mod difference;
pub mod grammar;
pub mod host;
pub mod judge;
mod limits_file;
pub mod live;
pub mod matching;
pub mod node;
pub mod offer;
pub mod overrides;
pub mod presets;
mod restart;
pub mod rules;
pub mod schema;
mod secrets;
pub mod settings;
pub mod settle;
pub mod sidecar;
pub mod sidecar_file;
pub mod snapshot;
pub mod spanned;
pub mod status;
mod tests_block;
pub mod upstream_file;
pub mod values;
mod verify_rule;
pub mod watch;

#[cfg(test)]
mod tests;

pub use diagnostics::Problem;
pub use difference::Difference;
pub use host::Host;
pub use judge::{FileKind, Judgement, judge_overrides, judge_rules, judge_rules_at, judge_sidecar};
pub use live::{Live, NoReload, Offer};
pub use overrides::Overrides;
pub use presets::{Preset, builtin};
pub use restart::SidecarFile;
pub use sidecar::Sidecar;
pub use snapshot::Snapshot;
pub use verify_rule::Secrets;
pub use watch::Watcher;
