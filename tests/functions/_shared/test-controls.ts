/** Request headers by which a test makes a function slow or makes it fail. */

/** Waits `x-test-delay-ms`, or else the function's own time: it stands for the database and the services behind it. */
export async function work(request: Request, usualMs = 0): Promise<void> {
  const ms = Number(request.headers.get("x-test-delay-ms") ?? usualMs);
  if (ms > 0) await new Promise((done) => setTimeout(done, Math.min(ms, 120_000)));
}

/** The status that `x-test-status` asks for, if it does. */
export function forcedStatus(request: Request): number | null {
  const status = Number(request.headers.get("x-test-status"));
  return status >= 200 && status <= 599 ? status : null;
}
