//! Matchers: one `match:` block of a rule, compiled.

use globset::{GlobBuilder, GlobMatcher};
use http::{HeaderName, Method};

use super::Facts;

/// A compiled glob: `*` within a segment, `**` across segments, `?` one character, `{a,b}` and `[ab]` as usual.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    glob: GlobMatcher,
}

impl Pattern {
    /// Compiles a glob.
    ///
    /// # Errors
    /// What is wrong with it, as one sentence part.
    pub fn new(text: &str) -> Result<Self, String> {
        let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build().map_err(|e| e.kind().to_string())?;
        Ok(Self { text: text.to_owned(), glob: glob.compile_matcher() })
    }

    /// The glob as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole text matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.glob.is_match(text)
    }

    /// Whether it is plain text, which matches itself alone.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.text.contains(META)
    }

    /// Whether it is sure to match all that another one matches; `segment` = neither ever meets a `/`.
    #[must_use]
    pub fn covers(&self, other: &Self, segment: bool) -> bool {
        if self.text == other.text || self.text == "**" || (segment && self.text == "*") {
            return true;
        }
        if other.is_literal() {
            return self.is_match(&other.text);
        }
        // what both begin with, plain text, and then anything
        let any = |text: &str| if segment { text == "*" } else { text == "**" };
        let beginning = |text: &str| text.find(META).unwrap_or(text.len());
        let (mine, theirs) = (beginning(&self.text), beginning(&other.text));
        let whole = segment || self.text[..mine].ends_with('/');
        let long = if segment { theirs >= mine } else { theirs > mine };
        whole && any(&self.text[mine..]) && long && other.text.starts_with(&self.text[..mine])
    }
}

/// Characters that mean something in a glob.
const META: [char; 5] = ['*', '?', '[', '{', '\\'];

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// One `match:` block. Every part given must hold; a matcher without parts matches every request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matcher {
    /// Glob on the function's name.
    pub function: Option<Pattern>,
    /// Glob on the whole normalised path.
    pub path: Option<Pattern>,
    /// Methods, any of which matches; empty = all.
    pub methods: Vec<Method>,
    /// Glob on `Host`, in lower case, with or without its port.
    pub host: Option<Pattern>,
    /// Glob on the listener's name.
    pub listener: Option<Pattern>,
    /// Query names that must be present, each with a glob on its value where one is given.
    pub query: Vec<(String, Option<Pattern>)>,
    /// Header fields that must be present, each with a glob on its value.
    pub headers: Vec<(HeaderName, Pattern)>,
}

/// The part of a matcher that did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// `function`
    Function,
    /// `path`
    Path,
    /// `method`
    Method,
    /// `host`
    Host,
    /// `listener`
    Listener,
    /// `query`
    Query,
    /// `header`
    Header,
}

impl Mismatch {
    /// The key in the rules file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Path => "path",
            Self::Method => "method",
            Self::Host => "host",
            Self::Listener => "listener",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

impl Matcher {
    /// A matcher on the path alone: what a bare string in a list means.
    #[must_use]
    pub fn path(pattern: Pattern) -> Self {
        Self { path: Some(pattern), ..Self::default() }
    }

    /// Whether it is sure to match every request: no part, or `**` on the path alone.
    #[must_use]
    pub fn is_all(&self) -> bool {
        let rest = Self { path: None, ..self.clone() };
        rest == Self::default() && self.path.as_ref().is_none_or(|path| matches!(path.as_str(), "**" | "/**"))
    }

    /// Whether it is sure to match every request that another one matches.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let glob = |mine: &Option<Pattern>, theirs: &Option<Pattern>, segment: bool| match (mine, theirs) {
            (None, _) => true,
            (Some(mine), Some(theirs)) => mine.covers(theirs, segment),
            (Some(mine), None) => mine.text == "**" || mine.text == if segment { "*" } else { "/**" },
        };
        let methods = self.methods.is_empty() || (!other.methods.is_empty() && other.methods.iter().all(|m| self.methods.contains(m)));
        let query = |(name, value): &(String, Option<Pattern>)| {
            other.query.iter().any(|(n, v)| n == name && (value.is_none() || (value.is_some() && value == v)))
        };
        methods
            && glob(&self.function, &other.function, true)
            && glob(&self.path, &other.path, false)
            && glob(&self.host, &other.host, true)
            && glob(&self.listener, &other.listener, true)
            && self.query.iter().all(query)
            && self.headers.iter().all(|mine| other.headers.contains(mine))
    }

    /// Whether every part holds, else the first (cheapest first) that does not.
    ///
    /// # Errors
    /// The part that did not hold.
    pub fn check(&self, facts: &Facts<'_>) -> Result<(), Mismatch> {
        let glob = |pattern: &Option<Pattern>, text: &str| pattern.as_ref().is_none_or(|p| p.is_match(text));
        let parts = [
            (Mismatch::Method, self.methods.is_empty() || self.methods.contains(facts.method)),
            (Mismatch::Function, glob(&self.function, facts.function)),
            (Mismatch::Listener, glob(&self.listener, facts.listener)),
        ];
        if let Some((part, _)) = parts.iter().find(|(_, holds)| !holds) {
            return Err(*part);
        }
        if !glob(&self.path, facts.path.as_str()) {
            return Err(Mismatch::Path);
        }
        if !self.host.as_ref().is_none_or(|p| p.is_match(facts.host) || p.is_match(without_port(facts.host))) {
            return Err(Mismatch::Host);
        }
        if !self.query.iter().all(|(name, value)| facts.query_pairs().any(|(n, v)| n == name && glob(value, v))) {
            return Err(Mismatch::Query);
        }
        let header =
            |(name, value): &(HeaderName, Pattern)| facts.headers.get_all(name).iter().any(|v| v.to_str().is_ok_and(|v| value.is_match(v)));
        if self.headers.iter().all(header) { Ok(()) } else { Err(Mismatch::Header) }
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::super::path::Path;
    use super::*;

    fn facts<'a>(method: &'a Method, path: &'a str, query: Option<&'a str>, headers: &'a HeaderMap) -> Facts<'a> {
        let normal = Path::new(path);
        let function = super::super::function::name(path, "/functions/v1/");
        Facts { listener: "functions", upstream: "functions", method, host: "api.example:8080", path: normal, query, function, headers }
    }

    fn glob(text: &str) -> Pattern {
        Pattern::new(text).expect("a valid glob")
    }

    #[test]
    fn each_part_decides() {
        let mut headers = HeaderMap::new();
        headers.insert("x-tenant", "acme-1".parse().expect("valid"));
        let f = facts(&Method::GET, "/functions/v1/profile-get/me", Some("lang=en&hub.challenge="), &headers);
        let cases = [
            (Matcher { function: Some(glob("profile*")), ..Matcher::default() }, Ok(())),
            (Matcher { function: Some(glob("state*")), ..Matcher::default() }, Err(Mismatch::Function)),
            (Matcher { path: Some(glob("**/me")), ..Matcher::default() }, Ok(())),
            (Matcher { path: Some(glob("/functions/*/me")), ..Matcher::default() }, Err(Mismatch::Path)),
            (Matcher { methods: vec![Method::POST], ..Matcher::default() }, Err(Mismatch::Method)),
            (Matcher { host: Some(glob("api.example")), ..Matcher::default() }, Ok(())),
            (Matcher { host: Some(glob("*.example:8080")), ..Matcher::default() }, Ok(())),
            (Matcher { listener: Some(glob("egress")), ..Matcher::default() }, Err(Mismatch::Listener)),
            (Matcher { query: vec![("hub.challenge".into(), None)], ..Matcher::default() }, Ok(())),
            (Matcher { query: vec![("lang".into(), Some(glob("f*")))], ..Matcher::default() }, Err(Mismatch::Query)),
            (Matcher { headers: vec![(HeaderName::from_static("x-tenant"), glob("acme-*"))], ..Matcher::default() }, Ok(())),
            (Matcher { headers: vec![(HeaderName::from_static("x-other"), glob("*"))], ..Matcher::default() }, Err(Mismatch::Header)),
            (Matcher::default(), Ok(())),
        ];
        for (matcher, expected) in cases {
            assert_eq!(matcher.check(&f), expected, "{matcher:?}");
        }
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

    #[test]
    fn a_star_stays_within_its_segment() {
        let p = Pattern::new("/a/*").expect("valid");
        assert!(p.is_match("/a/b") && !p.is_match("/a/b/c"));
        let p = Pattern::new("**/login").expect("valid");
        assert!(p.is_match("/login") && p.is_match("/x/y/login") && !p.is_match("/loginx"));
    }
}
