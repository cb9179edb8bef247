//! Matchers: one `match:` block of a rule, compiled.

use http::{HeaderName, Method};

use super::{Facts, Pattern};

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

    /// Whether every part holds, else the first (cheapest first) that does not.
    ///
    /// # Errors
    /// The part that did not hold.
    pub fn check(&self, facts: &Facts<'_>) -> Result<(), Mismatch> {
        let glob = |pattern: &Option<Pattern>, text: &str| pattern.as_ref().is_none_or(|p| p.is_match(text));
        if !self.methods.is_empty() && !self.methods.contains(facts.method) {
            return Err(Mismatch::Method);
        }
        if !glob(&self.function, facts.function) {
            return Err(Mismatch::Function);
        }
        if !glob(&self.listener, facts.listener) {
            return Err(Mismatch::Listener);
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
        Facts {
            listener: "functions",
            upstream: "functions",
            method,
            host: "api.example:8080",
            path: normal,
            query,
            function,
            headers,
            trusted: false,
        }
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
}
