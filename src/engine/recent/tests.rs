//! What is kept says nothing that is to stay secret.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use super::*;
use crate::engine::{Question, Site};

#[test]
fn no_credential_no_value_and_no_name_is_kept_that_need_not_be() {
    let fields = [
        ("authorization", "of-somebody"),
        ("apikey", "of-somebody"),
        ("cookie", "of-somebody"),
        ("x-other", "of-nobody"),
        ("range", "bytes=0-1"),
    ];
    let headers: HeaderMap =
        fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).into_iter().collect();
    let question = Question::new(Method::GET, "/profile?lang=en&token=hidden", headers, Bytes::new()).expect("a request");
    let names = ["authorization", "apikey", "cookie"].map(|name| (HeaderName::from_static(name), true));
    let watched = Watched { headers: names.to_vec(), query: vec![("lang".to_owned(), true)] };
    let (recent, site) = (Recent::default(), Site::default());
    recent.note(&question.facts(&site, "profile"), &watched);
    let slot = recent.slots[0].lock().expect("no panic");
    let text = String::from_utf8_lossy(&slot.bytes).into_owned();
    for kept in ["/profile", "bytes=0-1", "lang"] {
        assert!(text.contains(kept), "{kept}");
    }
    for hidden in ["somebody", "nobody", "hidden", "token", "x-other", "authorization", "apikey", "cookie"] {
        assert!(!text.contains(hidden), "{hidden}");
    }
}
