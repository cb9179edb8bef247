//! PURE knowledge of the way to the functions: what may be tried again ([`retry`]), the numbers of a pool ([`pool`]), which answers were
//! cold starts ([`cold`]), what is called so that nobody meets one ([`warm`]), when the functions count as healthy ([`health`]) and what they
//! say of how they spent their time ([`timing`]).

pub mod cold;
pub mod health;
pub mod pool;
pub mod retry;
pub mod timing;
pub mod warm;
