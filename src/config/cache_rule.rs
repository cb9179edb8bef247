//! A `cache:` rule of a rules file: whose answers are kept, for how long, and what tells them apart.

use http::Method;

use super::decode::{Decoder, Fields};
use super::diagnostics::Code;
use super::rules::{has_any, head, methods_error};
use super::spanned::{Kind, Node};
use super::values;
use crate::cache::{self, OriginCacheControl, Scope, Statuses, Ttl};
use crate::engine::Rule;

const KEYS: [&str; 7] = ["name", "match", "ttl", "scope", "statuses", "origin_cache_control", "ignore_set_cookie"];
const SCOPES: [(&str, Scope); 4] =
    [("public", Scope::Public), ("per_caller", Scope::PerCaller), ("anonymous", Scope::Anonymous), ("standard", Scope::Standard)];
const STATUSES: [(&str, Statuses); 2] = [("default", Statuses::Usual), ("any", Statuses::Any)];
const ORIGIN: [(&str, OriginCacheControl); 2] = [("respect", OriginCacheControl::Respect), ("override", OriginCacheControl::Override)];
/// Statuses that a rule may give a lifetime (cache.md 4.1).
const STORABLE: [&str; 8] = ["200", "203", "204", "300", "301", "308", "404", "410"];

/// One entry of `cache.include`.
pub fn cache_rule(d: &mut Decoder, node: &Node) -> Option<Rule<cache::Settings>> {
    let fields = d.fields(node, &KEYS)?;
    let (name, matcher) = head(d, fields);
    let settings = settings(d, fields);
    let matcher = matcher?;
    if !matcher.methods.is_empty() && !has_any(&matcher, |m| m == Method::GET || m == Method::HEAD) {
        methods_error(d, node, "only answers to GET and HEAD are cached");
    }
    Some(Rule { name: name?.into(), matcher, settings: settings? })
}

fn settings(d: &mut Decoder, fields: Fields<'_>) -> Option<cache::Settings> {
    let ttl = fields.required(d, "ttl").and_then(|n| ttl(d, n));
    let scope = fields.get("scope").map_or(Some(Scope::Anonymous), |n| d.word(n, &SCOPES));
    let statuses = fields.get("statuses").map_or(Some(Statuses::Usual), |n| d.word(n, &STATUSES));
    let origin_cache_control = fields.get("origin_cache_control").map_or(Some(OriginCacheControl::Respect), |n| d.word(n, &ORIGIN));
    let ignore_set_cookie = fields.get("ignore_set_cookie").map_or(Some(Vec::new()), |n| cookies(d, n));
    Some(cache::Settings {
        ttl: ttl?,
        scope: scope?,
        statuses: statuses?,
        origin_cache_control: origin_cache_control?,
        ignore_set_cookie: ignore_set_cookie?,
    })
}

fn ttl(d: &mut Decoder, node: &Node) -> Option<Ttl> {
    if !matches!(node.kind, Kind::Mapping(_)) {
        return d.read(node, values::duration).map(Ttl::Usual);
    }
    let mut list = Vec::new();
    for (key, value) in d.entries(node)? {
        let status = STORABLE.iter().find(|s| **s == key.text).and_then(|s| s.parse().ok());
        if status.is_none() {
            let message = format!("a rule gives no lifetime to answers with status `{}`", key.text.escape_debug());
            d.error(Code::BadValue, key.span, message, format!("one of: {}", STORABLE.join(", ")));
        }
        let duration = d.read(value, values::duration);
        list.extend(status.zip(duration));
    }
    if list.is_empty() {
        d.error(Code::EmptyValue, node.span, "no status is given a lifetime", "such as `ttl: 5m` or `ttl: { 200: 5m, 404: 15s }`");
    }
    Some(Ttl::ByStatus(list))
}

/// Names of cookies, each once.
fn cookies(d: &mut Decoder, node: &Node) -> Option<Vec<String>> {
    let help = "name each cookie that says nothing of its caller, such as `[__cf_bm]`; an answer that sets another one is never stored";
    names(d, node, help, |text| {
        let token = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&b));
        let message = || format!("`{}` is not the name of a cookie", text.escape_debug());
        if token { Ok(text.to_owned()) } else { Err(values::Fault { code: Code::BadValue, message: message(), help: help.to_owned() }) }
    })
}

/// A list of names, each once, of which there must be one; `None` if any of them is none.
fn names<T>(d: &mut Decoder, node: &Node, help: &str, parse: impl Fn(&str) -> Result<T, values::Fault>) -> Option<Vec<T>> {
    let items = d.list(node)?;
    if items.is_empty() {
        d.error(Code::EmptyValue, node.span, "the list is empty", help);
    }
    let (before, mut seen, mut read) = (d.problems.len(), Vec::new(), Vec::new());
    for item in items {
        if let (Some(name), Some(text)) = (d.read(item, &parse), item.scalar()) {
            d.unique(&mut seen, text, item.span);
            read.push(name);
        }
    }
    (!items.is_empty() && d.problems.len() == before).then_some(read)
}
