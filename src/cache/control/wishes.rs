//! What a request says about its caching. `no-store` and `only-if-cached` are obeyed always; the rest only under `client_control: honour`,
//! or any client could have every answer fetched anew (cache.md 1, lines 9, 10 and 12).

use std::time::Duration;

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

use super::{each_directive, lower, seconds};

/// The directives of a request (RFC 9111 5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `no-store`: the answer to this request is not kept.
    pub no_store: bool,
    /// `only-if-cached`: no fetch for this request.
    pub only_if_cached: bool,
    /// `no-cache`, also as `Pragma` where there is no `Cache-Control` (RFC 9111 5.4).
    no_cache: bool,
    /// `max-age`, whole seconds.
    max_age: Option<u32>,
    /// `min-fresh`, whole seconds.
    min_fresh: Option<u32>,
    /// `max-stale`, whole seconds; without a number any time will do.
    max_stale: Option<u32>,
}

impl Wishes {
    /// Reads a request's fields.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut wishes = Self::default();
        let mut any = false;
        each_directive(headers, CACHE_CONTROL, |name, value| {
            any = true;
            match name {
                b"no-store" => wishes.no_store = true,
                b"only-if-cached" => wishes.only_if_cached = true,
                b"no-cache" => wishes.no_cache = true,
                b"max-age" => lower(&mut wishes.max_age, seconds(value)),
                b"min-fresh" => wishes.min_fresh = wishes.min_fresh.max(Some(seconds(value))),
                b"max-stale" => lower(&mut wishes.max_stale, value.map_or(u32::MAX, |_| seconds(value))),
                _ => {}
            }
        });
        if !any {
            each_directive(headers, PRAGMA, |name, _| wishes.no_cache |= name == b"no-cache");
        }
        wishes
    }

    /// Whether the request wants nothing stored of this age, which is fresh for `left`.
    #[must_use]
    pub fn refuse_fresh(&self, age: Duration, left: Duration) -> bool {
        let too_old = self.max_age.is_some_and(|most| age.as_secs() > u64::from(most) || (most == 0));
        self.no_cache || too_old || self.min_fresh.is_some_and(|least| left < Duration::from_secs(least.into()))
    }

    /// Whether the request takes an answer of this age that has not been fresh since.
    #[must_use]
    pub fn take_stale(&self, age: Duration, since: Duration) -> bool {
        let enough = self.max_stale.is_some_and(|most| since <= Duration::from_secs(most.into()));
        enough && !self.no_cache && self.min_fresh.is_none() && self.max_age.is_none_or(|most| age <= Duration::from_secs(most.into()))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn wishes(field: &'static str, value: &str) -> Wishes {
        Wishes::of(&HeaderMap::from_iter([(field.parse().expect("a name"), HeaderValue::from_str(value).expect("a value"))]))
    }

    #[test]
    fn fresh_answers_are_refused_as_asked() {
        for (said, age, left, refused) in [
            ("", 9, 1, false),
            ("no-cache", 0, 99, true),
            ("max-age=0", 0, 99, true),
            ("max-age=9", 9, 1, false),
            ("max-age=8", 9, 1, true),
            ("max-age=20, max-age=8", 9, 1, true),
            ("max-age=x", 0, 9, true),
            ("min-fresh=5", 0, 5, false),
            ("min-fresh=5", 0, 4, true),
            ("min-fresh=1, min-fresh=5", 0, 4, true),
            ("max-stale=9", 1, 1, false),
        ] {
            let (age, left) = (Duration::from_secs(age), Duration::from_secs(left));
            assert_eq!(wishes("cache-control", said).refuse_fresh(age, left), refused, "{said}");
        }
        assert!(wishes("pragma", "no-cache").refuse_fresh(Duration::ZERO, Duration::MAX));
        let mut both = HeaderMap::from_iter([(PRAGMA, HeaderValue::from_static("no-cache"))]);
        both.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=9"));
        assert!(!Wishes::of(&both).refuse_fresh(Duration::ZERO, Duration::MAX), "Pragma counts only without Cache-Control");
    }

    #[test]
    fn stale_answers_are_taken_as_asked() {
        for (said, since, taken) in [
            ("", 0, false),
            ("max-stale", 999, true),
            ("max-stale=5", 5, true),
            ("max-stale=5", 6, false),
            ("max-stale=9, max-stale=5", 6, false),
            ("max-stale=5, no-cache", 1, false),
            ("max-stale=5, min-fresh=0", 1, false),
            ("max-stale=5, max-age=3", 1, false),
            ("max-stale=x", 1, false),
        ] {
            assert_eq!(wishes("cache-control", said).take_stale(Duration::from_secs(10), Duration::from_secs(since)), taken, "{said}");
        }
    }

    proptest! {
        #[test]
        fn a_further_wish_never_makes_an_old_answer_good(one in "(no-cache|(max-age|min-fresh)=[0-9]{1,2})", age in 0_u64..60, left in 1_u64..60) {
            let (age, left) = (Duration::from_secs(age), Duration::from_secs(left));
            for other in ["no-cache", "max-age=30", "min-fresh=30", "x=1"] {
                let (alone, both) = (wishes("cache-control", &one), wishes("cache-control", &format!("{one}, {other}")));
                prop_assert!(both.refuse_fresh(age, left) || !alone.refuse_fresh(age, left));
            }
        }
    }
}
