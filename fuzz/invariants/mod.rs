//! What holds for every input, one module a fuzz target. Plain functions: the fuzzer calls them with what it makes up, `make test`
//! with each file of the corpora (`tests/it/corpora.rs`).

pub mod cache;
pub mod events;
pub mod head;
pub mod message;
pub mod rules;

/// Panics where an invariant does not hold for an input.
pub type Check = fn(&[u8]);

/// Every target by its name, which is the folder of its corpus too.
pub const TARGETS: [(&str, Check); 4] =
    [("cache", cache::check), ("events", events::check), ("head", head::check), ("rules", rules::check)];
