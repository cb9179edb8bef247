//! The cache's part of the admin doors: purges, and what is stored.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::Sidecar;
use crate::proxy::Shared;
use crate::store::purge::{Manner, Purge};
use crate::store::responses::Large;

/// Largest answers that are shown.
const SHOWN: usize = 20;

/// Takes out what an operator names, or only counts it; nobody joins a fetch of it any more that began before. Functions are named
/// behind each upstream's prefix.
pub(super) fn purge(shared: Arc<Shared>, sidecar: &Sidecar) -> impl Fn(Purge, Manner) -> u64 + Send + Sync + use<> {
    let prefixes: Vec<_> = sidecar.upstreams.iter().map(|u| (u.name.clone(), u.function_prefix.clone())).collect();
    move |purge, manner| {
        let purge = if let Purge::Function(name, _) = purge { Purge::Function(name, prefixes.clone()) } else { purge };
        let purged = match manner {
            Manner::Count => return shared.responses.count(&purge),
            Manner::Remove => shared.responses.purge(&purge),
            Manner::Soften => shared.responses.soften(&purge, shared.clock.now()),
        };
        shared.flights.detach(|key| purge.takes(key));
        purged
    }
}

/// What `GET /cache` answers. Callers show only as digits that tell them apart until the next restart.
pub(super) fn stored(shared: &Shared) -> Value {
    let totals = shared.responses.totals();
    let rule = |(rule, usage): (Arc<str>, crate::store::responses::Usage)| {
        let figures = json!({ "entries": usage.entries, "bytes": usage.bytes, "evictions": usage.evictions, "purged": usage.purged });
        (rule.to_string(), figures)
    };
    let rules: serde_json::Map<_, _> = shared.responses.usage().into_iter().map(rule).collect();
    let large = |large: &Large| {
        let key = large.key.parts();
        let caller = large.caller.map(|caller| format!("{caller:06x}"));
        json!({
            "rule": key.rule, "upstream": key.upstream, "host": key.host, "path": key.path, "caller": caller,
            "variants": large.variants, "bytes": large.bytes,
        })
    };
    let largest: Vec<Value> = shared.responses.largest(SHOWN).iter().map(large).collect();
    json!({ "entries": totals.entries, "bytes": totals.bytes, "capacityBytes": totals.capacity, "rules": rules, "largest": largest })
}
