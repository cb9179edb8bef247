//! PURE knowledge of the way to the functions: what may be tried again ([`retry`]), the numbers of a pool ([`pool`]) and
//! when the functions count as healthy ([`health`]).

pub mod health;
pub mod pool;
pub mod retry;
