//! Every beginning of a rules file, met while it is written: only what somebody wrote to its end is ever offered.

use std::time::Duration;

use super::super::settle::{Placed, QUIET, Read, STALLED, Settle, Step};
use super::super::{Live, Offer, judge_rules};
use crate::clock::Clock;

const SHIPPED: &str = include_str!("../../../config/rules.yaml");
const BLOCK: &str = "version: 1\ncache:\n  exclude:\n    - \"**/login\"\n  include:\n    - name: profile\n      match:\n        function: profile*\n      ttl: 15m\n      scope: per_caller\ndedup:\n  include:\n    - name: stripe\n      match: { function: pay }\n      id: stripe\n      window: 24h\nslow:\n  - match: \"**\"\n    after: 10s\n";
const WINDOWS: &str = "\u{feff}version: 1\r\ncache: { include: [{ name: a, match: /a, ttl: 100s }, { name: b, match: /b, ttl: 1h }] }\r\nslow: [{ match: /a, after: 25s }]\r\n";

/// Each file with an edit of it.
fn edits() -> [(&'static str, String); 3] {
    [
        (SHIPPED, SHIPPED.replace("ttl: 5m", "ttl: 15m").replacen("# What", "# Edited. What", 1)),
        (BLOCK, BLOCK.replace("15m", "150m").replace("**/login", "**/sign-in")),
        (WINDOWS, WINDOWS.replace("100s", "1000s")),
    ]
}

/// A file being written, looked at every so often.
struct Disk<'a> {
    clock: Clock,
    settle: Settle,
    running: &'a [u8],
    /// What was offered, but for the running text.
    offered: Vec<Vec<u8>>,
}

impl<'a> Disk<'a> {
    fn new(running: &'a str) -> Self {
        Self { clock: Clock::manual(), settle: Settle::default(), running: running.as_bytes(), offered: Vec::new() }
    }

    /// The file holds a text for so long.
    fn holds(&mut self, bytes: &[u8], placed: Placed, span: Duration) {
        const EVERY: Duration = Duration::from_millis(80);
        let until = self.clock.now() + span;
        loop {
            let step = self.settle.look(Read::Text { bytes, placed }, self.running, self.clock.now());
            if step == Step::Offer && bytes != self.running {
                self.offered.push(bytes.to_vec());
            }
            if self.clock.now() + EVERY >= until {
                break;
            }
            self.clock.advance(EVERY);
        }
        self.clock.advance(until - self.clock.now());
    }
}

/// Nearly.
const STALL: Duration = STALLED.saturating_sub(Duration::from_millis(1));
const PAUSE: Duration = QUIET.saturating_sub(Duration::from_millis(1));

#[test]
fn a_writer_that_stalls_anywhere_is_waited_for() {
    for (old, new) in edits() {
        let (from, to) = (old.as_bytes(), new.as_bytes());
        for cut in 0..to.len() {
            // over what is there, without cutting it off first
            let mixed = [&to[..cut], from.get(cut..).unwrap_or_default()].concat();
            // with the file open, or (as two commands of a shell do) closed in between
            for (placed, stall) in [(Placed::Open, STALL), (Placed::Closed, PAUSE)] {
                for steps in [[&mixed[..], &mixed[..]], [b"", &to[..cut]]] {
                    let mut disk = Disk::new(old);
                    for bytes in steps {
                        disk.holds(bytes, placed, stall / 2);
                    }
                    assert!(disk.offered.iter().all(|bytes| bytes == to), "{cut}: {:?}", String::from_utf8_lossy(&disk.offered[0]));
                    disk.holds(to, Placed::Closed, QUIET * 2);
                    assert_eq!(disk.offered, [to], "{cut}");
                }
            }
        }
    }
}

#[test]
fn a_writer_that_dies_while_it_saves_the_running_text_leaves_nothing_to_take() {
    for (old, _) in edits() {
        for cut in 0..old.len() {
            for placed in [Placed::Open, Placed::Closed] {
                let mut disk = Disk::new(old);
                disk.holds(&old.as_bytes()[..cut], placed, STALLED * 2);
                disk.holds(old.as_bytes(), Placed::Closed, QUIET * 2);
                assert!(disk.offered.is_empty(), "{cut}");
            }
        }
    }
}

/// What would come into force without all this.
#[test]
fn many_beginnings_are_rules_files_of_their_own() {
    let taken = (0..BLOCK.len()).filter(|cut| judge_rules(&BLOCK.as_bytes()[..*cut]).value.is_some()).count();
    assert!(taken > 10, "{taken} of {}", BLOCK.len());
}

#[test]
fn what_is_offered_in_the_end_is_taken() {
    let clock = Clock::manual();
    for (old, new) in edits() {
        let live = Live::start("rules.yaml", old.as_bytes(), clock.wall()).expect("good rules");
        assert!(matches!(live.offer(new.as_bytes(), clock.wall()), Offer::Accepted { generation: 2, .. }));
        assert!(!live.numbers().file_differs);
    }
}
