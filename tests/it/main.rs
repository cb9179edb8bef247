//! The one integration target: a binary that links Pingora is over 100 MB. A file a topic; `support` has the parts they are built of.
#![allow(missing_docs, clippy::missing_panics_doc, reason = "tests")]

mod layering;
mod smoke;
mod support;
