//! Selecting fields (RFC 9111 4.1): the request fields an answer depends on, beside the primary key. `Vary` names them;
//! `Origin` and `Accept-Encoding` select by what the answer itself shows, with or without `Vary` (cache.md 3).

use http::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN,
    CONTENT_ENCODING, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName};

use super::{CacheKey, NotStored};

/// More names in `Vary` than this make an answer nobody else would ever match.
const MAX_NAMES: usize = 8;

/// The selecting fields of a stored answer and their values in the request it answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selecting(Box<[Field]>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: HeaderName,
    /// In normal form; `None` if the request had no such field.
    value: Option<Box<[u8]>>,
}

impl Selecting {
    /// The selecting fields of an answer to a request.
    ///
    /// # Errors
    /// [`NotStored::VaryStar`] for `*` anywhere in `Vary` and for what is no field name, [`NotStored::VaryCap`] for more
    /// than 8 names.
    pub fn of(answer: &HeaderMap, request: &HeaderMap) -> Result<Self, NotStored> {
        let mut names = Vec::new();
        for name in answer.get_all(VARY).iter().flat_map(|line| line.as_bytes().split(|b| *b == b',')) {
            match name.trim_ascii() {
                b"" => {}
                b"*" => return Err(NotStored::VaryStar),
                name => names.push(HeaderName::from_bytes(name).map_err(|_| NotStored::VaryStar)?),
            }
        }
        if !is_for_any_origin(answer) {
            names.push(ORIGIN);
        }
        if answer.contains_key(CONTENT_ENCODING) {
            names.push(ACCEPT_ENCODING);
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        let own = names.iter().filter(|name| **name == ORIGIN || **name == ACCEPT_ENCODING).count();
        if names.len() - own > MAX_NAMES {
            return Err(NotStored::VaryCap);
        }
        Ok(Self(names.into_iter().map(|name| Field { value: normal(&name, request), name }).collect()))
    }

    /// Whether the answer is one to this request too.
    #[must_use]
    pub fn matches(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|field| field.matches(request))
    }

    /// The key under which a fetch for this request runs, as far as an earlier answer under `key` told what selects:
    /// requests that differ there do not wait for one another.
    #[must_use]
    pub fn flight_key(&self, key: &CacheKey, request: &HeaderMap) -> CacheKey {
        let mut values = Vec::new();
        for field in &self.0 {
            let value = normal(&field.name, request);
            values.push(u8::from(value.is_some()));
            let value = value.unwrap_or_default();
            values.extend_from_slice(&value.len().to_le_bytes());
            values.extend_from_slice(&value);
        }
        if values.is_empty() { key.clone() } else { key.followed_by(&values) }
    }

    /// Bytes it holds.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.0.iter().map(|field| size_of::<Field>() + field.value.as_ref().map_or(0, |value| value.len())).sum()
    }
}

impl Field {
    fn matches(&self, request: &HeaderMap) -> bool {
        let mut lines = request.get_all(&self.name).iter();
        match (lines.next(), &self.value) {
            (None, None) => true,
            (Some(line), Some(value)) => {
                // a normal form is its own normal form: equal bytes need no work
                (lines.next().is_none() && line.as_bytes() == &**value) || normal(&self.name, request).as_ref() == Some(value)
            }
            _ => false,
        }
    }
}

/// `Access-Control-Allow-Origin` is exactly `*`, in one line, and credentials are not allowed.
fn is_for_any_origin(answer: &HeaderMap) -> bool {
    let mut lines = answer.get_all(ACCESS_CONTROL_ALLOW_ORIGIN).iter();
    lines.next().is_some_and(|v| v == "*") && lines.next().is_none() && !answer.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS)
}

/// The value of a request's field in normal form: lines joined, blanks around commas and semicolons dropped. What stands
/// in quotes is kept as it is, and so is the case of all but the four `Accept` fields whose case never counts (that of
/// `Accept-Profile`, say, does).
fn normal(name: &HeaderName, request: &HeaderMap) -> Option<Box<[u8]>> {
    let lines: Vec<&[u8]> = request.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
    if lines.is_empty() {
        return None;
    }
    let joined = lines.join(&b","[..]);
    if *name == ACCEPT_ENCODING {
        return Some(codings(&joined).into());
    }
    let any_case = [ACCEPT, ACCEPT_CHARSET, ACCEPT_LANGUAGE].contains(name);
    let mut value = squeezed(&joined, any_case);
    if *name == ACCEPT_LANGUAGE && !value.iter().any(|b| matches!(b, b';' | b'"')) {
        // without weights the order says nothing (RFC 9110 12.5.4)
        let mut languages: Vec<&[u8]> = value.split(|b| *b == b',').collect();
        languages.sort_unstable();
        value = languages.join(&b","[..]);
    }
    Some(value.into())
}

/// The codings a client takes, sorted, without weights, those refused with `q=0` left out, and `identity` too: a client
/// that can read a coded answer can read a plain one.
fn codings(list: &[u8]) -> Vec<u8> {
    let list = list.to_ascii_lowercase();
    let mut found: Vec<&[u8]> = Vec::new();
    for item in list.split(|b| *b == b',') {
        let mut parts = item.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let refused = parts.filter_map(|p| p.strip_prefix(b"q=")).any(|q| !q.is_empty() && q.iter().all(|b| matches!(b, b'0' | b'.')));
        if !refused && !matches!(coding, b"" | b"identity") {
            found.push(coding);
        }
    }
    found.sort_unstable();
    found.dedup();
    found.join(&b","[..])
}

fn squeezed(text: &[u8], any_case: bool) -> Vec<u8> {
    let blank = |b: &u8| matches!(*b, b' ' | b'\t');
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for byte in text {
        if quoted {
            out.push(*byte);
            quoted = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        quoted = *byte == b'"';
        let at_separator = out.last().is_none_or(|b| matches!(b, b',' | b';'));
        if matches!(byte, b',' | b';') {
            out.truncate(out.iter().rposition(|b| !blank(b)).map_or(0, |at| at + 1));
        } else if blank(byte) && at_separator {
            continue;
        }
        out.push(if any_case { byte.to_ascii_lowercase() } else { *byte });
    }
    if !quoted {
        out.truncate(out.iter().rposition(|b| !blank(b)).map_or(0, |at| at + 1));
    }
    out
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        map
    }

    fn fits(answer: &[(&'static str, &str)], first: &[(&'static str, &str)], second: &[(&'static str, &str)]) -> bool {
        Selecting::of(&headers(answer), &headers(first)).expect("storable").matches(&headers(second))
    }

    #[test]
    fn origin_selects_unless_the_answer_is_for_any() {
        let (a, b) = ([("origin", "https://a.example")], [("origin", "https://b.example")]);
        for answer in [
            &[][..],
            &[("access-control-allow-origin", "https://a.example")],
            &[("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true")],
            &[("access-control-allow-origin", "*"), ("access-control-allow-origin", "*")],
            &[("access-control-allow-origin", "*, *")],
        ] {
            assert!(fits(answer, &a, &a) && !fits(answer, &a, &b) && !fits(answer, &a, &[]) && !fits(answer, &[], &a), "{answer:?}");
        }
        assert!(fits(&[("access-control-allow-origin", "*")], &a, &b));
        assert!(!fits(&[("access-control-allow-origin", "*"), ("vary", "Origin")], &a, &b));
    }

    #[test]
    fn encodings_select_if_the_answer_is_coded() {
        let coded = [("content-encoding", "gzip")];
        let accept = |value| [("accept-encoding", value)];
        assert!(fits(&coded, &accept("gzip, br"), &accept("BR;q=0.5 , gzip,identity")));
        for other in ["gzip", "gzip, br;q=0", "gzip, br;q=0.000", "gzip, br, zstd", "*", ""] {
            assert!(!fits(&coded, &accept("gzip, br"), &accept(other)), "{other}");
        }
        assert!(!fits(&coded, &accept("gzip"), &[]), "absent is not any");
        assert!(!fits(&coded, &accept("gzip, dcb"), &accept("gzip")), "a coding not known here may be the one used");
        assert!(fits(&[], &accept("gzip"), &accept("br")));
    }

    #[test]
    fn values_in_normal_form() {
        for (name, first, second, equal) in [
            ("accept-language", "fr, en", "EN,fr", true),
            ("accept-language", "fr;q=0.5, en", "en, fr;q=0.5", false),
            ("accept", "Text/HTML ; q=1", "text/html;q=1", true),
            ("accept", "a/b;p=\"X , y\"", "a/b;p=\"x , y\"", false),
            ("accept-profile", "Public", "public", false),
            ("x-tenant", "a , b", "a,b", true),
            ("x-tenant", "\"a , b\"", "\"a,b\"", false),
            ("x-tenant", "a b", "ab", false),
            ("x-tenant", "a", "A", false),
        ] {
            assert_eq!(fits(&[("vary", name)], &[(name, first)], &[(name, second)]), equal, "{name}: {first} {second}");
        }
        assert!(fits(&[("vary", "x-a")], &[("x-a", "1"), ("x-a", "2")], &[("x-a", "1, 2")]), "lines are joined");
        assert!(!fits(&[("vary", "x-a")], &[("x-a", "")], &[]), "absent differs from empty");
        assert!(!fits(&[("vary", "x-a"), ("vary", "X-B")], &[("x-b", "1")], &[("x-b", "2")]), "every line counts");
    }

    #[test]
    fn what_cannot_be_matched_is_not_stored() {
        let of = |lines: &[(&'static str, &str)]| Selecting::of(&headers(lines), &HeaderMap::new()).err();
        for star in ["*", "accept, *", "*, accept", "not a name", "é"] {
            assert_eq!(of(&[("vary", "accept"), ("vary", star)]), Some(NotStored::VaryStar), "{star}");
        }
        let names = |n: usize| (0..n).map(|i| format!("x-{i}")).collect::<Vec<_>>().join(", ");
        assert_eq!(of(&[("vary", &names(8)), ("content-encoding", "br")]), None);
        assert_eq!(of(&[("vary", &names(9))]), Some(NotStored::VaryCap));
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own(value in "[aB ,;\"\\\\q=0.]{0,12}", name in 0_usize..4) {
            let name = [ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCEPT, ORIGIN][name].clone();
            let mut map = HeaderMap::new();
            map.append(&name, HeaderValue::from_str(&value).expect("printable"));
            let once = normal(&name, &map).expect("present");
            map.insert(&name, HeaderValue::from_bytes(&once).expect("printable"));
            prop_assert_eq!(normal(&name, &map), Some(once));
        }

        #[test]
        fn a_request_matches_its_own_answer(vary in "[a-c, -]{0,8}", value: Vec<u8>) {
            let mut request = HeaderMap::new();
            for name in ["a", "b", "origin"] {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    request.append(name, value);
                }
            }
            if let Ok(selecting) = Selecting::of(&headers(&[("vary", &vary)]), &request) {
                prop_assert!(selecting.matches(&request));
            }
        }
    }
}
