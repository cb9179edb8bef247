//! `match:` blocks and `exclude:` lists of a rules file.

use super::decode::{Decoder, Fields};
use super::diagnostics::Code;
use super::grammar::{EXCLUSION, MATCH};
use super::spanned::{Kind, Node};
use super::values;
use crate::engine::Site;
use crate::engine::ruleset::Exclusion;
use crate::rules::function::name as function_of;
use crate::rules::{Matcher, Pattern};

/// A `match:` block, or a bare string that means its `path`.
pub fn matcher(d: &mut Decoder, node: &Node) -> Option<Matcher> {
    if matches!(node.kind, Kind::Scalar { .. }) {
        return d.read(node, values::path_glob).map(Matcher::path);
    }
    let fields = d.fields(node, &MATCH)?;
    if matches!(&node.kind, Kind::Mapping(entries) if entries.is_empty()) {
        d.error(Code::EmptyValue, node.span, "an empty `match` matches every request", "if that is meant, write `match: \"**\"`");
    }
    let mut result = Matcher {
        function: fields.get("function").and_then(|n| d.read(n, function)),
        path: fields.get("path").and_then(|n| d.read(n, values::path_glob)),
        host: fields.get("host").and_then(|n| d.read(n, host)),
        listener: fields.get("listener").and_then(|n| d.read(n, values::glob)),
        ..Matcher::default()
    };
    if let Some(node) = fields.get("method") {
        result.methods = methods(d, node);
    }
    if let Some(node) = fields.get("query") {
        result.query = query(d, node);
    }
    if let Some(node) = fields.get("header") {
        let entries = d.entries(node).unwrap_or_default();
        for (key, value) in entries {
            let name = values::header(&key.text).map_err(|fault| d.fault(fault, key.span)).ok();
            let glob = d.read(value, values::glob);
            result.headers.extend(name.zip(glob));
        }
        no_entries(d, node, entries.is_empty());
    }
    served(d, fields, &result);
    Some(result)
}

/// Warns of a listener that there is not, and of a path whose function is another one.
fn served(d: &mut Decoder, fields: Fields<'_>, matcher: &Matcher) {
    let sites = d.sites.clone();
    let meant = |site: &&Site| matcher.listener.as_ref().is_none_or(|listener| listener.is_match(&site.listener));
    if sites.is_empty() {
        return;
    }
    if let (Some(node), false) = (fields.get("listener"), sites.iter().any(|site| meant(&site)))
        && let Some(glob) = &matcher.listener
    {
        let names: Vec<&str> = sites.iter().map(|site| site.listener.as_str()).collect();
        let message = format!("no listener of the sidecar file is named `{}`", glob.as_str());
        return d.warning(Code::UnknownName, node.span, message, values::suggestion(glob.as_str(), &names));
    }
    let (Some(node), Some(path), Some(wanted)) = (fields.get("path"), &matcher.path, &matcher.function) else { return };
    let names = sites.iter().filter(meant).map(|site| function_of(path.as_str(), &site.prefix));
    let names: Vec<&str> = names.collect();
    if path.is_literal() && !names.iter().any(|name| wanted.is_match(name)) {
        let message = format!("the function of this path is `{}`, which `function: {}` never matches", names[0], wanted.as_str());
        d.warning(Code::Unreachable, node.span, message, "both must hold: remove one of them");
    }
}

/// A function's name is one segment of a path.
fn function(text: &str) -> Result<Pattern, values::Fault> {
    if text.contains('/') {
        let last = text.rsplit('/').find(|segment| segment.contains(char::is_alphanumeric)).unwrap_or("*");
        let path = if text.starts_with('/') { text.to_owned() } else { format!("**/{text}") };
        let message = format!("`{text}` matches no function: a name has no `/`");
        return Err(values::Fault {
            code: Code::BadGlob,
            message,
            help: format!("write `path: \"{path}\"`, or the name alone, `function: \"{last}\"`"),
        });
    }
    values::glob(text)
}

/// The host of a request is compared in lower case.
fn host(text: &str) -> Result<Pattern, values::Fault> {
    if text.contains('/') {
        let bare = text.rsplit("://").next().unwrap_or_default().split('/').next().unwrap_or_default();
        let message = format!("`{text}` matches no host: it is a name, with a port or without");
        return Err(values::Fault { code: Code::BadGlob, message, help: format!("did you mean `{bare}`?") });
    }
    values::glob(&text.to_ascii_lowercase())
}

fn methods(d: &mut Decoder, node: &Node) -> Vec<http::Method> {
    if matches!(node.kind, Kind::Sequence(_)) {
        let methods = d.each(node, |d, item| d.read(item, values::method));
        no_entries(d, node, node.items().is_empty());
        // of a list with mistakes nothing is kept, so that what is left of it is not judged
        return if methods.len() == node.items().len() { methods } else { Vec::new() };
    }
    d.read(node, values::method).into_iter().collect()
}

/// A name that must be present, or names with a glob on the value of each.
fn query(d: &mut Decoder, node: &Node) -> Vec<(String, Option<Pattern>)> {
    if matches!(node.kind, Kind::Scalar { .. }) {
        return d.read(node, query_name).map(|name| (name, None)).into_iter().collect();
    }
    let entries = d.entries(node).unwrap_or_default();
    no_entries(d, node, entries.is_empty());
    let mut result = Vec::new();
    for (key, value) in entries {
        let name = query_name(&key.text).map_err(|fault| d.fault(fault, key.span)).ok();
        let glob = d.read(value, value_glob);
        result.extend(name.zip(glob.map(Some)));
    }
    result
}

/// Queries are compared as written, so a name holds none of the characters that end one.
fn query_name(text: &str) -> Result<String, values::Fault> {
    if text.is_empty() || text.contains(['&', '=', '#', ' ']) {
        let message = format!("`{}` is not the name of a query parameter", text.escape_debug());
        return Err(values::Fault { code: Code::BadValue, message, help: "such as `hub.challenge`, or `{lang: \"e*\"}`".to_owned() });
    }
    Ok(text.to_owned())
}

/// A value may be empty, unlike a name: `?hub.challenge=`.
fn value_glob(text: &str) -> Result<Pattern, values::Fault> {
    if text.is_empty() { Ok(Pattern::new(text).expect("matches the empty value alone")) } else { values::glob(text) }
}

/// An empty list would be no condition at all, and so match everything.
fn no_entries(d: &mut Decoder, node: &Node, empty: bool) {
    if empty && matches!(node.kind, Kind::Mapping(_) | Kind::Sequence(_)) {
        d.error(Code::EmptyValue, node.span, "an empty condition matches every request", "give it an entry, or remove the key");
    }
}

/// The name of an entry, for the check that it is unique.
#[must_use]
pub fn name_of(node: &Node) -> Option<(&str, super::diagnostics::Span)> {
    match node.get("name") {
        Some(Node { kind: Kind::Scalar { text, .. }, span }) => Some((text, *span)),
        _ => None,
    }
}

/// One entry of an `exclude:` list: a path glob, or `{name, match}`.
pub fn exclusion(d: &mut Decoder, node: &Node) -> Option<Exclusion> {
    if matches!(node.kind, Kind::Scalar { .. }) {
        let pattern = d.read(node, values::path_glob)?;
        return Some(Exclusion { name: pattern.as_str().into(), matcher: Matcher::path(pattern) });
    }
    let fields = d.fields(node, &EXCLUSION)?;
    let name = fields.required(d, "name").and_then(|n| d.read(n, values::name));
    let matcher = fields.required(d, "match").and_then(|n| matcher(d, n));
    Some(Exclusion { name: name?.into(), matcher: matcher? })
}
