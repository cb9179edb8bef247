//! `Server-Timing` (W3C Server Timing, section 4): what a function says of how it spent its time, such as `db;dur=53, render;dur=4.2`.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Most phases told apart in one answer; the time of further ones is summed up as [`OTHER`].
pub const MOST: usize = 8;
/// The phase of whatever has no place of its own.
pub const OTHER: &str = "other";
/// Longest name of a phase; what is longer is no name for a label.
const LONGEST_NAME: usize = 32;
/// Longest time that is believed: far beyond what any function may take.
const LONGEST: f64 = 3_600_000.0;

/// The phases of one answer. Empty, as for most functions, it costs nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Phases(Option<Arc<[Phase]>>);

/// One phase. What an answer lists several times under one name (queries, say) is one phase with the sum of the times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Its name: letters, digits and `_-.`, at most 32.
    pub name: Box<str>,
    /// How long it took.
    pub time: Duration,
}

impl Deref for Phases {
    type Target = [Phase];

    fn deref(&self) -> &[Phase] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl Phases {
    /// Reads the answer's fields.
    #[must_use]
    pub fn of(answer: &HeaderMap) -> Self {
        Self::read(answer.get_all(SERVER_TIMING).iter().map(HeaderValue::as_bytes))
    }

    /// Reads the values of every `Server-Timing` field of an answer. Entries without a time, and what is malformed, are passed over, as
    /// browsers do: a function's report is no reason to fail its answer.
    #[must_use]
    pub fn read<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut found: Vec<Phase> = Vec::new();
        for (name, time) in fields.filter_map(|field| std::str::from_utf8(field).ok()).flat_map(|field| split(field, ',')).filter_map(phase)
        {
            let name = if found.len() < MOST || found.iter().any(|p| *p.name == *name) { name } else { OTHER };
            match found.iter_mut().find(|p| *p.name == *name) {
                Some(phase) => phase.time = phase.time.saturating_add(time),
                None => found.push(Phase { name: name.into(), time }),
            }
        }
        Self((!found.is_empty()).then(|| found.into()))
    }
}

/// Name and time of one entry: `name;dur=53`, its parameters in any order, the first `dur` counts.
fn phase(entry: &str) -> Option<(&str, Duration)> {
    let mut parts = split(entry, ';').map(str::trim);
    let name = parts.next()?;
    let slug = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    let value = parts.find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case("dur").then(|| value.trim())
    })?;
    let millis: f64 = value.trim_matches('"').parse().ok()?;
    // a comparison with NaN is false as well
    (slug && (0.0..=LONGEST).contains(&millis)).then(|| (name, Duration::from_secs_f64(millis / 1000.0)))
}

/// The parts between separators that stand outside quoted strings.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let inside = quoted;
        quoted ^= c == '"' && !escaped;
        escaped = inside && c == '\\' && !escaped;
        c == separator && !inside
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(fields: &[&str]) -> Vec<(String, u128)> {
        let phases = Phases::read(fields.iter().map(|f| f.as_bytes()));
        phases.iter().map(|p| (p.name.to_string(), p.time.as_micros())).collect()
    }

    #[test]
    fn fields_as_functions_write_them() {
        for (fields, want) in [
            (vec![], vec![]),
            (vec!["db;dur=53"], vec![("db", 53_000)]),
            (vec!["db;dur=53, app;dur=47.2"], vec![("db", 53_000), ("app", 47_200)]),
            (vec!["miss, db;dur=53;desc=\"profiles, by id\"", "cpu;dur=2.4"], vec![("db", 53_000), ("cpu", 2_400)]),
            (vec!["db;dur=5,db;dur=7"], vec![("db", 12_000)]),
            (vec![" db ; desc=\"a;dur=9\" ; DUR = \"1.5\" ;dur=4 , x "], vec![("db", 1_500)]),
            (vec!["db;desc=\"a\\\",b;dur=9\";dur=2,x;dur=1"], vec![("db", 2_000), ("x", 1_000)]),
            (vec!["db;dur=5e1"], vec![("db", 50_000)]),
            (vec!["db;dur=0"], vec![("db", 0)]),
            (vec!["db;dur", "db;dur=", "db;dur=-1", "db;dur=NaN", "db;dur=inf", "db;dur=1e300", "db;dur=x", "db", ";dur=1"], vec![]),
            (vec!["a b;dur=1", "\u{e9};dur=1", "{};dur=1", "<script>;dur=1", "a=b;dur=1", ",,;,"], vec![]),
            (vec!["abcdefghijklmnopqrstuvwxyz-123456;dur=1"], vec![]),
            (vec!["db;desc=\"not closed, x;dur=1", "ok;dur=1"], vec![("ok", 1_000)]),
        ] {
            let want: Vec<_> = want.into_iter().map(|(name, micros)| (name.to_owned(), micros)).collect();
            assert_eq!(read(&fields), want, "{fields:?}");
        }
    }

    #[test]
    fn eight_are_told_apart_and_the_rest_is_summed_up() {
        let field: Vec<_> = (0..20).map(|n| format!("p{n};dur=1")).collect();
        let got = read(&[&field.join(","), "p3;dur=4"]);
        assert_eq!((got.len(), got[3].clone(), got[8].clone()), (MOST + 1, ("p3".into(), 5_000), ("other".into(), 12_000)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_bounded(fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)) {
            let phases = Phases::read(fields.iter().map(Vec::as_slice));
            prop_assert!(phases.len() <= MOST + 1 && phases.iter().all(|p| p.name.len() <= LONGEST_NAME));
        }

        #[test]
        fn what_is_written_well_is_read_back(times in prop::collection::btree_map("[a-z][a-z0-9_.-]{0,20}", 0_u32..1_000_000, 1..=MOST)) {
            let field: Vec<_> = times.iter().map(|(name, micros)| format!("{name};desc=\"x, y;dur=1\";dur={}", f64::from(*micros) / 1000.0)).collect();
            let got: std::collections::BTreeMap<_, _> = read(&[&field.join(" , ")]).into_iter().collect();
            let want: std::collections::BTreeMap<_, _> = times.into_iter().map(|(name, micros)| (name, u128::from(micros))).collect();
            prop_assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
            prop_assert!(got.iter().all(|(name, micros)| micros.abs_diff(want[name]) <= 1));
        }
    }
}
