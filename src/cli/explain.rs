//! `explain`: why a request is decided as it is, by a rules file or by the running rules. The flags are curl's.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::check;
use super::client::DoorArgs;
use super::life::{ended, print, refused};
use crate::cache::CallerSecret;
use crate::config::{Host, Overrides, Secrets, judge_rules_at, judge_sidecar, values};
use crate::engine::expect::{Aspect, actual, span};
use crate::engine::{Expected, Explained, Question, Site, explain};

/// Flags of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The request's URL, or its path
    #[arg(value_name = "URL|PATH")]
    target: String,
    /// Method [default: GET, with a body POST]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,
    /// A header field, such as `authorization: Bearer x`; may be given several times
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// The body, or the file it is in: `@FILE`
    #[arg(short = 'd', long = "data", value_name = "DATA|@FILE")]
    data: Option<String>,
    /// Rules file
    #[arg(long, value_name = "FILE", default_value = "config/rules.yaml")]
    rules: PathBuf,
    /// Ask the running sidecar, by its rules in force
    #[arg(long, conflicts_with_all = ["rules", "config", "expect"])]
    live: bool,
    /// Sidecar file, for listeners and the prefix of functions [default: sidecar.yaml beside the rules]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listener that takes the request [default: the first]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// What must come out, or the exit code is 1: cache=RULE, ttl=5m, scope=, bypass=, dedup=RULE, skip=, ids=1, slow=; `none` for nothing
    #[arg(long, value_name = "KEY=VALUE")]
    expect: Vec<String>,
    #[command(flatten)]
    door: DoorArgs,
}

/// Runs the command: exit code 1 where an expectation does not hold.
#[must_use]
pub fn run(args: &ExplainArgs) -> ExitCode {
    ended(explained(args))
}

fn explained(args: &ExplainArgs) -> Result<bool> {
    let expected = args.expect.iter().map(|text| expectation(text)).collect::<Result<Vec<_>>>()?;
    let question = question(args)?;
    if args.live {
        return live(args, &question);
    }
    let sites = sites(args)?;
    let site = match &args.listener {
        None => sites.first().context("no listener")?,
        Some(name) => sites.iter().find(|s| s.listener == *name).with_context(|| format!("no listener is named {name}"))?,
    };
    let bytes = fs::read(&args.rules).with_context(|| format!("cannot read {}", args.rules.display()))?;
    let mut judgement = judge_rules_at(&bytes, &sites, Secrets::Unread);
    let Some(rules) = judgement.value.take() else {
        bail!("{} is refused\n{}", args.rules.display(), judgement.render(&args.rules.display().to_string(), false));
    };
    // of one look only: the digits of a caller tell callers apart, and nothing else
    let explained = explain(&rules, site, &question, &CallerSecret::new(rand::random()));
    let unmet = unmet(&expected, &explained);
    let text = if args.door.json {
        let mut value = serde_json::to_value(&explained.report)?;
        value["unmet"] = unmet.iter().map(|line| json!(line)).collect();
        format!("{value:#}\n")
    } else {
        let mut text = words(&serde_json::to_value(&explained.report)?);
        text.extend(unmet.iter().map(|line| format!("{line}\n")));
        text
    };
    io::stdout().write_all(text.as_bytes()).context("cannot print")?;
    Ok(unmet.is_empty())
}

/// Asks the running sidecar.
fn live(args: &ExplainArgs, question: &Question) -> Result<bool> {
    let mut headers = serde_json::Map::new();
    for name in question.headers.keys() {
        let values: Result<Vec<Value>, _> = question.headers.get_all(name).iter().map(|v| v.to_str().map(Value::from)).collect();
        headers.insert(name.to_string(), values.context("a header value that is not text")?.into());
    }
    let body = std::str::from_utf8(&question.body).context("the body is not text: ask by a rules file")?;
    let (method, url) = (question.method.as_str(), question.target());
    let asked = json!({ "method": method, "url": url, "headers": headers, "body": body, "listener": args.listener });
    let answer = args.door.tell("POST", "/explain", Some(&asked))?;
    if answer.status != 200 {
        return refused(&answer);
    }
    print(&args.door, &answer, words(&answer.body).trim_end())?;
    Ok(true)
}

fn unmet(expected: &[Expected], explained: &Explained) -> Vec<String> {
    let line = |e: &Expected| {
        let found = actual(explained, e.aspect);
        (found != e.value).then(|| format!("not as expected: {} is {found}, not {}", e.aspect.as_str(), e.value))
    };
    expected.iter().filter_map(line).collect()
}

fn expectation(text: &str) -> Result<Expected> {
    let names = Aspect::ALL.map(Aspect::as_str);
    let (key, value) = text.split_once('=').with_context(|| format!("--expect {text}: write KEY=VALUE"))?;
    let aspect = Aspect::ALL.into_iter().find(|a| a.as_str() == key);
    let aspect = aspect.with_context(|| format!("--expect {text}: {}", values::suggestion(key, &names)))?;
    let value = if aspect.is_duration() && value != "none" {
        span(values::duration(value).map_err(|fault| anyhow!("--expect {text}: {}; {}", fault.message, fault.help))?)
    } else {
        value.to_owned()
    };
    Ok(Expected { aspect, value })
}

fn question(args: &ExplainArgs) -> Result<Question> {
    let mut headers = HeaderMap::new();
    for field in &args.headers {
        let (name, value) = field.split_once(':').with_context(|| format!("-H {field}: write `name: value`"))?;
        let name: HeaderName = name.trim().parse().with_context(|| format!("-H {field}: not a header name"))?;
        headers.append(name, HeaderValue::from_str(value.trim()).with_context(|| format!("-H {field}: not a header value"))?);
    }
    let body = match args.data.as_deref().map(|data| data.strip_prefix('@').ok_or(data)) {
        None => Bytes::new(),
        Some(Ok(file)) => fs::read(file).with_context(|| format!("cannot read {file}"))?.into(),
        Some(Err(text)) => Bytes::copy_from_slice(text.as_bytes()),
    };
    let default = if args.data.is_some() { "POST" } else { "GET" };
    let method: Method = args.method.as_deref().unwrap_or(default).parse().context("-X: not a method")?;
    if args.data.is_some() {
        // what curl says of it as well
        headers.entry(http::header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/x-www-form-urlencoded"));
    }
    Question::new(method, &args.target, headers, body).map_err(|why| anyhow!(why))
}

/// Where requests come in: as the sidecar file says.
fn sites(args: &ExplainArgs) -> Result<Vec<Site>> {
    match &args.config {
        None => Ok(check::sites_beside(&args.rules, &Host::detect())),
        Some(file) => {
            let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            let judgement = judge_sidecar(&bytes, &Overrides::default(), &Host::detect());
            let refused = || format!("{} is refused\n{}", file.display(), judgement.render(&file.display().to_string(), false));
            Ok(judgement.value.as_ref().with_context(refused)?.sites())
        }
    }
}

/// An explanation for a person: the verdicts, and below each the entries that led to it.
fn words(report: &Value) -> String {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut out = String::new();
    let request = &report["request"];
    let odd = if request["oddPath"] == true { ", sent in another form" } else { "" };
    let _ = writeln!(out, "{} {}{odd}", text(&request["method"]), text(&request["path"]));
    let _ = writeln!(out, "function {}, listener {}", text(&request["function"]), text(&request["listener"]));
    for (title, part) in [("cache", &report["cache"]), ("dedup", &report["dedup"])] {
        let _ = write!(out, "\n{title}: {}", text(&part["verdict"]));
        for key in ["rule", "reason", "scope", "ttl", "window"].iter().filter(|k| part[**k].is_string()) {
            let _ = write!(out, ", {key} {}", text(&part[*key]));
        }
        out.push('\n');
        for pair in part["settings"].as_array().into_iter().flatten() {
            let _ = writeln!(out, "  {:<22} {}", text(&pair[0]), text(&pair[1]));
        }
        for pair in part["key"].as_array().into_iter().flatten() {
            let _ = writeln!(out, "  key {:<9} {}", text(&pair[0]), text(&pair[1]));
        }
        match (part["stored"]["is"].as_str(), part["stored"]["ageSeconds"].as_u64()) {
            (Some("entry"), Some(age)) => drop(writeln!(out, "  stored: an answer of {age} s ago")),
            (Some(what), _) => drop(writeln!(out, "  stored: {}", what.replace('_', " "))),
            _ => {}
        }
        for event in part["events"].as_array().into_iter().flatten() {
            let _ = writeln!(out, "  event {}", text(event));
        }
        steps(&mut out, &part["steps"]);
    }
    let _ = writeln!(out, "\nslow after {}", text(&report["slowAfter"]));
    steps(&mut out, &report["slow"]);
    out
}

fn steps(out: &mut String, steps: &Value) {
    for step in steps.as_array().into_iter().flatten() {
        let word = |key: &str| step[key].as_str().unwrap_or_default();
        let why = match word("outcome") {
            "matched" => "matches".to_owned(),
            "no_match" => format!("does not match: {}", word("part")),
            _ => "not reached".to_owned(),
        };
        let _ = writeln!(out, "  {} {:<20} {why}", word("list"), word("entry"));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::judge_rules;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ExplainArgs,
    }

    fn asked(args: &[&str]) -> Result<bool> {
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/config/rules.yaml");
        let all: Vec<&str> = ["explain", "--rules", rules].iter().chain(args).copied().collect();
        explained(&Line::try_parse_from(all).expect("arguments").args)
    }

    #[test]
    fn expectations_decide_the_exit_code() {
        let profile = "/functions/v1/profile-get?lang=en";
        for (args, good) in [
            (vec![profile, "-H", "authorization: Bearer x", "--expect", "cache=profile", "--expect", "ttl=300s"], true),
            (vec![profile, "--expect", "cache=state"], false),
            (vec!["https://api.example/app-config", "-H", "apikey: k", "--expect", "bypass=credentials", "--expect", "cache=none"], true),
            (vec!["/wa-webhook-core", "-d", r#"{"a":1}"#, "--expect", "dedup=whatsapp", "--expect", "ids=0"], true),
            (vec!["/wa-webhook-core", "-X", "GET", "--expect", "dedup=none"], true),
        ] {
            assert_eq!(asked(&args).expect("explained"), good, "{args:?}");
        }
        for args in [vec!["nonsense"], vec!["/a", "--expect", "cach=x"], vec!["/a", "-H", "x"], vec!["/a", "--expect", "ttl=5"]] {
            assert!(asked(&args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn every_entry_has_its_line() {
        let rules = judge_rules(b"version: 1\ncache:\n  exclude: [\"**/x\"]\n  include: [{ name: a, match: { function: a }, ttl: 5m, origin_cache_control: override, ignore_set_cookie: [x, y], key: { query: [c, b], headers: [X-A] } }, { name: b, match: \"**\", ttl: 1s }]\n");
        let rules = rules.value.expect("good rules");
        let question = Question::new(Method::GET, "/a?d=1&b", HeaderMap::new(), Bytes::new()).expect("a request");
        let report = explain(&rules, &Site::default(), &question, &CallerSecret::new([1; 16])).report;
        let expected = "GET /a\nfunction a, listener functions\n\ncache: lookup, rule a, scope anonymous, ttl 5m\n  match                  function a\n  \
            ttl                    5m\n  scope                  anonymous\n  statuses               default\n  origin_cache_control   override\n  ignore_set_cookie      x, y\n  key                    query b, c; headers x-a\n  tags                   none\n  \
            stale_while_revalidate 0s\n  stale_if_error         0s\n  client_control         ignore\n  key rule      a\n  \
            key upstream  functions\n  key host      \n  key path      /a\n  key query     ?b\n  key x-a       none\n  exclude **/x                 does not match: path\n  \
            include a                    matches\n  include b                    not reached\n\ndedup: none\n\nslow after 1s\n";
        assert_eq!(words(&serde_json::to_value(report).expect("plain data")), expected);
    }
}
