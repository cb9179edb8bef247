//! PURE knowledge of the way to the functions: what may be tried again ([`retry`]), the numbers of a pool ([`pool`]),
//! when the functions count as healthy ([`health`]) and what they say of how they spent their time ([`timing`]).

pub mod health;
pub mod pool;
pub mod retry;
pub mod timing;
