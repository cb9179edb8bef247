/**
 * The router in front of the functions, in the manner of the platform's own `main`: it serves `/NAME/...` and
 * `/functions/v1/NAME/...`, and answers itself where no function can.
 *
 * Its own pages, for tests: `GET /_internal/health`, `GET /_internal/counters`, `POST /_internal/reset`,
 * `POST /_internal/boot-errors?function=NAME&times=N`, `POST /_internal/retire?function=NAME`.
 */
import appConfig from "./app-config/index.ts";
import echo from "./echo/index.ts";
import fail from "./fail/index.ts";
import health from "./health/index.ts";
import profile from "./profile/index.ts";
import stream from "./stream/index.ts";
import userState from "./user-state/index.ts";
import webhook from "./wa-webhook-core/index.ts";
import { bootError, type EdgeFunction, json, refusal } from "./_shared/function.ts";
import { isolateOf, retire, startsSoFar } from "./_shared/isolates.ts";
import * as ledger from "./_shared/ledger.ts";

const functions = new Map<string, EdgeFunction>([
  ["app-config", appConfig],
  ["echo", echo],
  ["fail", fail],
  ["health", health],
  ["profile", profile],
  ["stream", stream],
  ["user-state", userState],
  ["wa-webhook-core", webhook],
]);

/** Functions that want a caller, as `verify_jwt` does; `OPTIONS` is always let through. */
const verified = new Set(["profile", "user-state"]);

const cors = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "authorization, x-client-info, apikey, content-type",
};

async function route(request: Request): Promise<Response> {
  const url = new URL(request.url);
  if (url.pathname.startsWith("/_internal/")) return internal(request, url);

  const path = url.pathname.replace(/^\/functions\/v1(?=\/|$)/, "");
  const name = path.split("/")[1] ?? "";
  if (name === "") return json({ msg: "missing function name in request" }, 400);
  const run = functions.get(name);
  if (!run) return refusal(404, "NOT_FOUND", "Requested function was not found");
  if (request.method === "OPTIONS") return new Response("ok", { headers: cors });
  if (
    verified.has(name) && !request.headers.has("authorization") && !request.headers.has("apikey")
  ) {
    const message = "Missing authorization header";
    return refusal(401, "UNAUTHORIZED_NO_AUTH_HEADER", message, { msg: message });
  }
  if (ledger.failsToBoot(name)) return bootError();
  const isolate = await isolateOf(name);

  const call = { name, path, query: url.searchParams, invocation: ledger.invoked(name) };
  const response = await (isHealth(path) ? health : run)(request, call);
  response.headers.set("x-invocation", String(call.invocation));
  if (Deno.env.get("NO_EXECUTION_ID") !== "1") response.headers.set("x-deno-execution-id", isolate);
  response.headers.set("access-control-allow-origin", "*");
  return response;
}

/** Every function answers `/NAME/health`. */
function isHealth(path: string): boolean {
  return /^\/[^/]+\/health\/?$/.test(path);
}

function internal(request: Request, url: URL): Response {
  switch (`${request.method} ${url.pathname}`) {
    case "GET /_internal/health":
      return json({ message: "ok" });
    case "GET /_internal/counters":
      return json({ ...ledger.report(), starts: startsSoFar() });
    case "POST /_internal/reset":
      ledger.reset();
      return json({ message: "ok" });
    case "POST /_internal/boot-errors":
      ledger.failBoots(url.searchParams.get("function") ?? "", Number(url.searchParams.get("times") ?? 1));
      return json({ message: "ok" });
    case "POST /_internal/retire":
      retire(url.searchParams.get("function") ?? "");
      return json({ message: "ok" });
    default:
      return refusal(404, "NOT_FOUND", "No such internal page");
  }
}

async function handle(request: Request): Promise<Response> {
  let response: Response;
  try {
    response = await route(request);
  } catch (error) {
    console.error(error);
    response = refusal(500, "WORKER_ERROR", "Function exited due to an error (please check logs)");
  }
  response.headers.set("x-served-by", "supabase-edge-runtime");
  return response;
}

const server = Deno.serve({
  hostname: Deno.env.get("HOST") ?? "127.0.0.1",
  port: Number(Deno.env.get("PORT") ?? 0),
  onListen: ({ hostname, port }) => console.log(`listening on http://${hostname}:${port}`),
}, handle);

/** Finishes what runs, as the platform's runtime does on SIGTERM, but never longer than 15 s. */
async function stop(): Promise<never> {
  setTimeout(() => Deno.exit(0), 15_000);
  await server.shutdown();
  Deno.exit(0);
}

Deno.addSignalListener("SIGTERM", stop);
Deno.addSignalListener("SIGINT", stop);
if (Deno.env.get("EXIT_WITH_STDIN") === "1") {
  Deno.stdin.readable.pipeTo(new WritableStream()).finally(() => Deno.exit(0));
}
