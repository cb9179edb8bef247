//! Whether a delivery comes from who shares the secret. Over the bytes that came, never over a decoded or rewritten body; in constant time.
//!
//! | scheme | field | what is signed |
//! |---|---|---|
//! | `meta`, `github` | `X-Hub-Signature-256: sha256=HEX` | the body |
//! | `shopify` | `X-Shopify-Hmac-Sha256: BASE64` | the body |
//! | `stripe` | `Stripe-Signature: t=SECONDS,v1=HEX,…` | `SECONDS.body` |
//! | `slack` | `X-Slack-Signature: v0=HEX`, `X-Slack-Request-Timestamp` | `v0:SECONDS:body` |
//! | `standard-webhooks` | `webhook-signature: v1,BASE64 …`, `-id`, `-timestamp` (or `svix-…`) | `id.SECONDS.body` |
//! | `telegram` | `X-Telegram-Bot-Api-Secret-Token` | nothing: it is the secret itself |
//!
//! All are HMAC-SHA256 but the last. A time is signed so that a copy cannot be sent again later: it may be 5 minutes off.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// How far a signed time may be off, either way (Stripe, Slack and Standard Webhooks all say five minutes).
pub const TOLERANCE: Duration = Duration::from_mins(5);
/// Most signatures looked at in one field: senders give one, or two while they rotate their secrets.
const MAX_SIGNATURES: usize = 16;
/// What the secrets of Standard Webhooks begin with.
const WHSEC: &str = "whsec_";

/// Whose rules a signature follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// WhatsApp, Messenger, Instagram.
    Meta,
    /// Stripe.
    Stripe,
    /// GitHub; the same as Meta's.
    GitHub,
    /// Slack.
    Slack,
    /// Standard Webhooks, and Svix before it got that name.
    StandardWebhooks,
    /// Shopify.
    Shopify,
    /// Telegram bots.
    Telegram,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 7] = [Self::Meta, Self::Stripe, Self::GitHub, Self::Slack, Self::StandardWebhooks, Self::Shopify, Self::Telegram];

    /// The word of the scheme.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Stripe => "stripe",
            Self::GitHub => "github",
            Self::Slack => "slack",
            Self::StandardWebhooks => "standard-webhooks",
            Self::Shopify => "shopify",
            Self::Telegram => "telegram",
        }
    }
}

/// `verify:` of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// The rules of the signature.
    pub scheme: Scheme,
    /// Any of these may have made it: the old and the new one while they are rotated. Without one nothing passes.
    pub secrets: Vec<Secret>,
}

/// A shared secret. Shown nowhere, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Reads a secret as it is written in a file or variable: white space around it does not count.
    ///
    /// # Errors
    /// It is empty, or not what the scheme's secrets look like; without a word of it.
    pub fn new(scheme: Scheme, text: &[u8]) -> Result<Self, &'static str> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Err("is empty");
        }
        if scheme != Scheme::StandardWebhooks {
            return Ok(Self(text.into()));
        }
        let encoded = text.strip_prefix(WHSEC.as_bytes()).unwrap_or(text);
        match STANDARD.decode(encoded) {
            Ok(key) if !key.is_empty() => Ok(Self(key.into())),
            _ => Err("is not `whsec_` and base64, as secrets of Standard Webhooks are"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Verify {
    /// Whether a delivery with this head and body, which came at `now`, is signed with one of the secrets.
    #[must_use]
    pub fn accepts(&self, headers: &HeaderMap, body: &[Bytes], now: SystemTime) -> bool {
        let signed = match self.scheme {
            Scheme::Meta | Scheme::GitHub => prefixed(headers, "x-hub-signature-256", "sha256=").map(Signed::of),
            Scheme::Shopify => one(headers, "x-shopify-hmac-sha256").and_then(base64).map(Signed::of),
            Scheme::Stripe => stripe(headers, now),
            Scheme::Slack => slack(headers, now),
            Scheme::StandardWebhooks => standard(headers, now),
            Scheme::Telegram => return one(headers, "x-telegram-bot-api-secret-token").is_some_and(|token| self.holds(token)),
        };
        signed.is_some_and(|signed| self.secrets.iter().any(|secret| signed.made_by(secret, body)))
    }

    /// Whether a token is one of the secrets; as long for each of them, wherever they differ.
    fn holds(&self, token: &str) -> bool {
        self.secrets.iter().fold(false, |found, secret| found | bool::from(secret.0.ct_eq(token.as_bytes())))
    }
}

/// What was signed before the body, and what claims to be its signature.
struct Signed {
    before: String,
    signatures: Vec<Vec<u8>>,
}

impl Signed {
    fn of(signature: Vec<u8>) -> Self {
        Self { before: String::new(), signatures: vec![signature] }
    }

    fn made_by(&self, secret: &Secret, body: &[Bytes]) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).expect("a key of any length");
        mac.update(self.before.as_bytes());
        for chunk in body {
            mac.update(chunk);
        }
        self.signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
    }
}

/// `t=SECONDS,v1=HEX`, further `v1` while secrets are rotated; other parts are older schemes, and not looked at.
fn stripe(headers: &HeaderMap, now: SystemTime) -> Option<Signed> {
    let parts: Vec<(&str, &str)> = one(headers, "stripe-signature")?.split(',').filter_map(|part| part.trim().split_once('=')).collect();
    let mut times = parts.iter().filter(|(name, _)| *name == "t");
    let (Some((_, seconds)), None) = (times.next(), times.next()) else { return None };
    let signatures = parts.iter().filter(|(name, _)| *name == "v1").filter_map(|(_, value)| hex(value)).take(MAX_SIGNATURES).collect();
    Some(Signed { before: format!("{}.", recent(seconds, now)?), signatures })
}

fn slack(headers: &HeaderMap, now: SystemTime) -> Option<Signed> {
    let seconds = recent(one(headers, "x-slack-request-timestamp")?, now)?;
    Some(Signed { before: format!("v0:{seconds}:"), ..Signed::of(prefixed(headers, "x-slack-signature", "v0=")?) })
}

/// `v1,BASE64`, several with spaces between; `v1a` is made with a key pair, and not looked at.
fn standard(headers: &HeaderMap, now: SystemTime) -> Option<Signed> {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let old = ["svix-id", "svix-timestamp", "svix-signature"];
    let [id, seconds, signatures] = if headers.contains_key(names[0]) { names } else { old }.map(|name| one(headers, name));
    let signatures = signatures?.split(' ').filter_map(|s| base64(s.strip_prefix("v1,")?)).take(MAX_SIGNATURES).collect();
    Some(Signed { before: format!("{}.{}.", id?, recent(seconds?, now)?), signatures })
}

/// The value of a field that is there once: of two, nobody knows which one the function reads.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok()
}

fn prefixed(headers: &HeaderMap, name: &str, prefix: &str) -> Option<Vec<u8>> {
    hex(one(headers, name)?.strip_prefix(prefix)?)
}

/// A time that is not further off than [`TOLERANCE`], as written.
fn recent(seconds: &str, now: SystemTime) -> Option<&str> {
    let digits = (1..=12).contains(&seconds.len()) && seconds.bytes().all(|b| b.is_ascii_digit());
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.parse().ok().filter(|_| digits)?);
    let off = now.duration_since(then).unwrap_or_else(|early| early.duration());
    (off <= TOLERANCE).then_some(seconds)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    (text.len() == 64).then(|| text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect())?
}

fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests;
