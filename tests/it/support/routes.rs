//! One request of each kind of route: what must hold on every way to a function is tested with all of them.

use super::client::{Request, get, post};

/// Rules under which [`each`] takes its ways.
pub const RULES: &str = r#"
dedup:
  include:
    - { name: whatsapp, match: { function: "wa-webhook*", method: POST }, id: whatsapp, window: 24h }
cache:
  include:
    - { name: profile, match: { function: "profile*" }, ttl: 5m, scope: per_caller }
"#;

/// A webhook with one message.
pub fn message(id: &str) -> String {
    let value = format!(
        r#"{{"messaging_product":"whatsapp","metadata":{{"phone_number_id":"7"}},"messages":[{{"from":"2","id":"{id}","type":"text","text":{{"body":"hi"}}}}]}}"#
    );
    format!(r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"value":{value},"field":"messages"}}]}}]}}"#)
}

/// Streamed GET, streamed POST, cached GET, deduplicated POST. Another `n` is another resource and another message.
pub fn each(n: &str) -> [(&'static str, Request); 4] {
    [
        ("plain GET", get(&format!("/plain/{n}"))),
        ("plain POST", post(&format!("/plain/{n}"), "{}")),
        ("cached GET", get(&format!("/profile/{n}"))),
        ("webhook", post("/wa-webhook-core", message(n))),
    ]
}
