//! PURE vocabulary of the rules: the facts of a request, its normalised path, the name of its function, and matchers over them.

mod cover;
pub mod facts;
pub mod function;
pub mod matcher;
pub mod path;
pub mod pattern;

pub use facts::Facts;
pub use matcher::{Matcher, Mismatch};
pub use pattern::Pattern;
