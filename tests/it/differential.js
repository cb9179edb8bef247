// The other side of extractor_differential.rs: the same bodies, read as a function reads them (`await request.json()`), and the events
// in them picked out of plain values. In: bodies, each behind its length (4 bytes, big endian). Out: a line of JSON for each, null where
// JSON.parse refuses it, else whether something in it has no id, and a minimal body for each event, written by JSON.stringify.

const LISTS = {
  messages: ["type"],
  message_echoes: ["type"],
  statuses: ["status", "type", "recipient_participant_id", "participant_recipient_id", "payment"],
  calls: ["event"],
};

const isObject = (v) => typeof v === "object" && v !== null && !Array.isArray(v);
const has = (v) => (Array.isArray(v) || isObject(v)) && Object.keys(v).length > 0;
// blank is what Unicode calls white space: `trim` would also take U+FEFF for it
const isId = (v) => (typeof v === "string" && /\P{White_Space}/u.test(v)) || typeof v === "number";

// The objects of a list; whatever else is in it, or in its place, has no id.
function objects(list, found) {
  if (!Array.isArray(list)) {
    found.idless = true;
    return [];
  }
  found.idless ||= !list.every(isObject);
  return list.filter(isObject);
}

// Members that are not known may hold an event.
function others(object, known, found) {
  found.idless ||= Object.keys(object).some((name) => !known.includes(name) && has(object[name]));
}

// An absent part and null are one, a number is its text, and the two spellings of a member are one unless both are there.
const text = (v) => v === null ? undefined : typeof v === "number" ? String(v) : v;

function event(field, metadata, list, item) {
  const kept = { id: text(item.id) };
  for (const name of LISTS[list]) kept[name] = name === "payment" ? item[name] : text(item[name]);
  if (kept.recipient_participant_id === undefined) {
    kept.recipient_participant_id = kept.participant_recipient_id;
    delete kept.participant_recipient_id;
  }
  const number = isObject(metadata) ? text(metadata.phone_number_id) : undefined;
  const value = { [list]: [kept] };
  if (number !== undefined) value.metadata = { phone_number_id: number };
  else if (text(metadata) !== undefined && !isObject(metadata)) value.metadata = text(metadata);
  return { entry: [{ changes: [{ value, field: text(field) }] }] };
}

function change({ field, value, ...rest }, found) {
  others(rest, [], found);
  const lists = isObject(value) ? Object.keys(LISTS).filter((list) => list in value) : [];
  if (isObject(value)) others(value, ["metadata", "contacts", ...lists], found);
  let items = 0;
  for (const list of lists) {
    for (const item of objects(value[list], found)) {
      items++;
      if (isId(item.id)) found.events.push(JSON.stringify(event(field, value.metadata, list, item)));
      else found.idless = true;
    }
  }
  found.idless ||= items === 0;
}

function read(bytes) {
  let body;
  try {
    body = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
  const found = { idless: false, events: [] };
  if (!isObject(body)) return found;
  others(body, ["entry"], found);
  for (const entry of "entry" in body ? objects(body.entry, found) : []) {
    const before = found.events.length;
    others(entry, ["changes"], found);
    for (const one of "changes" in entry ? objects(entry.changes, found) : []) change(one, found);
    found.idless ||= found.events.length === before;
  }
  return found;
}

const input = new Uint8Array(await new Response(Deno.stdin.readable).arrayBuffer());
const view = new DataView(input.buffer);
const lines = [];
for (let at = 0; at < input.length;) {
  const length = view.getUint32(at);
  lines.push(JSON.stringify(read(input.subarray(at + 4, at + 4 + length))));
  at += 4 + length;
}
await new Response(lines.join("\n")).body.pipeTo(Deno.stdout.writable);
