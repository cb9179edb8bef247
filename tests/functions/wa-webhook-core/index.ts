/**
 * Where WhatsApp's webhooks arrive: the handshake by GET, events by POST.
 *
 * It works 40 ms on an event (`WEBHOOK_DELAY_MS`, or `x-test-delay-ms` in a request) and then counts it under its ids.
 * `x-test-status` makes it answer that status after the work, without counting: a function that failed.
 */
import { type Call, json } from "../_shared/function.ts";
import { sha256 } from "../_shared/digest.ts";
import { accepted, received } from "../_shared/ledger.ts";
import { forcedStatus, work } from "../_shared/test-controls.ts";

const usualMs = Number(Deno.env.get("WEBHOOK_DELAY_MS") ?? 40);

export default async function webhook(request: Request, { query, invocation }: Call): Promise<Response> {
  if (request.method === "GET") return handshake(query);
  if (request.method !== "POST") return json({ error: "method not allowed" }, 405, { allow: "GET, POST" });

  const bytes = await request.bytes();
  const body = { sha256: await sha256(bytes), length: bytes.length };
  received(body);
  let payload: unknown;
  try {
    payload = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return json({ error: "invalid JSON" }, 400);
  }

  await work(request, usualMs);
  const status = forcedStatus(request);
  if (status !== null && (status < 200 || status > 299)) return json({ error: "asked to fail" }, status);
  const ids = idsOf(payload);
  accepted(ids);
  return json({ success: true, processed: ids.length, invocation, body }, status ?? 200);
}

function handshake(query: URLSearchParams): Response {
  const challenge = query.get("hub.challenge");
  if (challenge === null) return json({ error: "missing hub.challenge" }, 400);
  return new Response(challenge, { headers: { "content-type": "text/plain" } });
}

/** A message under its id; a status or a call under id and step, because one message has several of them. */
function idsOf(payload: unknown): string[] {
  const values = list(field(payload, "entry")).flatMap((entry) => list(field(entry, "changes"))).map((change) => field(change, "value"));
  const events = values.flatMap((value) => Object.values(value ?? {})).flatMap(list);
  return events
    .map((event) => [field(event, "id"), field(event, "status") ?? field(event, "event")])
    .filter(([id]) => typeof id === "string")
    .map((parts) => parts.filter((part) => typeof part === "string").join(":"));
}

function field(value: unknown, name: string): unknown {
  return (value as Record<string, unknown> | null | undefined)?.[name];
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
