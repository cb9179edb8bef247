//! State that outlives a request and a reload, each part bounded: events claimed and accepted, responses stored,
//! fetches under way.

pub mod accepted;
pub mod claims;
pub mod flights;
pub mod ghosts;
pub mod history;
pub mod memory;
pub mod purge;
pub mod responses;
