/**
 * Fails as asked: `?status=500` (any status from 200 to 599), or by `?mode=`:
 * `boot` (503 BOOT_ERROR), `throw` (500 WORKER_ERROR), `limit` (546), `cut` (a body that breaks off).
 */
import { bootError, type Call, json, refusal } from "../_shared/function.ts";
import { work } from "../_shared/test-controls.ts";

export default async function fail(request: Request, { query }: Call): Promise<Response> {
  await work(request);
  switch (query.get("mode")) {
    case "boot":
      return bootError();
    case "throw":
      throw new Error("asked to fail");
    case "limit":
      return refusal(546, "WORKER_LIMIT", "Worker failed to respond due to a resource limit (please check logs)");
    case "cut":
      return cut();
    default: {
      const status = Number(query.get("status") ?? 500);
      if (!(status >= 200 && status <= 599)) return json({ error: "status must be from 200 to 599" }, 400);
      return json({ error: "asked to fail", status }, status);
    }
  }
}

/** A head, one piece of the body, then the end of the connection. */
function cut(): Response {
  let pieces = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (pieces++ === 0) controller.enqueue(new TextEncoder().encode("this body breaks off"));
      else return new Promise((_, reject) => setTimeout(() => reject(new Error("cut, as asked")), 20));
    },
  });
  return new Response(body, { headers: { "content-type": "text/plain" } });
}
