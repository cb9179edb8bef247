/** A look-up whose answer differs from caller to caller and by language. */
import { type Call, json } from "../_shared/function.ts";
import { callerOf } from "../_shared/digest.ts";
import { forcedStatus, work } from "../_shared/test-controls.ts";

export default async function profile(request: Request, { query, invocation }: Call): Promise<Response> {
  await work(request);
  const body = { caller: await callerOf(request), language: query.get("lang") ?? "en", invocation, at: Date.now() };
  return json(body, forcedStatus(request) ?? 200);
}
