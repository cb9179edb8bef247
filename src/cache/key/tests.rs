//! Equal keys mean equal requests, in all that counts.

use http::{HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::cache::{Shape, Ttl};

const TTL: Ttl = Ttl::Usual(std::time::Duration::ZERO);
const SECRET: CallerSecret = CallerSecret::new([7; 16]);

/// Everything a key is made of.
type Parts = (String, String, String, String, Option<String>, u8, Vec<(u8, String)>);

fn headers(credentials: &[(u8, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in credentials {
        headers.append(CREDENTIALS[usize::from(*name)], HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn key(parts: &Parts) -> CacheKey {
    let (rule, upstream, host, path, query, scope, credentials) = parts;
    let headers = headers(credentials);
    let scope = [Scope::Public, Scope::PerCaller, Scope::Anonymous][usize::from(*scope)];
    let request = Request {
        method: &Method::GET,
        host,
        path,
        odd_path: false,
        query: query.as_deref(),
        headers: &headers,
        has_body: false,
        upstream,
        trusted: false,
    };
    CacheKey::new(rule, &Settings::new(TTL, scope), &request, &SECRET)
}

/// The parts that count: the host without its case, the credentials by name and only under `per_caller`.
fn meaning(parts: &Parts) -> Parts {
    let mut parts = parts.clone();
    parts.2.make_ascii_lowercase();
    parts.6.sort_by_key(|(name, _)| *name);
    parts.6.retain(|_| parts.5 == 1);
    parts
}

fn parts() -> impl Strategy<Value = Parts> {
    let text = "[ab\u{0}]{0,2}";
    let credentials = prop::collection::vec((0_u8..3, "[ab]{0,2}"), 0..3);
    (text, text, "[aAb:]{0,2}", text, prop::option::of(text), 0_u8..3, credentials)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn equal_keys_mean_equal_fields(a in parts(), b in parts()) {
        prop_assert_eq!(key(&a) == key(&b), meaning(&a) == meaning(&b));
    }

        #[test]
    fn a_key_tells_what_it_was_made_of(a in parts()) {
        let key = key(&a);
        let (rule, upstream, host, path, query) = (&*a.0, &*a.1, &*a.2.to_ascii_lowercase(), &*a.3, a.4.as_deref());
        let caller = (a.5 == 1).then(|| SECRET.caller_hash(&headers(&a.6)));
        let parts = key.parts();
        prop_assert_eq!((parts.rule, parts.upstream, parts.host, parts.path, parts.query, parts.caller), (rule, upstream, host, path, query, caller));
        prop_assert!(!parts.selective);
        let flight = key.followed_by(b"more");
        prop_assert_eq!(KeyParts { behind: parts.behind, ..flight.parts() }, parts);
        prop_assert_eq!(flight.parts().groups(), parts.groups());
        prop_assert!(CacheKey::default() < key);
    }

    /// Neighbours in the alphabet above rarely meet: change one field at a time.
    #[test]
    fn one_changed_field_is_another_key(a in parts(), b in parts(), field in 0_usize..7) {
        let mut changed = a.clone();
        match field {
            0 => changed.0 = b.0,
            1 => changed.1 = b.1,
            2 => changed.2 = b.2,
            3 => changed.3 = b.3,
            4 => changed.4 = b.4,
            5 => changed.5 = b.5,
            _ => changed.6 = b.6,
        }
        prop_assert_eq!(key(&a) == key(&changed), meaning(&a) == meaning(&changed));
    }
}

#[test]
fn every_credential_tells_callers_apart() {
    let hash = |list: &[(u8, &str)]| SECRET.caller_hash(&headers(&list.iter().map(|(n, v)| (*n, (*v).to_owned())).collect::<Vec<_>>()));
    let all = [&[][..], &[(0, "a")], &[(1, "a")], &[(2, "a")], &[(0, "")], &[(0, "a"), (0, "b")], &[(0, "ab")], &[(0, "a"), (1, "b")]];
    for (i, a) in all.iter().enumerate() {
        for b in &all[i + 1..] {
            assert_ne!(hash(a), hash(b), "{a:?} {b:?}");
        }
    }
    assert_ne!(CallerSecret::new([8; 16]).caller_hash(&HeaderMap::new()), SECRET.caller_hash(&HeaderMap::new()));
}

#[test]
fn secrets_are_not_printed() {
    let parts = ("r".into(), "u".into(), "h".into(), "/p".into(), Some("token=secret".into()), 1, vec![(0, "secret".into())]);
    assert!(!format!("{:?} {SECRET:?}", key(&parts)).contains("secret"));
}

/// What tells requests apart under a shape: written without [`Shape`].
type Told = (Vec<Vec<String>>, Vec<Vec<String>>);

fn told(query: &str, fields: &[(u8, String)], names: &[&str], wanted: &[u8]) -> Told {
    let values = |name: &str| {
        let pairs = query.split('&').filter(|pair| pair.split('=').next() == Some(name) && !pair.is_empty());
        pairs.map(str::to_owned).collect::<Vec<_>>()
    };
    let of = |wanted: &u8| fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.clone()).collect::<Vec<_>>();
    (names.iter().map(|name| values(name)).collect(), wanted.iter().map(of).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn under_a_shape_what_is_named_counts_and_no_more(
        a in ("[abx=&]{0,7}", prop::collection::vec((0_u8..3, "[ab]{0,1}"), 0..3)),
        b in ("[abx=&]{0,7}", prop::collection::vec((0_u8..3, "[ab]{0,1}"), 0..3)),
    ) {
        const FIELDS: [&str; 3] = ["x-a", "x-b", "x-c"];
        let shape = Shape { query: Some(vec!["a".into(), "b".into()]), headers: vec![FIELDS[0].parse().expect("a name"), FIELDS[1].parse().expect("a name")] };
        let settings = Settings { key: shape, ..Settings::new(TTL, Scope::Public) };
        let key = |(query, fields): &(String, Vec<(u8, String)>)| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(FIELDS[usize::from(*name)], HeaderValue::from_str(value).expect("a value"));
            }
            let request = Request {
                method: &Method::GET, host: "h", path: "/p", odd_path: false, query: Some(query), headers: &headers, has_body: false,
                upstream: "u", trusted: false,
            };
            CacheKey::new("r", &settings, &request, &SECRET)
        };
        let meant = |(query, fields): &(String, Vec<(u8, String)>)| told(query, fields, &["a", "b"], &[0, 1]);
        prop_assert_eq!(key(&a) == key(&b), meant(&a) == meant(&b));
        // an unsafe method finds by the URL what its readers find
        let same = told(&a.0, &[], &["a", "b"], &[]) == told(&b.0, &[], &["a", "b"], &[]);
        prop_assert_eq!(key(&a).parts().is_resource(&KeyParts::resource("h", "/p", Some(&b.0))), same);
        let (whole, standard) = (Settings { key: Shape::default(), ..settings.clone() }, Settings { scope: Scope::Standard, ..settings.clone() });
        prop_assert_eq!([&settings, &whole, &standard].map(|settings| key(&a).suits(settings)), [true, false, false]);
        let (whole, followed) = (key(&a), key(&a).followed_by(b"more"));
        prop_assert_eq!(followed.parts().groups(), whole.parts().groups());
    }
}
