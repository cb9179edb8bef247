//! Who may see more than sums: the bearer token on the open door.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest as _, Sha256};

use super::{AdminState, Door, error};
use crate::telemetry::DoorRefusal;

/// A bearer token, kept only as its SHA-256, so that neither a dump nor the time of a comparison gives it away.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// The token in the text of a token file, without the blanks and line ends around it; `None` if nothing is left.
    #[must_use]
    pub fn from_file_text(text: &str) -> Option<Self> {
        let token = text.trim();
        (!token.is_empty()).then(|| Self::hash(token.as_bytes()))
    }

    fn hash(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether the request carries this token, as `Authorization: Bearer TOKEN` (RFC 6750 2.1), exactly once.
    #[must_use]
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else { return false };
        let Some((scheme, rest)) = field.as_bytes().split_at_checked(7) else { return false };
        scheme.eq_ignore_ascii_case(b"bearer ") && self.equals(&Self::hash(rest.trim_ascii()))
    }

    /// Looks at all bytes, whatever the first ones say.
    fn equals(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |difference, (a, b)| black_box(difference | (a ^ b))) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Lets a request with the token through; any other is told the ways in.
pub(super) async fn require(State(state): State<Arc<AdminState>>, request: Request, next: Next) -> Response {
    if admits(&state, request.headers()) {
        return next.run(request).await;
    }
    refused(&state)
}

/// Whether a request on an endpoint that is open to all may see more than sums. Who sends a token that does not admit is told so, instead of
/// being shown the sums only.
pub(super) fn sees_details(state: &AdminState, door: Door, headers: &HeaderMap) -> Result<bool, Box<Response>> {
    match (door, headers.contains_key(header::AUTHORIZATION)) {
        (Door::Trusted, _) => Ok(true),
        (Door::Open, false) => Ok(false),
        (Door::Open, true) if admits(state, headers) => Ok(true),
        (Door::Open, true) => Err(Box::new(refused(state))),
    }
}

fn admits(state: &AdminState, headers: &HeaderMap) -> bool {
    state.token.as_ref().is_some_and(|token| token.admits(headers))
}

fn refused(state: &AdminState) -> Response {
    state.metrics.door_refused(DoorRefusal::Unauthorized);
    let message = if state.token.is_some() {
        "send `Authorization: Bearer` with the token of admin.token_file, or use the admin socket: curl --unix-socket PATH http://admin/…"
    } else {
        "use the admin socket: curl --unix-socket PATH http://admin/…; with admin.token_file set, a bearer token opens this address too"
    };
    let mut response = error(StatusCode::UNAUTHORIZED, "unauthorized", message);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"edge-sidecar admin\""));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_admitted() {
        let token = Token::from_file_text("  s3cret-token\n").expect("a token");
        let admits = |fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(header::AUTHORIZATION, field.parse().expect("a field value"));
            }
            token.admits(&headers)
        };
        assert!(admits(&["Bearer s3cret-token"]) && admits(&["bearer  s3cret-token"]));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer s3cret-toke",
            "Bearer s3cret-tokens",
            "Basic s3cret-token",
            "s3cret-token",
            "Bearers3cret-token",
        ] {
            assert!(!admits(&[wrong]), "{wrong}");
        }
        assert!(!admits(&[]) && !admits(&["Bearer s3cret-token", "Bearer s3cret-token"]));
        assert!(Token::from_file_text(" \n").is_none());
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
