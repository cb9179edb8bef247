//! PURE knowledge of the way to the functions: what may be tried again ([`retry`]), the numbers of a pool ([`pool`]), which answers were
//! cold starts ([`cold`]) and when the functions count as healthy ([`health`]).

pub mod cold;
pub mod health;
pub mod pool;
pub mod retry;
