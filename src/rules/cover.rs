//! Whether one matcher is sure to match all that another one matches, told without a request: what stands above a rule and covers it keeps
//! every request from it. What cannot be told by the texts of the globs counts as not covered.

use super::{Matcher, Pattern};

/// Characters that mean something in a glob.
const META: [char; 5] = ['*', '?', '[', '{', '\\'];

impl Pattern {
    /// Whether it is plain text, which matches itself alone.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.as_str().contains(META)
    }

    /// Whether it is sure to match all that another one matches; `segment` = neither ever meets a `/`.
    #[must_use]
    pub fn covers(&self, other: &Self, segment: bool) -> bool {
        let (mine, theirs) = (self.as_str(), other.as_str());
        if mine == theirs || self.is_any(segment) {
            return true;
        }
        // a glob begins with plain text, and so does all that it matches
        let plain = |text: &str| text.find(META).unwrap_or(text.len());
        let (beginning, rest) = mine.split_at(plain(mine));
        if !theirs.starts_with(beginning) {
            return false;
        }
        if other.is_literal() {
            return self.is_match(theirs);
        }
        // the same plain text, and then anything
        if segment { rest == "*" } else { rest == "**" && plain(theirs) > beginning.len() && beginning.ends_with('/') }
    }

    /// Whether it matches every text.
    fn is_any(&self, segment: bool) -> bool {
        self.as_str() == "**" || (segment && self.as_str() == "*")
    }
}

impl Matcher {
    /// Whether it is sure to match every request that another one matches.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let glob = |mine: &Option<Pattern>, theirs: &Option<Pattern>, segment: bool| match (mine, theirs) {
            (None, _) => true,
            (Some(mine), Some(theirs)) => mine.covers(theirs, segment),
            // every path begins with a slash
            (Some(mine), None) => mine.is_any(segment) || (!segment && mine.as_str() == "/**"),
        };
        let methods = self.methods.is_empty() || (!other.methods.is_empty() && other.methods.iter().all(|m| self.methods.contains(m)));
        let query =
            |(name, value): &(String, Option<Pattern>)| other.query.iter().any(|(n, v)| n == name && (value.is_none() || value == v));
        methods
            && glob(&self.function, &other.function, true)
            && glob(&self.path, &other.path, false)
            && glob(&self.host, &other.host, true)
            && glob(&self.listener, &other.listener, true)
            && self.query.iter().all(query)
            && self.headers.iter().all(|mine| other.headers.contains(mine))
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn glob(text: &str) -> Pattern {
        Pattern::new(text).expect("a valid glob")
    }

    #[test]
    fn what_covers_another_matches_all_that_it_matches() {
        let globs = ["*", "**", "/**", "a*", "ab*", "ab", "/a/**", "/a/b*", "/a/*", "/a/b/c", "**/c", "{a,b}", "/a/b/**", "a**", "/a**"];
        let texts = ["", "a", "ab", "abc", "b", "/", "/a", "/a/", "/a/b", "/a/bc", "/a/b/c", "/a/b/", "/a/b/c/d", "/c", "/ab", "/x/c"];
        let mut seen = 0;
        for (one, other) in globs.iter().flat_map(|one| globs.map(|other| (glob(one), glob(other)))) {
            for segment in [true, false] {
                let can_be = |text: &&&str| if segment { !text.contains('/') } else { text.starts_with('/') };
                let more = texts.iter().filter(can_be).find(|text| other.is_match(text) && !one.is_match(text));
                assert!(!one.covers(&other, segment) || more.is_none(), "{one:?} covers {other:?}, but not {more:?}");
                seen += usize::from(one.covers(&other, segment) && one != other);
            }
        }
        assert!(seen > 40, "{seen}");
        let on = |function: &str, methods: Vec<Method>| Matcher { function: Some(glob(function)), methods, ..Matcher::default() };
        assert!(on("a*", vec![]).covers(&on("ab", vec![Method::GET])) && !on("a*", vec![Method::GET]).covers(&on("ab", vec![])));
        assert!(Matcher::default().covers(&on("a", vec![])) && !on("a", vec![]).covers(&Matcher::path(glob("/a"))));
    }
}
