//! The one integration target: a binary that links Pingora is over 100 MB. A file a topic; `support` has the parts they are built of.
#![allow(missing_docs, clippy::panic, reason = "tests: what fails here is meant to be seen")]

mod admin;
mod boundary;
mod cached;
mod cached_endings;
mod cached_flights;
mod cached_life;
mod cached_privacy;
mod cached_requests;
mod cached_storing;
mod claims_stress;
mod command;
mod corpora;
mod doors;
mod drain;
mod drain_load;

mod explain;
mod extractor_differential;
mod faults;
mod functions;
mod guard;
mod ids;
mod layering;
mod life;
mod memory;
mod memory_stuck;
mod pass;
mod protocol_model;
mod reload;
mod reload_commands;
mod reload_requests;
mod repeats;
mod security;
mod senders;
mod senders_json;
mod signals;
mod signals_log;
mod signals_scrape;
mod signals_traffic;
mod simulation;
mod support;
mod trace;
mod upstream;
mod upstream_tls;
mod webhooks;
