/** What an edge function is here: a request in, an answer out, and what the router found out about the call. */

/** One call of a function. */
export interface Call {
  /** The function's name. */
  name: string;
  /** The path as the function sees it: `/NAME/...`, without `/functions/v1`. */
  path: string;
  /** The query. */
  query: URLSearchParams;
  /** How often this function has run since the start, this run included. */
  invocation: number;
}

/** The code of a function. */
export type EdgeFunction = (request: Request, call: Call) => Response | Promise<Response>;

/** Any JSON value that can be answered. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** An answer in JSON, where the status allows a body. */
export function json(body: Json, status = 200, headers: Record<string, string> = {}): Response {
  if ([204, 205, 304].includes(status)) return new Response(null, { status, headers });
  return Response.json(body, { status, headers });
}

/** The platform's answer for what it refuses itself: `{code, message}`, and the code as a header. */
export function refusal(status: number, code: string, message: string, more: Record<string, Json> = {}): Response {
  return json({ code, message, ...more }, status, { "sb-error-code": code });
}

/** The platform's answer where a function cannot be started. It has not run, so the request may be sent again. */
export function bootError(): Response {
  return refusal(503, "BOOT_ERROR", "Worker failed to boot (please check logs)");
}
