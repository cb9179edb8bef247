//! `key:` of a rule: what of a request tells its answer from others, beside Host, path and caller. What a rule leaves out of the key
//! does not reach the function on a fetch, so that nobody shapes with it what others get (cache.md 0.6).

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

/// What a peer among `trusted_proxies` tells of the request it had: sent on a fetch, and part of the key.
pub const FORWARDED: [&str; 3] = ["x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix"];

/// See the module. The default is the whole query, byte for byte, and no field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Names of the parameters that count, as written in a query, sorted; `None` for the whole query.
    pub query: Option<Vec<String>>,
    /// Fields whose values count, sorted.
    pub headers: Vec<HeaderName>,
}

impl Shape {
    /// The query as the key has it and as it is fetched.
    #[must_use]
    pub fn query<'q>(&self, query: Option<&'q str>) -> Option<Cow<'q, str>> {
        match &self.query {
            None => query.map(Cow::Borrowed),
            Some(names) => chosen(query, |name| names.iter().any(|n| n == name)).map(Cow::Owned),
        }
    }

    /// Whether a field that is about the way to the proxy is sent on a fetch all the same.
    #[must_use]
    pub fn keeps(&self, name: &HeaderName, trusted: bool) -> bool {
        self.headers.contains(name) || (trusted && FORWARDED.contains(&name.as_str()))
    }

    /// What else is in the key: groups of values, each with its name. `trusted`: the peer is one of `trusted_proxies`.
    pub(super) fn groups<'r>(&'r self, headers: &'r HeaderMap, trusted: bool) -> Vec<(&'r str, Vec<&'r [u8]>)> {
        let mut groups = Vec::new();
        if let Some(names) = &self.query {
            groups.push((NAMES, names.iter().map(String::as_bytes).collect()));
        }
        let values = |name: &str| headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
        groups.extend(self.headers.iter().map(|name| (name.as_str(), values(name.as_str()))));
        let told = FORWARDED.iter().filter(|name| trusted && headers.contains_key(**name));
        groups.extend(told.filter(|name| !self.headers.iter().any(|n| n == **name)).map(|name| (*name, values(name))));
        groups
    }

    /// Whether a key with these groups is one of this shape.
    pub(super) fn is_of(&self, groups: &[(&[u8], Vec<&[u8]>)]) -> bool {
        let (mut names, mut fields) = (None, Vec::new());
        for (name, values) in groups {
            if *name == NAMES.as_bytes() {
                names = Some(values);
            } else if !FORWARDED.iter().any(|f| f.as_bytes() == *name) || self.headers.iter().any(|n| n.as_str().as_bytes() == *name) {
                fields.push(*name);
            }
        }
        let same = match (names, &self.query) {
            (None, None) => true,
            (Some(a), Some(b)) => a.iter().copied().eq(b.iter().map(String::as_bytes)),
            _ => false,
        };
        same && fields.into_iter().eq(self.headers.iter().map(|name| name.as_str().as_bytes()))
    }
}

/// The group of the parameters' names. No field is called so.
pub(super) const NAMES: &str = "?";

/// The parameters that are wanted, by name, each with all its values in the order they came; `None` if there is none. Nothing is decoded, and
/// only `&` separates: `a`, `a=` and `%61=` are three different things.
pub(super) fn chosen(query: Option<&str>, wanted: impl Fn(&str) -> bool) -> Option<String> {
    let name = |pair: &&str| pair.split('=').next().unwrap_or_default().to_owned();
    let mut pairs: Vec<&str> = query?.split('&').filter(|pair| !pair.is_empty() && wanted(&name(pair))).collect();
    pairs.sort_by_key(name);
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(names: &[&str], query: &str) -> Option<String> {
        let shape = Shape { query: Some(names.iter().map(|n| (*n).to_owned()).collect()), headers: Vec::new() };
        shape.query(query.strip_prefix('?')).map(Cow::into_owned)
    }

    #[test]
    fn parameters_are_chosen_by_name_and_kept_as_they_are() {
        for (query, expected) in [
            ("", None),
            ("?", None),
            ("?c=1", None),
            ("?a=1", Some("a=1")),
            ("?b=2&a=1", Some("a=1&b=2")),
            ("?a=2&x=9&a=1&b=", Some("a=2&a=1&b=")),
            ("?a", Some("a")),
            ("?a=", Some("a=")),
            ("?a==&&a=%31", Some("a==&a=%31")),
            ("?a=1;b=2", Some("a=1;b=2")),
            ("?x;a=1", None),
            ("?%61=1&A=1&a[]=1", None),
            ("?a=x+y&a=x%20y", Some("a=x+y&a=x%20y")),
        ] {
            assert_eq!(of(&["a", "b"], query).as_deref(), expected, "{query}");
        }
        assert_eq!(of(&[], "?a=1"), None);
        assert_eq!(Shape::default().query(Some("b&a")).as_deref(), Some("b&a"));
    }

    proptest! {
        #[test]
        fn what_is_fetched_is_its_own_key(query in "[ab=&;%6]{0,12}") {
            let once = of(&["a", "b"], &format!("?{query}"));
            let again = once.as_ref().and_then(|q| of(&["a", "b"], &format!("?{q}")));
            prop_assert_eq!(once, again);
        }
    }
}
