//! One item of a webhook, and the parts that make its key.

use std::borrow::Cow;

use super::json::Reader;
use super::text::Text;
use crate::dedup::SkipReason;
use crate::dedup::key::{EventKey, KeyHasher};

/// A longer text is no id of this sender's, and nothing is hashed for it.
pub const MAX_PART: usize = 512;

/// The kinds of items that have an id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message from a customer.
    Message,
    /// A message the business sent from its own phone.
    Echo,
    /// What became of a message, a call or a payment.
    Status,
    /// An event of a call.
    Call,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Message, Self::Echo, Self::Status, Self::Call];

    /// The name of the list these are in; a part of their keys.
    pub const fn list(self) -> &'static str {
        match self {
            Self::Message => "messages",
            Self::Echo => "message_echoes",
            Self::Status => "statuses",
            Self::Call => "calls",
        }
    }

    /// What tells apart the events that share an id. A status of a group's message names one of its members, in either spelling.
    pub const fn marks(self) -> &'static [&'static str] {
        match self {
            Self::Message | Self::Echo => &["type"],
            Self::Status => &["status", "type", "recipient_participant_id", "participant_recipient_id"],
            Self::Call => &["event"],
        }
    }
}

/// What an item's key is made of, besides what it shares with the rest of its change.
pub struct Item<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its `id`.
    pub id: Part<'a>,
    /// The members named by [`Kind::marks`], in that order.
    pub marks: [Part<'a>; 4],
    /// The fingerprint of a status's `payment`.
    pub payment: Option<EventKey>,
}

impl Item<'_> {
    /// An item of which nothing is known yet.
    pub const fn new(kind: Kind) -> Self {
        Self { kind, id: Part::Absent, marks: [Part::Absent; 4], payment: None }
    }

    /// The item's key, if it has an id and nothing odd where its other parts should be.
    pub fn key(&self, mut hasher: KeyHasher) -> Option<EventKey> {
        let [first, second, member, same_member] = self.marks;
        let sound = match self.kind {
            _ if !self.id.add_id(&mut hasher) => false,
            Kind::Status => {
                let member = match (member, same_member) {
                    (Part::Absent, other) | (other, Part::Absent) => other,
                    _ => Part::Odd,
                };
                let sound = first.add(&mut hasher) && second.add(&mut hasher) && member.add(&mut hasher);
                hasher.part(self.payment.as_ref().map(|print| &print.as_bytes()[..]));
                sound
            }
            Kind::Message | Kind::Echo | Kind::Call => first.add(&mut hasher),
        };
        sound.then(|| hasher.finish())
    }
}

/// One part of a key, as it stands in the body.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// Not there, or null.
    Absent,
    /// A string.
    Text(Text<'a>),
    /// A number whose text in JavaScript is sure to be what is written here.
    Digits(&'a [u8]),
    /// Anything else.
    Odd,
}

impl<'a> Part<'a> {
    /// Reads the value of a member.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, SkipReason> {
        Ok(match reader.peek()? {
            b'"' => Self::Text(reader.string()?),
            b'n' => reader.literal().map(|_| Self::Absent)?,
            b'-' | b'0'..=b'9' => match reader.number()? {
                digits if digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit) => Self::Digits(digits),
                _ => Self::Odd,
            },
            _ => reader.skip().map(|()| Self::Odd)?,
        })
    }

    /// Adds the part as the id of a key; false if it is none.
    pub fn add_id(&self, hasher: &mut KeyHasher) -> bool {
        let id = match self {
            Self::Text(text) => text.decode(),
            Self::Digits(digits) => Cow::Borrowed(*digits),
            Self::Absent | Self::Odd => return false,
        };
        let sound = id.len() <= MAX_PART && !String::from_utf8_lossy(&id).trim().is_empty();
        if sound {
            hasher.id(&id);
        }
        sound
    }

    /// Adds the part to a key; false if it is not fit for one.
    pub fn add(&self, hasher: &mut KeyHasher) -> bool {
        let text = match self {
            Self::Absent => None,
            Self::Text(text) => Some(text.decode()),
            Self::Digits(digits) => Some(Cow::Borrowed(*digits)),
            Self::Odd => return false,
        };
        hasher.part(text.as_deref());
        text.is_none_or(|text| text.len() <= MAX_PART)
    }
}
