//! `status`: what the live page shows, in at most 24 lines of a terminal; `--watch` shows it anew every second.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value};

use super::client::DoorArgs;
use super::life::{ended, print, refused};

/// How often `--watch` asks.
const EVERY: Duration = Duration::from_secs(1);
/// Lines of each list; with the rest the picture has at most 24.
const FUNCTIONS: usize = 5;
const RULES: usize = 3;
/// Eighths of a character's height.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Flags of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show it anew every second, until interrupted
    #[arg(long)]
    pub watch: bool,
    /// Which sidecar.
    #[command(flatten)]
    pub door: DoorArgs,
}

/// `status`: exit code 0 if the sidecar answers, whatever it says of itself; 1 if it does not.
#[must_use]
pub fn run(args: &StatusArgs) -> ExitCode {
    ended(if args.watch { watch(&args.door) } else { once(&args.door) })
}

fn once(door: &DoorArgs) -> Result<bool> {
    let answer = door.ask("GET", "/status")?;
    if answer.status != 200 {
        return refused(&answer);
    }
    print(door, &answer, picture(&answer.body).trim_end())?;
    Ok(true)
}

fn watch(door: &DoorArgs) -> Result<bool> {
    let mut out = std::io::stdout();
    loop {
        // the start of the screen, and nothing below: no flicker as with a cleared one
        let (home, rest) = if out.is_terminal() { ("\x1b[H", "\x1b[J") } else { ("", "") };
        let text = match door.ask("GET", "/status") {
            Ok(answer) if answer.status == 200 => picture(&answer.body),
            Ok(answer) => return refused(&answer),
            // it may be restarting
            Err(error) => format!("{error:#}\n"),
        };
        let text = if home.is_empty() { text } else { text.replace('\n', "\x1b[K\n") };
        write!(out, "{home}{text}{rest}")?;
        out.flush()?;
        thread::sleep(EVERY);
    }
}

/// The picture as text, of what `GET /status` answers.
fn picture(status: &Value) -> String {
    let mut out = String::new();
    head(&mut out, status);
    traffic(&mut out, status);
    functions(&mut out, &status["metrics"]["handlers"]);
    cache(&mut out, &status["metrics"]);
    dedup(&mut out, status);
    rest(&mut out, &status["metrics"]);
    out
}

fn head(out: &mut String, status: &Value) {
    let (metrics, rules) = (&status["metrics"], &status["rules"]);
    let missing = words(&status["missing"]);
    let ready = if missing.is_empty() { "ready".to_owned() } else { format!("not ready: {missing}") };
    let _ = writeln!(out, "edge-sidecar {}, up {}, {ready}", text(&metrics["version"]), span(number(&metrics["uptimeSeconds"])));
    let judged = text(&status["health"]["status"]);
    let beyond = list(&status["health"]["indicators"]).filter(|i| text(&i["status"]) != "healthy").map(|i| {
        let value = |v: &Value| if text(&i["unit"]) == "ratio" { percent(v) } else { format!("{} ms", rounded(v)) };
        format!("; {} {} (limit {})", text(&i["name"]), value(&i["value"]), value(&i["limit"]))
    });
    let _ = writeln!(out, "health    {judged}{}", beyond.collect::<String>());
    let differs = if rules["fileDiffers"] == true { "; the file differs" } else { "" };
    let restart = if metrics["config"]["restartNeeded"] == true { "; restart needed for sidecar.yaml" } else { "" };
    let last = &rules["lastReload"];
    let reload = if last.is_null() {
        String::new()
    } else {
        format!("; last reload {} at {}, {} errors", text(&last["outcome"]), text(&last["at"]), number(&last["errors"]))
    };
    let _ = writeln!(out, "rules     generation {} ({}){differs}{reload}{restart}", number(&rules["generation"]), text(&rules["hash"]));
    if let Some(problem) = list(&status["details"]["diagnostics"]).find(|problem| problem["severity"] == "error") {
        let _ = writeln!(out, "          line {}: {}", number(&problem["line"]), text(&problem["message"]));
    }
}

fn traffic(out: &mut String, status: &Value) {
    let (requests, latency) = (&status["metrics"]["metrics"]["requests"], &status["metrics"]["metrics"]["latency"]);
    let by = requests["byOutcome"].as_object().into_iter().flatten().filter(|(_, n)| number(n) > 0);
    let by: Vec<String> = by.map(|(outcome, n)| format!("{outcome} {}", number(n))).collect();
    let _ = writeln!(out, "requests  {}, {} in flight; {}", number(&requests["total"]), number(&requests["inFlight"]), by.join(", "));
    let quantiles = ["p50", "p90", "p99", "max"].map(|q| format!("{q} {} ms", rounded(&latency[format!("{q}Ms")])));
    let _ = writeln!(out, "latency   {}", quantiles.join(", "));
    let slots: Vec<&Value> = list(&status["recent"]["slots"]).collect();
    let sums: Vec<u64> = slots.chunks(2).map(|slots| slots.iter().map(|slot| number(&slot["requests"])).sum()).collect();
    let most = sums.iter().copied().max().unwrap_or(0).max(1);
    let bar = |n: &u64| if *n == 0 { ' ' } else { BARS[usize::try_from((n * 8).div_ceil(most)).unwrap_or(8).clamp(1, 8) - 1] };
    let _ = writeln!(out, "15 min    {}", sums.iter().map(bar).collect::<String>());
}

fn functions(out: &mut String, handlers: &Value) {
    let busiest = top(handlers, FUNCTIONS, "requests");
    let _ = writeln!(out, "{:<24}{:>10}{:>8}{:>8}{:>8}{:>8}{:>6}", "function", "requests", "errors", "p50", "p90", "p99", "cold");
    for (name, f) in &busiest {
        let [p50, p90, p99] = ["p50Ms", "p90Ms", "p99Ms"].map(|key| rounded(&f[key]));
        let (requests, errors, cold) = (number(&f["requests"]), number(&f["errors"]), number(&f["coldStarts"]));
        let _ = writeln!(out, "  {:<22}{requests:>10}{errors:>8}{p50:>8}{p90:>8}{p99:>8}{cold:>6}", short(name));
    }
    more(out, handlers, busiest.len());
}

fn cache(out: &mut String, metrics: &Value) {
    let total = &metrics["totals"]["cache"];
    let (bytes, capacity) = (size(number(&total["bytes"])), size(number(&total["capacityBytes"])));
    let _ = writeln!(out, "cache     {} hits, {bytes} of {capacity}", percent(&total["hitRate"]));
    let rules = top(&metrics["cache"], RULES, "hits");
    for (name, rule) in &rules {
        let [hits, stale, misses, bypassed, stored] = ["hits", "stale", "misses", "bypassed", "size"].map(|key| number(&rule[key]));
        let rate = percent(&rule["hitRate"]);
        let _ = writeln!(
            out,
            "  {:<22}{rate:>8} hits {hits}, stale {stale}, misses {misses}, bypassed {bypassed}, stored {stored}",
            short(name)
        );
    }
    more(out, &metrics["cache"], rules.len());
}

fn dedup(out: &mut String, status: &Value) {
    let rules = top(&status["metrics"]["deduplication"], RULES, "new");
    let total = &status["metrics"]["totals"]["deduplication"];
    let _ = writeln!(out, "messages  {} known of {}", number(&total["entries"]), number(&total["capacity"]));
    for (name, rule) in &rules {
        let counts = ["new", "duplicates", "joined", "partial", "skipped", "missed"];
        let counts: Vec<String> = counts.iter().map(|key| format!("{key} {}", number(&rule[*key]))).collect();
        let causes = status["repeats"][name.as_str()].as_object().into_iter().flatten().filter(|(_, n)| number(n) > 0);
        let causes: Vec<String> = causes.map(|(cause, n)| format!("{cause} {}", number(n))).collect();
        let causes = if causes.is_empty() { String::new() } else { format!(" (repeats: {})", causes.join(", ")) };
        let _ = writeln!(out, "  {:<22}{}{causes}", short(name), counts.join(", "));
    }
    more(out, &status["metrics"]["deduplication"], rules.len());
}

fn rest(out: &mut String, metrics: &Value) {
    let pools: Vec<String> = metrics["clientPool"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, pool)| {
            let health = if pool["healthy"] == true { "" } else { ", unreachable" };
            let [used, idle] = ["inUse", "idle"].map(|key| number(&pool[key]));
            format!("{name}: {used} in use, {idle} idle, {} reused{health}", percent(&pool["reuseRate"]))
        })
        .collect();
    let memory = &metrics["memory"];
    let _ = writeln!(out, "pool      {}", pools.join("; "));
    let _ = writeln!(out, "memory    {} of {}", size(number(&memory["rssBytes"])), size(number(&memory["budgetBytes"])));
}

/// The entries with the most of `key`.
fn top<'v>(map: &'v Value, most: usize, key: &str) -> Vec<(&'v String, &'v Value)> {
    let mut all: Vec<_> = map.as_object().into_iter().flat_map(Map::iter).collect();
    all.sort_by_key(|(_, value)| std::cmp::Reverse(number(&value[key])));
    all.truncate(most);
    all
}

fn more(out: &mut String, map: &Value, shown: usize) {
    let all = map.as_object().map_or(0, Map::len);
    if all > shown {
        // on the line of the last one
        out.truncate(out.trim_end().len());
        let _ = writeln!(out, " (and {} more)", all - shown);
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn words(value: &Value) -> String {
    list(value).filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn rounded(value: &Value) -> String {
    let ms = value.as_f64().unwrap_or(0.0);
    if ms < 10.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

fn percent(ratio: &Value) -> String {
    format!("{:.1} %", ratio.as_f64().unwrap_or(0.0) * 100.0)
}

fn size(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}

/// At most 21 characters.
fn short(name: &str) -> String {
    if name.chars().count() <= 21 { name.to_owned() } else { name.chars().take(20).chain(['…']).collect() }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As much of everything as there may be.
    fn full() -> Value {
        let many = |value: &Value| (0..9).map(|n| (format!("a-name-of-many-characters-{n}"), value.clone())).collect::<Map<_, _>>();
        json!({
            "missing": ["draining", "upstream"],
            "health": { "status": "degraded", "indicators": [
                { "name": "error_rate", "status": "degraded", "unit": "ratio", "value": 0.061, "limit": 0.05 },
                { "name": "average_latency", "status": "healthy", "unit": "ms", "value": 3.0, "limit": 1000.0 },
            ] },
            "rules": { "generation": 7, "hash": "e8cf58df6baa", "fileDiffers": true,
                "lastReload": { "outcome": "refused", "at": "2026-11-25T12:00:00Z", "errors": 2 } },
            "details": { "diagnostics": [{ "severity": "warning", "line": 1, "message": "x" }, { "severity": "error", "line": 9, "message": "unknown key `tll`" }] },
            "recent": { "slots": [{ "requests": 0 }, { "requests": 0 }, { "requests": 1 }, { "requests": 0 }, { "requests": 80 }, { "requests": 80 }] },
            "repeats": { "a-name-of-many-characters-0": { "late": 0, "slow": 3 } },
            "metrics": {
                "version": "0.1.0", "uptimeSeconds": 93_780, "config": { "restartNeeded": true },
                "handlers": many(&json!({ "requests": 12, "errors": 1, "p50Ms": 3.12, "p90Ms": 99.6, "p99Ms": 1000.0, "coldStarts": 2 })),
                "cache": many(&json!({ "hits": 8, "stale": 1, "misses": 1, "bypassed": 0, "size": 4, "hitRate": 0.9 })),
                "deduplication": many(&json!({ "new": 5, "duplicates": 2, "joined": 0, "partial": 0, "skipped": 0, "missed": 0 })),
                "clientPool": { "functions": { "healthy": false, "inUse": 1, "idle": 2, "reuseRate": 0.995 } },
                "memory": { "rssBytes": 37_552_128, "budgetBytes": 117_440_512 },
                "totals": { "cache": { "hitRate": 0.9, "bytes": 1_048_576, "capacityBytes": 33_554_432 },
                    "deduplication": { "entries": 5, "capacity": 250_000 } },
                "metrics": { "requests": { "total": 20, "inFlight": 1, "byOutcome": { "hit": 8, "new": 12, "shed": 0 } },
                    "latency": { "p50Ms": 1.25, "p90Ms": 20.4, "p99Ms": 300.0, "maxMs": 301.0 } },
            },
        })
    }

    #[test]
    fn a_full_picture_fits_a_terminal() {
        let picture = picture(&full());
        assert!(picture.lines().count() <= 24, "{picture}");
        for part in [
            "edge-sidecar 0.1.0, up 1 d 2 h, not ready: draining, upstream\n",
            "health    degraded; error_rate 6.1 % (limit 5.0 %)\n",
            "generation 7 (e8cf58df6baa); the file differs; last reload refused at 2026-11-25T12:00:00Z, 2 errors; restart needed for sidecar.yaml\n",
            "          line 9: unknown key `tll`\n",
            "requests  20, 1 in flight; hit 8, new 12\n",
            "latency   p50 1.2 ms, p90 20 ms, p99 300 ms, max 301 ms\n",
            "15 min     ▁█\n",
            "  a-name-of-many-chara…         12       1     3.1     100    1000     2 (and 4 more)\n",
            "cache     90.0 % hits, 1.0 MiB of 32.0 MiB\n",
            "new 5, duplicates 2, joined 0, partial 0, skipped 0, missed 0 (repeats: slow 3)\n",
            "pool      functions: 1 in use, 2 idle, 99.5 % reused, unreachable\nmemory    35.8 MiB of 112.0 MiB\n",
        ] {
            assert!(picture.contains(part), "{part}\n{picture}");
        }
    }

    #[test]
    fn nothing_at_all_is_shown_too() {
        assert!(picture(&json!({})).lines().count() >= 8);
    }
}
