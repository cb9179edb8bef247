//! A `cache:` rule of a rules file: whose answers are kept, for how long, and what tells them apart.

use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderName, Method};

use super::decode::{Decoder, Fields};
use super::diagnostics::Code;
use super::matching::query_name;
use super::rules::{head, methods};
use super::spanned::{Kind, Node};
use super::{grammar, values};
use crate::cache::{self, ClientControl, OriginCacheControl, Scope, Shape, Statuses, Ttl, request};
use crate::engine::Rule;
use crate::rules::Matcher;

const SCOPES: [(&str, Scope); 4] =
    [("public", Scope::Public), ("per_caller", Scope::PerCaller), ("anonymous", Scope::Anonymous), ("standard", Scope::Standard)];
const STATUSES: [(&str, Statuses); 2] = [("default", Statuses::Usual), ("any", Statuses::Any)];
const ORIGIN: [(&str, OriginCacheControl); 2] = [("respect", OriginCacheControl::Respect), ("override", OriginCacheControl::Override)];
const CONTROL: [(&str, ClientControl); 2] = [("ignore", ClientControl::Ignore), ("honour", ClientControl::Honour)];

/// One entry of `cache.include`.
pub fn cache_rule(d: &mut Decoder, node: &Node) -> Option<Rule<cache::Settings>> {
    let fields = d.fields(node, &grammar::CACHE_RULE)?;
    let (name, matcher) = head(d, fields);
    let settings = settings(d, fields);
    let matcher = matcher?;
    methods(d, node, &matcher, |m| m == Method::GET || m == Method::HEAD, "only answers to GET and HEAD are cached");
    if settings.as_ref().is_some_and(|settings| settings.scope == Scope::Public) {
        shared_with_all(d, node, &matcher);
    }
    Some(Rule { name: name?.into(), matcher, settings: settings? })
}

/// A rule that is for callers who say who they are, and gives the answer of one to all.
fn shared_with_all(d: &mut Decoder, node: &Node, matcher: &Matcher) {
    let credential = |name: &HeaderName| [AUTHORIZATION.as_str(), COOKIE.as_str(), "apikey"].contains(&name.as_str());
    if let Some((name, _)) = matcher.headers.iter().find(|(name, _)| credential(name)) {
        let span = node.get("scope").map_or(node.span, |n| n.span);
        let message = format!("`public` gives the answer of one caller with `{name}` to all others with such a field");
        d.warning(Code::Risk, span, message, "write `scope: per_caller`, unless the answer is the same for all");
    }
}

fn settings(d: &mut Decoder, fields: Fields<'_>) -> Option<cache::Settings> {
    let ttl = fields.required(d, "ttl").and_then(|n| ttl(d, n));
    let scope = fields.get("scope").map_or(Some(Scope::Anonymous), |n| d.word(n, &SCOPES));
    let statuses = fields.get("statuses").map_or(Some(Statuses::Usual), |n| d.word(n, &STATUSES));
    let origin_cache_control = fields.get("origin_cache_control").map_or(Some(OriginCacheControl::Respect), |n| d.word(n, &ORIGIN));
    let ignore_set_cookie = fields.get("ignore_set_cookie").map_or(Some(Vec::new()), |n| cookies(d, n));
    let tags = fields.get("tags").map_or(Some(Vec::new()), |n| names(d, n, tag));
    let mut window = |key| fields.get(key).map_or(Some(Duration::ZERO), |n| d.read(n, values::duration));
    let (while_revalidate, if_error) = (window("stale_while_revalidate"), window("stale_if_error"));
    let client_control = fields.get("client_control").map_or(Some(ClientControl::Ignore), |n| d.word(n, &CONTROL));
    let key = fields.get("key").map_or(Some(Shape::default()), |n| shape(d, n));
    Some(cache::Settings {
        statuses: statuses?,
        origin_cache_control: origin_cache_control?,
        ignore_set_cookie: ignore_set_cookie?,
        while_revalidate: while_revalidate?,
        if_error: if_error?,
        client_control: client_control?,
        key: key?,
        tags: tags?,
        ..cache::Settings::new(ttl?, scope?)
    })
}

fn ttl(d: &mut Decoder, node: &Node) -> Option<Ttl> {
    if !matches!(node.kind, Kind::Mapping(_)) {
        return d.read(node, values::duration).map(Ttl::Usual);
    }
    let mut list = Vec::new();
    for (key, value) in d.entries(node)? {
        let status = grammar::STORABLE.iter().find(|s| **s == key.text).and_then(|s| s.parse().ok());
        if status.is_none() {
            let message = format!("a rule gives no lifetime to answers with status `{}`", key.text.escape_debug());
            d.error(Code::BadValue, key.span, message, format!("one of: {}", grammar::STORABLE.join(", ")));
        }
        let duration = d.read(value, values::duration);
        list.extend(status.zip(duration));
    }
    if list.is_empty() {
        d.error(Code::EmptyValue, node.span, "no status is given a lifetime", "such as `ttl: 5m` or `ttl: { 200: 5m, 404: 15s }`");
    }
    Some(Ttl::ByStatus(list))
}

/// `{ query: [NAME...], headers: [NAME...] }`: what of a request tells its answer from others.
fn shape(d: &mut Decoder, node: &Node) -> Option<Shape> {
    let fields = d.fields(node, &grammar::KEY)?;
    if fields.get("query").or(fields.get("headers")).is_none() {
        d.error(
            Code::EmptyValue,
            node.span,
            "the key says nothing",
            "such as `key: { query: [lang, version], headers: [accept-language] }`",
        );
    }
    let query = fields.get("query").map_or(Some(None), |n| names(d, n, query_name).map(Some));
    let headers = fields.get("headers").map_or(Some(Vec::new()), |n| names(d, n, keyable));
    let (mut query, mut headers) = (query?, headers?);
    if let Some(names) = &mut query {
        names.sort_unstable();
    }
    headers.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    Some(Shape { query, headers })
}

/// A field that may be part of a key.
fn keyable(text: &str) -> Result<HeaderName, values::Fault> {
    let name = values::header(text)?;
    match request::unkeyable(&name) {
        Some(why) => {
            let message = format!("`{}` cannot be part of the key", text.escape_debug());
            Err(values::Fault { code: Code::BadHeader, message, help: format!("it {why}") })
        }
        None => Ok(name),
    }
}

/// A word that `Cache-Tag` could name.
fn tag(text: &str) -> Result<String, values::Fault> {
    let word = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    let message = || format!("`{}` is not a tag", text.escape_debug());
    let help = || "a word without blanks and commas, such as `profile`".to_owned();
    if word { Ok(text.to_owned()) } else { Err(values::Fault { code: Code::BadValue, message: message(), help: help() }) }
}

/// Names of cookies, each once.
fn cookies(d: &mut Decoder, node: &Node) -> Option<Vec<String>> {
    let help = "name each cookie that says nothing of its caller, such as `[__cf_bm]`; an answer that sets another one is never stored";
    if node.items().is_empty() && matches!(node.kind, Kind::Sequence(_)) {
        d.error(Code::EmptyValue, node.span, "the list is empty", help);
        return None;
    }
    names(d, node, |text| {
        let token = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&b));
        let message = || format!("`{}` is not the name of a cookie", text.escape_debug());
        if token { Ok(text.to_owned()) } else { Err(values::Fault { code: Code::BadValue, message: message(), help: help.to_owned() }) }
    })
}

/// A list of names, each once; `None` if any of them is none.
fn names<T: PartialEq>(d: &mut Decoder, node: &Node, parse: impl Fn(&str) -> Result<T, values::Fault>) -> Option<Vec<T>> {
    let items = d.list(node)?;
    let (before, mut read) = (d.problems.len(), Vec::new());
    for item in items {
        let Some(name) = d.read(item, &parse) else { continue };
        if read.contains(&name) {
            d.error(Code::Duplicate, item.span, "this name is used twice", "keep one of them");
        }
        read.push(name);
    }
    (d.problems.len() == before).then_some(read)
}
