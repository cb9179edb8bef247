//! The one integration target: a binary that links Pingora is over 100 MB. A file a topic; `support` has the parts they are built of.
#![allow(missing_docs, clippy::panic, reason = "tests: what fails here is meant to be seen")]

mod functions;
mod layering;
mod life;
mod smoke;
mod support;
