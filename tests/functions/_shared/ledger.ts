/** What the functions saw. It is read at `/_internal/counters` and proves whether an answer came from a function. */
import type { Json } from "./function.ts";

/** A body as it arrived. */
export interface Body {
  sha256: string;
  length: number;
}

/** Ids and bodies kept at most; the oldest go first, so that a long run stays small. */
const MOST_IDS = 200_000;
const MOST_BODIES = 100;

const invocations = new Map<string, number>();
const bootErrors = new Map<string, number>();
const processed = new Map<string, number>();
const bodies: Body[] = [];
let webhooks = 0;

/** Counts a run of a function and answers its number. */
export function invoked(name: string): number {
  const count = (invocations.get(name) ?? 0) + 1;
  invocations.set(name, count);
  return count;
}

/** Notes the body of a webhook, whatever becomes of it. */
export function received(body: Body): void {
  bodies.push(body);
  if (bodies.length > MOST_BODIES) bodies.shift();
}

/** Counts a webhook that was processed, under each of its message ids. */
export function accepted(ids: string[]): void {
  webhooks++;
  for (const id of ids) processed.set(id, (processed.get(id) ?? 0) + 1);
  for (const oldest of processed.keys()) {
    if (processed.size <= MOST_IDS) break;
    processed.delete(oldest);
  }
}

/** Lets the next `times` calls of a function meet a boot error. */
export function failBoots(name: string, times: number): void {
  bootErrors.set(name, times);
}

/** Whether this call of a function meets a boot error. */
export function failsToBoot(name: string): boolean {
  const left = bootErrors.get(name) ?? 0;
  if (left > 0) bootErrors.set(name, left - 1);
  return left > 0;
}

/** All of it. */
export function report(): Record<string, Json> {
  return {
    invocations: Object.fromEntries(invocations),
    webhooks: {
      accepted: webhooks,
      processed: Object.fromEntries(processed),
      bodies: bodies.map((body) => ({ ...body })),
    },
  };
}

/** Back to nothing seen. */
export function reset(): void {
  for (const map of [invocations, bootErrors, processed]) map.clear();
  bodies.length = 0;
  webhooks = 0;
}
