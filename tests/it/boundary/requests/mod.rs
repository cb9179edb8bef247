//! The requests: a file a class, in it a table for each thing that may become of them.

mod chunks;
mod codings;
mod fields;
mod hosts;
mod legal;
mod lengths;
mod lines;
mod sequences;
mod switches;

use super::case::Case;

/// Every class with its cases.
pub fn classes() -> [(&'static str, Vec<Case>); 9] {
    [
        ("lengths", lengths::cases()),
        ("codings", codings::cases()),
        ("chunks", chunks::cases()),
        ("lines", lines::cases()),
        ("fields", fields::cases()),
        ("hosts", hosts::cases()),
        ("switches", switches::cases()),
        ("sequences", sequences::cases()),
        ("legal", legal::cases()),
    ]
}
