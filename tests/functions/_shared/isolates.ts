/**
 * The life of a function's isolate, as the platform's runtime has it: a worker retires at half of its wall clock, and the next request
 * starts a new one and waits for it. (Requests that come meanwhile wait for the same one: a runtime with one worker a function.)
 *
 * `WORKER_LIFE_MS` is the wall clock (default: none ever retires), `WORKER_BOOT_MS` what a start takes.
 */
const life = Number(Deno.env.get("WORKER_LIFE_MS") ?? 0);
const boot = Number(Deno.env.get("WORKER_BOOT_MS") ?? 0);

interface Isolate {
  id: Promise<string>;
  since: number;
}

const isolates = new Map<string, Isolate>();
const starts = new Map<string, number>();

/** The id of the isolate that runs a function; a new one where the last has retired. */
export function isolateOf(name: string): Promise<string> {
  const running = isolates.get(name);
  if (running && (life === 0 || performance.now() - running.since < life / 2)) return running.id;
  starts.set(name, (starts.get(name) ?? 0) + 1);
  const isolate = { id: started(), since: performance.now() };
  isolates.set(name, isolate);
  return isolate.id;
}

async function started(): Promise<string> {
  if (boot > 0) await new Promise((done) => setTimeout(done, boot));
  return crypto.randomUUID();
}

/** Retires the isolate of a function now. */
export function retire(name: string): void {
  isolates.delete(name);
}

/** How many isolates each function had. */
export function startsSoFar(): Record<string, number> {
  return Object.fromEntries(starts);
}
