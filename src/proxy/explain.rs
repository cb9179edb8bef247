//! `explain` by the running rules: the same plan as the data path's, and what is stored for the request now.

use serde_json::{Value, json};

use super::Shared;
use crate::engine::{CachePlan, Question, Site, explain};
use crate::store::responses::Found;

impl Shared {
    /// Why a request would be decided as it is, as JSON. Nothing is fetched, claimed or counted.
    #[must_use]
    pub fn explain(&self, site: &Site, question: &Question) -> Value {
        let snapshot = self.live.load_full();
        let explained = explain(&snapshot.rules, site, question, &self.secret);
        let stored = if let CachePlan::Lookup { key, .. } = &explained.plan.cache {
            let now = self.clock.now();
            match self.responses.lookup(key, &question.headers, now) {
                Found::Entry { entry, .. } => json!({ "is": "entry", "ageSeconds": entry.age(now).as_secs() }),
                Found::NoVariant { .. } => json!({ "is": "other_variants" }),
                Found::Pass => json!({ "is": "pass_marker" }),
                Found::Nothing => json!({ "is": "nothing" }),
            }
        } else {
            Value::Null
        };
        let mut report = serde_json::to_value(&explained.report).unwrap_or_default();
        report["cache"]["stored"] = stored;
        report["generation"] = json!(snapshot.generation);
        report
    }
}
