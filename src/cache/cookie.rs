//! `Set-Cookie` of an answer: one that sets a cookie is one caller's own, unless the rule says of each cookie that it is nobody's.

use http::HeaderMap;
use http::header::SET_COOKIE;

/// Whether an answer sets a cookie whose name is not among these. Names are compared as they are (RFC 6265 4.1.1); a line without a name
/// sets another one.
#[must_use]
pub fn sets_other_than(headers: &HeaderMap, ignored: &[String]) -> bool {
    let known = |name: &[u8]| ignored.iter().any(|other| other.as_bytes() == name);
    headers.get_all(SET_COOKIE).iter().any(|line| !names(line.as_bytes()).all(known))
}

/// The names a line sets. Some joins lines with commas: what follows a comma and looks like a cookie is one. (`Expires` has a comma too,
/// but no `=` behind it.)
fn names(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| *b == b',').enumerate().filter_map(|(at, piece)| {
        let pair = piece.split(|b| *b == b';').next().unwrap_or_default();
        match pair.iter().position(|b| *b == b'=') {
            Some(end) => Some(pair[..end].trim_ascii()),
            None => (at == 0).then_some(&b""[..]),
        }
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(lines: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in lines {
            map.append(SET_COOKIE, HeaderValue::from_str(line).expect("a value"));
        }
        map
    }

    #[test]
    fn every_cookie_must_be_known() {
        let ignored = ["__cf_bm".to_owned(), "_ga".to_owned()];
        for (lines, other) in [
            (&[][..], false),
            (&["__cf_bm=abc; Path=/; HttpOnly"], false),
            (&["__cf_bm = abc", "_ga=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Secure"], false),
            (&["__cf_bm=a,_ga=b"], false),
            (&["__cf_bm=abc", "session=1"], true),
            (&["__cf_bm=a, session=b"], true),
            (&["__CF_BM=abc"], true),
            (&["__cf_bm2=abc"], true),
            (&["__cf_bm"], true),
            (&["=__cf_bm"], true),
            (&["a=__cf_bm=b"], true),
            (&[""], true),
            (&["; __cf_bm=a"], true),
        ] {
            assert_eq!(sets_other_than(&of(lines), &ignored), other, "{lines:?}");
            assert_eq!(sets_other_than(&of(lines), &[]), !lines.is_empty(), "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_is_not_listed_is_never_overlooked(value in "[a-z=;, ]{0,8}", name in "[a-z]{1,3}") {
            let headers = of(&[&format!("{name}={value}")]);
            prop_assert!(sets_other_than(&headers, &["ABC".to_owned()]));
        }
    }
}
