//! When a caller's token ends. Read without verifying it: nothing here knows the key, so the claim is used for one thing
//! only, which is to keep an answer for a shorter time (cache.md 2).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Base64url with or without padding: what some library takes must be read here too.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

/// The earliest `exp` of the JWTs in `Authorization` (RFC 7519 4.1.4), of whatever scheme; `None` if there is none.
#[must_use]
pub fn ends(request: &HeaderMap) -> Option<SystemTime> {
    let words = request.get_all(AUTHORIZATION).iter().flat_map(|line| line.as_bytes().split(|b| matches!(b, b' ' | b'\t' | b',')));
    words.filter_map(expiry).min()
}

fn expiry(token: &[u8]) -> Option<SystemTime> {
    let mut parts = token.split(|b| *b == b'.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: serde_json::Value = serde_json::from_slice(&BASE64.decode(payload).ok()?).ok()?;
    let seconds = claims.get("exp")?.as_f64()?;
    // before 1970 is the past; what no clock reaches is no end
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds.max(0.0)).ok()?)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(lines: &[&str]) -> Option<u64> {
        let mut map = HeaderMap::new();
        for line in lines {
            map.append(AUTHORIZATION, HeaderValue::from_str(line).expect("a value"));
        }
        ends(&map).map(|at| at.duration_since(UNIX_EPOCH).expect("after 1970").as_secs())
    }

    fn token(claims: &str) -> String {
        format!("e30.{}.sig", BASE64.encode(claims))
    }

    #[test]
    fn the_claim_is_read_wherever_a_token_stands() {
        let (early, late) = (token(r#"{"exp":1000}"#), token(r#"{"sub":"ü","exp":2000.5}"#));
        assert_eq!(of(&[&format!("Bearer {early}")]), Some(1000));
        assert_eq!(of(&[&format!("bearer  {}", early.replace('=', ""))]), Some(1000), "without padding");
        assert_eq!(of(&[&late]), Some(2000), "without a scheme");
        assert_eq!(of(&[&format!("Bearer {late}"), &format!("Bearer {early}")]), Some(1000), "the earliest of several");
        assert_eq!(of(&[&token(r#"{"exp":-5}"#)]), Some(0));
        let none = [r#"{"exp":"1000"}"#, r#"{"sub":1}"#, "[]", "{", r#"{"exp":1e300}"#, r#"{"exp":null}"#];
        for claims in none {
            assert_eq!(of(&[&token(claims)]), None, "{claims}");
        }
        assert_eq!(of(&["Bearer a.b", "Basic dTpw", "", "a.!.c"]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(token: Vec<u8>, claims: Vec<u8>) {
            let _ = expiry(&token);
            let _ = expiry(format!("a.{}.b", BASE64.encode(claims)).as_bytes());
        }
    }
}
