//! An answer kept for one caller ends with the caller's token.

use std::time::{Duration, UNIX_EPOCH};

use edge_sidecar::clock::Clock;

use crate::cached::{STORED, numbered, told};
use crate::support::client::get;
use crate::support::sidecar::in_front_of;

const PER_CALLER: &str = r#"
cache:
  include:
    - { name: profile, match: { function: "profile*" }, ttl: 5m, scope: per_caller }
"#;

/// A token that says it ends at this second of 1970.
fn token(exp: u64) -> String {
    // base64url of the claims: their length is a multiple of three, so there is no padding to drop
    let claims = format!("{{\"exp\":{exp:>13}}}");
    let bits = claims.bytes().flat_map(|b| (0..8).rev().map(move |i| b >> i & 1)).collect::<Vec<_>>();
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let text: String = bits.chunks(6).map(|six| char::from(letters[six.iter().fold(0, |n, bit| n << 1 | usize::from(*bit))])).collect();
    format!("Bearer e30.{text}.c2ln")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_ends_with_its_callers_token() {
    let (origin, clock) = (numbered(&[("Access-Control-Allow-Origin", "*")]).await, Clock::manual());
    let sidecar = in_front_of(&origin.url()).rules(PER_CALLER).clock(&clock).start().await;
    let now = clock.wall().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let caller = |exp: u64| get("/profile").header("authorization", &token(exp));
    let (short, long, over) = (caller(now + 61), caller(now + 3600), caller(now - 1));
    for (request, left) in [(&short, "60"), (&long, "300")] {
        assert_eq!(told(&sidecar.send(request.clone()).await), STORED);
        let hit = sidecar.send(request.clone()).await;
        assert_eq!(told(&hit), ("HIT", format!("hit; ttl={left}").as_str()));
    }
    assert_eq!(told(&sidecar.send(over).await).1, "fwd=uri-miss; fwd-status=200; detail=no_freshness");
    clock.advance(Duration::from_secs(61));
    let before = origin.count();
    assert_ne!(told(&sidecar.send(short).await).0, "HIT", "the function says what an expired token gets");
    assert_eq!((told(&sidecar.send(long).await), origin.count()), (("HIT", "hit; ttl=239"), before + 1));
}
