/** Server-sent events, one by one: `?events=5&interval_ms=100`. */
import type { Call } from "../_shared/function.ts";

export default function stream(_request: Request, { query }: Call): Response {
  const events = Math.min(Number(query.get("events") ?? 5), 10_000);
  const intervalMs = Number(query.get("interval_ms") ?? 100);
  const encoder = new TextEncoder();
  let sent = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const next = () => {
        if (sent === events) return controller.close();
        controller.enqueue(encoder.encode(`id: ${sent}\ndata: {"event":${sent}}\n\n`));
        sent++;
        timer = setTimeout(next, intervalMs);
      };
      next();
    },
    cancel: () => clearTimeout(timer),
  });
  return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-cache" } });
}
