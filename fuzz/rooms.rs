//! The pure rooms of `edge_sidecar`, under its name and from its files, with the invariants on top.
//!
//! Only these are built with the fuzzer's instruments: with Pingora linked in, a build takes ten times as long, and the fuzzer walks
//! through the counters of all of it after each input.

extern crate self as edge_sidecar;

#[path = "../src/cache/mod.rs"]
pub mod cache;
#[path = "../src/clock.rs"]
pub mod clock;
#[path = "../src/config/mod.rs"]
pub mod config;
#[path = "../src/dedup/mod.rs"]
pub mod dedup;
#[path = "../src/engine/mod.rs"]
pub mod engine;
#[path = "../src/rules/mod.rs"]
pub mod rules;
#[path = "../src/upstream/mod.rs"]
pub mod upstream;

// Of these, only what is pure.
#[path = "../src/proxy"]
pub mod proxy {
    pub mod framing;
}
#[path = "../src/telemetry"]
pub mod telemetry {
    pub mod record;
    pub mod words;
}

pub mod invariants;
