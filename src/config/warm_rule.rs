//! `warm:` of a rules file: the steps that call functions before their callers do.

use std::sync::Arc;
use std::time::Duration;

use super::decode::Decoder;
use super::diagnostics::Code;
use super::grammar;
use super::spanned::Node;
use super::values::{self, Fault};
use crate::upstream::warm::Step;

/// What a function is asked for where the step does not say.
const PATH: &str = "/health";
/// The time of a step where it does not say.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time of a step: at the start, the sidecar is not ready before.
const LONGEST: Duration = Duration::from_mins(5);
/// Shortest and longest period.
const PERIODS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24));
/// Most steps, and most functions of one.
const MOST: usize = 20;

/// The steps.
pub fn steps(d: &mut Decoder, node: &Node) -> Vec<Arc<Step>> {
    too_many(d, node, "steps");
    d.each(node, step).into_iter().map(Arc::new).collect()
}

fn step(d: &mut Decoder, node: &Node) -> Option<Step> {
    let fields = d.fields(node, &grammar::WARM)?;
    let name = fields.required(d, "name").and_then(|n| d.read(n, values::name));
    let functions = fields.required(d, "functions").map(|n| functions(d, n));
    let period = values::duration_in(PERIODS.0, PERIODS.1);
    let step = Step {
        name: name.unwrap_or_default().into(),
        functions: functions?,
        path: fields.or(d, "path", PATH.to_owned(), path),
        on_start: fields.or(d, "on_start", false, values::boolean),
        every: fields.get("every").and_then(|n| d.read(n, period)),
        after_first: fields.get("after_first").and_then(|n| d.read(n, function)),
        timeout: fields.or(d, "timeout", TIMEOUT, values::duration_in(Duration::from_millis(1), LONGEST)),
    };
    let starts = fields.get("on_start").is_some_and(|n| n.scalar() != Some("false"));
    if !starts && fields.get("every").is_none() && fields.get("after_first").is_none() {
        let help = "give it `on_start: true`, `every: 4m` or `after_first: NAME`";
        d.error(Code::MissingKey, fields.span, "nothing makes this step run", help);
    }
    if step.after_first.as_ref().is_some_and(|f| step.functions.contains(f)) {
        let help = "name another function in `after_first`, or leave this one out of `functions`";
        d.error(Code::BadValue, fields.span, "a function cannot be warmed after its own first request", help);
    }
    (!step.name.is_empty() && !step.functions.is_empty()).then_some(step)
}

fn functions(d: &mut Decoder, node: &Node) -> Vec<Arc<str>> {
    too_many(d, node, "functions");
    if node.items().is_empty() {
        d.error(Code::EmptyValue, node.span, "no function is named", "such as `[wa-webhook-core]`");
    }
    let mut seen: Vec<Arc<str>> = Vec::new();
    for item in node.items() {
        let Some(name) = d.read(item, function) else { continue };
        if seen.contains(&name) {
            d.error(Code::Duplicate, item.span, format!("`{name}` is named twice"), "remove one of them");
        } else {
            seen.push(name);
        }
    }
    seen
}

fn too_many(d: &mut Decoder, node: &Node, what: &str) {
    if let Some(items) = d.list(node)
        && let Some(first) = items.get(MOST)
    {
        d.error(Code::OutOfRange, first.span, format!("more than {MOST} {what}"), format!("at most {MOST}"));
    }
}

/// The name of one function, as it stands in a path. No glob: nobody could say which functions there are.
fn function(text: &str) -> Result<Arc<str>, Fault> {
    let slug = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    if (1..=64).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(slug) {
        return Ok(text.into());
    }
    let message = format!("`{}` is not the name of a function", text.escape_debug());
    Err(Fault { code: Code::BadName, message, help: "letters, digits, `-` and `_`, such as `wa-webhook-core`; no glob".to_owned() })
}

/// A path below the function's own, with a query if need be.
fn path(text: &str) -> Result<String, Fault> {
    if text.starts_with('/') && text.len() <= 1024 && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'\\')) {
        return Ok(text.to_owned());
    }
    let message = format!("`{}` is not a path", text.escape_debug());
    Err(Fault { code: Code::BadValue, message, help: "it begins with `/` and follows the function's name, such as `/health`".to_owned() })
}
