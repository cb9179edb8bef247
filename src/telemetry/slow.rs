//! The last slow requests, as the log tells them: for those who look and have no log at hand.

use std::collections::VecDeque;
use std::time::SystemTime;

use serde_json::Value;

use super::line::{self, Event};
use super::record::Finished;

/// Most requests remembered; a line has at most some 2 KiB.
pub const MOST: usize = 50;

/// The lines, the newest last.
#[derive(Debug, Default)]
pub struct Slow {
    lines: VecDeque<Box<[u8]>>,
    shared: line::Shared,
}

impl Slow {
    /// Remembers a request if it was slow.
    pub fn record(&mut self, wall: SystemTime, done: &Finished<'_>) {
        if !done.is_slow() {
            return;
        }
        let mut text = Vec::new();
        line::push(&mut text, &mut self.shared, wall, Event::Slow, done);
        if self.lines.len() == MOST {
            self.lines.pop_front();
        }
        self.lines.push_back(text.into());
    }

    /// The lines as JSON, the newest first.
    #[must_use]
    pub fn read(&self) -> Vec<Value> {
        self.lines.iter().rev().filter_map(|text| serde_json::from_slice(text).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::record::tests_support::finished;
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn the_last_slow_requests_are_kept_without_what_a_log_may_not_hold() {
        let (mut slow, wall) = (Slow::default(), Clock::manual().wall());
        slow.record(wall, &finished());
        assert!(slow.read().is_empty(), "it was not slow");
        for n in 0..=MOST {
            let (duration, id) = (Duration::from_secs(2), n.to_string());
            slow.record(wall, &Finished { duration, request_id: &id, path: "/profile/15550001111?key=x", ..finished() });
        }
        let lines = slow.read();
        assert_eq!((lines.len(), &lines[0]["request_id"], &lines[MOST - 1]["request_id"]), (MOST, &"50".into(), &"1".into()));
        assert_eq!((&lines[0]["event"], &lines[0]["path"]), (&"slow".into(), &"/profile/***".into()));
    }
}
