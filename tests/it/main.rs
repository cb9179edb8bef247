//! The one integration target.
mod layering;
