// The charts of the last 15 minutes, drawn as paths. Helpers such as `say` and `element` are in page.js.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 900, HEIGHT = 100;

// A chart of the last 15 minutes: `series` are { name, values, area, line }, values may have gaps (null). The right end is now.
function chart(id, label, top, series, slots, seconds) {
  const place = $(id);
  if (!place.firstChild) {
    place.append(element("span", "top"), element("span", "zero", "0"));
    const svg = place.appendChild(document.createElementNS(SVG, "svg"));
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    const times = place.appendChild(element("div", "times"));
    times.append(element("span", "", "15 min ago"), element("span", "", "now"));
  }
  const svg = place.querySelector("svg");
  svg.setAttribute("aria-label", label);
  say(place.querySelector(".top"), top.text);
  const step = WIDTH / (900 / seconds);
  const x = (i) => (WIDTH - (slots - i) * step).toFixed(1);
  const y = (value) => (HEIGHT - HEIGHT * Math.min(value / top.value, 1)).toFixed(2);
  let at = 0;
  const path = (kind, d) => {
    const node = svg.children[at++] || svg.appendChild(document.createElementNS(SVG, "path"));
    node.setAttribute("class", kind);
    node.setAttribute("d", d);
  };
  for (const { values, area, line } of series) {
    let outline = "", filled = "", open = false;
    values.forEach((value, i) => {
      if (value === null) { open = false; return; }
      const stepped = `${x(i)} ${y(value)}H${x(i + 1)}`;
      outline += `${open ? "L" : "M"}${stepped}`;
      filled += `M${x(i)} ${HEIGHT}V${y(value)}H${x(i + 1)}V${HEIGHT}Z`;
      open = true;
    });
    if (area) path(area, filled);
    if (line) path(line, outline);
  }
}

// A round number above the largest value, so that the scale does not jump with each event.
function ceiling(values) {
  const most = Math.max(...values, 0.1), power = 10 ** Math.floor(Math.log10(most));
  const value = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= most);
  return { value, text: value < 1 ? value.toFixed(1) : number(value) };
}

function recent({ slots, slotSeconds }) {
  const whole = slots.slice(0, -1); // the last one is still being filled
  const rates = (key) => whole.map((slot) => slot[key] / slotSeconds);
  const last = (values) => values.length ? values[values.length - 1] : 0;
  const shown = (value) => value.toFixed(1);
  const draw = (id, what, top, series) => chart(id, what, top, series, whole.length, slotSeconds);

  const all = rates("requests"), errors = rates("errors"), top = ceiling(all);
  draw("c-requests", `Requests a second: ${shown(last(all))} now, at most ${shown(Math.max(...all, 0))}; errors ${shown(last(errors))} now`, top,
    [{ values: all, area: "area-all", line: "line-all" }, { values: errors, area: "area-bad" }]);

  const hits = whole.map((slot) => slot.lookups ? slot.hits / slot.lookups : null), known = hits.filter((rate) => rate !== null);
  draw("c-hits", known.length ? `Hit rate: ${percent(last(known), 1)} at last, lowest ${percent(Math.min(...known), 1)}` : "Hit rate: no look-ups",
    { value: 1, text: "100 %" }, [{ values: hits, area: "area-good", line: "line-good" }]);

  const webhooks = rates("webhooks"), repeats = rates("duplicates");
  draw("c-webhooks", `Webhooks a second: ${shown(last(webhooks))} now, repeats caught ${shown(last(repeats))}`, ceiling(webhooks),
    [{ values: webhooks, area: "area-all", line: "line-all" }, { values: repeats, area: "area-good" }]);

  if ($("recent").parentElement.open) {
    const per = Math.round(60 / slotSeconds), minutes = [];
    for (let i = 0; i < slots.length; i += per) minutes.push(slots.slice(i, i + per));
    const sum = (minute, key) => minute.reduce((total, slot) => total + slot[key], 0);
    const keys = ["requests", "errors", "slow", "shed", "lookups", "hits", "webhooks", "duplicates"];
    table("recent", "By minute, the newest first", [["From"], ...keys.map((key) => [key])],
      minutes.reverse().map((minute) => [clock(minute[0].at), ...keys.map((key) => number(sum(minute, key)))]), "Nothing yet");
  }
  return slots.reduce((sum, slot) => ({ requests: sum.requests + slot.requests, errors: sum.errors + slot.errors, lookups: sum.lookups + slot.lookups, hits: sum.hits + slot.hits }),
    { requests: 0, errors: 0, lookups: 0, hits: 0 });
}
