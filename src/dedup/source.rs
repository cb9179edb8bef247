//! Where the ids of a sender's events are: the presets, and the forms they are made of.

use std::borrow::Cow;
use std::str::FromStr;

use bytes::Bytes;
use http::HeaderName;

/// Where the ids of a request's events are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdSource {
    /// `whatsapp`: the WhatsApp Cloud API's messages, statuses, calls and echoes.
    WhatsApp,
    /// One place of the request.
    Field(Field),
    /// The first of these that yields an id.
    FirstOf(Vec<Self>),
}

/// A place of the request that holds ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Whose ids they are, a part of the key: the preset's name, or `custom`.
    pub profile: Cow<'static, str>,
    /// Where they are.
    pub place: Place,
}

/// The forms of `id:` in a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `json:` a path into the body; `with:` members beside the id that tell apart events which share it.
    Json {
        /// The way to the id.
        path: JsonPath,
        /// Names of members of the object that holds the id.
        with: Vec<String>,
    },
    /// `header:` a field of the request's head.
    Header(HeaderName),
    /// `form:` a field of a URL-encoded body.
    Form(String),
}

/// Longest path, in steps.
const MAX_STEPS: usize = 16;

/// A way into a JSON document: names with dots between, `[]` for each element of a list, as in `entry[].messaging[].message.mid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into the member of this name.
    Member(String),
    /// Into each element of a list.
    Each,
}

impl JsonPath {
    /// The steps, one at least.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl FromStr for JsonPath {
    type Err = &'static str;

    /// Reads `a.b[].c`; a document that is itself a list begins with `[]`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut steps = Vec::new();
        for (at, segment) in text.split('.').enumerate() {
            let name = segment.trim_end_matches("[]");
            if name.contains(['[', ']', '*', '$']) || name.contains(char::is_whitespace) {
                return Err("a name holds a character that means nothing here");
            }
            if name.is_empty() && (at > 0 || segment.is_empty()) {
                return Err("a name is missing");
            }
            if !name.is_empty() {
                steps.push(Step::Member(name.to_owned()));
            }
            steps.extend(std::iter::repeat_n(Step::Each, (segment.len() - name.len()) / 2));
        }
        if steps.len() > MAX_STEPS { Err("the path has more than 16 steps") } else { Ok(Self(steps)) }
    }
}

/// What a duplicate is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateResponse {
    /// 200 to 299: anything else would make the sender repeat the message.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// The body, to the letter.
    pub body: Bytes,
}

impl Default for DuplicateResponse {
    /// The contract of the platform's own code.
    fn default() -> Self {
        Self::of("application/json", r#"{"success":true,"duplicate":true}"#)
    }
}

impl DuplicateResponse {
    /// Most bytes of a body.
    pub const MAX_BODY: usize = 4096;

    fn of(content_type: &str, body: &'static str) -> Self {
        Self { status: 200, content_type: content_type.to_owned(), body: Bytes::from_static(body.as_bytes()) }
    }
}

/// A known sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The WhatsApp Cloud API.
    WhatsApp,
    /// Stripe: one event a body.
    Stripe,
    /// GitHub: one delivery a request; a manual redelivery keeps its id.
    GitHub,
    /// Shopify: one delivery a request.
    Shopify,
    /// Slack's Events API; its `url_verification` has no id and passes.
    Slack,
    /// Twilio: the token of its repeats, else the message's id. It reads the answer as `TwiML`.
    Twilio,
    /// Telegram: updates are numbered, each bot from its own start.
    Telegram,
    /// Whoever follows standardwebhooks.com, and Svix.
    StandardWebhooks,
    /// Messenger and Instagram: an echo or a deletion has the id of its message.
    Messenger,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::WhatsApp,
        Self::Stripe,
        Self::GitHub,
        Self::Shopify,
        Self::Slack,
        Self::Twilio,
        Self::Telegram,
        Self::StandardWebhooks,
        Self::Messenger,
    ];

    /// The word in a rule, and the profile in its keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhatsApp => "whatsapp",
            Self::Stripe => "stripe",
            Self::GitHub => "github",
            Self::Shopify => "shopify",
            Self::Slack => "slack",
            Self::Twilio => "twilio",
            Self::Telegram => "telegram",
            Self::StandardWebhooks => "standard-webhooks",
            Self::Messenger => "messenger",
        }
    }

    /// Where this sender's ids are.
    #[must_use]
    pub fn source(self) -> IdSource {
        let field = |place| IdSource::Field(Field { profile: Cow::Borrowed(self.as_str()), place });
        let header = |name| field(Place::Header(HeaderName::from_static(name)));
        let json = |path: &[Step], with: &[&str]| {
            field(Place::Json { path: JsonPath(path.to_vec()), with: with.iter().map(ToString::to_string).collect() })
        };
        let member = |name: &str| Step::Member(name.to_owned());
        match self {
            Self::WhatsApp => IdSource::WhatsApp,
            Self::Stripe => json(&[member("id")], &[]),
            Self::GitHub => header("x-github-delivery"),
            Self::Shopify => header("x-shopify-webhook-id"),
            Self::Slack => json(&[member("event_id")], &[]),
            Self::Twilio => IdSource::FirstOf(vec![header("i-twilio-idempotency-token"), field(Place::Form("MessageSid".to_owned()))]),
            Self::Telegram => json(&[member("update_id")], &[]),
            Self::StandardWebhooks => IdSource::FirstOf(vec![header("webhook-id"), header("svix-id")]),
            Self::Messenger => {
                let path = [member("entry"), Step::Each, member("messaging"), Step::Each, member("message"), member("mid")];
                json(&path, &["is_echo", "is_deleted"])
            }
        }
    }

    /// What this sender is to be told of a duplicate.
    #[must_use]
    pub fn duplicate_response(self) -> DuplicateResponse {
        match self {
            Self::Twilio => DuplicateResponse::of("text/xml", "<Response/>"),
            Self::Slack => DuplicateResponse::of("text/plain", ""),
            _ => DuplicateResponse::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let member = |name: &str| Step::Member(name.to_owned());
        let cases = [
            ("id", vec![member("id")]),
            ("a.b", vec![member("a"), member("b")]),
            ("a[].id", vec![member("a"), Step::Each, member("id")]),
            ("[].id", vec![Step::Each, member("id")]),
            ("a[][]", vec![member("a"), Step::Each, Step::Each]),
            ("[]", vec![Step::Each]),
        ];
        for (text, steps) in cases {
            assert_eq!(text.parse::<JsonPath>().map(|path| path.0), Ok(steps), "{text}");
        }
        for text in ["", ".", "a.", ".a", "a..b", "a.[]", "a[0]", "a[", "a]", "a[]b", "$.a", "a.*", "a b", &"a.".repeat(17)] {
            assert!(text.parse::<JsonPath>().is_err(), "{text}");
        }
    }
}
