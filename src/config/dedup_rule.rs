//! A `dedup:` rule of a rules file: whose ids, for how long, and what a duplicate is answered.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderValue, Method};

use super::decode::{Decoder, Fields};
use super::diagnostics::Code;
use super::grammar;
use super::rules::{head, methods};
use super::spanned::{Kind, Node};
use super::values::{self, suggestion};
use super::verify_rule::verify;
use crate::dedup::source::{Field, Place, Preset};
use crate::dedup::{self, DuplicateResponse, IdSource, WhileFirstRuns};
use crate::engine::Rule;
use crate::engine::expect::span;

/// Longest `window:`; Meta repeats a message for up to so long.
pub const MAX_WINDOW: Duration = Duration::from_hours(7 * 24);

/// One entry of `dedup.include`.
pub fn dedup_rule(d: &mut Decoder, node: &Node) -> Option<Rule<dedup::Settings>> {
    let fields = d.fields(node, &grammar::DEDUP_RULE)?;
    let (name, matcher) = head(d, fields);
    let id = fields.required(d, "id").and_then(|n| id(d, n));
    let default = dedup::Settings::default();
    let window = fields.or(d, "window", default.window, values::duration_in(Duration::from_millis(1), MAX_WINDOW));
    let words = [("wait", WhileFirstRuns::Wait), ("forward", WhileFirstRuns::Forward)];
    let while_first_runs = fields.get("while_first_runs").map_or(Some(default.while_first_runs), |n| d.word(n, &words));
    let wait_timeout = fields.or(d, "wait_timeout", default.wait_timeout, values::positive);
    let usual = fields.get("id").and_then(sender).map(Preset::duplicate_response).unwrap_or_default();
    let duplicate_response = fields.get("duplicate_response").map_or(Some(usual.clone()), |n| duplicate_response(d, n, usual));
    // a rule whose signature is not understood is no rule: it would let everything pass
    let verify = fields.get("verify").map_or(Some(None), |n| verify(d, n).map(Some));
    let matcher = matcher?;
    let carries = |m: &Method| ![Method::GET, Method::HEAD, Method::OPTIONS].contains(m);
    methods(d, node, &matcher, carries, "requests with GET, HEAD and OPTIONS are not deduplicated");
    times(d, fields, window, while_first_runs, wait_timeout);
    let settings = dedup::Settings {
        id: id?,
        window,
        while_first_runs: while_first_runs?,
        wait_timeout,
        duplicate_response: duplicate_response?,
        verify: verify?,
    };
    Some(Rule { name: name?.into(), matcher, settings })
}

/// Times that make each other pointless.
fn times(d: &mut Decoder, fields: Fields<'_>, window: Duration, while_first_runs: Option<WhileFirstRuns>, wait_timeout: Duration) {
    let Some(node) = fields.get("wait_timeout") else { return };
    if while_first_runs == Some(WhileFirstRuns::Forward) {
        let help = "remove `wait_timeout`, or write `while_first_runs: wait`";
        d.warning(Code::Contradiction, node.span, "with `while_first_runs: forward` no copy waits", help);
    } else if wait_timeout > window {
        let message = format!("a copy waits for longer than the window of {}", span(window));
        d.warning(Code::Contradiction, node.span, message, "lengthen `window` (24h is usual for webhooks), or shorten `wait_timeout`");
    }
}

/// The sender whose preset an `id:` is, or begins with.
fn sender(node: &Node) -> Option<Preset> {
    match &node.kind {
        Kind::Scalar { text, .. } => Preset::ALL.into_iter().find(|preset| preset.as_str() == text),
        _ => node.items().iter().find_map(sender),
    }
}

/// `id:` a preset, a form, or a list of these of which the first that yields an id counts.
fn id(d: &mut Decoder, node: &Node) -> Option<IdSource> {
    match &node.kind {
        Kind::Mapping(_) => form(d, node),
        Kind::Sequence(items) => {
            let sources = d.each(node, |d, item| if item.items().is_empty() { id(d, item) } else { nested(d, item) });
            if items.is_empty() {
                d.error(
                    Code::EmptyValue,
                    node.span,
                    "the list of alternatives is empty",
                    "name a preset or a place, such as `header: webhook-id`",
                );
            }
            (!items.is_empty() && sources.len() == items.len()).then_some(IdSource::FirstOf(sources))
        }
        _ => d.word(node, &Preset::ALL.map(|preset| (preset.as_str(), preset))).map(Preset::source),
    }
}

fn nested(d: &mut Decoder, node: &Node) -> Option<IdSource> {
    d.error(Code::WrongType, node.span, "a list within the list of alternatives", "write all alternatives in one list");
    None
}

/// `{ json: PATH, with: [NAME...] }`, `{ header: NAME }` or `{ form: NAME }`.
fn form(d: &mut Decoder, node: &Node) -> Option<IdSource> {
    let fields = d.fields(node, &grammar::ID)?;
    let given: Vec<(&str, &Node)> = ["json", "header", "form"].into_iter().filter_map(|key| Some((key, fields.get(key)?))).collect();
    let [(key, value)] = given[..] else {
        let help = "one of `json: PATH`, `header: NAME`, `form: NAME`; several places are a list, `id: [{ header: a }, { form: b }]`";
        d.error(Code::BadValue, node.span, "an id has exactly one place", help);
        return None;
    };
    let with = fields.get("with").map(|n| (n, names(d, n)));
    if let (Some((with, _)), true) = (&with, key != "json") {
        d.error(Code::BadValue, with.span, "`with` goes with `json` only", "it names members beside the id in the body");
        return None;
    }
    let place = match key {
        "header" => Place::Header(d.read(value, values::header)?),
        "form" => Place::Form(d.text(value).filter(|name| !name.is_empty() || empty(d, value))?.to_owned()),
        _ => Place::Json { path: d.read(value, values::json_path)?, with: with.map_or(Some(Vec::new()), |(_, names)| names)? },
    };
    Some(IdSource::Field(Field { profile: Cow::Borrowed("custom"), place }))
}

/// Notes an empty name; false, for use in a filter.
fn empty(d: &mut Decoder, node: &Node) -> bool {
    d.error(Code::EmptyValue, node.span, "the name is empty", "give it a name");
    false
}

/// Names of members, each once.
fn names(d: &mut Decoder, node: &Node) -> Option<Vec<String>> {
    let mut seen = Vec::new();
    let items = d.list(node)?;
    for item in items {
        if let Some(name) = d.text(item).filter(|name| !name.is_empty() || empty(d, item)) {
            d.unique(&mut seen, name, item.span);
        }
    }
    if seen.len() > 8 {
        d.error(Code::OutOfRange, node.span, "more than 8 names", "name only what tells apart events that share an id");
    }
    (seen.len() == items.len() && seen.len() <= 8).then(|| seen.into_iter().map(|(name, _)| name.to_owned()).collect())
}

/// `{ status, content_type, body }`; what is not given stays as the sender's preset has it.
fn duplicate_response(d: &mut Decoder, node: &Node, usual: DuplicateResponse) -> Option<DuplicateResponse> {
    let fields = d.fields(node, &grammar::DUPLICATE_RESPONSE)?;
    let status = fields.or(d, "status", usual.status.into(), values::number_in(200, 299));
    let status = u16::try_from(status).unwrap_or(usual.status);
    let mut response = DuplicateResponse { status, ..usual };
    if let Some(node) = fields.get("content_type") {
        let text = d.text(node)?;
        if text.is_empty() || HeaderValue::from_str(text).is_err() {
            d.error(Code::BadValue, node.span, "not a content type", suggestion("text/xml", &["text/xml"]));
            return None;
        }
        text.clone_into(&mut response.content_type);
    }
    if let Some(node) = fields.get("body") {
        let text = d.text(node)?;
        if text.len() > DuplicateResponse::MAX_BODY {
            let message = format!("the body has {} bytes", text.len());
            d.error(Code::OutOfRange, node.span, message, "at most 4096: a duplicate is answered with a few words");
            return None;
        }
        response.body = text.to_owned().into();
    }
    if matches!(status, 204 | 205) && !response.body.is_empty() {
        d.error(Code::BadValue, node.span, format!("an answer with status {status} has no body"), "write `body: \"\"`, or another status");
        return None;
    }
    Some(response)
}
