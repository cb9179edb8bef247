//! The events of a webhook once more, the plain way: the whole body as values, then a walk. It gives no answer where values cannot tell
//! what JavaScript sees (lone surrogates, invalid UTF-8, very deep nesting).

use std::collections::BTreeSet;

use edge_sidecar::dedup::extract::MAX_KEYS;
use edge_sidecar::dedup::key::{EventKey, KeyHasher, Scope};
use edge_sidecar::dedup::{Extracted, SkipReason};
use serde_json::Value;

/// The lists of items that have an id, with the members that tell apart the events of one id.
const LISTS: [(&str, &[&str]); 4] =
    [("messages", &["type"]), ("message_echoes", &["type"]), ("statuses", &["status", "type"]), ("calls", &["event"])];

/// The two spellings of the member of a group that a status is about.
const MEMBER: [&str; 2] = ["recipient_participant_id", "participant_recipient_id"];

#[derive(Default)]
struct Model {
    keys: BTreeSet<EventKey>,
    /// An item has no key.
    idless: bool,
    /// A key has a part that depends on how a value is written.
    unsure: bool,
}

/// Compares what was found with what the values say.
pub fn check(scope: &Scope<'_>, body: &[u8], found: &Result<Extracted, SkipReason>) {
    let text = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let Ok(root) = serde_json::from_slice::<Value>(text) else { return };
    let mut model = Model::default();
    for change in elements(&root["entry"]).flat_map(|entry| elements(&entry["changes"])) {
        model.change(&KeyHasher::new(scope, "whatsapp"), change);
    }
    match found {
        Ok(found) => {
            let keys: BTreeSet<EventKey> = found.keys.iter().copied().collect();
            assert!(model.keys.is_subset(&keys), "an event is overlooked");
            assert!(model.unsure || model.keys == keys, "an event is made up");
            assert!(found.idless || !model.idless, "an item without an id is overlooked");
        }
        Err(SkipReason::NoId) => assert!(model.keys.is_empty() && !model.unsure, "an event is overlooked"),
        Err(SkipReason::TooManyIds) => assert!(body.len() > MAX_KEYS * "{},".len()),
        Err(reason) => assert_eq!(*reason, SkipReason::TooManyIds, "valid JSON"),
    }
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

impl Model {
    fn change(&mut self, keys: &KeyHasher, change: &Value) {
        let value = &change["value"];
        let number = match &value["metadata"] {
            Value::Object(metadata) => part(metadata.get("phone_number_id").unwrap_or(&Value::Null)),
            Value::Null => Ok(None),
            _ => Err(Odd),
        };
        let field = part(&change["field"]);
        for (list, marks) in LISTS {
            for item in elements(&value[list]) {
                let (Ok(field), Ok(number)) = (&field, &number) else {
                    self.idless = true;
                    continue;
                };
                let mut hasher = keys.clone();
                for shared in [field.as_deref(), number.as_deref(), Some(list)] {
                    hasher.part(shared.map(str::as_bytes));
                }
                self.item(hasher, item, marks);
            }
        }
    }

    fn item(&mut self, mut hasher: KeyHasher, item: &Value, marks: &[&str]) {
        let status = marks.contains(&"status");
        let mut parts = vec![part(&item["id"])];
        parts.extend(marks.iter().map(|mark| part(&item[*mark])));
        if status {
            parts.push(match MEMBER.map(|name| part(&item[name])) {
                [Ok(None), other] | [other, Ok(None)] => other,
                _ => Err(Odd),
            });
        }
        let parts: Vec<_> = parts.into_iter().collect::<Result<_, Odd>>().unwrap_or_default();
        if !matches!(parts.first(), Some(Some(id)) if !id.trim().is_empty()) {
            self.idless = true;
        } else if status && item.get("payment").is_some() {
            self.unsure = true;
        } else {
            for part in &parts {
                hasher.part(part.as_deref().map(str::as_bytes));
            }
            if status {
                hasher.part(None);
            }
            self.keys.insert(hasher.finish());
        }
    }
}

/// Not fit for a part of a key.
struct Odd;

/// The text of a part, `None` for null.
fn part(value: &Value) -> Result<Option<String>, Odd> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.len() <= 512 => Ok(Some(text.clone())),
        Value::Number(number) if number.is_u64() && number.to_string().len() <= 15 => Ok(Some(number.to_string())),
        _ => Err(Odd),
    }
}
