// The live page. One picture a second comes from `events`; nothing else is asked of anybody. Texts go into the page as text, never as markup.
"use strict";

const $ = (id) => document.getElementById(id);
const number = (n) => Math.round(n).toLocaleString("en");
const percent = (part, all) => all ? `${(100 * part / all).toFixed(part && part / all < 0.1 ? 2 : 1)} %` : "–";
const clock = (text) => new Date(text).toLocaleTimeString([], { hourCycle: "h23" });
const when = (text) => new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

function millis(ms) {
  if (!ms) return "–";
  if (ms >= 1000) return `${(ms / 1000).toFixed(ms >= 10000 ? 0 : 2)} s`;
  return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let at = 0;
  for (; n >= 1024 && at < 3; at++) n /= 1024;
  return `${at && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[at]}`;
}

function span(seconds) {
  const [d, h, m] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min` : `${seconds} s`;
}

// What has not changed is not written: a selection, a focus or a screen reader's place in the page stays.
function say(node, text, kind) {
  if (node.textContent !== text) node.textContent = text;
  if (kind !== undefined && node.dataset.kind !== kind) {
    node.dataset.kind = kind;
    node.classList.remove("good-text", "warn-text", "bad-text");
    if (kind) node.classList.add(`${kind}-text`);
  }
}

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// A cell is a value, or { text, kind, long }. Columns are [title, "text" for words]; the first cell of a row is its header.
function table(id, caption, columns, rows, empty) {
  const place = $(id);
  if (!rows.length) {
    if (place.dataset.empty !== empty) place.replaceChildren(element("p", "empty", empty));
    place.dataset.empty = empty;
    return;
  }
  let body = place.querySelector("tbody");
  if (!body || place.dataset.empty) {
    delete place.dataset.empty;
    const region = element("div", "scroll");
    region.tabIndex = 0;
    region.setAttribute("role", "region");
    region.setAttribute("aria-label", caption);
    const all = region.appendChild(element("table"));
    all.createCaption().textContent = caption;
    const head = all.createTHead().insertRow();
    for (const [title, kind] of columns) head.appendChild(element("th", kind, title)).scope = "col";
    body = all.createTBody();
    place.replaceChildren(region);
  }
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, y) => {
    const row = body.rows[y] || body.insertRow();
    cells.forEach((cell, x) => {
      const { text, kind, long } = typeof cell === "object" ? cell : { text: cell };
      let node = row.children[x];
      if (!node) {
        node = row.appendChild(element(x ? "td" : "th", long ? "long" : columns[x][1]));
        if (!x) node.scope = "row";
      }
      say(node, String(text), kind || "");
    });
  });
}

// Requests a second over the last events that this page saw.
const seen = [];
function rate(total, uptime) {
  if (seen.length && seen[seen.length - 1][1] > total) seen.length = 0;
  seen.push([performance.now(), total]);
  if (seen.length > 6) seen.shift();
  const [[from, first], [to, last]] = [seen[0], seen[seen.length - 1]];
  return to - from > 500 ? 1000 * (last - first) / (to - from) : uptime ? null : 0;
}

function tiles({ metrics, health }, sums) {
  const { requests, latency } = metrics.metrics, { cache, deduplication: dedup } = metrics.totals, outcomes = requests.byOutcome;
  const now = rate(requests.total, metrics.uptimeSeconds);
  say($("t-rate"), now === null ? "–" : `${now < 10 ? now.toFixed(1) : number(now)} /s`);
  say($("t-total"), `${number(requests.total)} in all, ${number(requests.inFlight)} now`);
  say($("t-hits"), percent(sums.hits, sums.lookups));
  say($("t-lookups"), `in 15 min; ${percent(cache.hits + cache.stale, cache.hits + cache.stale + cache.misses)} in all`);
  say($("t-p50"), millis(latency.p50Ms), latency.p50Ms > 50 ? "warn" : "");
  say($("t-p90"), `p90 ${millis(latency.p90Ms)}`);
  say($("t-p99"), millis(latency.p99Ms), latency.p99Ms > 1000 ? "bad" : "");
  say($("t-max"), `at most ${millis(latency.maxMs)}`);
  const share = sums.requests ? sums.errors / sums.requests : 0;
  say($("t-errors"), percent(sums.errors, sums.requests), share > 0.1 ? "bad" : share > 0.05 ? "warn" : "");
  say($("t-shed"), `${number(outcomes.failed)} failed, ${number(outcomes.shed)} shed`);
  say($("t-repeats"), number(dedup.duplicates + dedup.joined));
  say($("t-missed"), dedup.missed ? `${number(dedup.missed)} passed on` : `of ${number(dedup.duplicates + dedup.joined + dedup.new + dedup.partial)} webhooks`, dedup.missed ? "warn" : "");
  say($("t-health"), health.status, { healthy: "good", degraded: "warn", unhealthy: "bad" }[health.status]);
  say($("t-why"), health.indicators.filter((one) => !one.ok).map((one) => one.name.replaceAll("_", " ")).join(", ") || "of the functions");
  say($("t-memory"), bytes(metrics.memory.rssBytes), metrics.memory.rssBytes > metrics.memory.budgetBytes ? "bad" : "");
  say($("t-budget"), `of ${bytes(metrics.memory.budgetBytes)}`);
}

const flagged = (text, kind) => ({ text, kind });

function tables({ metrics, health, matches, repeats }) {
  const rows = (object, row) => Object.entries(object).map(([name, value]) => row(name, value));
  const busiest = rows(metrics.handlers, (name, f) => [f.requests, [name, number(f.requests), flagged(number(f.errors), f.errors ? "bad" : ""), number(f.slow), number(f.coldStarts),
    millis(f.p50Ms), millis(f.p90Ms), flagged(millis(f.p99Ms), f.p99Ms > 1000 ? "bad" : "")]]).sort((a, b) => b[0] - a[0]).map((row) => row[1]);
  table("functions", "Requests since the start; quantiles of the last minutes", [["Function"], ["Requests"], ["5xx"], ["Slow"], ["Cold starts"], ["p50"], ["p90"], ["p99"]],
    busiest, "No request yet, and no rule names a function");
  const value = (one, n) => n === undefined ? "–" : one.unit === "ms" ? millis(n) : percent(n, 1);
  table("health", "Judged by the limits of health: in the rules", [["Indicator"], ["State", "text"], ["Value"], ["Limit"], ["Samples"], ["Since"]],
    health.indicators.map((one) => [one.name.replaceAll("_", " "), flagged(one.status, { healthy: "good", degraded: "warn" }[one.status] || "bad"), one.samples ? value(one, one.value) : "–",
      value(one, one.limit), number(one.samples), clock(one.since)]), "No indicator");
  table("webhooks", "Webhooks since the start", [["Rule"], ["New"], ["Duplicate"], ["Joined"], ["Partial"], ["Skipped"], ["Timed out"], ["Passed on"], ["Repeats"]],
    rows(metrics.deduplication, (name, d) => [name, number(d.new), number(d.duplicates), number(d.joined), number(d.partial), number(d.skipped), flagged(number(d.timeouts), d.timeouts ? "warn" : ""),
      flagged(number(d.missed), d.missed ? "warn" : ""), percent(d.duplicateRate, 1)]), "No rule deduplicates");
  const came = rows(repeats, (name, causes) => [name, causes]).filter(([, causes]) => Object.values(causes).some(Boolean));
  table("repeats", "Why messages came again: the function slow or failed, its answer unread, or late (the sender)", [["Rule"], ["Slow"], ["Failed"], ["Unread"], ["Late"]],
    came.map(([name, c]) => [name, number(c.slow), number(c.failed), number(c.unread), number(c.late)]), Object.keys(repeats).length ? "No message came again yet" : "");
  table("cache", "Look-ups since the start, stored answers now", [["Rule"], ["Hit rate"], ["Hits"], ["Stale"], ["Misses"], ["Bypassed"], ["Stored"], ["Bytes"], ["Removed"]],
    rows(metrics.cache, (name, c) => [name, percent(c.hitRate, c.hits + c.stale + c.misses ? 1 : 0), number(c.hits), number(c.stale), number(c.misses), number(c.bypassed), number(c.size), bytes(c.bytes), number(c.evictions)]),
    "No rule caches");
  table("pool", "Open now, and uses since the start", [["Upstream"], ["State", "text"], ["Open"], ["In use"], ["Idle"], ["Uses"], ["Opened"], ["Reused"]],
    rows(metrics.clientPool, (name, p) => [name, p.healthy ? flagged("reached", "good") : flagged("not reached", "bad"), number(p.size), number(p.inUse), number(p.idle), number(p.totalUses), number(p.created), percent(p.reuseRate, p.totalUses ? 1 : 0)]),
    "No upstream");
  table("rules", "Requests that each rule decided", [["Rule"], ["Kind", "text"], ["Requests"]],
    rows(matches, (name, n) => [name, name in metrics.cache ? "cache" : "webhooks", number(n)]), "No rule is in force: every request is passed on");
}

function notices({ rules, missing, health, trusted }) {
  const all = [], last = rules.lastReload, refused = last && last.outcome === "refused";
  if (missing.length) all.push(["bad", `Not ready: ${missing.join(", ")}.`]);
  if (refused) all.push(["bad", `The rules file was refused at ${clock(last.at)}: ${last.errors} ${last.errors === 1 ? "problem" : "problems"}. The rules of generation ${rules.generation} stay in force.${trusted ? "" : " The problems are shown with the token."}`, "#h-rules"]);
  else if (rules.fileDiffers) all.push(["", "The rules file is not what is in force."]);
  if (health.status !== "healthy") all.push([health.status === "unhealthy" ? "bad" : "", `The functions are ${health.status}.`, "#h-health"]);
  const text = JSON.stringify(all), place = $("notices");
  if (place.dataset.text === text) return;
  place.dataset.text = text;
  place.replaceChildren(...all.map(([kind, words, link]) => {
    const notice = element("p", `notice ${kind}`, `${words} `);
    if (link) notice.appendChild(element("a", "", "See below")).href = link;
    return notice;
  }));
}

function rules({ rules: { generation, hash, since, lastReload: last, fileDiffers } }) {
  say($("generation"), `Generation ${generation} (${hash}) in force since ${when(since)}${fileDiffers ? "; the file holds another text" : ""}.`);
  const cause = last && { file: "the file changed", command: "a command", rollback: "a rollback" }[last.cause];
  say($("reload"), last ? `Last reload ${when(last.at)} (${cause}): ${last.outcome}${last.errors ? `, ${last.errors} ${last.errors === 1 ? "problem" : "problems"}` : ""}.` : "Not reloaded since the start.",
    last && last.outcome === "refused" ? "bad" : "");
}

function details({ slow, largest, diagnostics, rulesText }) {
  $("details").hidden = false;
  $("token-form").hidden = true;
  table("slow", "The last ones, as in the log", [["At"], ["Function", "text"], ["Request", "text"], ["Status"], ["Took"], ["Function took"], ["Id", "text"]],
    slow.map((one) => [clock(one.ts), one.function, { text: `${one.method} ${one.path}`, long: true }, one.status, millis(one.duration_ms), one.upstream ? millis(one.upstream.first_byte_ms) : "–", one.request_id]), "None");
  table("largest", "By bytes", [["Path"], ["Rule", "text"], ["Caller", "text"], ["Variants"], ["Bytes"]],
    (largest || []).map((one) => [one.path, one.rule, one.caller || "–", number(one.variants), bytes(one.bytes)]), "Nothing is stored");
  say($("text"), rulesText);
  const problems = JSON.stringify(diagnostics), place = $("diagnostics");
  if (place.dataset.text === problems) return;
  place.dataset.text = problems;
  const list = element("ul");
  for (const { severity, message, line, column, help } of diagnostics) {
    list.appendChild(element("li", "", `${severity || "error"}${line ? `, line ${line}:${column}` : ""}: ${message}${help ? ` — ${help}` : ""}`));
  }
  place.replaceChildren(...(diagnostics.length ? [list] : []));
}

let version;
function show(picture) {
  const { version: program, uptimeSeconds } = picture.metrics;
  if (version && version !== program) return location.reload(); // another program, another page
  version = program;
  say($("about"), `${program}, up ${span(uptimeSeconds)}`);
  tiles(picture, recent(picture.recent));
  tables(picture);
  notices(picture);
  rules(picture);
  if (picture.details) details(picture.details);
}

let token = "", lastSeen = 0, stream;
function link(text, kind) {
  say($("link"), text);
  $("link").className = kind;
  document.documentElement.classList.toggle("stale", kind === "lost");
}

// Reads events until the stream ends. Not EventSource: it can send no token, and gives up where a proxy answers in the sidecar's place.
async function read() {
  stream = new AbortController();
  const answer = await fetch("events", { headers: token ? { authorization: `Bearer ${token}` } : {}, signal: stream.signal, cache: "no-store" });
  if (answer.status === 401) {
    token = "";
    say($("token-said"), "This is not the token.", "bad");
    return;
  }
  if (!answer.ok) throw new Error((await answer.json()).message);
  say($("token-said"), "", "");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts.slice(-1)) {
      lastSeen = Date.now();
      link("Live", "on");
      show(JSON.parse(part.replace(/^data: ?/, "")));
    }
  }
}

async function follow() {
  for (;;) {
    try { await read(); } catch (error) { if (error.name !== "AbortError" && !(error instanceof TypeError)) say($("token-said"), error.message, "bad"); }
    await new Promise((wait) => setTimeout(wait, 1000));
  }
}

// A connection that says nothing is given up; one that is gone ends by itself.
let patience = 0;
setInterval(() => {
  const silent = Date.now() - lastSeen > 4000;
  if (silent) link(lastSeen ? `No answer since ${clock(lastSeen)}, trying again` : "Connecting…", lastSeen ? "lost" : "");
  patience = silent ? patience + 1 : 0;
  if (patience % 10 === 9) stream.abort();
}, 1000);

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  stream.abort();
});
follow();
