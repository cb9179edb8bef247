//! `edge-sidecar`: a reverse proxy that stands in front of Supabase edge functions and does there what an isolate that lives for seconds
//! cannot: remember which webhook was taken, keep answers, keep connections, and measure every request.
//!
//! # Rooms
//! Each may use those before it: [`clock`] < [`rules`] [`dedup`] [`cache`] [`upstream`] (which do not know each other) < [`engine`] <
//! [`config`] [`store`] < [`telemetry`] < [`flow`] [`admin`] < [`proxy`] < [`app`] < [`cli`]. The first six are pure: no Pingora, no
//! tokio, no clock. A test (`tests/it/layering.rs`) guards the direction.
//!
//! # The walk of a request
//! [`proxy::guard`] reads and judges the head. [`proxy::service`] takes it, reads the [`rules::Facts`] and asks [`engine::plan()`]. A webhook goes through
//! [`proxy::webhook`]: body whole, [`engine::identify()`], [`flow::webhook::admit`], [`mod@flow::send`]. A cached route goes through
//! [`proxy::cached`]: [`flow::fetch`] looks it up, leads or follows a [`flow::fill`]. All else is streamed ([`proxy::pass`]).
//! Each ends in one [`telemetry::record::Finished`]. `ARCHITECTURE.md` has the map and the reasons.

pub mod admin;
pub mod app;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dedup;
pub mod engine;
pub mod flow;
pub mod proxy;
pub mod rules;
pub mod store;
pub mod telemetry;
pub mod upstream;
